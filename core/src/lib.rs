//! The heart of Kinglet: vocabulary, the job traits, formats, the engine, and everything that crosses a boundary as bytes.
//!
//! This crate names no AWS crate and does no network I/O. Users depend on the crate `kinglet`, which re-exports what they
//! need of this one.
//!
//! **Vocabulary.** A *job* reads *input*, cut into *splits*. A *task* handles one split (map) or one *partition* (reduce); an
//! *attempt* is one execution of a task. A map attempt writes one sorted *run* for each partition. A reduce attempt merges
//! the runs of one partition into one *part*. The *ledger* records which attempt's output counts: that is its *commit*.

pub mod bill;
pub mod budget;
pub mod codec;
mod codecs;
mod comparison;
pub mod cost;
pub mod engine;
pub mod env;
mod error;
pub mod format;
pub mod grid;
pub mod guard;
pub mod guesses;
mod hive;
pub mod ids;
pub mod inventory;
mod job;
mod join;
mod key;
pub mod ledger;
pub mod limits;
pub mod manifest;
mod max_rejected;
pub mod model;
mod nearest;
mod output;
mod pairs;
mod part;
pub mod placement;
pub mod prices;
pub mod process;
mod range;
mod side;
mod types;
mod value;
pub mod wire;

pub use codecs::{Codec, MAGIC_BYTES};
pub use comparison::Is;
pub use engine::conformance::check_format;
pub use engine::erased::{ErasedJob, Registry, signature};
pub use engine::trial::{check_job, check_job_items, check_join};
pub use error::{Again, Code, Error, ErrorKind, Fault, Result, UserError, UserResult};
pub use format::*;
pub use hive::{PathCondition, PathPart};
pub use job::{Emitter, Job, Kept, Sink, Values, encode_params};
pub use join::{How, Join, JoinKey, Joined, LeftRows, Matched, RightRows, SideRow};
pub use key::{AsKey, GroupedBy, Key, PlacedBy, Placing};
pub use max_rejected::MaxRejected;
pub use nearest::nearest;
pub use output::{OutputFormat, TypedFormat};
pub use range::ByteRange;
pub use side::Side;
pub use types::{DECIMAL_DIGITS_MAX, TypedColumn, Types, ValueType, Width};
pub use value::{Combiner, Value};
pub use wire::cost::{Growth, Workload};
