//! Snappy's [framing format](https://github.com/google/snappy/blob/main/framing_format.txt), as `.sz` files have it; Hadoop's
//! framing is another. It is read from the object's start, as a chunk of data shows by nothing but its place that it is one.

use super::input::Input;
use super::{Blocks, PIECE_BYTES};
use bytes::Bytes;
use kinglet_core::Result;
use snap::read::FrameDecoder;
use std::io::Read;

pub(super) struct Snappy {
    decoder: FrameDecoder<Input>,
    began: bool,
}

impl Snappy {
    pub(super) fn new(input: Input) -> Self {
        Snappy { decoder: FrameDecoder::new(input), began: false }
    }
}

impl Blocks for Snappy {
    fn next(&mut self) -> Result<Option<u64>> {
        let is_first = !std::mem::replace(&mut self.began, true);
        Ok(is_first.then(|| self.at()))
    }

    fn read(&mut self) -> Result<Option<Bytes>> {
        let mut out = vec![0; PIECE_BYTES];
        let mut filled = 0;
        while filled < out.len() {
            match self.decoder.read(&mut out[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) => return Err(self.decoder.get_ref().failed(&error)),
            }
        }
        out.truncate(filled);
        Ok((filled > 0).then(|| out.into()))
    }

    fn at(&self) -> u64 {
        self.decoder.get_ref().at()
    }
}
