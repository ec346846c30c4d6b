//! Kinglet's defaults, once each: how a job is cut, how often a task is tried, and what a function's memory and time go to.
//! Limits, which cannot be exceeded, are in [`limits`].
//!
//! Everything that a function holds at once must fit into its memory, as Lambda ends a function that needs more. `%` is of
//! that memory:
//!
//! ```text
//! a map task of a job
//!   50 %     MAPPED_PAIRS_PERCENT   tables of pairs, of all threads; sorted and spilled to /tmp when they are full
//!   25 %     SHARED_PERCENT         data that calls share, if the job's pairs come from calls
//!   10 %     UNPACK_PERCENT         the window or dictionary of a compressed object that is read; or windows of columns
//!   20 %     UNPACKED_RECORD_PERCENT  a record of a compressed object that is longer than a chunk, until it is whole
//!   24 MiB   READ_AHEAD_BYTES       blocks of the split, fetched before the engine takes them
//!   80 MiB   UPLOAD_BYTES           parts of the upload of its runs
//!   64 MiB   RUN_MEMORY_BYTES       finished runs until they are uploaded, and as much more as the tables have given back; the rest
//!                                   lies in /tmp
//!
//! a batch of calls
//!   20 %     RESULTS_PERCENT        results that wait to be written; the batch ends when they are more
//!   25 %     SHARED_PERCENT         data that calls share
//!   80 MiB   UPLOAD_BYTES           parts of the upload of the results
//!
//! a merge task
//!   50 %     OPEN_RUNS_PERCENT      blocks of the runs that are merged at once, OPEN_RUN_BYTES each
//!   80 MiB   UPLOAD_BYTES           parts of the upload of its runs
//!
//! a reduce task
//!   50 %     OPEN_RUNS_PERCENT      blocks of the runs that are merged at once, OPEN_RUN_BYTES each
//!   20 %     ROW_GROUP_PERCENT      the row group of Parquet that is being written: half of it while it grows, all of it as it is handed on
//!   25 %     SHARED_PERCENT         data that calls share, if what reduces is a call, which writes no part
//!   10 %     KEPT_PERCENT           values of a key that `reduce` keeps to read them again; the rest lies in /tmp
//!   80 MiB   UPLOAD_BYTES           parts of the upload of its part of the output
//! ```
//!
//! At most [`OPEN_RUNS_MAX`] runs are merged at once, however much memory there is: each that lies in S3 is a connection.
//!
//! The rest is for the code, the allocator, the sockets, and what the job itself holds. A shipped program holds all of this
//! while the worker runs next to it, and is ended when both together use [`PROGRAM_PERCENT`].
//!
//! The times after which silence means something are not here: they stand in `ledger/advance.rs`, with the table that says
//! what they mean.

use crate::limits;

// How a job is cut.

/// The smallest split that the splitter chooses, in bytes (16 MiB): below it, starting a function costs more than it saves.
pub const SPLIT_BYTES_MIN: u64 = 16 << 20;

/// The largest split that the splitter chooses, in bytes, so that a failed try repeats no more than that. Splits are
/// larger only if the input would otherwise have more than [`limits::MAP_TASKS_MAX`] of them.
pub const SPLIT_BYTES_MAX: u64 = 256 << 20;

/// How many map tasks there should be for each function that can run at once, so that none idles while the last ones run.
pub const WAVES: u32 = 4;

/// What opening an object costs, in bytes that could be read meanwhile (256 KiB): the wait for one request at the rate of one
/// stream.
pub const OPEN_BYTES: u64 = 256 << 10;

/// How many bytes of input there are for each partition that the splitter chooses (128 MiB).
pub const PARTITION_INPUT_BYTES: u64 = 128 << 20;

/// The most partitions that the splitter chooses by the input's size: each mapper writes a run for each partition.
pub const PARTITIONS_CHOSEN_MAX: u32 = 1_000;

/// The most partitions that the splitter chooses so that reducing runs on as many functions as mapping. It does so when the
/// input is too small for more, or consists of items, whose size does not tell how much data they become.
pub const PARTITIONS_SPREAD_MAX: u32 = 8;

// How much of an input a driver samples, to see where sorted parts are to end.

/// How many pieces of an input are read.
pub const SAMPLE_PIECES: u32 = 256;

/// How long they are, in bytes (64 KiB): some hundred rows each, for about the price of one.
pub const SAMPLE_PIECE_BYTES: u64 = 64 << 10;

