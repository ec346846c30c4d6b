//! Carries out what [`advance`] decides: reads the ledger, decides, claims, acts. Every function and the driver use it.
//!
//! | module | what it does |
//! |---|---|
//! | `send` | sends tasks and tries |
//! | `turn` | the turn, which one process has at a time |
//! | `reread` | splits that were begun at wrong places, read again |
//! | `reduce` | from mapping to merging and reducing, and the index of the runs |
//! | `end` | a job's ends: published, failed, cancelled |
//! | `splitter` | a splitter that does not begin |

mod end;
mod reduce;
mod reread;
mod send;
mod splitter;
mod turn;

pub use turn::Turn;

use crate::conductor::Conductor;
use crate::heap::on_heap;
use crate::ledger::Says;
use futures_util::future::BoxFuture;
use kinglet_core::ids::{JobId, Stage, TryKey};
use kinglet_core::ledger::{Command, Invoke, JobView, LedgerView, Phase, PieceAt, Settle, advance};
use kinglet_core::wire::record::{MapRecord, MergeRecord, ReduceRecord};
use kinglet_core::{Error, Result};
use send::Claimed;

impl Conductor {
    /// Reads the ledger, decides, and carries the decisions out. Returns the phase that the job was in.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses.
    /// Nothing is lost: the next caller decides again.
    pub fn conduct<'a>(&'a self, job: &'a JobId) -> BoxFuture<'a, Result<Phase>> {
        Box::pin(self.decide(job))
    }

    async fn decide(&self, job: &JobId) -> Result<Phase> {
        let before = self.clients.meter.totals();
        let view = self.view(job).await?;
        let (phase, now) = (view.job.phase, self.now());
        let mut claimed = Vec::new();
        let mut again = false;
        for command in advance(&view, now) {
            tracing::debug!(%job, ?command, "advance");
            match command {
                Command::Invoke(Invoke { of: PieceAt { task, piece, start }, number, sends, relief }) => {
                    let Some(stage) = phase.stage() else { continue };
                    let key = TryKey { stage, task, piece, number };
                    // Splitting has one task, all of whose tries are always read.
                    if view.job.capped.is_some() && number > 0 && sends == 0 && stage != Stage::Split {
                        self.ledger.note_further(job, key).await?;
                    }
                    if self.ledger.claim(job, key, sends).await? {
                        claimed.push(Claimed { key, start, relief });
                    }
                }
                Command::TakeTurn { turn } => {
                    if self.ledger.take_turn(job, &view.job).await? {
                        let turn = Turn::new(phase, turn + 1);
                        on_heap(|| self.go_on(job, &view.job, &turn)).await?;
                    }
                }
                Command::StartMerging => {
                    let started = on_heap(|| self.start_merging(job, &view.job, &before)).await;
                    self.or_fail(job, phase, started).await?
                }
                Command::Reread { .. } => {
                    let reread = on_heap(|| self.reread(job, &view.job, &before)).await;
                    self.or_fail(job, phase, reread).await?
                }
                Command::StartReducing(find) => {
                    let started = on_heap(|| self.start_reducing(job, &view.job, find, &before)).await;
                    self.or_fail(job, phase, started).await?
                }
                Command::Settle(Settle { of, error }) => {
                    let settled = on_heap(|| self.settle(job, &view.job, of, &error)).await;
                    again |= self.or_fail(job, phase, settled).await?
                }
                Command::Finish => {
                    let finished = on_heap(|| self.finish(job, &view.job, &before)).await;
                    self.or_fail(job, phase, finished).await?
                }
                // The decision was made for one phase and says nothing of the next.
                Command::Fail(error) => {
                    let here = [phase];
                    on_heap(|| self.fail_in(job, &here, Phase::Failed, &error)).await?
                }
            }
        }
        if !claimed.is_empty() {
            on_heap(|| self.invoke(job, &view.job, claimed)).await?;
        }
        if again {
            // The settled call was the last, and the stage is complete. This happens at most once for each stage.
            return self.conduct(job).await;
        }
        Ok(phase)
    }

    /// Fails a job in this phase if the error would recur each time, and nobody would know. Any other error is returned.
    async fn or_fail<T: Default>(&self, job: &JobId, phase: Phase, done: Result<T>) -> Result<T> {
        match done {
            Err(error) if self.decides(&error) => {
                let here = [phase];
                on_heap(|| self.fail_in(job, &here, Phase::Failed, &error)).await.map(|()| T::default())
            }
            done => done,
        }
    }

    async fn view(&self, job: &JobId) -> Result<LedgerView> {
        let mut view = self.ledger.job(job).await?;
        let tasks = match view.phase {
            Phase::Splitting => {
                let since = view.phase_at.splitting.unwrap_or_default();
                vec![self.ledger.splitting(job, since).await?]
            }
            Phase::Mapping => self.ledger.tasks::<MapRecord>(job, &mut view, self.now()).await?,
            Phase::Merging => self.ledger.tasks::<MergeRecord>(job, &mut view, self.now()).await?,
            Phase::Reducing => self.ledger.tasks::<ReduceRecord>(job, &mut view, self.now()).await?,
            _ => vec![],
        };
        Ok(LedgerView { job: view, tasks })
    }

    /// Goes on from where the previous holder of the turn left off.
    async fn go_on(&self, job: &JobId, view: &JobView, turn: &Turn) -> Result<()> {
        let before = self.clients.meter.totals();
        match view.phase {
            Phase::Publishing => match on_heap(|| self.publication(job, view)).await {
                Ok(publication) => on_heap(|| self.publish(job, view, publication, turn, &before)).await,
                Err(error) if !self.decides(&error) => Err(error),
                // What the result is made of is gone, as by a lifecycle rule: either the result is published, or it never
                // will be.
                Err(error) => on_heap(|| self.give_up_publishing(job, view, &error)).await,
            },
            Phase::Undoing => on_heap(|| self.undo(job, view)).await,
            Phase::Mapping if view.index.tries > 0 => {
                let indexed = on_heap(|| self.index_again(job, view, turn)).await;
                self.fail_if_fatal(job, view.phase, indexed).await
            }
            _ => on_heap(|| self.send_stage(job, view, turn)).await,
        }
    }

    /// Records that a try failed, and carries out what follows from it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses.
    pub async fn try_failed(&self, job: &JobId, key: TryKey, says: Says<'_>, error: &Error) -> Result<()> {
        let TryKey { stage, task, piece, number } = key;
        let (code, hint) = (error.code(), error.hint());
        tracing::warn!(%job, %stage, task = task.0, piece = piece.0, attempt = number, code, %error, hint, "a try failed");
        self.ledger.fail(job, key, says, error).await?;
        self.conduct(job).await.map(|_| ())
    }
}
