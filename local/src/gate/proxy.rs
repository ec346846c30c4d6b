//! One gate: a reverse proxy of HTTP/1.1 with one connection to the server for each connection of a client.
//!
//! Each request is handled in a task of its own: hyper drops a handler whose client has gone, and a held request must still
//! arrive then. To close a connection without a reply, the handler fails: hyper then writes nothing.

use super::{Held, Request, Rules, Service, Strike, operation::operation};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http1::{self as client, SendRequest};
use hyper::server::conn::http1 as server;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio::task::JoinSet;

/// Larger bodies are not searched for a rule's text.
const MATCHED_BYTES_MAX: u64 = 1 << 20;
/// The limit of the embedded S3, too.
const CONNECTIONS_MAX: usize = 4_096;
/// The pause after `accept` failed, which is nearly always "too many open files".
const ACCEPT_RETRY_MS: u64 = 20;
/// The pause between half a body and the end of its connection: what is written must be flushed before the body fails.
const HALF_BODY_FLUSH_MS: u64 = 20;

type Body = UnsyncBoxBody<Bytes, io::Error>;
type Reply = io::Result<Response<Body>>;

/// Listens for a service whose server is at `url`, and returns the URL to use in its place.
pub(super) async fn open(
    service: Service,
    url: &str,
    rules: Arc<Rules>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<String> {
    let (authority, path) = authority(url)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let gate_url = format!("http://{}{path}", listener.local_addr()?);
    let gate = Gate { service, authority: authority.into(), rules };
    tokio::spawn(serve(listener, gate, stop));
    Ok(gate_url)
}

/// Returns the host and port to connect to, and the path that the URL has besides.
fn authority(url: &str) -> io::Result<(String, &str)> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("no gate can stand before {url:?}: not http"));
    let rest = url.strip_prefix("http://").ok_or_else(invalid)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let parsed: http::uri::Authority = authority.parse().map_err(|_| invalid())?;
    Ok((format!("{}:{}", parsed.host(), parsed.port_u16().unwrap_or(80)), path.trim_end_matches('/')))
}

#[derive(Clone)]
struct Gate {
    service: Service,
    authority: Arc<str>,
    rules: Arc<Rules>,
}

async fn serve(listener: TcpListener, gate: Gate, stop: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accept = async {
            let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok::<_, io::Error>((stream, slot))
        };
        let accepted = tokio::select! {
            () = &mut stop => return,
            accepted = accept => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((stream, slot)) => {
                let gate = gate.clone();
                connections.spawn(async move {
                    connection(stream, gate).await;
                    drop(slot);
                });
            }
            Err(err) => {
                tracing::warn!(%err, "accepting a connection to a gate");
                tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, gate: Gate) {
    let backend: Arc<Backend> = Arc::new(Backend { authority: gate.authority.clone(), sender: Mutex::new(None) });
    let handler = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let (gate, backend) = (gate.clone(), backend.clone());
        let handled = tokio::spawn(async move { gate.handle(request, &backend).await });
        async move { handled.await.unwrap_or_else(|err| Err(io::Error::other(err))) }
    });
    let served = server::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), handler).await;
    if let Err(err) = served {
        // Mostly a strike of ours, or a client that went away.
        tracing::debug!(%err, "a connection to a gate");
    }
}

