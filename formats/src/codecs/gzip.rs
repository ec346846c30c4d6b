//! Gzip ([RFC 1952](https://www.rfc-editor.org/rfc/rfc1952)): members one behind the other, each with a header, deflated data, a
//! CRC-32 and the length of what it unpacks to. Zeros may follow the last.
//!
//! A member does not say how long it is, so the next is found only by unpacking. BGZF, which `bgzip` and its like write, is
//! gzip whose members say it in an extra field, and hold at most 64 KiB
//! ([SAM specification, 4.1](https://samtools.github.io/hts-specs/SAMv1.pdf)). All integers are little-endian:
//!
//! ```text
//!  0   1f 8b 08 04      gzip, deflated, with extra fields
//!  4   time:4 flags:1 system:1
//! 10   extra_bytes:u16
//! 12   'B' 'C' 2:u16 block_bytes-1:u16      the only extra field, in what every writer writes
//!      deflated data
//! -8   crc32:u32 unpacked_bytes:u32
//! ```
//!
//! A split of BGZF begins at the first such header whose block unpacks to what its checksum says, and behind which comes
//! another header or the object's end. Data could look like that: a BGZF file stored within another, not deflated. Then the
//! split before this one ends elsewhere than this one begins, which the manifest's check finds, and the job fails.

use super::input::Input;
use super::seekable::{BGZF_HEADER_BYTES, bgzf_bytes};
use super::{Blocks, PIECE_BYTES};
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use kinglet_core::{Code, Error, Result};

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0xe0;

/// The longest BGZF block, in bytes.
const BGZF_BYTES_MAX: usize = 64 << 10;

pub(super) struct Gzip {
    input: Input,
    cut: bool,
    inflate: Decompress,
    crc: crc32fast::Hasher,
    /// How many bytes the member has unpacked to, modulo 2^32.
    unpacked: u32,
    in_member: bool,
    is_first: bool,
}

impl Gzip {
    pub(super) fn new(input: Input, cut: bool) -> Self {
        Gzip {
            input,
            cut,
            inflate: Decompress::new(false),
            crc: crc32fast::Hasher::new(),
            unpacked: 0,
            in_member: false,
            is_first: true,
        }
    }

    /// Goes over the header of a member.
    fn header(&mut self) -> Result<()> {
        let input = &mut self.input;
        let flags = input.peek(10)?.get(3).copied().unwrap_or(0);
        if flags & FLAGS_RESERVED != 0 {
            return Err(input.corrupt(input.at(), "the header of a member has flags that mean nothing"));
        }
        let whole = input.skip(10)?
            && (flags & FLAG_EXTRA == 0 || {
                let bytes = [input.byte()?, input.byte()?].map(Option::unwrap_or_default);
                input.skip(u16::from_le_bytes(bytes).into())?
            })
            && (flags & FLAG_NAME == 0 || skip_text(input)?)
            && (flags & FLAG_COMMENT == 0 || skip_text(input)?)
            && (flags & FLAG_HEADER_CRC == 0 || input.skip(2)?);
        if whole { Ok(()) } else { Err(input.cut_short("the header of a gzip member")) }
    }

    /// Checks the end of a member.
    fn trailer(&mut self) -> Result<()> {
        let at = self.input.at();
        let Ok(trailer) = <[u8; 8]>::try_from(self.input.peek(8)?) else {
            return Err(self.input.cut_short("a gzip member"));
        };
        self.input.consume(8);
        let [a, b, c, d, e, f, g, h] = trailer;
        let (crc, unpacked) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        if crc != self.crc.clone().finalize() || unpacked != self.unpacked {
            return Err(self.input.corrupt(at, "the checksum of a gzip member is wrong"));
        }
        self.in_member = false;
        Ok(())
    }
}

/// Goes over text that ends with a zero.
fn skip_text(input: &mut Input) -> Result<bool> {
    loop {
        match input.byte()? {
            Some(0) => return Ok(true),
            Some(_) => {}
            None => return Ok(false),
        }
    }
}

