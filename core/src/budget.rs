//! How much of everything Kinglet takes where nobody says otherwise, once each: how a job is cut, how often a task is tried, and
//! what a function's memory and time go to. What others set, and what cannot be exceeded, is in [`limits`].
//!
//! Everything that a function holds at once must fit into its memory, as Lambda ends what needs more. `%` is of that memory:
//!
//! ```text
//! a map task of a job
//!   50 %     MAPPED_PAIRS_PERCENT   tables of pairs, of all threads; sorted and spilled to /tmp when they are full
//!   25 %     SHARED_PERCENT         data that calls share, if the job's pairs come from calls
//!   24 MiB   READ_AHEAD_BYTES       blocks of the split, fetched before the engine takes them
//!   80 MiB   UPLOAD_BYTES           parts of the upload of its runs
//!            RUN_MEMORY_BYTES       each finished run until it is uploaded, when the tables have gone; a longer one lies in /tmp
//!
//! a batch of calls
//!   20 %     RESULTS_PERCENT        results that wait to be written; the batch ends when they are more
//!   25 %     SHARED_PERCENT         data that calls share
//!   80 MiB   UPLOAD_BYTES           parts of the upload of the results
//!
//! a reduce task
//!   50 %     OPEN_RUNS_PERCENT      blocks of the runs that are merged at once, OPEN_RUN_BYTES each
//!   25 %     SHARED_PERCENT         data that calls share, if what reduces is a call
//!   80 MiB   UPLOAD_BYTES           parts of the upload of its part of the output
//! ```
//!
//! What is left is for the code, the allocator, the sockets, and what the job itself holds. A shipped program has all of this with
//! the worker beside it, and is ended at [`PROGRAM_PERCENT`].
//!
//! Times after which silence means something are no budgets: they stand with the table that says what they mean, in
//! `ledger/advance.rs`.

use crate::limits;

// How a job is cut.

/// The smallest split that is chosen, in bytes (16 MiB): below it, starting a function costs more than it saves.
pub const SPLIT_BYTES_MIN: u64 = 16 << 20;

/// The largest split that is chosen, in bytes (256 MiB), unless the input would be more than [`limits::MAP_TASKS_MAX`] of them: a
/// try that fails repeats no more than that.
pub const SPLIT_BYTES_MAX: u64 = 256 << 20;

/// How many map tasks each function that can run at once should get, so that none idles while the last ones run.
pub const WAVES: u32 = 4;

/// What opening an object costs, as bytes read (256 KiB): one request's wait at the rate of one stream.
pub const OPEN_BYTES: u64 = 256 << 10;

/// A partition is chosen for so many bytes of input (128 MiB).
pub const PARTITION_INPUT_BYTES: u64 = 128 << 20;

/// The most partitions that are chosen by the input's size: each mapper writes a run for each.
pub const PARTITIONS_CHOSEN_MAX: u32 = 1_000;

/// The most partitions that are chosen so that reducing uses the functions that mapping used, when the input is not large enough for
/// more or, being items, says nothing of what it will become.
pub const PARTITIONS_SPREAD_MAX: u32 = 8;

// How often a task is tried.

/// How many tries a task has, the first included.
pub const TRIES_MAX: u16 = 4;

/// How many tries of a piece may run out of time: a worker stops at a record's end in good time, so what takes longer than a
/// function may is one record, or a loop without end, and will do so again.
pub const TIMED_OUT_TRIES_MAX: usize = 2;

/// How often a call that is alone is tried whose worker died, but not of time: once more, on the larger mapper where memory was
/// short, as what killed it may have been another's doing.
pub const ALONE_TRIES_MAX: usize = 2;

/// A backup is worth its cost only when the task runs this many times longer than its siblings did…
pub const STRAGGLER_FACTOR: u64 = 4;

/// …and at least this long, in milliseconds…
pub const STRAGGLER_MS_MIN: u64 = 10_000;

/// …and this part of the siblings is done, in percent.
pub const STRAGGLER_DONE_PERCENT: usize = 75;

// What a function's memory and time go to.

/// The memory of a function, in MB: what brings one thread. `template.yaml` says the same of mapper and reducer.
pub const MEMORY_MB: u32 = limits::MEMORY_MB_PER_VCPU;

/// How many times as much memory the larger mapper of the embedded runtime has, as far as a function can have so much.
pub const LARGER_FACTOR: u32 = 4;

/// See the table above.
pub const MAPPED_PAIRS_PERCENT: u64 = 50;

/// See the table above. They are counted by their encodings; the latest is kept whatever its size.
pub const SHARED_PERCENT: u64 = 25;

/// See the table above. They are counted by their encodings.
pub const RESULTS_PERCENT: u64 = 20;

/// See the table above. More runs are merged in several passes.
pub const OPEN_RUNS_PERCENT: u64 = 50;

/// What a worker and a shipped program may use together, in percent: beyond it, Lambda would end both.
pub const PROGRAM_PERCENT: u64 = 96;

/// What a worker and a shipped program leave at least, in bytes (10 MiB).
pub const PROGRAM_LEFT_BYTES_MIN: u64 = 10 << 20;

