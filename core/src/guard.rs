//! The guard between the engine and the job's own code: a panic becomes the job's error, and says what of the job panicked; a
//! task that nobody wants any more is stopped.
//!
//! Code is guarded once for a chunk, a partition or a block, never for a record. What the engine calls for each record is only
//! named, by `named`, which costs nothing unless it panics: as the stack unwinds, the name is left where the guard finds it.

use crate::error::{Code, Error, Result};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What a piece of the job's code does, and for which type, if that says more: `encoding a`, `String`.
#[derive(Clone, Copy)]
struct Name {
    what: &'static str,
    of: &'static str,
}

thread_local! {
    /// What of the job's code has panicked on this thread, until a guard takes it.
    static PANICKED: Cell<Option<Name>> = const { Cell::new(None) };
}

/// Leaves the name when it is dropped, which happens only while the named code unwinds.
struct Leave(Name);

impl Drop for Leave {
    fn drop(&mut self) {
        // The innermost name says most.
        PANICKED.set(PANICKED.get().or(Some(self.0)));
    }
}

/// Runs code that belongs to the job, or calls what does, such as the `Serialize` of a type. If it panics, the guard around it
/// says `what` did.
#[inline(always)]
pub(crate) fn named<T>(what: &'static str, code: impl FnOnce() -> T) -> T {
    named_of(what, "", code)
}

/// Does what [`named`] does for code that handles a value of this type.
#[inline(always)]
pub(crate) fn named_of<T>(what: &'static str, of: &'static str, code: impl FnOnce() -> T) -> T {
    let leave = Leave(Name { what, of });
    let done = code();
    std::mem::forget(leave);
    done
}

/// Runs user code and turns a panic into an error; `whose` names the code in its message, unless what panicked has a name.
///
/// # Errors
/// Returns [`Error::UserCode`] (`panic`) with the panic's message.
pub fn catch_as<T>(whose: &str, code: impl FnOnce() -> T) -> Result<T> {
    catch(code).map_err(|Panicked { name, said }| panicked(&name.unwrap_or_else(|| whose.to_owned()), said))
}

/// Runs code of the engine that calls named code of the job, and turns a panic of that into an error. A panic of anything
/// else is the engine's own, and goes on.
///
/// # Errors
/// Returns the errors of `code`, and [`Error::UserCode`] (`panic`) with what panicked and its message.
pub(crate) fn guarded<T>(code: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch(code) {
        Ok(done) => done,
        Err(Panicked { name: Some(name), said }) => Err(panicked(&name, said)),
        Err(Panicked { name: None, said }) => resume_unwind(said),
    }
}

/// A panic: the name that was left of what panicked, and what it said.
struct Panicked {
    name: Option<String>,
    said: Box<dyn Any + Send>,
}

fn catch<T>(code: impl FnOnce() -> T) -> Result<T, Panicked> {
    // What a panic has left that the job's code caught by itself is forgotten.
    PANICKED.set(None);
    catch_unwind(AssertUnwindSafe(code)).map_err(|said| {
        let name = PANICKED.take().map(|Name { what, of }| format!("{what} {of}").trim_end().to_owned());
        Panicked { name, said }
    })
}

fn panicked(whose: &str, payload: Box<dyn Any + Send>) -> Error {
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
}

/// Makes the error that ends a task that was told to stop.
pub(crate) fn stopped() -> Error {
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

    #[test]
    fn what_panicked_is_named_by_the_innermost_name_and_only_until_the_next_guard() {
        let said = |code: fn()| catch_as("it", code).unwrap_err().to_string();
        assert_eq!(said(|| named("the combiner", || panic!("no"))), "the combiner panicked: no");
        let inner = || named("the bounds", || named_of("encoding a", "u8", || panic!("no")));
        assert_eq!(said(inner), "encoding a u8 panicked: no");
        assert_eq!(said(|| panic!("no")), "it panicked: no");
        assert_eq!(named("it", || 7), 7);
        let caught = || drop(catch_unwind(|| named("what was caught", || panic!("no"))));
        assert!(catch_as("it", caught).is_ok());
        assert_eq!(said(|| panic!("no")), "it panicked: no");
    }

    #[test]
    fn a_panic_of_the_engine_is_not_taken_for_the_jobs() {
        let job = guarded(|| -> Result<()> { named("the combiner", || panic!("no")) });
        assert!(job.unwrap_err().is(Code::Panic));
        let engine = catch_unwind(|| guarded(|| -> Result<()> { panic!("an index out of bounds") }));
        assert!(engine.is_err());
        let failed = guarded(|| -> Result<()> { Err(Error::new(Code::TmpFull, "no space")) });
        assert!(failed.unwrap_err().is(Code::TmpFull));
    }
}
