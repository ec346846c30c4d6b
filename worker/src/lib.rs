//! What every function does with an event, whichever handler it runs.
//!
//! ```text
//! Lambda ──event──▶ serve ──▶ handler ──▶ task: look, start, show life ──▶ the stage's work ──▶ commit, conduct ──▶ outcome
//!                     │                                                                                          │
//!                     ├──▶ program: the same in a shipped program, a child of this process                        │
//!                     └──◀ journal: a line as it starts, a line with metrics as it ends ◀─────────────────────────┘
//! ```
//!
//! This crate knows no stage's work, which the handlers bring, and no service's protocol, which `kinglet-aws` has.

mod assignment;
mod journal;
mod log;
mod outcome;
mod program;
mod serve;
pub mod task;
mod tries;
mod worker;

pub use assignment::Assignment;
pub use journal::Journal;
pub use log::{start_function_log, start_log};
pub use outcome::{Outcome, Skip};
pub use serve::serve;
pub use task::{Try, Work};
pub use tries::{Look, Running, Seen};
pub use worker::{Abandon, Invocation, Settings, Worker};
