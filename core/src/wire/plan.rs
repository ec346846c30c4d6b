//! The plan: the objects that the splitter found and how it cut them. It is one S3 object, `jobs/<job>/plan/<splitter>`, so
//! that one or two ranged GETs read the split of a task, or all splits for the manifest. All integers are little-endian.
//!
//! ```text
//! 0            "KPLN" version:u16=2 0:u16
//! 8            splits:u64
//! 16           offset:u64 × (splits + 1)     where split n starts; the last is where `inputs` starts
//!              split × splits                each a frame of kind Split
//!              inputs                        a frame of kind Inputs
//! ```

use super::frame::{self, Framed, Kind};
use super::record::Position;
use crate::codecs::Codec;
use crate::error::{Code, Error, Result};
use crate::ids::TaskIdx;
use crate::range::ByteRange;
use serde::{Deserialize, Serialize};

/// What one map task reads: either a range of one object, or whole objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The ranges, at least one, in the order of the input.
    pub ranges: Vec<ObjectRange>,
}

impl Framed for Split {
    const KIND: Kind = Kind::Split;
    const VERSION: u8 = 2;

    fn check(&self) -> std::result::Result<(), &'static str> {
        if self.ranges.is_empty() {
            return Err("a split without a range");
        }
        if self.ranges.iter().any(|range| range.from > range.to || range.to > range.size) {
            return Err("a range that does not lie in its object");
        }
        let bytes = self.ranges.iter().try_fold(0, |sum: u64, range| sum.checked_add(range.to - range.from));
        bytes.map(drop).ok_or("a split of more bytes than can be counted")
    }
}

impl Split {
    /// Returns how many bytes all ranges have.
    pub fn bytes(&self) -> u64 {
        self.bytes_from(Position::at(0, 0))
    }

    /// Returns how many bytes there are from a position on.
    pub fn bytes_from(&self, start: Position) -> u64 {
        let ranges = self.ranges.iter().zip(0..).skip(start.range_idx as usize);
        let left = ranges.map(|(range, idx)| {
            let from = if idx == start.range_idx { range.from.max(start.offset) } else { range.from };
            range.to.saturating_sub(from)
        });
        left.fold(0, u64::saturating_add)
    }
}

/// The bytes `from..to` of one object, pinned to the version that was listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRange {
    /// Which of the job's inputs it belongs to.
    pub input_idx: u32,
    /// The key in that input's bucket.
    pub key: String,
    /// The ETag when it was listed, quotes included; every read demands it.
    pub etag: String,
    /// The object's size.
    pub size: u64,
    /// The offset of the first byte.
    pub from: u64,
    /// The offset after the last byte.
    pub to: u64,
    /// How the object is compressed, if the splitter has looked. Otherwise the range is the whole object, and whoever reads its
    /// first bytes looks. Of a compressed object, the range has the blocks that start in it.
    pub codec: Option<Codec>,
}

/// The objects that were listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// How many objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The empty objects, which are in no split.
    pub empty: Vec<EmptyObject>,
}

/// An empty object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmptyObject {
    /// Which of the job's inputs it belongs to.
    pub input_idx: u32,
    /// The key in that input's bucket.
    pub key: String,
}

impl Framed for Inputs {
    const KIND: Kind = Kind::Inputs;
    const VERSION: u8 = 1;
}

const HEADER_BYTES: usize = 16;
const MAGIC: [u8; 8] = *b"KPLN\x02\0\0\0";

/// Returns the bytes of a plan.
///
/// # Errors
/// As [`frame::write`].
pub fn write(splits: &[Split], inputs: &Inputs) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut offsets = Vec::with_capacity(splits.len() + 1);
    for split in splits {
        offsets.push(body.len() as u64);
        body.extend(frame::write(split)?);
    }
    offsets.push(body.len() as u64);
    body.extend(frame::write(inputs)?);
    let base = (HEADER_BYTES + 8 * offsets.len()) as u64;
    let mut out = MAGIC.to_vec();
    out.extend((splits.len() as u64).to_le_bytes());
    for offset in offsets {
        out.extend((base + offset).to_le_bytes());
    }
    out.extend(body);
    Ok(out)
}

/// The index of a plan: where the splits lie in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanIndex(Vec<u64>);

