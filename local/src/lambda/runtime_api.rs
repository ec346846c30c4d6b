//! The Lambda Runtime API of one environment (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).
//!
//! `next` is a long poll: its reply is the next event. When the host dies the poll breaks, and `lambda_runtime` ends the
//! process; that is how idle workers end with the host.
//!
//! The protocol has no signatures. So that no other process of the machine takes or answers events, the worker is told an address
//! with a random first segment of the path, which its environment alone holds: `http://127.0.0.1:PORT/<random>`. AWS's own has
//! neither scheme nor path; `lambda_runtime` takes an address with a path only if it has a scheme.

use super::{
    http::{Body, Reply, json, json_bytes, read_body, serve as serve_connection},
    limits::SYNC_PAYLOAD_BYTES_MAX,
    lock::lock,
    messages::{Delivery, Event},
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
    task::JoinSet,
};

/// Where the process is in its loop.
pub(super) struct State {
    /// What stands before every call: the random segment and the API's own path.
    prefix: String,
    progress: Mutex<Progress>,
    delivered: Notify,
    events: mpsc::UnboundedSender<Event>,
}

#[derive(Default)]
struct Progress {
    /// Whether the owner was told that the process waits.
    ready: bool,
    /// The invocation that was given to the environment and that the process has not fetched.
    pending: Option<Delivery>,
    /// The request id of the invocation that the process has fetched and not answered.
    current: Option<Arc<str>>,
}

impl State {
    /// Returns the state of a process that is told the path `secret`.
    pub(super) fn new(secret: &str, events: mpsc::UnboundedSender<Event>) -> Self {
        let prefix = format!("/{secret}/2018-06-01/runtime/");
        Self { prefix, progress: Mutex::default(), delivered: Notify::new(), events }
    }

    /// Hands an invocation to a process that is ready.
    pub(super) fn deliver(&self, delivery: Delivery) {
        lock(&self.progress).pending = Some(delivery);
        self.delivered.notify_one();
    }

    /// Takes an invocation back, if the process has not fetched it.
    pub(super) fn take_back(&self) -> Option<Delivery> {
        lock(&self.progress).pending.take()
    }

    /// Returns whether the process is in its init phase or runs an invocation.
    pub(super) fn is_busy(&self) -> bool {
        let progress = lock(&self.progress);
        !progress.ready || progress.pending.is_some()
    }

    fn tell(&self, event: Event) {
        // If the owner is gone, it has killed this environment.
        let _ = self.events.send(event);
    }
}

/// Serves the process until the task is dropped, with all its connections.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let state = state.clone();
                    connections.spawn(serve_connection(stream, move |request| answer(state.clone(), request)));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a worker's connection");
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let Some(path) = head.uri.path().strip_prefix(&state.prefix) else {
        return not_found();
    };
    let state = &*state;
    match (head.method, path) {
        (Method::GET, "invocation/next") => next(state).await,
        (Method::POST, "init/error") => init_error(state, &head.headers, body).await,
        (Method::POST, path) => match path.strip_prefix("invocation/").and_then(|rest| rest.split_once('/')) {
            Some((id, "response")) => response(state, id, body).await,
            Some((id, "error")) => error(state, id, &head.headers, body).await,
            _ => not_found(),
        },
        _ => not_found(),
    }
}

async fn next(state: &State) -> Reply {
    {
        let mut progress = lock(&state.progress);
        if progress.current.is_some() {
            return refuse(StatusCode::FORBIDDEN, "InvalidStateTransition", "the invocation has not been answered");
        }
        if !progress.ready {
            progress.ready = true;
            state.tell(Event::Ready);
        }
    }
    loop {
        // If the delivery comes between this check and the wait, the wait returns at once.
        if let Some(delivery) = fetch(state) {
            return event(delivery);
        }
        state.delivered.notified().await;
    }
}

fn fetch(state: &State) -> Option<Delivery> {
    let mut progress = lock(&state.progress);
    let delivery = progress.pending.take()?;
    progress.ready = false;
    progress.current = Some(delivery.request_id.clone());
    Some(delivery)
}

fn event(delivery: Delivery) -> Reply {
    let mut reply = json_bytes(StatusCode::OK, delivery.payload);
    let headers = reply.headers_mut();
    // Ids are made here, of letters, digits and hyphens.
    if let Ok(id) = HeaderValue::from_str(&delivery.request_id) {
        headers.insert("lambda-runtime-aws-request-id", id);
    }
    headers.insert("lambda-runtime-deadline-ms", delivery.deadline_ms.into());
    headers.insert("lambda-runtime-invoked-function-arn", delivery.arn);
    headers.insert("lambda-runtime-trace-id", delivery.trace_id);
    if let Some(context) = delivery.client_context {
        headers.insert("lambda-runtime-client-context", context);
    }
    reply
}

/// Ends the current invocation for the process, if it has this id. Only the first answer counts.
fn settle(state: &State, id: &str) -> bool {
    let current = &mut lock(&state.progress).current;
    let is_current = current.as_deref() == Some(id);
    if is_current {
        *current = None;
    }
    is_current
}

async fn response(state: &State, id: &str, body: Incoming) -> Reply {
    let body = read_body(body, SYNC_PAYLOAD_BYTES_MAX).await;
    if let Body::Broken = body {
        return refuse(StatusCode::BAD_REQUEST, "InvalidRequest", "the body ended early");
    }
    if !settle(state, id) {
        return refuse(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID");
    }
    match body {
        Body::Whole(body) => {
            state.tell(Event::Response(body));
            accepted()
        }
        Body::TooLarge(_) => {
            state.tell(Event::ResponseTooLarge);
            let message = format!("Exceeded maximum allowed payload size ({SYNC_PAYLOAD_BYTES_MAX} bytes).");
            refuse(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
        }
        Body::Broken => not_found(),
    }
}

async fn error(state: &State, id: &str, headers: &HeaderMap, body: Incoming) -> Reply {
    let Body::Whole(document) = read_body(body, SYNC_PAYLOAD_BYTES_MAX).await else {
        return refuse(StatusCode::BAD_REQUEST, "InvalidRequest", "the body is too large or ended early");
    };
    if !settle(state, id) {
        return refuse(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID");
    }
    state.tell(Event::Error { document, error_type: error_type(headers) });
    accepted()
}

async fn init_error(state: &State, headers: &HeaderMap, body: Incoming) -> Reply {
    let Body::Whole(document) = read_body(body, SYNC_PAYLOAD_BYTES_MAX).await else {
        return refuse(StatusCode::BAD_REQUEST, "InvalidRequest", "the body is too large or ended early");
    };
    if lock(&state.progress).ready {
        return refuse(StatusCode::FORBIDDEN, "InvalidStateTransition", "the init phase is over");
    }
    state.tell(Event::InitError { document, error_type: error_type(headers) });
    accepted()
}

fn error_type(headers: &HeaderMap) -> Option<String> {
    headers.get("lambda-runtime-function-error-type")?.to_str().ok().map(str::to_owned)
}

fn accepted() -> Reply {
    json(StatusCode::ACCEPTED, &json!({ "status": "OK" }))
}

fn refuse(status: StatusCode, error_type: &str, message: &str) -> Reply {
    json(status, &json!({ "errorType": error_type, "errorMessage": message }))
}

fn not_found() -> Reply {
    refuse(StatusCode::NOT_FOUND, "NotFound", "no such call of the Runtime API")
}
