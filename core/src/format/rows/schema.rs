//! What rows have in common: the names and types of their columns.

use crate::format::{Datum, Named, Temporal};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The columns of rows, as far as they were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// The columns, in the order in which they were met.
    pub columns: Vec<Column>,
}

/// A column, or a field of a struct.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type that all of its values have.
    #[serde(rename = "type")]
    pub of: ColumnType,
    /// Whether some rows have nothing there.
    pub optional: bool,
}

/// The type of a column. Values of two types together have the first of these that takes both:
///
/// | values | type |
/// |---|---|
/// | `Int`, `Decimal` | `Decimal` |
/// | `Int` or `Decimal`, `Float` | `Float` |
/// | two lists, two structs | the same of what is in them |
/// | `Text`, `Bytes` | `Bytes` |
/// | any others | `Text` |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ColumnType {
    /// No row had anything there.
    Null,
    /// Booleans.
    Bool,
    /// Whole numbers of 64 bits.
    Int,
    /// Exact numbers of any length.
    Decimal,
    /// Numbers.
    Float,
    /// Text.
    Text,
    /// Dates.
    Date,
    /// Times of day.
    Time,
    /// Points in time.
    Timestamp,
    /// Bytes.
    Bytes,
    /// Lists of one type.
    List(Box<ColumnType>),
    /// Structs.
    Struct(Vec<Column>),
}

impl Schema {
    /// Adds what another row has. `rows` were seen before it.
    pub fn add(&mut self, fields: &[Named<'_>], rows: u64) {
        merge(&mut self.columns, fields, rows);
    }
}

/// Adds a row's fields to columns that were found in `rows` rows before.
fn merge(columns: &mut Vec<Column>, fields: &[Named<'_>], rows: u64) {
    for column in columns.iter_mut() {
        match fields.iter().find(|field| field.name == column.name) {
            Some(field) => add(column, &field.value, rows),
            None => column.optional = true,
        }
    }
    for field in fields {
        if !columns.iter().any(|column| column.name == field.name) {
            let mut column = Column { name: field.name.clone().into_owned(), of: ColumnType::Null, optional: rows > 0 };
            add(&mut column, &field.value, rows);
            columns.push(column);
        }
    }
}

fn add(column: &mut Column, value: &Datum<'_>, rows: u64) {
    if *value == Datum::Null {
        column.optional = true;
        return;
    }
    let before = std::mem::replace(&mut column.of, ColumnType::Null);
    column.of = match (before, value) {
        (ColumnType::Struct(mut columns), Datum::Struct(fields)) => {
            merge(&mut columns, fields, rows.max(1));
            ColumnType::Struct(columns)
        }
        (before, value) => join(before, of(value)),
    };
}

fn of(value: &Datum<'_>) -> ColumnType {
    match value {
        Datum::Null => ColumnType::Null,
        Datum::Bool(_) => ColumnType::Bool,
        Datum::Int(_) => ColumnType::Int,
        Datum::Decimal(_) => ColumnType::Decimal,
        Datum::Float(_) => ColumnType::Float,
        Datum::Text(_) => ColumnType::Text,
        Datum::Temporal(Temporal::Date(_)) => ColumnType::Date,
        Datum::Temporal(Temporal::Time { .. }) => ColumnType::Time,
        Datum::Temporal(Temporal::Timestamp { .. }) => ColumnType::Timestamp,
        Datum::Bytes(_) => ColumnType::Bytes,
        Datum::List(list) => ColumnType::List(Box::new(list.iter().map(of).fold(ColumnType::Null, join))),
        Datum::Struct(fields) => {
            let mut columns = Vec::new();
            merge(&mut columns, fields, 0);
            ColumnType::Struct(columns)
        }
    }
}

/// Returns the type that takes the values of both.
fn join(a: ColumnType, b: ColumnType) -> ColumnType {
    use ColumnType::{Bytes, Decimal, Float, Int, List, Null, Struct, Text};
    match (a, b) {
        (a, b) if a == b => a,
        (Null, other) | (other, Null) => other,
        (Int, Decimal) | (Decimal, Int) => Decimal,
        (Int | Decimal, Float) | (Float, Int | Decimal) => Float,
        (List(a), List(b)) => List(Box::new(join(*a, *b))),
        (Struct(mut a), Struct(b)) => {
            for column in &mut a {
                column.optional |= !b.iter().any(|other| other.name == column.name);
            }
            for other in b {
                match a.iter_mut().find(|column| column.name == other.name) {
                    Some(column) => {
                        column.of = join(std::mem::replace(&mut column.of, Null), other.of);
                        column.optional |= other.optional;
                    }
                    None => a.push(Column { optional: true, ..other }),
                }
            }
            Struct(a)
        }
        (Bytes, _) | (_, Bytes) => Bytes,
        _ => Text,
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColumnType::Null => f.write_str("null"),
            ColumnType::Bool => f.write_str("bool"),
            ColumnType::Int => f.write_str("int"),
            ColumnType::Decimal => f.write_str("decimal"),
            ColumnType::Float => f.write_str("float"),
            ColumnType::Text => f.write_str("text"),
            ColumnType::Date => f.write_str("date"),
            ColumnType::Time => f.write_str("time"),
            ColumnType::Timestamp => f.write_str("timestamp"),
            ColumnType::Bytes => f.write_str("bytes"),
            ColumnType::List(of) => write!(f, "list of {of}"),
            ColumnType::Struct(columns) => {
                f.write_str("{")?;
                for (n, column) in columns.iter().enumerate() {
                    write!(f, "{}{column}", if n == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

/// `name: type`, with a `?` behind it where rows may have nothing.
impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.name, self.of, if self.optional { "?" } else { "" })
    }
}
