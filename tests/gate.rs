//! The gates between the real SDK and the embedded servers: each strike does what it says, and is counted.

use kinglet_aws::Stack;
use kinglet_aws::{Clients, Conductor, Endpoints, FunctionNames, Objects};
use kinglet_local::gate::{Gates, Held, Rule, Service, Strike};
use kinglet_local::lambda::CpuShare;
use kinglet_local::s3::BucketKind;
use kinglet_local::{Options, REGION, Runtime, Servers};
use std::sync::Arc;
use std::time::{Duration, Instant};

const BUCKET: &str = "test-bucket";
const TABLE: &str = "test-table";
/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A runtime with gates, and the SDK's clients before them, with the retries that the functions have.
#[derive(Clone)]
pub(crate) struct Rig {
    runtime: Arc<Runtime>,
    pub(crate) conductor: Arc<Conductor>,
    clients: Arc<Clients>,
}

async fn runtime(servers: Option<Servers>, gates: bool) -> Runtime {
    let cpu = CpuShare::Whole;
    let options = Options { data_dir: None, concurrency: 1, cpu, enforce_memory: false, servers, gates };
    Runtime::start(options, vec![]).await.unwrap()
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let runtime = runtime(None, true).await;
        runtime.create_bucket(BUCKET, BucketKind::Blobs).unwrap();
        Self::before(runtime).await
    }

    async fn before(runtime: Runtime) -> Self {
        let [s3, dynamodb, lambda] = runtime.urls().map(str::to_owned);
        let (id, secret) = runtime.keys();
        let keys = (id.to_owned(), secret.to_owned());
        let endpoints = Endpoints { s3, dynamodb, lambda, region: REGION.to_owned(), keys };
        let name = || "function".to_owned();
        let functions = FunctionNames { splitter: name(), mapper: name(), mapper_large: None, reducer: name() };
        let stack = Stack { table: TABLE.to_owned(), work_bucket: BUCKET.to_owned(), functions, timeout_ms: 1 };
        let conductor = Conductor::new(Clients::at(&endpoints), stack);
        conductor.ledger.create_table().await.unwrap();
        let clients = Arc::new(Clients::at(&endpoints));
        Self { runtime: Arc::new(runtime), conductor: Arc::new(conductor), clients }
    }

    pub(crate) fn gates(&self) -> &Gates {
        self.runtime.gates().unwrap()
    }

    fn strike(&self, rule: Rule) {
        self.gates().set_rules(vec![rule]);
    }

    /// Of the one rule: the requests that it matched, and those that it struck.
    #[track_caller]
    fn assert_counts(&self, seen: u64, fired: u64) {
        assert_eq!(self.gates().counts(), [(seen, fired)]);
    }

    pub(crate) async fn held(&self) -> Held {
        tokio::time::timeout(PATIENCE, self.gates().next_held()).await.expect("a request is held")
    }

    /// Puts an object that must not exist yet; or the error's code.
    async fn create(&self, key: &str) -> Result<(), String> {
        let put = self.clients.s3.put_object().bucket(BUCKET).key(key).if_none_match("*");
        let done = put.body(b"bytes".to_vec().into()).send().await;
        done.map(drop).map_err(|err| err.into_service_error().meta().code().unwrap_or_default().to_owned())
    }

    /// Creates an object in a task of its own, which is the client that may die.
    fn creating(&self, key: &'static str) -> tokio::task::JoinHandle<Result<(), String>> {
        let rig = self.clone();
        tokio::spawn(async move { rig.create(key).await })
    }

    async fn exists(&self, key: &str) -> bool {
        self.clients.s3.head_object().bucket(BUCKET).key(key).send().await.is_ok()
    }

    async fn delete_table(&self) -> Result<(), String> {
        let done = self.clients.dynamodb.delete_table().table_name(TABLE).send().await;
        done.map(drop).map_err(|err| err.into_service_error().meta().code().unwrap_or_default().to_owned())
    }

    async fn tables(&self) -> Result<usize, String> {
        let done = self.clients.dynamodb.list_tables().send().await;
        done.map(|listed| listed.table_names().len())
            .map_err(|err| err.into_service_error().meta().code().unwrap_or_default().to_owned())
    }
}

