//! A run: the pairs of one partition from one map attempt, sorted by key. Version 1. All integers are little-endian.
//!
//! ```text
//! run      = header block* end
//! header   = "KRUN" version:u16=1 flags:u16=0                                  8 bytes
//! block    = raw_bytes:u32 stored_bytes:u32 crc32:u32 stored                   12 bytes and `stored_bytes`
//!            raw_bytes > 0; stored is LZ4 (block format) where stored_bytes < raw_bytes, else the raw bytes;
//!            crc32 is of `stored`
//! raw      = pair+
//! pair     = shared:varint rest:varint value_bytes:varint key_rest value
//!            the key is the first `shared` bytes of the key before it in this block, then `rest` bytes;
//!            the first pair of a block has shared = 0
//! end      = 0:u32 8:u32 crc32:u32 pairs:u64                                   20 bytes
//! varint   = seven bits a byte, low bits first, the high bit set on all but the last
//! ```
//!
//! A reader whose bytes end before `end` reports a truncated run; it never takes that for a short run. Keys ascend, also from
//! one block to the next: a merge relies on that, so a reader reports a run whose keys do not.
//! The golden file is `core/tests/golden/run-v1.bin`.

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::io::Read;

/// The size at which a block ends, in bytes (128 KiB), unless a single pair is larger. It is small enough that a merge of many
/// runs fits into memory, and large enough that the header and the start of a new block cost nothing.
pub const BLOCK_BYTES: usize = 128 << 10;

const MAGIC: [u8; 8] = *b"KRUN\x01\x00\x00\x00";
const BLOCK_HEADER_BYTES: usize = 12;

/// The largest block that a reader accepts, in bytes: a block may hold one pair of the largest size.
const BLOCK_BYTES_MAX: usize = crate::limits::KEY_BYTES_MAX + crate::limits::VALUE_BYTES_MAX + (1 << 20);

/// How many bytes of a block are given room at once: a length is believed only as far as its bytes have come.
const READ_BYTES: usize = 1 << 20;

/// The most that LZ4 makes of one byte: a byte adds up to 255 to the length of a match.
const LZ4_RATIO_MAX: usize = 255;

/// How the blocks of a run are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not compressed.
    None,
    /// In LZ4 block format, if that makes them smaller.
    #[default]
    Lz4,
}

/// Writes one run into a buffer that the caller may drain at any time.
pub struct RunWriter {
    /// The bytes that are written and not drained yet.
    pub out: Vec<u8>,
    compression: Compression,
    block: Vec<u8>,
    last_key: Vec<u8>,
    pairs: u64,
}

impl RunWriter {
    /// Starts a run.
    pub fn new(compression: Compression) -> Self {
        RunWriter {
            out: MAGIC.to_vec(),
            compression,
            block: Vec::with_capacity(BLOCK_BYTES + 1024),
            last_key: Vec::new(),
            pairs: 0,
        }
    }

    /// Adds a pair; keys must come in ascending order. `key` is swapped with the buffer of the key before it, so that a caller
    /// that refills it each time allocates nothing.
    ///
    /// # Errors
    /// Returns [`Error::UserCode`] (`value-encode`) when the value cannot be encoded, and [`Error::Limit`] (`value-too-long`)
    /// when its encoding is longer than 512 MiB.
    #[inline]
    pub fn push<V: Serialize>(&mut self, key: &mut Vec<u8>, value: &V) -> Result<()> {
        self.push_with(key, |block| crate::codec::encode_into(value, block))
    }

    /// Adds a pair whose value is already encoded.
    ///
    /// # Errors
    /// Returns [`Error::Limit`] (`value-too-long`) when the value is longer than 512 MiB.
    pub fn push_encoded(&mut self, key: &mut Vec<u8>, value: &[u8]) -> Result<()> {
        self.push_with(key, |block| {
            block.extend_from_slice(value);
            Ok(())
        })
    }

