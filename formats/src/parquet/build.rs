//! Makes arrays of Arrow out of values, row by row: the opposite of `cells.rs`. Values are null, or as their column's type has them.

use crate::arrow::types::data_type;
use arrow_array::builder::{BinaryBuilder, BooleanBuilder, NullBufferBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, ListArray, MapArray, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, FieldRef, Fields};
use kinglet_core::{Code, Datum, Error, Named, Result, Temporal, TimeUnit, ValueType, Width};
use std::sync::Arc;

/// The longest text of a column in one row (1 GiB): an array counts the bytes of all of its rows in 31 bits.
const VALUE_BYTES_MAX: usize = 1 << 30;

/// Values of a column that are being gathered.
pub(super) trait Building: Send {
    /// Adds the value of the next row.
    fn push(&mut self, value: Datum<'_>) -> Result<()>;

    /// Returns the values as an array, and begins anew.
    fn finish(&mut self) -> Result<ArrayRef>;
}

fn unexpected(value: &Datum<'_>) -> Error {
    let shown = serde_json::to_string(value).unwrap_or_default();
    let shown: String = shown.chars().take(60).collect();
    Error::new(Code::OutputValue, format!("the value {shown} is not of its column's type"))
}

fn refused(error: &ArrowError) -> Error {
    Error::new(Code::OutputValue, format!("making a column of Parquet: {error}"))
}

struct Primitive<T: ArrowPrimitiveType, F> {
    builder: PrimitiveBuilder<T>,
    of: F,
}

impl<T: ArrowPrimitiveType, F: Fn(&Datum<'_>) -> Option<T::Native> + Send> Building for Primitive<T, F> {
    fn push(&mut self, value: Datum<'_>) -> Result<()> {
        match value {
            Datum::Null => self.builder.append_null(),
            value => self.builder.append_value((self.of)(&value).ok_or_else(|| unexpected(&value))?),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(self.builder.finish()))
    }
}

fn primitive<T: ArrowPrimitiveType>(
    as_type: DataType,
    of: impl Fn(&Datum<'_>) -> Option<T::Native> + Send + 'static,
) -> Box<dyn Building> {
    Box::new(Primitive { builder: PrimitiveBuilder::<T>::new().with_data_type(as_type), of })
}

fn whole<T: ArrowPrimitiveType<Native: TryFrom<i64>>>(as_type: DataType) -> Box<dyn Building> {
    primitive::<T>(as_type, |value| match value {
        Datum::Int(number) => T::Native::try_from(*number).ok(),
        _ => None,
    })
}

fn time<T: ArrowPrimitiveType<Native: TryFrom<i64>>>(as_type: DataType) -> Box<dyn Building> {
    primitive::<T>(as_type, |value| match value {
        Datum::Temporal(time) => T::Native::try_from(time.stored()).ok(),
        _ => None,
    })
}

fn unscaled(digits: &str) -> Option<i128> {
    match digits.split_once('.') {
        Some((whole, fraction)) => format!("{whole}{fraction}").parse().ok(),
        None => digits.parse().ok(),
    }
}

impl Building for BooleanBuilder {
    fn push(&mut self, value: Datum<'_>) -> Result<()> {
        match value {
            Datum::Null => self.append_null(),
            Datum::Bool(value) => self.append_value(value),
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanBuilder::finish(self)))
    }
}

fn check_length(bytes: usize) -> Result<()> {
    if bytes <= VALUE_BYTES_MAX {
        return Ok(());
    }
    let message =
        format!("a value of {bytes} bytes is longer than the {VALUE_BYTES_MAX} that a column of Parquet may have here");
    Err(Error::new(Code::OutputValue, message).with_hint("write another format, or leave the column out"))
}

impl Building for StringBuilder {
    fn push(&mut self, value: Datum<'_>) -> Result<()> {
        match value {
            Datum::Null => self.append_null(),
            Datum::Text(text) => {
                check_length(text.len())?;
                self.append_value(text);
            }
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(StringBuilder::finish(self)))
    }
}

impl Building for BinaryBuilder {
    fn push(&mut self, value: Datum<'_>) -> Result<()> {
        match value {
            Datum::Null => self.append_null(),
            Datum::Bytes(bytes) => {
                check_length(bytes.len())?;
                self.append_value(bytes);
            }
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(BinaryBuilder::finish(self)))
    }
}

/// Lists, or maps as lists of pairs.
struct Lists {
    as_type: DataType,
    values: Box<dyn Building>,
    /// Where each list ends among the values, behind the start of the first.
    ends: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Building for Lists {
    fn push(&mut self, value: Datum<'_>) -> Result<()> {
        let mut end = self.ends.last().copied().unwrap_or_default();
        match value {
            Datum::Null => self.nulls.append_null(),
            Datum::List(values) => {
                end = i32::try_from(values.len()).ok().and_then(|more| end.checked_add(more)).ok_or_else(|| {
                    Error::new(
                        Code::OutputValue,
                        "the lists of a column of Parquet have 2^31 values or more in a few rows",
                    )
                })?;
                values.into_iter().try_for_each(|value| self.values.push(value))?;
                self.nulls.append_non_null();
            }
            other => return Err(unexpected(&other)),
        }
        self.ends.push(end);
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.ends, vec![0]).into());
        let (values, nulls) = (self.values.finish()?, self.nulls.finish());
        let array: ArrayRef = match &self.as_type {
            DataType::Map(entries, sorted) => {
                let pairs = values.as_any().downcast_ref::<StructArray>().cloned();
                let pairs = pairs.ok_or_else(|| Error::new(Code::OutputValue, "a map has no pairs"))?;
                Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, *sorted).map_err(|e| refused(&e))?)
            }
            DataType::List(of) => {
                Arc::new(ListArray::try_new(of.clone(), offsets, values, nulls).map_err(|e| refused(&e))?)
            }
            other => return Err(Error::new(Code::OutputValue, format!("{other} is no list"))),
        };
        Ok(array)
    }
}

