//! The files that pieces of reduce tasks have left in folders, listed in the work bucket; [`kinglet_core::wire::files`] has the
//! layout.
//!
//! The attempt is part of the key, and the ledger says which attempt of a piece counts: what another has listed is never read, and
//! its uploads are found by their names.

use super::{ReduceAttempt, RunStore};
use crate::conductor::Conductor;
use crate::objects::SMALL_BYTES_MAX;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::ids::{JobId, TaskIdx};
use kinglet_core::wire::files::FileList;
use kinglet_core::wire::frame;
use kinglet_core::wire::record::{ReducePiece, ReduceRecord, numbered};
use kinglet_core::{Code, Error, Result};

/// How many lists are read at once.
const LISTS_AT_ONCE: usize = 16;

fn files_key(job: &JobId, of: ReduceAttempt) -> String {
    format!("{}files/{:06}.{}/{}", Conductor::prefix(job), of.task.0, of.piece.0, of.attempt)
}

fn attempt_of(ReducePiece { partition, piece, record }: ReducePiece<'_>) -> ReduceAttempt {
    ReduceAttempt { task: TaskIdx(partition.0), piece, attempt: record.attempt }
}

impl RunStore<'_> {
    /// Writes the list of the files that an attempt leaves.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn write_files(self, of: ReduceAttempt, list: &FileList) -> Result<()> {
        self.put(&files_key(self.job, of), frame::write(list)?).await
    }

    /// Reads the list of the files that a committed attempt has left. Sends no request if there are none.
    ///
    /// # Errors
    /// Returns `object-missing` or `frame-corrupt` when the list is not what was written; or a service error of S3.
    pub async fn files(self, of: ReduceAttempt, record: &ReduceRecord) -> Result<FileList> {
        if record.files == 0 {
            return Ok(FileList::default());
        }
        let name = format!("the files of reduce task {}, piece {}", of.task.0, of.piece.0);
        let list: FileList = frame::read(&self.get(&files_key(self.job, of), SMALL_BYTES_MAX).await?, &name)?;
        if list.files.len() != record.files as usize {
            let message = format!("{name}: there are {}, and {} were committed", list.files.len(), record.files);
            return Err(Error::new(Code::FrameCorrupt, message));
        }
        Ok(list)
    }

    /// Reads the lists of all committed pieces that have left files, in order.
    ///
    /// # Errors
    /// As [`Self::files`].
    pub(crate) async fn all_files(self, reduces: &[ReduceRecord]) -> Result<Vec<FileList>> {
        // The futures are made before the stream: otherwise the compiler does not see that it is `Send`.
        let with_files = numbered(reduces).filter(|piece| piece.record.files > 0);
        let reads: Vec<_> = with_files.map(|piece| self.files(attempt_of(piece), piece.record)).collect();
        stream::iter(reads).buffered(LISTS_AT_ONCE).try_collect().await
    }

    /// Removes the lists of the committed pieces. Sends no request where there is none.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub(super) async fn remove_files(self, reduces: &[ReduceRecord]) -> Result<()> {
        let with_files = numbered(reduces).filter(|piece| piece.record.files > 0);
        let keys: Vec<String> = with_files.map(|piece| files_key(self.job, attempt_of(piece))).collect();
        self.conductor.objects.delete(&self.conductor.stack.work_bucket, &keys).await
    }
}