    #[inline(always)]
    fn push_with(&mut self, key: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        let shared = if self.block.is_empty() { 0 } else { shared_prefix(&self.last_key, key) };
        debug_assert!(self.pairs == 0 || self.last_key <= *key, "keys out of order");
        write_varint(&mut self.block, shared as u64);
        write_varint(&mut self.block, (key.len() - shared) as u64);
        // Nearly all values are shorter than 128 bytes: their length takes one byte, which is filled in afterwards.
        let length_at = self.block.len();
        self.block.push(0);
        self.block.extend_from_slice(&key[shared..]);
        let value_at = self.block.len();
        value(&mut self.block)?;
        let value_bytes = self.block.len() - value_at;
        if value_bytes < 0x80 {
            self.block[length_at] = value_bytes as u8;
        } else {
            if value_bytes > crate::limits::VALUE_BYTES_MAX {
                return Err(Error::new(
                    Code::ValueTooLong,
                    format!("a value takes {value_bytes} bytes; the most is {}", crate::limits::VALUE_BYTES_MAX),
                ));
            }
            let mut length = Vec::new();
            write_varint(&mut length, value_bytes as u64);
            self.block.splice(length_at..=length_at, length);
        }
        std::mem::swap(&mut self.last_key, key);
        self.pairs += 1;
        if self.block.len() >= BLOCK_BYTES {
            self.end_block();
        }
        Ok(())
    }

    /// Ends the block, so that all pairs so far are in `out`.
    pub(crate) fn end_block(&mut self) {
        if self.block.is_empty() {
            return;
        }
        let raw_bytes = self.block.len();
        let header_at = self.out.len();
        self.out.extend_from_slice(&[0; BLOCK_HEADER_BYTES]);
        let stored_at = self.out.len();
        let mut stored_bytes = raw_bytes;
        if self.compression == Compression::Lz4 {
            self.out.resize(stored_at + lz4_flex::block::get_maximum_output_size(raw_bytes), 0);
            // The buffer is as large as the output can get, so compression cannot fail; if it did, the block would be raw.
            stored_bytes = lz4_flex::block::compress_into(&self.block, &mut self.out[stored_at..]).unwrap_or(raw_bytes);
            self.out.truncate(stored_at + stored_bytes);
        }
        if stored_bytes >= raw_bytes {
            stored_bytes = raw_bytes;
            self.out.truncate(stored_at);
            self.out.extend_from_slice(&self.block);
        }
        let crc = crc32fast::hash(&self.out[stored_at..]);
        let header = block_header(raw_bytes as u32, stored_bytes as u32, crc);
        self.out[header_at..stored_at].copy_from_slice(&header);
        self.block.clear();
    }

    /// Ends the run. Returns the bytes that are not drained yet and the number of pairs.
    pub fn finish(mut self) -> (Vec<u8>, u64) {
        self.end_block();
        let pairs = self.pairs.to_le_bytes();
        self.out.extend_from_slice(&block_header(0, 8, crc32fast::hash(&pairs)));
        self.out.extend_from_slice(&pairs);
        (self.out, self.pairs)
    }
}

fn block_header(raw_bytes: u32, stored_bytes: u32, crc: u32) -> [u8; BLOCK_HEADER_BYTES] {
    let mut header = [0; BLOCK_HEADER_BYTES];
    header[..4].copy_from_slice(&raw_bytes.to_le_bytes());
    header[4..8].copy_from_slice(&stored_bytes.to_le_bytes());
    header[8..].copy_from_slice(&crc.to_le_bytes());
    header
}

#[inline]
fn shared_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut at = 0;
    for (x, y) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        let differ = u64_le(x) ^ u64_le(y);
        if differ != 0 {
            return at + (differ.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + a[at..].iter().zip(&b[at..]).take_while(|(x, y)| x == y).count()
}

#[inline(always)]
fn u64_le(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(eight)
}

#[inline(always)]
pub(super) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline(always)]
pub(super) fn read_varint(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let first = *bytes.get(*at)?;
    *at += 1;
    if first < 0x80 {
        return Some(first as usize);
    }
    let mut value = u64::from(first & 0x7f);
    for shift in (7..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return usize::try_from(value).ok();
        }
    }
    None
}

