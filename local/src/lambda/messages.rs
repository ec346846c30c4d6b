//! What passes between an environment and its owner: an invocation goes in, and what becomes of it comes out.

use bytes::Bytes;
use http::HeaderValue;
use std::{process::ExitStatus, sync::Arc};

/// What an environment tells its owner. A process can cause only a few events for each invocation: one `Ready`, one answer,
/// one end. That bounds the channel, though its type does not.
#[derive(Debug)]
pub(super) enum Event {
    /// The process asks for an event: its init phase or its last invocation is over.
    Ready,
    Response(Bytes),
    /// The response had too many bytes.
    ResponseTooLarge,
    Error {
        document: Bytes,
        error_type: Option<String>,
    },
    InitError {
        document: Bytes,
        error_type: Option<String>,
    },
    /// The process is gone. Sent once, as the last event.
    Exited(ExitStatus),
}

/// An invocation on its way into the process.
pub(super) struct Delivery {
    pub(super) request_id: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) deadline_ms: u64,
    pub(super) arn: HeaderValue,
    pub(super) trace_id: HeaderValue,
    pub(super) client_context: Option<HeaderValue>,
}
