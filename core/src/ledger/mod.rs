//! The ledger, which is the truth about a job, and the one function that decides what follows from it.

mod advance;
#[cfg(test)]
mod advance_borders_tests;
mod calls;
#[cfg(test)]
mod every_order;
mod failures;
mod spent;
#[cfg(test)]
mod spent_tests;
mod view;

pub use advance::{
    CLAIM_MS, Command, EVENT_AGE_MS_MAX, Eased, FindRuns, HALF_BYTES_MIN, HANDOVER_MS, HEARTBEAT_MS, INDEX_TRIES_MAX,
    Invoke, PieceAt, RESEND_MS, Relief, SILENCE_MS, SPLIT_HEARTBEAT_MS, SPLIT_SILENCE_MS, Settle, TURN_MS, advance,
};
pub use calls::{Fewer, calls_after};
pub use spent::STOPPED_MS;
pub use view::{
    CallsView, Capped, Failure, IndexView, InputSize, JobView, LedgerView, Phase, PhaseTimes, Reads, Spent, TaskView,
    TryView,
};
