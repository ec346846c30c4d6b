//! The first rows of a sort, in one part.
//!
//! A map task emits the best rows of each batch under one key, and of those that it has seen before knows the keys of the best, so that
//! of most batches there is none. The one reduce task keeps the best of all.

use super::ordered::{Ordered, OrderedRow, row_of};
use kinglet_core::{
    Batch, Batches, Code, Emitter, Error, Growth, Job, Located, Result, Rows, Sink, UserResult, Values, Workload,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::{Mutex, PoisonError};

/// The most rows that are kept.
pub const TOP_ROWS_MAX: u32 = 1_000_000;

/// How many bytes they may have (256 MiB).
pub const TOP_BYTES_MAX: usize = 256 << 20;

/// How many bytes of keys a map task remembers (64 MiB). Of more it emits some rows in vain.
const SEEN_BYTES_MAX: usize = 64 << 20;

/// The job; see the module. It is for one partition.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Top {
    rows: Ordered,
    most: u32,
    #[serde(skip)]
    seen: Mutex<Seen>,
}

/// The keys of the best rows that this process has seen, each once.
#[derive(Debug, Default)]
struct Seen {
    keys: BTreeSet<Vec<u8>>,
    bytes: usize,
}

impl Top {
    /// Takes the first `most` of these rows.
    ///
    /// # Errors
    /// Returns `top-rows` for more than [`TOP_ROWS_MAX`].
    pub fn new(rows: Ordered, most: u32) -> Result<Self> {
        Self::check(most).map(|()| Top { rows, most, seen: Mutex::default() })
    }

    /// Checks that so many rows can be kept.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn check(most: u32) -> Result<()> {
        if most <= TOP_ROWS_MAX {
            return Ok(());
        }
        Err(Error::new(Code::TopRows, format!("{most} rows are to be kept; the most is {TOP_ROWS_MAX}"))
            .with_hint("sort all rows with `kinglet run sort`"))
    }

    /// Returns a key that all rows behind it may be left out, if there is one.
    fn last(&self) -> Option<Vec<u8>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.keys.last().filter(|_| seen.keys.len() >= self.most as usize).cloned()
    }

    fn saw<'a>(&self, rows: impl IntoIterator<Item = &'a Vec<u8>>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let key = row_of(row).map_or(&row[..], |range| &row[..range.start]);
            if seen.bytes + key.len() > SEEN_BYTES_MAX && seen.keys.len() < self.most as usize {
                return;
            }
            if seen.keys.insert(key.to_vec()) {
                seen.bytes += key.len();
            }
            while seen.keys.len() > self.most as usize {
                let gone = seen.keys.pop_last();
                seen.bytes -= gone.map_or(0, |key| key.len());
            }
        }
    }
}

/// The best rows so far.
struct Best {
    most: usize,
    bytes: usize,
    rows: BinaryHeap<Vec<u8>>,
}

impl Best {
    fn new(most: u32) -> Self {
        Best { most: most as usize, bytes: 0, rows: BinaryHeap::new() }
    }

    /// Returns whether a row that begins so is among the best.
    fn takes(&self, key: &[u8]) -> bool {
        self.rows.len() < self.most || self.rows.peek().is_some_and(|last| key < &last[..])
    }

    fn push(&mut self, row: Vec<u8>) -> Result<()> {
        self.bytes += row.len();
        self.rows.push(row);
        if self.rows.len() > self.most {
            self.bytes -= self.rows.pop().map_or(0, |row| row.len());
        }
        if self.bytes <= TOP_BYTES_MAX {
            return Ok(());
        }
        let message = format!("the first {} rows have more than {TOP_BYTES_MAX} bytes together", self.most);
        Err(Error::new(Code::TopRows, message).with_hint("ask for fewer, or for fewer columns (--columns)"))
    }
}

impl Job for Top {
    const NAME: &'static str = "top";
    type Input = Batches<Located<Rows>>;
    type Key = ();
    type Value = Vec<u8>;
    type Output = OrderedRow;

    fn input(&self) -> Self::Input {
        self.rows.input()
    }

    fn map(&self, batch: Batch<'_, Located<Rows>>, out: &mut Emitter<'_, (), Vec<u8>>) -> UserResult {
        let (mut best, last) = (Best::new(self.most), self.last());
        self.rows.for_each(&batch, |row| {
            let is_behind = last.as_ref().is_some_and(|last| row.key[..] > last[..]);
            if is_behind || !best.takes(row.key) {
                return Ok(());
            }
            Ok(best.push(row.pack(&self.rows)?.clone())?)
        })?;
        self.saw(&best.rows);
        best.rows.into_iter().try_for_each(|row| out.emit((), row))
    }

    fn workload(&self) -> Workload {
        let some = Growth { bytes_at_gb: 1e6, exponent: 0.5 };
        Workload { runs: some, output: some, ..Workload::default() }
    }

    fn reduce(&self, (): (), rows: Values<'_, Vec<u8>>, out: &mut Sink<'_, OrderedRow>) -> UserResult {
        let mut best = Best::new(self.most);
        for row in rows {
            if best.takes(&row) {
                best.push(row)?;
            }
        }
        best.rows.into_sorted_vec().into_iter().try_for_each(|row| out.push(&self.rows.row(row, None)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{By, Sort};
    use kinglet_core::{CsvDialect, RowFormat, check_job};

    fn rows(by: &str) -> Ordered {
        Ordered::new(RowFormat::Csv(CsvDialect::new()), By::parse_all(by).unwrap()).unwrap()
    }

    #[test]
    fn the_first_rows_are_those_of_the_sort_whatever_their_order() {
        let shuffled: String = (0..500u32).map(|n| format!("{},{}\n", n * 7919 % 500, n * 31 % 7)).collect();
        let csv = format!("a,b\n{shuffled}");
        for by in ["a", "a desc", "b, a desc", "b desc"] {
            let sorted = check_job(&Sort::new(rows(by)), csv.as_bytes(), &[1]).unwrap();
            for most in [0, 1, 2, 100, 500, 501] {
                let top = check_job(&Top::new(rows(by), most).unwrap(), csv.as_bytes(), &[1]).unwrap();
                let want: String = sorted.split_inclusive('\n').take(most as usize).collect();
                assert_eq!(top, want, "{most} by {by}");
            }
        }
        assert!(Top::new(rows("a"), TOP_ROWS_MAX + 1).unwrap_err().is(Code::TopRows));
    }

    #[test]
    fn of_sorted_input_hardly_anything_is_emitted_behind_the_first_rows() {
        let top = Top::new(rows("a"), 10).unwrap();
        assert_eq!(top.last(), None);
        top.saw(&(0..100u8).map(|n| vec![n, 0]).collect::<Vec<_>>());
        top.saw(&[vec![3, 0]]);
        assert_eq!((top.last(), top.seen.lock().unwrap().bytes), (Some(vec![9]), 10));
    }
}
