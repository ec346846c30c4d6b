//! The two sides of a join.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One of the two inputs of a [join](crate::Join). The input of any other job is a left side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The one that is named first.
    #[default]
    Left,
    /// The other one.
    Right,
}

impl Side {
    /// Both sides.
    pub const BOTH: [Side; 2] = [Side::Left, Side::Right];

    /// Returns its name: `left` or `right`.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Left => "left",
            Side::Right => "right",
        }
    }

    /// Returns the side of this name.
    pub fn parse(word: &str) -> Option<Self> {
        Side::BOTH.into_iter().find(|side| side.as_str() == word)
    }

    /// Returns the other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
