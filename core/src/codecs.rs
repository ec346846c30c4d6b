//! How an input's objects are compressed: by which codec, as the object's name and its first bytes say. The codecs themselves are
//! the crate `kinglet-formats`.
//!
//! Both are looked at, so that a compressed object is never read as text:
//!
//! | the name says | the first bytes say | it is read as |
//! |---|---|---|
//! | nothing | nothing | what it is |
//! | nothing | gzip | gzip |
//! | `.gz` | gzip | gzip |
//! | `.gz` | nothing, or zstd | refused: they contradict each other |
//! | `.zip`, or what else is not read here | anything | refused |
//! | anything | a zip file, or what else is not read here | refused |
//!
//! A job that says how its input is compressed is believed, and neither is looked at.

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A codec, by which an object of the input is compressed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    /// The object is not compressed: its bytes are its records.
    None,
    /// Gzip: one member or many. Members that are BGZF blocks, as `bgzip` writes them, can be read from any of them on.
    Gzip,
    /// Zstandard: one frame or many. With a seek table, it can be read from any frame on.
    Zstd,
    /// Bzip2: one stream or many. It can be read from any block on.
    Bzip2,
    /// LZ4's frame format: one frame or many.
    Lz4,
    /// Snappy's framing format.
    Snappy,
    /// Xz: one stream or many.
    Xz,
}

/// What is known of a codec.
struct Known {
    codec: Codec,
    name: &'static str,
    /// The extensions of names, in lower case.
    extensions: &'static [&'static str],
    /// The first bytes of an object, of which one must fit.
    magic: &'static [&'static [u8]],
}

const KNOWN: [Known; 6] = [
    Known {
        codec: Codec::Gzip,
        name: "gzip",
        extensions: &["gz", "gzip", "bgz", "bgzf", "tgz"],
        magic: &[b"\x1f\x8b\x08"],
    },
    Known { codec: Codec::Zstd, name: "zstd", extensions: &["zst", "zstd", "tzst"], magic: &[b"\x28\xb5\x2f\xfd"] },
    Known {
        codec: Codec::Bzip2,
        name: "bzip2",
        extensions: &["bz2", "bzip2", "tbz2"],
        // The level, from 1 to 9, stands between these; behind them, the mark of a block or that of the end.
        magic: &[b"BZh?1AY&SY", b"BZh?\x17\x72\x45\x38\x50\x90"],
    },
    Known { codec: Codec::Lz4, name: "lz4", extensions: &["lz4"], magic: &[b"\x04\x22\x4d\x18"] },
    Known { codec: Codec::Snappy, name: "snappy", extensions: &["sz", "snappy"], magic: &[b"\xff\x06\x00\x00sNaPpY"] },
    Known { codec: Codec::Xz, name: "xz", extensions: &["xz", "txz"], magic: &[b"\xfd7zXZ\x00"] },
];

/// Zstd's and LZ4's skippable frames, which may come first, start with one of sixteen magics that differ in four bits.
const SKIPPABLE: &[u8] = b"\x2a\x4d\x18";

/// What is compressed in a way that is not read here: what it is called, its extensions, and its first bytes.
struct Refused {
    name: &'static str,
    extensions: &'static [&'static str],
    magic: &'static [&'static [u8]],
}

const REFUSED: [Refused; 9] = [
    Refused { name: "a zip archive", extensions: &["zip"], magic: &[b"PK\x03\x04", b"PK\x05\x06"] },
    Refused { name: "a 7z archive", extensions: &["7z"], magic: &[b"7z\xbc\xaf\x27\x1c"] },
    Refused { name: "a rar archive", extensions: &["rar"], magic: &[b"Rar!\x1a\x07"] },
    Refused { name: "compressed by lzop", extensions: &["lzo", "lzop"], magic: &[b"\x89LZO\x00\x0d\x0a\x1a\x0a"] },
    Refused { name: "compressed by compress", extensions: &["z"], magic: &[b"\x1f\x9d"] },
    Refused { name: "compressed by brotli", extensions: &["br"], magic: &[] },
    Refused { name: "compressed by lzma", extensions: &["lzma"], magic: &[] },
    Refused { name: "compressed by lzip", extensions: &["lz"], magic: &[b"LZIP\x01"] },
    Refused { name: "in LZ4's legacy format", extensions: &[], magic: &[b"\x02\x21\x4c\x18"] },
];

