//! Keys. Their encoding is memcomparable: encoded bytes sort as the keys do, so sorting and merging compare bytes and never
//! decode.
//!
//! A run stores each key with its length, so a key that is a single string needs no escaping: its bytes are its encoding.
//! Integers are big-endian, and signed ones have the sign bit flipped. Everything else goes through the `memcomparable`
//! crate, whose encoding of tuples and structs sorts field by field.

use crate::error::{Code, Error, Result};
use bytes::Buf;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Returns what decides the partition of an encoded key; see [`Job::placed_by`](crate::Job::placed_by).
pub type PlacedBy = Arc<dyn Fn(&[u8]) -> Placing + Send + Sync>;

/// Returns how many bytes at the start of an encoded key say its group; see [`Job::grouped_by`](crate::Job::grouped_by).
pub type GroupedBy = Arc<dyn Fn(&[u8]) -> usize + Send + Sync>;

/// What decides a key's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placing {
    /// How many bytes at the start of the encoded key are hashed; more than it has are all.
    pub bytes: usize,
    /// How many partitions further the key goes than that hash says, in a circle: so keys that begin alike can go to so many
    /// different ones.
    pub further: u32,
}

impl Placing {
    /// Returns that so many bytes at the start of an encoded key decide.
    pub fn by(bytes: usize) -> Self {
        Placing { bytes, further: 0 }
    }
}

/// A type that can be a key. For a type of your own, derive `Serialize`, `Deserialize` and `Ord`, which must see the fields in
/// the same order, and write `impl Key for MyKey {}`.
///
/// ```
/// use kinglet_core::Key;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
/// struct Visit { city: String, year: u16 }
/// impl Key for Visit {}
///
/// let (a, b) = (Visit { city: "Ulm".into(), year: 7 }, Visit { city: "Ulm".into(), year: 300 });
/// let (mut x, mut y) = (vec![], vec![]);
/// a.encode(&mut x)?;
/// b.encode(&mut y)?;
/// assert!(x < y);
/// assert_eq!(Visit::decode(&y)?, b);
/// # Ok::<(), kinglet_core::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    note = "keys are `String`, `Vec<u8>`, integers, `bool`, `char`, tuples of these, or your own type with `impl Key for T {{}}`"
)]
pub trait Key: Serialize + DeserializeOwned + Ord + Send + 'static {
    /// Appends the key's encoding to `out`.
    ///
    /// # Errors
    /// Returns [`Error::UserCode`] (`key-encode`) when the type's `Serialize` fails.
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut serializer = memcomparable::Serializer::new(out);
        self.serialize(&mut serializer).map_err(|e| Error::new(Code::KeyEncode, format!("encoding a key: {e}")))
    }

    /// Appends the key's encoding as it stands before something else: no key's is then the beginning of another's. By default that is
    /// [`Key::encode`], which keeps this but for a key that is a single string: of such, a 0 is written as 0 1, and 0 0 stands behind.
    ///
    /// # Errors
    /// As [`Key::encode`].
    fn encode_before(&self, out: &mut Vec<u8>) -> Result<()> {
        self.encode(out)
    }

    /// Decodes a key that [`Key::encode_before`] has written.
    ///
    /// # Errors
    /// As [`Key::decode`].
    fn decode_before(bytes: &[u8]) -> Result<Self> {
        Self::decode(bytes)
    }

    /// Decodes a key.
    ///
    /// # Errors
    /// Returns [`Error::Corrupt`] (`key-decode`) when the bytes are not an encoding of this type.
    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut deserializer = memcomparable::Deserializer::new(Endless { bytes, beyond: false });
        let key = Self::deserialize(&mut deserializer);
        let Endless { bytes: rest, beyond } = deserializer.into_inner();
        let why = match key {
            _ if beyond => "it ends early".to_owned(),
            Ok(_) if !rest.is_empty() => format!("{} bytes left over", rest.len()),
            Ok(key) => return Ok(key),
            Err(e) => e.to_string(),
        };
        Err(Error::new(Code::KeyDecode, format!("decoding a key: {why}")))
    }
}

/// Bytes with zeros behind them. `memcomparable` panics where its input ends too early; a zero ends whatever it reads: lists,
/// options and strings.
struct Endless<'a> {
    bytes: &'a [u8],
    /// Whether more was read than there is.
    beyond: bool,
}

impl Buf for Endless<'_> {
    fn remaining(&self) -> usize {
        usize::MAX
    }

    fn chunk(&self) -> &[u8] {
        if self.bytes.is_empty() { &[0; 16] } else { self.bytes }
    }

    fn advance(&mut self, n: usize) {
        self.beyond |= n > self.bytes.len();
        self.bytes = self.bytes.get(n..).unwrap_or_default();
    }
}

impl Key for String {
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(self.as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(e) => Err(Error::new(Code::KeyDecode, format!("decoding a String key: {e}"))),
        }
    }

    fn encode_before(&self, out: &mut Vec<u8>) -> Result<()> {
        escape(self.as_bytes(), out);
        Ok(())
    }

    fn decode_before(bytes: &[u8]) -> Result<Self> {
        Self::decode(&unescape(bytes)?)
    }
}

impl Key for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(self);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        Ok(bytes.to_vec())
    }

    fn encode_before(&self, out: &mut Vec<u8>) -> Result<()> {
        escape(self, out);
        Ok(())
    }

    fn decode_before(bytes: &[u8]) -> Result<Self> {
        unescape(bytes)
    }
}

/// Appends bytes with each 0 as 0 1, and 0 0: they sort as before, whatever stands behind them.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for zero in memchr::memchr_iter(0, bytes) {
        out.extend_from_slice(&bytes[from..=zero]);
        out.push(1);
        from = zero + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out.extend_from_slice(&[0, 0]);
}

