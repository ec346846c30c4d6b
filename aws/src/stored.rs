//! Jobs that start themselves: what a stack keeps of a job, and how a start of it becomes a job.
//!
//! A start is an event, which Lambda delivers at least once. One transaction writes the new job's items and that of the start,
//! under what tells this start from all others: of all deliveries, one begins a job, and the others find which. Who dies before
//! it has left a spec that nobody reads, which expires; who dies after it has left a job, which the sweeper takes on like that
//! of a driver that died.
//!
//! Changes start a job later, together: each notes when it was, and the sweeper starts the job when no more have come for a while.
//! First it starts the job, by a transaction that names it as the last that changes have started; then it notes that the changes were
//! seen, if there are no later ones. So each change is followed by a job that lists its input after it, and while such a job runs, no
//! other is started.

use crate::conductor::Conductor;
use crate::heap::on_heap;
use crate::ledger::{Changes, Starting, StoredJob, Version};
use crate::objects::{Address, Replace, SMALL_BYTES_MAX};
use crate::program;
use crate::random;
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::ledger::Phase;
use kinglet_core::wire::event::{ChangedEvent, Event, SplitEvent};
use kinglet_core::wire::frame;
use kinglet_core::wire::program as wire_program;
use kinglet_core::wire::spec::JobSpec;
use kinglet_core::wire::stored::{self, StoredName};
use kinglet_core::{Code, Error, Result};

/// A start of a stored job.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// Which job.
    pub name: &'a StoredName,
    /// What tells it from all other starts of that job.
    pub once: &'a str,
    /// When it was due; otherwise now.
    pub at: Option<Timestamp>,
    /// The token of the task of Step Functions that waits for the job's end.
    pub token: Option<&'a str>,
}

/// What a start has begun.
#[derive(Clone, Debug)]
pub struct Started {
    /// The job.
    pub job: JobId,
    /// Its spec, unless an earlier delivery of the start has begun it.
    pub spec: Option<JobSpec>,
}

impl Conductor {
    /// Stores a job under a name, in place of what was stored there, and returns whether there was anything.
    ///
    /// # Errors
    /// Returns `stored-job` when it cannot be started more than once; or a service error (`access-denied`, `throttled`,
    /// `unreachable`, …) when a service cannot be reached or refuses.
    pub async fn store(&self, name: &StoredName, spec: &JobSpec, back_ms: u64, changes: Changes) -> Result<bool> {
        stored::check(spec)?;
        let (bucket, version) = (&self.stack.work_bucket, random::token());
        if let Some(program) = &spec.program {
            let (from, to) = (wire_program::key(program), name.program_key(&version));
            self.objects.copy(Address { bucket, key: &from }, Address { bucket, key: &to }).await?;
        }
        self.objects.put(bucket, &name.key(&version), frame::write(spec)?.into(), Replace::Yes).await?;
        let beginning = stored::beginning(&spec.output.prefix);
        let version = Version { name, version: &version, spec, beginning, back_ms, changes };
        let before = self.ledger.store(&version).await?;
        if let Some(before) = &before {
            self.remove_version(before).await;
        }
        Ok(before.is_some())
    }

    /// Removes a stored job. Jobs that it has started go on.
    ///
    /// # Errors
    /// Returns `stored-missing`; or a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be
    /// reached or refuses.
    pub async fn remove_stored(&self, name: &StoredName) -> Result<()> {
        let stored = self.ledger.stored(name).await?;
        self.ledger.remove_stored(name).await?;
        self.remove_version(&stored).await;
        Ok(())
    }

    /// Removes a version that does not count any more. If that fails, it costs its storage, and harms nobody.
    async fn remove_version(&self, stored: &StoredJob) {
        let StoredJob { name, version, .. } = stored;
        let keys = [name.key(version), name.program_key(version)];
        if let Err(error) = self.objects.delete(&self.stack.work_bucket, &keys).await {
            tracing::warn!(%name, %error, "removing a version of a stored job");
        }
    }

    /// Starts a stored job, unless this start has begun one before.
    ///
    /// # Errors
    /// Returns `stored-missing`; `stored-job` when its names cannot say the time; `frame-version` when another version of Kinglet
    /// stored it; or a service error (`access-denied`, `throttled`, `unreachable`, …). Nothing was started then, and the same
    /// start can be tried again. What is wrong with the job's input or output fails the job.
    pub async fn start_stored(&self, start: &Start<'_>) -> Result<Started> {
        let stored = self.ledger.stored(start.name).await?;
        let started = self.begin_stored(start, &stored, false).await?;
        // Without changes, nothing but a job of the same id is in its way.
        started.ok_or_else(|| Error::new(Code::JobExists, format!("starting the stored job {}", start.name)))
    }

