//! The encoding of values: bincode 2.0.1, with serde, in its standard configuration (little-endian, variable-length
//! integers). Only this module names the encoder, so that it can be replaced.

mod bounded;

use crate::error::{Code, Error, Result};
use crate::guard::named_of;
use bounded::{Bounded, Bounds};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

const CONFIG: bincode::config::Configuration = bincode::config::standard();

/// Runs the `Serialize` or `Deserialize` of a type, which may be the job's own.
#[inline(always)]
fn naming<T, D>(doing: &'static str, code: impl FnOnce() -> D) -> D {
    named_of(doing, std::any::type_name::<T>(), code)
}

/// Appends the encoding of `value` to `out`.
///
/// # Errors
/// Returns [`Error::UserCode`] (`value-encode`) when the type's `Serialize` fails.
#[inline]
pub fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    match naming::<T, _>("encoding a", || bincode::serde::encode_into_std_write(value, out, CONFIG)) {
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

/// Decodes a value that fills `bytes` exactly. Nothing in the bytes is trusted: `bounded` says what is refused.
///
/// # Errors
/// Returns [`Error::Corrupt`] (`value-decode`) when the bytes are not an encoding of `T`, or more than one.
#[inline]
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    match decode_start(bytes) {
        Ok((value, read)) if read == bytes.len() => Ok(value),
        Ok((_, read)) => Err(cannot_decode::<T>(format_args!("{} bytes left over", bytes.len() - read))),
        Err(e) => Err(cannot_decode::<T>(format_args!("{e}"))),
    }
}

/// Decodes a value from the start of `bytes`, as [`decode`] does, and returns it with how many of them it took.
///
/// # Errors
/// Returns [`Error::Corrupt`] (`value-decode`) when the bytes do not start with an encoding of `T`.
pub fn decode_first<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize)> {
    decode_start(bytes).map_err(|e| cannot_decode::<T>(format_args!("{e}")))
}

#[inline]
fn decode_start<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<(T, usize), bincode::error::DecodeError> {
    let seed = Bounded { inner: PhantomData::<T>, bounds: Bounds::of(bytes.len()) };
    naming::<T, _>("decoding a", || bincode::serde::seed_decode_from_slice(seed, bytes, CONFIG))
}

#[cold]
fn cannot_decode<T>(why: std::fmt::Arguments<'_>) -> Error {
    Error::new(Code::ValueDecode, format!("decoding a {}: {why}", std::any::type_name::<T>()))
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
    match naming::<T, _>("encoding a", || bincode::serde::encode_into_std_write(value, &mut count, CONFIG)) {
        Ok(_) => count.0,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Point,
        Named(String),
        Pair(u8, Option<i64>),
        Fields { text: String, list: Vec<Shape> },
        Deeper(Box<Shape>),
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(Vec<u8>);

    fn shape() -> impl Strategy<Value = Shape> {
        let leaf = prop_oneof![
            Just(Shape::Point),
            any::<String>().prop_map(Shape::Named),
            any::<(u8, Option<i64>)>().prop_map(|(a, b)| Shape::Pair(a, b)),
        ];
        leaf.prop_recursive(4, 20, 4, |inner| {
            prop_oneof![
                (any::<String>(), proptest::collection::vec(inner.clone(), 0..4))
                    .prop_map(|(text, list)| Shape::Fields { text, list }),
                inner.prop_map(|inner| Shape::Deeper(Box::new(inner))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            shape in shape(), map: BTreeMap<String, (u128, f64)>, bytes: Vec<u8>, c: char, unit: (), list: Vec<()>,
        ) {
            let value = (shape, map, Wrapped(bytes), c, unit, list);
            let encoded = encode(&value).unwrap();
            prop_assert_eq!(encoded.len(), encoded_len(&value));
            let longer = [&encoded[..], b"more"].concat();
            prop_assert_eq!(decode_first(&longer).unwrap(), (value.clone(), encoded.len()));
            prop_assert!(decode::<(Shape, BTreeMap<String, (u128, f64)>, Wrapped, char, (), Vec<()>)>(&longer).is_err());
            prop_assert_eq!(decode::<(Shape, BTreeMap<String, (u128, f64)>, Wrapped, char, (), Vec<()>)>(&encoded).unwrap(), value);
        }
    }

    /// A varint of eight bytes: lengths from 2^32 on.
    fn length(bytes: u64) -> Vec<u8> {
        [&[253][..], &bytes.to_le_bytes()].concat()
    }

    /// Each of these made bincode allocate what the length says.
    #[test]
    fn a_length_allocates_nothing_that_is_not_there() {
        for huge in [1 << 33, 1 << 45, u64::MAX / 2, u64::MAX] {
            let says = length(huge);
            for error in [
                decode::<String>(&says).unwrap_err(),
                decode::<Wrapped>(&says).unwrap_err(),
                decode::<Vec<()>>(&says).unwrap_err(),
                decode::<Vec<[u64; 16]>>(&says).unwrap_err(),
                decode::<BTreeMap<String, ()>>(&says).unwrap_err(),
                decode::<std::collections::HashMap<u8, [u64; 16]>>(&says).unwrap_err(),
                decode::<Option<String>>(&[&[1][..], &says].concat()).unwrap_err(),
                decode::<Vec<String>>(&[&[1][..], &says].concat()).unwrap_err(),
            ] {
                assert_eq!(error.code(), "value-decode", "{error}");
            }
        }
    }

    #[test]
    fn what_nests_without_end_is_refused_before_the_stack_ends() {
        #[derive(Debug, Serialize, Deserialize)]
        struct Chain(Option<Box<Chain>>);
        let error = decode::<Chain>(&vec![1; 1 << 20]).unwrap_err();
        assert!(error.to_string().contains("deeper than 256 levels"), "{error}");
        let hundred = (0..100).fold(Chain(None), |chain, _| Chain(Some(Box::new(chain))));
        assert!(decode::<Chain>(&encode(&hundred).unwrap()).is_ok());
    }
}
