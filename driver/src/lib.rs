//! **Kinglet**: serverless MapReduce in Rust on AWS Lambda, S3 and DynamoDB, and on a laptop without any of them.
//!
//! A job is a struct with a `map` and a `reduce`. [`main`] makes one program of it that is the driver when a person starts it
//! and the worker when a Lambda host does. [`Driver::local`] starts the embedded runtime: an S3, a DynamoDB and a Lambda of
//! its own, on loopback, in this process; the program starts itself again as their functions. [`Driver::aws`] connects to a
//! stack that `sam deploy` made once: the program ships itself to its functions ([`Program`]).
//!
//! ```no_run
//! use kinglet::{Combiner, Driver, Emitter, Job, Registry, Sink, UserResult, Values, Words};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct WordCount;
//!
//! impl Job for WordCount {
//!     const NAME: &'static str = "my-word-count";
//!     type Input = Words;
//!     type Key = Vec<u8>;
//!     type Value = u64;
//!     type Output = (Vec<u8>, u64);
//!
//!     fn map(&self, word: &[u8], out: &mut Emitter<'_, Vec<u8>, u64>) -> UserResult {
//!         out.emit(word, 1)
//!     }
//!     fn combiner(&self) -> Option<Combiner<u64>> {
//!         Some(Combiner::sum())
//!     }
//!     fn reduce(&self, word: Vec<u8>, counts: Values<'_, u64>, out: &mut Sink<'_, (Vec<u8>, u64)>) -> UserResult {
//!         out.push(&(word, counts.sum()))
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     kinglet::main(Registry::new().job::<WordCount>(), async || {
//!         let driver = Driver::local().await?;
//!         let report = driver.run(&WordCount, ["books/"], "counts").await?;
//!         println!("{} words", report.records_in);
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # Errors
//!
//! An [`Error`] has a variant for who must act, a stable [code](Error::code) for what happened, and often a
//! [hint](Error::hint). Every function that calls S3, DynamoDB or Lambda may return a *service error*:
//!
//! | code | what to do |
//! |---|---|
//! | `throttled`, `service`, `unreachable`, `body` | [try again](Error::is_retryable), or check the network: the SDK has already tried several times |
//! | `credentials-missing`, `credentials-expired`, `credentials` | sign in |
//! | `access-denied` | get the permission that the message names |
//! | `clock` | set this machine's clock |
//! | `resource-missing` | deploy the stack: its table or one of its functions is gone |
//!
//! The `# Errors` section of a function names the further codes that it may return. `docs/reference/errors.md` lists all
//! codes.

mod aws;
mod calls;
mod columns;
mod connection;
mod counting;
mod doctor;
mod driver;
mod entry;
mod finding;
mod for_each;
mod handle;
mod head;
mod history;
mod hold;
mod input_list;
mod inputs;
mod inventory;
mod items;
mod jobs;
mod local;
mod logs;
mod look;
mod machine;
pub mod measure;
mod output;
mod place;
mod plan;
mod program;
mod records;
mod report;
mod sampling;
mod simulated;
mod status;
mod stored;
mod submission;
mod submit;
mod typing;

pub use aws::Aws;
pub use calls::{CallFuture, CallOptions, CallStats, Calls, CallsReport};
pub use doctor::{Finding, Level, examine_machine};
pub use driver::{Driver, Endpoints, StackInfo};
pub use entry::{Registry, main, register};
pub use for_each::{CompletionReport, ForEachObject};
pub use handle::JobHandle;
pub use head::Head;
pub use history::History;
pub use local::{Local, LocalFunctions, Servers};
pub use logs::{LOG_LINES_MAX, LogFilter, LogLine};
pub use look::{Look, look_at_file};
pub use machine::Machine;
pub use program::Program;
pub use report::{Attempt, Cost, Hottest, Outcome, Report, Requests, RunPlaces, Spread, Wall};
pub use sampling::{Inputs, Sample, SampledPair, Sampling};
pub use status::{JobStatus, JobSummary, JobTimes, Leftovers, Progress, Tally};
pub use stored::{Store, StoredSummary};
pub use submission::Planned;
pub use submit::Submit;
pub use typing::{InputColumns, Typed, Typing};

// What a job and a function are made of.
pub use kinglet_calls::{Context, Function, S3Object, Shared};
pub use kinglet_core::format::*;
pub use kinglet_core::{
    Again, AsKey, Code, Codec, Combiner, Emitter, Error, ErrorKind, Fault, GroupedBy, Growth, How, Is, Job, Join,
    JoinKey, Joined, Kept, Key, LeftRows, Matched, MaxRejected, OutputFormat, PathCondition, PathPart, PlacedBy,
    Placing, Result, RightRows, Side, SideRow, Sink, TypedColumn, TypedFormat, Types, UserError, UserResult, Value,
    ValueType, Values, Width, Workload, check_format, check_job, check_job_items, check_join,
};
pub use kinglet_formats::row_groups::{ColumnLook, FooterLook, RowGroupLook};
pub use kinglet_formats::{PackedObject, Reading, check_packed};

// Names, numbers and plain enums, which the ledger and the wire share with this interface: twins of them would say the same.
// They have no `#[non_exhaustive]`, as the ledger's own code must see where it does not name a new phase.
pub use kinglet_core::cost::{Forecast, Plan, Range, Recommended, Stages, Usd};
pub use kinglet_core::ids::{JobId, Stage, Timestamp};
pub use kinglet_core::ledger::Phase;
pub use kinglet_core::prices;
pub use kinglet_core::wire::VERSION as WIRE_VERSION;
pub use kinglet_core::wire::cost::{Host, Site};
pub use kinglet_core::wire::run::Compression;
pub use kinglet_core::wire::spec::RunsMerged;

// The file `_manifest.json`, which other programs read: its layout is frozen by its own version, and so is this type.
pub use kinglet_core::manifest::{Manifest, PartEntry, SplitEntry};
