//! Unpacks blocks, by the codecs of `formats/`.

use arrow_avro::compression::CompressionCodec;
use bytes::Bytes;
use std::io::Read;

/// Why a block is not unpacked.
#[derive(Debug)]
pub(super) enum Failed {
    /// It is not what the codec writes.
    Corrupt(String),
    /// It becomes longer than it may.
    TooLarge,
    /// This program is built without the codec, and so without this feature.
    #[cfg_attr(feature = "all-codecs", allow(dead_code))]
    Missing(&'static str),
}

/// Unpacks a block to at most so many bytes.
pub(super) fn unpack(codec: Option<CompressionCodec>, block: &Bytes, most: u64) -> Result<Bytes, Failed> {
    let _ = most;
    match codec {
        None => Ok(block.clone()),
        #[cfg(feature = "gzip")]
        Some(CompressionCodec::Deflate) => read(flate2::read::DeflateDecoder::new(&block[..]), most),
        #[cfg(feature = "snappy")]
        Some(CompressionCodec::Snappy) => snappy(block, most),
        #[cfg(feature = "zstd")]
        Some(CompressionCodec::ZStandard) => {
            let decoder = zstd::stream::read::Decoder::new(&block[..]).and_then(|mut decoder| {
                // The window is no longer than what it unpacks to, or than is allowed for that.
                decoder.window_log_max(most.max(1 << 23).ilog2().clamp(23, 31))?;
                Ok(decoder)
            });
            read(decoder.map_err(|e| Failed::Corrupt(e.to_string()))?, most)
        }
        #[cfg(feature = "bzip2")]
        Some(CompressionCodec::Bzip2) => read(bzip2::read::BzDecoder::new(&block[..]), most),
        #[cfg(feature = "xz")]
        Some(CompressionCodec::Xz) => {
            let window_kb = u32::try_from((most + (1 << 20)) >> 10).unwrap_or(u32::MAX - 1);
            read(lzma_rust2::XzReader::new_mem_limit(&block[..], false, window_kb), most)
        }
        #[cfg(not(feature = "gzip"))]
        Some(CompressionCodec::Deflate) => Err(Failed::Missing("gzip")),
        #[cfg(not(feature = "snappy"))]
        Some(CompressionCodec::Snappy) => Err(Failed::Missing("snappy")),
        #[cfg(not(feature = "zstd"))]
        Some(CompressionCodec::ZStandard) => Err(Failed::Missing("zstd")),
        #[cfg(not(feature = "bzip2"))]
        Some(CompressionCodec::Bzip2) => Err(Failed::Missing("bzip2")),
        #[cfg(not(feature = "xz"))]
        Some(CompressionCodec::Xz) => Err(Failed::Missing("xz")),
    }
}

#[cfg_attr(not(feature = "gzip"), allow(dead_code))]
fn read(unpacking: impl Read, most: u64) -> Result<Bytes, Failed> {
    let mut out = Vec::new();
    let read = unpacking.take(most.saturating_add(1)).read_to_end(&mut out);
    match read {
        Ok(bytes) if bytes as u64 > most => Err(Failed::TooLarge),
        Ok(_) => Ok(out.into()),
        Err(error) if error.kind() == std::io::ErrorKind::OutOfMemory => Err(Failed::TooLarge),
        Err(error) => Err(Failed::Corrupt(error.to_string())),
    }
}

/// Snappy without frames, and behind it the CRC-32 of what it unpacks to, its greatest byte first.
#[cfg(feature = "snappy")]
fn snappy(block: &[u8], most: u64) -> Result<Bytes, Failed> {
    let Some((packed, sum)) = block.split_last_chunk::<4>() else {
        return Err(Failed::Corrupt("it has no checksum".to_owned()));
    };
    let wrong = |e: snap::Error| Failed::Corrupt(e.to_string());
    if snap::raw::decompress_len(packed).map_err(wrong)? as u64 > most {
        return Err(Failed::TooLarge);
    }
    let out = snap::raw::Decoder::new().decompress_vec(packed).map_err(wrong)?;
    match crc32fast::hash(&out) == u32::from_be_bytes(*sum) {
        true => Ok(out.into()),
        false => Err(Failed::Corrupt("its checksum is wrong".to_owned())),
    }
}
