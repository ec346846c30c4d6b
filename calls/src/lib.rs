//! Functions: what a plain `fn` or `async fn` is to Kinglet, how a program registers it, and what it is given beside its
//! input.
//!
//! A function is called by its *name*, which travels in the spec of a map with its *signature*, the types of its input and
//! output; the worker looks the name up in its program's [`Functions`] and refuses another signature. A call takes one item
//! of the map's input, encoded, and gives one encoded value or an error. What calls are batched, retried and committed as is
//! not known here: the mapper does that.

mod context;
mod function;
mod registry;
mod shared;

pub use context::Context;
pub use context::{CallEnds, CallPlace};
pub use function::{Function, marker};
pub use registry::{Body, Functions, Opened, returns};
pub use shared::Shared;
