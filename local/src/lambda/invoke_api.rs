//! The part of Lambda's own API that a driver needs: *Invoke*, *GetFunction*, *GetFunctionConfiguration*, *ListFunctions*
//! (<https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>).
//!
//! A request that is not signed with the known keys gets 403, as on AWS; `signature` says what is checked. A body that is too
//! large to be read is refused for that, whoever sent it.

use super::{
    faults::Fault,
    http::{Body, Reply, empty, json, json_bytes, read_body, serve as serve_connection},
    invocation::{Answer, Caller, Invocation},
    limits::{EVENT_PAYLOAD_BYTES_MAX, SYNC_PAYLOAD_BYTES_MAX},
    lock::lock,
    pool::Refusal,
    refusals::Refused,
    report::{Outcome, timestamp},
    run,
    shared::{FunctionState, Shared},
};
use crate::signature::{self, Unsigned};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::{sync::Arc, time::SystemTime};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use uuid::Uuid;

const FUNCTIONS: &str = "/2015-03-31/functions";

/// Serves until the task is dropped, with all its connections.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let shared = shared.clone();
                    connections.spawn(serve_connection(stream, move |request| answer(shared.clone(), request)));
                }
                Err(error) => {
                    // Most likely too many open files: let some close.
                    tracing::warn!(%error, "accepting a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Reply {
    let request_id = Uuid::new_v4().hyphenated().to_string();
    let id_header = HeaderValue::from_str(&request_id);
    let routed = route(shared, request, request_id.into()).await;
    let mut reply = routed.unwrap_or_else(|refused| refused.reply());
    if let Ok(id) = id_header {
        reply.headers_mut().insert("x-amzn-requestid", id);
    }
    reply
}

async fn route(shared: Arc<Shared>, request: Request<Incoming>, request_id: Arc<str>) -> Result<Reply, Refused> {
    let (head, body) = request.into_parts();
    let body = read_body(body, SYNC_PAYLOAD_BYTES_MAX).await;
    let signed = match &body {
        Body::Whole(payload) => signature::check(&head, payload, "lambda", &shared.options.keys),
        Body::TooLarge(_) | Body::Broken => Ok(()),
    };
    signed.map_err(|unsigned| match unsigned {
        Unsigned::Missing => Refused::NoKey,
        Unsigned::OtherKey => Refused::WrongKey,
        Unsigned::Wrong => Refused::WrongSignature,
    })?;
    let path = head.uri.path().strip_prefix(FUNCTIONS).ok_or(Refused::NoSuchCall)?.trim_matches('/');
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    if name.is_empty() {
        return if head.method == Method::GET { Ok(list(&shared)) } else { Err(Refused::NoSuchCall) };
    }
    let function = resolve(&shared, name, head.uri.query())?;
    match (head.method, rest) {
        (Method::GET, "configuration") => Ok(json(StatusCode::OK, &configuration(&shared.functions[function]))),
        (Method::GET, "") => Ok(json(StatusCode::OK, &description(&shared.functions[function]))),
        (Method::POST, "invocations") => invoke(&shared, function, &head.headers, body, request_id).await,
        _ => Err(Refused::NoSuchCall),
    }
}

async fn invoke(
    shared: &Arc<Shared>,
    function: usize,
    headers: &HeaderMap,
    body: Body,
    request_id: Arc<str>,
) -> Result<Reply, Refused> {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let kind = header("x-amz-invocation-type").unwrap_or("RequestResponse");
    let bytes_max = match kind {
        "RequestResponse" | "DryRun" => SYNC_PAYLOAD_BYTES_MAX,
        "Event" => EVENT_PAYLOAD_BYTES_MAX,
        other => {
            return Err(Refused::InvalidParameter(format!("{other} is not an invocation type")));
        }
    };
    let payload = match body {
        Body::Whole(payload) if payload.is_empty() => Bytes::from_static(b"{}"),
        Body::Whole(payload) if payload.len() > bytes_max => {
            return Err(Refused::TooLarge { bytes: payload.len(), bytes_max });
        }
        Body::Whole(payload) => payload,
        Body::TooLarge(bytes) => return Err(Refused::TooLarge { bytes, bytes_max }),
        Body::Broken => return Err(Refused::InvalidContent("the body ended early".into())),
    };
    serde_json::from_slice::<IgnoredAny>(&payload).map_err(|error| Refused::InvalidContent(error.to_string()))?;
    let client_context = header("x-amz-client-context").map(client_context).transpose()?;
    let trace_id = headers.get("x-amzn-trace-id").cloned().unwrap_or_else(trace_id);
    if kind == "DryRun" {
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    match shared.fault_at_call(function) {
        Some(Fault::Throttle) => return Err(Refused::Throttled("CallerRateLimitExceeded")),
        Some(Fault::ErrorBefore) => return Err(Refused::Service("injected error")),
        _ => {}
    }
    let invocation =
        |caller| Invocation { request_id, function, payload, client_context, trace_id, attempt: 1, caller };
    if kind == "Event" {
        let pushed = lock(&shared.pool).push(function, invocation(Caller::Event));
        pushed.map_err(|_| Refused::Throttled("CallerRateLimitExceeded"))?;
        run::pump(shared);
        return Ok(empty(StatusCode::ACCEPTED));
    }
    let admitted = lock(&shared.pool).admit(function);
    let warm = admitted.map_err(|refusal| match refusal {
        Refusal::Function => Refused::Throttled("ReservedFunctionConcurrentInvocationLimitExceeded"),
        Refusal::Host => Refused::Throttled("ConcurrentInvocationLimitExceeded"),
    })?;
    let (sender, receiver) = oneshot::channel();
    run::start(shared, invocation(Caller::Sync(sender)), warm);
    let answer = receiver.await.map_err(|_| Refused::Service("the host is stopping"))?;
    Ok(invoke_reply(answer, header("x-amz-log-type") == Some("Tail")))
}

fn invoke_reply(answer: Answer, with_log: bool) -> Reply {
    let (body, is_error) = match answer.outcome {
        Outcome::Response(body) => (body, false),
        Outcome::Error(_, document) => (document, true),
    };
    let mut reply = json_bytes(StatusCode::OK, body);
    let headers = reply.headers_mut();
    headers.insert("x-amz-executed-version", HeaderValue::from_static("$LATEST"));
    if is_error {
        headers.insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
    }
    if with_log && let Ok(tail) = HeaderValue::from_str(&BASE64.encode(answer.log_tail)) {
        headers.insert("x-amz-log-result", tail);
    }
    reply
}

/// Decodes the client context: Base64 of JSON on the way in, JSON on the way to the function.
fn client_context(header: &str) -> Result<HeaderValue, Refused> {
    let decoded = BASE64.decode(header).ok().filter(|bytes| serde_json::from_slice::<IgnoredAny>(bytes).is_ok());
    let value = decoded.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok());
    value.ok_or_else(|| Refused::InvalidContent("the client context is not JSON in base64".into()))
}

/// Returns the header of a new trace
/// (<https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>).
fn trace_id() -> HeaderValue {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let random = Uuid::new_v4().simple().to_string();
    let trace = format!("Root=1-{:08x}-{};Parent={};Sampled=0", seconds as u32, &random[..24], &random[16..]);
    HeaderValue::from_str(&trace).unwrap_or(HeaderValue::from_static("Sampled=0"))
}

/// Finds a function by name, partial ARN or ARN, with or without its only version.
fn resolve(shared: &Shared, name: &str, query: Option<&str>) -> Result<usize, Refused> {
    let name = percent_decode_str(name).decode_utf8_lossy();
    let found = shared.names.get(&*name).or_else(|| {
        let unversioned = name.strip_suffix(":$LATEST")?;
        shared.names.get(unversioned)
    });
    let qualifier = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("Qualifier=")));
    let qualifier = qualifier.map_or("$LATEST".into(), |qualifier| percent_decode_str(qualifier).decode_utf8_lossy());
    let found = found.copied().filter(|_| qualifier == "$LATEST");
    found.ok_or_else(|| Refused::NoSuchFunction(format!("{name}:{qualifier}")))
}

fn list(shared: &Shared) -> Reply {
    let functions: Vec<_> = shared.functions.iter().map(configuration).collect();
    json(StatusCode::OK, &json!({ "Functions": functions }))
}

fn description(function: &FunctionState) -> Value {
    let mut document = json!({
        "Configuration": configuration(function),
        "Code": { "RepositoryType": "File", "Location": function.program },
    });
    if let Some(concurrency_max) = function.spec.concurrency_max {
        document["Concurrency"] = json!({ "ReservedConcurrentExecutions": concurrency_max });
    }
    document
}

/// Returns the function's configuration without its environment variables, which may hold credentials.
fn configuration(function: &FunctionState) -> Value {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    json!({
        "FunctionName": &*function.name,
        "FunctionArn": function.arn,
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "CodeSize": function.code_bytes,
        "Timeout": function.spec.timeout.as_secs(),
        "MemorySize": function.spec.memory_mb,
        "LastModified": timestamp(function.modified.into()),
        "Version": "$LATEST",
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": [architecture],
        "EphemeralStorage": { "Size": function.spec.tmp_mb },
    })
}
