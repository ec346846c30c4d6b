//! Makes a [`Datum`] of anything that serde can write.

use super::{Datum, Named, of_bytes};
use serde::Serialize;
use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use std::fmt;

/// Returns what a value is.
///
/// # Errors
/// Returns what the type's `Serialize` says, or which key of a map is no name.
pub(crate) fn of_serde<T: Serialize + ?Sized>(value: &T) -> Result<Datum<'static>, Says> {
    value.serialize(ToDatum)
}

/// Why a value is none that can be written.
#[derive(Debug)]
pub(crate) struct Says(String);

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Says {}

impl serde::ser::Error for Says {
    fn custom<T: fmt::Display>(says: T) -> Self {
        Says(says.to_string())
    }
}

struct ToDatum;

/// Values in order, under the name of an enum's variant if they are one's.
struct List {
    variant: Option<&'static str>,
    values: Vec<Datum<'static>>,
}

/// Values by name, likewise.
struct Fields {
    variant: Option<&'static str>,
    key: Option<String>,
    fields: Vec<Named<'static>>,
}

fn tagged(variant: Option<&'static str>, value: Datum<'static>) -> Datum<'static> {
    match variant {
        Some(name) => Datum::Struct(vec![Named { name: name.into(), value }]),
        None => value,
    }
}

impl Fields {
    fn add<T: Serialize + ?Sized>(&mut self, name: impl Into<std::borrow::Cow<'static, str>>, value: &T) -> Done<()> {
        let name = name.into();
        if self.fields.iter().any(|field| field.name == name) {
            return Err(Says::custom(format!("two values are called {name:?}")));
        }
        self.fields.push(Named { name, value: value.serialize(ToDatum)? });
        Ok(())
    }

    fn ended(self) -> Datum<'static> {
        tagged(self.variant, Datum::Struct(self.fields))
    }
}

type Done<T> = Result<T, Says>;

macro_rules! wholes {
    ($($method:ident $t:ty)*) => { $(
        fn $method(self, value: $t) -> Done<Datum<'static>> {
            Ok(i64::try_from(value).map_or_else(|_| Datum::Decimal(value.to_string().into()), Datum::Int))
        }
    )* };
}

impl Serializer for ToDatum {
    type Ok = Datum<'static>;
    type Error = Says;
    type SerializeSeq = List;
    type SerializeTuple = List;
    type SerializeTupleStruct = List;
    type SerializeTupleVariant = List;
    type SerializeMap = Fields;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Fields;

    wholes! {
        serialize_i8 i8 serialize_i16 i16 serialize_i32 i32 serialize_i64 i64 serialize_i128 i128
        serialize_u8 u8 serialize_u16 u16 serialize_u32 u32 serialize_u64 u64 serialize_u128 u128
    }

