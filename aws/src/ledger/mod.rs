//! The ledger: one DynamoDB table that holds the truth of every job. Keys are strings, `pk` and `sk`:
//!
//! | pk | sk | holds |
//! |---|---|---|
//! | `job#<job>` | `job` | phase, times, plan, the shipped program, error; whose turn it is, `turn`, and how far that is, `sent`; `usage1`…`usage4`: what was spent beside tasks |
//! | `job#<job>` | `split#<number>` | a try of splitting, as those below |
//! | `job#<job>` | `root#<stage>` | `groups`: the set of groups that are complete |
//! | `job#<job>#<stage>#<group>` | `group` | one attribute a committed piece, `t<task>.<piece>`: its record |
//! | `job#<job>#<stage>#<group>` | `try#<task>#<piece>#<number>` | how often and when it was sent, when it started, by which execution (`run`) and on which function, when it last gave a sign of life, when it failed and why |
//! | `job#<job>#index#<group>` | `<task>#<piece>#<attempt>` | where the runs lie in the attempt's S3 object |
//! | `job#<job>#runs#<partition>` | `<task>#<piece>#<attempt>#<n>` | item `n` of an inline run, or, by group, of the results of a batch of calls |
//! | `job#<job>#result` | `<attempt>#<n>` | item `n` of what a reduce function returned |
//! | `job#<job>#progress` | `<task>` | how far calls are that have said so |
//! | `jobs` | `<job>` | the job's name, phase, start and end, for lists |
//!
//! The rooms, each of which uses only those above it:
//!
//! | module | its subject |
//! |---|---|
//! | `item`, `keys` | attributes as they stand in an item; all keys |
//! | `request` | the one place that sends requests and counts what they took; how a lost reply is told from another's success |
//! | `table` | making the table |
//! | `job` | a job's own item: made, read, listed, forgotten |
//! | `phases` | a job's way from phase to phase, and whose turn it is |
//! | `tries` | tries: claimed, started, alive, failed |
//! | `commits` | which attempt of a piece counts, and whether a stage is complete |
//! | `runs` | small runs, and the indexes of large ones |
//!
//! **What time is it?** All times here are the services' ([`crate::Clock`]), whoever wrote them.
//!
//! Every item has `ttl`, in seconds since 1970. DynamoDB deletes late, so nothing relies on an item being gone.

mod commits;
mod item;
mod job;
mod keys;
mod phases;
mod request;
mod runs;
mod table;
mod tries;

pub use commits::{Commit, Committed, Look, Record, TaskPieces};
#[cfg(feature = "driver")]
pub(crate) use item::text;
pub(crate) use item::{binary, number, read_binary, read_text};
pub use job::JobEntry;
pub(crate) use keys::{Key, progress_pk, result_pk};
pub use phases::Planned;
pub(crate) use request::Updated;
pub(crate) use runs::{INLINE_ITEM_BYTES, run_key};
pub use runs::{InlineRun, ObjectRuns};
pub use tries::{Run, Says, Started};

use crate::clock::Clock;
use crate::meter::Meter;
use request::Table;
use std::sync::Arc;

/// The table.
#[derive(Clone)]
pub struct Ledger {
    table: Table,
    clock: Clock,
}

impl Ledger {
    /// A table through this client.
    pub fn new(dynamodb: aws_sdk_dynamodb::Client, table: &str, meter: Arc<Meter>, clock: Clock) -> Self {
        Ledger { table: Table::new(dynamodb, table, meter), clock }
    }
}
