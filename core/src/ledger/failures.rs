//! What the error of a try that failed says of it.

use crate::error::{Code, Error};

/// Whether a failure is one of the tries that a task has: not if Lambda never ran it.
pub(super) fn counts(error: &Error) -> bool {
    !error.is(Code::Undelivered)
}

/// Whether a try ended for want of memory.
pub(super) fn is_out_of_memory(error: &Error) -> bool {
    error.is(Code::OutOfMemory)
}

/// Whether an error says that a call ended its process: the worker's own, in Lambda's words, or a shipped program's.
pub(super) fn is_death(error: &Error) -> bool {
    use Code::{Aborted, Crashed, Exited, OutOfMemory, Panic, StackOverflow, TimedOut};
    [OutOfMemory, TimedOut, Crashed, Aborted, Exited, StackOverflow, Panic].into_iter().any(|code| error.is(code))
}
