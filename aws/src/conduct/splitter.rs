//! A splitter that does not begin: Lambda is asked why.

use crate::conductor::Conductor;
use crate::ledger::Says;
use kinglet_core::ids::{JobId, TryKey};
use kinglet_core::ledger::Phase;
use kinglet_core::wire::event::{Event, SplitEvent};
use kinglet_core::{Code, Error, Result};
use std::time::Duration;

/// A splitter that has not begun is pinged after this time, in milliseconds. At a further try it is pinged sooner, as the
/// first look has shown that it cannot run.
const PING_FIRST_MS: u64 = 15_000;
const PING_NEXT: Duration = Duration::from_secs(4);

/// The longest that a ping waits for its answer.
const PING_MAX: Duration = Duration::from_secs(10);

/// A splitter that can run but does not begin is sent its event again after this time, in milliseconds, which doubles each
/// time. After the last sending, a quarter of an hour in all, it counts as dying before it can say that it has begun.
const PING_AGAIN_MS: u64 = 30_000;
const SPLITTER_SENDS_MAX: u16 = 5;

impl Conductor {
    /// Asks Lambda what is wrong with a job's splitter that has been silent for some time. Nobody else would say that the
    /// splitter cannot run, as it is itself the destination of failures. Lambda's answer is recorded as the failure of the
    /// waiting try. Returns how long to wait before the next look, if that is soon.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses.
    pub async fn look_at_splitter(&self, job: &JobId) -> Result<Option<Duration>> {
        let view = self.ledger.job(job).await?;
        if view.phase != Phase::Splitting {
            return Ok(None);
        }
        let task = self.ledger.splitting(job, view.phase_at.splitting.unwrap_or_default()).await?;
        let last = task.tries.iter().max_by_key(|t| t.number);
        if last.is_some_and(|t| t.started_at.is_some() || t.failed.is_some()) {
            return Ok(None);
        }
        let (number, sends) = last.map_or((0, 0), |t| (t.number, t.sends));
        let (key, since) = (TryKey::split(number), last.and_then(|t| t.sent_at).unwrap_or(task.since));
        let patience_ms = match (number, sends) {
            (0, 0) => PING_FIRST_MS,
            (0, sends) => PING_AGAIN_MS << (sends - 1),
            (_, 0 | 1) => PING_NEXT.as_millis() as u64,
            (_, sends) => PING_AGAIN_MS << (sends - 2),
        };
        let waited_ms = self.now().since_ms(since);
        if waited_ms < patience_ms {
            return Ok(Some(Duration::from_millis(patience_ms - waited_ms)));
        }
        let hint = "build the functions and deploy the stack again; `kinglet doctor` and the splitter's log say more";
        let ping = tokio::time::timeout(PING_MAX, self.functions.ping(&self.functions.names().splitter));
        let Ok(pinged) = ping.await else { return Ok(None) };
        let error = match pinged {
            Err(error) if error.is(Code::Throttled) => return Ok(None), // It waits for a free function.
            Err(error) => return Err(error),
            Ok(Some(error)) => error,
            // It was free just now. Perhaps it was not before, and Lambda would retry only in some minutes: the event is sent
            // again.
            Ok(None) if sends < SPLITTER_SENDS_MAX => {
                if self.ledger.claim(job, key, sends).await? {
                    self.functions.start(&Event::Split(SplitEvent { job: job.clone(), number })).await?;
                    self.ledger.accepted(job, key).await?;
                }
                return Ok(None);
            }
            Ok(None) => {
                // The driver that submitted the job sent the first try without a claim.
                let times = sends + u16::from(number == 0);
                let message = format!("the splitter was invoked {times} times and has not begun");
                Error::new(Code::SplitterSilent, message)
            }
        };
        self.try_failed(job, key, Says::Lambda(""), &error.with_hint(hint)).await.map(|()| Some(PING_NEXT))
    }
}
