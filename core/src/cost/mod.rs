//! What a job costs and how long it takes, before it runs; and by that, how it is cut.
//!
//! ```text
//! sizes of objects ──▶ Cut       map tasks, GETs          ─┐
//! Workload             CPU, bytes of runs and output       ├──▶ Forecast   seconds, requests, GB-seconds, dollars
//! Site                 memory, prices, rates of its host  ─┘        ▲
//!                                          Plan::best tries shapes ─┘
//! ```
//!
//! Everything here is arithmetic: it reads no clock, no service and no file. The splitter plans with it where it has the
//! listing, the driver where it is asked for a plan, and the report sets what it predicts beside what came of it.
//!
//! Requests follow from what the engine does, and the tests hold them to what it is seen to do. Time and bytes follow from
//! assumptions (`rates.rs`, [`Workload`](crate::wire::cost::Workload)), so each number is a [`Range`].

mod forecast;
mod listing;
mod plan;
mod range;
mod rates;

pub use forecast::{Barrier, Forecast, Shape, Stages, Usd, forecast};
pub use listing::{Cut, pieces};
pub use plan::{Input, Plan, Recommended, Wanted, checked_partitions, recommend};
pub use range::Range;

#[cfg(test)]
mod tests;
