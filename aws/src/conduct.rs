//! Carries out what [`advance`] decides: reads the ledger, asks, claims, acts. Used by every function and by the driver.

use crate::clients::Clients;
use crate::functions::{FunctionNames, Functions};
use crate::ledger::Ledger;
use crate::objects::{Objects, Put, Replace};
use kinglet_core::ids::{AttemptId, JobId, Piece, Stage, TaskIdx, Timestamp};
use kinglet_core::ledger::{Command, Eased, HALF_BYTES_MIN, JobView, LedgerView, Phase, Relief, advance};
use kinglet_core::manifest::{Manifest, reconcile};
use kinglet_core::wire::event::{Event, MapEvent, ReduceEvent, SplitEvent};
use kinglet_core::wire::frame;
use kinglet_core::wire::plan::{self, PlanIndex, Split};
use kinglet_core::wire::record::{MapRecord, Position, ReduceRecord, Requests, Usage};
use kinglet_core::wire::spec::{JobSpec, Objects as Which, Then};
use kinglet_core::{Error, Result};

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
    pub(crate) in_function: bool,
}

impl Conductor {
    /// A conductor of a stack.
    pub fn new(clients: Clients, stack: Stack) -> Self {
        Conductor {
            objects: Objects::new(clients.s3.clone()),
            ledger: Ledger::new(clients.dynamodb.clone(), &stack.table, clients.meter.clone()),
            functions: Functions::new(clients.lambda.clone(), stack.functions.clone()),
            stack,
            clients,
            in_function: false,
        }
    }

    /// What all keys of a job in the work bucket start with.
    pub fn prefix(job: &JobId) -> String {
        format!("jobs/{job}/")
    }

    /// The key of a job's spec in the work bucket.
    pub fn spec_key(job: &JobId) -> String {
        format!("jobs/{job}/spec")
    }

    /// The key of a job's plan in the work bucket.
    pub fn plan_key(job: &JobId) -> String {
        format!("jobs/{job}/plan")
    }

    /// The key of a job's items in the work bucket.
    pub fn items_key(job: &JobId) -> String {
        format!("jobs/{job}/items")
    }

    /// The key of a map attempt's runs in the work bucket.
    pub fn runs_key(job: &JobId, task: TaskIdx, piece: Piece, attempt: AttemptId) -> String {
        format!("jobs/{job}/runs/{:06}.{}/{attempt}", task.0, piece.0)
    }

    /// The job's spec.
    ///
    /// # Errors
    /// What S3 reports; a spec of another version.
    pub async fn spec(&self, job: &JobId) -> Result<JobSpec> {
        let bytes = self.objects.get(&self.stack.work_bucket, &Self::spec_key(job), None).await?;
        frame::read(&bytes, &format!("the spec of job {job}"))
    }

    /// One split of the plan.
    ///
    /// # Errors
    /// What S3 reports.
    pub async fn split(&self, job: &JobId, at: (u64, u64)) -> Result<Split> {
        let bytes = self.objects.get(&self.stack.work_bucket, &Self::plan_key(job), Some(at)).await?;
        frame::read(&bytes, &format!("a split of job {job}"))
    }

    /// Where the splits lie in the plan.
    async fn plan_index(&self, job: &JobId, map_tasks: u32) -> Result<PlanIndex> {
        let range = Some((0, PlanIndex::bytes(map_tasks)));
        PlanIndex::read(&self.objects.get(&self.stack.work_bucket, &Self::plan_key(job), range).await?)
    }

    /// Reads the ledger, decides, and does what is to be done. Returns the phase the job was in.
    ///
    /// # Errors
    /// What the services report. Nothing is lost: whoever comes next decides again.
    pub async fn conduct(&self, job: &JobId) -> Result<Phase> {
        let now = Timestamp::now();
        let before = self.clients.meter.totals();
        let view = self.view(job).await?;
        let phase = view.job.phase;
        let mut invocations = Vec::new();
        let mut again = false;
        for command in advance(&view, now) {
            tracing::debug!(%job, ?command, "advance");
            match command {
                Command::Split { number } => {
                    if self.ledger.claim_split(job, number, now).await? {
                        self.functions.start(&Event::Split(SplitEvent { job: job.clone() })).await?;
                    }
                }
                Command::Invoke { task, piece, start, number, relief } => {
                    let stage = if phase == Phase::Mapping { Stage::Map } else { Stage::Reduce };
                    if self.ledger.claim(job, stage, task, piece, number, now).await? {
                        invocations.push((task, piece, start, number, relief));
                    }
                }
                Command::StartReducing => {
                    let usage = self.usage_since(&before, now);
                    if self.ledger.proceed(job, Phase::Mapping, Phase::Reducing, usage.as_ref(), now).await? {
                        let tasks = (0..view.job.partitions).map(TaskIdx);
                        let program = view.job.program;
                        let event = |task| Event::Reduce(ReduceEvent { job: job.clone(), task, number: 0, program });
                        self.functions.start_all(tasks.map(event).collect()).await?;
                    }
                }
                Command::Settle { task, piece, start, error } => {
                    match self.settle(job, &view.job, (task, piece, start), &error).await {
                        // It would be refused again each time, and nobody would know.
                        Err(error) if !error.is_retryable() => self.fail(job, Phase::Failed, &error).await?,
                        settled => again |= settled?,
                    }
                }
                Command::Finish => match self.finish(job, &view, &before).await {
                    Err(error) if !error.is_retryable() || error.code() == "unreconciled" => {
                        self.fail(job, Phase::Failed, &error).await?;
                    }
                    done => done?,
                },
                Command::Fail(error) => self.fail(job, Phase::Failed, &error).await?,
            }
        }
        if !invocations.is_empty() {
            self.invoke(job, &view.job, invocations).await?;
        }
        if again {
            // What was settled was the last: the stage is complete. It can only be once for each stage.
            return Box::pin(self.conduct(job)).await;
        }
        Ok(phase)
    }

