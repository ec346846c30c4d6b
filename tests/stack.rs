//! The driver on a stack: what CloudFormation says of it is read from ministack's, and its functions run in our Lambda host.
//! The command runs as a user would run it, with nothing but the environment that every AWS tool reads.

use crate::ministack::Ministack;
use crate::support::{Ran, failed, naive_count, run, text};
use crate::{programs, venv};
use kinglet::{Driver, Functions, Jobs, Local};
use kinglet_aws::objects::Replace;
use kinglet_aws::{Clients, Endpoints, Objects};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

/// The stack `kinglet` in us-east-1: servers, functions, outputs, a bucket `shelf` and a bucket `out`.
struct Cloud {
    ministack: Ministack,
    /// Hosts the functions; the jobs are submitted by the command.
    driver: Driver,
    objects: Objects,
    lambda_url: String,
}

/// Outputs as `template.yaml` has them, of what the embedded runtime calls its parts.
fn outputs() -> BTreeMap<&'static str, String> {
    let pairs = [
        ("Version", env!("CARGO_PKG_VERSION")),
        ("Table", "kinglet"),
        ("WorkBucketName", "kinglet-work"),
        ("SplitterName", "kinglet-splitter"),
        ("MapperName", "kinglet-mapper"),
        ("MapperLargeName", "kinglet-mapper-large"),
        ("ReducerName", "kinglet-reducer"),
        ("TimeoutSeconds", "900"),
        ("InputBucketName", "shelf"),
        ("OutputBucketName", "out"),
        ("Architecture", "x86_64"),
        ("MapperMemory", "1769"),
        ("MapperLargeMemory", "3008"),
        ("ReducerMemory", "1769"),
        ("ReservedConcurrency", "3"),
    ];
    let wire = [("Wire", kinglet_core::wire::VERSION.to_string())];
    pairs.map(|(key, value)| (key, value.to_owned())).into_iter().chain(wire).collect()
}

impl Cloud {
    /// `None` where `test` has to be skipped.
    async fn start(test: &str) -> Option<Self> {
        let ministack = Ministack::start(venv::python(test)?);
        kinglet::register(Jobs::of(kinglet_jobs::registry())).unwrap();
        let functions = Functions::Directory(programs::directory().clone());
        let local = Local::new().with_servers(ministack.servers()).with_functions(functions).with_concurrency(3);
        let driver = local.start().await.unwrap();
        let ([s3, dynamodb, lambda], keys) = driver.endpoints().unwrap();
        let lambda_url = lambda.clone();
        let region = kinglet_local::REGION.to_owned();
        let objects = Objects::new(Clients::at(&Endpoints { s3, dynamodb, lambda, region, keys }).s3);
        for bucket in ["shelf", "out"] {
            objects.create_bucket(bucket).await.unwrap();
        }
        let cloud = Cloud { ministack, driver, objects, lambda_url };
        cloud.create_stack("kinglet", "us-east-1", &outputs());
        Some(cloud)
    }

    fn create_stack(&self, name: &str, region: &str, outputs: &BTreeMap<&str, String>) {
        let outputs = outputs.iter().map(|(key, value)| (*key, serde_json::json!({ "Value": value })));
        let template = serde_json::json!({
            // A template needs a resource; this one is nothing but a name.
            "Resources": { "Nothing": { "Type": "AWS::CloudFormation::WaitConditionHandle" } },
            "Outputs": outputs.collect::<BTreeMap<_, _>>(),
        });
        let template = template.to_string();
        let form = [("Action", "CreateStack"), ("StackName", name), ("TemplateBody", &template)];
        let (status, body) = self.post(region, &form);
        assert_eq!(status, 200, "{body}");
        loop {
            let (_, body) = self.post(region, &[("Action", "DescribeStacks"), ("StackName", name)]);
            if body.contains("<StackStatus>CREATE_COMPLETE<") {
                return;
            }
            assert!(body.contains("_IN_PROGRESS<"), "{body}");
        }
    }

    /// A request to CloudFormation. ministack checks no signature, but takes the region from it.
    fn post(&self, region: &str, form: &[(&str, &str)]) -> (u16, String) {
        let encode = |text: &str| {
            let encoded = text.bytes().map(|byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            });
            encoded.collect::<String>()
        };
        let body: Vec<_> = form.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
        let body = format!("{}&Version=2010-05-15", body.join("&"));
        let address = self.ministack.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=test/20260101/{region}/cloudformation/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    async fn put(&self, bucket: &str, key: &str, data: Vec<u8>) {
        self.objects.put(bucket, key, data.into(), Replace::Yes).await.unwrap();
    }

