//! The jobs of the workloads.

use kinglet::{
    ByteLines, Combiner, CsvFields, CsvRow, Emitter, Items, Job, JsonLines, Sink, UserResult, Values, Words,
};
use serde::{Deserialize, Serialize};

/// Counts words.
#[derive(Serialize, Deserialize)]
pub struct Count;

impl Job for Count {
    const NAME: &'static str = "count";
    type Input = Words;
    type Key = Vec<u8>;
    type Value = u64;
    type Output = (Vec<u8>, u64);

    fn map(&self, word: &[u8], out: &mut Emitter<'_, Vec<u8>, u64>) -> UserResult {
        out.emit(word, 1)
    }
    fn combiner(&self) -> Option<Combiner<u64>> {
        Some(Combiner::sum())
    }
    fn reduce(&self, word: Vec<u8>, counts: Values<'_, u64>, out: &mut Sink<'_, (Vec<u8>, u64)>) -> UserResult {
        out.push(&(word, counts.sum()))
    }
}

/// Counts the first words of the first fields of CSV.
#[derive(Serialize, Deserialize)]
pub struct CountFields;

impl Job for CountFields {
    const NAME: &'static str = "count-fields";
    type Input = CsvFields;
    type Key = Vec<u8>;
    type Value = u64;
    type Output = (Vec<u8>, u64);

    fn map(&self, row: CsvRow<'_>, out: &mut Emitter<'_, Vec<u8>, u64>) -> UserResult {
        let field = row.get(0).unwrap_or_default();
        let word = field.split(|byte| *byte == b'\n').next().unwrap_or_default();
        out.emit(word, 1)
    }
    fn combiner(&self) -> Option<Combiner<u64>> {
        Some(Combiner::sum())
    }
    fn reduce(&self, word: Vec<u8>, counts: Values<'_, u64>, out: &mut Sink<'_, (Vec<u8>, u64)>) -> UserResult {
        out.push(&(word, counts.sum()))
    }
}

/// Sorts lines within each partition.
#[derive(Serialize, Deserialize)]
pub struct Sort;

impl Job for Sort {
    const NAME: &'static str = "sort";
    type Input = ByteLines;
    type Key = Vec<u8>;
    type Value = ();
    type Output = (Vec<u8>, u64);

    fn map(&self, line: &[u8], out: &mut Emitter<'_, Vec<u8>, ()>) -> UserResult {
        out.emit(line, ())
    }
    fn reduce(&self, line: Vec<u8>, found: Values<'_, ()>, out: &mut Sink<'_, (Vec<u8>, u64)>) -> UserResult {
        out.push(&(line, found.count() as u64))
    }
}

/// Adds up numbers by their last two digits.
#[derive(Serialize, Deserialize)]
pub struct Sums;

impl Job for Sums {
    const NAME: &'static str = "sums";
    type Input = Items<u64>;
    type Key = u64;
    type Value = u64;
    type Output = (u64, u64);

    fn map(&self, n: u64, out: &mut Emitter<'_, u64, u64>) -> UserResult {
        out.emit(n % 100, n)
    }
    fn reduce(&self, key: u64, values: Values<'_, u64>, out: &mut Sink<'_, (u64, u64)>) -> UserResult {
        out.push(&(key, values.sum()))
    }
}

/// Counts map tasks for each partition: a task has a pair for each of them, or for one in so many.
#[derive(Serialize, Deserialize)]
pub struct Spread {
    /// How many partitions.
    pub partitions: u64,
    /// Task n has pairs for those with the same remainder as n.
    pub one_in: u64,
}

impl Job for Spread {
    const NAME: &'static str = "spread";
    // The number of a task, and bytes to read.
    type Input = Items<(u64, String)>;
    type Key = u64;
    type Value = u64;
    type Output = (u64, u64);

    fn map(&self, (n, _): (u64, String), out: &mut Emitter<'_, u64, u64>) -> UserResult {
        let own = (n % self.one_in..self.partitions).step_by(self.one_in as usize);
        own.into_iter().try_for_each(|partition| out.emit(partition, 1))
    }
    fn bounds(&self) -> Vec<u64> {
        (1..self.partitions).collect()
    }
    fn reduce(&self, partition: u64, tasks: Values<'_, u64>, out: &mut Sink<'_, (u64, u64)>) -> UserResult {
        out.push(&(partition, tasks.sum()))
    }
}

/// Adds up numbers by their last two digits, and gives the first of these beside each sum.
#[derive(Serialize, Deserialize)]
pub struct SumsByTens;

impl Job for SumsByTens {
    const NAME: &'static str = "sums-by-tens";
    type Input = Items<u64>;
    type Key = u64;
    type Value = u64;
    type Output = (u64, u64, u64);

    fn map(&self, n: u64, out: &mut Emitter<'_, u64, u64>) -> UserResult {
        out.emit(n % 100, n)
    }
    fn reduce(&self, key: u64, values: Values<'_, u64>, out: &mut Sink<'_, (u64, u64, u64)>) -> UserResult {
        out.push(&(key / 10, key, values.sum()))
    }
}

/// Adds up numbers that lie in lines, by their last two digits.
#[derive(Serialize, Deserialize)]
pub struct SumLines;

impl Job for SumLines {
    const NAME: &'static str = "sum-lines";
    type Input = JsonLines<u64>;
    type Key = u64;
    type Value = u64;
    type Output = (u64, u64);

    fn map(&self, n: u64, out: &mut Emitter<'_, u64, u64>) -> UserResult {
        out.emit(n % 100, n)
    }
    fn reduce(&self, key: u64, values: Values<'_, u64>, out: &mut Sink<'_, (u64, u64)>) -> UserResult {
        out.push(&(key, values.sum()))
    }
}

/// Counts words, and fails at one of them.
#[derive(Serialize, Deserialize)]
pub struct Fails {
    /// The word.
    pub at: String,
    /// Whether the failure is in `reduce`.
    pub in_reduce: bool,
}

impl Job for Fails {
    const NAME: &'static str = "fails";
    type Input = Words;
    type Key = Vec<u8>;
    type Value = u64;
    type Output = (Vec<u8>, u64);

    fn map(&self, word: &[u8], out: &mut Emitter<'_, Vec<u8>, u64>) -> UserResult {
        if !self.in_reduce && word == self.at.as_bytes() {
            return Err("this word is not wanted".into());
        }
        out.emit(word, 1)
    }
    fn reduce(&self, word: Vec<u8>, counts: Values<'_, u64>, out: &mut Sink<'_, (Vec<u8>, u64)>) -> UserResult {
        if self.in_reduce && word == self.at.as_bytes() {
            return Err("this word is not wanted".into());
        }
        out.push(&(word, counts.sum()))
    }
}