    /// Where a task's split lies in the plan.
    pub(crate) async fn plan_at(&self, job: &JobId, map_tasks: u32, task: TaskIdx) -> Result<(u64, u64)> {
        let index = self.plan_index(job, map_tasks).await?;
        index.split(task).ok_or_else(|| Error::corrupt("plan-corrupt", format!("job {job} has no task {}", task.0)))
    }

    async fn view(&self, job: &JobId) -> Result<LedgerView> {
        let view = self.ledger.job(job).await?;
        let since = |n: usize| view.phase_at[n].unwrap_or_default();
        let tasks = match view.phase {
            Phase::Mapping => self.ledger.tasks::<MapRecord>(job, view.map_tasks, view.calls, since(1)).await?,
            Phase::Reducing => self.ledger.tasks::<ReduceRecord>(job, view.partitions, None, since(2)).await?,
            _ => vec![],
        };
        Ok(LedgerView { job: view, tasks })
    }

    async fn invoke(
        &self,
        job: &JobId,
        view: &JobView,
        claimed: Vec<(TaskIdx, Piece, Option<Position>, u16, Relief)>,
    ) -> Result<()> {
        let program = view.program;
        if view.phase == Phase::Reducing {
            let event =
                |(task, _, _, number, _)| Event::Reduce(ReduceEvent { job: job.clone(), task, number, program });
            return self.functions.start_all(claimed.into_iter().map(event).collect()).await;
        }
        let index = self.plan_index(job, view.map_tasks).await?;
        let mut events = Vec::with_capacity(claimed.len());
        for (task, piece, start, number, relief) in claimed {
            let at = index
                .split(task)
                .ok_or_else(|| Error::corrupt("plan-corrupt", format!("job {job} has no task {}", task.0)))?;
            // Only a task that died of memory needs to know how large it is.
            let (piece_bytes, half_bytes_min) = if relief.fewer.is_some() || relief == Relief::default() {
                (0, 0)
            } else {
                let (split, spec) = tokio::try_join!(self.split(job, at), self.spec(job))?;
                (left_bytes(&split, start), half_bytes_min(&spec))
            };
            let has_larger = self.stack.functions.mapper_large.is_some();
            let (Eased { larger, bytes_max }, calls_max) = match relief.fewer {
                Some(fewer) => (Eased { larger: fewer.larger && has_larger, bytes_max: None }, Some(fewer.calls_max)),
                None => (relief.eased(piece_bytes, half_bytes_min, has_larger), None),
            };
            let job = job.clone();
            events.push(Event::Map(MapEvent {
                job,
                task,
                piece,
                number,
                plan: at,
                start,
                bytes_max,
                calls_max,
                larger,
                program,
            }));
        }
        self.functions.start_all(events).await
    }

    /// All parts are committed: checks the sums, writes the manifest, ends the job.
    async fn finish(&self, job: &JobId, view: &LedgerView, before: &Requests) -> Result<()> {
        let started_at = Timestamp::now();
        let spec = self.spec(job).await?;
        if spec.calls.as_ref().is_some_and(|calls| calls.then != Then::Job) {
            return self.finish_calls(job, view, before, started_at).await;
        }
        let manifest = self.manifest(job, &spec, view.job.map_tasks, view.job.partitions).await?;
        let key = spec.output.manifest_key();
        let mut text = serde_json::to_vec_pretty(&manifest)
            .map_err(|e| Error::corrupt("manifest", format!("writing the manifest of job {job}: {e}")))?;
        text.push(b'\n');
        if self.objects.put(&spec.output.bucket, &key, text.into(), Replace::No).await? == Put::Exists {
            // Another conductor of this job may have been first; another job must not have been.
            let there = self.objects.get(&spec.output.bucket, &key, None).await?;
            let there: Option<Manifest> = serde_json::from_slice(&there).ok();
            if there.is_none_or(|there| there.job != manifest.job) {
                return Err(Error::input(
                    "output-taken",
                    format!("{} was written by another job", spec.output.shown_key(&key)),
                )
                .with_hint("choose another output"));
            }
        }
        let usage = self.usage_since(before, started_at);
        self.ledger.proceed(job, Phase::Reducing, Phase::Succeeded, usage.as_ref(), Timestamp::now()).await?;
        Ok(())
    }

