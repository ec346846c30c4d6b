//! The frame around every stored record that is listed in [`Kind`]. All integers are little-endian.
//!
//! ```text
//! 0   "KNGL"
//! 4   kind:u8         which record: see [`Kind`]
//! 5   version:u8      of that kind
//! 6   0:u16
//! 8   crc32:u32       of the payload
//! 12  payload         bincode 2, standard configuration
//! ```

use crate::error::{Code, Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a frame holds. The numbers are stored, so a number is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// [`super::spec::JobSpec`]
    Spec = 1,
    /// [`super::plan::Split`]
    Split = 2,
    /// [`super::record::MapRecord`]
    MapRecord = 3,
    /// [`super::record::ReduceRecord`]
    ReduceRecord = 4,
    /// [`super::record::RunIndex`]
    RunIndex = 5,
    /// [`crate::Error`]
    Error = 6,
    /// [`super::plan::Inputs`]
    Inputs = 7,
    /// [`super::record::Usage`]
    Usage = 16,
    /// [`super::rest::ReduceRest`]
    ReduceRest = 17,
    /// [`super::files::FileList`]
    FileList = 18,
    /// [`super::record::MergeRecord`]
    MergeRecord = 19,
    /// [`super::bundle::BundleHead`]
    BundleHead = 20,
    /// [`super::reread::Rereads`]
    Rereads = 21,
}

/// A type that is stored in a frame.
pub trait Framed: Serialize + DeserializeOwned {
    /// The kind of record.
    const KIND: Kind;
    /// The version of the layout; raise it with every change.
    const VERSION: u8;

    /// Checks what a type cannot say, such as that one field is not larger than another. It is called for what was read, before
    /// anybody relies on it.
    ///
    /// # Errors
    /// Returns what is wrong, in words.
    fn check(&self) -> std::result::Result<(), &'static str> {
        Ok(())
    }
}

impl Framed for Error {
    const KIND: Kind = Kind::Error;
    const VERSION: u8 = 1;
}

const HEADER_BYTES: usize = 12;

/// Returns `record` in a frame.
///
/// # Errors
/// Returns [`Error::UserCode`] (`value-encode`) when the record cannot be encoded.
pub fn write<T: Framed>(record: &T) -> Result<Vec<u8>> {
    let mut out = vec![b'K', b'N', b'G', b'L', T::KIND as u8, T::VERSION, 0, 0, 0, 0, 0, 0];
    crate::codec::encode_into(record, &mut out)?;
    let crc = crc32fast::hash(&out[HEADER_BYTES..]);
    out[8..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    Ok(out)
}

/// Reads a record; `name` names it in errors.
///
/// # Errors
/// Returns [`Error::Corrupt`] (`frame-corrupt`, `value-decode`) when the bytes are damaged or no such record can be, and [`Error::StaleDeployment`]
/// (`frame-version`) when they are of another version.
pub fn read<T: Framed>(bytes: &[u8], name: &str) -> Result<T> {
    let corrupt = |what: &str| Error::new(Code::FrameCorrupt, format!("reading {name}: {what}"));
    let Some((header, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(corrupt("too short"));
    };
    if header[..4] != *b"KNGL" || header[4] != T::KIND as u8 {
        return Err(corrupt("not what it should be"));
    }
    if header[5] != T::VERSION {
        return Err(Error::new(
            Code::FrameVersion,
            format!("reading {name}: version {}, this program reads version {}", header[5], T::VERSION),
        )
        .with_hint("driver and functions are of different versions: deploy again"));
    }
    if header[8..] != crc32fast::hash(payload).to_le_bytes() {
        return Err(corrupt("the checksum is wrong"));
    }
    let record: T = crate::codec::decode(payload).map_err(|e| e.context(format!("reading {name}")))?;
    record.check().map_err(corrupt)?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damaged_byte_is_noticed() {
        let error = Error::relayed("a-code-unknown-here", "message");
        let bytes = write(&error).unwrap();
        assert_eq!(read::<Error>(&bytes, "it").unwrap(), error);
        for at in 0..bytes.len() {
            if at == 6 || at == 7 {
                continue; // reserved
            }
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert!(read::<Error>(&bad, "it").is_err(), "byte {at}");
            assert!(read::<Error>(&bytes[..at], "it").is_err(), "cut at {at}");
        }
        let mut newer = bytes;
        newer[5] += 1;
        assert_eq!(read::<Error>(&newer, "it").unwrap_err().code(), "frame-version");
    }
}
