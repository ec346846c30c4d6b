//! Counts rows: of each object or of all together, and all of them or those that match a pattern. An object without a row that
//! counts is not in the result by objects.

use super::Pattern;
use kinglet_core::{
    Batch, Batches, Combiner, Emitter, Growth, Job, RawRows, Row, RowFormat, RowValues, Selection, Sink, UserResult,
    Values, Workload,
};
use serde::{Deserialize, Serialize};

/// The job; see the module. The result is `object<TAB>count` by object, or one count.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CountRows {
    /// The format of the rows.
    pub format: RowFormat,
    /// Whether the rows of each object are counted by themselves.
    pub by_object: bool,
    /// What a row must have in it to be counted.
    pub pattern: Option<Pattern>,
}

/// A row of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// The rows of an object.
    Of(String, u64),
    /// The rows of all objects.
    Together(u64),
}

impl Row for Counted {
    fn write_fields(&self, out: &mut Vec<u8>) {
        match self {
            Counted::Of(object, count) => {
                object.write_fields(out);
                out.push(b'\t');
                count.write_fields(out);
            }
            Counted::Together(count) => count.write_fields(out),
        }
    }

    fn values(&self) -> kinglet_core::Result<RowValues<'_>> {
        Ok(match self {
            Counted::Of(object, count) => RowValues::Listed(vec![object.as_str().into(), (*count).into()]),
            Counted::Together(count) => RowValues::One((*count).into()),
        })
    }
}

impl Job for CountRows {
    const NAME: &'static str = "count";
    type Input = Batches<RawRows>;
    type Key = String;
    type Value = u64;
    type Output = Counted;

    fn input(&self) -> Batches<RawRows> {
        Batches(RawRows(match (&self.format, &self.pattern) {
            // Rows are counted by the footer or the blocks' heads, and columns read only to compare them.
            (format, None) => {
                let mut format = format.clone();
                if let Some(selection) = format.in_columns_mut() {
                    *selection = Selection { only: std::mem::take(&mut selection.only), ..Selection::no_columns() };
                }
                format
            }
            (format, Some(_)) => format.clone(),
        }))
    }

    fn map(&self, batch: Batch<'_, RawRows>, out: &mut Emitter<'_, String, u64>) -> UserResult {
        let mut count = 0;
        batch.for_each(|row| {
            count += match &self.pattern {
                Some(pattern) => u64::from(pattern.is_match(row)?),
                None => 1,
            };
            Ok(())
        })?;
        match count {
            0 => Ok(()),
            count => out.emit(if self.by_object { batch.extent().object } else { "" }, count),
        }
    }

    fn combiner(&self) -> Option<Combiner<u64>> {
        Some(Combiner::sum())
    }

    fn workload(&self) -> Workload {
        Workload {
            runs: Growth { bytes_at_gb: 1e3, exponent: 0.5 },
            output: Growth { bytes_at_gb: 1e3, exponent: 0.5 },
            ..Workload::default()
        }
    }

    fn reduce(&self, object: String, counts: Values<'_, u64>, out: &mut Sink<'_, Counted>) -> UserResult {
        let count: u64 = counts.sum();
        out.push(&if self.by_object { Counted::Of(object, count) } else { Counted::Together(count) })
    }

    fn reduce_nothing(&self, out: &mut Sink<'_, Counted>) -> UserResult {
        // Of all together there is one partition, and always a count.
        if self.by_object { Ok(()) } else { out.push(&Counted::Together(0)) }
    }
}