    /// What a function has spent on the job beside its own task; a driver counts for itself.
    fn usage_since(&self, before: &Requests, started_at: Timestamp) -> Option<Usage> {
        let requests = self.clients.meter.since(before);
        self.in_function.then(|| Usage { started_at, requests, ..Usage::default() })
    }

    /// All results of calls are committed: checks that each call has one, and ends the job. There is no output.
    async fn finish_calls(
        &self,
        job: &JobId,
        view: &LedgerView,
        before: &Requests,
        started_at: Timestamp,
    ) -> Result<()> {
        let committed = self.ledger.committed::<MapRecord>(job, view.job.map_tasks).await?;
        let made: u64 = committed.iter().flatten().map(|record| record.records).sum();
        let count = view.job.calls.map_or(0, |calls| calls.count);
        if made != count {
            let message = format!("reconciling job {job}: calls given and made: {count} is not {made}");
            return Err(Error::corrupt("unreconciled", message));
        }
        let usage = self.usage_since(before, started_at);
        self.ledger.proceed(job, view.job.phase, Phase::Succeeded, usage.as_ref(), Timestamp::now()).await?;
        Ok(())
    }

    /// The manifest of a job whose tasks are all committed.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with `unreconciled` when the sums do not agree.
    pub async fn manifest(&self, job: &JobId, spec: &JobSpec, map_tasks: u32, partitions: u32) -> Result<Manifest> {
        let bytes = self.objects.get(&self.stack.work_bucket, &Self::plan_key(job), None).await?;
        let (splits, inputs) = plan::read(&bytes)?;
        let maps = self.ledger.committed::<MapRecord>(job, map_tasks).await?;
        let reduces: Vec<_> =
            self.ledger.committed::<ReduceRecord>(job, partitions).await?.into_iter().flatten().collect();
        if reduces.len() != partitions as usize {
            return Err(Error::corrupt("unreconciled", format!("job {job}: {} of {partitions} parts", reduces.len())));
        }
        reconcile(job.as_str(), spec, &inputs, &splits, &maps, &reduces)
    }

    /// Ends a job without success and removes what it has published, so that nothing looks whole.
    ///
    /// # Errors
    /// What the services report.
    pub async fn fail(&self, job: &JobId, phase: Phase, error: &Error) -> Result<()> {
        let before = self.ledger.job(job).await?;
        if !self.ledger.end(job, phase, error, Timestamp::now()).await? {
            return Ok(());
        }
        let (phase, code, hint) = (phase.as_str(), error.code(), error.hint());
        tracing::error!(target: "kinglet::job", %job, phase, code, %error, hint, "the job ended without success");
        if before.phase == Phase::Reducing { self.remove_parts(job, before.partitions).await } else { Ok(()) }
    }

    /// Removes the parts of a job that ended without success: not only the committed ones, as an attempt may have published
    /// its part and not come to commit it. What is published later, its attempt removes itself when it finds the job ended.
    ///
    /// # Errors
    /// What the services report.
    pub async fn remove_parts(&self, job: &JobId, partitions: u32) -> Result<()> {
        let spec = self.spec(job).await?;
        if spec.calls.as_ref().is_some_and(|calls| calls.then != Then::Job) {
            return Ok(());
        }
        let keys: Vec<_> = (0..partitions).map(|partition| spec.output.part_key(partition)).collect();
        self.objects.delete(&spec.output.bucket, &keys).await
    }

    /// Records that a try failed, and decides what follows.
    ///
    /// # Errors
    /// What the services report.
    pub async fn try_failed(
        &self,
        job: &JobId,
        stage: Stage,
        task: TaskIdx,
        piece: Piece,
        number: u16,
        error: &Error,
    ) -> Result<()> {
        let (code, hint) = (error.code(), error.hint());
        tracing::warn!(%job, %stage, task = task.0, piece = piece.0, attempt = number, code, %error, hint, "a try failed");
        self.ledger.fail(job, stage, task, piece, number, error, Timestamp::now()).await?;
        self.conduct(job).await.map(|_| ())
    }
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
