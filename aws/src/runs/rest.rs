//! What pieces of reduce tasks leave to the next ones, in the work bucket; [`kinglet_core::wire::rest`] has its layout.
//!
//! The attempt is part of the key, and the ledger says which attempt of a piece counts: what another has left is never read.

use super::RunStore;
use crate::conductor::Conductor;
use crate::objects::SMALL_BYTES_MAX;
use kinglet_core::ids::{AttemptId, JobId, Piece, TaskIdx};
use kinglet_core::wire::frame;
use kinglet_core::wire::record::{ReducePiece, ReduceRecord, numbered};
use kinglet_core::wire::rest::ReduceRest;
use kinglet_core::{Code, Error, Result};

/// A reduce attempt that has left a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReduceAttempt {
    /// The task.
    pub task: TaskIdx,
    /// The piece.
    pub piece: Piece,
    /// The attempt.
    pub attempt: AttemptId,
}

fn rest_key(job: &JobId, of: ReduceAttempt) -> String {
    format!("{}rest/{:06}.{}/{}", Conductor::prefix(job), of.task.0, of.piece.0, of.attempt)
}

impl RunStore<'_> {
    /// Writes what an attempt leaves to the next piece.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn write_rest(self, of: ReduceAttempt, rest: &ReduceRest) -> Result<()> {
        self.put(&rest_key(self.job, of), frame::write(rest)?).await
    }

    /// Reads what the piece before this one of a task has left.
    ///
    /// # Errors
    /// Returns `event` when no such piece is committed that hands on, `object-missing` or `frame-corrupt` when the rest is not
    /// what was written; or a service error of S3 or DynamoDB.
    pub async fn rest(self, task: TaskIdx, piece: Piece) -> Result<ReduceRest> {
        let before = self.conductor.ledger.pieces_of::<ReduceRecord>(self.job, task).await?;
        let before = piece.before().and_then(|piece| Some((piece, before.get(usize::from(piece.0))?)));
        let Some((piece, record)) = before.filter(|(_, record)| record.hands_on) else {
            let message = format!("reduce task {} has no piece {}", task.0, piece.0);
            return Err(Error::new(Code::Event, message));
        };
        let of = ReduceAttempt { task, piece, attempt: record.attempt };
        let bytes = self.get(&rest_key(self.job, of), SMALL_BYTES_MAX).await?;
        frame::read(&bytes, &format!("what reduce task {} has left after piece {}", task.0, piece.0))
    }

    /// Removes what the committed pieces have left. Sends no request where there is none.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub(super) async fn remove_rests(self, reduces: &[ReduceRecord]) -> Result<()> {
        let left = numbered(reduces).filter(|one| one.record.hands_on);
        let key = |ReducePiece { partition, piece, record }: ReducePiece<'_>| {
            rest_key(self.job, ReduceAttempt { task: TaskIdx(partition.0), piece, attempt: record.attempt })
        };
        let keys: Vec<String> = left.map(key).collect();
        self.conductor.objects.delete(&self.conductor.stack.work_bucket, &keys).await
    }
}