/// How many pieces are read besides where most rows are longer than that.
pub const SAMPLE_LONG_PIECES: u32 = 16;

/// How long those are, in bytes (1 MiB); as much is read at most of an object that is only read from its start.
pub const SAMPLE_LONG_PIECE_BYTES: u64 = 1 << 20;

// How often a task is tried.

/// How often a function is called at most for an object for which it fails: three, as a call that fails twice by chance is rare, and
/// one that fails by itself should not be made for long.
pub const OBJECT_TRIES: u16 = 3;

/// The longest pause before a function is called for an object again, in milliseconds.
pub const OBJECT_PAUSE_MS_MAX: u64 = 30_000;

/// How many objects for which a function is called are one map. The driver holds as many at a time.
pub const OBJECTS_PER_LOT: usize = 100_000;

/// How many tries a task has, the first included.
pub const TRIES_MAX: u16 = 4;

/// How many tries of a piece may run out of time. A worker stops in good time at the end of a record, so what takes longer than
/// a function may run is a single record or an endless loop, and will do so again.
pub const TIMED_OUT_TRIES_MAX: usize = 2;

/// How often a call that is alone in its piece is tried if its worker died, but not of time: once more, as something else may
/// have killed the worker, and on the larger mapper if memory was short.
pub const ALONE_TRIES_MAX: usize = 2;

/// A backup is worth its cost only if the task has run this many times longer than its siblings did…
pub const STRAGGLER_FACTOR: u64 = 4;

/// …and at least this long, in milliseconds…
pub const STRAGGLER_MS_MIN: u64 = 10_000;

/// …and this many percent of the siblings are done.
pub const STRAGGLER_DONE_PERCENT: usize = 75;

// What a function's memory and time go to.

/// The memory of a function, in MB (1,769): enough for one thread. `template.yaml` says the same of mapper and reducer.
pub const MEMORY_MB: u32 = limits::MEMORY_MB_PER_VCPU;

/// How many times as much memory the larger mapper of the embedded runtime has, up to the most that a function can have.
pub const LARGER_FACTOR: u32 = 4;

/// See the table above.
pub const MAPPED_PAIRS_PERCENT: u64 = 50;

/// See the table above. Values are counted by the size of their encodings; the latest is kept whatever its size.
pub const SHARED_PERCENT: u64 = 25;

/// See the table above. A compressed object that needs more is refused.
pub const UNPACK_PERCENT: u64 = 10;

/// See the table above. A longer record is refused.
pub const UNPACKED_RECORD_PERCENT: u64 = 20;

/// See the table above. Results are counted by the size of their encodings.
pub const RESULTS_PERCENT: u64 = 20;

/// See the table above. Runs that need more are merged in several passes.
pub const OPEN_RUNS_PERCENT: u64 = 50;

/// See the table above. A row group that would take more is ended early.
pub const ROW_GROUP_PERCENT: u64 = 20;

/// See the table above. Values of a key that are kept and take more lie in `/tmp`.
pub const KEPT_PERCENT: u64 = 10;

/// About how many bytes a row group of Parquet has that is written, as they are stored (64 MiB): readers take row groups in parallel,
/// and each by itself.
pub const ROW_GROUP_BYTES: u64 = 64 << 20;

/// How much of the function's memory a worker and a shipped program may use together, in percent: above it, Lambda would end
/// both.
pub const PROGRAM_PERCENT: u64 = 96;

/// How much of the function's memory a worker and a shipped program leave free at least, in bytes (10 MiB).
pub const PROGRAM_LEFT_BYTES_MIN: u64 = 10 << 20;

/// How much a mapper asks for with one GET, in bytes (8 MiB): S3 serves a large object fastest as several ranges of 8–16 MB at
/// once. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html>
pub const GET_BYTES: u64 = 8 << 20;

/// How much a mapper fetches ahead of the engine, in bytes (24 MiB).
pub const READ_AHEAD_BYTES: u64 = 3 * GET_BYTES;

/// The size of the parts of an upload, in bytes (16 MiB). Parts grow as the upload grows, so that 10,000 of them hold 12 TiB:
/// far more than one function can send in its time.
pub const UPLOAD_PART_BYTES: usize = 16 << 20;

/// How many parts of an upload are sent at once.
pub const UPLOAD_PARTS_AT_ONCE: usize = 4;

/// How much an upload holds, in bytes (80 MiB): the parts being sent, and the one being gathered.
pub const UPLOAD_BYTES: u64 = (UPLOAD_PARTS_AT_ONCE as u64 + 1) * UPLOAD_PART_BYTES as u64;

