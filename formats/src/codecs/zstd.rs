//! Zstandard ([RFC 8878](https://www.rfc-editor.org/rfc/rfc8878)): frames one behind the other, some of which are skipped.
//!
//! ```text
//! 0   28 b5 2f fd          a frame; 5x 2a 4d 18 is one that is skipped, whose length is the u32 behind it
//! 4   descriptor:u8        bit 5: the frame is one segment, and has no window but its own length
//! 5   window:u8            unless it is one segment: 2^(10 + its upper 5 bits), and as many eighths more as its lower 3 say
//! ```
//!
//! A frame's magic in the middle of an object may be data, so a split begins only where a seek table says that a frame does; see
//! `seekable.rs`.

use super::input::Input;
use super::{Blocks, PIECE_BYTES};
use bytes::Bytes;
use kinglet_core::Result;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

const FRAME: &[u8] = b"\x28\xb5\x2f\xfd";

pub(super) struct Zstd {
    input: Input,
    window_bytes: u64,
    decoder: Decoder<'static>,
    in_frame: bool,
}

impl Zstd {
    pub(super) fn new(input: Input, window_bytes: u64) -> Result<Self> {
        let decoder = Decoder::new().and_then(|mut decoder| {
            // The header of each frame is looked at before, so that the error can say how large the window is.
            decoder.set_parameter(DParameter::WindowLogMax(31))?;
            Ok(decoder)
        });
        match decoder {
            Ok(decoder) => Ok(Zstd { input, window_bytes, decoder, in_frame: false }),
            Err(error) => Err(input.failed(&error)),
        }
    }
}

/// Returns how many bytes the frame that starts with these bytes has, if it is one that is skipped.
fn skippable(bytes: &[u8]) -> Option<u64> {
    let (magic, length) = bytes.get(..8)?.split_first_chunk::<4>()?;
    let is_skipped = magic[0] & 0xf0 == 0x50 && magic[1..] == *b"\x2a\x4d\x18";
    is_skipped.then(|| length.first_chunk().map(|bytes| 8 + u64::from(u32::from_le_bytes(*bytes))))?
}

/// Returns the window of the frame that starts with these bytes, in bytes, as far as they say it.
fn window(bytes: &[u8]) -> u64 {
    let byte = |at: usize| u64::from(bytes.get(at).copied().unwrap_or(0));
    let descriptor = byte(4);
    if descriptor & 0x20 == 0 {
        let base = 1u64 << (10 + (byte(5) >> 3));
        return base + base / 8 * (byte(5) & 7);
    }
    let behind_dictionary = 5 + [0, 1, 2, 4][(descriptor & 3) as usize];
    let length = |bytes: usize| (0..bytes).map(|n| byte(behind_dictionary + n) << (8 * n)).sum::<u64>();
    match descriptor >> 6 {
        0 => length(1),
        1 => length(2) + 256,
        2 => length(4),
        _ => length(8),
    }
}

impl Blocks for Zstd {
    fn next(&mut self) -> Result<Option<u64>> {
        loop {
            let at = self.input.at();
            let header = self.input.peek(18)?;
            if header.is_empty() {
                return Ok(None);
            }
            if let Some(bytes) = skippable(header) {
                if !self.input.skip(bytes)? {
                    return Err(self.input.cut_short("a zstd frame that is skipped"));
                }
                continue;
            }
            if !header.starts_with(FRAME) {
                return Err(match FRAME.starts_with(header) {
                    true => self.input.cut_short("the header of a zstd frame"),
                    false => self.input.trailing(at, "a zstd frame"),
                });
            }
            let window = window(header);
            if window > self.window_bytes {
                return Err(self.input.too_large(at, &format!("a window of {window} bytes"), self.window_bytes));
            }
            self.decoder.reinit().map_err(|e| self.input.failed(&e))?;
            self.in_frame = true;
            return Ok(Some(at));
        }
    }

    fn read(&mut self) -> Result<Option<Bytes>> {
        if !self.in_frame {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(PIECE_BYTES);
        loop {
            let here = self.input.fill()?;
            let (is_end, before) = (here.is_empty(), out.len());
            let (mut from, mut to) = (InBuffer::around(here), OutBuffer::around_pos(&mut out, before));
            let left = self.decoder.run(&mut from, &mut to);
            let (read, wrote) = (from.pos(), to.pos());
            self.input.consume(read);
            match left {
                Ok(0) => {
                    self.in_frame = false;
                    return Ok((!out.is_empty()).then(|| out.into()));
                }
                Ok(_) if wrote == out.capacity() => return Ok(Some(out.into())),
                Ok(_) if is_end && wrote == before => return Err(self.input.cut_short("a zstd frame")),
                Ok(_) => {}
                Err(error) => return Err(self.input.corrupt(self.input.at(), error)),
            }
        }
    }

    fn at(&self) -> u64 {
        self.input.at()
    }
}
