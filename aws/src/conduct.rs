//! Carries out what [`advance`] decides: reads the ledger, asks, claims, acts. Used by every function and by the driver.

use crate::clients::Clients;
use crate::functions::{FunctionNames, Functions};
use crate::ledger::{Ledger, Says};
use crate::objects::Objects;
use crate::output::Publication;
use crate::replies::Pause;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::ids::{JobId, Stage, TaskIdx, Timestamp, TryKey};
use kinglet_core::ledger::{
    Command, Eased, HALF_BYTES_MIN, Invoke, JobView, LedgerView, Phase, PieceAt, Relief, Settle, advance,
};
use kinglet_core::manifest::reconcile;
use kinglet_core::wire::event::{Event, MapEvent, ReduceEvent, SplitEvent};
use kinglet_core::wire::frame;
use kinglet_core::wire::plan::{self, PlanIndex, Split};
use kinglet_core::wire::record::{MapRecord, Position, ReduceRecord, Requests, Usage};
use kinglet_core::wire::spec::{JobSpec, Objects as Which};
use kinglet_core::{ByteRange, Code, Error, Result};
use std::time::Duration;

/// Where a stack's parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The ledger's table.
    pub table: String,
    /// The bucket for specs, plans and runs.
    pub work_bucket: String,
    /// The functions.
    pub functions: FunctionNames,
    /// Their timeout in milliseconds.
    pub timeout_ms: u64,
}

/// Everything that acts for a job.
#[derive(Clone)]
pub struct Conductor {
    /// S3.
    pub objects: Objects,
    /// DynamoDB.
    pub ledger: Ledger,
    /// Lambda.
    pub functions: Functions,
    /// Where things are.
    pub stack: Stack,
    /// The clients behind these.
    pub clients: Clients,
    /// Whether this is a function, whose requests nobody else counts, and not the driver.
    in_function: bool,
    /// Whether nobody who may do more acts for its jobs.
    alone: bool,
}

impl Conductor {
    /// A conductor of a stack.
    pub fn new(clients: Clients, stack: Stack) -> Self {
        Conductor {
            objects: Objects::new(clients.s3.clone()),
            ledger: Ledger::new(clients.dynamodb.clone(), &stack.table, clients.meter.clone(), clients.clock.clone()),
            functions: Functions::new(clients.lambda.clone(), stack.functions.clone()),
            stack,
            clients,
            in_function: false,
            alone: false,
        }
    }

    /// The same for a function.
    #[must_use]
    pub fn in_function(self) -> Self {
        Conductor { in_function: true, ..self }
    }

    /// The same for a driver whose functions may do no more than it: an error of its own is then one of the job.
    #[must_use]
    pub fn alone(self) -> Self {
        Conductor { alone: true, ..self }
    }

    /// What all keys of a job in the work bucket start with.
    pub fn prefix(job: &JobId) -> String {
        format!("jobs/{job}/")
    }

    /// The key of a job's spec in the work bucket.
    pub fn spec_key(job: &JobId) -> String {
        format!("jobs/{job}/spec")
    }

    /// The key of one of a job's plans in the work bucket: each splitter writes one of its own, and the ledger says which counts.
    pub fn plan_key(job: &JobId, plan: &str) -> String {
        format!("jobs/{job}/plan/{plan}")
    }

    /// The key of a job's items in the work bucket.
    pub fn items_key(job: &JobId) -> String {
        format!("jobs/{job}/items")
    }

    /// The job's spec.
    ///
    /// # Errors
    /// What S3 reports; a spec of another version.
    pub async fn spec(&self, job: &JobId) -> Result<JobSpec> {
        let bytes = self.objects.get(&self.stack.work_bucket, &Self::spec_key(job), None).await?;
        frame::read(&bytes, &format!("the spec of job {job}"))
    }

