//! The one error type: a stable code, a message and a way out, sorted by who must act.
//!
//! Messages are lower case with no full stop, and name the operation and the object. Nothing parses them: what a program
//! needs to know is in the code. All codes stand in one table, [`Code`], which also says who must act.
//!
//! An error stays structured when it travels: it is stored as its variant, the code's text, the message and the hint. When
//! another version wrote it, the reader may not know the code; the variant still says who must act.

mod codes;
#[cfg(test)]
mod page;

pub use codes::{Again, Code};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// An error, sorted by who must act.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The input, the output or an argument is wrong: the user must change it.
    #[error("{0}")]
    Input(Fault),
    /// The job's own code returned an error or panicked: the job's author must change it.
    #[error("{0}")]
    UserCode(Fault),
    /// The deployed functions and the driver are of versions that do not fit: deploy again.
    #[error("{0}")]
    StaleDeployment(Fault),
    /// A limit of AWS, of the machine or of Kinglet was met.
    #[error("{0}")]
    Limit(Fault),
    /// S3, DynamoDB or Lambda failed; trying again may help.
    #[error("{0}")]
    Service(Fault),
    /// Someone cancelled the job.
    #[error("{0}")]
    Cancelled(Fault),
    /// Stored or received bytes are not what was written.
    #[error("{0}")]
    Corrupt(Fault),
}

/// Who must act: the variant of an [`Error`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// [`Error::Input`].
    Input,
    /// [`Error::UserCode`].
    UserCode,
    /// [`Error::StaleDeployment`].
    StaleDeployment,
    /// [`Error::Limit`].
    Limit,
    /// [`Error::Service`].
    Service,
    /// [`Error::Cancelled`].
    Cancelled,
    /// [`Error::Corrupt`].
    Corrupt,
}

/// The parts that every error has. Only [`Error::new`] and [`Error::relayed`] make them, so that every code comes from the
/// table.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Fault {
    /// The stable code in kebab-case, for programs: `input-missing`, `object-changed`.
    pub code: String,
    /// The message for people, which names the operation and the object.
    pub message: String,
    /// What to do about it, if known.
    pub hint: Option<String>,
}

