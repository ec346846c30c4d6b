//! The index of a job's runs by partition, in the work bucket: written by whoever takes the job to reducing, read by its
//! reducers. [`kinglet_core::wire::index`] has its layout, [`kinglet_core::cost::Barrier`] says which jobs have one, and
//! `conduct/reduce.rs` who writes it.
//!
//! Whoever begins to write one does so under a number that the ledger gives to nobody else, and the ledger says which counts. So
//! all that can be there is known by the numbers, and nothing is searched.

use super::RunStore;
use crate::conductor::Conductor;
use crate::ledger::{Committed, GroupRuns};
use crate::upload::Upload;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::ids::{JobId, Partition};
use kinglet_core::wire::index::{IndexAt, IndexTable, IndexWriter, RowsAt, STRIPE_BYTES, read_row};
use kinglet_core::wire::record::MapRecord;
use kinglet_core::wire::rest::RunLeft;
use kinglet_core::wire::run::RunPlace;
use kinglet_core::{ByteRange, Result};
use std::ops::RangeInclusive;

/// How many rows of a partition are read at once: most jobs have one.
const ROWS_AT_ONCE: usize = 8;

/// Returns the key of an index.
fn index_key(job: &JobId, number: u16) -> String {
    format!("{}index/{number}", Conductor::prefix(job))
}

impl RunStore<'_> {
    /// Writes the index of this number: reads what each committed attempt has written into the ledger, once, and sends it by
    /// partition. Holds one stripe of the index, some groups of the ledger, and what an upload holds.
    ///
    /// # Errors
    /// Returns `index-missing` when a committed attempt has no index; or a service error of S3 or DynamoDB.
    pub(crate) async fn write_index(
        self,
        number: u16,
        partitions: u32,
        committed: &Committed<MapRecord>,
    ) -> Result<IndexAt> {
        let mut upload = self.upload(&index_key(self.job, number));
        match self.send_index(&mut upload, partitions, committed).await {
            Ok(table) => upload.finish().await.map(|_| IndexAt { number, table }),
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    async fn send_index(
        self,
        upload: &mut Upload,
        partitions: u32,
        committed: &Committed<MapRecord>,
    ) -> Result<ByteRange> {
        let mut writer = IndexWriter::new(partitions, STRIPE_BYTES);
        let mut groups = self.groups(committed);
        while let Some(group) = groups.try_next().await? {
            for GroupRuns { of, index } in group {
                writer.push(of.task, of.piece, of.attempt, index.as_ref())?;
                if let Some(stripe) = writer.full_stripe() {
                    send(upload, stripe).await?;
                }
            }
        }
        let (rest, table) = writer.finish();
        send(upload, rest).await?;
        Ok(table)
    }

    /// Reads where the rows of a job's index lie.
    ///
    /// # Errors
    /// Returns `object-missing` or `frame-corrupt` when the index is not what was written; or a service error of S3.
    pub(crate) async fn index_table(self, at: IndexAt, partitions: u32) -> Result<IndexTable> {
        IndexTable::read(&self.index_bytes(at.number, at.table).await?, at, partitions)
    }

    /// Returns which attempts may have runs of a partition, and where, by these rows of the job's index.
    ///
    /// # Errors
    /// Returns `object-missing` or `frame-corrupt` when the index is not what was written; or a service error of S3.
    pub async fn locate_by_index(self, partition: Partition, at: &RowsAt) -> Result<Vec<RunLeft>> {
        let rows = stream::iter(at.rows.clone()).map(|row| self.index_bytes(at.number, row)).buffered(ROWS_AT_ONCE);
        let mut runs = Vec::new();
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.try_next().await? {
            read_row(&row, partition, &mut runs)?;
        }
        Ok(runs.iter().map(|run| RunLeft::of(run, RunPlace::default())).collect())
    }

    async fn index_bytes(self, number: u16, range: ByteRange) -> Result<Bytes> {
        let (objects, bucket) = (&self.conductor.objects, &self.conductor.stack.work_bucket);
        objects.get(bucket, &index_key(self.job, number), Some(range.into())).await
    }

    /// Removes the indexes of these numbers, whether they are there or not.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub(crate) async fn remove_indexes(self, numbers: RangeInclusive<u16>) -> Result<()> {
        let keys: Vec<String> = numbers.map(|number| index_key(self.job, number)).collect();
        self.conductor.objects.delete(&self.conductor.stack.work_bucket, &keys).await
    }
}

async fn send(upload: &mut Upload, parts: Vec<Vec<u8>>) -> Result<()> {
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        upload.push(part.into()).await?;
    }
    Ok(())
}
