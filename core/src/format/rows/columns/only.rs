//! What must hold of a row for the job to be given it: a column compared with a constant.
//!
//! | type of the column | the constant is read as |
//! |---|---|
//! | bool | `true` or `false` |
//! | int, decimal | a number by its digits, as `-12.50`; compared exactly |
//! | float | a number |
//! | text, bytes | itself; compared byte by byte |
//! | date, time, timestamp | one of these as ISO 8601 writes it |
//!
//! Nothing holds of a row that has nothing in the column, nor of a float that is no number, but that it is not equal.

use super::super::compare::{Digits, compare_digits};
use super::super::schema::ColumnType;
use crate::comparison::Is;
use crate::error::{Code, Error, Result};
use crate::format::Datum;
use crate::format::Temporal;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A condition: a column's value compares so with a constant.
///
/// ```
/// use kinglet_core::{Is, Only};
///
/// assert_eq!("price >= 9.5".parse::<Only>().unwrap(), Only::new("price", Is::AtLeast, 9.5));
/// assert_eq!("day < 2026-01-01".parse::<Only>().unwrap(), Only::new("day", Is::Less, "2026-01-01"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Only {
    /// The column.
    pub column: String,
    /// How its value compares.
    pub is: Is,
    /// The constant, as text. The column's type says what it is.
    pub value: String,
}

impl Only {
    /// Makes a condition.
    pub fn new(column: impl Into<String>, is: Is, value: impl fmt::Display) -> Self {
        Only { column: column.into(), is, value: value.to_string() }
    }
}

/// `COLUMN < VALUE`, and likewise `<=`, `=`, `!=`, `>=` and `>`, with or without blanks. Quotes around a value, of either kind, are
/// not of it.
impl FromStr for Only {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || {
            Error::new(Code::Columns, format!("{text:?} is no comparison of a column with a constant"))
                .with_hint("write COLUMN, one of < <= = != >= >, and a value, as in 'price >= 10'")
        };
        let (column, is, value) = Is::split(text).ok_or_else(refused)?;
        let value = value.trim();
        let unquoted = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q)).unwrap_or(value);
        Ok(Only::new(column.trim(), is, unquoted))
    }
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.column, self.is, self.value)
    }
}

/// A condition whose constant is read as the column's type has it.
#[derive(Clone, Debug)]
pub struct Wanted {
    is: Is,
    constant: Constant,
}

#[derive(Clone, Debug)]
enum Constant {
    Bool(bool),
    Number { text: String, int: Option<i64>, float: f64 },
    Text(String),
    Temporal(Temporal),
}

impl Wanted {
    /// Reads the constant of a condition as a column of this type has it.
    ///
    /// # Errors
    /// Returns `columns` when no value of the type can be compared with it.
    pub fn new(only: &Only, of: &ColumnType) -> Result<Self> {
        let text = only.value.as_str();
        let float = || text.parse::<f64>().ok().filter(|float| !float.is_nan());
        let number = || Some(Constant::Number { text: text.to_owned(), int: text.parse().ok(), float: float()? });
        let constant = match of {
            ColumnType::Bool => text.parse().ok().map(Constant::Bool),
            ColumnType::Float => number(),
            ColumnType::Int | ColumnType::Decimal => Digits::of(text).and_then(|_| number()),
            ColumnType::Text | ColumnType::Bytes => Some(Constant::Text(text.to_owned())),
            ColumnType::Date | ColumnType::Time | ColumnType::Timestamp => {
                let is_time = |time: &Temporal| matches!(time, Temporal::Time { .. });
                let read = Temporal::parse(text).filter(|time| is_time(time) == (*of == ColumnType::Time));
                read.map(Constant::Temporal)
            }
            ColumnType::Null | ColumnType::List(_) | ColumnType::Struct(_) => None,
        };
        let constant = constant.ok_or_else(|| {
            let message = format!("column {} is {of}, which cannot be compared with {text:?}", only.column);
            Error::new(Code::Columns, message).with_hint("see the column's type with `kinglet look`")
        })?;
        Ok(Wanted { is: only.is, constant })
    }

    /// Returns whether it holds of a value.
    pub fn holds(&self, value: &Datum<'_>) -> bool {
        match (self.order(value), value, self.is) {
            (Some(order), _, is) => is.holds(order),
            (None, Datum::Float(_), Is::NotEqual) => true,
            (None, ..) => false,
        }
    }

