//! Futures on the heap.
//!
//! A future holds the futures that it awaits, and without optimisation the function that polls it has room on its stack for each
//! of them, twice or thrice. Where the work of a job branches out, as in [`crate::conduct`], that adds up to more than the 2 MB
//! that threads of tokio's and of tests have.

use std::pin::Pin;

/// Makes a future on the heap: its caller's future holds a pointer, and its caller's stack nothing of it.
pub fn on_heap<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}