/// One GET of a mapper asks for this much, in bytes (8 MiB): S3 serves a large object fastest by several ranges of 8–16 MB at once.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html>
pub const GET_BYTES: u64 = 8 << 20;

/// How much a mapper fetches ahead of the engine, in bytes.
pub const READ_AHEAD_BYTES: u64 = 3 * GET_BYTES;

/// The size of an upload's part, in bytes (16 MiB). It grows as an upload grows, so that 10,000 parts hold 5 TB, S3's largest object.
pub const UPLOAD_PART_BYTES: usize = 16 << 20;

/// How many parts of an upload are under way at once.
pub const UPLOAD_PARTS_AT_ONCE: usize = 4;

/// What an upload holds, in bytes: the parts under way, and the one that is being gathered.
pub const UPLOAD_BYTES: u64 = (UPLOAD_PARTS_AT_ONCE as u64 + 1) * UPLOAD_PART_BYTES as u64;

/// Above this, in bytes (64 MiB), a finished run lies in `/tmp` until it is uploaded, not in memory.
pub const RUN_MEMORY_BYTES: usize = 64 << 20;

/// What a run that is being merged holds at most, about, in bytes (1 MiB): its block, raw and stored, and the blocks that wait.
pub const OPEN_RUN_BYTES: u64 = 1 << 20;

/// The part of a mapper's time that is kept for sorting, writing and committing what was mapped, in percent.
pub const MAP_TIME_KEPT_PERCENT: u32 = 30;

/// So many percent of a function's memory, in bytes.
pub const fn memory_bytes(memory_mb: u32, percent: u64) -> u64 {
    ((memory_mb as u64) << 20) * percent / 100
}

/// What a worker and a shipped program may use together of a function's memory, in bytes.
pub fn program_bytes_max(memory_mb: u32) -> u64 {
    let all = u64::from(memory_mb) << 20;
    memory_bytes(memory_mb, PROGRAM_PERCENT).min(all.saturating_sub(PROGRAM_LEFT_BYTES_MIN))
}

/// The memory of the larger mapper beside functions of so much, in MB.
pub fn larger_memory_mb(memory_mb: u32) -> u32 {
    memory_mb.saturating_mul(LARGER_FACTOR).min(limits::FUNCTION_MEMORY_MB_MAX)
}

/// What is held at once, by the table above: the sum of the shares in percent, and of the rest in bytes.
const HELD: [(u64, u64); 3] = [
    (MAPPED_PAIRS_PERCENT + SHARED_PERCENT, READ_AHEAD_BYTES + UPLOAD_BYTES),
    (RESULTS_PERCENT + SHARED_PERCENT, UPLOAD_BYTES),
    (OPEN_RUNS_PERCENT + SHARED_PERCENT, UPLOAD_BYTES),
];

/// What code, allocator and sockets take, in bytes, before anything is held (64 MiB): a worker that waits has 20 to 40.
const CODE_BYTES: u64 = 64 << 20;

// All of it fits into a function that has the memory that functions have by default, beside a worker whose program was shipped.
const _: () = {
    let mut i = 0;
    while i < HELD.len() {
        let (percent, bytes) = HELD[i];
        assert!(percent <= PROGRAM_PERCENT);
        assert!(memory_bytes(MEMORY_MB, percent) + bytes + 2 * CODE_BYTES <= memory_bytes(MEMORY_MB, PROGRAM_PERCENT));
        i += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_functions_memory() {
        assert_eq!(memory_bytes(1_000, MAPPED_PAIRS_PERCENT), 500 << 20);
        // The smallest function leaves 10 MiB, others a part.
        assert_eq!(program_bytes_max(128), 118 << 20);
        assert_eq!(program_bytes_max(1_000), 960 << 20);
        assert_eq!([128, 1_769, 3_008].map(larger_memory_mb), [512, 7_076, 10_240]);
    }

    /// The drawing in the header has numbers, too.
    #[test]
    fn the_header_draws_these_numbers() {
        let drawn: Vec<Vec<&str>> = include_str!("budget.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//!   "))
            .map(|line| line.split_whitespace().collect())
            .collect();
        let percent = |n: u64| vec![n.to_string(), "%".to_owned()];
        let mib = |bytes: u64| vec![(bytes >> 20).to_string(), "MiB".to_owned()];
        let numbers = [
            ("MAPPED_PAIRS_PERCENT", percent(MAPPED_PAIRS_PERCENT)),
            ("SHARED_PERCENT", percent(SHARED_PERCENT)),
            ("RESULTS_PERCENT", percent(RESULTS_PERCENT)),
            ("OPEN_RUNS_PERCENT", percent(OPEN_RUNS_PERCENT)),
            ("READ_AHEAD_BYTES", mib(READ_AHEAD_BYTES)),
            ("UPLOAD_BYTES", mib(UPLOAD_BYTES)),
        ];
        for (name, number) in numbers {
            let mut lines = drawn.iter().filter(|words| words.get(2) == Some(&name)).peekable();
            assert!(lines.peek().is_some(), "{name} is not drawn");
            assert!(lines.all(|words| words[..2] == number), "{name} is {number:?}");
        }
    }
}
