//! Finds the rows in which a pattern is: `object<TAB>offset<TAB>row`, in the order of objects and offsets within a part. Of Parquet, rows are
//! searched and written as JSON, and an offset is the number of a row.

use super::Pattern;
use kinglet_core::{Emitter, Job, Located, LocatedRecord, RawRows, RowFormat, Sink, UserResult, Values};
use serde::{Deserialize, Serialize};

/// The job; see the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grep {
    /// The format of the rows.
    pub format: RowFormat,
    /// What a row must have in it, or must not.
    pub pattern: Pattern,
    /// Whether the rows are those without a match.
    pub invert: bool,
}

impl Job for Grep {
    const NAME: &'static str = "grep";
    type Input = Located<RawRows>;
    type Key = (String, u64);
    type Value = Vec<u8>;
    type Output = (String, u64, Vec<u8>);

    fn input(&self) -> Located<RawRows> {
        Located(RawRows(self.format.clone()))
    }

    #[inline]
    fn map(&self, row: LocatedRecord<'_, &[u8]>, out: &mut Emitter<'_, (String, u64), Vec<u8>>) -> UserResult {
        if self.pattern.is_match(row.record)? == self.invert {
            return Ok(());
        }
        out.emit((row.object.to_owned(), row.offset), row.record.to_owned())
    }

    fn reduce(
        &self,
        (object, offset): (String, u64),
        rows: Values<'_, Vec<u8>>,
        out: &mut Sink<'_, (String, u64, Vec<u8>)>,
    ) -> UserResult {
        rows.into_iter().try_for_each(|row| out.push(&(object.clone(), offset, row)))
    }
}