/// A result whose error is [`Error`] by default.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes an error with this code, of the variant that the table has for it.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self::of(code.kind(), code.as_str(), message.into())
    }

    /// Makes an [`Error::Service`] of what another program reports under its own code, which may be unknown here. Trying again
    /// may help.
    pub fn relayed(code: &str, message: impl Into<String>) -> Self {
        Self::of(ErrorKind::Service, code, message.into())
    }

    fn of(kind: ErrorKind, code: &str, message: String) -> Self {
        let fault = Fault { code: code.to_owned(), message, hint: None };
        match kind {
            ErrorKind::Input => Error::Input(fault),
            ErrorKind::UserCode => Error::UserCode(fault),
            ErrorKind::StaleDeployment => Error::StaleDeployment(fault),
            ErrorKind::Limit => Error::Limit(fault),
            ErrorKind::Service => Error::Service(fault),
            ErrorKind::Cancelled => Error::Cancelled(fault),
            ErrorKind::Corrupt => Error::Corrupt(fault),
        }
    }

    /// Adds a hint: what to do about the error.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.fault_mut().hint = Some(hint.into());
        self
    }

    /// Puts what was being done before the message.
    #[must_use]
    pub fn context(mut self, doing: impl std::fmt::Display) -> Self {
        let fault = self.fault_mut();
        fault.message = format!("{doing}: {}", fault.message);
        self
    }

    /// Appends what else is known to the message.
    #[must_use]
    pub fn followed_by(mut self, more: impl std::fmt::Display) -> Self {
        let fault = self.fault_mut();
        fault.message = format!("{}{more}", fault.message);
        self
    }

    /// Cuts the message to [`ERROR_BYTES_MAX`](crate::limits::ERROR_BYTES_MAX), which a ledger's item can hold. An error may
    /// quote what it met, and that may be megabytes.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        let fault = self.fault_mut();
        let bytes = fault.message.len();
        if bytes > crate::limits::ERROR_BYTES_MAX {
            let end = fault.message.floor_char_boundary(crate::limits::ERROR_BYTES_MAX);
            fault.message.truncate(end);
            fault.message.push_str(&format!("… ({bytes} bytes in all)"));
        }
        self
    }

    /// Returns the parts of the error.
    pub fn fault(&self) -> &Fault {
        match self {
            Error::Input(f)
            | Error::UserCode(f)
            | Error::StaleDeployment(f)
            | Error::Limit(f)
            | Error::Service(f)
            | Error::Cancelled(f)
            | Error::Corrupt(f) => f,
        }
    }

    fn fault_mut(&mut self) -> &mut Fault {
        match self {
            Error::Input(f)
            | Error::UserCode(f)
            | Error::StaleDeployment(f)
            | Error::Limit(f)
            | Error::Service(f)
            | Error::Cancelled(f)
            | Error::Corrupt(f) => f,
        }
    }

    /// Returns the stable code as text. It may be one that this version does not know.
    pub fn code(&self) -> &str {
        &self.fault().code
    }

    /// Returns the code, if this version knows it.
    pub fn known_code(&self) -> Option<Code> {
        Code::of(self.code())
    }

    /// Returns whether the error has this code.
    pub fn is(&self, code: Code) -> bool {
        self.code() == code.as_str()
    }

    /// Returns who must act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Input(_) => ErrorKind::Input,
            Error::UserCode(_) => ErrorKind::UserCode,
            Error::StaleDeployment(_) => ErrorKind::StaleDeployment,
            Error::Limit(_) => ErrorKind::Limit,
            Error::Service(_) => ErrorKind::Service,
            Error::Cancelled(_) => ErrorKind::Cancelled,
            Error::Corrupt(_) => ErrorKind::Corrupt,
        }
    }

    /// Returns what to do about the error, if known.
    pub fn hint(&self) -> Option<&str> {
        self.fault().hint.as_deref()
    }

    /// Returns whether the same task may succeed when it is run again as it is, without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        // A relayed error may be of another variant than its code's, and another version's error may have a code unknown here.
        match self.known_code().filter(|code| code.kind() == self.kind()) {
            Some(code) => code.again() == Again::AsItIs,
            None => matches!(self.kind(), ErrorKind::Service | ErrorKind::Corrupt),
        }
    }
}

/// The result of a job's `map` and `reduce`. Any error converts into it with `?`.
pub type UserResult<T = ()> = std::result::Result<T, UserError>;

/// An error from a job's own code. Like `anyhow::Error`, it converts from every error type and does not implement
/// `std::error::Error` itself.
#[derive(Debug)]
pub struct UserError(Box<dyn std::error::Error + Send + Sync>);

impl UserError {
    /// Makes an error of a message.
    pub fn new(message: impl Into<String>) -> Self {
        UserError(message.into().into())
    }

    /// Makes an error that another try cannot mend. It has the code `permanent-failure`; a call of
    /// `Driver::for_each_object` that fails with it is not made again.
    pub fn permanent(message: impl Into<String>) -> Self {
        UserError(Box::new(Error::new(Code::PermanentFailure, message)))
    }

    /// Returns the error of type `E` that it was made of.
    ///
    /// # Errors
    /// Returns itself when it was made of another type.
    pub fn downcast<E: std::error::Error + 'static>(self) -> Result<E, Self> {
        self.0.downcast().map(|error| *error).map_err(UserError)
    }
}

/// An error with the place of its record, on its way out through the job's `map` and the format.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct Placed {
    at: usize,
    /// The record that is not valid, if that can be left out.
    invalid: Option<InvalidAt>,
    error: UserError,
}

/// Where a record lies in its `Extent` that is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidAt {
    /// Its bytes, without what ends it.
    pub(crate) record: Range<usize>,
    /// Where the next one starts.
    pub(crate) next: usize,
}

impl InvalidAt {
    /// Returns whether it lies in an extent of this length, and the next record behind it.
    pub(crate) fn lies_in(&self, bytes: usize) -> bool {
        let InvalidAt { record, next } = self;
        record.start <= record.end && record.end <= *next && (1..=bytes).contains(next)
    }
}

