//! Where a compressed object may be cut into splits: what the splitter asks, which unpacks nothing.
//!
//! Zstd's [seek table](https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md) is
//! the object's last frame, one that decoders skip. All integers are little-endian:
//!
//! ```text
//!  0   5e 2a 4d 18  bytes:u32               of all that follows
//!      compressed:u32 unpacked:u32 [crc:u32]  × frames
//! -9   frames:u32 descriptor:u8 b1 ea 92 8f   descriptor: bit 7 says that there are checksums; bits 2 to 6 are 0
//! ```

use kinglet_core::Codec;

/// Where an object may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cutting {
    /// At any byte: a split finds its first block by itself.
    Anywhere,
    /// At the frames of its seek table, if it has one.
    BySeekTable,
    /// Nowhere.
    Nowhere,
}

/// Returns where an object of this codec may be cut, by its first [`kinglet_core::MAGIC_BYTES`] and a few more.
pub fn cutting(codec: Codec, first: &[u8]) -> Cutting {
    match codec {
        Codec::None | Codec::Bzip2 => Cutting::Anywhere,
        Codec::Gzip if bgzf_bytes(first).is_some() => Cutting::Anywhere,
        Codec::Zstd => Cutting::BySeekTable,
        _ => Cutting::Nowhere,
    }
}

/// How many bytes the header of a BGZF block has, which `gzip.rs` draws.
pub(super) const BGZF_HEADER_BYTES: usize = 18;

/// Returns how long the BGZF block is that starts with these bytes, if one does.
pub(super) fn bgzf_bytes(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..BGZF_HEADER_BYTES)?;
    let is_bgzf = header[..4] == *b"\x1f\x8b\x08\x04" && header[10..16] == *b"\x06\0BC\x02\0";
    let length = usize::from(u16::from_le_bytes([header[16], header[17]])) + 1;
    (is_bgzf && length >= BGZF_HEADER_BYTES + 8).then_some(length)
}

const FOOTER_BYTES: usize = 9;

/// The longest seek table that is read, in bytes (16 MiB).
const SEEK_TABLE_BYTES_MAX: u64 = 16 << 20;

/// What a seek table's footer says.
struct Footer {
    frames: u64,
    entry_bytes: usize,
}

impl Footer {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, d, descriptor, magic @ ..] = *bytes.last_chunk::<FOOTER_BYTES>()?;
        let entry_bytes = if descriptor & 0x80 == 0 { 8 } else { 12 };
        let is_footer = magic == *b"\xb1\xea\x92\x8f" && descriptor & 0x7c == 0;
        is_footer.then(|| Footer { frames: u32::from_le_bytes([a, b, c, d]).into(), entry_bytes })
    }

    fn table_bytes(&self) -> u64 {
        8 + self.frames * self.entry_bytes as u64 + FOOTER_BYTES as u64
    }
}

/// Returns how many of the object's last bytes its seek table takes, by the last nine; `None` if it has no seek table that is
/// read.
pub fn seek_table_bytes(last: &[u8]) -> Option<u64> {
    Footer::read(last).map(|footer| footer.table_bytes()).filter(|bytes| *bytes <= SEEK_TABLE_BYTES_MAX)
}

/// Reads the seek table of an object of `size` bytes, and returns the offsets at which its frames start; `None` if it does not
/// say what the whole object consists of.
pub fn read_seek_table(table: &[u8], size: u64) -> Option<Vec<u64>> {
    let footer = Footer::read(table)?;
    let (header, rest) = table.split_first_chunk::<8>()?;
    let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes)));
    if footer.table_bytes() != table.len() as u64
        || header[..4] != *b"\x5e\x2a\x4d\x18"
        || number(&header[4..]) != Some(rest.len() as u64)
    {
        return None;
    }
    let (mut starts, mut at) = (Vec::new(), 0);
    for entry in rest[..rest.len() - FOOTER_BYTES].chunks_exact(footer.entry_bytes) {
        starts.push(at);
        at += number(entry).filter(|bytes| *bytes > 0)?;
    }
    (at + table.len() as u64 == size).then_some(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(frames: &[u32], checksums: bool) -> Vec<u8> {
        let entries: Vec<u8> = frames
            .iter()
            .flat_map(|bytes| {
                let mut entry = bytes.to_le_bytes().to_vec();
                entry.extend([9; 8].iter().take(if checksums { 8 } else { 4 }));
                entry
            })
            .collect();
        let mut table = b"\x5e\x2a\x4d\x18".to_vec();
        table.extend((entries.len() as u32 + 9).to_le_bytes());
        table.extend(entries);
        table.extend((frames.len() as u32).to_le_bytes());
        table.push(if checksums { 0x80 } else { 0 });
        table.extend(b"\xb1\xea\x92\x8f");
        table
    }

    #[test]
    fn a_seek_table_says_where_frames_start_and_must_fit_the_object() {
        for checksums in [false, true] {
            let bytes = table(&[10, 20, 5], checksums);
            assert_eq!(seek_table_bytes(&bytes[bytes.len() - 9..]), Some(bytes.len() as u64));
            let size = 35 + bytes.len() as u64;
            assert_eq!(read_seek_table(&bytes, size), Some(vec![0, 10, 30]));
            assert_eq!(read_seek_table(&bytes, size + 1), None);
            for cut in 0..bytes.len() {
                assert_eq!(read_seek_table(&bytes[cut + 1..], size), None, "{cut}");
            }
            let mut other = bytes.clone();
            other[0] ^= 1;
            assert_eq!(read_seek_table(&other, size), None);
        }
        assert_eq!(read_seek_table(&table(&[10, 0, 5], false), 15 + 41), None);
        assert_eq!(seek_table_bytes(b"some text that ends"), None);
        // So long a table is not read.
        let mut last = table(&[1], false);
        let at = last.len() - 9;
        last[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(seek_table_bytes(&last[at..]), None);
    }

    #[test]
    fn only_some_objects_are_cut() {
        let bgzf = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0\x1b\0";
        assert_eq!(cutting(Codec::Gzip, bgzf), Cutting::Anywhere);
        assert_eq!(cutting(Codec::Gzip, b"\x1f\x8b\x08\0\0\0\0\0\0\xff and deflated data"), Cutting::Nowhere);
        assert_eq!(cutting(Codec::Bzip2, b""), Cutting::Anywhere);
        assert_eq!(cutting(Codec::None, b""), Cutting::Anywhere);
        assert_eq!(cutting(Codec::Zstd, b""), Cutting::BySeekTable);
        for codec in [Codec::Lz4, Codec::Snappy, Codec::Xz] {
            assert_eq!(cutting(codec, bgzf), Cutting::Nowhere);
        }
    }
}
