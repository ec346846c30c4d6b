//! Parts of paths that say a value, as Hive writes them: `logs/year=2026/city=S%C3%A3o%20Paulo/a.gz`. They become columns of rows
//! whose format is chosen when the program runs, and a job may be given those objects alone whose path says certain values.
//!
//! A part is a folder's name with a `=` behind at least one character. Characters that could not stand in a path are written as `%`
//! and two hexadecimal digits. A value that is missing is written as `__HIVE_DEFAULT_PARTITION__`. An output that is cut by columns
//! lies in such folders ([`write_folder`]).

use crate::comparison::Is;
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// What stands for a value that is missing.
const MISSING: &str = "__HIVE_DEFAULT_PARTITION__";

/// A part of a path that says a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPart<'a> {
    /// The column's name.
    pub name: Cow<'a, str>,
    /// The value; `None` if it is missing.
    pub value: Option<Cow<'a, str>>,
}

impl<'a> PathPart<'a> {
    /// Reads the name of a folder; `None` if it says no value.
    pub fn of(folder: &'a str) -> Option<Self> {
        let (name, value) = folder.split_once('=').filter(|(name, _)| !name.is_empty())?;
        let value = (value != MISSING).then(|| unescape(value));
        Some(PathPart { name: unescape(name), value })
    }

    /// Returns the parts of an object's path. The object's own name is none.
    pub fn all(path: &'a str) -> impl Iterator<Item = Self> {
        let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
        folders.split('/').filter_map(Self::of)
    }
}

/// Returns whether a folder's name says a value.
pub(crate) fn is_value_folder(folder: &str) -> bool {
    PathPart::of(folder).is_some()
}

/// Returns what the names of all folders begin with that say a column's values: `year=`.
pub(crate) fn first_folder(name: &str) -> String {
    let mut folder = String::new();
    write_folder(name, Some(""), &mut folder);
    folder.pop();
    folder
}

/// Appends the folder that says a value: what [`PathPart::of`] reads as the same, and a `/`. The value of an empty text is empty.
pub(crate) fn write_folder(name: &str, value: Option<&str>, out: &mut String) {
    // A folder that begins with a dot is hidden.
    let rest = name.strip_prefix('.').inspect(|_| escape_char('.', out)).unwrap_or(name);
    escape(rest, out);
    out.push('=');
    match value {
        None => out.push_str(MISSING),
        Some(MISSING) => {
            escape_char('_', out);
            out.push_str(&MISSING[1..]);
        }
        Some(value) => escape(value, out),
    }
    out.push('/');
}

/// Appends text with what could not stand in a path, or means something there or in a pattern, as `%` and two hexadecimal digits.
fn escape(text: &str, out: &mut String) {
    for char in text.chars() {
        // Of those that are no control characters, Hive's list, and what listings in XML cannot hold.
        let is_escaped = char.is_ascii_control()
            || "\"#%'*/:=?\\{}[]^<>|&".contains(char)
            || matches!(char, '\u{fffe}' | '\u{ffff}');
        if is_escaped { escape_char(char, out) } else { out.push(char) }
    }
}

fn escape_char(char: char, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in char.encode_utf8(&mut [0; 4]).bytes() {
        out.push('%');
        out.extend([byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)])));
    }
}

/// Returns the text that was escaped so; itself where it is no UTF-8 otherwise.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        rest = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                &behind[2..]
            }
            _ => {
                bytes.push(*first);
                behind
            }
        };
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// A condition on the values in the paths of a job's input: `year=2026`, `month>=10`, `city!=Oslo`, `day=1,2,3` for one of several,
/// `city=` for those without a value.
///
/// Values that are whole numbers on both sides are compared as numbers, so that `07` is `7`; otherwise they are compared as text, byte
/// by byte. A path that has no part of this name does not meet the condition.
///
/// ```
/// let condition: kinglet_core::PathCondition = "month>=10".parse()?;
/// assert_eq!(condition.to_string(), "month>=10");
/// # Ok::<(), kinglet_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathCondition {
    name: String,
    is: Is,
    /// At least one; several with [`Is::Equal`] and [`Is::NotEqual`] alone.
    values: Vec<String>,
}

impl PathCondition {
    /// Returns the name of the part that it is about.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether a part of a path meets the condition, if it is the one that this is about.
    pub fn is_met(&self, part: &PathPart<'_>) -> Option<bool> {
        if part.name != self.name {
            return None;
        }
        let value = part.value.as_deref();
        let is_one = || self.values.iter().any(|wanted| order(value.unwrap_or_default(), wanted).is_eq());
        Some(match self.is {
            Is::Equal => is_one(),
            Is::NotEqual => !is_one(),
            other => value.is_some_and(|value| other.holds(order(value, &self.values[0]))),
        })
    }
}

/// Compares two values.
fn order(one: &str, other: &str) -> Ordering {
    match (one.parse::<i64>(), other.parse::<i64>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        _ => one.cmp(other),
    }
}

