//! One value whose type is found in the input and not in a program.

mod of_serde;

pub(super) use of_serde::of_serde;

use super::temporal::Temporal;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::borrow::Cow;
use std::fmt;

/// A value of a [`DataRow`](super::DataRow), which borrows text from the input where it can.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Datum<'a> {
    /// Nothing: JSON's `null`, or an empty field that is not quoted.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number that fits into 64 bits with a sign.
    Int(i64),
    /// An exact number by its digits: a whole one of more than 64 bits, or a decimal such as `12.50`.
    Decimal(Cow<'a, str>),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// A date, a time of day or a point in time.
    Temporal(Temporal),
    /// Bytes that are not UTF-8.
    Bytes(Cow<'a, [u8]>),
    /// Values in order.
    List(Vec<Datum<'a>>),
    /// Values by name.
    Struct(Vec<Named<'a>>),
}

/// A value and its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<'a> {
    /// The name.
    pub name: Cow<'a, str>,
    /// The value.
    pub value: Datum<'a>,
}

impl<'a> Datum<'a> {
    /// Returns what a field of CSV is, by how it is written:
    ///
    /// | written | is |
    /// |---|---|
    /// | nothing | [`Datum::Null`] |
    /// | `true`, `false` | a boolean |
    /// | digits, perhaps behind a `-`, that begin with no needless zero | a whole number |
    /// | the same with a fraction or an exponent, within the range of `f64` | a float |
    /// | anything else, as `007`, `+1`, `1_000` and `NaN` | text, or bytes if it is not UTF-8 |
    pub fn of_field(field: Cow<'a, [u8]>) -> Self {
        let text = match field {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Cow::Borrowed(bytes)),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|e| Cow::Owned(e.into_bytes())),
        };
        let text = match text {
            Ok(text) => text,
            Err(bytes) => return Datum::Bytes(bytes),
        };
        match &text[..] {
            "" => return Datum::Null,
            "true" => return Datum::Bool(true),
            "false" => return Datum::Bool(false),
            _ => {}
        }
        match number_of(&text) {
            Some(Number::Whole) => match text.parse() {
                Ok(whole) => Datum::Int(whole),
                Err(_) => Datum::Decimal(text),
            },
            Some(Number::Float(float)) => Datum::Float(float),
            None => Datum::Text(text),
        }
    }

    /// Returns a number of fewer digits as the one that they say: 0.1, and not the 0.10000000149… that is next to it.
    pub(crate) fn of_f32(number: f32) -> Self {
        Datum::Float(number.to_string().parse().unwrap_or_else(|_| number.into()))
    }

    /// Returns the text of what is text, of [`Datum::Decimal`] as well.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Datum::Text(text) | Datum::Decimal(text) => Some(text),
            _ => None,
        }
    }
}

impl From<u64> for Datum<'_> {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or_else(|_| Datum::Decimal(number.to_string().into()), Datum::Int)
    }
}

impl<'a> From<&'a str> for Datum<'a> {
    fn from(text: &'a str) -> Self {
        Datum::Text(text.into())
    }
}

enum Number {
    Whole,
    Float(f64),
}

/// Returns whether a text is written like a number of JSON.
pub(super) fn is_number(text: &str) -> bool {
    number_of(text).is_some()
}

/// Returns what number a text is, if it is written like one of JSON.
fn number_of(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let whole = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &unsigned[whole..];
    if whole == 0 || (whole > 1 && unsigned.starts_with('0')) {
        return None;
    }
    if rest.is_empty() {
        return Some(Number::Whole);
    }
    let behind_point = rest.strip_prefix('.');
    let is_cut_short = behind_point.is_some_and(|digits| !digits.starts_with(|c: char| c.is_ascii_digit()));
    if is_cut_short || (behind_point.is_none() && !rest.starts_with(['e', 'E'])) {
        return None;
    }
    text.parse().ok().filter(|float: &f64| float.is_finite()).map(Number::Float)
}

/// Returns bytes as text if they are.
pub(super) fn of_bytes(bytes: Cow<'_, [u8]>) -> Datum<'_> {
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Datum::Text(text.into()),
            Err(_) => Datum::Bytes(bytes.into()),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Datum::Text(text.into()),
            Err(e) => Datum::Bytes(e.into_bytes().into()),
        },
    }
}

impl<'de> Deserialize<'de> for Datum<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Visit)
    }
}

struct Visit;

impl<'de> Visitor<'de> for Visit {
    type Value = Datum<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Datum::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Datum::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Datum::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Datum::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Datum::Text(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Datum::Text(value.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = all.next_element()? {
            list.push(value);
        }
        Ok(Datum::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<Named<'de>> = Vec::new();
        while let Some(Name(name)) = all.next_key()? {
            if fields.iter().any(|field| field.name == name) {
                return Err(serde::de::Error::custom(format!("two values are called {name:?}")));
            }
            fields.push(Named { name, value: all.next_value()? });
        }
        Ok(Datum::Struct(fields))
    }
}

/// A name, borrowed where it can be.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match from.deserialize_str(Visit)? {
            Datum::Text(text) => Ok(Name(text)),
            _ => Err(serde::de::Error::custom("a name is text")),
        }
    }
}

/// As JSON: decimals by their digits and times as ISO 8601 has them, both in quotes; bytes as a list of numbers; `null` for a float
/// that is no number or infinite.
impl Serialize for Datum<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Datum::Null => to.serialize_unit(),
            Datum::Bool(value) => to.serialize_bool(*value),
            Datum::Int(value) => to.serialize_i64(*value),
            Datum::Float(value) => to.serialize_f64(*value),
            Datum::Text(text) | Datum::Decimal(text) => to.serialize_str(text),
            Datum::Temporal(time) => to.collect_str(time),
            Datum::Bytes(bytes) => to.serialize_bytes(bytes),
            Datum::List(list) => list.serialize(to),
            Datum::Struct(fields) => serialize(fields, to),
        }
    }
}

/// Writes values by name, in their order.
pub(super) fn serialize<S: Serializer>(fields: &[Named<'_>], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(fields.len()))?;
    for field in fields {
        map.serialize_entry(&field.name, &field.value)?;
    }
    map.end()
}
