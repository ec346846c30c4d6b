//! Values as the type of their column has them: what a format that stores types is given.
//!
//! A value is never changed into another, and never left out: what the type cannot hold is an error.
//!
//! | type | takes, besides its own |
//! |---|---|
//! | whole numbers | text of digits, decimals without a fraction; floats without one, below 2^53 |
//! | `float`, `double` | whole numbers, decimals and text, as the nearest float |
//! | `decimal` | whole numbers; text and decimals with no more digits than it has; floats, which have 15 digits at most |
//! | `boolean` | text: `true`, `false`, in capitals too |
//! | `text` | numbers, booleans and times as they are written; lists and structs as JSON |
//! | `bytes` | text |
//! | `date`, `time` | text, as ISO 8601 has it |
//! | `timestamp` | likewise, without a zone; dates, as their first moment |
//! | `timestamptz` | likewise, with `Z` or an offset as `+02:00` |
//! | lists, structs, maps | JSON in text; of maps, structs as well |
//!
//! A time of a finer unit is taken where nothing is lost.

use super::rows::ColumnType;
use super::{Datum, Named, Schema, Temporal};
use crate::error::{Code, Error, Result};
use crate::types::{DECIMAL_DIGITS_MAX, TimeUnit, TypedColumn, Types, ValueType, Width};
use std::borrow::Cow;

/// How many digits a float is exact to, whatever they are.
const FLOAT_DIGITS: usize = 15;

/// How many characters of a value an error shows.
const SHOWN_CHARS: usize = 60;

/// Why a value is not of a type: the value, or the one in it that is not.
#[derive(Debug)]
pub(crate) struct Misfit {
    value: String,
    why: &'static str,
}

impl Misfit {
    fn new(value: &Datum<'_>, why: &'static str) -> Self {
        let value = match value {
            Datum::Bytes(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
            Datum::Decimal(digits) => digits.clone().into_owned(),
            other => serde_json::to_string(other).unwrap_or_default(),
        };
        match value.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => Misfit { value: format!("{}…", &value[..end]), why },
            None => Misfit { value, why },
        }
    }

    /// Makes the error of a value of this column.
    pub(crate) fn of(&self, column: &TypedColumn, code: Code) -> Error {
        let why = if self.why.is_empty() { String::new() } else { format!(" ({})", self.why) };
        let message = format!("column {} is {}, and {} is not{why}", column.name, column.of, self.value);
        let text = TypedColumn { name: column.name.clone(), of: ValueType::Text };
        Error::new(code, message)
            .with_hint(format!("give the column a type that has all of its values, as text does: --types '{text}'"))
    }
}

type Cast<'a> = std::result::Result<Datum<'a>, Misfit>;

/// Returns the values of a row in the order of some columns, and as their types have them. A column that the row lacks is null.
///
/// # Errors
/// Returns `record-invalid` for a value that its column's type cannot hold, and for one that is of no column.
pub fn cast_row<'a>(fields: Vec<Named<'a>>, types: &'a Types) -> Result<Vec<Named<'a>>> {
    let columns = types.columns();
    let same = fields.len() == columns.len() && fields.iter().zip(columns).all(|(field, of)| field.name == of.name);
    let values: Vec<Datum<'a>> = match same {
        true => fields.into_iter().map(|field| field.value).collect(),
        false => {
            let mut values = vec![Datum::Null; columns.len()];
            for field in fields {
                match columns.iter().position(|column| column.name == field.name) {
                    Some(at) => values[at] = field.value,
                    None => return Err(unexpected(&field.name)),
                }
            }
            values
        }
    };
    let cast = values.into_iter().zip(columns).map(|(value, column)| {
        let value = cast(value, &column.of).map_err(|misfit| misfit.of(column, Code::RecordInvalid))?;
        Ok(Named { name: Cow::Borrowed(&column.name[..]), value })
    });
    cast.collect()
}

fn unexpected(name: &str) -> Error {
    Error::new(Code::RecordInvalid, format!("the row has a column {name}, which nothing before it had")).with_hint(
        format!(
            "say its type, and it is null elsewhere: --types '{name} text'; or choose columns without it: --columns"
        ),
    )
}