impl FromStr for PathCondition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Err(Error::new(Code::PathCondition, format!("the condition {text:?} {why}"))
                .with_hint("write it as year=2026, month>=10, city!=Oslo or day=1,2,3"))
        };
        let Some((name, is, values)) = Is::split(text) else { return wrong("compares no part of a path with a value") };
        let values: Vec<String> = values.split(',').map(str::to_owned).collect();
        let one_alone = !matches!(is, Is::Equal | Is::NotEqual);
        match &values[..] {
            [value] if one_alone && value.is_empty() => wrong("compares with nothing"),
            [_, _, ..] if one_alone => wrong("compares with several values"),
            _ => Ok(PathCondition { name: name.to_owned(), is, values }),
        }
    }
}

impl fmt::Display for PathCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.name, self.is, self.values.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(path: &str) -> Vec<(String, Option<String>)> {
        PathPart::all(path).map(|part| (part.name.into_owned(), part.value.map(Cow::into_owned))).collect()
    }

    #[test]
    fn folders_say_values_and_names_of_objects_say_none() {
        let part = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(parts("s3://b/logs/year=2026/month=07/a=b.csv"), [part("year", "2026"), part("month", "07")]);
        assert_eq!(parts("a%3Db=c%2Fd%20e/x"), [part("a=b", "c/d e")]);
        assert_eq!(parts("city=S%C3%A3o/x"), [part("city", "São")]);
        assert_eq!(parts("k=a=b/k2=/x"), [part("k", "a=b"), part("k2", "")]);
        assert_eq!(parts("k=__HIVE_DEFAULT_PARTITION__/x"), [("k".to_owned(), None)]);
        // No escapes: they stay as they are.
        assert_eq!(
            parts("k=100%/p=%zz/q=%ff/r=%c/x"),
            [part("k", "100%"), part("p", "%zz"), part("q", "%ff"), part("r", "%c")]
        );
        assert_eq!(parts("=x/plain/x"), []);
        assert_eq!(parts("k=v"), []);
    }

    fn folder(name: &str, value: Option<&str>) -> String {
        let mut out = String::new();
        write_folder(name, value, &mut out);
        out
    }

    #[test]
    fn values_are_written_as_hive_writes_them() {
        assert_eq!(folder("year", Some("2026")), "year=2026/");
        assert_eq!(folder("city", None), "city=__HIVE_DEFAULT_PARTITION__/");
        assert_eq!(folder("city", Some("__HIVE_DEFAULT_PARTITION__")), "city=%5F_HIVE_DEFAULT_PARTITION__/");
        assert_eq!(folder("a b", Some("São Paulo, 1+1")), "a b=São Paulo, 1+1/");
        assert_eq!(folder("at", Some("2026-11-22T06:30:00")), "at=2026-11-22T06%3A30%3A00/");
        // Nothing leads out of the output, or is hidden in it.
        assert_eq!(folder("k", Some("../x")), "k=..%2Fx/");
        assert_eq!(folder("..", Some("/")), "%2E.=%2F/");
        assert_eq!(folder("k/=", Some("\0\n\u{7f}\u{ffff}")), "k%2F%3D=%00%0A%7F%EF%BF%BF/");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(name in ".{1,9}|[./=%_a-z]{1,4}", value in proptest::option::of(".{0,9}|[./=%5F]{0,5}")) {
            let written = folder(&name, value.as_deref());
            let inner = written.strip_suffix('/').unwrap();
            proptest::prop_assert!(!inner.contains('/') && !inner.contains('\0') && !inner.starts_with('.'), "{}", inner);
            let part = PathPart::of(inner).unwrap();
            proptest::prop_assert_eq!((&*part.name, part.value.as_deref()), (&*name, value.as_deref()));
        }
    }

    #[test]
    fn conditions_compare_numbers_as_numbers_and_all_else_as_text() {
        let is_met = |condition: &str, folder: &str| {
            let condition: PathCondition = condition.parse().unwrap();
            assert_eq!(condition.to_string().parse::<PathCondition>().unwrap(), condition);
            condition.is_met(&PathPart::of(folder).unwrap())
        };
        for (condition, met, unmet) in [
            ("year=2026", "year=2026", "year=2025"),
            ("month=7", "month=07", "month=70"),
            ("month<10", "month=9", "month=10"),
            ("month<=10", "month=010", "month=11"),
            ("month>=10", "month=10", "month=9"),
            ("month>9", "month=10", "month=9"),
            ("day=1,2,3", "day=02", "day=4"),
            ("day!=1,2,3", "day=4", "day=02"),
            ("day!=1", "day=__HIVE_DEFAULT_PARTITION__", "day=1"),
            ("city>M", "city=Oslo", "city=Berlin"),
            ("city=", "city=__HIVE_DEFAULT_PARTITION__", "city=Oslo"),
            ("city!=", "city=Oslo", "city=__HIVE_DEFAULT_PARTITION__"),
            ("city=a b", "city=a%20b", "city=a"),
            ("city<z", "city=Oslo", "city=__HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!((is_met(condition, met), is_met(condition, unmet)), (Some(true), Some(false)), "{condition}");
            assert_eq!(is_met(condition, "other=1"), None);
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in ["", "year", "=2026", "year<", "year<1,2", "year!2026", "!=x"] {
            let error = text.parse::<PathCondition>().unwrap_err();
            assert!(error.is(Code::PathCondition) && error.hint().is_some(), "{text}: {error}");
        }
    }
}
