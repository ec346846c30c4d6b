//! The job's truth, and the one function that decides what follows from it.

mod advance;
mod calls;
mod view;

pub use advance::{Command, Eased, HALF_BYTES_MIN, Relief, advance};
pub use calls::{Fewer, calls_after};
pub use view::{CallsView, Failure, JobView, LedgerView, Phase, TaskView, TryView};
