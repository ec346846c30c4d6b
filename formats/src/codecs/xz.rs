//! Xz ([its format](https://tukaani.org/xz/xz-file-format.txt)): streams one behind the other, with zeros between them in fours.
//! A stream's index of its blocks is at its end, so a split begins only at the object's start.

use super::input::Input;
use super::{Blocks, PIECE_BYTES};
use bytes::Bytes;
use kinglet_core::Result;
use lzma_rust2::XzReader;
use std::io::{ErrorKind, Read};

const STREAM: &[u8] = b"\xfd7zXZ\0";

pub(super) struct Xz {
    at: At,
    window_bytes: u64,
}

/// Where in the object it is.
enum At {
    Between(Input),
    Within(Box<XzReader<Input>>),
    /// While it changes.
    Nowhere,
}

impl Xz {
    pub(super) fn new(input: Input, window_bytes: u64) -> Self {
        Xz { at: At::Between(input), window_bytes }
    }
}

impl Blocks for Xz {
    fn next(&mut self) -> Result<Option<u64>> {
        let At::Between(input) = &mut self.at else {
            return Ok(None);
        };
        let is_first = input.at() == 0;
        while !is_first && input.peek(4)? == b"\0\0\0\0" {
            input.consume(4);
        }
        let (at, header) = (input.at(), input.peek(STREAM.len())?);
        if header.is_empty() {
            return Ok(None);
        }
        if header != STREAM {
            return Err(match STREAM.starts_with(header) {
                true => input.cut_short("the header of an xz stream"),
                false => input.trailing(at, "an xz stream"),
            });
        }
        if let At::Between(input) = std::mem::replace(&mut self.at, At::Nowhere) {
            // What the decoder counts is its dictionary and some hundred kilobytes more.
            let window_kb = u32::try_from((self.window_bytes + (1 << 20)) >> 10).unwrap_or(u32::MAX - 1);
            self.at = At::Within(Box::new(XzReader::new_mem_limit(input, false, window_kb)));
        }
        Ok(Some(at))
    }

    fn read(&mut self) -> Result<Option<Bytes>> {
        let At::Within(reader) = &mut self.at else {
            return Ok(None);
        };
        let mut out = vec![0; PIECE_BYTES];
        let (mut filled, mut ended) = (0, false);
        while filled < out.len() && !ended {
            match reader.read(&mut out[filled..]) {
                Ok(0) => ended = true,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                    let input = reader.inner();
                    return Err(input.too_large(input.at(), "a larger dictionary", self.window_bytes));
                }
                Err(error) => return Err(reader.inner().failed(&error)),
            }
        }
        if ended && let At::Within(reader) = std::mem::replace(&mut self.at, At::Nowhere) {
            self.at = At::Between(reader.into_inner());
        }
        out.truncate(filled);
        Ok((filled > 0).then(|| out.into()))
    }

    fn at(&self) -> u64 {
        match &self.at {
            At::Between(input) => input.at(),
            At::Within(reader) => reader.inner().at(),
            At::Nowhere => 0,
        }
    }
}
