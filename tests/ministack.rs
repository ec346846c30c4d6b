//! The same jobs on an S3 and a DynamoDB that are not ours: ministack's, an independent project. The functions run in our
//! Lambda host. Part for part, the same bytes must come out as on the embedded runtime.
//!
//! What runs here also runs on the embedded servers. Where those differ, AWS's documentation settles what Kinglet does:
//!
//! - An empty string in a key condition is refused, by ministack as by AWS; the embedded DynamoDB takes it. Kinglet sends none
//!   (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>).
//! - A bucket of one's own that is created again: 200 in us-east-1 and from ministack, `BucketAlreadyOwnedByYou` elsewhere and
//!   from the embedded S3. Kinglet takes both (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>).
//! - An ETag is an MD5 digest from ministack and no digest at all from the embedded S3. Kinglet only compares them, as S3
//!   promises no more (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html>).

use crate::support::endpoints;
use crate::{programs, venv};
use kinglet::{
    Driver, Error, Local, LocalFunctions, Manifest, OutputFormat, Registry, Report, Result, Servers, Submit,
};
use kinglet_aws::objects::{Completed, Put, Replace, Version};
use kinglet_aws::upload::Upload;
use kinglet_aws::{Clients, Objects};
use kinglet_core::budget::UPLOAD_PART_BYTES;
use kinglet_jobs::WordCount;
use kinglet_local::lambda::{Fault, FaultPlan, FaultRule, When};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

// ---- The server

/// A ministack of its own for a test, with nothing in it. It ends when this is dropped, or when this process ends.
pub(crate) struct Ministack {
    child: Child,
    pub(crate) url: String,
    dir: tempfile::TempDir,
}

/// How often a start is tried: another program may take the port between its choice and its use.
const STARTS: u32 = 5;

/// It takes a second; this is for a machine that is busy with everything else.
const START_WAIT: Duration = Duration::from_secs(120);

impl Ministack {
    pub(crate) fn start(python: &Path) -> Self {
        for _ in 0..STARTS {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let mut server = Self::spawn(python, port);
            if server.wait_until_healthy(port) {
                return server;
            }
        }
        panic!("ministack did not start on {STARTS} ports");
    }