    /// Does the same for a stored job that was read. If changes start it, returns `None` where they have started another job since.
    async fn begin_stored(
        &self,
        start: &Start<'_>,
        stored: &StoredJob,
        after_changes: bool,
    ) -> Result<Option<Started>> {
        let Start { name, once, at, token } = *start;
        if let Some(job) = self.ledger.started(name, once).await? {
            return Ok(Some(Started { job, spec: None }));
        }
        let spec = self.stored_spec(stored).await?;
        let now = self.now();
        let at = Timestamp(at.unwrap_or(now).0.saturating_sub(stored.back_ms));
        let spec = JobSpec { submitted_at: now, ..stored::at(&spec, at)? };
        let bucket = &self.stack.work_bucket;
        if let Some(program) = spec.program {
            program::renew(self, program, &name.program_key(&stored.version)).await?;
        }
        let job = self.new_id();
        let key = Self::spec_key(&job);
        self.objects.put(bucket, &key, frame::write(&spec)?.into(), Replace::Yes).await?;
        let (timeout_ms, after) = (self.stack.timeout_ms, after_changes.then_some(stored));
        let starting = Starting { name, once, job: &job, spec: &spec, timeout_ms, token, after };
        let begun = self.ledger.create_started(&starting).await?;
        if begun.as_ref() != Some(&job) {
            self.objects.delete(bucket, &[key]).await?;
            return Ok(begun.map(|job| Started { job, spec: None }));
        }
        tracing::info!(%job, stored = %name, "started a stored job");
        let sent = async {
            self.check_output(&spec.output).await?;
            on_heap(|| self.take_output(&job, &spec, false)).await?;
            self.functions.start(&Event::Split(SplitEvent { job: job.clone(), number: 0 })).await
        };
        match sent.await {
            Err(error) if self.decides(&error) => on_heap(|| self.fail(&job, Phase::Failed, &error)).await?,
            Err(error) => tracing::warn!(%job, %error, "the sweeper goes on with a job that was started"),
            Ok(()) => {}
        }
        Ok(Some(Started { job, spec: Some(spec) }))
    }

    /// Reads what is stored of a job, in the version that counts.
    ///
    /// # Errors
    /// Returns `frame-version` when another version of Kinglet stored it; or a service error of S3.
    pub async fn stored_spec(&self, stored: &StoredJob) -> Result<JobSpec> {
        let StoredJob { name, version, .. } = stored;
        let bytes = self.objects.get_whole(&self.stack.work_bucket, &name.key(version), SMALL_BYTES_MAX).await;
        let bytes = match bytes {
            // It was stored anew meanwhile, or it was removed.
            Err(error) if error.is(Code::ObjectMissing) => {
                let message = format!("the stored job {name} changed while it was read");
                return Err(Error::new(Code::Unreachable, message));
            }
            bytes => bytes?,
        };
        let spec: Result<JobSpec> = frame::read(&bytes, &format!("the stored job {name}"));
        spec.map_err(|e| match e.is(Code::FrameVersion) {
            true => e.with_hint(format!("store it again: `kinglet run … --store {name}`")),
            false => e,
        })
    }

    /// Notes that an object has changed that a stored job may read. What the job writes itself is no change.
    ///
    /// # Errors
    /// Returns `stored-missing`; or a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be
    /// reached or refuses.
    pub async fn note_change(&self, event: &ChangedEvent) -> Result<()> {
        let ChangedEvent { stored, bucket, key } = event;
        let stored = self.ledger.stored(stored).await?;
        if stored.writes.0 == *bucket && key.starts_with(&stored.writes.1) {
            tracing::warn!(stored = %stored.name, bucket, key, "a stored job is not started by what it writes itself");
            return Ok(());
        }
        self.ledger.note_change(&stored).await
    }

    /// Starts the stored jobs whose changes are due. Returns how many there were.
    ///
    /// # Errors
    /// Returns the first error of a start, after all were tried.
    pub async fn start_changed(&self) -> Result<usize> {
        let (now, mut count, mut failed) = (self.now(), 0, None);
        for stored in self.ledger.stored_jobs().await?.iter().filter(|stored| stored.is_due(now)) {
            match self.start_after_changes(stored).await {
                Ok(true) => count += 1,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(stored = %stored.name, code = error.code(), %error, "starting a stored job");
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(count), Err)
    }

    async fn start_after_changes(&self, stored: &StoredJob) -> Result<bool> {
        let Some((_, last)) = stored.changed else { return Ok(false) };
        if let Some(job) = &stored.last {
            match self.ledger.job(job).await {
                // It may have listed its input before the changes, and its output is its own until it has ended.
                Ok(view) if !view.phase.is_final() => return Ok(false),
                Ok(_) => {}
                Err(error) if error.is(Code::JobMissing) => {}
                Err(error) => return Err(error),
            }
        }
        let once = format!("changes up to {}", last.0);
        let start = Start { name: &stored.name, once: &once, at: None, token: None };
        if on_heap(|| self.begin_stored(&start, stored, true)).await?.is_none() {
            return Ok(false);
        }
        self.ledger.changes_seen(stored).await?;
        Ok(true)
    }
}