    /// Returns whether it may hold of some value from `least` to `most`. Either may be [`Datum::Null`], which is unknown. They
    /// need not be values themselves, only bounds.
    pub fn may_hold(&self, least: &Datum<'_>, most: &Datum<'_>) -> bool {
        let least_is = |allowed: fn(Ordering) -> bool| self.order(least).is_none_or(allowed);
        let most_is = |allowed: fn(Ordering) -> bool| self.order(most).is_none_or(allowed);
        match self.is {
            Is::Less => least_is(Ordering::is_lt),
            Is::AtMost => least_is(Ordering::is_le),
            Is::Equal => least_is(Ordering::is_le) && most_is(Ordering::is_ge),
            Is::AtLeast => most_is(Ordering::is_ge),
            Is::More => most_is(Ordering::is_gt),
            // Bounds that are equal to the constant need not be values.
            Is::NotEqual => true,
        }
    }

    fn order(&self, value: &Datum<'_>) -> Option<Ordering> {
        match (value, &self.constant) {
            (Datum::Bool(value), Constant::Bool(constant)) => Some(value.cmp(constant)),
            (Datum::Int(value), Constant::Number { int: Some(int), .. }) => Some(value.cmp(int)),
            (Datum::Int(value), Constant::Number { text, .. }) => compare_digits(&value.to_string(), text),
            (Datum::Decimal(value), Constant::Number { text, .. }) => compare_digits(value, text),
            (Datum::Float(value), Constant::Number { float, .. }) => value.partial_cmp(float),
            (Datum::Text(value), Constant::Text(text)) => Some(value.as_bytes().cmp(text.as_bytes())),
            (Datum::Bytes(value), Constant::Text(text)) => Some(value[..].cmp(text.as_bytes())),
            (Datum::Temporal(value), Constant::Temporal(constant)) => value.compare(*constant),
            _ => None,
        }
    }
}

/// A condition on values whose type is found in each row. The constant is read as each of the types that it can be.
///
/// ```
/// use kinglet_core::{Datum, Only, WantedOfAny};
///
/// let wanted = WantedOfAny::new(&"price >= 9.5".parse::<Only>().unwrap());
/// assert!(wanted.holds(&Datum::Int(10)) && !wanted.holds(&Datum::Text("10".into())));
/// ```
#[derive(Clone, Debug)]
pub struct WantedOfAny {
    is: Is,
    bool: Option<Wanted>,
    exact: Option<Wanted>,
    float: Option<Wanted>,
    time: Option<Wanted>,
    instant: Option<Wanted>,
    text: Option<Wanted>,
}

impl WantedOfAny {
    /// Reads the constant of a condition.
    pub fn new(only: &Only) -> Self {
        let read = |of| Wanted::new(only, &of).ok();
        WantedOfAny {
            is: only.is,
            bool: read(ColumnType::Bool),
            exact: read(ColumnType::Decimal),
            float: read(ColumnType::Float),
            time: read(ColumnType::Time),
            instant: read(ColumnType::Timestamp),
            text: read(ColumnType::Text),
        }
    }

