//! What is computed of the rows of a group, as it is written: `count(), sum(price) as total, max("unit price")`.

use crate::rows::left::Left;
use kinglet_core::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A function of a group's rows. Rows that have nothing in its column do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Function {
    /// `count`: how many rows there are; of a column, how many of them have something there.
    Count,
    /// `sum`: exact. It is a float, the nearest one, if one of the numbers is.
    Sum,
    /// `avg`: the exact sum divided by the count, as a float.
    Avg,
    /// `min`: the smallest value; of several types, booleans are less than numbers, then come times, dates, and text.
    Min,
    /// `max`: the largest value.
    Max,
}

const FUNCTIONS: [(&str, Function); 5] = [
    ("count", Function::Count),
    ("sum", Function::Sum),
    ("avg", Function::Avg),
    ("min", Function::Min),
    ("max", Function::Max),
];

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FUNCTIONS.iter().find(|(_, function)| function == self).map_or("", |(name, _)| name))
    }
}

/// A column of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computed {
    /// The function.
    pub function: Function,
    /// The column that it is of; `None` for the rows themselves, which are only counted.
    pub column: Option<String>,
    /// What the column of the result is called.
    pub name: String,
}

impl Computed {
    /// Computes a function of a column. The result is called as it is written: `sum(price)`.
    pub fn new(function: Function, column: impl Into<String>) -> Self {
        let column = column.into();
        Computed { function, name: format!("{function}({column})"), column: Some(column) }
    }

    /// Counts rows. The result is called `count()`.
    pub fn count() -> Self {
        Computed { function: Function::Count, column: None, name: "count()".to_owned() }
    }

    /// Calls the result otherwise.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Computed { name: name.into(), ..self }
    }

    /// Reads what is to be computed, with commas between: `FUNCTION(COLUMN)`, with ` as NAME` behind it if the result is to be
    /// called otherwise. Names with other characters than letters, digits, `_`, `.` and `-` stand in double quotes, in which two
    /// are one.
    ///
    /// # Errors
    /// Returns `aggregate` when it is written otherwise.
    pub fn parse_all(text: &str) -> Result<Vec<Self>> {
        let mut left = Left::new(text, refused);
        if left.rest.is_empty() { Ok(Vec::new()) } else { left.list(Self::read) }
    }

    fn read(left: &mut Left<'_>) -> Result<Self> {
        let start = left.rest;
        let word = left.name()?;
        let function =
            FUNCTIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&word)).map(|(_, function)| *function);
        let Some(function) = function else {
            left.rest = start;
            return Err(left.wrong("there is no such function"));
        };
        left.expect('(')?;
        left.rest = left.rest.strip_prefix('*').unwrap_or(left.rest).trim_start();
        let computed = match (left.rest.starts_with(')'), function) {
            (true, Function::Count) => Computed::count(),
            (true, _) => return Err(left.wrong("a column is missing")),
            (false, _) => Computed::new(function, left.name()?),
        };
        left.expect(')')?;
        let behind_as = left.rest.split_at_checked(2).filter(|(word, rest)| {
            word.eq_ignore_ascii_case("as") && rest.starts_with(|next: char| next.is_whitespace() || next == '"')
        });
        match behind_as {
            Some((_, rest)) => {
                left.rest = rest.trim_start();
                Ok(computed.named(left.name()?))
            }
            None => Ok(computed),
        }
    }
}

fn refused(all: &str, why: &str) -> Error {
    Error::new(Code::Aggregate, format!("{all:?} cannot be computed: {why}")).with_hint(
        "write it like count(), sum(price) as total, max(\"unit price\"); there are count, sum, avg, min and max",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_computed_is_read() {
        let read =
            Computed::parse_all(" count(),COUNT( * ) as rows , sum(price)as \"a \"\"b\"\"\", max(\"x,(y)\")").unwrap();
        let want = [
            Computed::count(),
            Computed::count().named("rows"),
            Computed::new(Function::Sum, "price").named("a \"b\""),
            Computed::new(Function::Max, "x,(y)"),
        ];
        assert_eq!(read, want);
        assert_eq!((&read[0].name[..], &read[3].name[..]), ("count()", "max(x,(y))"));
        assert_eq!(Computed::parse_all("count(ä.b-c)").unwrap(), [Computed::new(Function::Count, "ä.b-c")]);
        assert_eq!(Computed::parse_all(" ").unwrap(), []);
    }

    #[test]
    fn what_cannot_be_computed_says_where() {
        for (text, says) in [
            ("sum", "a ( is missing at its end"),
            ("sum()", "a column is missing at \")\""),
            ("median(x)", "there is no such function at \"median(x)\""),
            ("sum(x", "a ) is missing at its end"),
            ("sum(x) total", "a , is missing at \"total\""),
            ("sum(x) as", "a , is missing at \"as\""),
            ("sum(x) as ,", "a name is missing"),
            ("count(),", "a name is missing at its end"),
            ("max(\"x)", "a quote is not closed"),
            ("sum(a b)", "a ) is missing at \"b)\""),
        ] {
            let error = Computed::parse_all(text).unwrap_err();
            assert!(error.is(Code::Aggregate) && error.to_string().contains(says), "{text}: {error}");
        }
    }
}
