//! The types of columns as Arrow has them, on the way in and out.

use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit as Unit};
use kinglet_core::{DECIMAL_DIGITS_MAX, TimeUnit, TypedColumn, ValueType, Width};
use std::sync::Arc;

/// Returns the type of a column that is read, or the type that is not written.
pub(crate) fn value_type(of: &DataType) -> Result<ValueType, &DataType> {
    let unit = |unit: &Unit| match unit {
        Unit::Second | Unit::Millisecond => TimeUnit::Millis,
        Unit::Microsecond => TimeUnit::Micros,
        Unit::Nanosecond => TimeUnit::Nanos,
    };
    Ok(match of {
        // Nothing is in it, and text can be that.
        DataType::Null => ValueType::Text,
        DataType::Boolean => ValueType::Boolean,
        DataType::Int8 => ValueType::Whole(Width::I8),
        DataType::Int16 => ValueType::Whole(Width::I16),
        DataType::Int32 => ValueType::Whole(Width::I32),
        DataType::Int64 => ValueType::Whole(Width::I64),
        DataType::UInt8 => ValueType::Whole(Width::U8),
        DataType::UInt16 => ValueType::Whole(Width::U16),
        DataType::UInt32 => ValueType::Whole(Width::U32),
        DataType::UInt64 => ValueType::Whole(Width::U64),
        DataType::Float16 | DataType::Float32 => ValueType::Float,
        DataType::Float64 => ValueType::Double,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => match u8::try_from(*scale) {
            Ok(scale) if (1..=DECIMAL_DIGITS_MAX).contains(precision) && scale <= *precision => {
                ValueType::Decimal { precision: *precision, scale }
            }
            _ => return Err(of),
        },
        DataType::Utf8View | DataType::Utf8 => ValueType::Text,
        DataType::Dictionary(_, of) if **of == DataType::Utf8 => ValueType::Text,
        DataType::BinaryView | DataType::Binary | DataType::FixedSizeBinary(_) => ValueType::Bytes,
        DataType::Date32 => ValueType::Date,
        DataType::Time32(in_unit) | DataType::Time64(in_unit) => ValueType::Time(unit(in_unit)),
        DataType::Timestamp(in_unit, zone) => ValueType::Timestamp { unit: unit(in_unit), utc: zone.is_some() },
        DataType::List(of) => ValueType::List(Box::new(value_type(of.data_type())?)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                let [key, value] = [0, 1].map(|at: usize| value_type(fields[at].data_type()));
                ValueType::Map(Box::new([key?, value?]))
            }
            other => return Err(other),
        },
        DataType::Struct(fields) if !fields.is_empty() => {
            ValueType::Struct(fields.iter().map(|field| typed_column(field)).collect::<Result<_, _>>()?)
        }
        other => return Err(other),
    })
}

/// Returns a field as a column that can be written.
pub(crate) fn typed_column(field: &Field) -> Result<TypedColumn, &DataType> {
    Ok(TypedColumn { name: field.name().clone(), of: value_type(field.data_type())? })
}

/// Returns the schema that columns are written by.
pub(crate) fn schema(columns: &[TypedColumn]) -> Schema {
    Schema::new(fields(columns))
}

fn fields(columns: &[TypedColumn]) -> Fields {
    columns.iter().map(|column| Field::new(&column.name, data_type(&column.of), true)).collect()
}

/// Returns the type that values are written as. Names within lists and maps are those of the format's specification.
pub(crate) fn data_type(of: &ValueType) -> DataType {
    let unit = |unit: TimeUnit| match unit {
        TimeUnit::Millis => Unit::Millisecond,
        TimeUnit::Micros => Unit::Microsecond,
        TimeUnit::Nanos => Unit::Nanosecond,
    };
    match of {
        ValueType::Boolean => DataType::Boolean,
        ValueType::Whole(Width::I8) => DataType::Int8,
        ValueType::Whole(Width::I16) => DataType::Int16,
        ValueType::Whole(Width::I32) => DataType::Int32,
        ValueType::Whole(Width::I64) => DataType::Int64,
        ValueType::Whole(Width::U8) => DataType::UInt8,
        ValueType::Whole(Width::U16) => DataType::UInt16,
        ValueType::Whole(Width::U32) => DataType::UInt32,
        ValueType::Whole(Width::U64) => DataType::UInt64,
        ValueType::Float => DataType::Float32,
        ValueType::Double => DataType::Float64,
        ValueType::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
        ValueType::Bytes => DataType::Binary,
        ValueType::Date => DataType::Date32,
        ValueType::Time(TimeUnit::Millis) => DataType::Time32(Unit::Millisecond),
        ValueType::Time(in_unit) => DataType::Time64(unit(*in_unit)),
        ValueType::Timestamp { unit: in_unit, utc } => DataType::Timestamp(unit(*in_unit), utc.then(|| "UTC".into())),
        ValueType::List(of) => DataType::List(Arc::new(Field::new("element", data_type(of), true))),
        ValueType::Struct(columns) => DataType::Struct(fields(columns)),
        ValueType::Map(of) => {
            let pair = vec![Field::new("key", data_type(&of[0]), false), Field::new("value", data_type(&of[1]), true)];
            DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(pair.into()), false)), false)
        }
        // Text, and what types there may be one day.
        _ => DataType::Utf8,
    }
}