    fn spawn(python: &Path, port: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let child = Command::new(python)
            .arg(venv::script("serve_ministack.py"))
            .env_clear()
            .envs([("BIND_HOST", "127.0.0.1"), ("GATEWAY_PORT", &port.to_string()), ("AWS_ENDPOINT_URL", &url)])
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("LOG_LEVEL", "WARNING")])
            .env("TMPDIR", dir.path())
            .env("HOME", dir.path())
            .current_dir(dir.path())
            // It ends when this pipe is closed.
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        Ministack { child, url, dir }
    }

    /// False when it ended instead.
    fn wait_until_healthy(&mut self, port: u16) -> bool {
        let since = Instant::now();
        loop {
            if self.child.try_wait().unwrap().is_some() {
                eprintln!("ministack ended: {}", self.log());
                return false;
            }
            if is_healthy(port).unwrap_or(false) {
                return true;
            }
            assert!(since.elapsed() < START_WAIT, "ministack does not answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn servers(&self) -> Servers {
        Servers {
            s3_url: self.url.clone(),
            dynamodb_url: self.url.clone(),
            access_key: "test".to_owned(),
            secret_key: "test".to_owned(),
        }
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn is_healthy(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET /_ministack/health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}

// ---- What runs on it

/// A driver, and the objects of the S3 that it uses. The driver goes before its servers do.
struct Stack {
    driver: Driver,
    objects: Objects,
    server: Option<Ministack>,
}

impl Stack {
    async fn embedded() -> Self {
        Self::of(Local::new(), None).await
    }

    /// `None` where `test` has to be skipped.
    async fn ministack(test: &str) -> Option<Self> {
        let server = Ministack::start(venv::python(test)?);
        Some(Self::of(Local::new().with_servers(server.servers()), Some(server)).await)
    }

    async fn of(local: Local, server: Option<Ministack>) -> Self {
        kinglet::register(Registry::of(kinglet_jobs::registry())).unwrap();
        let functions = LocalFunctions::Directory(programs::directory().clone());
        let driver = local
            .with_functions(functions)
            .with_state_dir(programs::state_dir())
            .with_concurrency(4)
            .start()
            .await
            .unwrap();
        let objects = objects(&driver);
        Stack { driver, objects, server }
    }

    async fn upload(&self, bucket: &str, corpus: &[(String, Vec<u8>)]) {
        self.objects.create_bucket(bucket).await.unwrap();
        for (key, data) in corpus {
            self.objects.put(bucket, key, data.clone().into(), Replace::Yes).await.unwrap();
        }
    }

    async fn run(&self, submit: Submit) -> Result<Report> {
        self.driver.submit(&WordCount, submit).await?.wait().await
    }

    /// Runs what has to fail.
    async fn error(&self, submit: Submit) -> Error {
        self.run(submit).await.expect_err("the job has succeeded")
    }

    /// All objects of the bucket `out` below `prefix`, by name.
    async fn output(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        for listed in self.objects.list("out", prefix).await.unwrap() {
            let data = self.objects.get("out", &listed.key, None).await.unwrap();
            assert_eq!(data.len() as u64, listed.size);
            all.insert(listed.key[prefix.len()..].to_owned(), data.to_vec());
        }
        all
    }
}

fn objects(driver: &Driver) -> Objects {
    Objects::new(&Clients::at(&endpoints(driver)))
}

/// About so many bytes of words, some of them not UTF-8, with every kind of white space between them.
fn text(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut text = Vec::new();
    while text.len() < bytes {
        // The multiplier and increment of Knuth's MMIX; the high bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = (state >> 33) as usize;
        match random % 50 {
            0 => text.extend(b"\xff\xfe"),
            1 => text.extend("größe日本".as_bytes()),
            _ => text.extend(format!("w{}", random % 1_000 * (random % 7)).bytes()),
        }
        text.extend([&b" "[..], b"\n", b"\r\n", b"\t", b"\x0c", b"  "][random / 64 % 6]);
    }
    // The last word has nothing behind it.
    text.extend(b"end");
    text
}

/// Objects that are cut, objects that are packed, and one without a byte.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let small = (0..12).map(|n| (format!("books/small-{n:02}.txt"), text(n, 3_000)));
    let mut corpus: Vec<_> = small.collect();
    corpus.push(("books/large.txt".to_owned(), text(100, 400_000)));
    corpus.push(("books/empty.txt".to_owned(), vec![]));
    corpus.push(("books/deep/er/odd name+%.md".to_owned(), text(200, 20_000)));
    corpus.push(("bookshelf".to_owned(), text(300, 5_000)));
    corpus
}

fn count<'a>(texts: impl Iterator<Item = &'a [u8]>) -> BTreeMap<Vec<u8>, u64> {
    let mut counts = BTreeMap::new();
    let white = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\x0c' | b'\r');
    for word in texts.flat_map(|text| text.split(white)).filter(|word| !word.is_empty()) {
        *counts.entry(word.to_vec()).or_default() += 1;
    }
    counts
}

fn counts_of(parts: &BTreeMap<String, Vec<u8>>) -> BTreeMap<Vec<u8>, u64> {
    let lines = parts.iter().filter(|(name, _)| name.starts_with("part-"));
    let lines = lines.flat_map(|(_, part)| part.split_inclusive(|byte| *byte == b'\n'));
    let counts = lines.map(|line| {
        let line = line.strip_suffix(b"\n").unwrap();
        let tab = line.iter().rposition(|byte| *byte == b'\t').unwrap();
        (line[..tab].to_vec(), std::str::from_utf8(&line[tab + 1..]).unwrap().parse().unwrap())
    });
    counts.collect()
}

fn submission(input: &str, output: impl Into<String>, inline_bytes: u64) -> Submit {
    let submit = Submit::new([input], output).with_split_bytes(30_000).with_partitions(3);
    submit.with_concurrency(4).with_inline_bytes(inline_bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_come_out_on_servers_that_are_not_ours() {
    let Some(theirs) = Stack::ministack("the_same_bytes_come_out_on_servers_that_are_not_ours").await else { return };
    let ours = Stack::embedded().await;
    let corpus = corpus();
    for stack in [&ours, &theirs] {
        stack.upload("corpus", &corpus).await;
        stack.objects.create_bucket("out").await.unwrap();
    }
    let all: fn(&str) -> bool = |key| key.starts_with("books/");
    type Case = (&'static str, fn(&str) -> bool);
    let cases: [Case; 6] = [
        ("s3://corpus/books/", all),
        ("s3://corpus/books", all),
        ("s3://corpus", |_| true),
        ("s3://corpus/books/*.txt", |key| key.ends_with(".txt")),
        ("s3://corpus/**/*.{md,rst}", |key| key.ends_with(".md")),
        ("s3://corpus/books/large.txt", |key| key.ends_with("large.txt")),
    ];
    for (n, (input, is_in)) in cases.into_iter().enumerate() {
        let wanted = count(corpus.iter().filter(|(key, _)| is_in(key)).map(|(_, data)| data.as_slice()));
        // All pairs through DynamoDB, and then all through S3.
        for (way, inline_bytes) in [("dynamodb", u64::MAX), ("s3", 0)] {
            let output = format!("{n}/{way}");
            let mut seen = Vec::new();
            for stack in [&ours, &theirs] {
                let submit = submission(input, format!("s3://out/{output}"), inline_bytes);
                let report = stack.run(submit).await.unwrap_or_else(|e| panic!("{input} by {way}: {e}"));
                let kinglet::RunPlaces { inline, object, empty, .. } = report.runs;
                assert_eq!((if way == "s3" { inline } else { object }, empty), (0, 0), "{input} by {way}");
                let mut parts = stack.output(&format!("{output}/")).await;
                let manifest = parts.remove("_manifest.json").unwrap();
                let manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
                let listed: Vec<_> = manifest.parts.iter().map(|part| part.name.clone()).collect();
                assert_eq!(parts.keys().cloned().collect::<Vec<_>>(), listed);
                assert_eq!(listed.len(), 3);
                // The names carry the job, which is another each time.
                let plain = |name: &str| name[.."part-00000".len()].to_owned();
                let parts: BTreeMap<String, Vec<u8>> =
                    parts.into_iter().map(|(name, bytes)| (plain(&name), bytes)).collect();
                let entries = manifest.parts.into_iter();
                let entries = entries.map(|part| (plain(&part.name), part.bytes, part.records, part.crc32));
                let splits = manifest.splits.into_iter().map(|split| (split.ranges, split.records, split.crc32));
                seen.push((parts, entries.collect::<Vec<_>>(), splits.collect::<Vec<_>>(), report.map_tasks));
            }
            let theirs = seen.pop().unwrap();
            let ours = seen.pop().unwrap();
            assert_eq!(counts_of(&theirs.0), wanted, "{input} by {way}");
            assert!(theirs == ours, "{input} by {way} gives other bytes than on the embedded runtime");
            assert!(theirs.3 > 10 || n == 4, "{input} is cut into {} splits", theirs.3);
        }
    }
    ours.driver.close().await;
    theirs.driver.close().await;
}

/// What a value's folder is called is a key in requests, in listings of objects and of uploads, and in what is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn folders_of_any_name_come_and_go_on_servers_that_are_not_ours() {
    let test = "folders_of_any_name_come_and_go_on_servers_that_are_not_ours";
    let Some(theirs) = Stack::ministack(test).await else { return };
    let ours = Stack::embedded().await;
    const WORDS: [(&str, &str); 9] = [
        ("plain", "plain"),
        ("../x", "..%2Fx"),
        ("50%", "50%25"),
        ("%41", "%2541"),
        ("a+b", "a+b"),
        ("é,~!$;@", "é,~!$;@"),
        ("a=b&c?d#e", "a%3Db%26c%3Fd%23e"),
        ("<\"'>", "%3C%22%27%3E"),
        ("__HIVE_DEFAULT_PARTITION__", "%5F_HIVE_DEFAULT_PARTITION__"),
    ];
    for stack in [&ours, &theirs] {
        let text = WORDS.map(|(word, _)| word).join(" ");
        stack.upload("corpus", &[("in.txt".to_owned(), format!("{text} {text}\n").into_bytes())]).await;
        stack.objects.create_bucket("out").await.unwrap();
        let format = |by: &str| OutputFormat::json_lines().with_columns(["word", "count"]).with_partition_by([by]);
        let submit = |by: &str| submission("s3://corpus/in.txt", "s3://out/words", 0).with_output_format(format(by));
        stack.run(submit("word")).await.unwrap();
        let first = stack.output("words/").await;
        let folders: BTreeSet<&str> = first.keys().filter_map(|name| Some(name.rsplit_once('/')?.0)).collect();
        let want = WORDS.map(|(_, folder)| format!("word={folder}"));
        assert_eq!(folders, want.iter().map(String::as_str).collect());
        assert!(first.iter().all(|(name, bytes)| name == "_manifest.json" || bytes == b"{\"count\":2}\n"));
        // What nobody has committed is found by its name, and so is what is replaced.
        stack.run(submit("count").with_overwrite()).await.unwrap();
        let second = stack.output("words/").await;
        let folders: BTreeSet<&str> = second.keys().filter_map(|name| Some(name.rsplit_once('/')?.0)).collect();
        assert_eq!(folders, BTreeSet::from(["count=2"]), "{:?}", second.keys());
        let error =
            stack.error(submit("word").with_output_format(format("word").with_files_max(1)).with_overwrite()).await;
        assert_eq!(error.code(), "output-files", "{error}");
        assert_eq!(stack.output("words/").await, second);
        assert_eq!(stack.objects.uploads("out", "").await.unwrap(), []);
    }
    ours.driver.close().await;
    theirs.driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_on_servers_that_are_not_ours() {
    let Some(theirs) = Stack::ministack("what_is_wrong_is_named_on_servers_that_are_not_ours").await else { return };
    let ours = Stack::embedded().await;
    for stack in [&ours, &theirs] {
        stack.upload("corpus", &corpus()[..2]).await;
        stack.objects.create_bucket("out").await.unwrap();
        let books = |output: &str| submission("s3://corpus/books/", output, 0);

        for (input, code, named) in [
            ("s3://no-such-bucket/books/", "bucket-missing", "no-such-bucket"),
            ("s3://no-such-bucket/one.txt", "bucket-missing", "no-such-bucket"),
            ("s3://corpus/nothing/", "input-missing", "s3://corpus/nothing/"),
            ("s3://corpus/books/none.txt", "input-missing", "s3://corpus/books/none.txt"),
            ("s3://corpus/books/*.none", "input-missing", "s3://corpus/books/*.none"),
        ] {
            let error = stack.error(Submit::new([input], "s3://out/failed")).await;
            assert_eq!(error.code(), code, "{input}: {error}");
            assert!(error.to_string().contains(named), "{input}: {error}");
            assert_eq!(stack.output("failed").await.len(), 0);
        }
        let error = stack.error(books("s3://no-such-bucket/out")).await;
        assert_eq!(error.code(), "bucket-missing", "{error}");
        let error = stack.error(books("s3://corpus/books/out")).await;
        assert_eq!(error.code(), "output-inside-input", "{error}");

        stack.run(books("s3://out/taken")).await.unwrap();
        let before = stack.output("taken/").await;
        let error = stack.error(books("s3://out/taken")).await;
        assert_eq!(error.code(), "output-exists", "{error}");
        assert_eq!(stack.output("taken/").await, before);
        // Fewer parts than before: none of the old ones may be left.
        stack.run(books("s3://out/taken").with_partitions(2).with_overwrite()).await.unwrap();
        let after = stack.output("taken/").await;
        let names: Vec<_> = after.keys().map(|name| &name[..name.len().min("part-00000".len())]).collect();
        assert_eq!(names, ["_manifest.", "part-00000", "part-00001"]);
        assert!(before.keys().all(|name| name == "_manifest.json" || !after.contains_key(name)));
        assert_eq!(counts_of(&after), counts_of(&before));
    }
    ours.driver.close().await;
    theirs.driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_changes_fails_the_job_on_servers_that_are_not_ours() {
    let test = "an_input_that_changes_fails_the_job_on_servers_that_are_not_ours";
    let Some(stack) = Stack::ministack(test).await else { return };
    stack.upload("corpus", &corpus()[..2]).await;
    stack.objects.create_bucket("out").await.unwrap();
    // No mapper starts before the object has changed, and by then the splitter has listed it.
    let host = stack.driver.runtime().unwrap().host();
    let function = Some("kinglet-mapper".to_owned());
    let rule = FaultRule { fault: Fault::Throttle, function, when: When::Probability(1.0), budget: u64::MAX };
    host.set_faults(FaultPlan { seed: 0, rules: vec![rule] });
    let submit = submission("s3://corpus/books/", "s3://out/changed", 0);
    let job = stack.driver.submit(&WordCount, submit).await.unwrap();
    while host.fault_counts()[0].fired == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Of the same length: only its ETag tells.
    let (key, data) = &corpus()[1];
    let changed: Vec<u8> = data.iter().map(|byte| if *byte == b'w' { b'v' } else { *byte }).collect();
    stack.objects.put("corpus", key, changed.into(), Replace::Yes).await.unwrap();
    host.set_faults(FaultPlan::default());

    let error = job.wait().await.expect_err("the job has succeeded");
    assert_eq!(error.code(), "object-changed", "{error}");
    assert!(error.to_string().contains(&format!("s3://corpus/{key}")), "{error}");
    assert_eq!(stack.output("changed").await.len(), 0);
    stack.driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_behave_alike_on_servers_that_are_not_ours() {
    let Some(theirs) = Stack::ministack("objects_behave_alike_on_servers_that_are_not_ours").await else { return };
    let ours = Stack::embedded().await;
    for stack in [&ours, &theirs] {
        objects_behave(&stack.objects).await;
    }
    ours.driver.close().await;
    theirs.driver.close().await;
}

/// An upload that is left open is no object; it is completed once or aborted once, and on a condition if there is one.
async fn open_uploads_behave(objects: &Objects, bucket: &str, large: &[u8]) {
    let left_open = async |key: &str, bytes: &[u8]| {
        let mut upload = Upload::new(objects, bucket, key);
        for block in bytes.chunks(1 << 20) {
            upload.push(bytes::Bytes::copy_from_slice(block)).await.unwrap();
        }
        upload.leave_open().await.unwrap()
    };
    for (key, bytes) in [("open-large", large), ("open-small", b"some bytes"), ("open-empty", b"")] {
        let upload = left_open(key, bytes).await;
        assert_eq!(objects.head(bucket, key).await.unwrap(), None, "{key}");
        let under_way = objects.uploads(bucket, key).await.unwrap();
        assert_eq!(
            under_way.iter().map(|left| (&left.key[..], &left.id[..])).collect::<Vec<_>>(),
            [(key, &upload.id[..])]
        );
        let Completed::Done(etag) = objects.complete(bucket, key, &upload, &Replace::No).await.unwrap() else {
            panic!("{key}: nothing was there")
        };
        let there = objects.head(bucket, key).await.unwrap().unwrap();
        assert_eq!((there.etag.clone(), there.size), (etag.clone(), bytes.len() as u64), "{key}");
        // Too late for either.
        objects.abort_upload(bucket, key, &upload.id).await.unwrap();
        assert_eq!(objects.head(bucket, key).await.unwrap(), Some(there), "{key}");

        let refused = left_open(key, b"others").await;
        assert_eq!(objects.complete(bucket, key, &refused, &Replace::No).await.unwrap(), Completed::Refused, "{key}");
        let other = Replace::Only("\"0123456789abcdef0123456789abcdef\"".to_owned());
        assert_eq!(objects.complete(bucket, key, &refused, &other).await.unwrap(), Completed::Refused, "{key}");
        let done = objects.complete(bucket, key, &refused, &Replace::Only(etag.clone())).await.unwrap();
        assert!(matches!(done, Completed::Done(_)), "{key}: {done:?}");

        let aborted = left_open(key, b"never").await;
        objects.abort_upload(bucket, key, &aborted.id).await.unwrap();
        assert_eq!(objects.complete(bucket, key, &aborted, &Replace::Yes).await.unwrap(), Completed::Gone, "{key}");
        assert_eq!(objects.read_small(bucket, key).await.unwrap().unwrap().bytes, "others", "{key}");
        // Only the version that is meant is deleted.
        assert!(!objects.delete_version(bucket, key, &etag).await.unwrap(), "{key}");
        let stale = Version { key: key.to_owned(), etag: Some(etag) };
        objects.delete_versions(bucket, vec![stale]).await.unwrap();
        let there = objects.head(bucket, key).await.unwrap().unwrap();
        objects.delete_versions(bucket, vec![Version { key: key.to_owned(), etag: Some(there.etag) }]).await.unwrap();
        assert_eq!(objects.head(bucket, key).await.unwrap(), None, "{key}");
    }
}

/// What Kinglet relies on in an S3, through the functions that it uses.
async fn objects_behave(objects: &Objects) {
    let bucket = "behaves";
    objects.create_bucket(bucket).await.unwrap();

    assert_eq!(objects.head(bucket, "once").await.unwrap(), None);
    let Put::Written(etag) = objects.put(bucket, "once", "one".into(), Replace::No).await.unwrap() else {
        panic!("nothing was there")
    };
    assert_eq!(objects.put(bucket, "once", "two".into(), Replace::No).await.unwrap(), Put::Refused);
    let head = objects.head(bucket, "once").await.unwrap().unwrap();
    assert_eq!((head.etag.as_str(), head.size), (etag.as_str(), 3));
    assert_eq!(objects.list(bucket, "once").await.unwrap(), [head]);

    let racing = (0..16).map(|n| {
        let objects = objects.clone();
        tokio::spawn(async move { objects.put(bucket, "raced", format!("{n}").into(), Replace::No).await.unwrap() })
    });
    let mut written = 0;
    for put in racing.collect::<Vec<_>>() {
        written += u32::from(put.await.unwrap() != Put::Refused);
    }
    assert_eq!(written, 1);

    // Large enough for an upload in parts.
    let large = text(1, UPLOAD_PART_BYTES + 1_000);
    let mut upload = Upload::new(objects, bucket, "large");
    for block in large.chunks(1 << 20) {
        upload.push(bytes::Bytes::copy_from_slice(block)).await.unwrap();
    }
    upload.finish().await.unwrap();
    open_uploads_behave(objects, bucket, &large).await;
    let large_etag = objects.head(bucket, "large").await.unwrap().unwrap().etag;
    let (from, to) = (UPLOAD_PART_BYTES as u64 - 10, UPLOAD_PART_BYTES as u64 + 10);
    for etag in [None, Some(large_etag.as_str())] {
        let mut reader = objects.read(bucket, "large", etag, from, to, "large");
        let mut got = Vec::new();
        while let Some(block) = reader.next().await.unwrap() {
            got.extend(block);
        }
        assert_eq!(got, large[from as usize..to as usize]);
    }
    let another = objects.read(bucket, "large", Some(&etag), from, to, "large").next().await.unwrap_err();
    assert_eq!(another.code(), "object-changed", "{another}");
    let missing = objects.get(bucket, "not-there", None).await.unwrap_err();
    assert_eq!(missing.code(), "object-missing", "{missing}");
    let gone = objects.read(bucket, "not-there", Some(&etag), 0, 1, "gone").next().await.unwrap_err();
    assert_eq!(gone.code(), "object-changed", "{gone}");

    let mut keys: Vec<String> = (0..1_100).map(|n| format!("many/{n:04}")).collect();
    keys.extend(["many/ a+b%20c".to_owned(), "many/日本".to_owned(), "many/&<>\"'".to_owned()]);
    keys.sort();
    for key in &keys {
        objects.put(bucket, key, "x".into(), Replace::Yes).await.unwrap();
    }
    let listed: Vec<_> = objects.list(bucket, "many/").await.unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(listed, keys);
    objects.delete(bucket, &[keys.clone(), vec!["many/not-there".to_owned()]].concat()).await.unwrap();
    assert_eq!(objects.list(bucket, "many/").await.unwrap(), []);
}

/// A second driver on servers that keep their data failed: the bucket and the table were there already.
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_starts_again_on_servers_that_keep_their_data() {
    let Some(mut stack) = Stack::ministack("a_driver_starts_again_on_servers_that_keep_their_data").await else {
        return;
    };
    stack.upload("corpus", &corpus()[..2]).await;
    stack.objects.create_bucket("out").await.unwrap();
    let submit = |output: &str| submission("s3://corpus/books/", output, u64::MAX);
    stack.run(submit("s3://out/first")).await.unwrap();
    let server = stack.server.take().unwrap();
    stack.driver.close().await;

    let again = Stack::of(Local::new().with_servers(server.servers()), Some(server)).await;
    again.run(submit("s3://out/second")).await.unwrap();
    let (first, second) = (again.output("first/").await, again.output("second/").await);
    assert_eq!(counts_of(&first), counts_of(&second));
    again.driver.close().await;
}
