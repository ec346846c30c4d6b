//! A bundle: what a map attempt has for one band of partitions, where its runs are merged before they are reduced
//! ([`crate::grid`]). It begins by saying where each run ends, so that one GET fetches all that a merge task wants of the attempt.
//!
//! ```text
//! bundle = length:u32 head run*
//! length   the bytes of the head; little-endian
//! head     a frame: where the run of each partition of the band ends, in bytes behind the head; version 1
//! run      as in `run`; nothing of a partition without pairs
//! ```
//!
//! A band without pairs has no bundle. The golden file is `core/tests/golden/bundle-v1.bin`.

use super::frame::{self, Framed, Kind};
use super::record::RunIndex;
use crate::error::{Code, Error, Result};
use crate::limits::PARTITIONS_MAX;
use serde::{Deserialize, Serialize};
use std::io::Read;

/// The most bytes of a head: nine for each of all partitions that a job may have, and the frame.
const HEAD_BYTES_MAX: usize = 9 * (PARTITIONS_MAX as usize + 1) + 1_024;

const LENGTH_BYTES: usize = 4;

/// Where each run of a bundle ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleHead {
    /// The offset behind the last byte of each run, from the head's end on.
    pub ends: Vec<u64>,
}

impl Framed for BundleHead {
    const KIND: Kind = Kind::BundleHead;
    const VERSION: u8 = 1;

    fn check(&self) -> std::result::Result<(), &'static str> {
        if self.ends.is_sorted() { Ok(()) } else { Err("a run that ends before it starts") }
    }
}

impl BundleHead {
    /// Returns the head of runs of these lengths, in bytes.
    pub fn of(lengths: impl IntoIterator<Item = u64>) -> Self {
        BundleHead { ends: RunIndex::of(lengths).ends }
    }

    /// Returns the length of each run in bytes.
    pub fn lengths(&self) -> impl Iterator<Item = u64> {
        let before = std::iter::once(&0).chain(&self.ends);
        self.ends.iter().zip(before).map(|(end, start)| end - start)
    }

    /// Returns the bytes that a bundle begins with.
    ///
    /// # Errors
    /// Returns [`Error::UserCode`] (`value-encode`) when it cannot be encoded, which no head is.
    pub fn write(&self) -> Result<Vec<u8>> {
        let frame = frame::write(self)?;
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        Ok([&length.to_le_bytes()[..], &frame].concat())
    }

    /// Reads the head of a bundle of so many partitions; the runs come next then. `name` names the bundle in errors.
    ///
    /// # Errors
    /// Returns `run-read` when it cannot be read, and [`Error::Corrupt`] (`frame-corrupt`) when it is no such head.
    pub fn read(mut bundle: impl Read, partitions: usize, name: &str) -> Result<Self> {
        let corrupt = |what: &str| Error::new(Code::FrameCorrupt, format!("reading {name}: {what}"));
        let mut exact = |bytes: &mut [u8]| {
            bundle.read_exact(bytes).map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => corrupt("it ends within its head"),
                _ => match error.downcast::<Error>() {
                    Ok(error) => error,
                    Err(error) => Error::new(Code::RunRead, format!("reading {name}: {error}")),
                },
            })
        };
        let mut length = [0; LENGTH_BYTES];
        exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > HEAD_BYTES_MAX {
            return Err(corrupt("a head that no bundle has"));
        }
        let mut frame = vec![0; length];
        exact(&mut frame)?;
        let head: BundleHead = frame::read(&frame, name)?;
        match head.ends.len() == partitions {
            true => Ok(head),
            false => Err(corrupt("the runs of another number of partitions")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_and_back() {
        let head = BundleHead::of([5, 0, 1 << 33]);
        assert_eq!(head.ends, [5, 5, (1 << 33) + 5]);
        assert_eq!(head.lengths().collect::<Vec<_>>(), [5, 0, 1 << 33]);
        let mut bundle = head.write().unwrap();
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/bundle-v1.bin"), &bundle);
        let length = bundle.len();
        bundle.extend(b"runs");
        let mut rest = &bundle[..];
        assert_eq!(BundleHead::read(&mut rest, 3, "it").unwrap(), head);
        assert_eq!(rest, b"runs");
        for cut in 0..length {
            let error = BundleHead::read(&bundle[..cut], 3, "it").unwrap_err();
            assert!(error.is(Code::FrameCorrupt) && error.to_string().starts_with("reading it: "), "{error}");
        }
        assert!(BundleHead::read(&bundle[..], 2, "it").unwrap_err().is(Code::FrameCorrupt));
        bundle[3] = 1;
        assert!(BundleHead::read(&bundle[..], 3, "it").unwrap_err().to_string().contains("no bundle has"));
        let bad = BundleHead { ends: vec![3, 2] }.write().unwrap();
        assert!(BundleHead::read(&bad[..], 2, "it").is_err());
    }
}
