//! What every function does with an event, whichever handler it runs.
//!
//! ```text
//! Lambda ──event──▶ serve ──▶ handler ──▶ task: look, start, show life ──▶ the stage's work ──▶ commit, conduct ──▶ outcome
//!                     │                                                                                          │
//!                     ├──▶ program: the same in a shipped program, a child of this process                        │
//!                     └──◀ journal: a line as it starts, a line with metrics as it ends ◀─────────────────────────┘
//! ```
//!
//! It knows no stage's work, which the handlers bring, and no service's protocol, which `kinglet-aws` has.

mod journal;
mod log;
mod program;
mod serve;
pub mod tries;
mod worker;

pub use journal::Journal;
pub use log::{start_function_log, start_log};
pub use serve::serve;
pub use worker::{Invocation, Worker};
