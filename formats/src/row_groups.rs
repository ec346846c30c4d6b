//! Files whose rows lie in row groups: what there is to know of them without knowing how they are decoded.
//!
//! This is the interface of `parquet/`, where that is compiled: a program that reads and writes no Parquet is built without it, and
//! says so when it is given such a file, or such an output.

#[cfg(not(feature = "parquet"))]
pub use crate::absent::{File, Plan, read_footer};
pub use crate::footer::{ColumnLook, FileGroup, Footer, FooterLook, RowGroupLook, Tail};
#[cfg(feature = "parquet")]
pub use crate::parquet::{File, Plan, read_footer, typed_writer};
#[cfg(not(feature = "parquet"))]
pub use kinglet_core::no_typed_writer as typed_writer;

use kinglet_core::{ByteRange, Result};

/// How many of an object's last bytes are read first (64 KiB). Most footers are shorter.
const TAIL_BYTES: u64 = 64 << 10;

/// Reads the footer of an object, for whoever fetches its bytes.
#[derive(Clone, Debug)]
pub struct FooterReader {
    shown: String,
    size: u64,
    tail: Vec<u8>,
    from: u64,
}

impl FooterReader {
    /// Begins to read the footer of an object of `size` bytes. Errors call it `shown`.
    pub fn new(shown: impl Into<String>, size: u64) -> Self {
        FooterReader { shown: shown.into(), size, tail: Vec::new(), from: size.saturating_sub(TAIL_BYTES) }
    }

    /// Reads the footer by means of what gets a range of the object.
    ///
    /// # Errors
    /// Returns the errors of [`Self::take`] and of `get`.
    pub async fn read<F: Future<Output = Result<Vec<u8>>>>(mut self, get: impl Fn(ByteRange) -> F) -> Result<File> {
        loop {
            let bytes = get(self.wants()).await?;
            if let Some(file) = self.take(bytes)? {
                return Ok(file);
            }
        }
    }

    /// Returns the bytes of the object that are needed next.
    pub fn wants(&self) -> ByteRange {
        ByteRange { from: self.from, to: self.size - self.tail.len() as u64 }
    }

    /// Takes the bytes that were needed. Returns the file, unless more are.
    ///
    /// # Errors
    /// `parquet-corrupt` when the object is not what Parquet writes; `parquet-encrypted`; `format-missing` when this program is
    /// built without Parquet.
    pub fn take(&mut self, mut bytes: Vec<u8>) -> Result<Option<File>> {
        bytes.append(&mut self.tail);
        self.tail = bytes;
        match read_footer(Tail { shown: &self.shown, size: self.size, bytes: &self.tail })? {
            Footer::Whole(file) => Ok(Some(file)),
            Footer::From(needed) => {
                self.from = needed;
                Ok(None)
            }
        }
    }
}
