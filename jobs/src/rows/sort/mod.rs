//! Sorts rows: all of them, in parts that are in order end to end.
//!
//! The keys of pairs are the rows themselves ([`super::ordered`] draws them): they begin with the values of the columns that are sorted
//! by, and then the place where the row lies. So the sort is stable, and no two keys are equal, and rows that all have one value are
//! spread over several parts without leaving their order. Of each value only the first row is kept if that is wanted; the keys are then
//! the values alone, and combiners leave the other rows behind.
//!
//! Where parts end, a sample of the input says, which the driver takes beforehand. There are many more bounds than parts, as nobody
//! knows at that time how many parts there will be. The result, end to end, does not depend on the sample, nor on splits, the number of
//! parts, the order of arrival or retries.

#[cfg(test)]
mod tests;

use super::ordered::{Ordered, OrderedRow, row_of};
use kinglet_core::{
    Batch, Batches, Combiner, Emitter, Growth, Job, Located, Result, Rows, Sink, UserResult, Values, Workload,
};
use serde::{Deserialize, Serialize};

/// How many bytes all bounds together have at most (256 KiB): they travel to every map task.
const BOUNDS_BYTES_MAX: usize = 256 << 10;

/// The job; see the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sort {
    rows: Ordered,
    unique: bool,
    bounds: Vec<Vec<u8>>,
}

impl Sort {
    /// Sorts these rows.
    pub fn new(rows: Ordered) -> Self {
        Sort { rows, ..Sort::default() }
    }

    /// Keeps the first row of those that have the same values in the columns that rows are sorted by: the first in the order of the
    /// input.
    #[must_use]
    pub fn unique(self) -> Self {
        Sort { unique: true, ..self }
    }

    /// Returns the job for a sample of its keys.
    #[must_use]
    pub fn keys_alone(&self) -> Self {
        Sort { rows: self.rows.keys_alone(), ..self.clone() }
    }

    /// Says which names rows have; see [`Ordered::with_names`].
    #[must_use]
    pub fn with_names(self, names: impl IntoIterator<Item = Vec<String>>) -> Self {
        Sort { rows: self.rows.with_names(names), ..self }
    }

    /// Ends parts at some of these keys of the job, which are in ascending order. As little of each is kept as tells it from the one
    /// before; if they have more than 256 KiB all the same, every other one is left out.
    #[must_use]
    pub fn with_bounds(self, keys: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut bounds: Vec<Vec<u8>> = Vec::new();
        let mut before: Option<Vec<u8>> = None;
        for mut key in keys {
            if let Some(row) = row_of(&key).filter(|_| !self.unique) {
                key.truncate(row.start);
            }
            let kept = match &before {
                Some(before) if *before >= key => continue,
                Some(before) => before.iter().zip(&key).take_while(|(a, b)| a == b).count() + 1,
                None => key.len(),
            };
            bounds.push(key[..kept].to_vec());
            before = Some(key);
        }
        while bounds.iter().map(Vec::len).sum::<usize>() > BOUNDS_BYTES_MAX {
            let mut at = 0;
            bounds.retain(|_| {
                at += 1;
                at % 2 == 0
            });
        }
        Sort { bounds, ..self }
    }

    /// Returns the names of the columns of a pair's row.
    ///
    /// # Errors
    /// Returns `key-decode` when it is no pair of the job.
    pub fn names_of(&self, key: &[u8], value: &[u8]) -> Result<Vec<String>> {
        self.rows.names_of(if self.unique { value } else { key })
    }
}

impl Job for Sort {
    const NAME: &'static str = "sort";
    type Input = Batches<Located<Rows>>;
    type Key = Vec<u8>;
    type Value = Vec<u8>;
    type Output = OrderedRow;

    fn input(&self) -> Self::Input {
        self.rows.input()
    }

    fn map(&self, batch: Batch<'_, Located<Rows>>, out: &mut Emitter<'_, Vec<u8>, Vec<u8>>) -> UserResult {
        self.rows.for_each(&batch, |row| {
            if self.unique {
                let values = row.key[..row.values].to_vec();
                row.key.drain(..row.values);
                return out.emit(values, row.pack(&self.rows)?.clone());
            }
            out.emit(&row.pack(&self.rows)?[..], Vec::new())
        })
    }

    fn combiner(&self) -> Option<Combiner<Vec<u8>>> {
        // The place of a row stands first.
        self.unique.then(Combiner::min)
    }

    fn bounds(&self) -> Vec<Vec<u8>> {
        // Without any, keys would be spread by their hashes. Behind this one are rows without a first value.
        if self.bounds.is_empty() { vec![vec![255]] } else { self.bounds.clone() }
    }

    fn workload(&self) -> Workload {
        let all = Growth { bytes_at_gb: 1e9, exponent: 1.0 };
        Workload { runs: all, output: all, ..Workload::default() }
    }

    fn reduce(&self, key: Vec<u8>, values: Values<'_, Vec<u8>>, out: &mut Sink<'_, OrderedRow>) -> UserResult {
        if !self.unique {
            return out.push(&self.rows.row(key, None)?);
        }
        match values.min() {
            Some(first) => out.push(&self.rows.row(first, Some(&key))?),
            None => Ok(()),
        }
    }
}
