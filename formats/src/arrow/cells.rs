//! Values of Arrow's arrays as a program sees them that knows no types.
//!
//! | Parquet | value |
//! |---|---|
//! | BOOLEAN; integers of up to 64 bits, with a sign or without | boolean; whole number, or decimal beyond 64 bits with a sign |
//! | FLOAT, DOUBLE, FLOAT16 | float |
//! | DECIMAL | decimal, with as many digits behind the point as its scale says |
//! | STRING, ENUM, JSON; UUID, BSON and other bytes | text; bytes |
//! | DATE, TIME, TIMESTAMP, INT96 | date, time, timestamp |
//! | LIST, repeated field; MAP | list; list of structs of `key` and `value` |
//! | group | struct |
//!
//! Of Avro it is the same: a record is a struct, a fixed or a uuid bytes, an enum text.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray, StringArray};
use arrow_schema::{DataType, Field, TimeUnit as Unit};
use kinglet_core::{Cells, Column, ColumnType, Datum, Named, Temporal, TimeUnit};
use std::borrow::Cow;

/// Returns the type of a field's values, or the type that is not read.
pub(crate) fn column_type(of: &DataType) -> Result<ColumnType, &DataType> {
    Ok(match of {
        DataType::Null => ColumnType::Null,
        DataType::Boolean => ColumnType::Bool,
        DataType::UInt64 => ColumnType::Decimal,
        of if of.is_integer() => ColumnType::Int,
        of if of.is_floating() => ColumnType::Float,
        of if of.is_decimal() => ColumnType::Decimal,
        DataType::Utf8View | DataType::Utf8 => ColumnType::Text,
        DataType::BinaryView | DataType::Binary | DataType::FixedSizeBinary(_) => ColumnType::Bytes,
        DataType::Date32 => ColumnType::Date,
        DataType::Time32(Unit::Millisecond) | DataType::Time64(_) => ColumnType::Time,
        DataType::Timestamp(Unit::Millisecond | Unit::Microsecond | Unit::Nanosecond, _) => ColumnType::Timestamp,
        DataType::Dictionary(_, of) if **of == DataType::Utf8 => ColumnType::Text,
        DataType::List(of) => ColumnType::List(Box::new(column_type(of.data_type())?)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                let named = |(field, name): (_, &str)| Ok(Column { name: name.to_owned(), ..column(field)? });
                let pair = fields.iter().map(|field| &**field).zip(["key", "value"]).map(named);
                ColumnType::List(Box::new(ColumnType::Struct(pair.collect::<Result<_, _>>()?)))
            }
            other => return Err(other),
        },
        DataType::Struct(fields) => {
            ColumnType::Struct(fields.iter().map(|field| column(field)).collect::<Result<_, _>>()?)
        }
        other => return Err(other),
    })
}

/// Returns a field as a column.
pub(crate) fn column(field: &Field) -> Result<Column, &DataType> {
    Ok(Column { name: field.name().clone(), of: column_type(field.data_type())?, optional: field.is_nullable() })
}

/// An array whose values are made by a function of what it stores.
struct Primitive<T: ArrowPrimitiveType, F> {
    array: PrimitiveArray<T>,
    make: F,
}

impl<T: ArrowPrimitiveType, F: Fn(T::Native) -> Datum<'static> + Send + Sync> Cells for Primitive<T, F> {
    fn get(&self, row: usize) -> Datum<'_> {
        if self.array.is_null(row) { Datum::Null } else { (self.make)(self.array.value(row)) }
    }
}

fn primitive<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    make: impl Fn(T::Native) -> Datum<'static> + Send + Sync + 'static,
) -> Box<dyn Cells> {
    Box::new(Primitive { array: array.as_primitive::<T>().clone(), make })
}

fn whole<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &ArrayRef) -> Box<dyn Cells> {
    primitive::<T>(array, |value| Datum::Int(value.into()))
}

fn time<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &ArrayRef, unit: TimeUnit) -> Box<dyn Cells> {
    primitive::<T>(array, move |value| Datum::Temporal(Temporal::Time { value: value.into(), unit }))
}

fn timestamp<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &ArrayRef, unit: TimeUnit, utc: bool) -> Box<dyn Cells> {
    primitive::<T>(array, move |value| Datum::Temporal(Temporal::Timestamp { value: value.into(), unit, utc }))
}

