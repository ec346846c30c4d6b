//! Telling an event bus of EventBridge which jobs have ended.
//!
//! A job's end is a write to the ledger, which any process may do, and which must not wait for EventBridge. So an end is told after it:
//! the entry of a job in the list of jobs says whether its end was told, and whoever tells looks for entries that do not. That is the
//! splitter: as it sweeps, every minute, and when a function that has ended a job wakes it (`{"tell": {}}`), which may fail or be
//! forgotten. An event that was sent and not noted is sent again: each end is told at least once.

use crate::conductor::Conductor;
use crate::errors::{Doing, of_code};
use crate::heap::on_heap;
use crate::ledger::JobEntry;
use crate::one_call::Caller;
use crate::one_call::put_events::{Entry, PUT_EVENTS, Put};
use aws_config::retry::RetryConfig;
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::limits::{PUT_EVENTS_MAX, TOLD_MS_MAX};
use kinglet_core::wire::ended::{EndError, JobEnded, KIND, SOURCE, VERSION};
use kinglet_core::wire::event::{Event, TellEvent};
use kinglet_core::{Code, Error, Result};

impl Conductor {
    /// Wakes whoever tells of ends, if anybody does and this is a function. Nothing depends on it.
    pub(crate) async fn wake_teller(&self, job: &JobId) {
        if self.bus.is_none() || !self.in_function {
            return;
        }
        if let Err(error) = self.functions.start(&Event::Tell(TellEvent {})).await {
            tracing::warn!(%job, %error, "the job's end is told by the next sweep");
        }
    }

    /// Tells the stack's event bus, if it has one, of the jobs that have ended and were not told of. Returns how many there were.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB or EventBridge cannot be reached or
    /// refuses. What was not told is told the next time.
    pub async fn tell_ends(&self) -> Result<usize> {
        let Some(bus) = &self.bus else { return Ok(0) };
        let since = Timestamp(self.now().0.saturating_sub(TOLD_MS_MAX));
        let untold = self.ledger.untold(since).await?;
        if untold.is_empty() {
            return Ok(0);
        }
        let doing = format!("telling the event bus {bus} of {} ends of jobs", untold.len());
        let put = Caller::new(PUT_EVENTS, &self.clients.config, &RetryConfig::standard()).await;
        let put = put.map_err(|e| Error::new(Code::Unreachable, format!("{doing}: {e}")))?;
        for some in untold.chunks(PUT_EVENTS_MAX) {
            let mut entries = Vec::new();
            for job in some {
                let ended = on_heap(|| self.ended(job)).await?;
                let detail = serde_json::to_string(&ended)
                    .map_err(|e| Error::new(Code::Event, format!("encoding the end of job {}: {e}", job.job)))?;
                let time = ended.ended_at.0 / 1_000;
                entries.push(Entry { event_bus_name: bus, source: SOURCE, detail_type: KIND, detail, time });
            }
            let asked = serde_json::to_string(&Put { entries })
                .map_err(|e| Error::new(Code::Event, format!("encoding a request for {bus}: {e}")))?;
            let sent = Doing::now(doing.clone());
            let taken = put.reply(asked).await.map_err(|e| sent.failed(&e))?;
            let mut refused = None;
            for (n, job) in some.iter().enumerate() {
                match taken.get(n) {
                    Some(taken) if taken.event_id.is_some() => self.ledger.told(&job.job).await?,
                    other => {
                        let code = other.and_then(|taken| taken.error_code.as_deref());
                        let said = other.and_then(|taken| taken.error_message.as_deref()).unwrap_or("no answer");
                        refused.get_or_insert(of_code(&format!("{doing}: job {}", job.job), code, said));
                    }
                }
            }
            if let Some(error) = refused {
                return Err(error);
            }
        }
        Ok(untold.len())
    }

    /// Collects what is told of a job's end.
    async fn ended(&self, entry: &JobEntry) -> Result<JobEnded> {
        let JobEntry { job, name, phase, submitted_at, ended_at } = entry.clone();
        let (error, writes) = match self.ledger.job(&job).await {
            Ok(view) => (view.error.as_ref().map(EndError::from), view.writes_output),
            // It was cleaned meanwhile.
            Err(error) if error.is(Code::JobMissing) => (None, false),
            Err(error) => return Err(error),
        };
        let output = match writes {
            true => match self.spec(&job).await {
                Ok(spec) => Some(spec.output.shown),
                Err(error) if error.is(Code::ObjectMissing) || error.is(Code::FrameVersion) => None,
                Err(error) => return Err(error),
            },
            false => None,
        };
        let splitter = &self.stack.functions.splitter;
        let stack = splitter.strip_suffix("-splitter").unwrap_or(splitter).to_owned();
        let ended_at = ended_at.unwrap_or_default();
        let state = phase.as_str().to_owned();
        Ok(JobEnded { version: VERSION, stack, job, name, state, submitted_at, ended_at, output, error })
    }
}
