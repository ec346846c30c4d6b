//! Pairs on their way from `map` to `reduce`: plain synchronous code on slices, which knows no job, no format and no service.
//!
//! In the order they travel: [`shard`] takes one thread's pairs and combines them, through a small cache (`front`) and one
//! `table` for each partition; `sort` orders a partition, [`crate::wire::run`] writes it, `spill` does so early when memory is
//! full; `merge` brings runs together again, and `groups` walks them key by key. [`crate::engine`] puts these to work for a task.

mod front;
mod groups;
mod merge;
mod shard;
mod sort;
mod spill;
mod table;

pub(crate) use groups::Groups;
pub(crate) use merge::Merge;
pub(crate) use shard::{Finished, Shard, ShardOptions};
pub(crate) use spill::{tmp_error, write_tables};
pub(crate) use table::{ARENA_BYTES_MAX, Table, together};
