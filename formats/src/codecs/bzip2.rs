//! Bzip2: streams one behind the other, each of blocks that can be unpacked on their own. Nothing but the start of a stream lies
//! at the start of a byte, and a block says nowhere how long it is. Bits are numbered from the highest of each byte:
//!
//! ```text
//! object   stream, stream, …                  pbzip2 and lbzip2 write many
//! stream   "BZh" level:'1'–'9'
//!          blocks                             any number
//!          17 72 45 38 50 90  crc:u32         48 and 32 bits; the CRC of the blocks' CRCs
//!          0 bits up to the next byte
//! block    31 41 59 26 53 59  crc:u32         48 and 32 bits; the CRC of what it unpacks to
//!          data                               at most 900 kB before its run lengths are undone, 45 MB after
//! ```
//!
//! So the end of a block is looked for: the next mark, of a block or of the end. A block is put, with its bits shifted to the
//! start of a byte, into a stream of its own, which the library unpacks, and whose CRC and length say whether the two marks were
//! its borders. The 48 bits of a mark may by chance lie within a block. If such a mark is taken for the *end*, what precedes it
//! does not unpack, and the next one is tried. If it is taken for the *start*, as the first mark of a split may be, no end makes a
//! block of it, and the next start is tried. A damaged block at a split's start is passed over in that way, too, but the split
//! before needs it for its last record and fails; and if it did not, the two would not meet, which the manifest's check finds.
//!
//! A block starts, as far as splits and pieces are concerned, at the byte in which its mark starts; the object's first, at 0.

use super::Blocks;
use super::input::Input;
use bytes::Bytes;
use bzip2::{Decompress, Status};
use kinglet_core::Result;

const BLOCK: u64 = 0x3141_5926_5359;
const END: u64 = 0x1772_4538_5090;
const MARK_BITS: u64 = 48;
const CRC_BITS: u64 = 32;

/// The most bits between two marks: a block has at most 900,000 symbols of at most 20 bits, and some kilobytes of tables.
const BLOCK_BITS_MAX: u64 = 24_000_000;

/// How many bits come before the first mark of a stream.
const HEADER_BITS: u64 = 32;

/// How many bytes are handed on at once, of a block that is unpacked as a whole (1 MiB).
const HANDED_BYTES: usize = 1 << 20;

pub(super) struct Bzip2 {
    input: Input,
    /// Bytes of the object, from the offset `base` on.
    kept: Vec<u8>,
    base: u64,
    /// The bit at which the next mark is, if that is known.
    at: Option<u64>,
    /// The CRC of the CRCs of the stream's blocks so far, if all of them were read here.
    combined: Option<u32>,
    unpacked: Bytes,
}

/// A mark, and where it starts.
#[derive(Clone, Copy)]
struct Mark {
    bit: u64,
    is_end: bool,
}

/// A block that was unpacked.
struct Block {
    unpacked: Vec<u8>,
    crc: u32,
    /// The bit behind it.
    end: u64,
}

/// For each value of a byte, at which of the eight places in it the third byte of a mark may have it: bit `s` for a mark that
/// starts `s` bits into a byte.
const THIRD: [u8; 256] = {
    let mut table = [0; 256];
    let mut shift = 0;
    while shift < 8 {
        table[((BLOCK >> (24 + shift)) & 0xff) as usize] |= 1 << shift;
        table[((END >> (24 + shift)) & 0xff) as usize] |= 1 << shift;
        shift += 1;
    }
    table
};

impl Bzip2 {
    pub(super) fn new(input: Input) -> Self {
        let base = input.at();
        Bzip2 { input, kept: Vec::new(), base, at: None, combined: None, unpacked: Bytes::new() }
    }

    /// Reads on until the bytes up to the offset `to` are kept; returns whether the object has so many.
    fn load(&mut self, to: u64) -> Result<bool> {
        while self.base + (self.kept.len() as u64) < to {
            let here = self.input.fill()?;
            if here.is_empty() {
                return Ok(false);
            }
            self.kept.extend_from_slice(here);
            let all = here.len();
            self.input.consume(all);
        }
        Ok(true)
    }

    /// Forgets the bytes before the one with this bit.
    fn forget(&mut self, bit: u64) {
        let bytes = ((bit / 8).saturating_sub(self.base) as usize).min(self.kept.len());
        self.kept.drain(..bytes);
        self.base += bytes as u64;
    }

