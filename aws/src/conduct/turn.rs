//! The turn of taking a job through a phase, kept by signs of life.

use crate::conductor::Conductor;
use kinglet_core::ids::JobId;
use kinglet_core::ledger::Phase;
use kinglet_core::{Code, Error};
use std::time::Duration;

/// The pause between signs of life of the process that has the turn. Others take it after [`kinglet_core::ledger::TURN_MS`]
/// of silence.
pub(super) const KEEP_EVERY: Duration = Duration::from_secs(2);

/// The turn of taking a job through a phase; see [`kinglet_core::ledger::advance`].
pub struct Turn {
    phase: Phase,
    pub(super) number: u64,
}

impl Turn {
    /// Returns a turn that was just taken.
    pub fn new(phase: Phase, number: u64) -> Self {
        Turn { phase, number }
    }

    /// Gives signs of life until another process has taken the turn; returns `turn-taken` then.
    pub(super) async fn keep(&self, conductor: &Conductor, job: &JobId) -> Error {
        loop {
            tokio::time::sleep(KEEP_EVERY).await;
            match conductor.ledger.keep_turn(job, self.phase, self.number, 0).await {
                Ok(true) => {}
                Ok(false) => return Error::new(Code::TurnTaken, format!("another goes on with job {job}")),
                Err(error) => tracing::warn!(%job, %error, "giving a sign of life"),
            }
        }
    }
}
