//! An invocation, who hears of its outcome, and what they get.

use super::report::Outcome;
use bytes::Bytes;
use http::HeaderValue;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What is to be run.
pub(super) struct Invocation {
    pub(super) request_id: Arc<str>,
    pub(super) function: usize,
    pub(super) payload: Bytes,
    pub(super) client_context: Option<HeaderValue>,
    pub(super) trace_id: HeaderValue,
    pub(super) attempt: u32,
    pub(super) caller: Caller,
}

/// Who is told the outcome.
pub(super) enum Caller {
    /// Somebody who waits.
    Sync(oneshot::Sender<Answer>),
    /// Nobody; an error is retried and then recorded.
    Event,
    /// Nobody: the second run of [`Fault::RunTwice`](super::faults::Fault::RunTwice).
    Nobody,
}

/// What a synchronous caller gets.
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) log_tail: Vec<u8>,
}
