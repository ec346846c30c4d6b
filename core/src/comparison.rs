//! How a value is compared with a constant, and how that is written.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// How a value compares with a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Is {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

/// The signs, those first that begin like others.
const SIGNS: [(&str, Is); 8] = [
    ("<=", Is::AtMost),
    (">=", Is::AtLeast),
    ("!=", Is::NotEqual),
    ("<>", Is::NotEqual),
    ("<", Is::Less),
    (">", Is::More),
    ("==", Is::Equal),
    ("=", Is::Equal),
];

impl Is {
    /// Finds the first comparison in a text that has something before it. Returns that, the comparison, and what is behind it.
    pub(crate) fn split(text: &str) -> Option<(&str, Is, &str)> {
        let at = text.find(['<', '>', '=', '!']).filter(|at| *at > 0)?;
        let (before, rest) = text.split_at(at);
        SIGNS.iter().find_map(|(sign, is)| Some((before, *is, rest.strip_prefix(sign)?)))
    }

    /// Returns whether it holds of a value that is ordered so beside the constant.
    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Is::Less => order.is_lt(),
            Is::AtMost => order.is_le(),
            Is::Equal => order.is_eq(),
            Is::NotEqual => order.is_ne(),
            Is::AtLeast => order.is_ge(),
            Is::More => order.is_gt(),
        }
    }
}

/// Its sign.
impl fmt::Display for Is {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Is::Less => "<",
            Is::AtMost => "<=",
            Is::Equal => "=",
            Is::NotEqual => "!=",
            Is::AtLeast => ">=",
            Is::More => ">",
        })
    }
}
