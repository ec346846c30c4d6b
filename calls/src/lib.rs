//! Functions: which plain `fn` or `async fn` can be called, how a program registers it, and the [`Context`] that a call is
//! given along with its input.
//!
//! A function is called by its *name*, which travels in the spec of a map with its *signature*, the types of its input and
//! output. The worker looks the name up in its program's [`Functions`] and refuses another signature. A call takes one encoded
//! item of the map's input, and returns one encoded value or an error. This crate does not know how calls are batched, retried
//! and committed: the mapper does that.

mod context;
mod function;
mod object;
mod registry;
mod shared;

pub use context::Context;
pub use context::{CallEnds, CallPlace};
pub use function::{Function, marker};
pub use object::S3Object;
pub use registry::{Body, Functions, Opened, returns};
pub use shared::Shared;
