//! The driver on a stack: what CloudFormation says of it is read from ministack's, and its functions run in our Lambda host.
//! The command runs as a user would run it, with nothing but the environment that every AWS tool reads.

use crate::bench::check_lines;
use crate::ministack::Ministack;
use crate::support::{Ran, endpoints, failed, naive_count, run, text};
use crate::{programs, venv};
use kinglet::measure::Measure;
use kinglet::{Aws, Driver, Local, LocalFunctions, Registry};
use kinglet_aws::objects::Replace;
use kinglet_aws::{Clients, Objects};
use kinglet_local::lambda::{Fault, FaultPlan, FaultRule};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

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
        kinglet::register(Registry::of(kinglet_jobs::registry())).unwrap();
        let functions = LocalFunctions::Directory(programs::directory().clone());
        let local = Local::new().with_servers(ministack.servers()).with_functions(functions);
        let local = local.with_state_dir(programs::state_dir()).with_concurrency(3);
        let driver = local.start().await.unwrap();
        let endpoints = endpoints(&driver);
        let objects = Objects::new(&Clients::at(&endpoints));
        let lambda_url = endpoints.lambda;
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

    /// A request of the JSON protocol.
    fn post_json(&self, target: &str, body: &serde_json::Value) -> u16 {
        let headers = format!("Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: {target}");
        self.send("POST /", ("us-east-1", "logs"), &headers, &body.to_string()).0
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
        let headers = "Content-Type: application/x-www-form-urlencoded";
        self.send("POST /", (region, "cloudformation"), headers, &body)
    }

    /// Makes the stack's mapper known to ministack's Lambda, with so much memory.
    fn create_mapper(&self, region: &str, memory_mb: u32) {
        let body = serde_json::json!({
            "FunctionName": "kinglet-mapper", "Role": "arn:aws:iam::000000000000:role/mapper", "Runtime": "provided.al2023",
            "Handler": "bootstrap", "MemorySize": memory_mb,
            // An archive of nothing.
            "Code": { "ZipFile": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==" },
        });
        let line = "POST /2015-03-31/functions";
        let (status, answer) = self.send(line, (region, "lambda"), "Content-Type: application/json", &body.to_string());
        assert_eq!(status, 201, "{answer}");
    }

    /// The memory of the stack's mapper, as ministack's Lambda has it.
    fn mapper_memory_mb(&self, region: &str) -> u64 {
        let line = "GET /2015-03-31/functions/kinglet-mapper/configuration";
        let (_, answer) = self.send(line, (region, "lambda"), "Accept: application/json", "");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let described: serde_json::Value = serde_json::from_str(body).unwrap();
        described["MemorySize"].as_u64().unwrap()
    }

    fn send(&self, line: &str, (region, service): (&str, &str), headers: &str, body: &str) -> (u16, String) {
        let address = self.ministack.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{region}/{service}/aws4_request, SignedHeaders=host, \
             Signature=0\r\n\r\n{body}",
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
        self.at(command.args(args), &self.lambda_url);
        command
    }

    /// Gives a command an environment in which AWS is our servers.
    fn at<'a>(&self, command: &'a mut Command, lambda_url: &str) -> &'a mut Command {
        command
            .env("AWS_ENDPOINT_URL", &self.ministack.url)
            .env("AWS_ENDPOINT_URL_LAMBDA", lambda_url)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "us-east-1")])
    }

    fn run(&self, args: &[&str]) -> Ran {
        run(&mut self.kinglet(args))
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        serde_json::from_str(&ran.out).unwrap()
    }

    /// Writes a line for each of these tasks to the log groups of CloudWatch.
    fn log(&self, job: &str, tasks: &[(&str, &str, u32)]) {
        let now = kinglet::Timestamp::now().0;
        for (n, (function, stage, task)) in tasks.iter().enumerate() {
            let line = serde_json::json!({
                "timestamp": "2026-11-21T07:14:53.001Z", "level": "INFO", "message": "task ended", "requestId": "8f50",
                "job": job, "stage": stage, "task": task, "piece": 0, "attempt": 0, "Records": 5, "JobName": "word-count",
            });
            let (group, stream) = (format!("/aws/lambda/{function}"), format!("{job}-{n}"));
            let at = now + n as u64;
            let named = serde_json::json!({ "logGroupName": group, "logStreamName": stream });
            let mut events = named.clone();
            events["logEvents"] = serde_json::json!([{ "timestamp": at, "message": line.to_string() }]);
            // Another line may have made the group.
            self.post_json("Logs_20140328.CreateLogGroup", &serde_json::json!({ "logGroupName": group }));
            self.post_json("Logs_20140328.CreateLogStream", &named);
            assert_eq!(self.post_json("Logs_20140328.PutLogEvents", &events), 200);
        }
    }
}

