//! What the error of a try that failed says of it.

use crate::error::Error;

/// The code of an event that Lambda gave up before it ran.
pub const UNDELIVERED: &str = "undelivered";

/// Whether a failure is one of the tries that a task has: not if Lambda never ran it.
pub(super) fn counts(error: &Error) -> bool {
    error.code() != UNDELIVERED
}

/// Whether a try ended for want of memory.
pub(super) fn is_out_of_memory(error: &Error) -> bool {
    error.code() == "out-of-memory"
}

/// Whether an error says that a call ended its process: the worker's own, in Lambda's words, or a shipped program's.
pub(super) fn is_death(error: &Error) -> bool {
    const CODES: [&str; 7] = ["out-of-memory", "timed-out", "crashed", "aborted", "exited", "stack-overflow", "panic"];
    CODES.contains(&error.code())
}