/// How much of a task's finished runs is kept in memory until they are uploaded, in bytes (64 MiB), beside what the tables have
/// given back. The rest lies in `/tmp`. In a small function it is less: a quarter of [`MAPPED_PAIRS_PERCENT`].
pub const RUN_MEMORY_BYTES: usize = 64 << 20;

/// The largest file of an output whose upload is ended while the next files are written, in bytes (512 KiB): folders may have
/// thousands of small files, and each takes two requests, one after the other.
pub const SMALL_FILE_BYTES: usize = 512 << 10;

/// How many such files are ended at once. Together they hold no more than [`UPLOAD_PART_BYTES`], and a larger file waits for them
/// before it sends more than one part: so all uploads of a task hold no more than [`UPLOAD_BYTES`].
pub const SMALL_FILES_AT_ONCE: usize = 32;

const _: () = assert!(SMALL_FILES_AT_ONCE * SMALL_FILE_BYTES <= UPLOAD_PART_BYTES && UPLOAD_PARTS_AT_ONCE > 1);

/// How many files a reduce task may begin in folders, unless the submission says otherwise. They cost $0.30 in all.
pub const FILES_PER_TASK_MAX: u32 = 20_000;

/// About how much a run that is being merged holds at most, in bytes (1 MiB): its block, raw and stored, and the blocks that
/// wait.
pub const OPEN_RUN_BYTES: u64 = 1 << 20;

/// How many groups of map tasks have their indexes read at once, by a reducer or by whoever indexes a job's runs by partition.
/// Each group takes up to some megabytes.
pub const INDEXES_AT_ONCE: usize = 16;

/// How many runs are merged at once at most, and so how many connections a reducer opens for them (768).
pub const OPEN_RUNS_MAX: usize = 768;

/// How many other files and connections a function may have open while it merges so many runs: those of its upload, to DynamoDB and
/// Lambda, of log and program, and what waits in a pool for its next request.
const DESCRIPTORS_KEPT: usize = 100;

// The files in which the passes of the largest job leave what they have merged are open besides.
const _: () = {
    let passes = (limits::MAP_TASKS_MAX as usize).div_ceil(OPEN_RUNS_MAX);
    assert!(OPEN_RUNS_MAX + passes + UPLOAD_PARTS_AT_ONCE + DESCRIPTORS_KEPT <= limits::DESCRIPTORS_MAX);
};

/// Returns how many runs a function of so much memory merges at once. More are merged in several passes through `/tmp`.
pub fn open_runs_max(memory_mb: u32) -> usize {
    let held = memory_bytes(memory_mb, OPEN_RUNS_PERCENT) / OPEN_RUN_BYTES;
    usize::try_from(held).unwrap_or(OPEN_RUNS_MAX).clamp(2, OPEN_RUNS_MAX)
}

/// The most that the passes of a reduce task write into `/tmp` at once, in bytes (2 GiB): what is there is merged again when the
/// rest of the task is handed on.
pub const PASSES_BYTES_MAX: u64 = 2 << 30;

/// The least, in bytes (64 MiB).
const PASSES_BYTES_MIN: u64 = 64 << 20;

/// How much of `/tmp` is not for passes, in MB: a shipped program lies there, and what the job's own code writes.
const TMP_KEPT_MB: u32 = 320;

/// Returns how much the passes of a reduce task may write at once into a `/tmp` of so many MB, in bytes.
pub fn passes_bytes(tmp_mb: u32) -> u64 {
    (u64::from(tmp_mb.saturating_sub(TMP_KEPT_MB)) << 20).clamp(PASSES_BYTES_MIN, PASSES_BYTES_MAX)
}

/// How much of a reducer's time is reserved for the key that it is at, and for sending and committing its part, in percent.
pub const REDUCE_TIME_KEPT_PERCENT: u32 = 20;

/// How much of its time a reducer may use before it hands on, in percent, after a try ran out of time. A key that did not fit into
/// what was left of that try's time then comes near the start of a piece.
pub const REDUCE_EARLY_PERCENT: u32 = 12;

/// How many bytes of runs a merge task is taken to fetch, merge and write in a second (20 MB), which a function of 512 MB does: an
/// assumption, by [`crate::cost`]'s rates. It decides how much a piece of such a task takes.
pub const MERGE_BYTES_S: u64 = 20_000_000;

