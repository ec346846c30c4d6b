//! Numbers that are not known exactly.

use serde::{Deserialize, Serialize};

/// A number that is not known exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// If everything goes well.
    pub low: f64,
    /// What is most likely.
    pub likely: f64,
    /// If little goes well.
    pub high: f64,
}

impl Range {
    /// Returns the range of what comes out with good, likely and bad luck.
    pub(super) fn of([good, likely, bad]: [f64; 3]) -> Self {
        Range { low: good.min(likely).min(bad), likely, high: good.max(likely).max(bad) }
    }
}
