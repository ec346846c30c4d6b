//! Pairs on their way from `map` to `reduce`: plain synchronous code on slices, which knows no job, no format and no service.
//!
//! In the order in which pairs travel: [`shard`] takes one thread's pairs and combines them, through a small cache (`front`)
//! and one `table` for each partition. `sort` sorts a partition and [`crate::wire::run`] writes it as a run; `spill` does so
//! early when memory is full. `merge` merges runs, `merged` writes them as one, and `groups` walks them key by key; `kept` holds values of a key that are read
//! more than once. [`crate::engine`] uses all of these to
//! run a task.

mod front;
mod groups;
mod kept;
mod merge;
mod merged;
mod shard;
mod sort;
mod spill;
mod table;
#[cfg(test)]
mod table_tests;

pub(crate) use groups::Groups;
pub use kept::Kept;
pub(crate) use kept::KeptRoom;
pub(crate) use merge::Merge;
pub(crate) use merged::{write_as_they_are, write_merged};
pub(crate) use shard::{Finished, Shard, ShardOptions};
pub(crate) use spill::{Spilled, tmp_error, write_tables};
pub(crate) use table::{ARENA_BYTES_MAX, Table, together};
