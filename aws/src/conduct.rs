//! Carries out what [`advance`] decides: reads the ledger, decides, claims, acts. Every function and the driver use it.

use crate::conductor::{Conductor, plan_of};
use crate::ledger::Says;
use crate::objects::SMALL_BYTES_MAX;
use crate::output::Publication;
use crate::replies::Pause;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::ids::{JobId, Stage, TaskIdx, Timestamp, TryKey};
use kinglet_core::ledger::{
    Command, Eased, HALF_BYTES_MIN, Invoke, JobView, LedgerView, Phase, PieceAt, Relief, Settle, advance,
};
use kinglet_core::manifest::reconcile;
use kinglet_core::wire::event::{Event, MapEvent, ReduceEvent, SplitEvent};
use kinglet_core::wire::plan::{self, Split};
use kinglet_core::wire::record::{MapRecord, Position, ReduceRecord, Requests};
use kinglet_core::wire::spec::{JobSpec, Objects as Which};
use kinglet_core::{ByteRange, Code, Error, Result};
use std::time::Duration;

impl Conductor {
    /// Reads the ledger, decides, and carries the decisions out. Returns the phase that the job was in.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses.
    /// Nothing is lost: the next caller decides again.
    pub async fn conduct(&self, job: &JobId) -> Result<Phase> {
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
                        self.go_on(job, &view.job, &turn).await?;
                    }
                }
                Command::StartReducing => {
                    let usage = self.usage_since(&before, now);
                    let spent = view.job.capped.as_ref().map(|capped| capped.until_here(view.job.timeout_ms, now));
                    if self.ledger.reduce(job, usage.as_ref(), spent.as_ref()).await? {
                        let turn = Turn::new(Phase::Reducing, 1);
                        let view = JobView { phase: Phase::Reducing, sent: 0, ..view.job.clone() };
                        self.send_stage(job, &view, &turn).await?;
                    }
                }
                Command::Settle(Settle { of, error }) => {
                    match self.settle(job, &view.job, of, &error).await {
                        // It would be refused each time, and nobody would know.
                        Err(error) if self.decides(&error) => {
                            self.fail_in(job, &[phase], Phase::Failed, &error).await?
                        }
                        settled => again |= settled?,
                    }
                }
                Command::Finish => match self.finish(job, &view.job, &before).await {
                    Err(error) if self.decides(&error) => self.fail_in(job, &[phase], Phase::Failed, &error).await?,
                    done => done?,
                },
                // The decision was made for one phase and says nothing of the next.
                Command::Fail(error) => self.fail_in(job, &[phase], Phase::Failed, &error).await?,
            }
        }
        if !claimed.is_empty() {
            self.invoke(job, &view.job, claimed).await?;
        }
        if again {
            // The settled call was the last, and the stage is complete. This happens at most once for each stage.
            return Box::pin(self.conduct(job)).await;
        }
        Ok(phase)
    }

    /// Returns where a task's split lies in the plan.
    pub(crate) async fn plan_at(&self, job: &JobId, view: &JobView, task: TaskIdx) -> Result<ByteRange> {
        let index = self.plan_index(job, view).await?;
        index.split(task).ok_or_else(|| no_task(job, task))
    }

    async fn view(&self, job: &JobId) -> Result<LedgerView> {
        let mut view = self.ledger.job(job).await?;
        let tasks = match view.phase {
            Phase::Splitting => {
                let since = view.phase_at.splitting.unwrap_or_default();
                vec![self.ledger.splitting(job, since).await?]
            }
            Phase::Mapping => self.ledger.tasks::<MapRecord>(job, &mut view, self.now()).await?,
            Phase::Reducing => self.ledger.tasks::<ReduceRecord>(job, &mut view, self.now()).await?,
            _ => vec![],
        };
        Ok(LedgerView { job: view, tasks })
    }

    /// Goes on from where the previous holder of the turn left off.
    async fn go_on(&self, job: &JobId, view: &JobView, turn: &Turn) -> Result<()> {
        let before = self.clients.meter.totals();
        match view.phase {
            Phase::Publishing => match self.publication(job, view).await {
                Ok(publication) => self.publish(job, view, publication, turn, &before).await,
                Err(error) if !self.decides(&error) => Err(error),
                // What the result is made of is gone, as by a lifecycle rule: either the result is published, or it never
                // will be.
                Err(error) => self.give_up_publishing(job, view, &error).await,
            },
            Phase::Undoing => self.undo(job, view).await,
            _ => self.send_stage(job, view, turn).await,
        }
    }

    /// Sends the tasks of the job's stage, from the first that was not sent, and gives signs of life meanwhile. If Lambda
    /// takes no more for now, another process goes on later. A task that can never be sent fails the job.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses.
    pub async fn send_stage(&self, job: &JobId, view: &JobView, turn: &Turn) -> Result<()> {
        let sent = self.send_from(job, view, turn).await;
        self.fail_if_fatal(job, view.phase, sent).await
    }

    /// Fails a job in this phase if the error would recur each time. Returns `done` unchanged.
    async fn fail_if_fatal(&self, job: &JobId, phase: Phase, done: Result<()>) -> Result<()> {
        if let Err(error) = &done
            && self.decides(error)
        {
            self.fail_in(job, &[phase], Phase::Failed, error).await?;
        }
        done
    }

    async fn send_from(&self, job: &JobId, view: &JobView, turn: &Turn) -> Result<()> {
        let program = view.program;
        let index = if view.phase == Phase::Mapping { Some(self.plan_index(job, view).await?) } else { None };
        let event = |task: TaskIdx| match &index {
            Some(index) => {
                let plan = index.split(task).ok_or_else(|| no_task(job, task))?;
                Ok(Event::Map(MapEvent::first(job.clone(), task, plan, program)))
            }
            None => Ok(Event::Reduce(ReduceEvent { job: job.clone(), task, number: 0, program })),
        };
        let count = if index.is_some() { view.map_tasks } else { view.partitions };
        let (mut sent, mut pause) = (view.sent, Pause::default());
        while sent < count {
            let to = count.min(sent + SENT_AT_ONCE);
            let events = (sent..to).map(|task| event(TaskIdx(task))).collect::<Result<Vec<_>>>()?;
            let mut sending = std::pin::pin!(self.functions.start_all(events));
            let done = loop {
                tokio::select! {
                    biased;
                    done = &mut sending => break done,
                    // Lambda may be slow to take them; others must not conclude that nobody sends.
                    () = tokio::time::sleep(KEEP_EVERY) => {
                        if !self.ledger.keep_turn(job, view.phase, turn.number, sent).await? {
                            return Ok(());
                        }
                    }
                }
            };
            match done {
                Ok(()) => sent = to,
                // Tasks that were sent are sent again: the second execution of a try ends itself.
                Err(error) if error.is(Code::Throttled) => {
                    tracing::warn!(%job, %error, sent, "Lambda takes no more events for now");
                    if pause.wait("sending events").await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
            if sent == count && !self.in_function {
                // A driver's caller need not wait until the ledger says that all tasks are sent. If it never does, all are
                // sent again.
                let (conductor, job, phase, number) = (self.clone(), job.clone(), view.phase, turn.number);
                tokio::spawn(async move { conductor.ledger.keep_turn(&job, phase, number, sent).await });
                return Ok(());
            }
            if !self.ledger.keep_turn(job, view.phase, turn.number, sent).await? {
                return Ok(()); // Another process has the turn, or the stage is over.
            }
        }
        Ok(())
    }

    async fn invoke(&self, job: &JobId, view: &JobView, claimed: Vec<Claimed>) -> Result<()> {
        let invoked = self.invoke_claimed(job, view, claimed).await;
        self.fail_if_fatal(job, view.phase, invoked).await
    }

    async fn invoke_claimed(&self, job: &JobId, view: &JobView, claimed: Vec<Claimed>) -> Result<()> {
        let program = view.program;
        let index = if view.phase == Phase::Mapping { Some(self.plan_index(job, view).await?) } else { None };
        let mut events = Vec::with_capacity(claimed.len());
        for Claimed { key, start, relief } in &claimed {
            let (TryKey { task, piece, number, .. }, job) = (*key, job.clone());
            let Some(index) = &index else {
                events.push(match key.stage {
                    Stage::Split => Event::Split(SplitEvent { job, number }),
                    _ => Event::Reduce(ReduceEvent { job, task, number, program }),
                });
                continue;
            };
            let at = index.split(task).ok_or_else(|| no_task(&job, task))?;
            // Only a try that eases a task which died of memory needs the size of its piece.
            let (piece_bytes, half_bytes_min) = if relief.fewer.is_some() || *relief == Relief::default() {
                (0, 0)
            } else {
                let plan = plan_of(&job, view)?;
                let (split, spec) = tokio::try_join!(self.split(&job, plan, at), self.spec(&job))?;
                (left_bytes(&split, *start), half_bytes_min(&spec))
            };
            let has_larger = self.stack.functions.mapper_large.is_some();
            let (Eased { larger, bytes_max }, calls_max) = match relief.fewer {
                Some(fewer) => (Eased { larger: fewer.larger && has_larger, bytes_max: None }, Some(fewer.calls_max)),
                None => (relief.eased(piece_bytes, half_bytes_min, has_larger), None),
            };
            let first = MapEvent::first(job, task, at, program);
            events.push(Event::Map(MapEvent { piece, number, start: *start, bytes_max, calls_max, larger, ..first }));
        }
        self.functions.start_all(events).await?;
        let accepted: Vec<_> = claimed.iter().map(|claimed| self.ledger.accepted(job, claimed.key)).collect();
        stream::iter(accepted).buffer_unordered(ACCEPTED_AT_ONCE).try_collect().await
    }

    /// Ends a job whose tasks are all committed: checks the sums, publishes, and records success.
    async fn finish(&self, job: &JobId, view: &JobView, before: &Requests) -> Result<()> {
        let started_at = self.now();
        if !view.writes_output {
            return self.finish_calls(job, view, before, started_at).await;
        }
        let publication = self.publication(job, view).await?;
        let upload = self.begin_manifest(&publication.spec.output).await?;
        let (usage, before) = (self.usage_since(before, started_at), self.clients.meter.totals());
        if !self.ledger.publish(job, &upload, usage.as_ref()).await? {
            let (output, key) = (&publication.spec.output, publication.spec.output.manifest_key());
            return self.objects.abort_upload(&output.bucket, &key, &upload).await;
        }
        let view = JobView { phase: Phase::Publishing, manifest_upload: Some(upload), ..view.clone() };
        self.publish(job, &view, publication, &Turn::new(Phase::Publishing, 1), &before).await
    }

    async fn publish(
        &self,
        job: &JobId,
        view: &JobView,
        mut publication: Publication,
        turn: &Turn,
        before: &Requests,
    ) -> Result<()> {
        let started_at = self.now();
        let runs = (!publication.spec.options.keep_runs).then(|| std::mem::take(&mut publication.maps));
        // S3 may take minutes to complete large parts; signs of life are needed meanwhile.
        let published = tokio::select! {
            biased;
            published = self.publish_output(job, publication, view.manifest_upload.clone()) => published,
            taken = turn.keep(self, job) => Err(taken),
        };
        match published {
            Ok(()) => {
                let usage = self.usage_since(before, started_at);
                if self.ledger.settle(job, Phase::Publishing, Phase::Succeeded, usage.as_ref()).await?
                    && let Some(runs) = runs
                {
                    self.leave_no_runs(job, runs).await;
                }
                Ok(())
            }
            Err(error) if error.is(Code::TurnTaken) => Ok(()),
            Err(error) if self.decides(&error) => self.give_up_publishing(job, view, &error).await,
            Err(error) => Err(error),
        }
    }

    /// Ends a job that cannot be published, unless its result is visible all the same.
    async fn give_up_publishing(&self, job: &JobId, view: &JobView, error: &Error) -> Result<()> {
        let upload = match self.spec(job).await {
            Ok(spec) => {
                let stopped = async {
                    let upload = self.stop_publishing(job, &spec.output).await?;
                    self.publish_rest(job, &spec.output).await.map(|published| (published, upload))
                };
                match stopped.await {
                    Ok((true, _)) => {
                        return self.ledger.settle(job, Phase::Publishing, Phase::Succeeded, None).await.map(drop);
                    }
                    Ok((false, upload)) => upload,
                    Err(error) if error.is(Code::TurnTaken) => return Ok(()),
                    // Nothing can be in a bucket that does not exist.
                    Err(error) if error.is(Code::BucketMissing) => view.manifest_upload.clone(),
                    // A process that may not even abort the upload leaves it to others, but not for ever.
                    Err(error) if self.decides(&error) && view.turn > PUBLISHING_TURNS_MAX => {
                        view.manifest_upload.clone()
                    }
                    Err(error) => return Err(error),
                }
            }
            Err(error) if error.is(Code::ObjectMissing) => view.manifest_upload.clone(),
            Err(error) => return Err(error),
        };
        tracing::error!(target: "kinglet::job", %job, code = error.code(), %error, hint = error.hint(), "publishing");
        if self.ledger.end_publishing(job, view, upload.as_deref(), error).await? {
            return self.undo(job, &self.ledger.job(job).await?).await;
        }
        Ok(())
    }

    async fn undo(&self, job: &JobId, view: &JobView) -> Result<()> {
        let spec = match self.spec(job).await {
            Ok(spec) => Some(spec),
            // Without the spec, nobody can tell where the output is.
            Err(error) if self.decides(&error) => {
                tracing::warn!(%job, %error, "undoing a job without its spec");
                None
            }
            Err(error) => return Err(error),
        };
        if let Some(spec) = &spec {
            self.undo_output(job, spec, view).await?;
        }
        let ending = view.ending.unwrap_or(Phase::Failed);
        self.ledger.settle(job, Phase::Undoing, ending, None).await?;
        // A claim may have been on its way when the output was looked at. Any claim sent from now on sees that the job has
        // ended.
        if let Some(spec) = &spec
            && let Err(error) = self.drop_late_claim(job, &spec.output).await
        {
            tracing::warn!(%job, %error, "looking for a late claim");
        }
        Ok(())
    }

    /// Ends a job of calls when all results are committed: checks that each call has one. Such a job has no output.
    async fn finish_calls(&self, job: &JobId, view: &JobView, before: &Requests, started_at: Timestamp) -> Result<()> {
        let committed = self.ledger.committed::<MapRecord>(job, view.map_tasks).await?;
        let made: u64 = committed.iter().flatten().map(|record| record.records).sum();
        let count = view.calls.map_or(0, |calls| calls.count);
        if made != count {
            let message = format!("reconciling job {job}: calls given and made: {count} is not {made}");
            return Err(Error::new(Code::Unreconciled, message));
        }
        let usage = self.usage_since(before, started_at);
        // Without a call that reduces them, what the batches return is the result.
        if self.ledger.succeed(job, view.phase, usage.as_ref()).await? && view.partitions > 0 {
            self.leave_no_runs(job, committed).await;
        }
        Ok(())
    }

    /// Collects what a job whose tasks are all committed has to publish.
    ///
    /// # Errors
    /// Returns `unreconciled` when the sums do not agree; or a service error of S3 or DynamoDB.
    async fn publication(&self, job: &JobId, view: &JobView) -> Result<Publication> {
        let key = Self::plan_key(job, plan_of(job, view)?);
        let (spec, bytes, maps, reduces) = tokio::try_join!(
            self.spec(job),
            self.objects.get_whole(&self.stack.work_bucket, &key, SMALL_BYTES_MAX),
            self.ledger.committed::<MapRecord>(job, view.map_tasks),
            self.ledger.committed::<ReduceRecord>(job, view.partitions),
        )?;
        let (splits, inputs) = plan::read(&bytes)?;
        let reduces: Vec<_> = reduces.into_iter().flatten().collect();
        if reduces.len() != view.partitions as usize {
            let message = format!("job {job}: {} of {} parts", reduces.len(), view.partitions);
            return Err(Error::new(Code::Unreconciled, message));
        }
        let manifest = reconcile(job, &spec, &inputs, &splits, &maps, &reduces)?;
        Ok(Publication { spec, maps, reduces, manifest })
    }

    /// Ends a job without success unless it has ended or is publishing, and undoes what it has written to its output.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses;
    /// another process then goes on.
    pub async fn fail(&self, job: &JobId, phase: Phase, error: &Error) -> Result<()> {
        self.fail_in(job, &[Phase::Splitting, Phase::Mapping, Phase::Reducing], phase, error).await
    }

    /// Ends a job without success, as [`Self::fail`] does, if it is in one of the phases `from`.
    async fn fail_in(&self, job: &JobId, from: &[Phase], phase: Phase, error: &Error) -> Result<()> {
        let view = self.ledger.job(job).await?;
        if !from.contains(&view.phase) || !self.ledger.end(job, &view, from, phase, error).await? {
            return Ok(());
        }
        let (code, hint) = (error.code(), error.hint());
        tracing::error!(
            target: "kinglet::job", %job, phase = phase.as_str(), code, %error, hint, "the job ended without success"
        );
        if view.writes_output {
            // Read again: the job may have gone on between the first read and its end.
            let view = self.ledger.job(job).await?;
            match self.undo(job, &view).await {
                // Others may have rights that this process lacks, and the job has ended all the same.
                Err(error) if !error.is_retryable() && !self.decides(&error) => {
                    tracing::warn!(%job, %error, "undoing is left to the functions");
                }
                undone => undone?,
            }
        }
        Ok(())
    }

    /// Brings a job to its end from any phase: a job that is publishing succeeds, any other is cancelled.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses;
    /// another process then goes on.
    pub async fn bring_to_end(&self, job: &JobId, error: &Error) -> Result<()> {
        let view = self.ledger.job(job).await?;
        match view.phase {
            Phase::Publishing | Phase::Undoing => self.go_on(job, &view, &Turn::new(view.phase, view.turn)).await,
            phase if phase.is_final() => Ok(()),
            _ => self.fail(job, Phase::Cancelled, error).await,
        }
    }

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

/// A try that was claimed and is to be sent.
struct Claimed {
    key: TryKey,
    start: Option<Position>,
    relief: Relief,
}

/// The turn of taking a job through a phase; see [`kinglet_core::ledger::advance`].
pub struct Turn {
    phase: Phase,
    number: u64,
}

impl Turn {
    /// Returns a turn that was just taken.
    pub fn new(phase: Phase, number: u64) -> Self {
        Turn { phase, number }
    }

    /// Gives signs of life until another process has taken the turn; returns `turn-taken` then.
    async fn keep(&self, conductor: &Conductor, job: &JobId) -> Error {
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

/// The pause between signs of life of the process that has the turn. Others take it after [`kinglet_core::ledger::TURN_MS`]
/// of silence.
const KEEP_EVERY: Duration = Duration::from_secs(2);

/// The most turns at publishing, each of ten seconds or more, before a job fails whose output can neither be written nor
/// looked at.
const PUBLISHING_TURNS_MAX: u64 = 30;

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

/// The number of events sent between two signs of life.
const SENT_AT_ONCE: u32 = 500;

/// How many tries are marked as accepted at once.
const ACCEPTED_AT_ONCE: usize = 16;

fn no_task(job: &JobId, task: TaskIdx) -> Error {
    Error::new(Code::PlanCorrupt, format!("job {job} has no task {}", task.0))
}

/// Returns the smallest piece, in bytes, that a halved piece may become; for items, about one of them.
fn half_bytes_min(spec: &JobSpec) -> u64 {
    match spec.inputs.first().map(|input| &input.objects) {
        Some(Which::Items(items)) => items.items_bytes / items.items.max(1),
        _ => HALF_BYTES_MIN,
    }
}

/// Returns the bytes of a split from a position on.
fn left_bytes(split: &Split, start: Option<Position>) -> u64 {
    let start = start.unwrap_or(Position::at(0, 0));
    let ranges = split.ranges.iter().skip(start.range_idx as usize);
    ranges
        .zip(0..)
        .map(
            |(range, n)| {
                if n == 0 { range.to - range.from.max(start.offset).min(range.to) } else { range.to - range.from }
            },
        )
        .sum()
}