/// Returns the types that values of such columns are stored as. What was never seen is text.
///
/// # Errors
/// Returns `types` when two columns have one name.
pub fn type_of(schema: &Schema) -> Result<Types> {
    let typed = |column: &super::Column| TypedColumn { name: column.name.clone(), of: stored_as(&column.of) };
    Types::new(schema.columns.iter().map(typed).collect())
}

fn stored_as(of: &ColumnType) -> ValueType {
    match of {
        ColumnType::Bool => ValueType::Boolean,
        ColumnType::Int => ValueType::Whole(Width::I64),
        ColumnType::Decimal => ValueType::Decimal { precision: DECIMAL_DIGITS_MAX, scale: 0 },
        ColumnType::Float => ValueType::Double,
        ColumnType::Date => ValueType::Date,
        ColumnType::Time => ValueType::Time(TimeUnit::Micros),
        ColumnType::Timestamp => ValueType::Timestamp { unit: TimeUnit::Micros, utc: false },
        ColumnType::Bytes => ValueType::Bytes,
        ColumnType::List(of) => ValueType::List(Box::new(stored_as(of))),
        ColumnType::Struct(fields) if !fields.is_empty() => {
            let typed = |field: &super::Column| TypedColumn { name: field.name.clone(), of: stored_as(&field.of) };
            ValueType::Struct(fields.iter().map(typed).collect())
        }
        ColumnType::Null | ColumnType::Text | ColumnType::Struct(_) => ValueType::Text,
    }
}

/// Returns a value as a type has it; see the module.
pub(crate) fn cast<'a>(value: Datum<'a>, to: &ValueType) -> Cast<'a> {
    if value == Datum::Null {
        return Ok(value);
    }
    match to {
        ValueType::Boolean => boolean(value),
        ValueType::Whole(width) => whole(value, *width),
        ValueType::Float => float(value, |float| f64::from(float as f32)),
        ValueType::Double => float(value, |float| float),
        ValueType::Decimal { precision, scale } => decimal(value, *precision, *scale),
        ValueType::Text => text(value),
        ValueType::Bytes => match value {
            Datum::Text(Cow::Borrowed(text)) => Ok(Datum::Bytes(text.as_bytes().into())),
            Datum::Text(Cow::Owned(text)) => Ok(Datum::Bytes(text.into_bytes().into())),
            Datum::Bytes(_) => Ok(value),
            other => Err(Misfit::new(&other, "")),
        },
        ValueType::Date => temporal(value, |time| matches!(time, Temporal::Date(_)).then_some(time)),
        ValueType::Time(unit) => temporal(value, |time| match time {
            Temporal::Time { value, unit: from } => {
                Some(Temporal::Time { value: in_unit(value.into(), from, *unit)?, unit: *unit })
            }
            _ => None,
        }),
        ValueType::Timestamp { unit, utc } => timestamp(value, *unit, *utc),
        ValueType::List(of) => match value {
            Datum::List(values) => {
                Ok(Datum::List(values.into_iter().map(|value| cast(value, of)).collect::<std::result::Result<_, _>>()?))
            }
            other => from_json(other, to),
        },
        ValueType::Struct(columns) => match value {
            Datum::Struct(fields) => structure(fields, columns),
            other => from_json(other, to),
        },
        ValueType::Map(of) => match value {
            Datum::List(pairs) => map(pairs, of),
            Datum::Struct(fields) => {
                let pair = |field: Named<'a>| named_pair(Datum::Text(field.name), field.value);
                map(fields.into_iter().map(pair).collect(), of)
            }
            other => from_json(other, to),
        },
    }
}

