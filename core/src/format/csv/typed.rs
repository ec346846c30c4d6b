//! A row as serde reads it: as a struct or a map by the names of the columns, as a tuple or a list by their order, or, of one
//! column, as that column's value.
//!
//! A field is text. What it becomes is the type's choice: a number, if all of it is one; `true` or `false`; text or bytes,
//! borrowed if nothing is doubled or escaped; one variant of an enum, by its name. An empty field is `None`. A type that takes
//! anything, as one behind `#[serde(flatten)]` does, gets the number that a field is, and otherwise its text.

use super::head::{Head, missing_column};
use super::record::{Fields, Line};
use super::{CsvDialect, Invalid, check_count, fields_of, invalid, misshapen};
use serde::Deserialize;
use serde::de::value::{BorrowedBytesDeserializer, BorrowedStrDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use std::borrow::Cow;
use std::fmt::Display;

/// What the rows of an extent are read with.
pub(super) struct Scratch<'a, 'o> {
    dialect: CsvDialect,
    head: Head<'a>,
    object: &'o str,
    fields: Vec<Cow<'a, [u8]>>,
}

impl<'a, 'o> Scratch<'a, 'o> {
    pub(super) fn new(dialect: CsvDialect, head: Head<'a>, object: &'o str) -> Self {
        Scratch { dialect, head, object, fields: Vec::new() }
    }

    /// Reads one row.
    #[inline]
    pub(super) fn read<T: Deserialize<'a>>(&mut self, line: Line<'a>) -> Result<T, Invalid> {
        self.fields.clear();
        for field in Fields::of(self.dialect, line) {
            match field {
                Ok(field) => self.fields.push(field),
                // Says which.
                Err(_) => {
                    let error = fields_of(self.dialect, line).err().unwrap_or_else(|| invalid("a field is not valid"));
                    return Err(misshapen(error));
                }
            }
        }
        check_count(&self.dialect, self.fields.len(), &self.head).map_err(misshapen)?;
        if let Some(columns) = self.head.columns {
            self.fields.resize(columns, Cow::Borrowed(b""));
        }
        let names = self.head.names.as_deref();
        let row = Row { fields: &mut self.fields, names, at: 0 };
        T::deserialize(row).map_err(|fault| {
            let error = match fault {
                Fault::Missing(column) => missing_column(column, names.unwrap_or_default(), self.object),
                Fault::Says(says) => invalid(format!("the row is not of the type that is expected: {says}")),
            };
            Invalid { error, is_shape: false }
        })
    }
}

/// Why a row is not of a type.
#[derive(Debug)]
enum Fault {
    Missing(&'static str),
    Says(String),
}

impl Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Missing(column) => write!(f, "there is no column {column:?}"),
            Fault::Says(says) => f.write_str(says),
        }
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: Display>(says: T) -> Self {
        Fault::Says(says.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Fault::Missing(field)
    }
}

/// The fields of a row from one of them on.
struct Row<'r, 'a> {
    fields: &'r mut [Cow<'a, [u8]>],
    names: Option<&'r [Cow<'a, str>]>,
    at: usize,
}

impl<'a> Row<'_, 'a> {
    /// Takes the next field.
    fn take(&mut self) -> Option<Field<'a>> {
        let field = self.fields.get_mut(self.at)?;
        self.at += 1;
        Some(Field(std::mem::take(field)))
    }

    /// Says of which column an error is.
    fn named(&self, fault: Fault) -> Fault {
        let Fault::Says(says) = fault else { return fault };
        let at = self.at.saturating_sub(1);
        match self.names.and_then(|names| names.get(at)) {
            Some(name) => Fault::Says(format!("column {name:?}: {says}")),
            None => Fault::Says(format!("column {}: {says}", at + 1)),
        }
    }

    fn only(mut self) -> Result<Field<'a>, Fault> {
        match (self.take(), self.fields.len()) {
            (Some(field), 1) => Ok(field),
            (_, count) => Err(Fault::Says(format!("it has {count} columns, where one is expected"))),
        }
    }
}

macro_rules! of_the_only_field {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.only()?.$method(visitor)
        }
    )* };
}

impl<'a> Deserializer<'a> for Row<'_, 'a> {
    type Error = Fault;

