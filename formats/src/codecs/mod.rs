//! Codecs, one file and one feature each. A codec turns an object into *blocks*: the places at which unpacking can begin.
//!
//! | codec | a block is | a split can begin | found by |
//! |---|---|---|---|
//! | gzip | a member | only at the object's start | |
//! | gzip, written as BGZF | a member of at most 64 KiB | at any block | its header, its length and its checksum |
//! | zstd | a frame | only at the object's start | |
//! | zstd with a seek table | a frame | at any frame | the table, which the splitter reads |
//! | bzip2 | a block of at most 900 kB | at any block | its mark of 48 bits, and its checksum |
//! | LZ4 | a frame | only at the object's start | |
//! | Snappy | the object | only at the object's start | |
//! | xz | a stream | only at the object's start | |
//!
//! Where only the object's start will do, the object is one split, which one thread unpacks for all threads that map. A piece
//! of such a split that hands the rest back names the last block before it, from which the next piece unpacks again.

#[cfg(feature = "bzip2")]
mod bzip2;
#[cfg(feature = "gzip")]
mod gzip;
pub(crate) mod input;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "xz")]
mod xz;
#[cfg(feature = "zstd")]
mod zstd;

mod seekable;

use bytes::Bytes;
use input::Input;
use kinglet_core::{Code, Codec, Error, Result};
pub use seekable::{Cutting, cutting, read_seek_table, seek_table_bytes};

/// About how many unpacked bytes come at once, so that memory stays bounded whatever a block expands to (256 KiB).
#[cfg(any(feature = "gzip", feature = "lz4", feature = "snappy", feature = "xz", feature = "zstd"))]
pub(crate) const PIECE_BYTES: usize = 256 << 10;

/// The blocks of an object, from a place in it on.
pub(crate) trait Blocks: Send {
    /// Goes to the next block, once the last is read to its end, and returns the offset in the object at which it starts; `None`
    /// at the object's end.
    fn next(&mut self) -> Result<Option<u64>>;

    /// Goes to the first block that starts here or behind, and before the offset `to`. Called once, in place of the first
    /// [`Blocks::next`], where no block need start here.
    fn find(&mut self, to: u64) -> Result<Option<u64>> {
        let _ = to;
        self.next()
    }

    /// Returns more of what the block holds; `None` when that was all, and its checksum is right.
    fn read(&mut self) -> Result<Option<Bytes>>;

    /// Returns how far the object has been read.
    fn at(&self) -> u64;
}

/// Opens the blocks of an object. `cut` says that the object is read in several splits. What takes a window of more than
/// `window_bytes` is refused.
pub(crate) fn open(codec: Codec, input: Input, cut: bool, window_bytes: u64) -> Result<Box<dyn Blocks>> {
    let _ = (cut, window_bytes);
    match codec {
        #[cfg(feature = "gzip")]
        Codec::Gzip => Ok(Box::new(gzip::Gzip::new(input, cut))),
        #[cfg(feature = "bzip2")]
        Codec::Bzip2 => Ok(Box::new(bzip2::Bzip2::new(input))),
        #[cfg(feature = "zstd")]
        Codec::Zstd => Ok(Box::new(zstd::Zstd::new(input, window_bytes)?)),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => Ok(Box::new(lz4::Lz4::new(input))),
        #[cfg(feature = "snappy")]
        Codec::Snappy => Ok(Box::new(snappy::Snappy::new(input))),
        #[cfg(feature = "xz")]
        Codec::Xz => Ok(Box::new(xz::Xz::new(input, window_bytes))),
        other => Err(Error::new(
            Code::CodecMissing,
            format!("{} is compressed by {other}, and this program is built without it", input.shown()),
        )
        .with_hint(format!("build the program with the feature `{other}` of the crate kinglet"))),
    }
}