fn decimal<T: ArrowPrimitiveType<Native: std::fmt::Display>>(array: &ArrayRef, scale: i8) -> Box<dyn Cells> {
    primitive::<T>(array, move |value| Datum::Decimal(scaled(value.to_string(), scale).into()))
}

/// Puts the point into a decimal's digits.
fn scaled(digits: String, scale: i8) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", &digits[..]),
    };
    match usize::try_from(scale) {
        Ok(0) => format!("{sign}{digits}"),
        Ok(scale) => {
            let digits = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            format!("{sign}{whole}.{fraction}")
        }
        Err(_) if digits == "0" => digits.to_owned(),
        Err(_) => format!("{sign}{digits}{}", "0".repeat(usize::from(scale.unsigned_abs()))),
    }
}

/// Values of rows that nobody looks at.
pub(crate) struct Nothing;

impl Cells for Nothing {
    fn get(&self, _: usize) -> Datum<'_> {
        Datum::Null
    }
}

impl Cells for Flags {
    fn get(&self, row: usize) -> Datum<'_> {
        if self.0.is_null(row) { Datum::Null } else { Datum::Bool(self.0.value(row)) }
    }
}

struct Flags(BooleanArray);

/// Text or bytes, which are borrowed from the array.
struct Borrowed<A>(A);

macro_rules! borrowed {
    ($($array:ident => $variant:ident),*) => {$(
        impl Cells for Borrowed<arrow_array::$array> {
            fn get(&self, row: usize) -> Datum<'_> {
                if self.0.is_null(row) { Datum::Null } else { Datum::$variant(Cow::Borrowed(self.0.value(row))) }
            }
        }
    )*};
}

borrowed!(
    StringViewArray => Text, StringArray => Text, BinaryViewArray => Bytes, BinaryArray => Bytes, FixedSizeBinaryArray => Bytes
);

/// Text of which each value is kept once.
struct Symbols {
    numbers: PrimitiveArray<Int32Type>,
    texts: StringArray,
}

impl Cells for Symbols {
    fn get(&self, row: usize) -> Datum<'_> {
        match usize::try_from(self.numbers.value(row)) {
            Ok(at) if self.numbers.is_valid(row) && at < self.texts.len() => {
                Datum::Text(Cow::Borrowed(self.texts.value(at)))
            }
            _ => Datum::Null,
        }
    }
}

/// Lists, each of some values of another column.
struct Lists<A> {
    array: A,
    values: Box<dyn Cells>,
}

impl Cells for Lists<arrow_array::ListArray> {
    fn get(&self, row: usize) -> Datum<'_> {
        list(&self.array, self.array.value_offsets(), &*self.values, row)
    }
}

impl Cells for Lists<arrow_array::MapArray> {
    fn get(&self, row: usize) -> Datum<'_> {
        list(&self.array, self.array.value_offsets(), &*self.values, row)
    }
}

fn list<'a>(array: &dyn Array, offsets: &[i32], values: &'a dyn Cells, row: usize) -> Datum<'a> {
    if array.is_null(row) {
        return Datum::Null;
    }
    Datum::List((offsets[row]..offsets[row + 1]).map(|n| values.get(n as usize)).collect())
}

/// Structs, each of a value of some columns.
struct Structs {
    array: ArrayRef,
    fields: Vec<StructField>,
}

struct StructField {
    name: String,
    cells: Box<dyn Cells>,
}

impl Cells for Structs {
    fn get(&self, row: usize) -> Datum<'_> {
        if self.array.is_null(row) {
            return Datum::Null;
        }
        let fields = self.fields.iter().map(|field| Named { name: field.name[..].into(), value: field.cells.get(row) });
        Datum::Struct(fields.collect())
    }
}