fn boolean(value: Datum<'_>) -> Cast<'_> {
    match &value {
        Datum::Bool(_) => Ok(value),
        Datum::Text(text) if text.eq_ignore_ascii_case("true") => Ok(Datum::Bool(true)),
        Datum::Text(text) if text.eq_ignore_ascii_case("false") => Ok(Datum::Bool(false)),
        _ => Err(Misfit::new(&value, "")),
    }
}

fn whole(value: Datum<'_>, width: Width) -> Cast<'_> {
    let number: Option<i128> = match &value {
        Datum::Int(number) => Some((*number).into()),
        Datum::Float(float) if float.fract() == 0.0 && float.abs() < (1u64 << 53) as f64 => Some(*float as i128),
        Datum::Decimal(digits) => match digits.split_once('.') {
            Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole.parse().ok(),
            Some(_) => None,
            None => digits.parse().ok(),
        },
        Datum::Text(text) => text.parse().ok(),
        _ => None,
    };
    match number {
        Some(number) if width.holds(number) => Ok(match i64::try_from(number) {
            Ok(number) => Datum::Int(number),
            Err(_) => Datum::Decimal(number.to_string().into()),
        }),
        Some(_) => Err(Misfit::new(&value, "it is out of range")),
        None => Err(Misfit::new(&value, "")),
    }
}

fn float(value: Datum<'_>, rounded: fn(f64) -> f64) -> Cast<'_> {
    let read = match &value {
        Datum::Float(float) => Some(*float),
        Datum::Int(number) => Some(*number as f64),
        Datum::Decimal(digits) => digits.parse().ok(),
        Datum::Text(text) => text.parse().ok(),
        _ => None,
    };
    match read.map(|float| (float, rounded(float))) {
        Some((float, rounded)) if float.is_finite() && rounded.is_infinite() => {
            Err(Misfit::new(&value, "it is out of range"))
        }
        Some((_, rounded)) => Ok(Datum::Float(rounded)),
        None => Err(Misfit::new(&value, "")),
    }
}

fn decimal(value: Datum<'_>, precision: u8, scale: u8) -> Cast<'_> {
    let digits: Cow<'_, str> = match &value {
        Datum::Int(number) => number.to_string().into(),
        Datum::Decimal(digits) | Datum::Text(digits) => Cow::Borrowed(digits),
        // What is written as a float of so few digits is that number.
        Datum::Float(float) => {
            let written = float.to_string();
            let digits = written.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
            if digits > FLOAT_DIGITS {
                return Err(Misfit::new(&value, "a float of more than 15 digits is not exact"));
            }
            written.into()
        }
        _ => return Err(Misfit::new(&value, "")),
    };
    match scaled(&digits, scale.into()) {
        None => Err(Misfit::new(&value, "")),
        Some(Scaled::Longer) => Err(Misfit::new(&value, "it has more digits behind the point")),
        Some(Scaled::Digits { digits, .. }) if digits.len() > precision.into() => {
            Err(Misfit::new(&value, "it has more digits"))
        }
        Some(Scaled::Digits { negative, digits }) => {
            let digits = format!("{digits:0>width$}", width = usize::from(scale) + 1);
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
            let (sign, point) = (if negative { "-" } else { "" }, if scale == 0 { "" } else { "." });
            Ok(Datum::Decimal(format!("{sign}{whole}{point}{fraction}").into()))
        }
    }
}

/// A number as a whole one of the smallest unit of a scale.
enum Scaled {
    /// Its digits, without zeros before them.
    Digits { negative: bool, digits: String },
    /// It has digits beyond the scale.
    Longer,
}

fn scaled(text: &str, scale: usize) -> Option<Scaled> {
    const EXPONENT_MAX: i32 = 400;
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    if exponent.abs() > EXPONENT_MAX {
        return Some(Scaled::Longer);
    }
    let mut digits = format!("{whole}{fraction}");
    // How many zeros are still to be added, or digits to be taken away.
    let missing = scale as i64 + i64::from(exponent) - fraction.len() as i64;
    match usize::try_from(missing) {
        Ok(zeros) => digits.extend(std::iter::repeat_n('0', zeros)),
        Err(_) => {
            let kept = digits.len().saturating_sub(missing.unsigned_abs() as usize);
            if digits[kept..].bytes().any(|digit| digit != b'0') {
                return Some(Scaled::Longer);
            }
            digits.truncate(kept);
        }
    }
    let digits = digits.trim_start_matches('0').to_owned();
    Some(Scaled::Digits { negative: text.starts_with('-') && !digits.is_empty(), digits })
}

fn text(value: Datum<'_>) -> Cast<'_> {
    match value {
        Datum::Text(_) => Ok(value),
        Datum::Decimal(digits) => Ok(Datum::Text(digits)),
        Datum::Temporal(time) => Ok(Datum::Text(time.to_string().into())),
        Datum::Float(float) if !float.is_finite() => Ok(Datum::Text(float.to_string().into())),
        Datum::Bytes(_) => Err(Misfit::new(&value, "it is not UTF-8")),
        other => Ok(Datum::Text(serde_json::to_string(&other).unwrap_or_default().into())),
    }
}

fn temporal<'a>(value: Datum<'a>, to: impl Fn(Temporal) -> Option<Temporal>) -> Cast<'a> {
    let read = match &value {
        Datum::Temporal(time) => Some(*time),
        Datum::Text(text) => Temporal::parse(text),
        _ => None,
    };
    match read.and_then(to) {
        Some(time) => Ok(Datum::Temporal(time)),
        None => Err(Misfit::new(&value, "")),
    }
}

fn timestamp(value: Datum<'_>, unit: TimeUnit, utc: bool) -> Cast<'_> {
    const DAY_SECONDS: i128 = 86_400;
    let read = match &value {
        Datum::Temporal(time) => Some((*time, 0)),
        Datum::Text(text) => with_offset(text),
        _ => None,
    };
    let (stored, from, has_zone) = match read {
        Some((Temporal::Timestamp { value, unit, utc }, offset_seconds)) => {
            let value = i128::from(value) - i128::from(offset_seconds) * i128::from(unit.per_second());
            (value, unit, utc)
        }
        Some((Temporal::Date(days), 0)) => {
            (i128::from(days) * DAY_SECONDS * i128::from(unit.per_second()), unit, false)
        }
        _ => return Err(Misfit::new(&value, "")),
    };
    if has_zone != utc {
        let why = if utc { "it has no zone: say timestamp" } else { "it has a zone: say timestamptz" };
        return Err(Misfit::new(&value, why));
    }
    match in_unit(stored, from, unit) {
        Some(value) => Ok(Datum::Temporal(Temporal::Timestamp { value, unit, utc })),
        None => Err(Misfit::new(&value, "its unit does not hold it")),
    }
}

/// Reads a time, and by how many seconds its clock is ahead of UTC.
fn with_offset(text: &str) -> Option<(Temporal, i32)> {
    if let Some(time) = Temporal::parse(text) {
        return Some((time, 0));
    }
    // Behind the date, whose parts have a `-` between them.
    let clock = text.find(['T', ' '])?;
    let at = clock + text[clock..].rfind(['+', '-'])?;
    let (time, offset) = (Temporal::parse(&text[..at])?, &text[at + 1..]);
    let (hours, minutes) = match offset.split_once(':') {
        Some(both) => both,
        None => offset.split_at_checked(2)?,
    };
    let number = |text: &str, most: i32| match text.len() {
        0 => Some(0),
        2 => text.parse::<u8>().ok().map(i32::from).filter(|number| *number <= most),
        _ => None,
    };
    let seconds = number(hours, 23).filter(|_| !hours.is_empty())? * 3_600 + number(minutes, 59)? * 60;
    match time {
        Temporal::Timestamp { value, unit, utc: false } => {
            let seconds = if text.as_bytes()[at] == b'-' { -seconds } else { seconds };
            Some((Temporal::Timestamp { value, unit, utc: true }, seconds))
        }
        _ => None,
    }
}

/// Counts a time in another unit; `None` where something is lost.
fn in_unit(value: i128, from: TimeUnit, to: TimeUnit) -> Option<i64> {
    let (from, to) = (i128::from(from.per_second()), i128::from(to.per_second()));
    let value = value * to;
    (value % from == 0).then(|| i64::try_from(value / from).ok()).flatten()
}

fn structure<'a>(fields: Vec<Named<'a>>, columns: &[TypedColumn]) -> Cast<'a> {
    let mut values: Vec<Named<'a>> =
        columns.iter().map(|column| Named { name: column.name.clone().into(), value: Datum::Null }).collect();
    for field in fields {
        match columns.iter().position(|column| column.name == field.name) {
            Some(at) => values[at] = Named { value: cast(field.value, &columns[at].of)?, name: field.name },
            None => return Err(Misfit { value: format!("one with a field {}", field.name), why: "" }),
        }
    }
    Ok(Datum::Struct(values))
}

fn named_pair<'a>(key: Datum<'a>, value: Datum<'a>) -> Datum<'a> {
    Datum::Struct(vec![Named { name: "key".into(), value: key }, Named { name: "value".into(), value }])
}

fn map<'a>(pairs: Vec<Datum<'a>>, of: &[ValueType; 2]) -> Cast<'a> {
    let pair = |pair: Datum<'a>| match pair {
        Datum::Struct(mut fields) if fields.len() == 2 && fields[0].name == "key" && fields[1].name == "value" => {
            let (value, key) = (fields.pop().map(|field| field.value), fields.pop().map(|field| field.value));
            match (key, value) {
                (Some(key), Some(value)) if key != Datum::Null => {
                    Ok(named_pair(cast(key, &of[0])?, cast(value, &of[1])?))
                }
                _ => Err(Misfit { value: "a pair without a key".to_owned(), why: "" }),
            }
        }
        other => Err(Misfit::new(&other, "a pair has a key and a value")),
    };
    Ok(Datum::List(pairs.into_iter().map(pair).collect::<std::result::Result<_, _>>()?))
}