/// A place in a run: its next pair, and the block in which that lies. The default is a run's start.
///
/// ```text
/// run   header │ block …    │ block            │ block …
///                           offset   next pair
/// pairs        ├──pairs─────┤────────┤
///              ├──taken──────────────┤
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunPlace {
    /// The offset of the block, in bytes; 0 before the first.
    pub offset: u64,
    /// How many pairs come before the block.
    pub pairs: u64,
    /// How many pairs come before the next pair.
    pub taken: u64,
}

impl RunPlace {
    /// Returns whether a run of so many bytes, if that is known, can have such a place.
    pub fn is_within(&self, bytes: Option<u64>) -> bool {
        let starts = if self.offset == 0 { self.pairs == 0 } else { self.offset >= MAGIC.len() as u64 };
        starts && self.pairs <= self.taken && bytes.is_none_or(|bytes| self.offset <= bytes)
    }
}

/// Reads one run, pair by pair, from any source. It holds one block at a time.
pub struct RunReader<R> {
    source: R,
    name: String,
    block: Vec<u8>,
    stored: Vec<u8>,
    at: usize,
    key: Vec<u8>,
    value: std::ops::Range<usize>,
    pairs: u64,
    /// Where the block lies, and how many pairs come before it.
    block_at: u64,
    block_pairs: u64,
    /// Where the bytes that come next lie.
    next_at: u64,
}

/// A reader of a run whose source has any type.
pub type AnyRun = RunReader<Box<dyn Read + Send>>;

impl<R: Read + Send + 'static> RunReader<R> {
    /// Hides the type of the source.
    pub fn boxed(self) -> AnyRun {
        RunReader {
            source: Box::new(self.source),
            name: self.name,
            block: self.block,
            stored: self.stored,
            at: self.at,
            key: self.key,
            value: self.value,
            pairs: self.pairs,
            block_at: self.block_at,
            block_pairs: self.block_pairs,
            next_at: self.next_at,
        }
    }
}

impl<R: Read> RunReader<R> {
    /// Opens a run, which `name` names in errors. The reader then stands before the first pair: call [`Self::advance`].
    ///
    /// # Errors
    /// Returns [`Error::Corrupt`] when these are not the bytes of a run (`run-magic`, `run-truncated`),
    /// [`Error::StaleDeployment`] (`run-version`) when the run is of another version, and [`Error::Service`] (`run-read`) when
    /// `source` cannot be read.
    pub fn open(mut source: R, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let mut magic = [0; 8];
        read_exact(&mut source, &mut magic, &name)?;
        if magic[..4] != MAGIC[..4] {
            return Err(Error::new(Code::RunMagic, format!("reading run {name}: not a run")));
        }
        if magic != MAGIC {
            let version = u16::from_le_bytes([magic[4], magic[5]]);
            return Err(Error::new(
                Code::RunVersion,
                format!("reading run {name}: version {version}, this is version 1"),
            )
            .with_hint("mappers and reducers are of different versions: deploy again"));
        }
        Ok(Self::at(source, name, RunPlace { offset: magic.len() as u64, ..RunPlace::default() }))
    }

    /// Opens a run at a place that another reader has told. `source` has the run's bytes from the place's offset on. The reader
    /// then stands before the place's pair.
    ///
    /// # Errors
    /// Returns the errors of [`Self::open`] and [`Self::advance`].
    pub fn resume(source: R, name: impl Into<String>, place: RunPlace) -> Result<Self> {
        let mut reader = match place.offset {
            0 => Self::open(source, name)?,
            _ => Self::at(source, name.into(), place),
        };
        while reader.pairs < place.taken {
            if !reader.advance()? {
                return Err(reader.corrupt("it has fewer pairs than were read of it"));
            }
        }
        Ok(reader)
    }