fn refuse(status: u16, code: &str) -> Strike {
    Strike::Refuse { status, code: code.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rules_all_passes_and_without_gates_there_are_none() {
    assert!(runtime(None, false).await.gates().is_none());
    let rig = Rig::start().await;
    let bytes: Vec<u8> = (0..8 << 20).map(|idx: u32| idx.to_le_bytes()[1]).collect();
    for rules in [vec![], vec![Rule::s3("PutObject").containing("nothing such").does(Strike::LoseReply)]] {
        rig.gates().set_rules(rules);
        rig.clients.s3.put_object().bucket(BUCKET).key("a/ü €").body(bytes.clone().into()).send().await.unwrap();
        let got = rig.clients.s3.get_object().bucket(BUCKET).key("a/ü €").send().await.unwrap();
        assert!(got.body.collect().await.unwrap().into_bytes() == bytes);
        let listed = rig.clients.s3.list_objects_v2().bucket(BUCKET).send().await.unwrap();
        assert_eq!(listed.contents().len(), 1);
        assert!(!rig.exists("nothing such in it").await);
        assert_eq!(rig.tables().await, Ok(1));
    }
    rig.assert_counts(0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_the_services_own_error_and_nothing_was_done() {
    let rig = Rig::start().await;
    rig.strike(Rule::s3("PutObject").does(refuse(503, "SlowDown")));
    assert_eq!(rig.create("k").await, Ok(()), "the SDK tries again");
    rig.assert_counts(2, 1);
    rig.strike(Rule::s3("PutObject").containing("/other").times(u64::MAX).does(refuse(403, "AccessDenied")));
    assert_eq!(rig.create("other").await, Err("AccessDenied".to_owned()));
    rig.assert_counts(1, 1);
    assert!(!rig.exists("other").await);
    rig.strike(Rule::s3("HeadObject").does(refuse(403, "AccessDenied")));
    assert!(!rig.exists("k").await && rig.exists("k").await);
    rig.assert_counts(2, 1);

    rig.strike(Rule::dynamodb("ListTables").does(refuse(400, "ProvisionedThroughputExceededException")));
    assert_eq!(rig.tables().await, Ok(1));
    rig.assert_counts(2, 1);
    rig.strike(Rule::dynamodb("DeleteTable").containing(TABLE).does(refuse(400, "AccessDeniedException")));
    assert_eq!(rig.delete_table().await, Err("AccessDeniedException".to_owned()));
    rig.assert_counts(1, 1);
    assert_eq!(rig.tables().await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_request_was_never_seen() {
    let rig = Rig::start().await;
    rig.strike(Rule::s3("PutObject").containing("bytes").does(Strike::LoseRequest));
    assert_eq!(rig.create("k").await, Ok(()), "the second try creates it");
    rig.assert_counts(2, 1);
    rig.strike(Rule::any(Service::DynamoDb).does(Strike::LoseRequest));
    assert_eq!(rig.delete_table().await, Ok(()));
    rig.assert_counts(2, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_lost_reply_the_work_is_done() {
    let rig = Rig::start().await;
    rig.strike(Rule::s3("PutObject").after(1).does(Strike::LoseReply));
    assert_eq!(rig.create("first").await, Ok(()));
    assert_eq!(rig.create("second").await, Err("PreconditionFailed".to_owned()), "the second try finds the first's");
    rig.assert_counts(3, 1);
    assert!(rig.exists("second").await);
    rig.strike(Rule::dynamodb("DeleteTable").does(Strike::LoseReply));
    assert_eq!(rig.delete_table().await, Err("ResourceNotFoundException".to_owned()));
    rig.assert_counts(2, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_body_is_not_taken_for_a_whole_one() {
    let rig = Rig::start().await;
    for bytes in [100, 1 << 20] {
        rig.clients.s3.put_object().bucket(BUCKET).key("k").body(vec![1; bytes].into()).send().await.unwrap();
        rig.strike(Rule::s3("GetObject").does(Strike::HalfBody));
        let mut body = rig.clients.s3.get_object().bucket(BUCKET).key("k").send().await.unwrap().body;
        let mut arrived = 0;
        let failed = loop {
            match body.next().await {
                Some(Ok(some)) => arrived += some.len(),
                end => break end.is_some_and(|end| end.is_err()),
            }
        };
        assert!(failed, "the body of {bytes} bytes ends with an error");
        assert_eq!(arrived, bytes / 2);
        let whole = rig.clients.s3.get_object().bucket(BUCKET).key("k").send().await.unwrap();
        assert_eq!(whole.body.collect().await.unwrap().into_bytes().len(), bytes);
        rig.assert_counts(2, 1);
    }
    rig.strike(Rule::dynamodb("ListTables").does(Strike::HalfBody));
    assert_eq!(rig.tables().await, Ok(1), "the SDK tries again");
    rig.assert_counts(2, 1);
}

/// Reads an object of so many bytes as a mapper reads a range.
async fn read_range(rig: &Rig, objects: &Objects, bytes: usize) -> kinglet_core::Result<Vec<u8>> {
    let whole: Vec<u8> = (0..bytes).map(|n| (n / 7) as u8).collect();
    rig.clients.s3.put_object().bucket(BUCKET).key("k").body(whole.clone().into()).send().await.unwrap();
    let mut reader = objects.read(BUCKET, "k", None, 0, bytes as u64, "the object");
    let mut read = vec![];
    while let Some(block) = reader.next().await? {
        read.extend_from_slice(&block);
    }
    assert!(read == whole);
    Ok(read)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_whose_bodies_break_is_read_as_long_as_each_brings_it_further() {
    let rig = Rig::start().await;
    // Each body is half of what is left.
    rig.strike(Rule::s3("GetObject").times(12).does(Strike::HalfBody));
    let objects = &rig.conductor.objects;
    assert_eq!(read_range(&rig, objects, 1 << 20).await.unwrap().len(), 1 << 20);
    rig.assert_counts(13, 12);
    // Half of a byte is none: four in a row bring it no further.
    rig.strike(Rule::s3("GetObject").times(u64::MAX).does(Strike::HalfBody));
    let error = read_range(&rig, objects, 1 << 10).await.unwrap_err();
    assert_eq!(error.code(), "body");
    assert!(error.to_string().contains("reading the object at byte 1023: "), "{error}");
    rig.assert_counts(10 + 4, 10 + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_s3_does_not_answer_or_stops_answering_is_sent_once_more() {
    let rig = Rig::start().await;
    let clients = Clients::clone(&rig.clients).with_second_reads(Duration::from_millis(50));
    let objects = Objects::new(&clients);
    for strike in [Strike::HoldBefore, Strike::HoldAfter, Strike::StallBody] {
        rig.strike(Rule::s3("GetObject").does(strike.clone()));
        let before = clients.meter.totals();
        assert_eq!(read_range(&rig, &objects, 1 << 20).await.unwrap().len(), 1 << 20);
        // The machine may have been so busy that another one took long as well.
        let reads = clients.meter.since(&before).s3_get;
        assert!(reads >= 2, "{strike:?}: {reads}");
        assert_eq!(rig.gates().counts()[0].1, 1, "{strike:?}");
    }
    rig.strike(Rule::s3("GetObject").does(Strike::HoldBefore));
    assert_eq!(objects.get(BUCKET, "k", Some((0, 10))).await.unwrap().len(), 10);
    rig.strike(Rule::s3("GetObject").does(Strike::HoldBefore));
    let missing = objects.get(BUCKET, "nothing such", None).await.unwrap_err();
    assert_eq!(missing.code(), "object-missing", "what S3 says to the second read counts too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_request_comes_later() {
    let rig = Rig::start().await;
    rig.strike(Rule::s3("PutObject").does(Strike::Delay(Duration::from_millis(300))));
    let began = Instant::now();
    assert_eq!(rig.create("k").await, Ok(()));
    assert!(began.elapsed() >= Duration::from_millis(300));
    rig.assert_counts(1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_held_before_its_server_is_unseen_until_it_goes_on() {
    let rig = Rig::start().await;
    rig.strike(Rule::s3("PutObject").times(u64::MAX).does(Strike::HoldBefore));
    let creating = rig.creating("k");
    let held = rig.held().await;
    let request = held.request();
    assert_eq!((request.service, request.operation.as_str()), (Service::S3, "PutObject"));
    assert!(request.target.starts_with("/test-bucket/k"), "{request:?}");
    assert!(request.body.contains("bytes"), "{request:?}");
    assert!(!rig.exists("k").await && !creating.is_finished());
    held.go_on();
    assert_eq!(creating.await.unwrap(), Ok(()));
    rig.assert_counts(1, 1);

    // Lost before the server: the client tries again, and that try is held in its turn.
    let creating = rig.creating("lost");
    rig.held().await.lose();
    let second = rig.held().await;
    assert!(!rig.exists("lost").await);
    drop(second);
    assert_eq!(creating.await.unwrap(), Ok(()));
    rig.assert_counts(3, 3);

    // The client dies, and what it sent arrives.
    let creating = rig.creating("orphan");
    let held = rig.held().await;
    creating.abort();
    assert!(creating.await.unwrap_err().is_cancelled());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!rig.exists("orphan").await);
    held.go_on();
    tokio::time::timeout(PATIENCE, async {
        while !rig.exists("orphan").await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the request arrives");
    rig.assert_counts(4, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_is_held_with_the_work_done() {
    let rig = Rig::start().await;
    rig.strike(Rule::s3("PutObject").times(u64::MAX).does(Strike::HoldAfter));
    let creating = rig.creating("k");
    let held = rig.held().await;
    assert!(rig.exists("k").await && !creating.is_finished());
    held.go_on();
    assert_eq!(creating.await.unwrap(), Ok(()));

    let creating = rig.creating("lost");
    rig.held().await.lose();
    let second = rig.held().await;
    assert!(!creating.is_finished());
    second.go_on();
    assert_eq!(creating.await.unwrap(), Err("PreconditionFailed".to_owned()));
    rig.assert_counts(3, 3);

    let creating = rig.creating("orphan");
    let held = rig.held().await;
    creating.abort();
    assert!(creating.await.unwrap_err().is_cancelled());
    held.go_on();
    assert!(rig.exists("orphan").await);

    rig.strike(Rule::dynamodb("DeleteTable").does(Strike::HoldAfter));
    let other = rig.clone();
    let deleting = tokio::spawn(async move { other.delete_table().await });
    let held = rig.held().await;
    assert!(held.request().body.contains(TABLE), "{:?}", held.request());
    assert_eq!(rig.tables().await, Ok(0));
    held.go_on();
    assert_eq!(deleting.await.unwrap(), Ok(()));
    rig.assert_counts(1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_goes_on_when_the_runtime_stops() {
    let outer = runtime(None, false).await;
    outer.create_bucket(BUCKET, BucketKind::Blobs).unwrap();
    let [s3_url, dynamodb_url, _] = outer.urls().map(str::to_owned);
    let (access_key, secret_key) = (outer.keys().0.to_owned(), outer.keys().1.to_owned());
    let servers = Servers { s3_url, dynamodb_url, access_key, secret_key };
    let direct = Rig::before(runtime(Some(servers.clone()), false).await).await;
    // Gates stand before servers that are not the runtime's own, too.
    let rig = Rig::before(runtime(Some(servers), true).await).await;
    assert_ne!(rig.runtime.urls()[0], outer.urls()[0]);
    rig.strike(Rule::s3("PutObject").does(Strike::HoldBefore));
    let creating = rig.creating("k");
    let _ = tokio::time::timeout(PATIENCE, async {
        while rig.gates().counts() != [(1, 1)] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    rig.assert_counts(1, 1);
    // Nobody asks for what is held.
    creating.abort();
    assert!(creating.await.unwrap_err().is_cancelled());
    let Rig { runtime, conductor, .. } = rig;
    drop(conductor);
    Arc::into_inner(runtime).expect("the last owner").stop().await;
    tokio::time::timeout(PATIENCE, async {
        while !direct.exists("k").await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("what was on the wire arrives");
}
