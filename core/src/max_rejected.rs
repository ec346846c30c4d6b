//! How many records of a job's input may be left out because they are not valid.

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How many records that are not valid a job may leave out of its input. Those that it leaves out lie beside its result, in
/// `_rejected-JOB.jsonl`. A job that is allowed none fails at the first.
///
/// ```
/// use kinglet_core::MaxRejected;
///
/// assert_eq!("20".parse(), Ok(MaxRejected::Count(20)));
/// assert_eq!("0.1%".parse(), Ok(MaxRejected::Percent(0.1)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum MaxRejected {
    /// So many in the whole job.
    Count(u64),
    /// So many of a hundred records that are read, in the whole job.
    Percent(f64),
}

impl MaxRejected {
    /// Returns whether so many records may be left out of all that were read, these among them.
    pub fn allows(self, rejected: u64, read: u64) -> bool {
        match self {
            MaxRejected::Count(most) => rejected <= most,
            // 0.29 % of 10,000 are 29, and not the 28.999… that two floats make.
            MaxRejected::Percent(most) => rejected as f64 * 100.0 <= most * read as f64 * (1.0 + 1e-12),
        }
    }

    /// Checks that it is a number of records, or from 0 to 100 of a hundred.
    ///
    /// # Errors
    /// Returns `max-rejected` when it is neither.
    pub fn check(self) -> Result<()> {
        match self {
            MaxRejected::Percent(most) if !(0.0..=100.0).contains(&most) => {
                Err(unreadable(&format!("{most} of a hundred records cannot be left out")))
            }
            _ => Ok(()),
        }
    }
}

fn unreadable(says: &str) -> Error {
    Error::new(Code::MaxRejected, says).with_hint("give a number of records, as in 20, or a share of them, as in 0.1%")
}

impl FromStr for MaxRejected {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = match text.strip_suffix('%') {
            Some(percent) => percent.trim_end().parse().ok().map(MaxRejected::Percent),
            None => text.parse().ok().map(MaxRejected::Count),
        };
        let read = read.ok_or_else(|| unreadable(&format!("{text:?} says not how many records may be left out")))?;
        read.check().map(|()| read)
    }
}

/// As it is read.
impl fmt::Display for MaxRejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaxRejected::Count(most) => write!(f, "{most}"),
            MaxRejected::Percent(most) => write!(f, "{most}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_a_share_is_read_as_it_is_written_and_nothing_else() {
        for text in ["0", "18446744073709551615", "0%", "100%", "0.001%"] {
            assert_eq!(text.parse::<MaxRejected>().unwrap().to_string(), text);
        }
        assert_eq!("2.50 %".parse::<MaxRejected>().unwrap(), MaxRejected::Percent(2.5));
        for text in ["", "%", "-1", "1.5", "101%", "-0.1%", "NaN%", "inf%", "1 000", "all"] {
            let error = text.parse::<MaxRejected>().unwrap_err();
            assert!(error.is(Code::MaxRejected) && error.hint().is_some(), "{text}");
        }
    }

    #[test]
    fn a_share_is_of_all_that_was_read_and_may_be_reached() {
        let (two, percent) = (MaxRejected::Count(2), MaxRejected::Percent);
        assert!(two.allows(2, 2) && !two.allows(3, 1 << 40));
        assert!(MaxRejected::Count(0).allows(0, 0) && percent(0.0).allows(0, 0) && !percent(0.0).allows(1, 100));
        assert!(percent(1.0).allows(3, 300) && !percent(1.0).allows(3, 299));
        assert!(percent(0.29).allows(29, 10_000) && !percent(0.29).allows(30, 10_000));
        assert!(percent(100.0).allows(7, 7));
        assert!(percent(1e-7).allows(1, 1_000_000_000) && !percent(1e-7).allows(1, 999_999_999));
    }
}
