//! The built-in jobs, one file or folder each, and the kernels that compute for them.

mod bench_empty;
mod bench_hold;
mod bench_read;
mod bench_write;
mod hull;
pub mod kernels;
mod primes;
mod rows;
mod word_count;

pub use bench_empty::BenchEmpty;
pub use bench_hold::BenchHold;
pub use bench_read::{BenchRead, Blocks};
pub use bench_write::BenchWrite;
pub use hull::{Column, Hull, PointFormat};
pub use primes::{Primes, PrimesOf, Stretch, parse_number};
pub use rows::{
    Aggregate, BroadcastJoin, By, Cat, Computed, Convert, CountRows, Counted, Function, Grep, JoinPair, JoinRows,
    JoinSide, Joining, On, Ordered, OrderedRow, PackedValues, Pattern, ReadAs, RowKey, Sample, Sort, TOP_BYTES_MAX,
    TOP_ROWS_MAX, Top, TypedRows,
};
pub use word_count::WordCount;

use kinglet_core::{Joined, Registry};

/// Returns the registry of all built-in jobs.
pub fn registry() -> Registry {
    Registry::new()
        .job::<WordCount>()
        .job::<Primes>()
        .job::<Hull>()
        .job::<CountRows>()
        .job::<Aggregate>()
        .job::<Grep>()
        .job::<Cat>()
        .job::<Convert>()
        .job::<Sample>()
        .job::<Sort>()
        .job::<Top>()
        .job::<Joined<JoinRows>>()
        .job::<BroadcastJoin>()
        .job::<BenchEmpty>()
        .job::<BenchHold>()
        .job::<BenchRead>()
        .job::<BenchWrite>()
}