/// How a Parquet file begins, plain and encrypted.
const PARQUET: [&[u8]; 2] = [b"PAR1", b"PARE"];

/// How many of an object's first bytes [`Codec::of`] looks at.
pub const MAGIC_BYTES: usize = 16;

impl Codec {
    /// All codecs, [`Codec::None`] included.
    pub const ALL: [Codec; 7] =
        [Codec::None, Codec::Gzip, Codec::Zstd, Codec::Bzip2, Codec::Lz4, Codec::Snappy, Codec::Xz];

    /// Returns the codec's name: `gzip`, `zstd`, ….
    pub fn name(self) -> &'static str {
        KNOWN.iter().find(|known| known.codec == self).map_or("none", |known| known.name)
    }

    /// Returns how the names of objects end that it compresses: `.gz`, `.zst`, ….
    pub fn ending(self) -> &'static str {
        match self {
            Codec::None => "",
            Codec::Gzip => ".gz",
            Codec::Zstd => ".zst",
            Codec::Bzip2 => ".bz2",
            Codec::Lz4 => ".lz4",
            Codec::Snappy => ".sz",
            Codec::Xz => ".xz",
        }
    }

    /// Returns the codec of an object, by its name and its first bytes: [`MAGIC_BYTES`] of them, or all if it has fewer.
    ///
    /// # Errors
    /// Returns [`Error::Input`]: `codec-unknown` when the object is compressed in a way that is not read here,
    /// `codec-contradiction` when its name and its bytes do not agree, and `format-contradiction` when it is Parquet.
    pub fn of(shown: &str, first: &[u8]) -> Result<Self> {
        let named = Self::named(shown)?;
        if let Some(refused) = REFUSED.iter().find(|refused| refused.magic.iter().any(|magic| starts(first, magic))) {
            return Err(unknown(shown, refused.name));
        }
        if PARQUET.iter().any(|magic| starts(first, magic)) {
            let message = format!("{shown} begins like Parquet, and is read as something else");
            return Err(Error::new(Code::FormatContradiction, message).with_hint(
                "read it with --format parquet (`Parquet`), or leave it out; if it is none, say so with --input-compression none",
            ));
        }
        let found = Self::begun_by(first);
        match (named, found) {
            (None, found) => Ok(found.unwrap_or(Codec::None)),
            (Some(named), Some(found)) if named == found => Ok(named),
            (Some(Codec::Zstd | Codec::Lz4), None) if is_skippable(first) => Ok(named.unwrap_or(Codec::None)),
            (Some(named), found) => {
                let found = found.map_or("not compressed".to_owned(), |found| format!("{found} data"));
                let message = format!("the name of {shown} says {named}, but it begins like what is {found}");
                Err(Error::new(Code::CodecContradiction, message).with_hint(
                    "give the object the name that fits, or say how all of the input is compressed with \
                     --input-compression (`Submit::with_input_compression`)",
                ))
            }
        }
    }

    /// Returns the codec that an object's name says, if it says one.
    ///
    /// # Errors
    /// Returns [`Error::Input`] (`codec-unknown`) when the object is compressed in a way that is not read here.
    pub fn named(shown: &str) -> Result<Option<Self>> {
        let name = shown.rsplit('/').next().unwrap_or_default();
        let Some(extension) = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()) else {
            return Ok(None);
        };
        let has = |extensions: &[&str]| extensions.contains(&extension.as_str());
        match REFUSED.iter().find(|refused| has(refused.extensions)) {
            Some(refused) => Err(unknown(shown, refused.name)),
            None => Ok(KNOWN.iter().find(|known| has(known.extensions)).map(|known| known.codec)),
        }
    }

    fn begun_by(first: &[u8]) -> Option<Self> {
        KNOWN.iter().find(|known| known.magic.iter().any(|magic| starts(first, magic))).map(|known| known.codec)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns whether the bytes start with a magic, in which `?` stands for a digit from 1 to 9.
fn starts(first: &[u8], magic: &[u8]) -> bool {
    let fits = |(byte, wanted): (&u8, &u8)| byte == wanted || *wanted == b'?' && (b'1'..=b'9').contains(byte);
    first.len() >= magic.len() && first.iter().zip(magic).all(fits)
}

fn is_skippable(first: &[u8]) -> bool {
    first.len() >= 4 && first[0] & 0xf0 == 0x50 && &first[1..4] == SKIPPABLE
}

fn unknown(shown: &str, what: &str) -> Error {
    let names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
    Error::new(Code::CodecUnknown, format!("{shown} is {what}, which Kinglet does not read")).with_hint(format!(
        "compress it by one of {}, or leave it out; if it is none, say so with --input-compression none",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, first: &[u8]) -> Result<Codec, String> {
        Codec::of(name, first).map_err(|error| error.code().to_owned())
    }

    #[test]
    fn a_codec_is_known_by_name_and_bytes_that_agree() {
        let firsts: [(Codec, &str, &[u8]); 7] = [
            (Codec::Gzip, "s3://b/x/a.csv.gz", b"\x1f\x8b\x08\x00rest of the member"),
            (Codec::Gzip, "a.BGZ", b"\x1f\x8b\x08\x04"),
            (Codec::Zstd, "a.zst", b"\x28\xb5\x2f\xfd\x24"),
            (Codec::Bzip2, "a.bz2", b"BZh91AY&SY..."),
            (Codec::Lz4, "a.lz4", b"\x04\x22\x4d\x18@"),
            (Codec::Snappy, "a.sz", b"\xff\x06\x00\x00sNaPpY\x00"),
            (Codec::Xz, "a.xz", b"\xfd7zXZ\x00\x00\x04"),
        ];
        for (codec, name, first) in firsts {
            assert_eq!(of(name, first), Ok(codec), "{name}");
            // The bytes alone say it, too.
            for plain in ["a", "a.txt", "dir.gz/a", "s3://b.gz/a", ""] {
                assert_eq!(of(plain, first), Ok(codec), "{plain}");
            }
            // The name alone does not.
            assert_eq!(of(name, b"plain text"), Err("codec-contradiction".to_owned()), "{name}");
            assert_eq!(of(name, &first[..2]), Err("codec-contradiction".to_owned()), "{name}");
        }
        assert_eq!(of("a.gz", b"\x28\xb5\x2f\xfd\x24"), Err("codec-contradiction".to_owned()));
        let error = Codec::of("a.gz", b"\x28\xb5\x2f\xfd\x24").unwrap_err().to_string();
        assert!(error.contains("gzip") && error.contains("zstd") && error.contains("a.gz"), "{error}");
        for plain in ["a", "a.txt", ".gitignore", "a.", "gz"] {
            assert_eq!(of(plain, b"BZh is a word"), Ok(Codec::None), "{plain}");
            assert_eq!(of(plain, b""), Ok(Codec::None), "{plain}");
        }
        assert_eq!(of("a.bz2", b"BZh0\x17\x72\x45\x38\x50\x90"), Err("codec-contradiction".to_owned()));
        assert_eq!(of("a.bz2", b"BZh1\x17\x72\x45\x38\x50\x90"), Ok(Codec::Bzip2));
        assert_eq!(of("a.zst", b"\x50\x2a\x4d\x18\x04\0\0\0"), Ok(Codec::Zstd));
        assert_eq!(of("a.xz", b"\x50\x2a\x4d\x18\x04\0\0\0"), Err("codec-contradiction".to_owned()));
    }

    #[test]
    fn what_is_not_read_is_refused_by_name_or_bytes() {
        for name in ["a.zip", "a.ZIP", "a.7z", "a.rar", "a.lzo", "a.Z", "a.br", "s3://b/a.lzma", "a.lz"] {
            assert_eq!(of(name, b"whatever it holds"), Err("codec-unknown".to_owned()), "{name}");
        }
        let firsts: [&[u8]; 7] = [
            b"PK\x03\x04...",
            b"7z\xbc\xaf\x27\x1c",
            b"Rar!\x1a\x07\x01",
            b"\x89LZO\x00\x0d\x0a\x1a\x0a",
            b"\x1f\x9d\x90",
            b"LZIP\x01",
            b"\x02\x21\x4c\x18",
        ];
        for first in firsts {
            for name in ["a", "a.csv", "a.gz"] {
                assert_eq!(of(name, first), Err("codec-unknown".to_owned()), "{name} {first:?}");
            }
        }
        assert_eq!(of("a.csv", b"PAR1\x15\x04"), Err("format-contradiction".to_owned()));
        // These are words.
        assert_eq!(of("a", b"Rar! LZIP"), Ok(Codec::None));
        assert_eq!(of("a", b"PK and LZIP"), Ok(Codec::None));
    }

    #[test]
    fn every_codec_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Codec::ALL.iter().map(|codec| codec.to_string()).collect();
        assert_eq!(names.len(), Codec::ALL.len());
    }
}