/// Reads what is within text as JSON.
fn from_json<'a>(value: Datum<'a>, to: &ValueType) -> Cast<'a> {
    let Datum::Text(text) = &value else { return Err(Misfit::new(&value, "")) };
    match serde_json::from_str::<Datum<'_>>(text) {
        Ok(read @ (Datum::List(_) | Datum::Struct(_))) => cast(read, to).map(into_owned),
        Ok(Datum::Null) => Ok(Datum::Null),
        _ => Err(Misfit::new(&value, "")),
    }
}

fn into_owned(value: Datum<'_>) -> Datum<'static> {
    match value {
        Datum::Null => Datum::Null,
        Datum::Bool(value) => Datum::Bool(value),
        Datum::Int(number) => Datum::Int(number),
        Datum::Float(float) => Datum::Float(float),
        Datum::Temporal(time) => Datum::Temporal(time),
        Datum::Decimal(digits) => Datum::Decimal(digits.into_owned().into()),
        Datum::Text(text) => Datum::Text(text.into_owned().into()),
        Datum::Bytes(bytes) => Datum::Bytes(bytes.into_owned().into()),
        Datum::List(values) => Datum::List(values.into_iter().map(into_owned).collect()),
        Datum::Struct(fields) => {
            let owned =
                |field: Named<'_>| Named { name: field.name.into_owned().into(), value: into_owned(field.value) };
            Datum::Struct(fields.into_iter().map(owned).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> ValueType {
        format!("a {text}").parse::<Types>().unwrap().columns()[0].of.clone()
    }

    /// What becomes of text in a column of this type, as JSON.
    fn read(text: &'static str, to: &str) -> Option<String> {
        cast(Datum::Text(text.into()), &of(to)).ok().map(|value| serde_json::to_string(&value).unwrap())
    }

    #[test]
    fn text_is_what_the_columns_type_says() {
        for (text, to, want) in [
            ("007", "int", "7"),
            ("-1", "bigint", "-1"),
            ("18446744073709551615", "ubigint", "\"18446744073709551615\""),
            ("TRUE", "boolean", "true"),
            ("0.1", "float", "0.10000000149011612"),
            ("1e400", "double", "null"),
            ("NaN", "double", "null"),
            ("12.5", "decimal(12,2)", "\"12.50\""),
            ("-0.00", "decimal(12,2)", "\"0.00\""),
            ("-.05", "decimal(3,2)", "\"-0.05\""),
            ("1.50e1", "decimal(3,0)", "\"15\""),
            ("12.500", "decimal(3,1)", "\"12.5\""),
            ("1.50", "text", "\"1.50\""),
            ("2024-02-29", "date", "\"2024-02-29\""),
            ("06:30", "time(3)", "\"06:30:00\""),
            ("2024-02-29", "timestamp", "\"2024-02-29T00:00:00\""),
            ("2024-02-29 06:30:00.25", "timestamp(3)", "\"2024-02-29T06:30:00.250\""),
            ("2024-02-29T06:30:00Z", "timestamptz", "\"2024-02-29T06:30:00Z\""),
            ("2024-02-29T01:30:00+02:00", "timestamptz", "\"2024-02-28T23:30:00Z\""),
            ("2024-02-29 01:30:00.5-0230", "timestamptz", "\"2024-02-29T04:00:00.500000Z\""),
            ("2024-02-29 01:30:00+02", "timestamptz", "\"2024-02-28T23:30:00Z\""),
            ("[1,null,\"2\"]", "int[]", "[1,null,2]"),
            ("{\"b\":1}", "struct<a text, b smallint>", "{\"a\":null,\"b\":1}"),
            ("{\"x\":[1]}", "map<text, int[]>", "[{\"key\":\"x\",\"value\":[1]}]"),
            ("null", "int[]", "null"),
        ] {
            assert_eq!(read(text, to).as_deref(), Some(want), "{text} as {to}");
        }
    }

    #[test]
    fn what_the_type_cannot_hold_is_refused() {
        for (text, to) in [
            ("", "int"),
            ("1.5", "int"),
            (" 1", "int"),
            ("2147483648", "int"),
            ("-1", "ubigint"),
            ("yes", "boolean"),
            ("1e39", "float"),
            ("x", "double"),
            ("1.234", "decimal(12,2)"),
            ("1000", "decimal(5,2)"),
            ("1e9999", "decimal(5,2)"),
            (".", "decimal(5,2)"),
            ("2024-02-30", "date"),
            ("2024-02-28 10:00", "date"),
            ("06:30:00.0001", "time(3)"),
            ("2024-02-29T06:30:00Z", "timestamp"),
            ("2024-02-29T06:30:00", "timestamptz"),
            ("2024-02-29", "timestamptz"),
            ("2024-02-29T06:30:00+24:00", "timestamptz"),
            ("2024-02-29T06:30:00+é0", "timestamptz"),
            ("2024-02-29T06:30:00.0000001", "timestamp"),
            ("9999-12-31T00:00:00", "timestamp(9)"),
            ("1", "int[]"),
            ("{\"c\":1}", "struct<a int>"),
            ("[1]", "map<text, int>"),
        ] {
            assert_eq!(read(text, to), None, "{text} as {to}");
        }
        let exact = |float: f64| cast(Datum::Float(float), &of("decimal(38,18)")).is_ok();
        assert!(exact(0.1) && exact(12.5) && !exact(0.1 + 0.2) && !exact(f64::NAN) && !exact(1e17 + 16.0));
        assert!(cast(Datum::Float(4.0), &of("int")).is_ok() && cast(Datum::Float(4.5), &of("int")).is_err());
    }

    #[test]
    fn a_row_has_the_columns_in_order_or_names_the_one_that_is_wrong() {
        let types: Types = "a int, b text".parse().unwrap();
        let named = |name: &'static str, value| Named { name: name.into(), value };
        let row = cast_row(vec![named("b", Datum::Int(7))], &types).unwrap();
        assert_eq!(row, [named("a", Datum::Null), named("b", Datum::Text("7".into()))]);
        let error = cast_row(vec![named("a", "x".into())], &types).unwrap_err();
        assert!(
            error.is(Code::RecordInvalid) && error.to_string().contains("column a is int, and \"x\" is not"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("--types 'a text'"));
        let error = cast_row(vec![named("c", Datum::Null)], &types).unwrap_err();
        assert!(error.to_string().contains("a column c"), "{error}");
    }
}