impl PlanIndex {
    /// Returns how many bytes the index of a plan of this many splits takes, from the plan's start.
    pub fn bytes(splits: u32) -> u64 {
        HEADER_BYTES as u64 + 8 * (u64::from(splits) + 1)
    }

    /// Reads the index from the first bytes of a plan; more may follow them.
    ///
    /// # Errors
    /// Returns [`Error::Corrupt`] (`plan-corrupt`) when these are not the first bytes of a plan.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let corrupt = || Error::new(Code::PlanCorrupt, "reading the plan: its index is not whole");
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(corrupt)?;
        if header[..8] != MAGIC {
            return Err(corrupt());
        }
        let number = |b: &[u8]| b.try_into().map(u64::from_le_bytes).unwrap_or(0);
        let splits = usize::try_from(number(&header[8..])).map_err(|_| corrupt())?;
        let rest = rest.get(..splits.saturating_add(1).saturating_mul(8)).ok_or_else(corrupt)?;
        let offsets: Vec<u64> = rest.chunks_exact(8).map(number).collect();
        if offsets.is_sorted() { Ok(PlanIndex(offsets)) } else { Err(corrupt()) }
    }

    /// Returns where the split of a task lies in the plan.
    pub fn split(&self, task: TaskIdx) -> Option<ByteRange> {
        let at = task.0 as usize;
        Some(ByteRange { from: *self.0.get(at)?, to: *self.0.get(at + 1)? })
    }

    /// Returns where the record of the inputs starts.
    pub fn inputs(&self) -> u64 {
        self.0.last().copied().unwrap_or(0)
    }
}

/// Reads a whole plan.
///
/// # Errors
/// As [`PlanIndex::read`] and [`frame::read`].
pub fn read(bytes: &[u8]) -> Result<(Vec<Split>, Inputs)> {
    let index = PlanIndex::read(bytes)?;
    let part = |from: u64, to: u64| {
        let at = usize::try_from(from).ok().zip(usize::try_from(to).ok());
        at.and_then(|(from, to)| bytes.get(from..to))
            .ok_or_else(|| Error::new(Code::PlanCorrupt, "reading the plan: it ends early"))
    };
    let mut splits = Vec::with_capacity(index.0.len());
    for pair in index.0.windows(2) {
        splits.push(frame::read(part(pair[0], pair[1])?, "a split of the plan")?);
    }
    let inputs = frame::read(part(index.inputs(), bytes.len() as u64)?, "the inputs of the plan")?;
    Ok((splits, inputs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_lies_in_its_objects() {
        let range = |size, from, to| ObjectRange {
            input_idx: 0,
            key: "k".into(),
            etag: "e".into(),
            size,
            from,
            to,
            codec: None,
        };
        let read = |ranges| frame::read::<Split>(&frame::write(&Split { ranges }).unwrap(), "it");
        assert!(read(vec![range(10, 0, 10), range(10, 3, 3)]).is_ok());
        let whole = range(u64::MAX, 0, u64::MAX);
        for ranges in [vec![], vec![range(10, 4, 3)], vec![range(10, 0, 11)], vec![whole.clone(), whole]] {
            assert_eq!(read(ranges.clone()).unwrap_err().code(), "frame-corrupt", "{ranges:?}");
        }
    }

    #[test]
    fn golden_and_back() {
        let range =
            ObjectRange { input_idx: 0, key: "k".into(), etag: "\"e\"".into(), size: 10, from: 0, to: 5, codec: None };
        let splits = vec![
            Split { ranges: vec![range.clone()] },
            Split { ranges: vec![ObjectRange { from: 5, to: 10, codec: Some(Codec::Xz), ..range }] },
        ];
        let inputs = Inputs { objects: 2, bytes: 10, empty: vec![EmptyObject { input_idx: 0, key: "none".into() }] };
        let bytes = write(&splits, &inputs).unwrap();
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/plan-v2.bin"), &bytes);
        assert_eq!(read(&bytes).unwrap(), (splits.clone(), inputs));
        let index = PlanIndex::read(&bytes[..PlanIndex::bytes(2) as usize]).unwrap();
        let ByteRange { from, to } = index.split(TaskIdx(1)).unwrap();
        assert_eq!(frame::read::<Split>(&bytes[from as usize..to as usize], "").unwrap(), splits[1]);
        assert_eq!(index.split(TaskIdx(2)), None);
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err());
        }
    }
}
