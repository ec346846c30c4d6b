//! Joins the rows of two inputs by the values of some columns.
//!
//! The values are the key of a row ([`kinglet_core::encode_key`]), so they are compared as sorted rows are: 1 and 1.0 are equal whatever
//! they are written as, text is compared byte by byte, and values of two classes are never equal. A row without one of these values
//! matches none. What else travels is the values of the columns that the result has, without their names.
//!
//! A row on its way:
//!
//! ```text
//! 0  1:u8        the side's one list of names, as a `PackedRow` says it
//! 1  values      of the side's columns of the result, in their order
//! ```

mod broadcast;
mod joining;
mod on;
mod result;
mod side;
#[cfg(test)]
mod tests;

pub use broadcast::{BroadcastJoin, JoinPair};
pub use joining::{JoinSide, Joining};
pub use on::On;
pub use side::{PackedValues, RowKey};

use kinglet_core::{
    Batch, Batches, Datum, How, Join, LeftRows, Matched, Named, PackedRow, Picked, Result, RightRows, Side, Sink,
    UserResult,
};
use result::ResultColumn;
use serde::{Deserialize, Serialize};
use side::SideOf;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

/// How many keys of a batch are remembered of which only the first row travels.
const SEEN_MAX: usize = 1 << 16;

/// The job of two inputs; [`kinglet_core::Joined`] of it is registered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct JoinRows {
    how: How,
    kept: Side,
    left: SideOf,
    right: SideOf,
    columns: Vec<ResultColumn>,
    /// Whether text of fields is written as what it looks like.
    guessed_out: bool,
    /// Keys that have much of the side that is not kept, in order, and which part of it.
    heavy: Vec<(RowKey, f64)>,
    #[serde(skip)]
    shape: OnceLock<Arc<Shape>>,
}

/// Where the values of the result lie in rows of both sides.
#[derive(Debug)]
struct Shape {
    left: [Vec<String>; 1],
    right: [Vec<String>; 1],
    /// By column of the result, the place in a row of each side.
    places: Vec<[Option<usize>; 2]>,
    /// The names of the result's columns.
    names: Arc<[Vec<String>]>,
}

impl JoinRows {
    /// How large a side is, in bytes, that is sampled for keys with much of it (1 MiB): of less, one reduce task can have all.
    pub const SAMPLED_BYTES_MIN: u64 = 1 << 20;

    /// How much of a side such a key has at least, in percent.
    pub const HEAVY_PERCENT: u32 = 1;

    /// Keeps the rows of this side while those of the other go by: the side that has fewer.
    #[must_use]
    pub fn with_kept(self, kept: Side) -> Self {
        JoinRows { kept, ..self }
    }

    /// Spreads rows of these keys over several reduce tasks: keys that have much of the side that is not kept, each with the part of it
    /// that it has. See [`Join::share`].
    #[must_use]
    pub fn with_heavy(self, heavy: impl IntoIterator<Item = (RowKey, f64)>) -> Self {
        let mut heavy: Vec<(RowKey, f64)> = heavy.into_iter().collect();
        heavy.sort_by(|(a, _), (b, _)| a.cmp(b));
        JoinRows { heavy, ..self }
    }

    /// Returns the side whose rows may be spread: the one that is not kept; `None` if none may be.
    pub fn spreads(&self) -> Option<Side> {
        let kept = if self.how.is_of_left_alone() { Side::Right } else { self.kept };
        (!self.how.writes_alone(kept)).then(|| kept.other())
    }

    /// Writes fields of CSV as what they look like, for a result that tells numbers from text, as JSON does.
    #[must_use]
    pub fn with_values(self) -> Self {
        JoinRows { guessed_out: true, ..self }
    }