    /// One split of a plan.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn split(&self, job: &JobId, plan: &str, at: ByteRange) -> Result<Split> {
        let bytes = self.objects.get(&self.stack.work_bucket, &Self::plan_key(job, plan), Some(at.into())).await?;
        frame::read(&bytes, &format!("a split of job {job}"))
    }

    /// Where the splits lie in the plan.
    async fn plan_index(&self, job: &JobId, view: &JobView) -> Result<PlanIndex> {
        let range = Some((0, PlanIndex::bytes(view.map_tasks)));
        let key = Self::plan_key(job, plan_of(job, view)?);
        PlanIndex::read(&self.objects.get(&self.stack.work_bucket, &key, range).await?)
    }

    /// The services' time.
    pub fn now(&self) -> Timestamp {
        self.clients.clock.now()
    }

    /// Reads the ledger, decides, and does what is to be done. Returns the phase the job was in.
    ///
    /// # Errors
    /// What the services report. Nothing is lost: whoever comes next decides again.
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
                    if self.ledger.proceed(job, Phase::Mapping, Phase::Reducing, usage.as_ref()).await? {
                        let turn = Turn::new(Phase::Reducing, 1);
                        let view = JobView { phase: Phase::Reducing, sent: 0, ..view.job.clone() };
                        self.send_stage(job, &view, &turn).await?;
                    }
                }
                Command::Settle(Settle { of, error }) => {
                    match self.settle(job, &view.job, of, &error).await {
                        // It would be refused again each time, and nobody would know.
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
                // What was decided of one phase says nothing of the next.
                Command::Fail(error) => self.fail_in(job, &[phase], Phase::Failed, &error).await?,
            }
        }
        if !claimed.is_empty() {
            self.invoke(job, &view.job, claimed).await?;
        }
        if again {
            // What was settled was the last: the stage is complete. It can only be once for each stage.
            return Box::pin(self.conduct(job)).await;
        }
        Ok(phase)
    }

    /// Where a task's split lies in the plan.
    pub(crate) async fn plan_at(&self, job: &JobId, view: &JobView, task: TaskIdx) -> Result<ByteRange> {
        let index = self.plan_index(job, view).await?;
        index.split(task).ok_or_else(|| no_task(job, task))
    }

    async fn view(&self, job: &JobId) -> Result<LedgerView> {
        let view = self.ledger.job(job).await?;
        let at = view.phase_at;
        let since = Option::unwrap_or_default;
        let tasks = match view.phase {
            Phase::Splitting => vec![self.ledger.splitting(job, since(at.splitting)).await?],
            Phase::Mapping => {
                self.ledger.tasks::<MapRecord>(job, view.map_tasks, view.calls, since(at.mapping)).await?
            }
            Phase::Reducing => {
                self.ledger.tasks::<ReduceRecord>(job, view.partitions, None, since(at.reducing)).await?
            }
            _ => vec![],
        };
        Ok(LedgerView { job: view, tasks })
    }

    /// Goes on with what whoever had the turn before seems to have left.
    async fn go_on(&self, job: &JobId, view: &JobView, turn: &Turn) -> Result<()> {
        let before = self.clients.meter.totals();
        match view.phase {
            Phase::Publishing => match self.publication(job, view).await {
                Ok(publication) => self.publish(job, view, publication, turn, &before).await,
                Err(error) if !self.decides(&error) => Err(error),
                // What it was made of is gone, as a lifecycle rule may have it: it is there already, or will never be.
                Err(error) => self.give_up_publishing(job, view, &error).await,
            },
            Phase::Undoing => self.undo(job, view).await,
            _ => self.send_stage(job, view, turn).await,
        }
    }

    /// Sends the tasks of the stage that the job is in, from the first that was not sent, and gives signs of life meanwhile.
    /// Where Lambda takes no more for now, another goes on later. What can never be sent fails the job.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses.
    pub async fn send_stage(&self, job: &JobId, view: &JobView, turn: &Turn) -> Result<()> {
        let sent = self.send_from(job, view, turn).await;
        self.fail_if_fatal(job, view.phase, sent).await
    }

    /// Fails a job in this phase by an error that would come again each time, and passes that on.
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
                    // Where Lambda is slow to take them, others must not think that nobody sends.
                    () = tokio::time::sleep(KEEP_EVERY) => {
                        if !self.ledger.keep_turn(job, view.phase, turn.number, sent).await? {
                            return Ok(());
                        }
                    }
                }
            };
            match done {
                Ok(()) => sent = to,
                // Those that were sent are sent again: who comes second leaves.
                Err(error) if error.is(Code::Throttled) => {
                    tracing::warn!(%job, %error, sent, "Lambda takes no more events for now");
                    if pause.wait("sending events").await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
            if sent == count && !self.in_function {
                // A driver's caller need not wait until it is noted that all is sent; where it never is, all is sent again.
                let (conductor, job, phase, number) = (self.clone(), job.clone(), view.phase, turn.number);
                tokio::spawn(async move { conductor.ledger.keep_turn(&job, phase, number, sent).await });
                return Ok(());
            }
            if !self.ledger.keep_turn(job, view.phase, turn.number, sent).await? {
                return Ok(()); // Another has taken the turn, or the stage is over already.
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
            // Only a task that died of memory needs to know how large it is.
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

    /// All tasks are committed: checks the sums, publishes, ends the job.
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
        publication: Publication,
        turn: &Turn,
        before: &Requests,
    ) -> Result<()> {
        let started_at = self.now();
        // Completing large parts takes S3 minutes.
        let published = tokio::select! {
            biased;
            published = self.publish_output(job, publication, view.manifest_upload.clone()) => published,
            taken = turn.keep(self, job) => Err(taken),
        };
        match published {
            Ok(()) => {
                let usage = self.usage_since(before, started_at);
                self.ledger.settle(job, Phase::Publishing, Phase::Succeeded, usage.as_ref()).await.map(drop)
            }
            Err(error) if error.is(Code::TurnTaken) => Ok(()),
            Err(error) if self.decides(&error) => self.give_up_publishing(job, view, &error).await,
            Err(error) => Err(error),
        }
    }

    /// Whether an error says something of the job, and not only of who met it: a driver may lack rights that functions have.
    pub(crate) fn decides(&self, error: &Error) -> bool {
        let of_driver = error.known_code().is_some_and(|code| {
            matches!(code, Code::AccessDenied | Code::Clock | Code::Region) || code.is_of_credentials()
        });
        !error.is_retryable() && (self.in_function || self.alone || !of_driver)
    }

    /// Ends a job that cannot be published, unless its result is there all the same.
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
                    // Nothing can be there, nor come.
                    Err(error) if error.is(Code::BucketMissing) => view.manifest_upload.clone(),
                    // Whoever may not even abort the upload leaves it to others, but not for ever.
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
            // Without it nobody can tell where the output is.
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
        // A claim that was on its way when the output was looked at: whoever sends one later sees that the job has ended.
        if let Some(spec) = &spec
            && let Err(error) = self.drop_late_claim(job, &spec.output).await
        {
            tracing::warn!(%job, %error, "looking for a late claim");
        }
        Ok(())
    }

    /// What a function has spent on the job beside its own task; a driver counts for itself.
    fn usage_since(&self, before: &Requests, started_at: Timestamp) -> Option<Usage> {
        let requests = self.clients.meter.since(before);
        self.in_function.then(|| Usage { started_at, requests, ..Usage::default() })
    }

    /// All results of calls are committed: checks that each call has one, and ends the job. There is no output.
    async fn finish_calls(&self, job: &JobId, view: &JobView, before: &Requests, started_at: Timestamp) -> Result<()> {
        let committed = self.ledger.committed::<MapRecord>(job, view.map_tasks).await?;
        let made: u64 = committed.iter().flatten().map(|record| record.records).sum();
        let count = view.calls.map_or(0, |calls| calls.count);
        if made != count {
            let message = format!("reconciling job {job}: calls given and made: {count} is not {made}");
            return Err(Error::new(Code::Unreconciled, message));
        }
        let usage = self.usage_since(before, started_at);
        self.ledger.proceed(job, view.phase, Phase::Succeeded, usage.as_ref()).await?;
        Ok(())
    }

    /// What a job whose tasks are all committed has to publish.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with `unreconciled` when the sums do not agree.
    async fn publication(&self, job: &JobId, view: &JobView) -> Result<Publication> {
        let key = Self::plan_key(job, plan_of(job, view)?);
        let (spec, bytes, maps, reduces) = tokio::try_join!(
            self.spec(job),
            self.objects.get(&self.stack.work_bucket, &key, None),
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
        Ok(Publication { spec, reduces, manifest })
    }

    /// Gives a job up, unless it has ended or is publishing, and undoes what it has put into its output.
    ///
    /// # Errors
    /// What the services report; then another goes on.
    pub async fn fail(&self, job: &JobId, phase: Phase, error: &Error) -> Result<()> {
        self.fail_in(job, &[Phase::Splitting, Phase::Mapping, Phase::Reducing], phase, error).await
    }

    /// [`Self::fail`] while the job is in one of these phases.
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
            // As it is now, not as it was before it was ended: it may have gone on in between.
            let view = self.ledger.job(job).await?;
            match self.undo(job, &view).await {
                // Others may do what this may not, and the job has ended all the same.
                Err(error) if !error.is_retryable() && !self.decides(&error) => {
                    tracing::warn!(%job, %error, "undoing is left to the functions");
                }
                undone => undone?,
            }
        }
        Ok(())
    }

    /// Brings a job to its end whatever it is at: one that publishes succeeds, any other is cancelled.
    ///
    /// # Errors
    /// What the services report; then another goes on.
    pub async fn bring_to_end(&self, job: &JobId, error: &Error) -> Result<()> {
        let view = self.ledger.job(job).await?;
        match view.phase {
            Phase::Publishing | Phase::Undoing => self.go_on(job, &view, &Turn::new(view.phase, view.turn)).await,
            phase if phase.is_final() => Ok(()),
            _ => self.fail(job, Phase::Cancelled, error).await,
        }
    }

    /// Where nothing is heard of a job's splitter for some time, asks Lambda what is the matter with it: nobody else would say
    /// that it cannot run, as it is itself whom failures are handed to. What Lambda says is recorded as that of the try that
    /// waits. Returns after how long the next look is worth it, where that is soon.
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
            // It was free just now. Perhaps it was not before, and Lambda will try again in some minutes: so does this.
            Ok(None) if sends < SPLITTER_SENDS_MAX => {
                if self.ledger.claim(job, key, sends).await? {
                    self.functions.start(&Event::Split(SplitEvent { job: job.clone(), number })).await?;
                    self.ledger.accepted(job, key).await?;
                }
                return Ok(None);
            }
            Ok(None) => {
                // Whoever submitted the job has sent the first try without a claim.
                let times = sends + u16::from(number == 0);
                let message = format!("the splitter was invoked {times} times and has not begun");
                Error::new(Code::SplitterSilent, message)
            }
        };
        self.try_failed(job, key, Says::Lambda(""), &error.with_hint(hint)).await.map(|()| Some(PING_NEXT))
    }

    /// Records that a try failed, and decides what follows.
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

