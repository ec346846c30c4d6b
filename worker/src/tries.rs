//! What every execution of a task goes through: it records its start, unless another execution has; it gives signs of life
//! while it runs; it learns when nobody wants its work any more.
//!
//! | when | what | requests |
//! |---|---|---|
//! | at the start | a conditional write starts the try; a further try checks whether its piece is committed already | 1 write |
//! | every 1.25 to 1.75 s | the job's own item is read, to see whether the job goes on | half a read unit |
//! | every [`HEARTBEAT_MS`]; more often when splitting | a sign of life | 1 write |
//!
//! So a task of less than a second and a half costs nothing beyond its start, and one of a minute 20 read units.

use crate::outcome::Skip;
use crate::worker::{Abandon, Worker};
use kinglet_aws::Conductor;
use kinglet_aws::ledger::{Run, Started};
use kinglet_core::ids::{JobId, Stage, TryKey};
use kinglet_core::ledger::{HEARTBEAT_MS, JobView, Phase, SPLIT_HEARTBEAT_MS};
use kinglet_core::{Code, Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often a worker looks whether its job goes on. The pause varies by a sixth, so that a thousand workers do not ask at
/// once.
const LOOK_EVERY: Duration = Duration::from_millis(1_500);

/// How long the job's own code may go on when nobody wants its work any more. Then the process is ended: code that never
/// comes to its next record would run, and cost, until its function's timeout.
const GRACE: Duration = Duration::from_secs(30);

/// Begins a try. Returns the reason if this execution is not to go on: another runs the try, or its piece is committed.
///
/// # Errors
/// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
pub(crate) async fn begin(conductor: &Conductor, job: &JobId, key: TryKey, run: &Run) -> Result<Option<Skip>> {
    let ledger = &conductor.ledger;
    let committed = async {
        // Before the first try nobody can have committed. Before a later one, an earlier try may have been slow, not dead.
        if key.number == 0 { Ok(false) } else { ledger.is_committed(job, key).await }
    };
    let (started, committed) = tokio::try_join!(ledger.start(job, key, run), committed)?;
    Ok(match started {
        Started::Elsewhere => Some(Skip::Elsewhere),
        _ if committed => Some(Skip::Committed),
        // A second delivery of the event may come late, after the try has done its work.
        Started::Again if key.stage != Stage::Split && ledger.is_committed(job, key).await? => Some(Skip::Committed),
        Started::First | Started::Again => None,
    })
}

/// What a look at the job has shown.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// The job is still in the try's stage, or before it.
    GoesOn(&'a JobView),
    /// The job has gone on beyond the stage, or has ended.
    Over,
}

/// The callback for each look at the job.
pub type Look = Box<dyn FnMut(Seen<'_>) + Send>;

/// A try that runs. Dropping it ends the signs of life.
pub struct Running {
    stop: Arc<AtomicBool>,
    watch: JoinHandle<()>,
}

impl Running {
    /// Gives signs of life from now on, and looks whether the job goes on. `look` is called with what the job's own item
    /// says.
    pub(crate) fn begin(worker: &Worker, job: &JobId, key: TryKey, nonce: u32, look: Look) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let watch = Watch {
            conductor: worker.conductor.clone(),
            job: job.clone(),
            key,
            nonce,
            stop: stop.clone(),
            abandon: worker.abandon.clone(),
        };
        let watch = watch.keep(look);
        Running { stop, watch: tokio::spawn(watch) }
    }

    /// Ends the signs of life.
    pub fn end(&self) {
        self.watch.abort();
    }

    /// Returns the flag that is set when nobody wants the try's result any more.
    pub fn stop(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Returns whether that flag is set.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns whether the job has gone on beyond a try's stage. The view may be stale, and show an earlier phase.
fn is_over(view: &JobView, key: TryKey) -> bool {
    match key.stage {
        Stage::Split => view.phase > Phase::Splitting,
        Stage::Map => view.phase > Phase::Mapping,
        Stage::Merge => view.phase > Phase::Merging,
        Stage::Reduce => view.phase > Phase::Reducing,
    }
}

/// The longest that one look or sign of life may hold the next one up.
const REQUEST_MAX: Duration = Duration::from_secs(20);

fn slow() -> Error {
    Error::new(Code::TimedOut, format!("the ledger has not answered for {} s", REQUEST_MAX.as_secs()))
}

/// What watches over a try that runs.
struct Watch {
    conductor: Conductor,
    job: JobId,
    key: TryKey,
    nonce: u32,
    stop: Arc<AtomicBool>,
    abandon: Abandon,
}

impl Watch {
    async fn keep(self, mut look: Look) {
        let Watch { conductor, job, key, nonce, stop, abandon } = self;
        let beat_ms = if key.stage == Stage::Split { SPLIT_HEARTBEAT_MS } else { HEARTBEAT_MS };
        let mut beaten = Instant::now();
        let mut unwanted: Option<Instant> = None;
        loop {
            tokio::time::sleep(LOOK_EVERY * (10 + kinglet_aws::nonce() % 5) / 12).await;
            let looked = tokio::time::timeout(REQUEST_MAX, conductor.ledger.job_lately(&job));
            match looked.await.unwrap_or_else(|_| Err(slow())) {
                Ok(view) if is_over(&view, key) => {
                    look(Seen::Over);
                    unwanted.get_or_insert_with(Instant::now);
                }
                Ok(view) => look(Seen::GoesOn(&view)),
                // The job was removed with everything that belonged to it.
                Err(error) if error.is(Code::JobMissing) => {
                    unwanted.get_or_insert_with(Instant::now);
                }
                Err(error) => tracing::warn!(%job, %error, "looking whether the job goes on"),
            }
            if let Some(since) = unwanted {
                stop.store(true, Ordering::Relaxed);
                if since.elapsed() > GRACE {
                    tracing::warn!(%job, "the job is over, and its code does not come to an end: ending the process");
                    return abandon();
                }
            } else if beaten.elapsed() >= Duration::from_millis(beat_ms) {
                let beat = tokio::time::timeout(REQUEST_MAX, conductor.ledger.beat(&job, key, nonce));
                match beat.await.unwrap_or_else(|_| Err(slow())) {
                    Ok(()) => beaten = Instant::now(),
                    Err(error) => tracing::warn!(%job, %error, "giving a sign of life"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a job with a ceiling has spent is written down with what its workers may use until they have stopped.
    #[test]
    fn a_worker_that_nobody_wants_has_stopped_when_the_ledger_counts_on_it() {
        let look_max = LOOK_EVERY * 14 / 12;
        assert!(look_max + GRACE + look_max <= Duration::from_millis(kinglet_core::ledger::STOPPED_MS));
    }
}
