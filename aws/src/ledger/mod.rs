//! The ledger: one DynamoDB table that holds the authoritative state of every job. The keys `pk` and `sk` are strings:
//!
//! | pk | sk | holds |
//! |---|---|---|
//! | `job#<job>` | `job` | phase, times, plan, how runs are merged (`group_tasks`, `band_partitions`), shipped program, error; the current turn (`turn`) and how many tasks were sent in it (`sent`); `rereads`: which splits were begun at wrong places and are read again by the last of the `map_tasks`; `usage1`…`usage4`, `usage_merge`: what was spent outside of tasks; `index_tries`, `index`, `index_from` and `index_to`: how many have tried to index the runs, which index counts, and where its table lies; of a job with a ceiling, `cap` and `spent` |
//! | `job#<job>` | `split#<number>` | a try of splitting, with the attributes of a `try#…` item below |
//! | `job#<job>` | `root#<stage>` | `groups`: the set of complete groups |
//! | `job#<job>#<stage>#<group>` | `group` | one attribute for each committed piece, `t<task>.<piece>`: its record; of a job with a ceiling, `x<task>.<piece>.<number>` for each further try |
//! | `job#<job>#<stage>#<group>` | `try#<task>#<piece>#<number>` | how often and when the try was sent, when it started, by which execution (`run`) and on which function, its last sign of life, when it failed and why, or when it was over without a result |
//! | `job#<job>#index#<group>`, `job#<job>#merge-index#<group>` | `<task>#<piece>#<attempt>` | where the runs lie in the S3 object of a map, or merge, attempt; of a map attempt whose runs are merged, where its bundles lie |
//! | `job#<job>#runs#<partition>` | `<task>#<piece>#<attempt>#<n>` | item `n` of an inline run; for a batch of calls, item `n` of its results, with the group in place of the partition |
//! | `job#<job>#result` | `<attempt>#<n>` | item `n` of what a reduce function returned |
//! | `job#<job>#progress` | `<task>` | how far the calls are that have reported progress |
//! | `jobs` | `<job>` | the job's name, phase, start and end, for lists; `told`: whether the event bus was told of its end; `awaited`: whether a task of Step Functions is still to be told, whose `token` the job's own item has |
//! | `stored` | `<name>` | a stored job: which version of it counts, when it starts after a change, `changed` and `changed_last` if there are changes that no start has seen, and the job that a change started last. It has no `ttl` |
//! | `stored#<name>` | `start#<hash>` | the job that a start of a stored job has begun; the hash is of what tells that start from all others |
//!
//! The modules, each of which uses only those above it:
//!
//! | module | its subject |
//! |---|---|
//! | `item`, `keys` | how attributes stand in an item; all keys |
//! | `request` | the one place that sends requests and counts the capacity they consumed; how a lost reply is told from another writer's success |
//! | `table` | creating the table |
//! | `job` | a job's own item: created, read, listed, deleted |
//! | `phases` | how a job moves from phase to phase, and who has the turn |
//! | `tries` | tries: claimed, started, alive, failed, over |
//! | `commits` | which attempt of a piece counts, and whether a stage is complete |
//! | `spent` | what a job with a ceiling has spent |
//! | `runs` | small runs, and the indexes of large ones |
//! | `stored` | stored jobs, what has changed for them, and which start has begun which job |
//!
//! **Time.** All times here are the services' ([`crate::Clock`]), whichever machine wrote them.
//!
//! Every item but those of stored jobs has `ttl`, in seconds since 1970. DynamoDB deletes expired items late, so nothing relies on an item being gone.

mod commits;
mod item;
mod job;
mod keys;
mod phases;
mod request;
mod runs;
mod spent;
mod stored;
mod table;
mod tries;

pub(crate) use commits::SETTLED;
pub use commits::{Commit, Committed, Look, Record, RunsRecord, TaskPieces};
#[cfg(feature = "driver")]
pub(crate) use item::text;
pub(crate) use item::{binary, number, read_binary, read_text};
pub use job::JobEntry;
pub(crate) use keys::{Key, progress_pk, result_pk};
pub use keys::{RunsAttempt, group_count};
pub use phases::{Planned, Reduced};
pub(crate) use request::Updated;
pub use runs::{GroupRuns, InlineRun};
pub(crate) use runs::{INLINE_ITEM_BYTES, RunOf, groups_of, placed, placed_in};
pub use spent::commits;
pub use stored::{Changes, StoredJob};
pub(crate) use stored::{Starting, Version};
pub use tries::{GroupTry, Run, Says, Started};

use crate::clock::Clock;
use crate::meter::Meter;
use request::Table;
use std::sync::Arc;

/// A client of the ledger's table.
#[derive(Clone)]
pub struct Ledger {
    table: Table,
    clock: Clock,
}

impl Ledger {
    /// Returns a ledger that uses this client and table, and counts its requests in `meter`.
    pub fn new(dynamodb: aws_sdk_dynamodb::Client, table: &str, meter: Arc<Meter>, clock: Clock) -> Self {
        Ledger { table: Table::new(dynamodb, table, meter), clock }
    }
}
