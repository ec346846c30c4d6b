//! The job's truth, and the one function that decides what follows from it.

mod advance;
mod view;

pub use advance::{Command, Eased, HALF_BYTES_MIN, Relief, advance};
pub use view::{Failure, JobView, LedgerView, Phase, TaskView, TryView};