    /// Returns whether it holds of a value. A value that cannot be compared with the constant is not equal to it.
    pub fn holds(&self, value: &Datum<'_>) -> bool {
        let wanted = match value {
            Datum::Null => return false,
            Datum::Bool(_) => &self.bool,
            Datum::Int(number) if self.exact.is_none() => {
                return self.holds(&Datum::Float(*number as f64));
            }
            Datum::Int(_) | Datum::Decimal(_) => &self.exact,
            Datum::Float(_) => &self.float,
            Datum::Temporal(Temporal::Time { .. }) => &self.time,
            Datum::Temporal(_) => &self.instant,
            Datum::Text(_) | Datum::Bytes(_) => &self.text,
            Datum::List(_) | Datum::Struct(_) => &None,
        };
        wanted.as_ref().map_or(self.is == Is::NotEqual, |wanted| wanted.holds(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_on_values_of_any_type_reads_its_constant_as_theirs() {
        let text = |text: &'static str| Datum::Text(text.into());
        for (condition, holds, not) in [
            ("a > 2", Datum::Int(3), Datum::Int(2)),
            ("a > 2", Datum::Float(2.5), Datum::Null),
            ("a >= 1e3", Datum::Int(1000), Datum::Int(999)),
            ("a = 2.50", Datum::Decimal("2.5".into()), text("2.5")),
            ("a < 1996-01-01", text("1995-12-31"), Datum::Int(7)),
            ("a < 1996-01-01", Datum::Temporal(Temporal::parse("1995-12-31").unwrap()), text("1996-01-01")),
            ("a = true", Datum::Bool(true), Datum::Bool(false)),
            ("a != x", Datum::Int(1), text("x")),
        ] {
            let wanted = WantedOfAny::new(&condition.parse().unwrap());
            assert!(wanted.holds(&holds) && !wanted.holds(&not), "{condition}: {holds:?}, {not:?}");
        }
    }

    fn wanted(text: &str, of: ColumnType) -> Wanted {
        Wanted::new(&text.parse().unwrap(), &of).unwrap()
    }

    #[test]
    fn a_condition_is_read_and_written() {
        for (text, column, is, value) in [
            ("a<1", "a", Is::Less, "1"),
            ("a b <= -1.5 ", "a b", Is::AtMost, "-1.5"),
            ("a == x=y", "a", Is::Equal, "x=y"),
            ("a <> 'it is'", "a", Is::NotEqual, "it is"),
            ("a>=\"\"", "a", Is::AtLeast, ""),
            ("ü > '", "ü", Is::More, "'"),
        ] {
            assert_eq!(text.parse::<Only>().unwrap(), Only::new(column, is, value), "{text}");
        }
        for text in ["", "a", "< 1", "a ! 1", "a is 1"] {
            assert!(text.parse::<Only>().unwrap_err().is(Code::Columns), "{text}");
        }
        assert_eq!("a<>1".parse::<Only>().unwrap().to_string(), "a != 1");
    }

    #[test]
    fn a_condition_holds_of_values_and_not_of_nothing() {
        let decimal = |text: &'static str| Datum::Decimal(text.into());
        let text = |text: &'static str| Datum::Text(text.into());
        let day = |text: &str| Datum::Temporal(Temporal::parse(text).unwrap());
        for (condition, of, holds, not) in [
            ("a > 2", ColumnType::Int, Datum::Int(3), Datum::Int(2)),
            ("a > 2.5", ColumnType::Int, Datum::Int(3), Datum::Int(2)),
            ("a < 9223372036854775808", ColumnType::Int, Datum::Int(i64::MAX), Datum::Null),
            ("a = 1.50", ColumnType::Decimal, decimal("1.5"), decimal("1.51")),
            ("a <= -0.1", ColumnType::Decimal, decimal("-0.10"), decimal("0.00")),
            ("a >= 99999999999999999999", ColumnType::Decimal, decimal("100000000000000000000"), decimal("99.5")),
            ("a >= 1e3", ColumnType::Float, Datum::Float(1e3), Datum::Float(f64::NAN)),
            ("a != 1", ColumnType::Float, Datum::Float(f64::NAN), Datum::Float(1.0)),
            ("a < b", ColumnType::Text, text("Z"), text("b")),
            ("a = true", ColumnType::Bool, Datum::Bool(true), Datum::Bool(false)),
            ("a < 2026-01-01", ColumnType::Timestamp, day("2025-12-31T23:59:59.999"), day("2026-01-01")),
            ("a != x", ColumnType::Text, text("y"), Datum::Null),
        ] {
            let wanted = wanted(condition, of);
            assert!(wanted.holds(&holds) && !wanted.holds(&not), "{condition}: {holds:?}, {not:?}");
            // What holds of one may hold of all that it lies among.
            assert!(wanted.may_hold(&holds, &Datum::Null) && wanted.may_hold(&Datum::Null, &holds), "{condition}");
        }
        for (text, of) in [
            ("a = x", ColumnType::Int),
            ("a = 1e3", ColumnType::Decimal),
            ("a = NaN", ColumnType::Float),
            ("a = 1", ColumnType::Bool),
            ("a = 2026", ColumnType::Date),
            ("a = 12:00", ColumnType::Date),
            ("a = 2026-01-01", ColumnType::Time),
            ("a = 1", ColumnType::List(Box::new(ColumnType::Int))),
        ] {
            assert!(Wanted::new(&text.parse().unwrap(), &of).unwrap_err().is(Code::Columns), "{text} {of}");
        }
    }

    /// Whatever lies between the bounds, and whether or not they are values.
    #[test]
    fn what_cannot_hold_between_bounds_holds_of_nothing_there() {
        for is in [Is::Less, Is::AtMost, Is::Equal, Is::NotEqual, Is::AtLeast, Is::More] {
            let mut passed_over = 0;
            for constant in -1..6 {
                let wanted = Wanted::new(&Only::new("a", is, constant), &ColumnType::Int).unwrap();
                for least in 0..5 {
                    for most in least..5 {
                        let any = (least..=most).any(|value| wanted.holds(&Datum::Int(value)));
                        let may = wanted.may_hold(&Datum::Int(least), &Datum::Int(most));
                        assert!(may || !any, "{is:?} {constant} in {least}..={most}");
                        passed_over += u32::from(!may);
                    }
                }
            }
            assert_eq!(passed_over > 0, is != Is::NotEqual, "{is:?}");
        }
    }
}