    fn at(source: R, name: String, RunPlace { offset, pairs, .. }: RunPlace) -> Self {
        RunReader {
            source,
            name,
            block: Vec::new(),
            stored: Vec::new(),
            at: 0,
            key: Vec::new(),
            value: 0..0,
            pairs,
            block_at: offset,
            block_pairs: pairs,
            next_at: offset,
        }
    }

    /// Returns the place of the pair that it stands on.
    pub fn place(&self) -> RunPlace {
        RunPlace { offset: self.block_at, pairs: self.block_pairs, taken: self.pairs.saturating_sub(1) }
    }

    /// Goes to the next pair. Returns `false` at the end of the run.
    ///
    /// # Errors
    /// Returns [`Error::Corrupt`] when a checksum, a length, the order of the keys or the number of pairs is wrong
    /// (`run-corrupt`) or the run ends early (`run-truncated`), and [`Error::Service`] (`run-read`) when the source cannot be
    /// read.
    #[inline]
    pub fn advance(&mut self) -> Result<bool> {
        if self.at == self.block.len() {
            return self.first_of_block();
        }
        self.parse().map_err(|what| self.corrupt(what))?;
        self.pairs += 1;
        Ok(true)
    }

    /// Goes to the first pair of the next block, whose key is whole.
    fn first_of_block(&mut self) -> Result<bool> {
        if !self.next_block()? {
            return Ok(false);
        }
        let before = std::mem::take(&mut self.key);
        self.parse().map_err(|what| self.corrupt(what))?;
        if self.key < before {
            return Err(self.corrupt(DISORDER));
        }
        self.pairs += 1;
        Ok(true)
    }

    #[inline]
    fn parse(&mut self) -> std::result::Result<(), &'static str> {
        let Some(pair) = pair_at(&self.block, self.at) else { return Err(TORN) };
        let key_rest = &self.block[pair.key_at..pair.value.start];
        let Some(replaced) = self.key.get(pair.shared..) else { return Err(TORN) };
        // What both keys share is equal, so the rest decides.
        if key_rest < replaced {
            return Err(DISORDER);
        }
        self.key.truncate(pair.shared);
        self.key.extend_from_slice(key_rest);
        self.at = pair.value.end;
        self.value = pair.value;
        Ok(())
    }

    #[cold]
    fn corrupt(&self, what: &str) -> Error {
        Error::new(Code::RunCorrupt, format!("reading run {} after {} pairs: {what}", self.name, self.pairs))
    }

    fn next_block(&mut self) -> Result<bool> {
        let mut header = [0; BLOCK_HEADER_BYTES];
        read_exact(&mut self.source, &mut header, &self.name)?;
        let field = |n: usize| u32::from_le_bytes([header[n], header[n + 1], header[n + 2], header[n + 3]]);
        let (raw_bytes, stored_bytes, crc) = (field(0) as usize, field(4) as usize, field(8));
        let end = raw_bytes == 0;
        let fits = if end { stored_bytes == 8 } else { stored_bytes <= raw_bytes };
        if raw_bytes > BLOCK_BYTES_MAX || !fits || raw_bytes / LZ4_RATIO_MAX > stored_bytes {
            return Err(self.corrupt("a block's length is wrong"));
        }
        self.stored.clear();
        while self.stored.len() < stored_bytes {
            let at = self.stored.len();
            self.stored.resize(stored_bytes.min(at + READ_BYTES), 0);
            read_exact(&mut self.source, &mut self.stored[at..], &self.name)?;
        }
        if crc32fast::hash(&self.stored) != crc {
            return Err(self.corrupt("a block's checksum is wrong"));
        }
        if end {
            if self.stored[..] != self.pairs.to_le_bytes() {
                return Err(self.corrupt("the number of pairs is wrong"));
            }
            return Ok(false);
        }
        (self.block_at, self.block_pairs) = (self.next_at, self.pairs);
        self.next_at += (BLOCK_HEADER_BYTES + stored_bytes) as u64;
        if stored_bytes == raw_bytes {
            std::mem::swap(&mut self.block, &mut self.stored);
        } else {
            self.block.resize(raw_bytes, 0);
            match lz4_flex::block::decompress_into(&self.stored, &mut self.block) {
                Ok(got) if got == raw_bytes => {}
                _ => return Err(self.corrupt("a block does not decompress")),
            }
        }
        self.at = 0;
        Ok(true)
    }

    /// Returns the key of the pair that it stands on.
    #[inline(always)]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Returns the encoded value of the pair that it stands on.
    #[inline(always)]
    pub fn value(&self) -> &[u8] {
        &self.block[self.value.clone()]
    }
}

