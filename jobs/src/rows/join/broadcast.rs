//! A join one of whose sides is so small that it goes to every function, as a parameter of the job: the rows of the other side meet it as
//! they are read, and no row waits for another.
//!
//! The rows of the result travel in blocks, as those do that are converted, so hardly anything is sorted, and no key makes one reduce task
//! larger than the others.

use super::side::SideOf;
use super::{JoinRows, PackedValues, RowKey};
use kinglet_core::{
    Batch, Batches, BlockRow, Code, Emitter, Error, Growth, How, Job, JoinKey, Picked, Result, RowBlock, Side, SideRow,
    Sink, UserResult, Values, Workload, encode_params,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::OnceLock;

/// About how many bytes of rows make one pair.
const BLOCK_BYTES: usize = 256 << 10;

/// The job; see the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BroadcastJoin {
    join: JoinRows,
    /// The side that goes to every function.
    side: Side,
    /// Its rows.
    rows: Vec<(RowKey, PackedValues)>,
    #[serde(skip)]
    table: OnceLock<HashMap<RowKey, Vec<usize>>>,
}

/// A pair of the merged join: what of a small side is mapped beforehand.
pub type JoinPair = (JoinKey<RowKey>, SideRow<PackedValues, PackedValues>);

impl BroadcastJoin {
    /// How many bytes a side has at most, as it is stored, that goes to every function unless somebody says otherwise (1 MiB).
    pub const STORED_BYTES_MAX: u64 = 1 << 20;

    /// How many bytes the rows of such a side have at most in the job's parameters, which every function fetches (16 MiB).
    pub const TABLE_BYTES_MAX: usize = 16 << 20;

    /// Returns whether a side may go to every function: not if its own rows are written for want of a match, which no function would
    /// know.
    pub fn can(how: How, side: Side) -> bool {
        match side {
            Side::Left => !how.writes_alone(Side::Left) && !how.is_of_left_alone(),
            Side::Right => !how.writes_alone(Side::Right),
        }
    }

    /// Makes the job that joins the other side with these rows. They are pairs that [`kinglet_core::Joined`] of the join makes of the side.
    ///
    /// # Errors
    /// Returns `broadcast` when the side cannot go to every function, or its rows have too many bytes.
    pub fn new(join: JoinRows, side: Side, pairs: Vec<JoinPair>) -> Result<Self> {
        if !Self::can(join.how, side) {
            let message = format!("in a {} join, rows of the {side} side are written without a match", join.how);
            return Err(Error::new(Code::Broadcast, message).with_hint("leave --broadcast out"));
        }
        let row = |(key, row)| match (key, row) {
            (JoinKey::Keyed(key, _) | JoinKey::Placed(key, ..), SideRow::Left(row) | SideRow::Right(row)) => {
                Some((key, row))
            }
            (JoinKey::Keyed(key, _) | JoinKey::Placed(key, ..), SideRow::Seen) => Some((key, PackedValues(Vec::new()))),
            (JoinKey::Alone(..), _) => None,
        };
        let mut rows: Vec<(RowKey, PackedValues)> = pairs.into_iter().filter_map(row).collect();
        if join.how.is_of_left_alone() {
            rows.dedup_by(|(a, _), (b, _)| a == b);
        }
        let job = BroadcastJoin { join, side, rows, table: OnceLock::new() };
        let bytes = encode_params(&job)?.len();
        if bytes > Self::TABLE_BYTES_MAX {
            let message = format!(
                "the rows of the {side} side have {bytes} bytes, and {} at most go to every function",
                Self::TABLE_BYTES_MAX
            );
            return Err(
                Error::new(Code::Broadcast, message).with_hint("leave --broadcast out, and both sides are merged")
            );
        }
        Ok(job)
    }

    fn big(&self) -> &SideOf {
        match self.side {
            Side::Left => &self.join.right,
            Side::Right => &self.join.left,
        }
    }

    fn table(&self) -> &HashMap<RowKey, Vec<usize>> {
        self.table.get_or_init(|| {
            let mut table: HashMap<RowKey, Vec<usize>> = HashMap::new();
            for (at, (key, _)) in self.rows.iter().enumerate() {
                table.entry(key.clone()).or_default().push(at);
            }
            table
        })
    }
}

impl Job for BroadcastJoin {
    const NAME: &'static str = "join-broadcast";
    type Input = Batches<Picked>;
    type Key = (String, u64);
    type Value = RowBlock;
    type Output = BlockRow;

    fn input(&self) -> Batches<Picked> {
        self.big().input()
    }

    fn map(&self, batch: Batch<'_, Picked>, out: &mut Emitter<'_, (String, u64), RowBlock>) -> UserResult {
        let (join, table, how) = (&self.join, self.table(), self.join.how);
        let extent = batch.extent();
        let (mut block, mut blocks) = (RowBlock::default(), 0);
        self.big().for_each(&batch, |key, row| {
            let found = key.and_then(|key| table.get(key)).map_or(&[][..], |found| &found[..]);
            let with = |small: Option<&PackedValues>, block: &mut RowBlock| {
                let (left, right) = match self.side {
                    Side::Right => (Some(&row), small),
                    Side::Left => (small, Some(&row)),
                };
                block.push(&join.fields(left, right)?)
            };
            match how {
                How::Semi if !found.is_empty() => with(None, &mut block)?,
                How::Semi => {}
                How::Anti if found.is_empty() => with(None, &mut block)?,
                How::Anti => {}
                _ if found.is_empty() && how.writes_alone(self.side.other()) => with(None, &mut block)?,
                _ => {}
            }
            if how.is_of_left_alone() {
                return self.emit_full(&mut block, &mut blocks, (extent.object, extent.offset), out);
            }
            for at in found {
                with(Some(&self.rows[*at].1), &mut block)?;
                self.emit_full(&mut block, &mut blocks, (extent.object, extent.offset), out)?;
            }
            Ok(())
        })?;
        if block.is_empty() { Ok(()) } else { out.emit((extent.object.to_owned(), extent.offset + blocks), block) }
    }

    fn workload(&self) -> Workload {
        let all = Growth { bytes_at_gb: 1e9, exponent: 1.0 };
        Workload { runs: all, output: all, ..Workload::default() }
    }

    fn reduce(&self, _: (String, u64), blocks: Values<'_, RowBlock>, out: &mut Sink<'_, BlockRow>) -> UserResult {
        for block in blocks {
            for row in block.into_rows() {
                out.push(&row?)?;
            }
        }
        Ok(())
    }
}

impl BroadcastJoin {
    /// Emits a block that is full, under a key that is about where it comes from: blocks of one key are no mistake.
    fn emit_full(
        &self,
        block: &mut RowBlock,
        blocks: &mut u64,
        (object, offset): (&str, u64),
        out: &mut Emitter<'_, (String, u64), RowBlock>,
    ) -> UserResult {
        if block.len() < BLOCK_BYTES {
            return Ok(());
        }
        *blocks += 1;
        out.emit((object.to_owned(), offset + *blocks - 1), std::mem::take(block))
    }
}