/// The command in an environment that says nothing of AWS.
fn bare() -> Command {
    let mut command = programs::kinglet();
    command
        .env_clear()
        .env(kinglet_core::env::STATE_DIR, "")
        .env("HOME", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true");
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
    failed(&ran, &[&format!("stack newer speaks wire format {newer}"), &format!("this program {}", newer - 1)]);
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

/// A server that answers every request alike, with bytes that AWS documents and ministack cannot be brought to say.
struct Says {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Says {
    fn start(answer: impl Fn(&str) -> (&'static str, Vec<(&'static str, String)>, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = asked.clone();
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let (mut head, mut line) = (String::new(), String::new());
                while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                    head.push_str(&std::mem::take(&mut line));
                }
                let length = head
                    .to_lowercase()
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                let _ = stream.read_exact(&mut body);
                heard.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
                let (status, headers, body) = answer(&head);
                let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let _ = write!(
                    stream.get_mut(),
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
                    body.len()
                );
            }
        });
        Says { url, asked }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// An error as services of the query protocol give it.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/CommonErrors.html>
fn query_error(status: &'static str, code: &str, message: &str) -> (&'static str, Vec<(&'static str, String)>, String) {
    let body = format!(
        "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>e1</RequestId></ErrorResponse>"
    );
    (status, vec![("Content-Type", "text/xml".to_owned())], body)
}

/// An error as S3 gives it. <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
fn s3_error(
    status: &'static str,
    code: &str,
    message: &str,
    more: &str,
) -> (&'static str, Vec<(&'static str, String)>, String) {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{more}\
         <RequestId>e1</RequestId><HostId>h1</HostId></Error>"
    );
    (
        status,
        vec![("Content-Type", "application/xml".to_owned()), ("x-amz-bucket-region", "eu-west-1".to_owned())],
        body,
    )
}

