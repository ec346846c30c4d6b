//! Records of a result: as text, whose fields are separated by tabs and which a line feed ends, and as values, of which formats that
//! keep them apart make what they write.

use super::datum::{Datum, Named, of_bytes, of_serde};
use crate::error::{Code, Error, Result};
use serde::Serialize;
use std::borrow::Cow;
use std::io::Write;

/// A record of a result. As text, the fields of a tuple are separated by tabs; strings and byte strings are written raw, numbers in
/// decimal.
///
/// A type that serde can write becomes a record by [`SerdeRow`], and its fields then have names. A type of yours that is text of its
/// own, as a line of some file format is, implements this trait itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a record of a job's output",
    note = "outputs are strings, byte strings, numbers, `bool`, tuples of these, or your own type: derive `serde::Serialize` and \
            write `impl SerdeRow for {Self} {{}}`, or implement `Row`"
)]
pub trait Row: Send + 'static {
    /// Appends the fields, without the line feed.
    fn write_fields(&self, out: &mut Vec<u8>);

    /// Appends the record with its line feed.
    ///
    /// # Errors
    /// As [`Row::values`].
    #[inline]
    fn write_text(&self, out: &mut Vec<u8>) -> Result<()> {
        self.write_fields(out);
        out.push(b'\n');
        Ok(())
    }

    /// Returns the record's values, for formats that keep them apart. By default the text is the only one.
    ///
    /// # Errors
    /// Returns `output-value` when the record says by an error that it cannot be written.
    fn values(&self) -> Result<RowValues<'_>> {
        let mut text = Vec::new();
        self.write_fields(&mut text);
        Ok(RowValues::One(of_bytes(text.into())))
    }
}

/// The values of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum RowValues<'a> {
    /// One value, which is the record.
    One(Datum<'a>),
    /// Values in order, as those of a tuple.
    Listed(Vec<Datum<'a>>),
    /// Values by name.
    Named(Cow<'a, [Named<'a>]>),
}

impl RowValues<'_> {
    fn write_fields(&self, out: &mut Vec<u8>) {
        match self {
            RowValues::One(value) => write_plain(value, out),
            RowValues::Listed(values) => write_all(values, out),
            RowValues::Named(fields) => write_all(fields.iter().map(|field| &field.value), out),
        }
    }
}

/// A record by serde: a struct whose fields are the columns, or whatever else serde can write.
///
/// ```
/// use kinglet_core::{Row, SerdeRow};
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Total {
///     town: String,
///     cents: u64,
/// }
///
/// impl SerdeRow for Total {}
///
/// let mut text = vec![];
/// Total { town: "Perth".into(), cents: 250 }.write_text(&mut text).unwrap();
/// assert_eq!(text, b"Perth\t250\n");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a record of a job's output",
    note = "derive `serde::Serialize` and write `impl SerdeRow for {Self} {{}}`"
)]
pub trait SerdeRow: Serialize + Send + 'static {}

impl<T: SerdeRow> Row for T {
    /// As text, a value within a value is JSON, and a record that is an error is nothing: `write_text` says so.
    fn write_fields(&self, out: &mut Vec<u8>) {
        if let Ok(values) = self.values() {
            values.write_fields(out);
        }
    }

    fn write_text(&self, out: &mut Vec<u8>) -> Result<()> {
        self.values()?.write_fields(out);
        out.push(b'\n');
        Ok(())
    }

    fn values(&self) -> Result<RowValues<'_>> {
        let value = of_serde(self).map_err(|says| {
            Error::new(Code::OutputValue, format!("a record of type {}: {says}", std::any::type_name::<T>()))
        })?;
        Ok(match value {
            Datum::Struct(fields) => RowValues::Named(fields.into()),
            Datum::List(values) => RowValues::Listed(values),
            value => RowValues::One(value),
        })
    }
}

/// Appends values as text, with tabs between them.
pub(super) fn write_all<'d>(values: impl IntoIterator<Item = &'d Datum<'d>>, out: &mut Vec<u8>) {
    for (at, value) in values.into_iter().enumerate() {
        if at > 0 {
            out.push(b'\t');
        }
        write_plain(value, out);
    }
}

/// Appends a value as text.
fn write_plain(value: &Datum<'_>, out: &mut Vec<u8>) {
    match value {
        Datum::Null => {}
        Datum::Bool(value) => value.write_fields(out),
        Datum::Int(value) => value.write_fields(out),
        Datum::Float(value) => value.write_fields(out),
        Datum::Text(text) | Datum::Decimal(text) => out.extend_from_slice(text.as_bytes()),
        Datum::Temporal(time) => out.extend_from_slice(time.to_string().as_bytes()),
        Datum::Bytes(bytes) => out.extend_from_slice(bytes),
        // Writing to a Vec cannot fail.
        Datum::List(_) | Datum::Struct(_) => drop(serde_json::to_writer(out, value)),
    }
}

impl Row for String {
    fn write_fields(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn values(&self) -> Result<RowValues<'_>> {
        Ok(RowValues::One(Datum::Text(self.into())))
    }
}

