//! A deserializer that stands between a type and bincode and believes no length.
//!
//! Bincode allocates a string's bytes before it looks whether they are there, so that nine bytes can ask for 2^60 of them. Here
//! strings and byte strings are first borrowed from the input, which shows that they are there, and copied afterwards. A list
//! is not given more room than a page's worth of elements in advance, and cannot be longer than its bytes, except that
//! [`EMPTY_ELEMENTS_MAX`] elements may take none. What nests deeper than [`DEPTH_MAX`] is refused before it takes the whole
//! stack.
//!
//! What costs nothing stays so: numbers are passed on as they are, and all of this is inlined.

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use std::fmt;

/// How deep a value may nest. JSON readers allow 128 levels; 256 of them take about 300 KB of stack without optimisation.
pub(super) const DEPTH_MAX: u16 = 256;

/// How many elements of a list may take no byte at all, as `()` does.
pub(super) const EMPTY_ELEMENTS_MAX: usize = 1 << 20;

/// How many elements a list is given room for before they are read.
const ELEMENTS_AHEAD: usize = 4_096;

/// What is left of the bounds at some depth.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// How many levels may follow.
    depth: u16,
    /// How many elements a list may have.
    elements: usize,
}

impl Bounds {
    /// Returns the bounds of a value in this many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        Bounds { depth: DEPTH_MAX, elements: bytes.max(EMPTY_ELEMENTS_MAX) }
    }

    #[inline]
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Bounds { depth, ..self }),
            None => Err(E::custom(format_args!("it nests deeper than {DEPTH_MAX} levels"))),
        }
    }

    #[inline]
    fn check<E: Error>(self, elements: Option<usize>) -> Result<(), E> {
        match elements {
            Some(elements) if elements > self.elements => {
                Err(E::custom(format_args!("a list of {elements} elements, which are not there")))
            }
            _ => Ok(()),
        }
    }
}

/// See the module.
pub(super) struct Bounded<T> {
    pub(super) inner: T,
    pub(super) bounds: Bounds,
}

macro_rules! as_it_is {
    ($($method:ident)*) => { $(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        }
    )* };
}

macro_rules! nested {
    ($($method:ident($($name:ident: $t:ty),*))*) => { $(
        #[inline]
        fn $method<V: Visitor<'de>>(self, $($name: $t,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = Bounded { inner: visitor, bounds: self.bounds.deeper()? };
            self.inner.$method($($name,)* visitor)
        }
    )* };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<D> {
    type Error = D::Error;

    as_it_is! {
        deserialize_any deserialize_bool deserialize_char deserialize_str deserialize_bytes deserialize_unit
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_identifier deserialize_ignored_any
    }

    nested! {
        deserialize_option()
        deserialize_newtype_struct(name: &'static str)
        deserialize_seq()
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_str(Owned(visitor))
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_bytes(Owned(visitor))
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// A visitor that is given its own copy of what was borrowed.
struct Owned<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Owned<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    #[inline]
    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        self.0.visit_string(text.to_owned())
    }

    #[inline]
    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<V::Value, E> {
        self.0.visit_byte_buf(bytes.to_vec())
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Bounded { inner, bounds: self.bounds })
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(Bounded { inner, bounds: self.bounds })
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.bounds.check(inner.size_hint())?;
        self.inner.visit_seq(Bounded { inner, bounds: self.bounds })
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.bounds.check(inner.size_hint())?;
        self.inner.visit_map(Bounded { inner, bounds: self.bounds })
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Bounded { inner, bounds: self.bounds })
    }
}

fn ahead(elements: Option<usize>) -> Option<usize> {
    elements.map(|elements| elements.min(ELEMENTS_AHEAD))
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Bounded { inner, bounds: self.bounds })
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Bounded<A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, inner: S) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_element_seed(Bounded { inner, bounds: self.bounds })
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        ahead(self.inner.size_hint())
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Bounded<A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, inner: S) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_key_seed(Bounded { inner, bounds: self.bounds })
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, inner: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(Bounded { inner, bounds: self.bounds })
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        ahead(self.inner.size_hint())
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<A> {
    type Error = A::Error;
    type Variant = Bounded<A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Bounded<A::Variant>), A::Error> {
        let (value, inner) = self.inner.variant_seed(seed)?;
        Ok((value, Bounded { inner, bounds: self.bounds }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, inner: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(Bounded { inner, bounds: self.bounds })
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, inner: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(len, Bounded { inner, bounds: self.bounds })
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], inner: V) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, Bounded { inner, bounds: self.bounds })
    }
}