impl Gate {
    async fn handle(&self, request: http::Request<Incoming>, backend: &Backend) -> Reply {
        let plan = self.rules.plan();
        let operation = operation(self.service, request.method(), request.uri(), request.headers()).to_owned();
        if !plan.concerns(self.service, &operation) {
            return backend.send(request.map(|body| body.map_err(io::Error::other).boxed_unsync())).await;
        }
        let (head, body) = request.into_parts();
        let mut seen = Request { service: self.service, operation, target: head.uri.to_string(), body: String::new() };
        let is_small = body.size_hint().upper().is_some_and(|bytes| bytes <= MATCHED_BYTES_MAX);
        let mut body = body.map_err(io::Error::other).boxed_unsync();
        if is_small {
            let bytes = body.collect().await?.to_bytes();
            seen.body = std::str::from_utf8(&bytes).unwrap_or("").to_owned();
            body = whole(bytes);
        }
        let method = head.method.clone();
        let strike = plan.decide(&seen);
        match &strike {
            Some(Strike::LoseRequest) => return Err(io::Error::other("the request was lost on purpose")),
            Some(Strike::Refuse { status, code }) => {
                // The body is read to its end: a client that still sends would see its connection break instead of the error.
                while let Some(frame) = body.frame().await {
                    frame?;
                }
                return Ok(refusal(self.service, &method, *status, code));
            }
            Some(Strike::Delay(delay)) => tokio::time::sleep(*delay).await,
            Some(Strike::HoldBefore) => {
                body = whole(body.collect().await?.to_bytes());
                self.hold(seen.clone()).await?;
            }
            _ => {}
        }
        let mut reply = backend.send(http::Request::from_parts(head, body)).await?;
        match strike {
            Some(Strike::LoseReply) => {
                // Only the end of the reply says that the work is done.
                while let Some(Ok(_)) = reply.body_mut().frame().await {}
                Err(io::Error::other("the reply was lost on purpose"))
            }
            Some(Strike::HalfBody) => {
                let end = async {
                    tokio::time::sleep(Duration::from_millis(HALF_BODY_FLUSH_MS)).await;
                    io::Error::other("the other half was lost on purpose")
                };
                half(reply, end).await
            }
            Some(Strike::StallBody) => half(reply, std::future::pending()).await,
            Some(Strike::Measure) => {
                let bytes = reply.body().size_hint().lower();
                self.rules.measured.fetch_add(bytes, Ordering::Relaxed);
                Ok(reply)
            }
            Some(Strike::HoldAfter) => {
                self.hold(seen).await?;
                Ok(reply)
            }
            _ => Ok(reply),
        }
    }

    /// Waits until the test has decided.
    async fn hold(&self, request: Request) -> io::Result<()> {
        let (decision, decided) = oneshot::channel();
        // If nobody can decide, the request goes on, as it does when the decision is dropped.
        let _ = self.rules.held.send(Held { request, decision });
        match decided.await {
            Ok(_) => Err(io::Error::other("the held request was lost on purpose")),
            Err(_) => Ok(()),
        }
    }
}

/// The connection to the server, opened by the first request, and reopened after the server has closed it.
struct Backend {
    authority: Arc<str>,
    sender: Mutex<Option<SendRequest<Body>>>,
}

impl Backend {
    async fn send(&self, request: http::Request<Body>) -> Reply {
        let mut sender = self.sender.lock().await;
        let mut kept = sender.take();
        if let Some(open) = &mut kept
            && open.ready().await.is_err()
        {
            kept = None;
        }
        let open = match kept {
            Some(open) => open,
            None => self.connect().await.inspect_err(|err| {
                tracing::warn!(%err, server = %self.authority, "connecting a gate to its server");
            })?,
        };
        let reply = sender.insert(open).send_request(request).await.map_err(io::Error::other)?;
        Ok(reply.map(|body| body.map_err(io::Error::other).boxed_unsync()))
    }

    async fn connect(&self) -> io::Result<SendRequest<Body>> {
        let stream = TcpStream::connect(&*self.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            if let Err(err) = connection.await {
                tracing::debug!(%err, "a connection from a gate to its server");
            }
        });
        Ok(sender)
    }
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Returns the reply with the first half of its body, after which the connection breaks when `end` has come.
async fn half(reply: Response<Body>, end: impl Future<Output = io::Error> + Send + 'static) -> Reply {
    let (mut head, body) = reply.into_parts();
    let bytes = body.collect().await?.to_bytes();
    if bytes.is_empty() {
        return Err(io::Error::other("the reply, which has no body, was lost on purpose"));
    }
    head.headers.remove(header::TRANSFER_ENCODING);
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let first = bytes.slice(..bytes.len() / 2);
    let frames = stream::once(async { Ok(Frame::data(first)) }).chain(stream::once(end.map(Err)));
    Ok(Response::from_parts(head, StreamBody::new(frames).boxed_unsync()))
}

/// Returns an error in the service's format.
fn refusal(service: Service, method: &Method, status: u16, code: &str) -> Response<Body> {
    const MESSAGE: &str = "refused on purpose by a gate";
    let (content_type, body) = match service {
        Service::S3 => {
            let code = code.replace('&', "&amp;").replace('<', "&lt;");
            let xml = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{MESSAGE}</Message>\
                 <RequestId>gate</RequestId></Error>"
            );
            ("application/xml", xml)
        }
        Service::DynamoDb => {
            let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
            let json = serde_json::json!({ "__type": kind, "message": MESSAGE });
            ("application/x-amz-json-1.0", json.to_string())
        }
    };
    let body = if *method == Method::HEAD { String::new() } else { body };
    let mut reply = Response::new(whole(body.into()));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}
