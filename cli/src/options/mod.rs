//! Options that several commands have, a group a file.

mod cloud;
mod codec;
mod compression;
mod embedded;
mod merge_runs;
mod one_job;
mod rows;
mod written;

pub(crate) use cloud::Cloud;
pub(crate) use codec::CodecArg;
pub(crate) use compression::CompressionArg;
pub(crate) use embedded::{DATA_DIR, Embedded, EmbeddedOnly};
pub(crate) use merge_runs::MergeRunsArg;
pub(crate) use one_job::OneJob;
pub(crate) use rows::{ChosenRows, RightArgs, RowsArgs};
pub(crate) use written::WrittenArgs;
