//! What the error of a failed try says about it.

use crate::error::{Code, Error};

/// Returns whether a failure uses up one of a task's tries. It does not if Lambda never ran the try.
pub(super) fn counts(error: &Error) -> bool {
    !error.is(Code::Undelivered)
}

/// Returns whether a try ran out of memory.
pub(super) fn is_out_of_memory(error: &Error) -> bool {
    error.is(Code::OutOfMemory)
}

/// Returns whether an error says that a call ended its process: the worker itself, as Lambda reports it, or a shipped program.
pub(super) fn is_death(error: &Error) -> bool {
    use Code::{Aborted, Crashed, Exited, OutOfMemory, Panic, StackOverflow, TimedOut};
    [OutOfMemory, TimedOut, Crashed, Aborted, Exited, StackOverflow, Panic].into_iter().any(|code| error.is(code))
}