    /// Returns the names of the result's columns.
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| &column.name[..]).collect()
    }

    fn shape(&self) -> &Shape {
        self.shape.get_or_init(|| {
            let place = |columns: &[String], name: &Option<String>| {
                let name = name.as_ref()?;
                columns.iter().position(|column| column == name)
            };
            let places = |column: &ResultColumn| {
                [place(&self.left.columns, &column.left), place(&self.right.columns, &column.right)]
            };
            Arc::new(Shape {
                left: [self.left.columns.clone()],
                right: [self.right.columns.clone()],
                places: self.columns.iter().map(places).collect(),
                names: Arc::new([self.columns.iter().map(|column| column.name.clone()).collect()]),
            })
        })
    }

    /// Returns a row of the result, of rows of both sides or of one.
    fn fields<'r>(&'r self, left: Option<&'r PackedValues>, right: Option<&'r PackedValues>) -> Result<Vec<Named<'r>>> {
        let shape = self.shape();
        let left = left.map(|row| PackedRow::unpack(&row.0, &shape.left)).transpose()?;
        let right = right.map(|row| PackedRow::unpack(&row.0, &shape.right)).transpose()?;
        let mut fields: Vec<Named<'_>> = Vec::with_capacity(self.columns.len());
        for (column, [of_left, of_right]) in self.columns.iter().zip(&shape.places) {
            let found = match (&left, of_left, &right, of_right) {
                (Some(left), Some(at), _, _) => left.get(*at).map(|field| self.written(&self.left, &field.value)),
                (_, _, Some(right), Some(at)) => right.get(*at).map(|field| self.written(&self.right, &field.value)),
                _ => None,
            };
            fields.push(Named { name: Cow::Borrowed(&column.name[..]), value: found.unwrap_or(Datum::Null) });
        }
        Ok(fields)
    }

    /// Returns a value as it is written.
    fn written<'a>(&self, side: &SideOf, value: &Datum<'a>) -> Datum<'a> {
        match value {
            Datum::Text(text) if self.guessed_out && side.guessed => {
                Datum::of_field(text.clone().into_owned().into_bytes().into())
            }
            other => other.clone(),
        }
    }
}

impl Join for JoinRows {
    const NAME: &'static str = "join";
    type LeftInput = Batches<Picked>;
    type RightInput = Batches<Picked>;
    type Key = RowKey;
    type Left = PackedValues;
    type Right = PackedValues;
    type Output = PackedRow;

    fn how(&self) -> How {
        self.how
    }

    fn kept(&self) -> Side {
        self.kept
    }

    fn share(&self, key: &RowKey) -> Option<f64> {
        let at = self.heavy.binary_search_by(|(heavy, _)| heavy.cmp(key)).ok()?;
        Some(self.heavy[at].1)
    }

    fn left_input(&self) -> Batches<Picked> {
        self.left.input()
    }

    fn right_input(&self) -> Batches<Picked> {
        self.right.input()
    }

    fn map_left(&self, batch: Batch<'_, Picked>, out: &mut LeftRows<'_, '_, Self>) -> UserResult {
        self.left.for_each(&batch, |key, row| match key {
            Some(key) => out.emit(key, row),
            None => out.emit_alone(row),
        })
    }

    fn map_right(&self, batch: Batch<'_, Picked>, out: &mut RightRows<'_, '_, Self>) -> UserResult {
        // Where only the key matters, one row of each is enough.
        let once = self.how.is_of_left_alone();
        let mut seen: HashSet<RowKey> = HashSet::new();
        self.right.for_each(&batch, |key, row| match key {
            Some(key) if once => {
                if seen.contains(key) {
                    return Ok(());
                }
                if seen.len() < SEEN_MAX {
                    seen.insert(key.clone());
                }
                out.emit(key, row)
            }
            Some(key) => out.emit(key, row),
            None => out.emit_alone(row),
        })
    }

    fn join(
        &self,
        _: Option<&RowKey>,
        rows: Matched<'_, PackedValues, PackedValues>,
        out: &mut Sink<'_, PackedRow>,
    ) -> UserResult {
        let (shape, fields) = (self.shape(), self.fields(rows.left(), rows.right())?);
        let mut bytes = Vec::new();
        PackedRow::pack(&fields, &shape.names, &mut bytes);
        let whole = 0..bytes.len();
        out.push(&PackedRow::new(bytes, whole, shape.names.clone()))
    }
}