/// Returns whether a BGZF block unpacks to what its checksum says.
fn is_whole_bgzf(block: &[u8]) -> bool {
    let Some((data, trailer)) = block.split_last_chunk::<8>().map(|(rest, last)| (&rest[BGZF_HEADER_BYTES..], last))
    else {
        return false;
    };
    let mut out = Vec::with_capacity(BGZF_BYTES_MAX + 1);
    let mut inflate = Decompress::new(false);
    let ended = matches!(inflate.decompress_vec(data, &mut out, FlushDecompress::Finish), Ok(Status::StreamEnd));
    let [a, b, c, d, e, f, g, h] = *trailer;
    let (crc, unpacked) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    ended && inflate.total_in() == data.len() as u64 && unpacked as usize == out.len() && crc32fast::hash(&out) == crc
}

impl Blocks for Gzip {
    fn next(&mut self) -> Result<Option<u64>> {
        let at = self.input.at();
        let header = self.input.peek(BGZF_HEADER_BYTES)?;
        if header.is_empty() {
            return Ok(None);
        }
        let is_bgzf = bgzf_bytes(header).is_some();
        if !header.starts_with(b"\x1f\x8b\x08") {
            let is_short = b"\x1f\x8b\x08".starts_with(header);
            // Tapes and some tools fill the last of their blocks up with zeros.
            while !self.is_first && self.input.fill()?.first() == Some(&0) {
                let zeros = self.input.fill()?.iter().take_while(|byte| **byte == 0).count();
                self.input.consume(zeros);
            }
            return match self.input.fill()?.is_empty() {
                true => Ok(None),
                false if is_short => Err(self.input.cut_short("the header of a gzip member")),
                false => Err(self.input.trailing(self.input.at(), "a gzip member")),
            };
        }
        if self.cut && !is_bgzf {
            let message = format!(
                "unpacking {} at byte {at}: the object begins as BGZF, and here a member is no BGZF block",
                self.input.shown()
            );
            return Err(Error::new(Code::CompressedMixed, message).with_hint(
                "compress the object anew, or give a split more bytes than the object has (--split-bytes)",
            ));
        }
        self.header()?;
        self.inflate.reset(false);
        self.crc.reset();
        (self.unpacked, self.in_member, self.is_first) = (0, true, false);
        Ok(Some(at))
    }

    fn find(&mut self, to: u64) -> Result<Option<u64>> {
        while self.input.at() < to {
            let here = self.input.peek(BGZF_BYTES_MAX)?;
            if here.len() < BGZF_HEADER_BYTES {
                return Ok(None);
            }
            let found = (0..=here.len() - BGZF_HEADER_BYTES).find_map(|at| Some((at, bgzf_bytes(&here[at..])?)));
            let Some((before, length)) = found else {
                let all = here.len() - (BGZF_HEADER_BYTES - 1);
                self.input.consume(all);
                continue;
            };
            self.input.consume(before);
            if self.input.at() >= to {
                return Ok(None);
            }
            let block = self.input.peek(length + BGZF_HEADER_BYTES)?;
            let is_block = block.len() >= length
                && is_whole_bgzf(&block[..length])
                && (block.len() == length || bgzf_bytes(&block[length..]).is_some());
            if is_block {
                return self.next();
            }
            self.input.consume(1);
        }
        Ok(None)
    }

    fn read(&mut self) -> Result<Option<Bytes>> {
        if !self.in_member {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(PIECE_BYTES);
        while out.len() < out.capacity() {
            let here = self.input.fill()?;
            if here.is_empty() {
                return Err(self.input.cut_short("a gzip member"));
            }
            let before = self.inflate.total_in();
            let status = self.inflate.decompress_vec(here, &mut out, FlushDecompress::None);
            let read = (self.inflate.total_in() - before) as usize;
            self.input.consume(read);
            match status {
                Ok(Status::StreamEnd) => {
                    self.took(&out);
                    self.trailer()?;
                    return Ok((!out.is_empty()).then(|| out.into()));
                }
                Ok(_) => {}
                Err(error) => return Err(self.input.corrupt(self.input.at(), error)),
            }
        }
        self.took(&out);
        Ok(Some(out.into()))
    }

    fn at(&self) -> u64 {
        self.input.at()
    }
}

impl Gzip {
    fn took(&mut self, unpacked: &[u8]) {
        self.crc.update(unpacked);
        self.unpacked = self.unpacked.wrapping_add(unpacked.len() as u32);
    }
}
