//! Avro, by the crate `arrow-avro`: what a file's head says, where its blocks are cut, and the rows that they hold.
//!
//! ```text
//! 0      "Obj" 1
//! 4      head: a map of names and bytes: avro.schema, as JSON; avro.codec
//!        marker:[u8;16]   drawn by the writer of the file
//!        blocks; each:    rows:long   how many; a zigzag varint, as are all longs
//!                         length:long of the rows as they are stored
//!                         the rows, one behind the other, compressed as one
//!                         marker:[u8;16]
//! ```
//!
//! A [`HeadReader`] is given an object's first bytes until it has the [`File`]. A [`BlockCutter`] cuts a range of it into blocks: where a
//! range starts in the middle, it looks for the marker, which ends the block before. Bytes within a block that are the same as the
//! marker would make a wrong start; the manifest's check demands that the range before ends there, so that this fails the job.
//! A [`Plan`] is a file with what a job wants of it, and decodes blocks.
//!
//! The crate decodes rows. Its own reader of files is not used: it takes a file that is cut short for a whole one, cannot begin in
//! the middle of one, and unpacks a block to whatever size it has.

mod cutter;
mod decode;
mod file;
mod schema;
#[cfg(test)]
mod tests;
mod unpack;

pub use cutter::BlockCutter;
pub use decode::Plan;
pub use file::{File, HeadReader};

use kinglet_core::{Code, Error};

/// Makes the error of an object that is not what Avro writes.
fn corrupt(shown: &str, what: impl std::fmt::Display) -> Error {
    Error::new(Code::AvroCorrupt, format!("reading {shown} as Avro: {what}"))
        .with_hint("check the file where it was written; if it is in another format, say so with --format")
}

/// Makes the error of a file that is whole, and not read.
fn not_read(shown: &str, what: impl std::fmt::Display) -> Error {
    Error::new(Code::AvroSchema, format!("reading {shown} as Avro: {what}"))
        .with_hint("write it by a record, with null, deflate, snappy, zstandard, bzip2 or xz; or convert it to Parquet")
}