impl Row for Vec<u8> {
    fn write_fields(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn values(&self) -> Result<RowValues<'_>> {
        Ok(RowValues::One(of_bytes(self.into())))
    }
}

macro_rules! displayed {
    ($($t:ty => $of:expr;)*) => { $(
        impl Row for $t {
            fn write_fields(&self, out: &mut Vec<u8>) {
                // Writing to a Vec cannot fail.
                let _ = write!(out, "{self}");
            }

            fn values(&self) -> Result<RowValues<'_>> {
                let of: fn($t) -> Datum<'static> = $of;
                Ok(RowValues::One(of(*self)))
            }
        }
    )* };
}
displayed! { f32 => Datum::of_f32; f64 => Datum::Float; bool => Datum::Bool; char => |c| Datum::Text(c.to_string().into()); }

macro_rules! integers {
    ($($t:ty)*) => { $(
        impl Row for $t {
            #[inline]
            fn write_fields(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
            }

            #[inline]
            fn values(&self) -> Result<RowValues<'_>> {
                let decimal = || Datum::Decimal(self.to_string().into());
                Ok(RowValues::One(i64::try_from(*self).map_or_else(|_| decimal(), Datum::Int)))
            }
        }
    )* };
}
integers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }

impl Row for () {
    fn write_fields(&self, _: &mut Vec<u8>) {}

    fn values(&self) -> Result<RowValues<'_>> {
        Ok(RowValues::One(Datum::Null))
    }
}

macro_rules! tuples {
    ($($first:ident $($rest:ident)*;)*) => { $(
        impl<$first: Row, $($rest: Row),*> Row for ($first, $($rest,)*) {
            #[inline]
            #[allow(non_snake_case)]
            fn write_fields(&self, out: &mut Vec<u8>) {
                let ($first, $($rest,)*) = self;
                $first.write_fields(out);
                $(
                    out.push(b'\t');
                    $rest.write_fields(out);
                )*
            }

            #[allow(non_snake_case)]
            fn values(&self) -> Result<RowValues<'_>> {
                let ($first, $($rest,)*) = self;
                let mut all = Vec::new();
                add($first.values()?, &mut all);
                $( add($rest.values()?, &mut all); )*
                Ok(RowValues::Listed(all))
            }
        }
    )* };
}
tuples! { A; A B; A B C; A B C D; A B C D E; A B C D E F; A B C D E F G; A B C D E F G H; }

/// Adds a tuple's element to the tuple's values: one that is a tuple is no value of its own, as it is none in text.
fn add<'a>(element: RowValues<'a>, all: &mut Vec<Datum<'a>>) {
    match element {
        RowValues::One(value) => all.push(value),
        RowValues::Listed(values) => all.extend(values),
        RowValues::Named(fields) => all.push(Datum::Struct(fields.into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_separated_by_tabs_and_bytes_are_raw() {
        let mut out = vec![];
        (b"\xffword".to_vec(), 42u64, true).write_text(&mut out).unwrap();
        assert_eq!(out, b"\xffword\t42\ttrue\n");
    }

    #[test]
    fn a_tuple_has_as_many_values_as_its_text_has_fields() {
        let row = ((b"\xff".to_vec(), "a".to_owned()), u64::MAX, (-1i8, 0.1f32), 'x');
        let values = row.values().unwrap();
        let want = [
            Datum::Bytes(b"\xff"[..].into()),
            Datum::Text("a".into()),
            Datum::Decimal("18446744073709551615".into()),
            Datum::Int(-1),
            Datum::Float(0.1),
            Datum::Text("x".into()),
        ];
        assert_eq!(values, RowValues::Listed(want.to_vec()));
        let mut out = vec![];
        row.write_fields(&mut out);
        assert_eq!(out.split(|byte| *byte == b'\t').count(), want.len());
    }

    struct Line;

    impl Row for Line {
        fn write_fields(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(b"1 2");
        }
    }

    #[test]
    fn a_type_that_is_text_of_its_own_is_one_value() {
        assert_eq!(Line.values().unwrap(), RowValues::One(Datum::Text("1 2".into())));
    }

    #[derive(Serialize)]
    struct Found {
        name: Option<String>,
        near: Vec<f32>,
        at: (u8, char),
    }

    impl SerdeRow for Found {}

    #[test]
    fn a_record_by_serde_has_its_fields_by_name() {
        let found = Found { name: None, near: vec![0.5, 0.1], at: (7, 'x') };
        let RowValues::Named(fields) = found.values().unwrap() else { panic!("it is a struct") };
        let names: Vec<_> = fields.iter().map(|field| &field.name[..]).collect();
        assert_eq!(names, ["name", "near", "at"]);
        assert_eq!(fields[1].value, Datum::List(vec![Datum::Float(0.5), Datum::Float(0.1)]));
        let mut out = vec![];
        found.write_text(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\t[0.5,0.1]\t[7,\"x\"]\n");
    }
}
