//! The encoding of values: bincode 2.0.1, with serde, in its standard configuration (little-endian, variable-length
//! integers). Only this module names the encoder, so that it can be replaced.

use crate::error::{Code, Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

const CONFIG: bincode::config::Configuration = bincode::config::standard();

/// Appends the encoding of `value` to `out`.
///
/// # Errors
/// Returns [`Error::UserCode`] (`value-encode`) when the type's `Serialize` fails.
#[inline]
pub fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    match bincode::serde::encode_into_std_write(value, out, CONFIG) {
        Ok(_) => Ok(()),
        Err(e) => Err(cannot_encode::<T>(&e)),
    }
}

/// Returns the encoding of `value`.
///
/// # Errors
/// As [`encode_into`].
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    encode_into(value, &mut out)?;
    Ok(out)
}

/// Decodes a value that fills `bytes` exactly.
///
/// # Errors
/// Returns [`Error::Corrupt`] (`value-decode`) when the bytes are not an encoding of `T`, or more than one.
#[inline]
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    match bincode::serde::decode_from_slice(bytes, CONFIG) {
        Ok((value, read)) if read == bytes.len() => Ok(value),
        Ok((_, read)) => Err(Error::new(
            Code::ValueDecode,
            format!("decoding a {}: {} bytes left over", std::any::type_name::<T>(), bytes.len() - read),
        )),
        Err(e) => Err(Error::new(Code::ValueDecode, format!("decoding a {}: {e}", std::any::type_name::<T>()))),
    }
}

/// Decodes a value that fills `bytes` exactly and may be of another type, as when two versions of a program meet. Lengths in
/// the bytes are not trusted.
///
/// # Errors
/// As [`decode`].
pub fn decode_foreign<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let (value, read) = decode_first(bytes)?;
    if read == bytes.len() {
        return Ok(value);
    }
    let message = format!("decoding a {}: {} bytes left over", std::any::type_name::<T>(), bytes.len() - read);
    Err(Error::new(Code::ValueDecode, message))
}

/// Decodes a value from the start of `bytes`, and returns it with how many of them it took.
///
/// # Errors
/// Returns [`Error::Corrupt`] (`value-decode`) when the bytes do not start with an encoding of `T`.
pub fn decode_first<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize)> {
    // An item has less than 4 GB.
    bincode::serde::decode_from_slice(bytes, CONFIG.with_limit::<{ u32::MAX as usize }>())
        .map_err(|e| Error::new(Code::ValueDecode, format!("decoding a {}: {e}", std::any::type_name::<T>())))
}

#[cold]
fn cannot_encode<T>(e: &bincode::error::EncodeError) -> Error {
    Error::new(Code::ValueEncode, format!("encoding a {}: {e}", std::any::type_name::<T>()))
}

/// Returns how many bytes the encoding of `value` takes, or 0 if it cannot be encoded.
pub fn encoded_len<T: Serialize>(value: &T) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match bincode::serde::encode_into_std_write(value, &mut count, CONFIG) {
        Ok(_) => count.0,
        Err(_) => 0,
    }
}
