//! What a task does about the job's own code: its panics become errors, and it is not called again once nobody wants the task.

use crate::error::{Code, Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs user code; a panic becomes an error.
pub(super) fn catch<T>(code: impl FnOnce() -> T) -> Result<T> {
    catch_as("the job's code", code)
}

/// Runs user code that `whose` names; a panic becomes an error.
///
/// # Errors
/// [`Error::UserCode`] with the code `panic` and the panic's message.
pub fn catch_as<T>(whose: &str, code: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        let said = payload
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        // It may be anything, and panic when it is dropped.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
        Error::new(Code::Panic, format!("{whose} panicked: {said}"))
    })
}

/// What ends a task that was told to stop.
pub(super) fn stopped() -> Error {
    Error::new(Code::Cancelled, "the job ended while the task ran")
}