    /// Returns up to 56 bits from a bit on; `None` where the object has fewer.
    fn bits(&mut self, bit: u64, count: u64) -> Result<Option<u64>> {
        if !self.load((bit + count).div_ceil(8))? {
            return Ok(None);
        }
        let word = self.word((bit / 8 - self.base) as usize);
        Ok(Some(word << (bit % 8) >> (64 - count)))
    }

    /// Returns eight kept bytes, with zeros for those behind the last.
    fn word(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        let here = self.kept.get(at..).unwrap_or_default();
        let count = here.len().min(8);
        word[..count].copy_from_slice(&here[..count]);
        u64::from_be_bytes(word)
    }

    /// Returns the first mark that starts at the bit `from` or behind it, and before the bit `to`.
    fn mark(&mut self, from: u64, to: u64) -> Result<Option<Mark>> {
        let mut byte = from / 8;
        while byte * 8 < to {
            // The bytes of a mark that starts in this one; the last mark of an object is followed by its CRC.
            if !self.load(byte + 8)? && !self.load(byte + 7)? {
                return Ok(None);
            }
            let here = (byte - self.base) as usize;
            for (at, third) in (here..).zip(&self.kept[here + 2..self.kept.len() - 4]) {
                let places = THIRD[usize::from(*third)];
                if places == 0 {
                    continue;
                }
                let word = self.word(at);
                for shift in (0..8).filter(|shift| places & 1 << shift != 0) {
                    let (bit, value) = ((self.base + at as u64) * 8 + shift, word << shift >> (64 - MARK_BITS));
                    if (value == BLOCK || value == END) && (from..to).contains(&bit) {
                        return Ok(Some(Mark { bit, is_end: value == END }));
                    }
                }
            }
            byte = self.base + self.kept.len() as u64 - 6;
        }
        Ok(None)
    }

    /// Unpacks the block whose mark starts at this bit; `None` if no block that is whole and right does.
    fn block(&mut self, bit: u64) -> Result<Option<Block>> {
        let data = bit + MARK_BITS + CRC_BITS;
        let Some(crc) = self.bits(bit + MARK_BITS, CRC_BITS)? else {
            return Ok(None);
        };
        let (crc, mut from) = (crc as u32, data);
        while let Some(end) = self.mark(from, data + BLOCK_BITS_MAX)? {
            if let Some(unpacked) = unpack(&self.alone(bit, end.bit, crc)) {
                return Ok(Some(Block { unpacked, crc, end: end.bit }));
            }
            from = end.bit + 1;
        }
        Ok(None)
    }

    /// Returns the stream that has nothing but the block between two bits.
    fn alone(&self, from: u64, to: u64, crc: u32) -> Vec<u8> {
        let (at, shift, bits) = ((from / 8 - self.base) as usize, from % 8, to - from);
        let (whole, rest) = ((bits / 8) as usize, bits % 8);
        let mut stream = Vec::with_capacity(whole + 16);
        stream.extend_from_slice(b"BZh9");
        let shifted = |byte: usize| {
            let pair = u16::from_be_bytes([self.kept[byte], self.kept.get(byte + 1).copied().unwrap_or(0)]);
            (pair << shift >> 8) as u8
        };
        stream.extend((at..at + whole).map(shifted));
        // What is left of the block, the mark of the end, and the CRC, which is that of the only block.
        let left = if rest == 0 { 0 } else { u128::from(shifted(at + whole) >> (8 - rest)) };
        let tail = (left << MARK_BITS | u128::from(END)) << CRC_BITS | u128::from(crc);
        let tail_bits = rest + MARK_BITS + CRC_BITS;
        let bytes = (tail << (128 - tail_bits)).to_be_bytes();
        stream.extend_from_slice(&bytes[..tail_bits.div_ceil(8) as usize]);
        stream
    }

    /// Takes the block at this bit for the next.
    fn take(&mut self, bit: u64, block: Block) -> u64 {
        self.combined = self.combined.map(|combined| combined.rotate_left(1) ^ block.crc);
        self.at = Some(block.end);
        self.unpacked = block.unpacked.into();
        self.forget(block.end);
        if bit == HEADER_BITS { 0 } else { bit / 8 }
    }

    /// Goes from the end of one stream to the first mark of the next; returns whether there is one.
    fn next_stream(&mut self, end: u64) -> Result<bool> {
        let at = end / 8;
        let Some(crc) = self.bits(end + MARK_BITS, CRC_BITS)? else {
            return Err(self.input.cut_short("the end of a bzip2 stream"));
        };
        if self.combined.is_some_and(|combined| u64::from(combined) != crc) {
            return Err(self.input.corrupt(at, "the checksum of a bzip2 stream is wrong"));
        }
        self.stream((end + MARK_BITS + CRC_BITS).div_ceil(8))
    }

