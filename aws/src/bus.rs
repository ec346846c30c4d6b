//! Telling of jobs that have ended: an event bus of EventBridge, and the tasks of Step Functions that wait for them.
//!
//! A job's end is a write to the ledger, which any process may do, and which must not wait for these services. So an end is told
//! after it: the entry of a job in the list of jobs says whether its end was told, and whoever tells looks for entries that do
//! not. That is the splitter: as it sweeps, every minute, and when a function that has ended a job wakes it (`{"tell": {}}`),
//! which may fail or be forgotten. What was sent and not noted is sent again: each end is told at least once. Step Functions
//! itself takes one answer.

use crate::conductor::Conductor;
use crate::errors::{Doing, code, of_code};
use crate::heap::on_heap;
use crate::ledger::JobEntry;
use crate::one_call::put_events::{Entry, PUT_EVENTS, Put};
use crate::one_call::send_task::{Failure, SEND_TASK_FAILURE, SEND_TASK_SUCCESS, Success, nobody_waits};
use crate::one_call::{Call, Caller};
use aws_config::retry::RetryConfig;
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::ledger::{JobView, Phase};
use kinglet_core::limits::{PUT_EVENTS_MAX, TOLD_MS_MAX};
use kinglet_core::wire::ended::{EndError, JobEnded, KIND, SOURCE, VERSION};
use kinglet_core::wire::event::{Event, TellEvent};
use kinglet_core::{Code, Error, Result};
use std::fmt::Debug;

impl Conductor {
    /// Wakes whoever tells of ends, if anybody is to be told and this is a function. Nothing depends on it.
    pub(crate) async fn wake_teller(&self, job: &JobId, view: &JobView) {
        if self.bus.is_none() && !view.is_awaited || !self.in_function {
            return;
        }
        if let Err(error) = self.functions.start(&Event::Tell(TellEvent {})).await {
            tracing::warn!(%job, %error, "the job's end is told by the next sweep");
        }
    }

    /// Tells the stack's event bus, if it has one, of the jobs that have ended and were not told of, and the tasks of Step
    /// Functions that wait for them. Returns how many jobs there were.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB, EventBridge or Step Functions cannot
    /// be reached or refuses. What was not told is told the next time.
    pub async fn tell_ends(&self) -> Result<usize> {
        let jobs = self.ledger.jobs().await?;
        self.tell_ends_of(jobs).await
    }

    /// Does the same for jobs that were listed.
    ///
    /// # Errors
    /// Returns the errors of [`Self::tell_ends`].
    pub async fn tell_ends_of(&self, jobs: Vec<JobEntry>) -> Result<usize> {
        let since = Timestamp(self.now().0.saturating_sub(TOLD_MS_MAX));
        let is_due = |job: &&JobEntry| job.phase.is_final() && job.ended_at.is_some_and(|at| at >= since);
        let ended: Vec<_> = jobs.iter().filter(is_due).collect();
        let awaited: Vec<_> = ended.iter().copied().filter(|job| job.is_awaited).collect();
        let untold: Vec<_> = ended.iter().copied().filter(|job| self.bus.is_some() && !job.is_told).collect();
        let told = on_heap(|| self.tell_bus(&untold)).await;
        on_heap(|| self.answer_tasks(&awaited)).await?;
        told.map(|()| untold.len() + awaited.len())
    }

