//! Writes rows in another format: each row's values by the names of its columns, in the order of objects and offsets within a part.
//!
//! Rows travel in blocks of some hundred kilobytes, so hardly anything is sorted, and names travel once for all rows of a block.

use kinglet_core::{
    Batch, Batches, BlockRow, Emitter, Job, Located, RowBlock, RowFormat, Rows, Sink, UserResult, Values,
};
use serde::{Deserialize, Serialize};

/// About how many bytes of rows make one pair.
const BLOCK_BYTES: usize = 256 << 10;

/// The job; see the module. What the rows are written as is the output's format.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Convert {
    /// The format of the rows that are read.
    pub format: RowFormat,
}

impl Job for Convert {
    const NAME: &'static str = "convert";
    type Input = Batches<Located<Rows>>;
    type Key = (String, u64);
    type Value = RowBlock;
    type Output = BlockRow;

    fn input(&self) -> Self::Input {
        Batches(Located(Rows(self.format.clone())))
    }

    fn map(&self, batch: Batch<'_, Located<Rows>>, out: &mut Emitter<'_, (String, u64), RowBlock>) -> UserResult {
        let object = batch.extent().object;
        let (mut block, mut start) = (RowBlock::default(), 0);
        batch.for_each(|row| {
            if block.is_empty() {
                start = row.offset;
            }
            block.push(&row.record.fields)?;
            if block.len() < BLOCK_BYTES {
                return Ok(());
            }
            out.emit((object.to_owned(), start), std::mem::take(&mut block))
        })?;
        if block.is_empty() { Ok(()) } else { out.emit((object.to_owned(), start), block) }
    }

    fn reduce(&self, _: (String, u64), blocks: Values<'_, RowBlock>, out: &mut Sink<'_, BlockRow>) -> UserResult {
        blocks.flat_map(RowBlock::into_rows).try_for_each(|row| out.push(&row?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::{CsvDialect, check_job};

    #[test]
    fn rows_are_the_same_however_they_are_cut() {
        let csv: String = (0..40).map(|n| format!("{n},\"a\n{n}\",{}\n", f64::from(n) / 8.0)).collect();
        let job = Convert { format: RowFormat::Csv(CsvDialect::new()) };
        let text = check_job(&job, format!("id,text,share\n{csv}").as_bytes(), &[1]).unwrap();
        assert!(text.starts_with("0\ta\n0\t0\n1\ta\n1\t0.125\n"), "{text}");
        let job = Convert { format: RowFormat::JsonLines };
        let text = check_job(&job, b"{\"a\": 1}\n{\"b\": [true, {\"c\": null}]}\n7\n", &[1]).unwrap();
        assert_eq!(text, "1\n[true,{\"c\":null}]\n7\n");
    }
}
