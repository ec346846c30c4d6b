//! Jobs over rows of any format: counted, grouped, sorted, searched, as they are, or in another format. What they have in common is how rows
//! are matched.

mod aggregate;
mod by;
mod cat;
mod convert;
mod count;
mod grep;
mod join;
mod left;
mod name;
mod ordered;
mod sample;
mod sort;
mod top;

pub use aggregate::{Aggregate, Computed, Function};
pub use by::{By, ReadAs};
pub use cat::Cat;
pub use convert::{Convert, TypedRows};
pub use count::{CountRows, Counted};
pub use grep::Grep;
pub use join::{BroadcastJoin, JoinPair, JoinRows, JoinSide, Joining, On, PackedValues, RowKey};
pub use ordered::{Ordered, OrderedRow};
pub use sample::Sample;
pub use sort::Sort;
pub use top::{TOP_BYTES_MAX, TOP_ROWS_MAX, Top};

use kinglet_core::{Code, Error, Result};
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// A regular expression that rows are searched for, over bytes. It travels as text, and each task compiles it once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pattern {
    text: String,
    ignore_case: bool,
    #[serde(skip)]
    compiled: OnceLock<Regex>,
}

impl Pattern {
    /// Makes a pattern of a regular expression in the syntax of the crate `regex`.
    ///
    /// # Errors
    /// Returns `regex` when it is none.
    pub fn new(text: impl Into<String>, ignore_case: bool) -> Result<Self> {
        let pattern = Pattern { text: text.into(), ignore_case, compiled: OnceLock::new() };
        pattern.regex()?;
        Ok(pattern)
    }

    /// Returns whether the bytes have a match.
    ///
    /// # Errors
    /// As [`Pattern::new`].
    pub fn is_match(&self, bytes: &[u8]) -> Result<bool> {
        Ok(self.regex()?.is_match(bytes))
    }

    fn regex(&self) -> Result<&Regex> {
        if let Some(regex) = self.compiled.get() {
            return Ok(regex);
        }
        // Rows need not be UTF-8.
        let syntax = syntax::Config::new().utf8(false).case_insensitive(self.ignore_case);
        let config = Regex::config().utf8_empty(false);
        let regex = Regex::builder().syntax(syntax).configure(config).build(&self.text).map_err(|e| {
            let why = e.syntax_error().map_or_else(|| e.to_string(), ToString::to_string);
            Error::new(Code::Regex, format!("the pattern {:?} is no regular expression: {why}", self.text))
                .with_hint("escape with \\ what is meant as it is, as in \\. or \\[")
        })?;
        Ok(self.compiled.get_or_init(|| regex))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_of_bytes_and_may_ignore_case() {
        let is_match = |pattern: &str, ignore_case, bytes: &[u8]| {
            let pattern = Pattern::new(pattern, ignore_case).unwrap();
            let sent: Pattern = serde_json::from_str(&serde_json::to_string(&pattern).unwrap()).unwrap();
            let found = pattern.is_match(bytes).unwrap();
            assert_eq!(sent.is_match(bytes).unwrap(), found);
            found
        };
        assert!(is_match("b.d", false, b"a b\xc3\xa4d"));
        assert!(is_match("^a\\d+$", false, b"a12") && !is_match("^a\\d+$", false, b"a12b"));
        assert!(is_match("ERROR", true, b"\xff error") && !is_match("ERROR", false, b"error"));
        assert!(is_match("", false, b""));
        assert!(is_match("(?-u)\\xff", false, b"a\xff"));
        let error = Pattern::new("a(", false).unwrap_err();
        assert!(error.is(Code::Regex) && error.to_string().contains("\"a(\""), "{error}");
    }
}
