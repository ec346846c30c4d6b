//! What rows are sorted by, as it is written: `price desc nulls first, town as text`.

use super::left::Left;
use kinglet_core::{Code, Datum, Error, KeyOrder, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// As what the values of a column are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadAs {
    /// As what they are found to be.
    #[default]
    Found,
    /// As text, as they are written: `10` comes before `9`.
    Text,
    /// Text that is written like a number as that number; other text comes behind all numbers.
    Number,
}

/// A column that rows are sorted by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The column.
    pub column: String,
    /// As what its values are compared.
    pub read: ReadAs,
    /// In which order.
    pub order: KeyOrder,
}

impl By {
    /// Sorts by a column in ascending order, rows without a value last.
    pub fn new(column: impl Into<String>) -> Self {
        By { column: column.into(), ..By::default() }
    }

    /// Reads columns, with commas between: `COLUMN`, and behind it, each if it is wanted, `as text` or `as number`, `asc` or `desc`,
    /// and `nulls first` or `nulls last`. Names with other characters than letters, digits, `_`, `.` and `-` stand in double quotes,
    /// in which two are one.
    ///
    /// # Errors
    /// Returns `sort-by` when it is written otherwise, when there is no column, or one twice.
    pub fn parse_all(text: &str) -> Result<Vec<Self>> {
        let mut names: Vec<String> = Vec::new();
        Left::new(text, refused).list(|left| {
            let by = Self::read(left)?;
            if names.contains(&by.column) {
                let message = format!("rows are to be sorted by the column {:?} twice, in {text:?}", by.column);
                return Err(Error::new(Code::SortBy, message).with_hint("name each column once"));
            }
            names.push(by.column.clone());
            Ok(by)
        })
    }

    fn read(left: &mut Left<'_>) -> Result<Self> {
        let mut by = By::new(left.name()?);
        if left.word("as") {
            by.read = ReadAs::read(left)?;
        }
        if left.word("desc") {
            by.order.descending = true;
        } else {
            left.word("asc");
        }
        if left.word("nulls") {
            by.order.nulls_first = left.either([("first", true), ("last", false)])?;
        }
        Ok(by)
    }

    /// Returns a value as what it is compared as.
    pub(super) fn compared<'a>(&self, value: Cow<'a, Datum<'a>>) -> Cow<'a, Datum<'a>> {
        match (self.read, &*value) {
            (ReadAs::Found, _) | (_, Datum::Null) => value,
            (ReadAs::Text, Datum::Text(_) | Datum::Bytes(_)) => value,
            (ReadAs::Text, Datum::Decimal(digits)) => Cow::Owned(Datum::Text(digits.clone().into_owned().into())),
            (ReadAs::Text, Datum::Temporal(time)) => Cow::Owned(Datum::Text(time.to_string().into())),
            (ReadAs::Text, Datum::Float(float)) if !float.is_finite() => {
                Cow::Owned(Datum::Text(float.to_string().into()))
            }
            (ReadAs::Text, other) => Cow::Owned(Datum::Text(serde_json::to_string(other).unwrap_or_default().into())),
            (ReadAs::Number, Datum::Text(text)) => match Datum::of_field(Cow::Owned(text.trim().as_bytes().to_vec())) {
                number @ (Datum::Int(_) | Datum::Decimal(_) | Datum::Float(_) | Datum::Null) => Cow::Owned(number),
                _ => value,
            },
            (ReadAs::Number, _) => value,
        }
    }
}

impl ReadAs {
    /// Reads what stands behind `as`.
    pub(super) fn read(left: &mut Left<'_>) -> Result<Self> {
        left.either([("text", ReadAs::Text), ("number", ReadAs::Number)])
    }
}

fn refused(all: &str, why: &str) -> Error {
    Error::new(Code::SortBy, format!("rows cannot be sorted by {all:?}: {why}"))
        .with_hint("write it like 'price desc, town as text nulls first, \"unit price\" as number'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_orders_are_read() {
        let by = |column: &str, read, descending, nulls_first| By {
            column: column.into(),
            read,
            order: KeyOrder { descending, nulls_first },
        };
        let read =
            By::parse_all(" price DESC nulls FIRST ,town,\"as \"\"x\"\", y\" as number asc, c as text nulls last");
        let want = [
            by("price", ReadAs::Found, true, true),
            by("town", ReadAs::Found, false, false),
            by("as \"x\", y", ReadAs::Number, false, false),
            by("c", ReadAs::Text, false, false),
        ];
        assert_eq!(read.unwrap(), want);
        assert_eq!(By::parse_all("\"desc\" desc").unwrap(), [by("desc", ReadAs::Found, true, false)]);
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (text, says) in [
            ("", "a name is missing at its end"),
            ("a,", "a name is missing at its end"),
            ("a b", "a , is missing at \"b\""),
            ("a as date", "text or number is missing at \"date\""),
            ("a nulls", "first or last is missing at its end"),
            ("a desc asc", "a , is missing at \"asc\""),
            ("\"a", "a quote is not closed"),
            ("a, b desc, a", "by the column \"a\" twice"),
        ] {
            let error = By::parse_all(text).unwrap_err();
            assert!(error.is(Code::SortBy) && error.to_string().contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn values_are_compared_as_they_are_found_as_text_or_as_numbers() {
        let compared = |read, value: Datum<'static>| {
            let by = By { read, ..By::new("a") };
            by.compared(Cow::Owned(value)).into_owned()
        };
        let text = |text: &'static str| Datum::Text(text.into());
        assert_eq!(compared(ReadAs::Found, Datum::Int(10)), Datum::Int(10));
        assert_eq!(compared(ReadAs::Text, Datum::Int(10)), text("10"));
        assert_eq!(compared(ReadAs::Text, Datum::Bool(true)), text("true"));
        assert_eq!(compared(ReadAs::Text, Datum::Float(f64::NAN)), text("NaN"));
        assert_eq!(compared(ReadAs::Number, text(" 1.50 ")), Datum::Float(1.5));
        assert_eq!(compared(ReadAs::Number, text("1 apple")), text("1 apple"));
        assert_eq!(compared(ReadAs::Number, text("true")), text("true"));
        assert_eq!(compared(ReadAs::Number, text(" ")), Datum::Null);
    }
}
