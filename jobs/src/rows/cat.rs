//! Writes rows as they are, unpacked and checked: in the order of objects and offsets within a part, so that one part has them in
//! the order of the input's names. Heads of CSV are left out; rows of Parquet
//! are written as JSON lines.

use kinglet_core::{Emitter, Job, Located, LocatedRecord, RawRows, RowFormat, Sink, UserResult, Values};
use serde::{Deserialize, Serialize};

/// The job; see the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cat {
    /// The format of the rows.
    pub format: RowFormat,
}

impl Job for Cat {
    const NAME: &'static str = "cat";
    type Input = Located<RawRows>;
    type Key = (String, u64);
    type Value = Vec<u8>;
    type Output = Vec<u8>;

    fn input(&self) -> Located<RawRows> {
        Located(RawRows(self.format.clone()))
    }

    #[inline]
    fn map(&self, row: LocatedRecord<'_, &[u8]>, out: &mut Emitter<'_, (String, u64), Vec<u8>>) -> UserResult {
        out.emit((row.object.to_owned(), row.offset), row.record.to_owned())
    }

    fn reduce(&self, _: (String, u64), rows: Values<'_, Vec<u8>>, out: &mut Sink<'_, Vec<u8>>) -> UserResult {
        rows.into_iter().try_for_each(|row| out.push(&row))
    }
}
