//! Parquet, by the crate `parquet`: what a footer says, which row groups a split has, and the rows that they hold.
//!
//! ```text
//! 0                     "PAR1"
//! 4                     row groups; in each, a chunk for every column: a page with its dictionary, perhaps, and pages with values
//! size − 8 − length     footer: the schema, and where the chunks lie, how they are compressed, and what lies in them (thrift)
//! size − 8              length:u32   of the footer, little-endian
//! size − 4              "PAR1", or "PARE" where the footer is encrypted
//! ```
//!
//! [`read_footer`] is given the end of an object and says whether it is enough. The [`File`] that it makes of it says which row
//! groups start in a split. A [`Plan`] is a file with what a job wants of it: it refuses columns that are not there, says which
//! row groups the job can pass over, and opens the others.
//!
//! A row group is decoded by the thread that maps its rows. The crate's push decoder does no I/O of its own either, but it wants
//! all chunks of a row group before it decodes the first row, and a row group may have any size. Here the decoder pulls
//! instead: `windows.rs` reads a window of each column ahead of it, so what is held does not depend on the row group.
//!
//! Written is Parquet by `write.rs`, which is given values and makes columns of them (`build.rs`).
//!
//! A file is read by the types of Parquet alone. What a writer has added for Arrow's own is not looked at, so that the same file
//! has the same types here as elsewhere.

mod about;
mod build;
mod file;
mod group;
mod pages;
mod plan;
#[cfg(test)]
mod tests;
mod thrift;
mod windows;
mod write;
#[cfg(test)]
mod write_tests;

pub use file::{File, read_footer};
pub use plan::Plan;
pub use write::typed_writer;

use kinglet_core::{Code, Error};

/// Makes the error of an object that is not what Parquet writes.
fn corrupt(shown: &str, what: impl std::fmt::Display) -> Error {
    Error::new(Code::ParquetCorrupt, format!("reading {shown} as Parquet: {what}"))
        .with_hint("check the file where it was written; if it is in another format, say so with --format")
}
