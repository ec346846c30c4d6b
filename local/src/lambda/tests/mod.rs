//! The host against real processes: a Python script that speaks the Runtime API plays the worker, and a few lines of raw
//! HTTP play the SDK. Nothing here depends on how fast the machine is: waits end at an event, with a generous limit.
//!
//! * [`invoke`]: synchronous invocations, their limits and their errors
//! * [`events`]: `Event` invocations, retries, failure records, concurrency
//! * [`lifecycle`]: processes that crash, hang, grow, and end with the host
//! * [`hurt`]: injected faults

mod events;
mod hurt;
mod invoke;
mod lifecycle;

use super::*;
use crate::signature::{self, Keys};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use std::{collections::HashMap, path::PathBuf, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

/// The longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Stands for the headers that sign a request.
const SIGNED: &str = "signed";

fn keys() -> Keys {
    Keys { access_key: "test-key".to_owned(), secret_key: "test-secret".to_owned() }
}

/// A host with its directory.
struct Rig {
    dir: TempDir,
    host: Host,
}

/// An HTTP response.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Returns the error document of a function error.
    fn function_error(&self) -> Value {
        assert_eq!((self.status, self.header("x-amz-function-error")), (200, "Unhandled"), "{self:?}");
        self.json()
    }

    fn log(&self) -> String {
        String::from_utf8(BASE64.decode(self.header("x-amz-log-result")).unwrap()).unwrap()
    }
}

/// Returns a function that the Python worker plays, with ample time and enough memory for an interpreter.
fn function(name: &str) -> Function {
    let path = std::env::var_os("PATH").unwrap();
    let python = std::env::split_paths(&path).map(|dir| dir.join("python3")).find(|file| file.exists());
    let mut function = Function::new(name, python.expect("python3 on the PATH"));
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/lambda/tests/worker.py");
    function.args = vec![script.into()];
    function.timeout = Duration::from_secs(300);
    function
}

impl Rig {
    /// Starts a host with quick retries and a long init phase, changed as the test wants.
    async fn start(functions: Vec<Function>, change: impl FnOnce(&mut HostOptions)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = HostOptions::new(dir.path().join("host"), keys());
        options.async_retry_delays = vec![Duration::from_millis(10); 2];
        options.init_timeout = PATIENCE;
        change(&mut options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = Host::start(listener, options, functions).await.unwrap();
        Self { dir, host }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn send(&self, line: &str, headers: &[&str], body: &[u8]) -> Answer {
        let address = self.host.endpoint().strip_prefix("http://").unwrap().to_owned();
        send(address, line, headers, body).await
    }

    async fn invoke(&self, function: &str, event: Value) -> Answer {
        self.invoke_with(function, &["x-amz-log-type: Tail"], event).await
    }

    async fn invoke_event(&self, function: &str, event: Value) {
        let answer = self.invoke_with(function, &["x-amz-invocation-type: Event"], event).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    async fn invoke_with(&self, function: &str, headers: &[&str], event: Value) -> Answer {
        let line = format!("POST /2015-03-31/functions/{function}/invocations");
        let headers: Vec<_> = headers.iter().copied().chain([SIGNED]).collect();
        self.send(&line, &headers, event.to_string().as_bytes()).await
    }

    /// Waits until nothing runs, waits or is to be retried.
    async fn quiet(&self) {
        eventually("the host is quiet", || self.host.pending() == 0).await;
    }

    fn lines(&self, name: &str) -> usize {
        std::fs::read_to_string(self.path(name)).unwrap_or_default().lines().count()
    }
}

async fn send(address: String, line: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for header in headers {
        match *header {
            SIGNED => {
                for header in signature::tests::signed(line, "localhost", body, "lambda", &keys()) {
                    head += &format!("{header}\r\n");
                }
            }
            header => head += &format!("{header}\r\n"),
        }
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    let end = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a complete head");
    let head = std::str::from_utf8(&reply[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Answer { status, headers: lines.filter_map(pair).collect(), body: reply[end + 4..].to_vec() }
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Returns whether a process runs. A zombie, which only waits to be reaped, does not.
fn is_running(pid: u32) -> bool {
    let output = std::process::Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8(output.stdout).unwrap();
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

fn pid(answer: &Answer, field: &str) -> u32 {
    u32::try_from(answer.json()[field].as_u64().unwrap_or_else(|| panic!("{answer:?}"))).unwrap()
}
