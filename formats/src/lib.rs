//! What objects are stored as: the codecs by which they are compressed, below the formats of their records.
//!
//! ```text
//! object's bytes ──codec──▶ blocks ──unpacked──▶ cutter ──▶ chunks of whole records ──format──▶ records
//!     mapper      codecs/            unpack.rs     core::engine::cut                core::format
//! ```
//!
//! A format works on slices of unpacked bytes and does not know of codecs, so every format reads every codec. A codec does not
//! know of records. [`unpack`] joins the two, and says which split has which record. Nothing here does any I/O: the bytes come
//! from a [`Source`].
//!
//! Where rows lie in columns there is no such stream: `row_groups.rs` says what there is to know of these files, and `parquet/`,
//! a feature as well, decodes them. Likewise `blocks.rs` and `avro/`, for rows that lie in blocks. What the two decoders share is in
//! `arrow/`.
//!
//! The other way, [`Packer`] compresses the parts of an output.
//!
//! Each codec is a file in `codecs/` and a feature of this crate, so that a program compiles those alone that it reads. Which
//! codec an object has is said in `kinglet_core::Codec`, as the splitter and the plan know it too.

#[cfg(not(feature = "parquet"))]
mod absent;
#[cfg(not(feature = "avro"))]
mod absent_avro;
#[cfg(feature = "arrow")]
mod arrow;
#[cfg(feature = "avro")]
mod avro;
pub mod blocks;
mod codecs;
mod conformance;
mod file_blocks;
mod footer;
mod pack;
#[cfg(feature = "parquet")]
mod parquet;
pub mod row_groups;
#[cfg(test)]
#[cfg(feature = "all-codecs")]
mod tests;
pub mod unpack;

pub use codecs::input::Source;
pub use codecs::{Cutting, cutting, read_seek_table, seek_table_bytes};
pub use conformance::{PackedObject, Reading, check_packed};
pub use pack::Packer;
