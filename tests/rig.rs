//! A driver whose requests to S3 and DynamoDB can be held, and those of its functions: what the tests of single steps share.

use crate::support::{Counts, conductor, driver, naive_count, read_output, shown, text};
use kinglet::{Code, Driver, Error, JobHandle, Local, Report, Submit, Timestamp};
use kinglet_aws::Conductor;
use kinglet_aws::ledger::Says;
use kinglet_core::ids::{JobId, Piece, Stage, TaskIdx, TryKey};
use kinglet_jobs::WordCount;
use kinglet_local::gate::{Gates, Held, Rule, Strike};
use kinglet_local::lambda::{Fault, FaultPlan, FaultRule, Host};
use kinglet_local::s3::BucketKind;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::task::LocalSet;

pub(crate) const SPLITTER: &str = "kinglet-splitter";
pub(crate) const MAPPER: &str = "kinglet-mapper";
pub(crate) const REDUCER: &str = "kinglet-reducer";

/// Longest wait for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// How many map tasks a job of [`Rig::submission`] has, and how many parts.
pub(crate) const MAPS: u64 = 3;
pub(crate) const PARTS: u64 = 2;

/// The first try of the first reducer.
pub(crate) const FIRST_REDUCE: TryKey = TryKey { stage: Stage::Reduce, task: TaskIdx(0), piece: Piece(0), number: 0 };

/// The failure of a try that stands still.
pub(crate) fn lost() -> Error {
    Error::new(Code::Service, "it stands still")
}