    /// The command, with an environment in which AWS is our servers.
    fn kinglet(&self, args: &[&str]) -> Command {
        let mut command = bare();
        command
            .args(args)
            .env("AWS_ENDPOINT_URL", &self.ministack.url)
            .env("AWS_ENDPOINT_URL_LAMBDA", &self.lambda_url)
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "us-east-1")]);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        run(&mut self.kinglet(args))
    }
}

/// The command in an environment that says nothing of AWS.
fn bare() -> Command {
    let mut command = programs::kinglet();
    command.env_clear().env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_on_the_stack_that_is_named() {
    let Some(cloud) = Cloud::start("a_job_runs_on_the_stack_that_is_named").await else { return };
    let input = text(11, 100_000);
    cloud.put("shelf", "books/a.txt", input.clone()).await;
    let args =
        ["run", "word-count", "s3://shelf/books/", "--output", "s3://out/counts", "--split-bytes", "20000", "--json"];
    // A global option may stand before the command and behind it.
    let before: Vec<&str> = ["--stack", "kinglet"].into_iter().chain(args).collect();
    let behind: Vec<&str> =
        args.into_iter().chain(["--overwrite", "--stack", "kinglet", "--region", "us-east-1"]).collect();
    for args in [before, behind] {
        let ran = cloud.run(&args);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let report: kinglet::Report = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((report.map_tasks, report.output.as_str()), (5, "s3://out/counts"));
        let mut counts = BTreeMap::new();
        for part in cloud.objects.list("out", "counts/part-").await.unwrap() {
            let part = cloud.objects.get("out", &part.key, None).await.unwrap();
            for line in part.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let tab = line.iter().position(|byte| *byte == b'\t').unwrap();
                let count = std::str::from_utf8(&line[tab + 1..]).unwrap().parse().unwrap();
                assert!(counts.insert(line[..tab].to_vec(), count).is_none());
            }
        }
        assert!(counts == naive_count([&input[..]]));
    }
    cloud.driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_stack_is_named() {
    let Some(cloud) = Cloud::start("what_is_wrong_with_a_stack_is_named").await else { return };
    let job = ["run", "word-count", "s3://shelf/books/", "--output", "s3://out/counts"];
    let on = |stack: &str, more: &[&str]| {
        cloud.run(&["--stack", stack].iter().chain(&job).chain(more).copied().collect::<Vec<_>>())
    };
    let hints = |ran: &Ran, hint: &str| assert!(ran.err.contains(hint), "{hint} is not in: {}", ran.err);

    let ran = on("kinglte", &[]);
    failed(&ran, &["there is no stack kinglte in us-east-1"]);
    hints(&ran, "hint: stacks of Kinglet in us-east-1: kinglet; pass --region");
    let ran = on("kinglet", &["--region", "eu-west-1"]);
    failed(&ran, &["there is no stack kinglet in eu-west-1"]);
    hints(&ran, "pass --region if it is elsewhere");

    let with =
        |key: &'static str, value: &str| BTreeMap::from_iter(outputs().into_iter().chain([(key, value.to_owned())]));
    let newer = kinglet_core::wire::VERSION + 1;
    cloud.create_stack("newer", "us-east-1", &with("Wire", &newer.to_string()));
    let ran = on("newer", &[]);
    failed(&ran, &["stack newer speaks wire format 2", "this program 1"]);
    hints(&ran, "hint: this program is older");
    cloud.create_stack("older", "us-east-1", &with("Wire", "0"));
    let ran = on("older", &[]);
    failed(&ran, &["stack older speaks wire format 0"]);
    hints(&ran, "hint: the stack is older: deploy");
    let site = BTreeMap::from([("Url", "https://example.com".to_owned())]);
    cloud.create_stack("site", "us-east-1", &site);
    failed(&on("site", &[]), &["stack site in us-east-1 has no output Version"]);

    // What is there is not touched, and what is not there is named.
    let ran = cloud.run(&["--stack", "kinglet", "run", "word-count", "no-such.txt", "--output", "s3://out/x"]);
    failed(&ran, &["there is no no-such.txt"]);
    let ran = cloud.run(&["--stack", "kinglet", "run", "word-count", "/etc/hostname", "--output", "s3://out/x"]);
    failed(&ran, &["/etc/hostname is on this machine, where the functions cannot reach it"]);
    let ran = cloud.run(&["--stack", "kinglet", "run", "word-count", "s3://shelf/books/", "--output", "here"]);
    failed(&ran, &["here is on this machine"]);
    let ran = cloud.run(&[
        "--stack",
        "kinglet",
        "run",
        "word-count",
        "s3://shelf/books/",
        "--output",
        "s3://no-such-bucket/x",
    ]);
    failed(&ran, &["output s3://no-such-bucket/x", "NoSuchBucket"]);
    failed(&on("kinglet", &[]), &["s3://shelf/books/"]);

    // A function that is gone.
    cloud.put("shelf", "books/a.txt", b"one two".to_vec()).await;
    cloud.create_stack("torn", "us-east-1", &with("SplitterName", "kinglet-gone"));
    let ran = on("torn", &[]);
    failed(&ran, &["invoking function kinglet-gone: there is no such function"]);
    hints(&ran, "hint: deploy the stack again");
    cloud.driver.close().await;
}

#[test]
fn no_region_and_no_credentials_are_said_before_anything_is_sent() {
    let job = ["--stack", "kinglet", "run", "word-count", "s3://shelf/a", "--output", "s3://out/b"];
    let ran = run(bare().args(job));
    failed(&ran, &["no AWS region is set"]);
    assert!(ran.err.contains("hint: pass --region, set AWS_REGION"), "{}", ran.err);
    // Nothing listens at that port: the credentials are missed before it is asked.
    let ran = run(bare().args(job).args(["--region", "us-east-1"]).env("AWS_ENDPOINT_URL", "http://127.0.0.1:1"));
    failed(&ran, &["there are no AWS credentials"]);
    let ran = run(bare().args(job).args(["--region", "us-east-1", "--profile", "nobody"]));
    failed(&ran, &["profile nobody: ", "there are no AWS credentials"]);
}

#[test]
fn options_that_a_stack_cannot_follow_are_refused() {
    let job = ["run", "word-count", "s3://shelf/a", "--output", "s3://out/b"];
    let cases: [(&[&str], &str); 4] = [
        (&["--stack", "s", "--memory-mb", "512"], "--memory-mb is for the embedded runtime: set MapperMemory"),
        (&["--stack", "s", "--timeout", "60"], "set Timeout of stack s"),
        (&["--region", "us-east-1"], "add --stack NAME"),
        (&["--profile", "p"], "add --stack NAME"),
    ];
    for (more, says) in cases {
        let ran = run(bare().args(job).args(more));
        assert_eq!(ran.code, Some(2), "{more:?}: {ran:?}");
        assert!(ran.err.contains(says), "{says} is not in: {}", ran.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_benchmarks_run_on_the_stack_and_leave_nothing_in_its_buckets() {
    let Some(cloud) = Cloud::start("the_benchmarks_run_on_the_stack_and_leave_nothing_in_its_buckets").await else {
        return;
    };
    // The stack's functions may read one bucket and write another: the corpora have to get from one to the other.
    let args = ["--stack", "kinglet", "bench", "--quick", "--sizes", "20kB,60kB", "--tasks", "3", "--json"];
    let ran = cloud.run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let results: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&results["place"], &results["region"]), (&"kinglet".into(), &"us-east-1".into()));
    assert_eq!((results["cases"].as_array().unwrap().len(), &results["bill"]["jobs"]), (5, &6.into()));
    assert_eq!(results["cases"][2]["runs"][0]["report"]["bytes_in"], 20_000);
    for bucket in ["shelf", "out", "kinglet-work"] {
        let left: Vec<_> = cloud.objects.list(bucket, "").await.unwrap().into_iter().map(|object| object.key).collect();
        assert!(left.is_empty(), "{bucket} holds {left:?}");
    }
    let ran = cloud.run(&["--stack", "kinglet", "bench", "--quick", "--at", "here"]);
    failed(&ran, &["here is on this machine", "stack kinglet"]);
    let ran = cloud.run(&["--stack", "kinglet", "bench", "--memory-mb", "512"]);
    assert!(ran.code == Some(2) && ran.err.contains("set MapperMemory"), "{}", ran.err);
}