/// Structs.
struct Structs {
    fields: Fields,
    values: Vec<Box<dyn Building>>,
    nulls: NullBufferBuilder,
}

impl Structs {
    fn of(fields: &Fields, types: &[&ValueType]) -> Self {
        let values = types.iter().map(|of| building(of)).collect();
        Structs { fields: fields.clone(), values, nulls: NullBufferBuilder::new(0) }
    }
}

impl Building for Structs {
    fn push(&mut self, value: Datum<'_>) -> Result<()> {
        match value {
            Datum::Null => {
                self.nulls.append_null();
                self.values.iter_mut().try_for_each(|column| column.push(Datum::Null))
            }
            Datum::Struct(fields) if fields.len() == self.values.len() => {
                self.nulls.append_non_null();
                let values = fields.into_iter().map(|Named { value, .. }| value);
                self.values.iter_mut().zip(values).try_for_each(|(column, value)| column.push(value))
            }
            other => Err(unexpected(&other)),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let values = self.values.iter_mut().map(|column| column.finish()).collect::<Result<Vec<_>>>()?;
        let nulls = self.nulls.finish();
        Ok(Arc::new(StructArray::try_new(self.fields.clone(), values, nulls).map_err(|e| refused(&e))?))
    }
}

fn fields_of(field: &FieldRef) -> Fields {
    match field.data_type() {
        DataType::Struct(fields) => fields.clone(),
        _ => Fields::empty(),
    }
}

/// Returns what gathers the values of a type.
pub(super) fn building(of: &ValueType) -> Box<dyn Building> {
    let as_type = data_type(of);
    match of {
        ValueType::Boolean => Box::new(BooleanBuilder::new()),
        ValueType::Whole(Width::I8) => whole::<Int8Type>(as_type),
        ValueType::Whole(Width::I16) => whole::<Int16Type>(as_type),
        ValueType::Whole(Width::I32) => whole::<Int32Type>(as_type),
        ValueType::Whole(Width::I64) => whole::<Int64Type>(as_type),
        ValueType::Whole(Width::U8) => whole::<UInt8Type>(as_type),
        ValueType::Whole(Width::U16) => whole::<UInt16Type>(as_type),
        ValueType::Whole(Width::U32) => whole::<UInt32Type>(as_type),
        ValueType::Whole(Width::U64) => primitive::<UInt64Type>(as_type, |value| match value {
            Datum::Int(number) => u64::try_from(*number).ok(),
            Datum::Decimal(digits) => digits.parse().ok(),
            _ => None,
        }),
        ValueType::Float => primitive::<Float32Type>(as_type, |value| match value {
            Datum::Float(float) => Some(*float as f32),
            _ => None,
        }),
        ValueType::Double => primitive::<Float64Type>(as_type, |value| match value {
            Datum::Float(float) => Some(*float),
            _ => None,
        }),
        ValueType::Decimal { .. } => primitive::<Decimal128Type>(as_type, |value| match value {
            Datum::Decimal(digits) => unscaled(digits),
            _ => None,
        }),
        ValueType::Bytes => Box::new(BinaryBuilder::new()),
        ValueType::Date => primitive::<Date32Type>(as_type, |value| match value {
            Datum::Temporal(Temporal::Date(days)) => Some(*days),
            _ => None,
        }),
        ValueType::Time(TimeUnit::Millis) => time::<Time32MillisecondType>(as_type),
        ValueType::Time(TimeUnit::Micros) => time::<Time64MicrosecondType>(as_type),
        ValueType::Time(TimeUnit::Nanos) => time::<Time64NanosecondType>(as_type),
        ValueType::Timestamp { unit: TimeUnit::Millis, .. } => time::<TimestampMillisecondType>(as_type),
        ValueType::Timestamp { unit: TimeUnit::Micros, .. } => time::<TimestampMicrosecondType>(as_type),
        ValueType::Timestamp { unit: TimeUnit::Nanos, .. } => time::<TimestampNanosecondType>(as_type),
        ValueType::List(of) => lists(as_type, building(of)),
        ValueType::Map(of) => match &as_type {
            DataType::Map(entries, _) => {
                let pairs = Structs::of(&fields_of(entries), &[&of[0], &of[1]]);
                lists(as_type, Box::new(pairs))
            }
            _ => lists(as_type, Box::new(StringBuilder::new())),
        },
        ValueType::Struct(columns) => {
            let types: Vec<_> = columns.iter().map(|column| &column.of).collect();
            let fields = match as_type {
                DataType::Struct(fields) => fields,
                _ => Fields::empty(),
            };
            Box::new(Structs::of(&fields, &types))
        }
        // Text, and what types there may be one day.
        _ => Box::new(StringBuilder::new()),
    }
}

fn lists(as_type: DataType, values: Box<dyn Building>) -> Box<dyn Building> {
    Box::new(Lists { as_type, values, ends: vec![0], nulls: NullBufferBuilder::new(0) })
}