/// Returns the values of an array of a type that [`column_type`] knows; of another one, nothing.
pub(crate) fn cells(array: &ArrayRef) -> Box<dyn Cells> {
    match array.data_type() {
        DataType::Boolean => Box::new(Flags(array.as_boolean().clone())),
        DataType::Int8 => whole::<Int8Type>(array),
        DataType::Int16 => whole::<Int16Type>(array),
        DataType::Int32 => whole::<Int32Type>(array),
        DataType::Int64 => whole::<Int64Type>(array),
        DataType::UInt8 => whole::<UInt8Type>(array),
        DataType::UInt16 => whole::<UInt16Type>(array),
        DataType::UInt32 => whole::<UInt32Type>(array),
        DataType::UInt64 => primitive::<UInt64Type>(array, |value| match i64::try_from(value) {
            Ok(value) => Datum::Int(value),
            Err(_) => Datum::Decimal(value.to_string().into()),
        }),
        DataType::Float16 => primitive::<Float16Type>(array, |value| Datum::Float(value.to_f64())),
        DataType::Float32 => primitive::<Float32Type>(array, |value| Datum::Float(value.into())),
        DataType::Float64 => primitive::<Float64Type>(array, Datum::Float),
        DataType::Decimal32(_, scale) => decimal::<Decimal32Type>(array, *scale),
        DataType::Decimal64(_, scale) => decimal::<Decimal64Type>(array, *scale),
        DataType::Decimal128(_, scale) => decimal::<Decimal128Type>(array, *scale),
        DataType::Decimal256(_, scale) => decimal::<Decimal256Type>(array, *scale),
        DataType::Utf8View => Box::new(Borrowed(array.as_string_view().clone())),
        DataType::Utf8 => Box::new(Borrowed(array.as_string::<i32>().clone())),
        DataType::BinaryView => Box::new(Borrowed(array.as_binary_view().clone())),
        DataType::Binary => Box::new(Borrowed(array.as_binary::<i32>().clone())),
        DataType::FixedSizeBinary(_) => Box::new(Borrowed(array.as_fixed_size_binary().clone())),
        DataType::Date32 => primitive::<Date32Type>(array, |days| Datum::Temporal(Temporal::Date(days))),
        DataType::Time32(Unit::Millisecond) => time::<Time32MillisecondType>(array, TimeUnit::Millis),
        DataType::Time64(Unit::Microsecond) => time::<Time64MicrosecondType>(array, TimeUnit::Micros),
        DataType::Time64(Unit::Nanosecond) => time::<Time64NanosecondType>(array, TimeUnit::Nanos),
        DataType::Timestamp(unit, zone) => match unit {
            Unit::Millisecond => timestamp::<TimestampMillisecondType>(array, TimeUnit::Millis, zone.is_some()),
            Unit::Microsecond => timestamp::<TimestampMicrosecondType>(array, TimeUnit::Micros, zone.is_some()),
            Unit::Nanosecond => timestamp::<TimestampNanosecondType>(array, TimeUnit::Nanos, zone.is_some()),
            Unit::Second => Box::new(Nothing),
        },
        DataType::Dictionary(..) => match array.as_dictionary_opt::<Int32Type>() {
            Some(symbols) => match symbols.values().as_string_opt::<i32>() {
                Some(texts) => Box::new(Symbols { numbers: symbols.keys().clone(), texts: texts.clone() }),
                None => Box::new(Nothing),
            },
            None => Box::new(Nothing),
        },
        DataType::List(_) => {
            let array = array.as_list::<i32>().clone();
            Box::new(Lists { values: cells(array.values()), array })
        }
        DataType::Map(..) => {
            let array = array.as_map().clone();
            let entries = array.entries();
            let fields = entries.columns().iter().zip(["key", "value"]);
            let fields = fields.map(|(of, name)| StructField { name: name.to_owned(), cells: cells(of) }).collect();
            let values = Box::new(Structs { array: std::sync::Arc::new(entries.clone()), fields });
            Box::new(Lists { values, array })
        }
        DataType::Struct(names) => {
            let fields = names.iter().zip(array.as_struct().columns());
            let fields = fields.map(|(field, of)| StructField { name: field.name().clone(), cells: cells(of) });
            Box::new(Structs { array: array.clone(), fields: fields.collect() })
        }
        _ => Box::new(Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_has_its_point_where_its_scale_says() {
        for (digits, scale, decimal) in [
            ("1250", 2, "12.50"),
            ("-5", 2, "-0.05"),
            ("0", 3, "0.000"),
            ("-123", 3, "-0.123"),
            ("7", 0, "7"),
            ("-12", -2, "-1200"),
            ("0", -2, "0"),
        ] {
            assert_eq!(scaled(digits.to_owned(), scale), decimal);
        }
    }
}