#[test]
fn credentials_that_aws_does_not_take_are_told_apart() {
    let cases = [
        (
            "ExpiredToken",
            "The security token included in the request is expired",
            "the credentials have expired",
            "aws sso login",
        ),
        (
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
            "InvalidClientTokenId",
            "get-caller-identity",
        ),
        (
            "SignatureDoesNotMatch",
            "Signature expired: 20261121T070000Z is now earlier than 20261121T071500Z (20261121T073000Z - 15 min.)",
            "Signature expired",
            "clock",
        ),
        (
            "AccessDenied",
            "User: u is not authorized to perform: cloudformation:DescribeStacks",
            "access denied",
            "permission",
        ),
    ];
    for (code, message, says, hint) in cases {
        let server = Says::start(move |_| query_error("403 Forbidden", code, message));
        let ask = |command: &[&str]| {
            let mut asking = bare();
            asking
                .args(["--stack", "kinglet", "--region", "us-east-1"])
                .args(command)
                .env("AWS_ENDPOINT_URL", &server.url);
            run(asking.envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_SESSION_TOKEN", "c")]))
        };
        let ran = ask(&["jobs"]);
        failed(&ran, &["looking for stack kinglet in us-east-1", says]);
        assert!(ran.err.contains(hint), "{hint} is not in: {}", ran.err);
        assert_eq!(server.asked(), 1, "{code} is not asked again");
        let ran = ask(&["doctor"]);
        assert_eq!(ran.code, Some(1));
        assert!(ran.out.contains("problem  credentials") && ran.out.contains(says), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_closed_or_elsewhere_is_named() {
    let Some(cloud) = Cloud::start("a_bucket_that_is_closed_or_elsewhere_is_named").await else { return };
    let run_on = |s3: &Says| {
        let job = ["--stack", "kinglet", "run", "word-count", "s3://shelf/books/", "--output", "s3://out/x"];
        run(cloud.kinglet(&job).env("AWS_ENDPOINT_URL_S3", &s3.url))
    };
    let denied = "User: arn:aws:iam::123456789012:user/u is not authorized to perform: s3:ListBucket";
    let ran = run_on(&Says::start(move |_| s3_error("403 Forbidden", "AccessDenied", denied, "")));
    failed(&ran, &["output s3://out/x", "access denied", "s3:ListBucket"]);
    assert!(ran.err.contains("hint: the role or user"), "{}", ran.err);

    let moved = "The bucket you are attempting to access must be addressed using the specified endpoint.";
    let endpoint = "<Endpoint>out.s3.eu-west-1.amazonaws.com</Endpoint><Bucket>out</Bucket>";
    let wrong = "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'";
    let answers = [
        ("301 Moved Permanently", "PermanentRedirect", moved, endpoint),
        ("400 Bad Request", "AuthorizationHeaderMalformed", wrong, "<Region>eu-west-1</Region>"),
    ];
    for (status, code, message, more) in answers {
        let ran = run_on(&Says::start(move |_| s3_error(status, code, message, more)));
        failed(&ran, &["output s3://out/x", "the bucket is in eu-west-1, and us-east-1 was asked"]);
        assert!(ran.err.contains("hint: use a stack in eu-west-1"), "{}", ran.err);
    }
    cloud.driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_account_is_asked_again_and_then_said() {
    let Some(cloud) = Cloud::start("a_throttled_account_is_asked_again_and_then_said").await else { return };
    cloud.put("shelf", "books/a.txt", b"one two one".to_vec()).await;
    let job = |output| ["--stack", "kinglet", "run", "word-count", "s3://shelf/books/", "--output", output];
    // <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors>
    let busy = Says::start(|_| {
        let body = r#"{"Reason":"CallerRateLimitExceeded","Type":"User","message":"Rate Exceeded."}"#;
        let headers =
            vec![("x-amzn-ErrorType", "TooManyRequestsException".to_owned()), ("Retry-After", "0".to_owned())];
        ("429 Too Many Requests", headers, body.to_owned())
    });
    let ran =
        run(cloud.kinglet(&job("s3://out/a")).env("AWS_ENDPOINT_URL_LAMBDA", &busy.url).env("AWS_MAX_ATTEMPTS", "2"));
    failed(&ran, &["invoking function kinglet-splitter: throttled: TooManyRequestsException"]);
    assert!(ran.err.contains("hint: too much runs at once for the account's limits"), "{}", ran.err);
    assert_eq!(busy.asked(), 2);
    // What was said to have failed does not start later.
    let status = cloud.json(&["--stack", "kinglet", "status", "last", "--json"]);
    assert_eq!((&status["phase"], &status["error"]["Service"]["code"]), (&"failed".into(), &"throttled".into()));

    let host = cloud.driver.runtime().unwrap().host();
    host.set_faults(FaultPlan { seed: 0, rules: vec![FaultRule::nth("kinglet-splitter", 0, Fault::Throttle)] });
    let ran = cloud.run(&job("s3://out/b"));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(host.fault_counts()[0].fired, 1);
    cloud.driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_stack_are_looked_after_by_whoever_names_them() {
    let Some(cloud) = Cloud::start("jobs_of_a_stack_are_looked_after_by_whoever_names_them").await else { return };
    cloud.put("shelf", "books/a.txt", text(3, 1_000_000)).await;
    let on = |args: &[&str]| ["--stack", "kinglet"].iter().chain(args).map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
    let json = |args: &[&str]| {
        let args = on(args);
        cloud.json(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let ran = |args: &[&str]| run(cloud.kinglet(&[]).args(on(args)));
    assert_eq!(ran(&["jobs"]).err, "no jobs\n");
    failed(&ran(&["status", "last"]), &["there are no jobs in table kinglet"]);
    failed(&ran(&["attach", "19aa5440eb0-f0a9c3d5e7ab"]), &["there is no job 19aa5440eb0-f0a9c3d5e7ab"]);
    failed(&ran(&["logs", "not a job"]), &["there is no job \"not a job\""]);

    // The driver dies; the job goes on, and another driver follows it to its end.
    let start = |output: &str| {
        let args = on(&["run", "word-count", "s3://shelf/books/", "--output", output, "--split-bytes", "4000"]);
        let mut driver = cloud.kinglet(&[]).args(args).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(driver.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with("mapping: ")));
        driver.kill().unwrap();
        driver.wait().unwrap();
    };
    // Interrupted, it says which job goes on, and how to get at it.
    let args = on(&["run", "word-count", "s3://shelf/books/", "--output", "s3://out/left", "--split-bytes", "4000"]);
    let mut driver = cloud.kinglet(&[]).args(args).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(driver.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    assert!(lines.any(|line| line.starts_with("mapping: ")));
    rustix::process::kill_process(rustix::process::Pid::from_child(&driver), rustix::process::Signal::INT).unwrap();
    let said: Vec<String> = lines.collect();
    assert_eq!(driver.wait().unwrap().code(), Some(130), "{said:?}");
    let status = json(&["status", "last", "--json"]);
    let id = status["job"].as_str().unwrap();
    assert!(said.contains(&format!("job {id} goes on, on stack kinglet in us-east-1")), "{said:?}");
    let hint = said.iter().find(|line| line.starts_with("hint: ")).unwrap();
    let commands: Vec<&str> = hint.split('`').skip(1).step_by(2).collect();
    let [attach, cancel] = &commands[..] else { panic!("{hint}") };
    for (command, code) in [(cancel, 0), (attach, 1)] {
        let ran = cloud.run(&command.split(' ').skip(1).collect::<Vec<_>>());
        assert_eq!(ran.code, Some(code), "{command}: {ran:?}");
    }
    ran(&["clean", "--older-than", "0s"]);

    start("s3://out/followed");
    let status = json(&["status", "last", "--json"]);
    assert_eq!((&status["name"], &status["progress"]["maps"][1]), (&"word-count".into(), &250.into()));
    assert_eq!(ran(&["clean", "--older-than", "0s"]).out, "", "a job that runs is left alone");
    let report = json(&["attach", "last", "--json"]);
    assert_eq!((&report["phase"], &report["map_tasks"]), (&"succeeded".into(), &250.into()));
    assert!(cloud.objects.head("out", "followed/_manifest.json").await.unwrap().is_some());

    start("s3://out/cancelled");
    let cancelled = ran(&["cancel", "last"]);
    assert!(cancelled.code == Some(0) && cancelled.err.contains("is cancelled"), "{cancelled:?}");
    let attached = ran(&["attach", "last"]);
    assert!(attached.code == Some(1) && attached.err.contains("was cancelled"), "{attached:?}");
    let jobs = json(&["jobs", "--json"]);
    let phases: Vec<_> = jobs.as_array().unwrap().iter().map(|job| job["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["succeeded", "cancelled"]);
    assert!(jobs[0]["ended_at"].as_u64() > jobs[0]["submitted_at"].as_u64());

    // The functions' lines, as CloudWatch keeps them.
    let id = jobs[0]["job"].as_str().unwrap();
    cloud.log(id, &[("kinglet-mapper", "map", 3), ("kinglet-mapper", "map", 4), ("kinglet-reducer", "reduce", 0)]);
    cloud.log("19aa5440eb0-f0a9c3d5e7ab", &[("kinglet-mapper", "map", 3)]);
    let lines = ran(&["logs", id]);
    assert_eq!((lines.code, lines.out.lines().count()), (Some(0), 3), "{lines:?}");
    assert!(lines.out.contains("kinglet-reducer reduce 0 INFO task ended Records=5"), "{}", lines.out);
    let lines = ran(&["logs", id, "--task", "3", "--follow", "--json"]);
    let line: serde_json::Value = serde_json::from_str(lines.out.trim()).unwrap();
    assert_eq!((&line["job"], &line["task"], &line["stage"]), (&id.into(), &3.into(), &"map".into()));

    let would = json(&["clean", "--older-than", "0s", "--dry-run", "--json"]);
    assert_eq!((would["jobs"].as_array().unwrap().len(), would["items"].as_u64()), (2, Some(0)));
    assert!(!cloud.objects.list("kinglet-work", "jobs/").await.unwrap().is_empty());
    assert_eq!(ran(&["clean"]).out, "", "both were over less than an hour ago");
    let cleaned = json(&["clean", "--older-than", "0s", "--json"]);
    assert_eq!(
        (&cleaned["jobs"], &cleaned["objects"], &cleaned["bytes"]),
        (&would["jobs"], &would["objects"], &would["bytes"])
    );
    assert!(cleaned["items"].as_u64() > Some(20));
    assert_eq!(cloud.objects.list("kinglet-work", "jobs/").await.unwrap(), []);
    assert_eq!(ran(&["jobs"]).err, "no jobs\n");
    assert!(cloud.objects.head("out", "followed/_manifest.json").await.unwrap().is_some(), "outputs stay");
    cloud.driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tries_what_jobs_need() {
    let Some(cloud) = Cloud::start("the_doctor_tries_what_jobs_need").await else { return };
    let examine = |stack: &str| {
        let ran = cloud.run(&["--stack", stack, "doctor", "--json"]);
        let found: Vec<kinglet::Finding> = serde_json::from_str(&ran.out).unwrap();
        (ran.code, found)
    };
    let (code, found) = examine("kinglet");
    let of = |check: &str| found.iter().filter(|finding| finding.check == check).collect::<Vec<_>>();
    for check in
        ["region", "credentials", "clock", "stack", "version", "work-bucket", "table", "input", "output", "logs"]
    {
        assert_eq!(
            of(check).iter().map(|finding| finding.level).collect::<Vec<_>>(),
            [kinglet::Level::Ok],
            "{check}: {found:?}"
        );
    }
    // Our Lambda host answers no questions about its functions but whether they can be invoked.
    assert_eq!(
        of("functions").iter().filter(|finding| finding.level == kinglet::Level::Problem).count(),
        0,
        "{found:?}"
    );
    assert_eq!(code, Some(0), "{found:?}");
    // The bucket and the table are bare here: what the template sets is missed.
    let missed: String = of("settings").iter().map(|finding| finding.message.as_str()).collect();
    for what in ["without TLS", "intermediate data expire", "unfinished uploads", "TTL is off"] {
        assert!(missed.contains(what), "{what}: {found:?}");
    }
    // Nothing of what was tried is left.
    assert_eq!(cloud.objects.list("kinglet-work", "").await.unwrap(), []);

    let with =
        |key: &'static str, value: &str| BTreeMap::from_iter(outputs().into_iter().chain([(key, value.to_owned())]));
    for (stack, key, value, check, says) in [
        ("no-bucket", "WorkBucketName", "no-such-bucket", "work-bucket", "NoSuchBucket"),
        ("no-table", "Table", "no-such-table", "table", "no-such-table"),
        ("no-input", "InputBucketName", "no-such-bucket", "input", "no-such-bucket"),
        ("no-function", "MapperName", "kinglet-gone", "functions", "kinglet-gone"),
    ] {
        cloud.create_stack(stack, "us-east-1", &with(key, value));
        let (code, found) = examine(stack);
        assert_eq!(code, Some(1), "{found:?}");
        let problem = |finding: &&kinglet::Finding| finding.level == kinglet::Level::Problem && finding.check == check;
        let problem = found.iter().find(problem).unwrap_or_else(|| panic!("{stack}: {found:?}"));
        assert!(problem.message.contains(says) && problem.hint.is_some(), "{problem:?}");
    }
    let ran = cloud.run(&["--stack", "none", "doctor"]);
    assert!(ran.code == Some(1) && ran.out.contains("problem  stack         there is no stack none"), "{ran:?}");
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
}

#[test]
fn a_profile_that_is_named_is_signed_in_by_or_missed() {
    let home = tempfile::tempdir().unwrap();
    let files = home.path().join(".aws");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("config"), "[profile empty]\nregion = us-east-1\n[profile work]\n").unwrap();
    std::fs::write(files.join("credentials"), "[work]\naws_access_key_id = WORK\naws_secret_access_key = s\n").unwrap();
    let keys: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = keys.clone();
    let server = Says::start(move |head| {
        let key = head.split_once("Credential=").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        heard.lock().unwrap().push(key.to_owned());
        query_error("403 Forbidden", "AccessDenied", "not you")
    });
    let ask = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = bare();
        command.args(["--stack", "kinglet", "--region", "us-east-1", "jobs"]).args(args).env("HOME", home.path());
        let ran = run(command.env("AWS_ENDPOINT_URL", &server.url).envs(variables.iter().copied()));
        (ran, std::mem::take(&mut *keys.lock().unwrap()))
    };
    let in_environment = [("AWS_ACCESS_KEY_ID", "OTHER"), ("AWS_SECRET_ACCESS_KEY", "s")];
    // Of these two the profile was asked for, and otherwise the keys stand first, as with every AWS tool.
    let (ran, keys) = ask(&["--profile", "work"], &in_environment);
    failed(&ran, &["access denied"]);
    assert_eq!(keys, ["WORK"]);
    assert_eq!(ask(&[], &in_environment).1, ["OTHER"]);

    // Keys of the environment do not stand in for those that a profile lacks, nor for a profile that there is not.
    let (ran, keys) = ask(&["--profile", "empty"], &in_environment);
    failed(&ran, &["profile empty: ", "there are no AWS credentials"]);
    assert!(keys.is_empty(), "{keys:?}");
    let of_variable = [("AWS_PROFILE", "wrok"), in_environment[0], in_environment[1]];
    for (args, variables) in [(&["--profile", "wrok"][..], &in_environment[..]), (&[], &of_variable)] {
        let (ran, keys) = ask(args, variables);
        failed(&ran, &["there is no profile wrok in ~/.aws/config or ~/.aws/credentials"]);
        assert!(ran.err.contains("hint: the profiles are empty, work"), "{}", ran.err);
        assert!(keys.is_empty(), "{keys:?}");
    }
}

/// What is tried as often as other requests takes half a minute of silence.
#[test]
fn an_endpoint_that_cannot_be_reached_is_tried_a_few_times() {
    let tries: Arc<Mutex<u32>> = Arc::default();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let counted = tries.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            *counted.lock().unwrap() += 1;
            drop(stream);
        }
    });
    for command in ["jobs", "doctor"] {
        let mut asking = bare();
        asking.args(["--stack", "kinglet", "--region", "us-east-1", command]).env("AWS_ENDPOINT_URL", &url);
        let ran = run(asking.envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            format!("{}{}", ran.out, ran.err).contains("check the network, the region and the endpoint"),
            "{ran:?}"
        );
        assert_eq!(std::mem::take(&mut *tries.lock().unwrap()), 3, "{command}");
    }
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
    // Six are the cases' and their corpora's, and four hold functions to see how fast more of them begin.
    assert_eq!((results["cases"].as_array().unwrap().len(), &results["bill"]["jobs"]), (5, &10.into()));
    assert_eq!(results["cases"][2]["runs"][0]["report"]["bytes_in"], 20_000);
    for bucket in ["shelf", "out", "kinglet-work"] {
        let left: Vec<_> = cloud.objects.list(bucket, "").await.unwrap().into_iter().map(|object| object.key).collect();
        assert!(left.is_empty(), "{bucket} holds {left:?}");
    }
    // The services were measured with it, and of all its jobs nothing is left in the ledger.
    check_lines(&results["services"]);
    assert!(results["services"].as_array().unwrap().iter().any(|line| line["name"] == "function-read"));
    assert_eq!(cloud.json(&["--stack", "kinglet", "jobs", "--json"]), serde_json::json!([]));
    let ran = cloud.run(&["--stack", "kinglet", "bench", "--quick", "--at", "here"]);
    failed(&ran, &["here is on this machine", "stack kinglet"]);
    let ran = cloud.run(&["--stack", "kinglet", "bench", "--memory-mb", "512"]);
    assert!(ran.code == Some(2) && ran.err.contains("set MapperMemory"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_measurement_that_is_interrupted_leaves_nothing() {
    let Some(cloud) = Cloud::start("a_measurement_that_is_interrupted_leaves_nothing").await else { return };
    // Once among the requests to the services, and once while a job runs.
    for (until, args) in [
        ("S3: conditions, races and uploads", &["--stack", "kinglet", "bench", "--services", "--quick"][..]),
        ("3 functions at once", &["--stack", "kinglet", "bench", "--services", "--quick"]),
        ("make corpus-3MB", &["--stack", "kinglet", "bench", "--quick", "--sizes", "3MB,9MB"]),
    ] {
        let mut child = cloud.kinglet(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap());
        assert!(lines.any(|line| line == until), "{until} was not said");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let said: Vec<String> = lines.collect();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{said:?}");
        assert!(said.iter().any(|line| line == "removing what was measured with"), "{said:?}");
        assert!(!said.iter().any(|line| line.contains("goes on")), "{said:?}");
        for bucket in ["shelf", "out", "kinglet-work"] {
            let left: Vec<_> =
                cloud.objects.list(bucket, "").await.unwrap().into_iter().map(|object| object.key).collect();
            assert!(left.is_empty(), "{until}: {bucket} holds {left:?}");
            assert_eq!(cloud.objects.uploads(bucket, "").await.unwrap(), [], "{until}: {bucket}");
        }
        assert_eq!(cloud.json(&["--stack", "kinglet", "jobs", "--json"]), serde_json::json!([]), "{until}");
    }
    cloud.driver.close().await;
}

#[test]
#[ignore = "the test below runs it, in a process of its own"]
fn two_mappers_of_one_name_in_two_regions() {
    let code = kinglet::main(Registry::new(), async || {
        let connect = async |region| Aws::new("kinglet").with_region(region).connect().await;
        let (here, there) = (connect("us-east-1").await?, connect("eu-west-1").await?);
        let (here, there) = (Measure::on(&here), Measure::on(&there));
        for memory_mb in [512, 640] {
            here.set_mapper_memory_mb(memory_mb).await?;
            there.set_mapper_memory_mb(memory_mb + 1).await?;
        }
        there.restore_mapper_memory().await?;
        assert_eq!((here.mapper_memory_mb().await?, there.mapper_memory_mb().await?), (640, 300));
        // Of any driver of the same stack.
        Measure::on(&connect("us-east-1").await?).restore_mapper_memory().await?;
        assert_eq!((here.mapper_memory_mb().await?, there.mapper_memory_mb().await?), (200, 300));

        here.set_mapper_memory_mb(700).await?;
        there.set_mapper_memory_mb(800).await?;
        println!("\nboth are changed");
        std::future::pending().await
    });
    assert_eq!(code, std::process::ExitCode::from(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mappers_of_two_stacks_each_get_their_own_memory_back() {
    let Some(cloud) = Cloud::start("the_mappers_of_two_stacks_each_get_their_own_memory_back").await else { return };
    cloud.create_stack("kinglet", "eu-west-1", &outputs());
    let memory_mb = || (cloud.mapper_memory_mb("us-east-1"), cloud.mapper_memory_mb("eu-west-1"));
    cloud.create_mapper("us-east-1", 200);
    cloud.create_mapper("eu-west-1", 300);
    assert_eq!(memory_mb(), (200, 300));

    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "stack::two_mappers_of_one_name_in_two_regions", "--ignored", "--nocapture"]);
    let mut child = cloud.at(&mut command, &cloud.ministack.url).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "both are changed"));
    assert_eq!(memory_mb(), (700, 800));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(memory_mb(), (200, 300));
    cloud.driver.close().await;
}
