//! The guard between a task and the job's own code: panics become errors, and a task that nobody wants any more is stopped.

use crate::error::{Code, Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the job's code and turns a panic into an error.
pub(super) fn catch<T>(code: impl FnOnce() -> T) -> Result<T> {
    catch_as("the job's code", code)
}

/// Runs user code and turns a panic into an error; `whose` names the code in its message.
///
/// # Errors
/// Returns [`Error::UserCode`] (`panic`) with the panic's message.
pub fn catch_as<T>(whose: &str, code: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        let said = payload
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        // The payload may be of any type, and may panic when it is dropped.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
        Error::new(Code::Panic, format!("{whose} panicked: {said}"))
    })
}

/// Makes the error that ends a task that was told to stop.
pub(super) fn stopped() -> Error {
    Error::new(Code::Cancelled, "the job ended while the task ran")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_by_its_message_whatever_it_was_made_of() {
        let said = |code: fn()| catch_as("it", code).unwrap_err().to_string();
        assert_eq!(said(|| panic!("a text")), "it panicked: a text");
        assert_eq!(said(|| panic!("{}", String::from("a text made"))), "it panicked: a text made");
        assert_eq!(said(|| std::panic::panic_any(7)), "it panicked: no message");
        assert_eq!(catch_as("it", || 7).unwrap(), 7);
    }
}