    fn serialize_bool(self, value: bool) -> Done<Datum<'static>> {
        Ok(Datum::Bool(value))
    }

    fn serialize_f32(self, value: f32) -> Done<Datum<'static>> {
        Ok(Datum::of_f32(value))
    }

    fn serialize_f64(self, value: f64) -> Done<Datum<'static>> {
        Ok(Datum::Float(value))
    }

    fn serialize_char(self, value: char) -> Done<Datum<'static>> {
        Ok(Datum::Text(value.to_string().into()))
    }

    fn serialize_str(self, value: &str) -> Done<Datum<'static>> {
        Ok(Datum::Text(value.to_owned().into()))
    }

    fn serialize_bytes(self, value: &[u8]) -> Done<Datum<'static>> {
        Ok(of_bytes(value.to_vec().into()))
    }

    fn serialize_none(self) -> Done<Datum<'static>> {
        Ok(Datum::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done<Datum<'static>> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Done<Datum<'static>> {
        Ok(Datum::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Done<Datum<'static>> {
        Ok(Datum::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Done<Datum<'static>> {
        Ok(Datum::Text(variant.into()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done<Datum<'static>> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Done<Datum<'static>> {
        Ok(tagged(Some(variant), value.serialize(self)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Done<List> {
        Ok(List { variant: None, values: Vec::new() })
    }

    fn serialize_tuple(self, _: usize) -> Done<List> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Done<List> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Done<List> {
        Ok(List { variant: Some(variant), values: Vec::new() })
    }

    fn serialize_map(self, _: Option<usize>) -> Done<Fields> {
        Ok(Fields { variant: None, key: None, fields: Vec::new() })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Done<Fields> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Done<Fields> {
        Ok(Fields { variant: Some(variant), key: None, fields: Vec::new() })
    }
}

macro_rules! lists {
    ($($of:ident $method:ident)*) => { $(
        impl $of for List {
            type Ok = Datum<'static>;
            type Error = Says;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Done<()> {
                self.values.push(value.serialize(ToDatum)?);
                Ok(())
            }

            fn end(self) -> Done<Datum<'static>> {
                Ok(tagged(self.variant, Datum::List(self.values)))
            }
        }
    )* };
}
lists! {
    SerializeSeq serialize_element SerializeTuple serialize_element SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

macro_rules! structs {
    ($($of:ident)*) => { $(
        impl $of for Fields {
            type Ok = Datum<'static>;
            type Error = Says;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Done<()> {
                self.add(name, value)
            }

            fn end(self) -> Done<Datum<'static>> {
                Ok(self.ended())
            }
        }
    )* };
}
structs! { SerializeStruct SerializeStructVariant }

impl SerializeMap for Fields {
    type Ok = Datum<'static>;
    type Error = Says;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done<()> {
        self.key = Some(match key.serialize(ToDatum)? {
            Datum::Text(text) | Datum::Decimal(text) => text.into_owned(),
            Datum::Int(number) => number.to_string(),
            Datum::Bool(value) => value.to_string(),
            _ => return Err(Says::custom("the key of a map is neither text nor a whole number")),
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done<()> {
        let name = self.key.take().ok_or_else(|| Says::custom("a map has a value without a key"))?;
        self.add(name, value)
    }

    fn end(self) -> Done<Datum<'static>> {
        Ok(self.ended())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    enum Kind {
        Unit,
        New(u8),
        Two(u8, u8),
        Struct { a: Option<()> },
    }

    #[derive(Serialize)]
    struct All {
        kinds: Vec<Kind>,
        map: BTreeMap<u8, &'static str>,
        large: u128,
        f: f32,
        #[serde(skip_serializing_if = "Option::is_none")]
        none: Option<u8>,
    }

    #[test]
    fn a_value_is_what_json_would_have() {
        let all = All {
            kinds: vec![Kind::Unit, Kind::New(1), Kind::Two(1, 2), Kind::Struct { a: None }],
            map: [(7, "x")].into(),
            large: u128::MAX,
            f: 0.1,
            none: None,
        };
        let json = serde_json::to_string(&of_serde(&all).unwrap()).unwrap();
        let want = r#"{"kinds":["Unit",{"New":1},{"Two":[1,2]},{"Struct":{"a":null}}],"map":{"7":"x"},"#;
        assert_eq!(json, format!("{want}\"large\":\"{}\",\"f\":0.1}}", u128::MAX));
    }

    #[test]
    fn a_key_is_a_name_and_no_name_is_there_twice() {
        let keyed = BTreeMap::from([((1, 2), 3)]);
        assert!(of_serde(&keyed).unwrap_err().to_string().contains("key of a map"));
        #[derive(Serialize)]
        struct Outer {
            a: u8,
            #[serde(flatten)]
            rest: BTreeMap<String, u8>,
        }
        let twice = Outer { a: 1, rest: [("a".to_owned(), 2)].into() };
        assert!(of_serde(&twice).unwrap_err().to_string().contains("two values are called \"a\""));
    }
}