/// A try that was claimed, and is to be sent.
struct Claimed {
    key: TryKey,
    start: Option<Position>,
    relief: Relief,
}

/// The turn of taking a job through its phase; see [`kinglet_core::ledger::advance`].
pub struct Turn {
    phase: Phase,
    number: u64,
}

impl Turn {
    /// A turn that was just taken.
    pub fn new(phase: Phase, number: u64) -> Self {
        Turn { phase, number }
    }

    /// Gives signs of life until another has taken the turn, and says so.
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

/// How often whoever has the turn gives a sign of life: others wait for [`kinglet_core::ledger::TURN_MS`].
const KEEP_EVERY: Duration = Duration::from_secs(2);

/// After so many turns at publishing, each of ten seconds or more, a job fails whose output can neither be written nor be looked at.
const PUBLISHING_TURNS_MAX: u64 = 30;

/// After so long, in milliseconds, somebody looks what is the matter with a splitter that has not begun; at a further try
/// sooner, as the first look has shown that it cannot run.
const PING_FIRST_MS: u64 = 15_000;
const PING_NEXT: Duration = Duration::from_secs(4);

/// How long an answer is waited for.
const PING_MAX: Duration = Duration::from_secs(10);

/// A splitter that can run, and does not begin, is sent its event again after so long, in milliseconds, after twice as long each
/// time, but no more than so often, which takes a quarter of an hour: then it dies before it can say that it has begun.
const PING_AGAIN_MS: u64 = 30_000;
const SPLITTER_SENDS_MAX: u16 = 5;

/// How many events are sent between two signs of life.
const SENT_AT_ONCE: u32 = 500;

/// How many tries are marked as sent at once.
const ACCEPTED_AT_ONCE: usize = 16;

/// Which plan is a job's.
fn plan_of<'a>(job: &JobId, view: &'a JobView) -> Result<&'a str> {
    view.plan.as_deref().ok_or_else(|| Error::new(Code::PlanCorrupt, format!("job {job} has no plan")))
}

fn no_task(job: &JobId, task: TaskIdx) -> Error {
    Error::new(Code::PlanCorrupt, format!("job {job} has no task {}", task.0))
}

/// The least that a piece is halved to: of items, one of them, about.
fn half_bytes_min(spec: &JobSpec) -> u64 {
    match spec.inputs.first().map(|input| &input.objects) {
        Some(Which::Items(items)) => items.items_bytes / items.items.max(1),
        _ => HALF_BYTES_MIN,
    }
}

/// The bytes of a split from a position on.
fn left_bytes(split: &Split, start: Option<Position>) -> u64 {
    let start = start.unwrap_or(Position { range_idx: 0, offset: 0 });
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