/// What a request says that takes a job into a phase.
pub(crate) fn into_phase(phase: &str) -> String {
    format!(r#"":phase":{{"S":"{phase}"}}"#)
}

/// What a request says that commits.
pub(crate) const COMMIT: &str = "SET #done = :done";
/// What a request says that starts a try.
pub(crate) const START: &str = "#memory_mb = :memory_mb";
/// What a request says that claims to send a try.
pub(crate) const CLAIM: &str = "SET #sends = :sends";

pub(crate) struct Rig {
    pub(crate) dir: TempDir,
    pub(crate) driver: Driver,
    pub(crate) conductor: Conductor,
    counts: Counts,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(|local| local).await
    }

    pub(crate) async fn with(choices: impl FnOnce(Local) -> Local) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let input = text(5, 30_000);
        fs::write(dir.path().join("in.txt"), &input).unwrap();
        let driver = driver(|local| choices(local.with_gates().with_concurrency(4))).await;
        let conductor = conductor(&driver);
        Rig { dir, driver, conductor, counts: naive_count([&input[..]]) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A word count in so many tasks and parts as this module says.
    pub(crate) fn submission(&self, output: &str) -> Submit {
        self.submission_to(shown(&self.path(output)))
    }

    /// The same to anywhere.
    pub(crate) fn submission_to(&self, output: impl Into<String>) -> Submit {
        in_tasks(Submit::new([shown(&self.path("in.txt"))], output))
    }

    /// Makes the bucket `results`: the files of a directory, which no driver locks.
    pub(crate) fn make_results(&self) {
        let root = self.path("results");
        self.driver.runtime().unwrap().create_bucket("results", BucketKind::Directory { root }).unwrap();
    }

    /// Submits until a request is held, and dies then: of the driver only that request is left.
    pub(crate) async fn submit_until_held(&self, name: &str, submission: Submit) -> Held {
        let submitting = Box::pin(async { self.driver.submit(&WordCount, submission).await.map(drop) });
        tokio::select! {
            held = self.held() => held,
            submitted = submitting => panic!("{name}: {submitted:?}"),
        }
    }

    /// Another driver on the same S3 and DynamoDB, with functions of its own.
    pub(crate) async fn second_driver(&self) -> Driver {
        let servers = self.driver.endpoints().unwrap();
        driver(|local| local.with_servers(servers.into())).await
    }

    pub(crate) async fn submit(&self, output: &str) -> JobHandle {
        Box::pin(self.driver.submit(&WordCount, self.submission(output))).await.unwrap()
    }

    pub(crate) async fn submit_over(&self, output: &str) -> JobHandle {
        Box::pin(self.driver.submit(&WordCount, self.submission(output).with_overwrite())).await.unwrap()
    }

    pub(crate) fn host(&self) -> &Host {
        self.driver.runtime().unwrap().host()
    }

    pub(crate) fn gates(&self) -> &Gates {
        self.driver.runtime().unwrap().gates().unwrap()
    }

    pub(crate) fn strike(&self, rules: impl Into<Vec<Rule>>) {
        self.gates().set_rules(rules.into());
    }

    /// How often each rule has struck.
    pub(crate) fn struck(&self) -> Vec<u64> {
        self.gates().counts().into_iter().map(|(_, struck)| struck).collect()
    }

    pub(crate) async fn held(&self) -> Held {
        tokio::time::timeout(PATIENCE, self.gates().next_held()).await.expect("a request is held")
    }

    /// The next try of a task of a function dies before it does anything.
    pub(crate) fn kill_next(&self, function: &str) {
        let rule = FaultRule::nth(function, 0, Fault::KillWorker { after: Duration::ZERO });
        self.host().set_faults(FaultPlan { seed: 0, rules: vec![rule] });
    }

    /// Kills all workers of a function, and waits until they are dead.
    pub(crate) async fn kill(&self, function: &str) {
        let before = self.host().worker_pids();
        let killed = self.host().kill_workers(function);
        assert!(killed > 0, "no worker of {function} was there to be killed");
        until("the killed workers are gone", || {
            let now = self.host().worker_pids();
            before.iter().filter(|pid| !now.contains(pid)).count() >= killed
        })
        .await;
    }

    /// The execution of [`FIRST_REDUCE`], which has started.
    pub(crate) async fn says_of_first_reduce(&self, job: &JobId) -> Says<'static> {
        let (client, table) = (&self.conductor.clients.dynamodb, &self.conductor.stack.table);
        let all = client.scan().table_name(table).send().await.unwrap();
        let pk = format!("job#{job}#reduce#00000");
        let mut tries = all.items().iter().filter(|item| item["pk"].as_s() == Ok(&pk) && item.contains_key("run"));
        Says::Run(tries.next().expect("the try has started")["run"].as_n().unwrap().parse().unwrap())
    }

    /// Waits until nothing runs and nothing is queued.
    pub(crate) async fn idle(&self) {
        until("the functions are idle", || self.host().pending() == 0).await;
    }

    /// Waits for a job's end without looking after it.
    pub(crate) async fn ends_alone(&self, job: &JobId) {
        let ended = async {
            while !self.conductor.ledger.job(job).await.unwrap().phase.is_final() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("the job ends by itself");
    }

    /// Asserts that an output holds one whole result of the right words, and nothing else.
    #[track_caller]
    pub(crate) fn is_right(&self, output: &str) {
        assert!(read_output(&self.path(output)).counts == self.counts, "{output} holds other words");
    }

    /// Asserts that no upload of a job is left, in the output nor in the work bucket, and that cleaning leaves no trace of any.
    pub(crate) async fn leaves_nothing(&self, job: &JobId) {
        self.idle().await;
        let output = self.conductor.spec(job).await.unwrap().output;
        for bucket in [&output.bucket, &self.conductor.stack.work_bucket] {
            let left = self.conductor.objects.uploads(bucket, "").await.unwrap();
            assert_eq!(left, [], "{bucket}");
        }
        let before = Timestamp(Timestamp::now().0 + 3_600_000);
        self.driver.clean(before).await.unwrap();
        let left = self.conductor.leftovers().await.unwrap();
        assert!(left.is_empty(), "{left:?}");
        let items =
            self.conductor.clients.dynamodb.scan().table_name(&self.conductor.stack.table).send().await.unwrap();
        assert_eq!(items.items(), [], "the ledger keeps something");
    }
}

/// In so many tasks and parts as this module says.
pub(crate) fn in_tasks(submit: Submit) -> Submit {
    submit.with_split_bytes(10_000).with_partitions(PARTS as u32)
}

/// Waits for a job's end, but not for ever.
pub(crate) async fn end(handle: &JobHandle) -> Result<Report, Error> {
    tokio::time::timeout(PATIENCE, Box::pin(handle.wait())).await.expect("the job ends")
}

/// Runs all of these at once, as most of their time is waited: on this thread, their servers on others. Without optimisation
/// they are too large for its stack.
pub(crate) async fn all_at_once(futures: impl IntoIterator<Item = impl Future<Output = ()> + 'static>) {
    let local = LocalSet::new();
    let running: Vec<_> = futures.into_iter().map(|future| local.spawn_local(Box::pin(future))).collect();
    local
        .run_until(async {
            for one in running {
                one.await.unwrap();
            }
        })
        .await;
}

pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

pub(crate) fn refuse(status: u16, code: &str) -> Strike {
    Strike::Refuse { status, code: code.to_owned() }
}

/// Makes a claim look as if it was written so many minutes ago.
pub(crate) fn age(output: &Path, minutes: u64) {
    let claim = fs::File::options().write(true).open(output.join("_owner.json")).unwrap();
    claim.set_modified(SystemTime::now() - Duration::from_secs(60 * minutes)).unwrap();
}

/// All files of a directory, hidden ones too, with their bytes.
pub(crate) fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        for entry in fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                // What is just being removed is not there.
                let Ok(bytes) = fs::read(&path) else { continue };
                found.insert(path.strip_prefix(dir).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}
