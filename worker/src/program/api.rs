//! The Lambda Runtime API for one child, on loopback: what `lambda_runtime` in the child asks for, and no more.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kinglet_core::limits::INVOKE_SYNC_BYTES_MAX;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const PREFIX: &str = "/2018-06-01/runtime/";

/// One event for the child.
pub(super) struct Delivered {
    pub(super) request_id: String,
    pub(super) deadline_ms: u64,
    pub(super) arn: String,
    pub(super) trace_id: Option<String>,
    pub(super) payload: Bytes,
}

/// A message of the child.
#[derive(Debug)]
pub(super) enum Said {
    /// It waits for an event.
    Ready,
    /// It has fetched the event.
    Taken,
    /// Its answer to the event.
    Response(Bytes),
    /// The event failed, or the child cannot start; an error document.
    Error(Bytes),
}

/// The server, which runs until it is dropped.
pub(super) struct Api {
    pub(super) address: SocketAddr,
    deliver: mpsc::UnboundedSender<Delivered>,
    said: mpsc::UnboundedReceiver<Said>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    deliveries: tokio::sync::Mutex<mpsc::UnboundedReceiver<Delivered>>,
    /// The request id of the event that has no answer yet.
    current: Mutex<Option<String>>,
    /// Whether the child has asked for an event. It has then started, and can only fail events.
    asked: AtomicBool,
    say: mpsc::UnboundedSender<Said>,
}

type Reply = Response<Full<Bytes>>;

impl Api {
    /// Starts a server on a port that the system chooses.
    pub(super) fn start() -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (deliver, deliveries) = mpsc::unbounded_channel();
        let (say, said) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            deliveries: deliveries.into(),
            current: Mutex::default(),
            asked: AtomicBool::new(false),
            say,
        });
        let server = tokio::spawn(serve(listener, shared));
        Ok(Api { address, deliver, said, server })
    }

    /// Hands an event to the child, which gets it when it asks next.
    pub(super) fn deliver(&self, event: Delivered) {
        // The receiver lives as long as the server.
        let _ = self.deliver.send(event);
    }

    /// Waits for the child's next message.
    pub(super) async fn said(&mut self) -> Said {
        match self.said.recv().await {
            Some(said) => said,
            None => std::future::pending().await,
        }
    }

    /// Returns a message that the child has sent already.
    pub(super) fn has_said(&mut self) -> Option<Said> {
        self.said.try_recv().ok()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Replies are single small writes that somebody waits for.
                    let _ = stream.set_nodelay(true);
                    let shared = shared.clone();
                    let service = service_fn(move |request| {
                        let shared = shared.clone();
                        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
                    });
                    connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection of the shipped program");
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let path = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    match (head.method, path) {
        (Method::GET, "invocation/next") => next(shared).await,
        (Method::POST, "init/error") if shared.asked.load(Ordering::Relaxed) => reply(StatusCode::FORBIDDEN),
        (Method::POST, "init/error") => take(shared, None, body, Said::Error).await,
        (Method::POST, path) => match path.strip_prefix("invocation/").and_then(|rest| rest.split_once('/')) {
            Some((id, "response")) => take(shared, Some(id), body, Said::Response).await,
            Some((id, "error")) => take(shared, Some(id), body, Said::Error).await,
            _ => reply(StatusCode::NOT_FOUND),
        },
        _ => reply(StatusCode::NOT_FOUND),
    }
}

async fn next(shared: &Shared) -> Reply {
    if current(shared).is_some() {
        return reply(StatusCode::FORBIDDEN);
    }
    shared.asked.store(true, Ordering::Relaxed);
    let _ = shared.say.send(Said::Ready);
    let Some(event) = shared.deliveries.lock().await.recv().await else {
        return reply(StatusCode::GONE);
    };
    *current(shared) = Some(event.request_id.clone());
    let _ = shared.say.send(Said::Taken);
    let mut reply = Response::new(Full::new(event.payload));
    let headers = reply.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("lambda-runtime-deadline-ms", event.deadline_ms.into());
    let texts = [
        ("lambda-runtime-aws-request-id", Some(event.request_id)),
        ("lambda-runtime-invoked-function-arn", Some(event.arn)),
        ("lambda-runtime-trace-id", event.trace_id),
    ];
    for (name, text) in texts {
        // Lambda sent these values as headers too, so they are valid ones.
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(name, value);
        }
    }
    reply
}

/// Takes an answer to an event. Only the first answer to the open event counts.
async fn take(shared: &Shared, id: Option<&str>, body: Incoming, said: fn(Bytes) -> Said) -> Reply {
    let Ok(body) = Limited::new(body, INVOKE_SYNC_BYTES_MAX).collect().await else {
        return reply(StatusCode::PAYLOAD_TOO_LARGE);
    };
    if let Some(id) = id {
        let mut current = current(shared);
        if current.as_deref() != Some(id) {
            return reply(StatusCode::BAD_REQUEST);
        }
        *current = None;
    }
    let _ = shared.say.send(said(body.to_bytes()));
    reply(StatusCode::ACCEPTED)
}

fn current(shared: &Shared) -> std::sync::MutexGuard<'_, Option<String>> {
    shared.current.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reply(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from_static(b"{}")));
    *reply.status_mut() = status;
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// Sends a request as a child does, on a connection of its own, and returns the status.
    async fn ask(address: SocketAddr, what: &'static str) -> String {
        let asked = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            let (method, path) = what.split_once(' ').unwrap();
            let request = format!("{method} {PREFIX}{path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).unwrap();
            String::from_utf8_lossy(&status[9..]).into_owned()
        });
        asked.await.unwrap()
    }

    #[tokio::test]
    async fn a_child_answers_the_event_that_it_has_and_no_other() {
        let mut api = Api::start().unwrap();
        let at = api.address;
        assert_eq!(ask(at, "POST init/error").await, "202");
        assert!(matches!(api.said().await, Said::Error(_)));
        let next = tokio::spawn(ask(at, "GET invocation/next"));
        assert!(matches!(api.said().await, Said::Ready));
        assert_eq!(ask(at, "POST init/error").await, "403", "it has started");
        let (arn, trace_id, payload) = ("arn".to_owned(), None, Bytes::from_static(b"{}"));
        api.deliver(Delivered { request_id: "one".to_owned(), deadline_ms: 1, arn, trace_id, payload });
        assert!(matches!(api.said().await, Said::Taken));
        assert_eq!(next.await.unwrap(), "200");
        assert_eq!(ask(at, "GET invocation/next").await, "403", "it has one");
        assert_eq!(ask(at, "POST invocation/two/response").await, "400");
        assert_eq!(ask(at, "POST invocation/one/response").await, "202");
        assert_eq!(ask(at, "POST invocation/one/error").await, "400");
        assert!(matches!((api.said().await, api.has_said()), (Said::Response(_), None)));
    }
}
