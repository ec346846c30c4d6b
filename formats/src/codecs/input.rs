//! The compressed bytes of an object, as codecs take them: in blocks of any size, with their place in the object, which errors name.

// Each codec needs its own part of this.
#![cfg_attr(not(feature = "all-codecs"), allow(dead_code))]

use bytes::{Buf, Bytes, BytesMut};
use kinglet_core::{Code, Codec, Error, Result};
use std::io::{self, Read};

/// Where an object's bytes come from, in order.
pub trait Source: Send {
    /// Waits for the next bytes and returns them, at least one; `None` at the object's end.
    ///
    /// # Errors
    /// Returns the error that kept the object from being read.
    fn next(&mut self) -> Result<Option<Bytes>>;
}

/// An object's bytes from a place on.
pub(crate) struct Input {
    source: Box<dyn Source>,
    codec: Codec,
    shown: String,
    here: Bytes,
    at: u64,
    ended: bool,
    /// Whether something was read for behind the end.
    short: bool,
}

impl Input {
    /// Makes the input of an object that errors call `shown`, from the offset `at` on.
    pub(crate) fn new(source: Box<dyn Source>, codec: Codec, shown: String, at: u64) -> Self {
        Input { source, codec, shown, here: Bytes::new(), at, ended: false, short: false }
    }

    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Returns the offset in the object of the next byte.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Returns the next bytes, none only at the end.
    pub(crate) fn fill(&mut self) -> Result<&[u8]> {
        while self.here.is_empty() && !self.ended {
            match self.source.next()? {
                Some(bytes) => self.here = bytes,
                None => self.ended = true,
            }
        }
        Ok(&self.here)
    }

    /// Returns the next `bytes` bytes, fewer only at the end, and stays where it is. Many are copied each time.
    pub(crate) fn peek(&mut self, bytes: usize) -> Result<&[u8]> {
        if self.here.len() < bytes && !self.ended {
            let mut more = BytesMut::from(&self.here[..]);
            while more.len() < bytes {
                match self.source.next()? {
                    Some(next) => more.extend_from_slice(&next),
                    None => {
                        self.ended = true;
                        break;
                    }
                }
            }
            self.here = more.freeze();
        }
        Ok(&self.here[..bytes.min(self.here.len())])
    }

    /// Goes over bytes that [`Input::fill`] or [`Input::peek`] returned.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.here.advance(bytes);
        self.at += bytes as u64;
    }

    /// Goes over bytes, as many as there are; returns whether there were so many.
    pub(crate) fn skip(&mut self, mut bytes: u64) -> Result<bool> {
        while bytes > 0 {
            let here = (self.fill()?.len() as u64).min(bytes);
            if here == 0 {
                return Ok(false);
            }
            self.consume(here as usize);
            bytes -= here;
        }
        Ok(true)
    }

    /// Goes over a byte and returns it.
    pub(crate) fn byte(&mut self) -> Result<Option<u8>> {
        let byte = self.fill()?.first().copied();
        self.consume(usize::from(byte.is_some()));
        Ok(byte)
    }

    /// Returns whether something was to be read behind the end.
    pub(crate) fn is_short(&self) -> bool {
        self.short
    }

    /// Makes the error of an object that is not what the codec writes.
    pub(crate) fn corrupt(&self, at: u64, what: impl std::fmt::Display) -> Error {
        let Input { shown, codec, .. } = self;
        Error::new(Code::CompressedCorrupt, format!("unpacking {shown} ({codec}) at byte {at}: {what}")).with_hint(
            "copy or compress the object again; if it is not compressed, say so with --input-compression none",
        )
    }

    /// Makes the error of an object that ends too early.
    pub(crate) fn cut_short(&self, within: &str) -> Error {
        self.corrupt(self.at, format!("the object ends within {within}"))
    }

    /// Makes the error of bytes behind the end of what the codec wrote.
    pub(crate) fn trailing(&self, at: u64, what: &str) -> Error {
        self.corrupt(at, format!("what follows is not {what}"))
    }

    /// Makes the error of an object that needs more memory for its window than there is.
    pub(crate) fn too_large(&self, at: u64, needed: &str, bytes_max: u64) -> Error {
        let Input { shown, codec, .. } = self;
        let message = format!(
            "unpacking {shown} ({codec}) at byte {at}: it takes {needed}, and the function's memory allows {bytes_max} bytes"
        );
        Error::new(Code::UnpackWindow, message)
            .with_hint("give the functions more memory, or compress the object with a smaller window")
    }

    /// Makes the error of a decoder that reads this input, which may be an error of reading.
    pub(crate) fn failed(&self, error: &io::Error) -> Error {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(ours) => ours.clone(),
            None if error.kind() == io::ErrorKind::UnexpectedEof => self.cut_short("it"),
            None => self.corrupt(self.at, error),
        }
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let here = self.fill().map_err(io::Error::other)?;
        let bytes = here.len().min(out.len());
        out[..bytes].copy_from_slice(&here[..bytes]);
        self.short |= bytes == 0 && !out.is_empty();
        self.consume(bytes);
        Ok(bytes)
    }
}
