//! The first row of an object, which says how many columns it has, and what they are called if it is a head.

use super::record::{Fields, next_line};
use super::{BYTE_ORDER_MARK, CsvDialect, fields_of, invalid};
use crate::error::{Code, Error, UserError};
use crate::format::Extent;
use crate::nearest::nearest;
use std::borrow::Cow;

/// What is known of an object's columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Head<'a> {
    /// How many there are; `None` if nobody has read the object's start.
    pub(super) columns: Option<usize>,
    /// Their names, if the object names them. Each row may have them again, so they are borrowed.
    pub(super) names: Option<Vec<Cow<'a, str>>>,
}

impl<'a> Head<'a> {
    /// Reads the head of an extent's object.
    pub(super) fn of(dialect: &CsvDialect, extent: Extent<'a>) -> Result<Self, UserError> {
        let Extent { bytes, head, object, offset, .. } = extent;
        let first = if head.is_empty() && offset == 0 { bytes } else { head };
        Self::read(dialect, first).map_err(|e| {
            let what = if dialect.head { "head" } else { "first row" };
            UserError::from(e.context(format!("reading the {what} of {object}"))).at(0)
        })
    }

    fn read(dialect: &CsvDialect, bytes: &'a [u8]) -> Result<Self, Error> {
        if let Some(clash) = dialect.clash() {
            return Err(Error::new(Code::RecordInvalid, format!("the dialect cannot be read: {clash}"))
                .with_hint("give delimiter, quote and escape a byte each"));
        }
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        if bytes.is_empty() {
            return Ok(Head::default());
        }
        let line = next_line(dialect, bytes).line;
        if line.bytes.is_empty() {
            return Err(invalid("the first line is empty"));
        }
        let columns = fields_of(*dialect, line)?;
        let mut names = None;
        if dialect.head {
            let mut all = Vec::with_capacity(columns);
            for field in Fields::of(*dialect, line).flatten() {
                let name = match field {
                    Cow::Borrowed(name) => std::str::from_utf8(name).ok().map(Cow::Borrowed),
                    Cow::Owned(name) => String::from_utf8(name).ok().map(Cow::Owned),
                };
                let not_utf8 = || invalid(format!("the name of column {} is not UTF-8", all.len() + 1));
                all.push(name.ok_or_else(not_utf8)?);
            }
            names = Some(all);
        }
        Ok(Head { columns: Some(columns), names })
    }

    /// Returns the position of the column with this name.
    pub(super) fn column(&self, name: &str, object: &str) -> Result<usize, Error> {
        let names = self.names.as_deref().unwrap_or_default();
        let mut found = (0..names.len()).filter(|at| names[*at] == name);
        match (found.next(), found.next()) {
            (Some(at), None) => Ok(at),
            (Some(_), Some(_)) => Err(twice(name, object)),
            (None, _) => Err(missing_column(name, names, object)),
        }
    }
}

impl CsvDialect {
    /// Returns the names in the head that an object begins with; none if it has no head.
    ///
    /// # Errors
    /// Returns `record-invalid` when its first line is none.
    pub fn head_names(&self, first: &[u8]) -> Result<Vec<String>, Error> {
        let Head { names, .. } = Head::read(self, first)?;
        Ok(names.unwrap_or_default().into_iter().map(Cow::into_owned).collect())
    }
}

/// Makes the error of a name that two columns have.
pub(super) fn twice(name: &str, object: &str) -> Error {
    Error::new(Code::ColumnMissing, format!("{object} has two columns {name:?}"))
        .with_hint("give one of them another name")
}

/// Makes the error of a column that an object does not have, and names the one of its columns that may be meant.
pub fn missing_column(name: &str, names: &[Cow<'_, str>], object: &str) -> Error {
    let meant =
        nearest(name, names.iter().map(AsRef::as_ref)).map(|near| format!("if {near:?} is meant, say so; otherwise "));
    Error::new(Code::ColumnMissing, format!("{object} has no column {name:?}, but {}", names.join(", "))).with_hint(
        format!(
            "{}leave the object out, or read what all objects have; an optional field of a type may be missing",
            meant.unwrap_or_default()
        ),
    )
}

/// Returns where an object's rows begin: behind its byte order mark and its head.
pub(super) fn end(dialect: &CsvDialect, bytes: &[u8]) -> usize {
    let mark = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    mark + next_line(dialect, &bytes[mark..]).next
}