const TORN: &str = "a pair is not whole";
const DISORDER: &str = "its keys are not in order";

/// Where the parts of a pair lie in its block.
struct PairAt {
    shared: usize,
    key_at: usize,
    value: std::ops::Range<usize>,
}

/// Finds the pair that starts here, if the block has all of it.
#[inline(always)]
fn pair_at(block: &[u8], mut at: usize) -> Option<PairAt> {
    let shared = read_varint(block, &mut at)?;
    let rest = read_varint(block, &mut at)?;
    let value_bytes = read_varint(block, &mut at)?;
    let value_at = at.checked_add(rest)?;
    let end = value_at.checked_add(value_bytes)?;
    (end <= block.len()).then_some(PairAt { shared, key_at: at, value: value_at..end })
}

fn read_exact(source: &mut impl Read, buffer: &mut [u8], name: &str) -> Result<()> {
    source.read_exact(buffer).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Error::new(Code::RunTruncated, format!("reading run {name}: it ends before its end mark"))
        }
        _ => match e.downcast::<Error>() {
            Ok(error) => error,
            Err(e) => Error::new(Code::RunRead, format!("reading run {name}: {e}")),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write(pairs: &[(Vec<u8>, Vec<u8>)], compression: Compression) -> Vec<u8> {
        let mut writer = RunWriter::new(compression);
        for (key, value) in pairs {
            writer.push(&mut key.clone(), value).unwrap();
        }
        writer.finish().0
    }

    fn read(bytes: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut reader = RunReader::open(bytes, "test")?;
        let mut got = vec![];
        while reader.advance()? {
            got.push((reader.key().to_vec(), crate::codec::decode(reader.value())?));
        }
        Ok(got)
    }

    fn sample() -> Vec<(Vec<u8>, Vec<u8>)> {
        ["", "a", "ab", "abc", "abcdefghijkl", "abcdefghijkm", "b"]
            .iter()
            .enumerate()
            .map(|(i, k)| (k.as_bytes().to_vec(), vec![i as u8; i * 40]))
            .collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            pairs in proptest::collection::btree_map(
                proptest::collection::vec(0u8..4, 0..12), proptest::collection::vec(any::<u8>(), 0..300), 0..50),
            lz4: bool,
        ) {
            let pairs: Vec<_> = pairs.into_iter().collect();
            let compression = if lz4 { Compression::Lz4 } else { Compression::None };
            prop_assert_eq!(read(&write(&pairs, compression)).unwrap(), pairs);
        }

        #[test]
        fn a_flipped_bit_or_a_cut_is_never_read_as_data(at in 0usize..1000, bit in 0u8..8, cut: bool) {
            let mut bytes = write(&sample(), Compression::Lz4);
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            prop_assert!(read(&bytes).is_err());
        }
    }

    #[test]
    fn blocks_of_many_pairs() {
        let pairs: Vec<_> = (0..100_000u32).map(|i| (i.to_be_bytes().to_vec(), i.to_le_bytes().to_vec())).collect();
        let bytes = write(&pairs, Compression::Lz4);
        assert!(bytes.len() < 100_000 * 9, "front coding and LZ4 at work: {}", bytes.len());
        assert_eq!(read(&bytes).unwrap(), pairs);
    }

    #[test]
    fn golden() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/run-v1.bin");
        crate::wire::golden(path, &write(&sample(), Compression::None));
    }
}
