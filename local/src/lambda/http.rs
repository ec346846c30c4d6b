//! The little HTTP that both servers share: bodies with a limit, and JSON replies.

use super::limits::DRAIN_BYTES_MAX;
use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use std::convert::Infallible;
use tokio::net::TcpStream;

pub(super) type Reply = Response<Full<Bytes>>;

/// A body, or why there is none.
pub(super) enum Body {
    Whole(Bytes),
    /// It had at least this many bytes.
    TooLarge(usize),
    /// The connection broke.
    Broken,
}

/// Reads a body up to a limit. A longer one is read on for a while and dropped: a sender that is cut off in mid-body sees a
/// broken pipe and not our reply.
pub(super) async fn read_body(mut body: Incoming, bytes_max: usize) -> Body {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut bytes_seen = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Body::Broken;
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        bytes_seen += data.len();
        if bytes_seen > DRAIN_BYTES_MAX {
            break;
        }
        if bytes_seen > bytes_max {
            rest.clear();
        } else if first.is_none() {
            // Most bodies are a single frame, which is passed on without a copy.
            first = Some(data);
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(first.as_deref().unwrap_or_default());
            }
            rest.extend_from_slice(&data);
        }
    }
    match first {
        _ if bytes_seen > bytes_max => Body::TooLarge(bytes_seen),
        _ if !rest.is_empty() => Body::Whole(rest.freeze()),
        first => Body::Whole(first.unwrap_or_default()),
    }
}

/// Returns a JSON reply.
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Reply {
    json_bytes(status, serde_json::to_vec(document).unwrap_or_default().into())
}

/// Returns a reply with a body that is JSON already.
pub(super) fn json_bytes(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    reply
}

/// Returns a reply without a body.
pub(super) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = status;
    reply
}

/// Serves one connection until it ends.
pub(super) async fn serve<H, F>(stream: TcpStream, handler: H)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Reply>,
{
    // Replies are single small writes that somebody waits for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "setting TCP_NODELAY");
    }
    let service = service_fn(|request| {
        let reply = handler(request);
        async { Ok::<_, Infallible>(reply.await) }
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
