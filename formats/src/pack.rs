//! Compresses what is written, as a stream: an output's parts.
//!
//! Each part is one stream of its codec, whose checksums are written where it has some. It is the same for the same bytes, and
//! no time is in it, so every attempt of a task writes the same part. The codecs are those that are read, apart from xz, and
//! belong to the same features.

use kinglet_core::{Code, Codec, Error, Result};

/// How hard zstd and gzip try: their own defaults.
#[cfg(feature = "zstd")]
const ZSTD_LEVEL: i32 = 3;
#[cfg(feature = "gzip")]
const GZIP_LEVEL: u32 = 6;

/// A compressed stream under way.
pub struct Packer {
    codec: Codec,
    /// Without one, bytes go through as they are.
    encoder: Option<Box<dyn Encoder>>,
}

/// What compresses.
trait Encoder: Send {
    /// Takes bytes.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()>;

    /// Gives what has been compressed so far.
    fn take(&mut self) -> Vec<u8>;

    /// Ends the stream, and gives the rest.
    fn end(self: Box<Self>) -> std::io::Result<Vec<u8>>;
}

macro_rules! encoders {
    ($($feature:literal $encoder:ty, $end:expr;)*) => { $(
        #[cfg(feature = $feature)]
        impl Encoder for $encoder {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
                std::io::Write::write_all(self, bytes)
            }

            fn take(&mut self) -> Vec<u8> {
                std::mem::take(self.get_mut())
            }

            fn end(self: Box<Self>) -> std::io::Result<Vec<u8>> {
                let end: fn($encoder) -> std::io::Result<Vec<u8>> = $end;
                end(*self)
            }
        }
    )* };
}
encoders! {
    "gzip" flate2::write::GzEncoder<Vec<u8>>, |encoder| encoder.finish();
    "zstd" zstd::stream::write::Encoder<'static, Vec<u8>>, |encoder| encoder.finish();
    "bzip2" bzip2::write::BzEncoder<Vec<u8>>, |encoder| encoder.finish();
    "lz4" lz4_flex::frame::FrameEncoder<Vec<u8>>, |encoder| encoder.finish().map_err(std::io::Error::other);
    "snappy" snap::write::FrameEncoder<Vec<u8>>, |encoder| encoder.into_inner().map_err(|e| std::io::Error::other(e.to_string()));
}

impl Packer {
    /// Begins a stream.
    ///
    /// # Errors
    /// Returns `codec-missing` when this program is built without the codec, or it is one that is not written.
    pub fn new(codec: Codec) -> Result<Self> {
        let encoder = match codec {
            Codec::None => None,
            codec => Some(encoder(codec)?),
        };
        Ok(Packer { codec, encoder })
    }

    /// Compresses bytes, and returns what there is of the stream now; it may be nothing.
    ///
    /// # Errors
    /// Returns `upload` when the codec's library fails, as it does without memory.
    pub fn push(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let Some(encoder) = &mut self.encoder else { return Ok(bytes) };
        encoder.write(&bytes).map_err(|e| failed(self.codec, &e))?;
        Ok(encoder.take())
    }

    /// Ends the stream, and returns the rest of it.
    ///
    /// # Errors
    /// As [`Packer::push`].
    pub fn finish(self) -> Result<Vec<u8>> {
        self.encoder.map_or(Ok(vec![]), Encoder::end).map_err(|e| failed(self.codec, &e))
    }
}

fn failed(codec: Codec, error: &std::io::Error) -> Error {
    Error::new(Code::Upload, format!("compressing the part by {codec}: {error}"))
}

fn encoder(codec: Codec) -> Result<Box<dyn Encoder>> {
    match codec {
        #[cfg(feature = "gzip")]
        Codec::Gzip => Ok(Box::new(flate2::write::GzEncoder::new(vec![], flate2::Compression::new(GZIP_LEVEL)))),
        #[cfg(feature = "zstd")]
        Codec::Zstd => {
            let begun = zstd::stream::write::Encoder::new(vec![], ZSTD_LEVEL).and_then(|mut encoder| {
                encoder.include_checksum(true)?;
                Ok(Box::new(encoder) as Box<dyn Encoder>)
            });
            begun.map_err(|e| failed(codec, &e))
        }
        #[cfg(feature = "bzip2")]
        Codec::Bzip2 => Ok(Box::new(bzip2::write::BzEncoder::new(vec![], bzip2::Compression::best()))),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => {
            let info = lz4_flex::frame::FrameInfo::new().content_checksum(true);
            Ok(Box::new(lz4_flex::frame::FrameEncoder::with_frame_info(info, vec![])))
        }
        #[cfg(feature = "snappy")]
        // Of nothing, the encoder would make nothing, which is no stream: its mark is written before, and may stand twice.
        Codec::Snappy => Ok(Box::new(snap::write::FrameEncoder::new(b"\xff\x06\0\0sNaPpY".to_vec()))),
        other => Err(Error::new(Code::CodecMissing, format!("this program is built without writing {other}"))
            .with_hint(match other {
                Codec::Xz => "xz is read only: write zstd".to_owned(),
                other => format!("build the program with the feature `{other}` of the crate kinglet"),
            })),
    }
}