impl UserError {
    /// Adds the offset in its `Extent` at which the failed record starts. If that was added before, the earlier one counts.
    #[must_use]
    pub fn at(self, at: usize) -> Self {
        match self.downcast::<Placed>() {
            Ok(placed) => placed.into(),
            Err(error) => Placed { at, invalid: None, error }.into(),
        }
    }

    /// Says that one record is not valid, and where it lies in its `Extent`: its bytes, without what ends it, and the offset at
    /// which the next record starts. A job that may leave such records out goes on there; others fail as with
    /// [`UserError::at`].
    ///
    /// To be used by a [`Format`](crate::Format) that knows where the record ends, whatever is wrong with it.
    #[must_use]
    pub fn of_record(self, record: Range<usize>, next: usize) -> Self {
        match self.downcast::<Placed>() {
            Ok(placed) => placed.into(),
            Err(error) => Placed { at: record.start, invalid: Some(InvalidAt { record, next }), error }.into(),
        }
    }

    /// Moves the place, which was counted from the offset `by` of an extent, so that it is counted from the extent's start.
    pub(crate) fn moved(self, by: usize) -> Self {
        match self.downcast::<Placed>() {
            Ok(Placed { at, error, .. }) => Placed { at: at + by, invalid: None, error }.into(),
            Err(error) => error,
        }
    }

    /// Returns the record that is not valid, if it can be left out.
    pub(crate) fn invalid(&self) -> Option<InvalidAt> {
        self.0.downcast_ref::<Placed>()?.invalid.clone()
    }

    /// Converts it into an [`Error`] with this code. A Kinglet error that came through user code with `?` stays as it was.
    pub fn into_error(self, code: Code) -> Error {
        // The place is of a format that the user's code read with: it means nothing here.
        let (_, error) = self.take_place();
        match error.downcast() {
            Ok(error) => error,
            Err(user) => Error::new(code, user.to_string()),
        }
    }

    /// Returns the offset of the failed record, as [`Self::at`] has added it, 0 if it was not, and the error without it: for who reads a
    /// format by itself.
    pub fn take_place(self) -> (usize, Self) {
        match self.downcast::<Placed>() {
            Ok(placed) => (placed.at, placed.error),
            Err(error) => (0, error),
        }
    }
}

impl std::fmt::Display for UserError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(inner) = cause {
            write!(f, ": {inner}")?;
            cause = inner.source();
        }
        Ok(())
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for UserError {
    fn from(error: E) -> Self {
        UserError(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes an error as another version may have written it.
    fn foreign(variant: fn(Fault) -> Error) -> Error {
        variant(Fault { code: "from-the-future".into(), message: String::new(), hint: None })
    }

    #[test]
    fn an_error_is_what_the_table_says_of_its_code() {
        for &code in Code::ALL {
            let error = Error::new(code, "so");
            assert_eq!((error.kind(), error.code(), error.known_code()), (code.kind(), code.as_str(), Some(code)));
            assert!(error.is(code) && error.is_retryable() == (code.again() == Again::AsItIs), "{code}");
        }
    }

    #[test]
    fn trying_again_is_decided_by_the_variant_where_the_code_is_unknown() {
        assert!(foreign(Error::Service).is_retryable() && foreign(Error::Corrupt).is_retryable());
        for variant in [Error::Input, Error::UserCode, Error::StaleDeployment, Error::Limit, Error::Cancelled] {
            assert!(!foreign(variant).is_retryable());
        }
        assert_eq!(foreign(Error::Input).known_code(), None);
        let relayed = Error::relayed("exited", "exit code 3");
        assert!(relayed.is(Code::Exited) && relayed.is_retryable());
    }

    #[test]
    fn a_message_of_any_length_fits_the_ledger() {
        let short = Error::new(Code::MapFailed, "no");
        assert_eq!(short.clone().shortened(), short);
        let long = Error::new(Code::MapFailed, "ä".repeat(1 << 20)).shortened().to_string();
        assert!(
            long.len() < crate::limits::ERROR_BYTES_MAX + 50 && long.ends_with("ä… (2097152 bytes in all)"),
            "{long}"
        );
    }
}
