use clap::ValueEnum;
use kinglet::Codec;

/// How the input is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodecArg {
    /// Not at all
    None,
    /// Gzip, BGZF too
    Gzip,
    /// Zstandard
    Zstd,
    /// Bzip2
    Bzip2,
    /// LZ4 frames
    Lz4,
    /// Snappy's framing format
    Snappy,
    /// Xz
    Xz,
}

impl From<CodecArg> for Codec {
    fn from(codec: CodecArg) -> Self {
        match codec {
            CodecArg::None => Codec::None,
            CodecArg::Gzip => Codec::Gzip,
            CodecArg::Zstd => Codec::Zstd,
            CodecArg::Bzip2 => Codec::Bzip2,
            CodecArg::Lz4 => Codec::Lz4,
            CodecArg::Snappy => Codec::Snappy,
            CodecArg::Xz => Codec::Xz,
        }
    }
}