fn unescape(bytes: &[u8]) -> Result<Vec<u8>> {
    let invalid = || Error::new(Code::KeyDecode, "decoding a key before something else: the bytes are none");
    let mut rest = bytes.strip_suffix(&[0, 0]).ok_or_else(invalid)?;
    let mut whole = Vec::with_capacity(rest.len());
    while let Some(zero) = memchr::memchr(0, rest) {
        whole.extend_from_slice(&rest[..=zero]);
        rest = rest[zero + 1..].strip_prefix(&[1]).ok_or_else(invalid)?;
    }
    whole.extend_from_slice(rest);
    Ok(whole)
}

macro_rules! integer_keys {
    ($($t:ty, $flip:expr);* $(;)?) => { $(
        impl Key for $t {
            fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
                out.extend_from_slice(&(*self ^ $flip).to_be_bytes());
                Ok(())
            }

            fn decode(bytes: &[u8]) -> Result<Self> {
                match bytes.try_into() {
                    Ok(bytes) => Ok(<$t>::from_be_bytes(bytes) ^ $flip),
                    Err(_) => Err(Error::new(
                        Code::KeyDecode,
                        format!("decoding a {} key: {} bytes", stringify!($t), bytes.len()),
                    )),
                }
            }
        }
    )* };
}
integer_keys! {
    u8, 0; u16, 0; u32, 0; u64, 0; u128, 0;
    i8, i8::MIN; i16, i16::MIN; i32, i32::MIN; i64, i64::MIN; i128, i128::MIN;
}

impl Key for () {}
impl Key for bool {}
impl Key for char {}
impl<T: Key> Key for Option<T> {}
impl<A: Key, B: Key> Key for (A, B) {}
impl<A: Key, B: Key, C: Key> Key for (A, B, C) {}
impl<A: Key, B: Key, C: Key, D: Key> Key for (A, B, C, D) {}

/// A type that `emit` accepts as a key of type `K`: `K` itself, a reference to it, or its borrowed form (`&str` for `String`,
/// `&[u8]` for `Vec<u8>`), which costs no allocation.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` was emitted as a key, but the job's `Key` is `{K}`",
    label = "not a `{K}`",
    note = "emit a `{K}`, a `&{K}`, or change `type Key` of the job"
)]
pub trait AsKey<K> {
    /// Returns the encoding: the value's own bytes, or `scratch` filled with them.
    ///
    /// # Errors
    /// As [`Key::encode`].
    fn encoded<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Result<&'a [u8]>;
}

impl<K: Key> AsKey<K> for K {
    #[inline]
    fn encoded<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        scratch.clear();
        self.encode(scratch)?;
        Ok(scratch)
    }
}

impl<K: Key> AsKey<K> for &K {
    #[inline]
    fn encoded<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        scratch.clear();
        self.encode(scratch)?;
        Ok(scratch)
    }
}

impl AsKey<String> for &str {
    #[inline]
    fn encoded<'a>(&'a self, _: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        Ok(self.as_bytes())
    }
}

impl AsKey<Vec<u8>> for &[u8] {
    #[inline]
    fn encoded<'a>(&'a self, _: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn law<K: Key + std::fmt::Debug>(a: K, b: K) {
        let (mut x, mut y) = (vec![], vec![]);
        a.encode(&mut x).unwrap();
        b.encode(&mut y).unwrap();
        assert_eq!(a.cmp(&b), x.cmp(&y), "{a:?} {b:?}");
        assert_eq!(K::decode(&x).unwrap(), a);
        // Before something else, whatever that is.
        let before = |key: &K, behind: &[u8]| {
            let mut bytes = vec![];
            key.encode_before(&mut bytes).unwrap();
            assert_eq!(K::decode_before(&bytes).unwrap(), *key);
            [&bytes, behind].concat()
        };
        for (behind_a, behind_b) in [(&[0][..], &[255][..]), (&[255], &[0]), (&[], &[0]), (&[1], &[])] {
            if a != b {
                assert_eq!(a.cmp(&b), before(&a, behind_a).cmp(&before(&b, behind_b)), "{a:?} {b:?}");
            }
        }
    }

    /// `memcomparable` panics at these.
    #[test]
    fn a_key_that_ends_early_or_late_is_an_error() {
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
        enum Long {
            Named(String, Option<i64>),
            Listed { list: Vec<(u8, bool)>, c: char, n: u128 },
        }
        impl Key for Long {}
        let listed = Long::Listed { list: vec![(1, true), (2, false)], c: 'ß', n: 1 << 100 };
        for key in [Long::Named("a city of some length".into(), Some(-7)), listed] {
            let mut bytes = vec![];
            key.encode(&mut bytes).unwrap();
            assert_eq!(Long::decode(&bytes).unwrap(), key);
            for cut in 0..bytes.len() {
                assert_eq!(Long::decode(&bytes[..cut]).unwrap_err().code(), "key-decode", "cut at {cut}");
            }
            bytes.push(0);
            assert!(Long::decode(&bytes).unwrap_err().to_string().ends_with("1 bytes left over"));
        }
        assert!(<(bool, u8)>::decode(&[]).is_err() && char::decode(&[0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn the_order_of_the_bytes_is_the_order_of_the_keys(
            a: (String, i64), b: (String, i64), s: String, t: String, i: i32, j: i32, u: u64, v: u64,
            p: (Option<u16>, bool, Vec<u8>), q: (Option<u16>, bool, Vec<u8>), c: char, d: char,
        ) {
            law(a.clone(), b);
            law((a.0.clone(), 0), (a.0, a.1));
            law(s, t);
            law(i, j);
            law(u, v);
            law(p, q);
            law(c, d);
        }
    }
}
