//! Serde reads a row that lies in columns, and the values in it, into a program's types.
//!
//! | value | is read into |
//! |---|---|
//! | row | a struct or a map, by the names of its columns; a tuple, in their order |
//! | nothing | an `Option`, or `()` |
//! | whole number | every type of number that can hold it |
//! | decimal | text, `f64`, and if it is whole a type of whole numbers that can hold it |
//! | date, time, timestamp | text as ISO 8601 has it, or the number that it is stored as |
//! | text, bytes | text, bytes, or a list of bytes; borrowed where the type borrows |
//! | list | a sequence; of structs of `key` and `value`, as maps are stored, a map as well |
//! | struct | a struct or a map |
//!
//! Nothing is rounded or cut off, but a float into an `f32`, as serde has it.

use super::columns::Block;
use crate::format::{Datum, Named};
use serde::de::value::Error;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use std::borrow::Cow;

/// A row of a block, for serde.
#[derive(Clone, Copy)]
pub(in crate::format) struct ReadRow<'de> {
    pub(in crate::format) block: &'de Block,
    pub(in crate::format) row: usize,
}

/// Goes through the columns of a row.
struct ReadColumns<'de> {
    of: ReadRow<'de>,
    next: usize,
}

impl<'de> ReadColumns<'de> {
    /// Reads the value of the column before the next.
    fn value<T: DeserializeSeed<'de>>(&self, seed: T) -> Result<T::Value, Error> {
        let column = &self.of.block.columns()[self.next - 1];
        let value = Value(column.cells.get(self.of.row));
        seed.deserialize(value).map_err(|e| Error::custom(format_args!("column {}: {e}", column.name)))
    }

    fn is_over(&self) -> bool {
        self.next == self.of.block.columns().len()
    }
}

impl<'de> MapAccess<'de> for ReadColumns<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if self.is_over() {
            return Ok(None);
        }
        self.next += 1;
        let name: &'de str = &self.of.block.columns()[self.next - 1].name;
        seed.deserialize(serde::de::value::BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        self.value(seed)
    }
}

impl<'de> SeqAccess<'de> for ReadColumns<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.is_over() {
            return Ok(None);
        }
        self.next += 1;
        self.value(seed).map(Some)
    }
}

impl<'de> Deserializer<'de> for ReadRow<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(ReadColumns { of: self, next: 0 })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(ReadColumns { of: self, next: 0 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, values: usize, visitor: V) -> Result<V::Value, Error> {
        let columns = self.block.columns().len();
        if columns == values {
            return self.deserialize_seq(visitor);
        }
        Err(Error::custom(format_args!("the row has {columns} columns, and the type has {values}")))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        values: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(values, visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit_struct map struct enum
        identifier
    }
}

/// A value, for serde.
struct Value<'de>(Datum<'de>);

impl<'de> Value<'de> {
    fn whole<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Datum::Decimal(digits) => {
                let whole = match digits.split_once('.') {
                    Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
                    _ => &digits,
                };
                match (whole.parse::<u64>(), whole.parse::<i64>(), whole.parse::<i128>()) {
                    (Ok(whole), ..) => visitor.visit_u64(whole),
                    (_, Ok(whole), _) => visitor.visit_i64(whole),
                    (.., Ok(whole)) => visitor.visit_i128(whole),
                    _ => Err(Error::invalid_value(Unexpected::Other(&digits), &visitor)),
                }
            }
            Datum::Temporal(time) => visitor.visit_i64(time.stored()),
            other => Value(other).deserialize_any(visitor),
        }
    }

    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Datum::Decimal(digits) => visitor.visit_f64(digits.parse().map_err(Error::custom)?),
            other => Value(other).deserialize_any(visitor),
        }
    }
}

fn text<'de, V: Visitor<'de>>(text: Cow<'de, str>, visitor: V) -> Result<V::Value, Error> {
    match text {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

macro_rules! whole {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.whole(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Datum::Null => visitor.visit_unit(),
            Datum::Bool(value) => visitor.visit_bool(value),
            Datum::Int(value) => visitor.visit_i64(value),
            Datum::Float(value) => visitor.visit_f64(value),
            Datum::Text(value) | Datum::Decimal(value) => text(value, visitor),
            Datum::Temporal(time) => visitor.visit_string(time.to_string()),
            Datum::Bytes(Cow::Borrowed(bytes)) => visitor.visit_borrowed_bytes(bytes),
            Datum::Bytes(Cow::Owned(bytes)) => visitor.visit_byte_buf(bytes),
            Datum::List(list) => visitor.visit_seq(Values(list.into_iter())),
            Datum::Struct(fields) => visitor.visit_map(Fields { left: fields.into_iter(), value: None }),
        }
    }

    whole! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Datum::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Datum::Text(Cow::Borrowed(text)) => visitor.visit_borrowed_bytes(text.as_bytes()),
            other => Value(other).deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Datum::Bytes(bytes) => visitor.visit_seq(serde::de::value::SeqDeserializer::new(bytes.iter().copied())),
            other => Value(other).deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Datum::List(list) => visitor.visit_map(Pairs { left: list.into_iter(), value: None }),
            other => Value(other).deserialize_any(visitor),
        }
    }

    /// An enum without data, by the name of its variant.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Datum::Text(text) => {
                let variant: serde::de::value::CowStrDeserializer<'_, Error> = text.into_deserializer();
                variant.deserialize_enum(name, variants, visitor)
            }
            other => Value(other).deserialize_any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { bool char str string unit unit_struct struct identifier }
}

/// The values of a list.
struct Values<'de>(std::vec::IntoIter<Datum<'de>>);

impl<'de> SeqAccess<'de> for Values<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|value| seed.deserialize(Value(value))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// The fields of a struct.
struct Fields<'de> {
    left: std::vec::IntoIter<Named<'de>>,
    value: Option<Datum<'de>>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(Named { name, value }) = self.left.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(Value(Datum::Text(name))).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Value(self.value.take().unwrap_or(Datum::Null)))
    }
}

/// The pairs of a map, each of which is a struct of key and value.
struct Pairs<'de> {
    left: std::vec::IntoIter<Datum<'de>>,
    value: Option<Datum<'de>>,
}

impl<'de> MapAccess<'de> for Pairs<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        match self.left.next() {
            None => Ok(None),
            Some(Datum::Struct(fields)) => match <[Named<'de>; 2]>::try_from(fields) {
                Ok([key, value]) => {
                    self.value = Some(value.value);
                    seed.deserialize(Value(key.value)).map(Some)
                }
                Err(_) => Err(Error::custom("a pair of a map has a key and a value")),
            },
            Some(_) => Err(Error::custom("a list is no map unless it is of keys and values")),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Value(self.value.take().unwrap_or(Datum::Null)))
    }
}