    /// Goes over the header of a stream, if one starts at this byte; otherwise the object must end there.
    fn stream(&mut self, at: u64) -> Result<bool> {
        self.forget(at * 8);
        let is_whole = self.load(at + 4)?;
        match self.kept[..] {
            [] => Ok(false),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
                (self.at, self.combined) = (Some(at * 8 + HEADER_BITS), Some(0));
                Ok(true)
            }
            _ if !is_whole && b"BZh".starts_with(&self.kept) => {
                Err(self.input.cut_short("the header of a bzip2 stream"))
            }
            _ => Err(self.input.trailing(at, "a bzip2 stream")),
        }
    }
}

/// Unpacks a stream that must be whole, right, and of one block.
fn unpack(stream: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = Decompress::new(false);
    let mut out = Vec::with_capacity(1 << 20);
    loop {
        let read = decoder.total_in();
        let wrote = out.len();
        match decoder.decompress_vec(&stream[read as usize..], &mut out) {
            Ok(Status::StreamEnd) => return (decoder.total_in() == stream.len() as u64).then_some(out),
            Ok(_) if decoder.total_in() == read && out.len() == wrote && out.len() < out.capacity() => return None,
            Ok(_) if out.len() == out.capacity() => out.reserve(out.len()),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

impl Blocks for Bzip2 {
    fn next(&mut self) -> Result<Option<u64>> {
        let mut bit = match self.at {
            Some(bit) => bit,
            None if self.base > 0 => return self.find(u64::MAX / 8),
            None => match self.stream(0)? {
                true => HEADER_BITS,
                false => return Ok(None),
            },
        };
        loop {
            match self.bits(bit, MARK_BITS)? {
                Some(BLOCK) => break,
                Some(END) if !self.next_stream(bit)? => return Ok(None),
                Some(END) => bit = self.at.unwrap_or(bit),
                Some(_) => return Err(self.input.corrupt(bit / 8, "there is neither a block nor the end of a stream")),
                None => return Err(self.input.cut_short("a bzip2 stream")),
            }
        }
        match self.block(bit)? {
            Some(block) => Ok(Some(self.take(bit, block))),
            None if self.load(bit / 8 + BLOCK_BITS_MAX / 8)? => {
                Err(self.input.corrupt(bit / 8, "a bzip2 block is damaged"))
            }
            None => Err(self.input.corrupt(bit / 8, "a bzip2 block is damaged, or the object ends within it")),
        }
    }

    fn find(&mut self, to: u64) -> Result<Option<u64>> {
        let mut from = self.base * 8;
        while let Some(mark) = self.mark(from, to.saturating_mul(8))? {
            // The object's first block starts, for splits, at the object's start.
            if !mark.is_end
                && mark.bit != HEADER_BITS
                && let Some(block) = self.block(mark.bit)?
            {
                return Ok(Some(self.take(mark.bit, block)));
            }
            from = mark.bit + 1;
            self.forget(from);
        }
        Ok(None)
    }

    fn read(&mut self) -> Result<Option<Bytes>> {
        let bytes = self.unpacked.len().min(HANDED_BYTES);
        Ok((bytes > 0).then(|| self.unpacked.split_to(bytes)))
    }

    fn at(&self) -> u64 {
        self.at.map_or(self.base, |bit| bit / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codecs::input::Source;
    use kinglet_core::Codec;

    struct Whole(Option<Bytes>);

    impl Source for Whole {
        fn next(&mut self) -> Result<Option<Bytes>> {
            Ok(self.0.take().filter(|bytes| !bytes.is_empty()))
        }
    }

    fn blocks(object: &[u8], from: usize) -> Bzip2 {
        let source = Box::new(Whole(Some(Bytes::copy_from_slice(&object[from..]))));
        Bzip2::new(Input::new(source, Codec::Bzip2, "it".into(), from as u64))
    }

    fn packed(text: &[u8], level: u32) -> Vec<u8> {
        use std::io::Read;
        let mut out = vec![];
        bzip2::read::BzEncoder::new(text, bzip2::Compression::new(level)).read_to_end(&mut out).unwrap();
        out
    }

    /// Bits that may be anything, among them marks.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 7u64;
        let step = |_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        };
        (0..bytes).map(step).collect()
    }

    fn all(blocks: &mut Bzip2) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut all = vec![];
        while let Some(start) = blocks.next()? {
            let mut unpacked = vec![];
            while let Some(bytes) = blocks.read()? {
                unpacked.extend_from_slice(&bytes);
            }
            all.push((start, unpacked));
        }
        Ok(all)
    }

    #[test]
    fn blocks_of_many_streams_are_found_from_any_byte() {
        let parts = [noise(250_000), b"short".to_vec(), vec![], noise(120_000)];
        let object: Vec<u8> = parts.iter().flat_map(|part| packed(part, 1)).collect();
        let whole = all(&mut blocks(&object, 0)).unwrap();
        assert_eq!(whole.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), parts.concat());
        assert_eq!((whole[0].0, whole.len()), (0, 6));
        let starts: Vec<u64> = whole.iter().map(|(start, _)| *start).collect();
        for start in &starts[1..] {
            for from in [start - 1, *start, start + 1] {
                let next = starts.iter().position(|start| *start >= from);
                let mut found = blocks(&object, from as usize);
                assert_eq!(found.find(object.len() as u64).unwrap(), next.map(|n| starts[n]), "{from}");
                let Some(next) = next else { continue };
                let mut unpacked = vec![];
                while let Some(bytes) = found.read().unwrap() {
                    unpacked.extend_from_slice(&bytes);
                }
                assert_eq!(unpacked, whole[next].1);
                assert_eq!(all(&mut found).unwrap(), whole[next + 1..]);
                // Before it, there is none.
                assert_eq!(blocks(&object, from as usize).find(starts[next]).unwrap(), None);
            }
        }
    }

    /// Sets bits of an object to those of a mark.
    fn forge(object: &mut [u8], bit: usize, mark: u64) {
        for n in 0..48 {
            let value = (mark >> (47 - n) & 1) as u8;
            let place = &mut object[(bit + n) / 8];
            let mask = 0x80 >> ((bit + n) % 8);
            *place = if value == 1 { *place | mask } else { *place & !mask };
        }
    }

    #[test]
    fn a_mark_that_is_none_is_no_border() {
        // Behind the end of the first stream, and so nowhere in the way of its blocks, lie marks in front of the second.
        let (first, second) = (packed(&noise(150_000), 1), packed(&noise(50_000), 1));
        for (mark, shift) in [(BLOCK, 0), (BLOCK, 3), (END, 0), (END, 5)] {
            let mut between = noise(400);
            forge(&mut between, 80 + shift, mark);
            let object = [&first[..], &between, &second].concat();
            let mut found = blocks(&object, first.len());
            let start = found.find(object.len() as u64).unwrap();
            assert_eq!(start, Some((first.len() + between.len() + 4) as u64));
            // From the start on it is refused, as what lies between is no stream.
            assert_eq!(all(&mut blocks(&object, 0)).unwrap_err().code(), "compressed-corrupt");
        }
    }

    #[test]
    fn an_end_that_is_none_is_passed_over() {
        // The bits of a block, cut in two by a mark, are no block; with the rest they are one.
        let object = packed(&noise(90_000), 1);
        let mut whole = blocks(&object, 0);
        whole.next().unwrap();
        for at in (1_000..80_000).step_by(9_973) {
            let mut reader = blocks(&object, 0);
            reader.load(object.len() as u64).unwrap();
            let crc = reader.bits(HEADER_BITS + MARK_BITS, CRC_BITS).unwrap().unwrap() as u32;
            assert_eq!(unpack(&reader.alone(HEADER_BITS, at * 8 + at % 8, crc)), None);
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_refused() {
        let object = [packed(&noise(3_000), 1), packed(b"more", 9)].concat();
        for end in 1..object.len() {
            let got = all(&mut blocks(&object[..end], 0));
            let at_border = end == packed(&noise(3_000), 1).len();
            assert_eq!(got.is_ok(), at_border, "cut at {end}");
        }
        for at in (0..object.len()).step_by(7) {
            let mut other = object.clone();
            other[at] ^= 0x10;
            match all(&mut blocks(&other, 0)) {
                Err(error) => assert_eq!(error.code(), "compressed-corrupt"),
                // The level of a stream may be larger than it need be.
                Ok(got) => assert_eq!(got, all(&mut blocks(&object, 0)).unwrap(), "changed at {at}"),
            }
        }
        let error = all(&mut blocks(&[&object[..], b"garbage"].concat(), 0)).unwrap_err();
        assert!(error.to_string().contains(&format!("it (bzip2) at byte {}", object.len())), "{error}");
    }
}