/// How much of its time a merge task may take bytes for, in percent, after a try ran out of time.
pub const MERGE_EARLY_PERCENT: u64 = 20;

/// How much of a mapper's time is reserved for sorting, writing and committing what was mapped, in percent.
pub const MAP_TIME_KEPT_PERCENT: u32 = 30;

/// Returns this many percent of a function's memory, in bytes.
pub const fn memory_bytes(memory_mb: u32, percent: u64) -> u64 {
    ((memory_mb as u64) << 20) * percent / 100
}

/// Returns how much of a function's memory a worker and a shipped program may use together, in bytes.
pub fn program_bytes_max(memory_mb: u32) -> u64 {
    let all = u64::from(memory_mb) << 20;
    memory_bytes(memory_mb, PROGRAM_PERCENT).min(all.saturating_sub(PROGRAM_LEFT_BYTES_MIN))
}

/// Returns the memory of the larger mapper if the other functions have `memory_mb`, in MB.
pub fn larger_memory_mb(memory_mb: u32) -> u32 {
    memory_mb.saturating_mul(LARGER_FACTOR).min(limits::FUNCTION_MEMORY_MB_MAX)
}

/// What each kind of task holds at once, by the table above: the sum of the shares, in percent, and of the rest, in bytes.
const HELD: [(u64, u64); 6] = [
    // Pairs come from calls, which read no compressed object, or from an object.
    (MAPPED_PAIRS_PERCENT + SHARED_PERCENT, READ_AHEAD_BYTES + UPLOAD_BYTES + RUN_MEMORY_BYTES as u64),
    // It has no finished runs before all is read.
    (MAPPED_PAIRS_PERCENT + UNPACK_PERCENT + UNPACKED_RECORD_PERCENT, READ_AHEAD_BYTES + UPLOAD_BYTES),
    (RESULTS_PERCENT + SHARED_PERCENT, UPLOAD_BYTES),
    (OPEN_RUNS_PERCENT, UPLOAD_BYTES),
    (OPEN_RUNS_PERCENT + SHARED_PERCENT, UPLOAD_BYTES),
    (OPEN_RUNS_PERCENT + ROW_GROUP_PERCENT + KEPT_PERCENT, UPLOAD_BYTES),
];

/// What code, allocator and sockets take before anything is held, in bytes (64 MiB): a waiting worker takes 20 to 40 MB.
pub(crate) const CODE_BYTES: u64 = 64 << 20;

// All of it fits into a function with the default memory, even with a shipped program next to the worker.
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
        // The smallest function leaves 10 MiB, larger ones 4 %.
        assert_eq!(program_bytes_max(128), 118 << 20);
        assert_eq!(program_bytes_max(1_000), 960 << 20);
        assert_eq!([128, 1_769, 3_008].map(larger_memory_mb), [512, 7_076, 10_240]);
    }

    #[test]
    fn passes_leave_room_in_tmp() {
        assert_eq!([0, 512, 2_048, 10_240].map(|mb| passes_bytes(mb) >> 20), [64, 192, 1_728, 2_048]);
    }

    #[test]
    fn no_function_opens_more_runs_than_it_may_have_connections() {
        assert_eq!([1, 128, 1_024, 1_769, 3_008, 10_240].map(open_runs_max), [2, 64, 512, 768, 768, 768]);
    }

    /// The table in the header repeats some of the constants.
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
            ("UNPACK_PERCENT", percent(UNPACK_PERCENT)),
            ("UNPACKED_RECORD_PERCENT", percent(UNPACKED_RECORD_PERCENT)),
            ("RESULTS_PERCENT", percent(RESULTS_PERCENT)),
            ("OPEN_RUNS_PERCENT", percent(OPEN_RUNS_PERCENT)),
            ("ROW_GROUP_PERCENT", percent(ROW_GROUP_PERCENT)),
            ("KEPT_PERCENT", percent(KEPT_PERCENT)),
            ("READ_AHEAD_BYTES", mib(READ_AHEAD_BYTES)),
            ("UPLOAD_BYTES", mib(UPLOAD_BYTES)),
            ("RUN_MEMORY_BYTES", mib(RUN_MEMORY_BYTES as u64)),
        ];
        for (name, number) in numbers {
            let mut lines = drawn.iter().filter(|words| words.get(2) == Some(&name)).peekable();
            assert!(lines.peek().is_some(), "{name} is not drawn");
            assert!(lines.all(|words| words[..2] == number), "{name} is {number:?}");
        }
    }
}
