//! A server on loopback and a client of a few lines that signs its requests: enough to test over real HTTP without the
//! SDK, which only one crate of the workspace may name.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use s3s::crypto::{Checksum as _, Sha256};
use s3s::dto::{Timestamp, TimestampFormat};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::s3::{BucketKind, Keys, Store, serve};

const ACCESS_KEY: &str = "local-access";
pub(super) const SECRET_KEY: &str = "local-secret";

pub(super) struct Server {
    address: SocketAddr,
    store: Arc<Store>,
    dir: Option<TempDir>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub(super) fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let keys = Keys { access_key: ACCESS_KEY.to_owned(), secret_key: SECRET_KEY.to_owned() };
        let served = store.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                serve(listener, served, keys, async { drop(stopped.await) }).await;
            });
        });
        Self { address, store, dir: Some(dir), stop: Some(stop), thread: Some(thread) }
    }

    /// Starts a server with a bucket of this kind.
    pub(super) fn with(kind: impl FnOnce(&Path) -> BucketKind) -> Self {
        let server = Self::start();
        server.store.create_bucket("test-bucket", kind(server.dir())).unwrap();
        server
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.as_ref().unwrap().path()
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Stops the server and drops its store, and returns the directory that it was in.
    pub(super) fn keep_dir(mut self) -> TempDir {
        self.dir.take().unwrap()
    }

    pub(super) fn get(&self, key: &str, headers: &[(&str, &str)]) -> Response {
        self.request("GET", key, "", headers, b"")
    }

    pub(super) fn put(&self, key: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.request("PUT", key, "", headers, body)
    }

    /// Lists with a `query` in canonical form: encoded, sorted, and with a `=` for each name.
    pub(super) fn list(&self, query: &str) -> Response {
        self.request("GET", "", query, &[], b"")
    }

    pub(super) fn request(
        &self,
        method: &str,
        key: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        Response::read(self.send(SECRET_KEY, method, key, query, headers, body))
    }

    pub(super) fn send(
        &self,
        secret: &str,
        method: &str,
        key: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> TcpStream {
        let mut stream = self.begin(secret, method, key, query, headers, body.len());
        stream.write_all(body).unwrap();
        stream
    }

    /// Sends a request up to its body, of which it announces `body_bytes`.
    pub(super) fn begin(
        &self,
        secret: &str,
        method: &str,
        key: &str,
        query: &str,
        headers: &[(&str, &str)],
        body_bytes: usize,
    ) -> TcpStream {
        let path = format!("/test-bucket/{}", percent(key));
        let (now, host) = (now(), self.address.to_string());
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:{now}\n\n\
             host;x-amz-content-sha256;x-amz-date\nUNSIGNED-PAYLOAD"
        );
        let scope = format!("{}/us-east-1/s3/aws4_request", &now[..8]);
        let to_sign = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{}", hex(&Sha256::checksum(canonical.as_bytes())));
        let mut signing = format!("AWS4{secret}").into_bytes();
        for part in scope.split('/') {
            signing = hmac(&signing, part.as_bytes()).to_vec();
        }
        let signature = hex(&hmac(&signing, to_sign.as_bytes()));
        let mut head = format!(
            "{method} {path}?{query} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {body_bytes}\r\n\
             x-amz-date: {now}\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n\
             authorization: AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}\r\n"
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub(super) struct Response {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// Reads to the end of the connection, however that comes.
    pub(super) fn read(mut stream: TcpStream) -> Self {
        let (mut all, mut buf) = (Vec::new(), vec![0; 64 << 10]);
        while let Ok(got @ 1..) = stream.read(&mut buf) {
            all.extend_from_slice(&buf[..got]);
        }
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a response has a head");
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        Self { status: head.split(' ').nth(1).unwrap().parse().unwrap(), body: all.split_off(end + 4), head }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(super) fn etag(&self) -> &str {
        self.header("etag").unwrap()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Returns the contents of all elements of this name.
    pub(super) fn elements(&self, name: &str) -> Vec<String> {
        let text = self.text();
        let (start, end) = (format!("<{name}>"), format!("</{name}>"));
        text.split(&start).skip(1).filter_map(|rest| Some(rest.split_once(&end)?.0.to_owned())).collect()
    }

    pub(super) fn code(&self) -> String {
        self.elements("Code").pop().unwrap_or_default()
    }
}

pub(super) fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn now() -> String {
    let mut text = Vec::new();
    Timestamp::from(SystemTime::now()).format(TimestampFormat::DateTime, &mut text).unwrap();
    let digits: String = String::from_utf8(text).unwrap().replace(['-', ':'], "");
    format!("{}Z", &digits[..15])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the HMAC of RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::checksum(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::checksum(&[block.map(|byte| byte ^ 0x36).as_slice(), message].concat());
    Sha256::checksum(&[block.map(|byte| byte ^ 0x5c).as_slice(), &inner].concat())
}