    of_the_only_field! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option deserialize_unit
        deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.names {
            Some(_) => visitor.visit_map(self),
            None => visitor.visit_seq(self),
        }
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(self)
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, length: usize, visitor: V) -> Result<V::Value, Fault> {
        if self.fields.len() != length {
            return Err(Fault::Says(format!("it has {} columns, where {length} are expected", self.fields.len())));
        }
        visitor.visit_seq(self)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.names {
            Some(_) => visitor.visit_map(self),
            None => Err(Fault::Says("columns without names are no map".to_owned())),
        }
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.names {
            Some(_) => visitor.visit_map(self),
            // Without a head, a struct's fields are the columns in order.
            None => self.deserialize_tuple(fields.len(), visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        self.only()?.deserialize_unit(visitor)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}

impl<'a> SeqAccess<'a> for Row<'_, 'a> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(field) = self.take() else { return Ok(None) };
        seed.deserialize(field).map(Some).map_err(|fault| self.named(fault))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len() - self.at)
    }
}

impl<'a> MapAccess<'a> for Row<'_, 'a> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        match self.names.and_then(|names| names.get(self.at)) {
            Some(name) => seed.deserialize(StrDeserializer::new(name)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let field = self.take().ok_or_else(|| Fault::Says("the row ends early".to_owned()))?;
        seed.deserialize(field).map_err(|fault| self.named(fault))
    }
}

/// One field.
struct Field<'a>(Cow<'a, [u8]>);

impl<'a> Field<'a> {
    fn text(self) -> Result<Cow<'a, str>, Fault> {
        match self.0 {
            Cow::Borrowed(bytes) => {
                std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|e| Fault::Says(format!("not UTF-8 ({e})")))
            }
            Cow::Owned(bytes) => {
                String::from_utf8(bytes).map(Cow::Owned).map_err(|e| Fault::Says(format!("not UTF-8 ({e})")))
            }
        }
    }

    /// Reads the field as a number or the like.
    fn parsed<T: std::str::FromStr<Err: Display>>(self) -> Result<T, Fault> {
        let text = self.text()?;
        text.parse().map_err(|e| Fault::Says(format!("{text:?}: {e}")))
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            visitor.$visit(self.parsed()?)
        }
    )* };
}

impl<'de> Deserializer<'de> for Field<'de> {
    type Error = Fault;

    parsed! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32 deserialize_i64 visit_i64
        deserialize_i128 visit_i128
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32 deserialize_u64 visit_u64
        deserialize_u128 visit_u128
        deserialize_f32 visit_f32 deserialize_f64 visit_f64
        deserialize_char visit_char
    }

    /// Takes a field for the number that it is, if it is written like one; otherwise it is text.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let text = self.text()?;
        let is_number = text.starts_with(|c: char| matches!(c, '0'..='9' | '-' | '.'));
        if let Some(n) = text.parse().ok().filter(|_| is_number) {
            return visitor.visit_u64(n);
        }
        if let Some(n) = text.parse().ok().filter(|_| is_number) {
            return visitor.visit_i64(n);
        }
        if let Some(n) = text.parse().ok().filter(|n: &f64| is_number && n.is_finite()) {
            return visitor.visit_f64(n);
        }
        visit_text(text, visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visit_text(self.text()?, visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visit_text(self.text()?, visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visit_text(self.text()?, visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Cow::Borrowed(bytes) => BorrowedBytesDeserializer::new(bytes).deserialize_any(visitor),
            Cow::Owned(bytes) => visitor.visit_byte_buf(bytes),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.is_empty() {
            true => visitor.visit_unit(),
            false => Err(Fault::invalid_value(Unexpected::Str(&self.text()?), &"nothing")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { seq tuple tuple_struct map struct }
}

fn visit_text<'a, V: Visitor<'a>>(text: Cow<'a, str>, visitor: V) -> Result<V::Value, Fault> {
    match text {
        Cow::Borrowed(text) => BorrowedStrDeserializer::new(text).deserialize_any(visitor),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

impl<'a> EnumAccess<'a> for Field<'a> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let name = self.text()?;
        Ok((seed.deserialize(name.into_deserializer())?, Field(Cow::Borrowed(b""))))
    }
}

/// Variants have nothing in them but their names.
impl<'a> VariantAccess<'a> for Field<'a> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, _: T) -> Result<T::Value, Fault> {
        Err(Fault::invalid_type(Unexpected::UnitVariant, &"a variant with a value"))
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(Fault::invalid_type(Unexpected::UnitVariant, &"a variant with values"))
    }

    fn struct_variant<V: Visitor<'a>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Fault> {
        Err(Fault::invalid_type(Unexpected::UnitVariant, &"a variant with fields"))
    }
}
