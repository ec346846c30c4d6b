//! `kinglet doctor`: checks that all that jobs need is there, by trying it. Each finding says what to do.

mod machine;
mod stack;

use crate::Error;
pub use machine::examine_machine;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How bad a finding is, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// Jobs run, but something will cost money, time or safety.
    Warning,
    /// Jobs do not run.
    Problem,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// The name of the check: stable, for programs.
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// What to do, if there is something to do.
    pub hint: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: &str, message: impl Into<String>) -> Self {
        Finding { check: check.to_owned(), level: Level::Ok, message: message.into(), hint: None }
    }

    pub(crate) fn note(check: &str, message: impl Into<String>, hint: &str) -> Self {
        Finding { level: Level::Note, hint: Some(hint.to_owned()), ..Self::ok(check, message) }
    }

    pub(crate) fn warning(check: &str, message: impl Into<String>, hint: &str) -> Self {
        Finding { level: Level::Warning, ..Self::note(check, message, hint) }
    }

    pub(crate) fn problem(check: &str, message: impl Into<String>, hint: &str) -> Self {
        Finding { level: Level::Problem, ..Self::note(check, message, hint) }
    }

    /// Reports a failure; its message and hint are the error's.
    pub(crate) fn failed(check: &str, level: Level, error: &Error) -> Self {
        Finding { check: check.to_owned(), level, message: error.to_string(), hint: error.hint().map(str::to_owned) }
    }

    /// Reports `good`, or the error as a problem.
    pub(crate) fn of(check: &str, done: crate::Result<()>, good: impl Into<String>) -> Self {
        match done {
            Ok(()) => Self::ok(check, good),
            Err(error) => Self::failed(check, Level::Problem, &error),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Problem => "problem",
        };
        write!(f, "{level:<7}  {:<12}  {}", self.check, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n{:23}{hint}", ""),
            None => Ok(()),
        }
    }
}