    async fn tell_bus(&self, untold: &[&JobEntry]) -> Result<()> {
        let Some(bus) = self.bus.as_ref().filter(|_| !untold.is_empty()) else { return Ok(()) };
        let doing = format!("telling the event bus {bus} of {} ends of jobs", untold.len());
        let put = self.caller(PUT_EVENTS, &doing).await?;
        for some in untold.chunks(PUT_EVENTS_MAX) {
            let mut entries = Vec::new();
            for job in some {
                let ended = on_heap(|| self.ended(job)).await?;
                let time = ended.ended_at.0 / 1_000;
                let detail = as_json(&ended)?;
                entries.push(Entry { event_bus_name: bus, source: SOURCE, detail_type: KIND, detail, time });
            }
            let sent = Doing::now(doing.clone());
            let taken = put.reply(as_json(&Put { entries })?).await.map_err(|e| sent.failed(&e))?;
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
        Ok(())
    }

    /// Answers the tasks of Step Functions that wait for these jobs. One that cannot be answered keeps none of the others waiting.
    async fn answer_tasks(&self, awaited: &[&JobEntry]) -> Result<()> {
        let mut failed = None;
        for entry in awaited {
            if let Err(error) = on_heap(|| self.answer(entry)).await {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn answer(&self, entry: &JobEntry) -> Result<()> {
        let job = &entry.job;
        let token = match self.ledger.token(job).await {
            Ok(token) => token,
            // It was cleaned meanwhile, and its entry is about to go.
            Err(error) if error.is(Code::JobMissing) => return Ok(()),
            Err(error) => return Err(error),
        };
        if let Some(token) = &token {
            let doing = format!("answering the task of Step Functions that waits for job {job}");
            let ended = on_heap(|| self.ended(entry)).await?;
            let (said, output) = (ended.error.as_ref(), as_json(&ended)?);
            let sent = Doing::now(doing.clone());
            let answer = match entry.phase {
                Phase::Succeeded => {
                    let body = as_json(&Success { task_token: token, output: &output })?;
                    self.caller(SEND_TASK_SUCCESS, &doing).await?.reply(body).await
                }
                phase => {
                    let error = said.map_or(phase.as_str(), |error| &error.code);
                    let body = as_json(&Failure::new(token, error, &output))?;
                    self.caller(SEND_TASK_FAILURE, &doing).await?.reply(body).await
                }
            };
            match answer {
                Err(e) if nobody_waits(code(&e).as_deref()) => {
                    tracing::warn!(%job, code = code(&e), "no task of Step Functions waits for the job any more");
                }
                answer => answer.map_err(|e| sent.failed(&e))?,
            }
        }
        self.ledger.answered(job).await
    }

    async fn caller<O: Debug + Send + Sync + 'static>(&self, call: Call<O>, doing: &str) -> Result<Caller<O>> {
        let caller = Caller::new(call, &self.clients.config, &RetryConfig::standard()).await;
        caller.map_err(|e| Error::new(Code::Unreachable, format!("{doing}: {e}")))
    }

    /// Collects what is told of a job's end.
    async fn ended(&self, entry: &JobEntry) -> Result<JobEnded> {
        let JobEntry { job, name, phase, submitted_at, ended_at, .. } = entry.clone();
        let (error, writes) = match self.ledger.job(&job).await {
            Ok(view) => (view.error.as_ref().map(EndError::from), view.writes_output),
            // It was cleaned meanwhile.
            Err(error) if error.is(Code::JobMissing) => (None, false),
            Err(error) => return Err(error),
        };
        let (mut output, mut sums) = (None, None);
        if writes {
            match self.spec(&job).await {
                Ok(spec) if phase == Phase::Succeeded => {
                    let stored = match self.read_manifest(&spec.output).await {
                        // What others have put there must not keep this end, and those behind it, from being told.
                        Err(error) if !error.is_retryable() => {
                            tracing::warn!(%job, %error, "the job's end is told without its sums");
                            None
                        }
                        stored => stored?.map(|stored| stored.manifest),
                    };
                    // By now another job may have replaced the result.
                    sums = stored.filter(|manifest| manifest.job == job.as_str()).map(|manifest| manifest.sums());
                    output = Some(spec.output.shown);
                }
                Ok(spec) => output = Some(spec.output.shown),
                Err(error) if error.is(Code::ObjectMissing) || error.is(Code::FrameVersion) => {}
                Err(error) => return Err(error),
            }
        }
        let splitter = &self.stack.functions.splitter;
        let stack = splitter.strip_suffix("-splitter").unwrap_or(splitter).to_owned();
        let ended_at = ended_at.unwrap_or_default();
        let state = phase.as_str().to_owned();
        Ok(JobEnded { version: VERSION, stack, job, name, state, submitted_at, ended_at, output, sums, error })
    }
}

fn as_json(what: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(what).map_err(|e| Error::new(Code::Event, format!("encoding what is told of a job: {e}")))
}
