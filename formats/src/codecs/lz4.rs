//! LZ4's [frame format](https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md): frames one behind the other, some of which
//! are skipped. A frame's blocks may refer to those before them, so a split begins only at the object's start.

use super::input::Input;
use super::{Blocks, PIECE_BYTES};
use bytes::Bytes;
use kinglet_core::Result;
use lz4_flex::frame::FrameDecoder;
use std::io::Read;

const FRAME: &[u8] = b"\x04\x22\x4d\x18";

pub(super) struct Lz4 {
    decoder: FrameDecoder<Input>,
    in_frame: bool,
}

impl Lz4 {
    pub(super) fn new(input: Input) -> Self {
        Lz4 { decoder: FrameDecoder::new(input), in_frame: false }
    }
}

impl Blocks for Lz4 {
    fn next(&mut self) -> Result<Option<u64>> {
        let input = self.decoder.get_mut();
        loop {
            let (at, header) = (input.at(), input.peek(8)?);
            if header.is_empty() {
                return Ok(None);
            }
            if header.starts_with(FRAME) {
                self.in_frame = true;
                return Ok(Some(at));
            }
            let [magic, 0x2a, 0x4d, 0x18, a, b, c, d] = *header else {
                return Err(match FRAME.starts_with(header) {
                    true => input.cut_short("the header of an LZ4 frame"),
                    false => input.trailing(at, "an LZ4 frame"),
                });
            };
            if magic & 0xf0 != 0x50 {
                return Err(input.trailing(at, "an LZ4 frame"));
            }
            if !input.skip(8 + u64::from(u32::from_le_bytes([a, b, c, d])))? {
                return Err(input.cut_short("an LZ4 frame that is skipped"));
            }
        }
    }

    fn read(&mut self) -> Result<Option<Bytes>> {
        if !self.in_frame {
            return Ok(None);
        }
        let mut out = vec![0; PIECE_BYTES];
        let mut filled = 0;
        while self.in_frame && filled < out.len() {
            match self.decoder.read(&mut out[filled..]) {
                Ok(0) => self.in_frame = false,
                Ok(read) => filled += read,
                Err(error) => return Err(self.decoder.get_ref().failed(&error)),
            }
        }
        // The decoder takes an object that ends between two blocks for one that ends.
        if self.decoder.get_ref().is_short() {
            return Err(self.decoder.get_ref().cut_short("an LZ4 frame"));
        }
        out.truncate(filled);
        Ok((filled > 0).then(|| out.into()))
    }

    fn at(&self) -> u64 {
        self.decoder.get_ref().at()
    }
}
