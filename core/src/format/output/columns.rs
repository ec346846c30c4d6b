//! The columns of a part, which all of its records have: those that the format names, or else those of the first record.
//!
//! | a record has | the format names columns | the first record says them |
//! |---|---|---|
//! | the same names in another order | each value goes where its name stands | the same |
//! | a name fewer | that value is null | an error |
//! | a name more | an error | an error |
//! | values without names | they are the columns in order, as many as there are | the same |

use crate::error::{Code, Error, Result};
use crate::format::{Datum, Named, RowValues};
use crate::output::shown;
use std::collections::HashMap;

/// The columns of a part; see the module.
pub(super) struct Columns {
    /// Their names, once they are known. Those of values without names are `1`, `2`, ….
    names: Option<Vec<String>>,
    /// Whether the format names them.
    given: bool,
    /// Whether they have names at all.
    named: bool,
    /// Where each name stands; made when a record has another order.
    places: HashMap<String, usize>,
}

/// A record's values in the order of the columns.
pub(super) enum Placed<'r, 'd> {
    /// As they are.
    InOrder(&'r [Datum<'d>]),
    /// As they are, with names.
    Named(&'r [Named<'d>]),
    /// Put in order; `None` is null.
    Moved(Vec<Option<&'r Datum<'d>>>),
}

impl<'r, 'd> Placed<'r, 'd> {
    /// Calls `each` with every value and its position.
    pub(super) fn for_each(&self, mut each: impl FnMut(usize, &Datum<'_>) -> Result<()>) -> Result<()> {
        match self {
            Placed::InOrder(values) => values.iter().enumerate().try_for_each(|(at, value)| each(at, value)),
            Placed::Named(fields) => fields.iter().enumerate().try_for_each(|(at, field)| each(at, &field.value)),
            Placed::Moved(values) => {
                values.iter().enumerate().try_for_each(|(at, value)| each(at, value.unwrap_or(&Datum::Null)))
            }
        }
    }
}

impl Columns {
    /// Makes the columns that a format names; none, if the first record is to say them.
    pub(super) fn new(names: &[String]) -> Self {
        let given = !names.is_empty();
        Columns { names: given.then(|| names.to_vec()), given, named: given, places: HashMap::new() }
    }

    /// Returns their names, if they are known.
    pub(super) fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// Returns whether a format names them.
    pub(super) fn are_given(&self) -> bool {
        self.given
    }

    /// Puts a record's values in the order of the columns.
    pub(super) fn place<'r, 'd>(&mut self, record: &'r RowValues<'d>) -> Result<Placed<'r, 'd>> {
        let listed = match record {
            RowValues::Named(fields) => return self.place_named(fields),
            RowValues::One(value) => std::slice::from_ref(value),
            RowValues::Listed(values) => values,
        };
        let names = self.names.get_or_insert_with(|| (1..=listed.len()).map(|n| n.to_string()).collect());
        if names.len() != listed.len() || (self.named && !self.given) {
            let what = if self.given { "the output has" } else { "the first of the part has" };
            let message =
                format!("a record has {} values without names, and {what} the columns {}", listed.len(), shown(names));
            return Err(Error::new(Code::OutputColumns, message)
                .with_hint("write records of one kind, with as many values each"));
        }
        Ok(Placed::InOrder(listed))
    }

    fn place_named<'r, 'd>(&mut self, fields: &'r [Named<'d>]) -> Result<Placed<'r, 'd>> {
        if self.names.is_none() {
            self.names = Some(fields.iter().map(|field| field.name.clone().into_owned()).collect());
            self.named = true;
        }
        let names = self.names.as_deref().unwrap_or_default();
        if self.named
            && names.len() == fields.len()
            && names.iter().zip(fields).all(|(name, field)| *name == field.name)
        {
            return Ok(Placed::Named(fields));
        }
        if self.places.is_empty() {
            self.places = names.iter().cloned().zip(0..).collect();
        }
        let mut moved = vec![None; names.len()];
        for field in fields {
            let place = self.places.get(&*field.name).filter(|_| self.named).and_then(|at| moved.get_mut(*at));
            *place.ok_or_else(|| self.unexpected(fields))? = Some(&field.value);
        }
        if !self.given && moved.contains(&None) {
            return Err(self.unexpected(fields));
        }
        Ok(Placed::Moved(moved))
    }

    fn unexpected(&self, fields: &[Named<'_>]) -> Error {
        let names = self.names.as_deref().unwrap_or_default();
        let what = if self.given { "the output has" } else { "the first of its part has" };
        let message =
            format!("a record has the columns {}, and {what} {}", shown(fields.iter().map(|f| &f.name)), shown(names));
        Error::new(Code::OutputColumns, message).with_hint(
            "name all columns that records may have: --columns A,B,… (`OutputFormat::with_columns`); one that a record lacks is null",
        )
    }
}
