//! By which columns rows are joined, as it is written: `customer = id, day as text`.

use super::super::by::ReadAs;
use super::super::left::Left;
use kinglet_core::{Code, Error, Result, Side};
use serde::{Deserialize, Serialize};

/// A column of each side whose values must be equal for rows to match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct On {
    /// The column of the left side.
    pub left: String,
    /// That of the right side.
    pub right: String,
    /// As what their values are compared.
    pub read: ReadAs,
}

/// Takes the side off a name that says one, as `left.id` does.
pub(super) fn side_of(name: &str) -> (Option<Side>, &str) {
    match name.split_once('.') {
        Some((word, rest)) if !rest.is_empty() => match Side::parse(word) {
            Some(side) => (Some(side), rest),
            None => (None, name),
        },
        _ => (None, name),
    }
}

impl On {
    /// Returns the column of a side.
    pub fn column(&self, side: Side) -> &str {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }

    /// Reads columns, with commas between: `COLUMN` where both sides call it so, or `COLUMN = COLUMN`, that of the left side first;
    /// behind it `as text` or `as number`. A name may say its side, as in `right.id = left.customer`. Names with other characters than
    /// letters, digits, `_`, `.` and `-` stand in double quotes, in which two are one.
    ///
    /// # Errors
    /// Returns `join-on` when it is written otherwise, or when there is no column.
    pub fn parse_all(text: &str) -> Result<Vec<Self>> {
        Left::new(text, refused).list(Self::read)
    }

    fn read(left: &mut Left<'_>) -> Result<Self> {
        let before = left.rest;
        let (first, name) = sided(left)?;
        let (second, other) = match left.rest.strip_prefix('=') {
            Some(rest) => {
                left.rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
                sided(left)?
            }
            None => (None, name.clone()),
        };
        let is_one_side = first.is_some() && first == second;
        let is_half = first.is_some() && left.rest.len() == before.len();
        if is_one_side || is_half {
            left.rest = before;
            return Err(left.wrong("two columns of one side"));
        }
        let is_swapped = first == Some(Side::Right) || second == Some(Side::Left);
        let read = if left.word("as") { ReadAs::read(left)? } else { ReadAs::Found };
        let (left, right) = if is_swapped { (other, name) } else { (name, other) };
        Ok(On { left, right, read })
    }
}

/// Takes a name, and the side that it says.
fn sided(left: &mut Left<'_>) -> Result<(Option<Side>, String)> {
    let name = left.name()?;
    let (side, column) = side_of(&name);
    Ok((side, column.to_owned()))
}

fn refused(all: &str, why: &str) -> Error {
    Error::new(Code::JoinOn, format!("rows cannot be joined by {all:?}: {why}"))
        .with_hint("write it like 'id', or 'customer = id, day' where columns have two names")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_both_sides_are_read() {
        let on = |left: &str, right: &str, read| On { left: left.to_owned(), right: right.to_owned(), read };
        let read = On::parse_all(" id, customer = \"the id\" as TEXT ,a.b == c as number,left.x=right.y, right.x = y");
        let want = [
            on("id", "id", ReadAs::Found),
            on("customer", "the id", ReadAs::Text),
            on("a.b", "c", ReadAs::Number),
            on("x", "y", ReadAs::Found),
            on("y", "x", ReadAs::Found),
        ];
        assert_eq!(read.unwrap(), want);
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (text, says) in [
            ("", "a name is missing at its end"),
            ("a =", "a name is missing at its end"),
            ("a b", "a , is missing at \"b\""),
            ("a = b = c", "a , is missing at \"= c\""),
            ("a as date", "text or number is missing at \"date\""),
            ("a,", "a name is missing at its end"),
            ("left.a = left.b", "two columns of one side at \"left.a = left.b\""),
            ("a, right.b = right.c", "two columns of one side at \"right.b"),
            ("\"a", "a quote is not closed"),
        ] {
            let error = On::parse_all(text).unwrap_err();
            assert!(error.is(Code::JoinOn) && error.to_string().contains(says), "{text}: {error}");
        }
    }
}
