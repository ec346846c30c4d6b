//! What an invocation of a task goes through, whichever stage's it is. A stage's [`Work`] says only what happens between the
//! start of a try and its commit.
//!
//! | step | requests | when it ends here |
//! |---|---|---|
//! | the job is read | 1 read | it is in another phase |
//! | the try is started; at the same time the spec and the stage's own input are read | 1 write, the reads | another execution runs the try, or it is committed |
//! | signs of life begin ([`Running`]), and the stage's work is done | its own | nobody wants it any more |
//! | the try commits, and signs of life end | 1 write, and 1 to complete a group | another was first: 1 write says when |
//! | the execution that completes the stage conducts the job on | as [`Conductor::conduct`] | |
//!
//! An error on the way is recorded as the failure of the try, which decides what follows.

use crate::assignment::Assignment;
use crate::outcome::{Outcome, Skip};
use crate::tries::{self, Look, Running};
use crate::worker::{Invocation, Worker};
use kinglet_aws::ledger::{Commit, Record, Run, Says};
use kinglet_aws::{Conductor, nonce, on_heap};
use kinglet_core::ids::{AttemptId, JobId, Stage, Timestamp, TryKey};
use kinglet_core::ledger::{JobView, Phase};
use kinglet_core::wire::cost::Ceiling;
use kinglet_core::wire::record::{Requests, Usage};
use kinglet_core::wire::spec::JobSpec;
use kinglet_core::{Code, Error, Result};
use std::future::Future;
use std::sync::Arc;

/// What one stage does with a task.
pub trait Work: Sync {
    /// What the stage reads, besides the spec, while the try is being started.
    type Input: Send;
    /// The record that it commits.
    type Record: Record + Send + Sync;

    /// Reads the job's spec.
    fn spec(&self, worker: &Worker, job: &JobId) -> impl Future<Output = Result<Arc<JobSpec>>> + Send {
        async { worker.conductor.spec(job).await.map(Arc::new) }
    }

    /// Reads the stage's input.
    fn input(&self, conductor: &Conductor, view: &JobView) -> impl Future<Output = Result<Self::Input>> + Send;

    /// Returns the callback for each look at the job while the work is done.
    fn look(&self, spec: &JobSpec) -> Look;

    /// Does the work. Returns `None` if it broke off because nobody wants its result any more.
    fn run(&self, task: &Try<'_>, input: Self::Input) -> impl Future<Output = Result<Option<Self::Record>>> + Send;

    /// Hands on the rest of a task that was committed short of its end.
    fn hand_on(&self, _task: &Try<'_>, _record: &Self::Record) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Removes what will never be read, because another attempt was first.
    fn lost(&self, _task: &Try<'_>, _record: &Self::Record) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Checks the job once more after the commit. `phase` is known if this commit was the stage's last.
    fn leave(
        &self,
        _task: &Try<'_>,
        _record: &Self::Record,
        _phase: Option<Phase>,
    ) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// A try under way.
pub struct Try<'a> {
    /// The worker that runs the try.
    pub worker: &'a Arc<Worker>,
    /// The invocation that it runs in.
    pub call: &'a Invocation,
    /// The job.
    pub job: &'a JobId,
    /// The try's key: which try of which task.
    pub key: TryKey,
    /// The attempt, which names the output.
    pub attempt: AttemptId,
    /// The job as it was before the start.
    pub view: JobView,
    /// The job's spec.
    pub spec: Arc<JobSpec>,
    /// Its signs of life.
    pub running: Running,
    began: Began,
}

impl Try<'_> {
    /// Returns the clients of the services.
    pub fn conductor(&self) -> &Conductor {
        &self.worker.conductor
    }

    /// Looks whether a job with a ceiling has come to it, as a task hands on. Where the job's own functions are all that the account
    /// may run, and no driver waits, whoever else would look waits for a free function; a worker that hands on has one. It looks at
    /// most once in a function's time, so many tasks cost little. What fails here, the next look finds.
    pub async fn look_at_ceiling(&self) {
        if self.spec.options.ceiling == Ceiling::default() {
            return;
        }
        if let Err(error) = self.conductor().conduct(self.job).await {
            tracing::warn!(job = %self.job, %error, "looking at the ceiling");
        }
    }

    /// Returns what the try has used until now.
    pub fn usage(&self) -> Usage {
        self.began.usage(self.worker, self.call, self.worker.conductor.now())
    }
}

/// The time and the request totals at the start of an execution.
#[derive(Clone, Copy, Debug)]
pub struct Began {
    at: Timestamp,
    sent: Requests,
}

impl Began {
    /// Returns the start of an execution that begins now.
    pub fn now(conductor: &Conductor) -> Self {
        Began { at: conductor.now(), sent: conductor.clients.meter.totals() }
    }

    /// Returns what was used since then.
    pub fn usage(&self, worker: &Worker, call: &Invocation, now: Timestamp) -> Usage {
        Usage {
            started_at: self.at,
            ran_ms: now.since_ms(self.at),
            init_ms: call.init_ms,
            memory_mb: worker.memory_mb,
            requests: worker.conductor.clients.meter.since(&self.sent),
        }
    }
}

/// One execution of a try. Lambda may deliver an event twice: the nonce tells the executions apart.
pub struct Execution<'a> {
    worker: &'a Worker,
    call: &'a Invocation,
    assigned: &'a Assignment,
    nonce: u32,
}

impl<'a> Execution<'a> {
    /// Returns an execution in this invocation.
    pub fn new(worker: &'a Worker, call: &'a Invocation, assigned: &'a Assignment) -> Self {
        Execution { worker, call, assigned, nonce: nonce() }
    }

    /// Starts the try. Returns the reason if this execution is not to go on.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn start(&self) -> Result<Option<Skip>> {
        let Assignment { job, key, larger, calls_max } = self.assigned;
        let (request_id, memory_mb) = (self.call.request_id.clone(), self.worker.memory_mb);
        let run = Run { nonce: self.nonce, request_id, memory_mb, larger: *larger, calls_max: *calls_max };
        tries::begin(&self.worker.conductor, job, *key, &run).await
    }

    /// Gives signs of life from now on.
    pub fn live(&self, look: Look) -> Running {
        Running::begin(self.worker, &self.assigned.job, self.assigned.key, self.nonce, look)
    }

    /// Records that the try has ended without a result, which is asked about only by who adds up what a job has cost.
    pub async fn over(&self) {
        let Assignment { job, key, .. } = self.assigned;
        if let Err(error) = self.worker.conductor.ledger.over(job, *key, self.nonce).await {
            tracing::warn!(%job, %error, "recording that a try is over");
        }
    }

    /// Records that the try failed, and carries out what follows from it.
    ///
    /// # Errors
    /// Returns a service error when a service cannot be reached or refuses: nobody knows of the failure then.
    pub async fn failed(&self, error: &Error) -> Result<Outcome> {
        let Assignment { job, key, .. } = self.assigned;
        self.worker.conductor.try_failed(job, *key, Says::Run(self.nonce), error).await?;
        Ok(Outcome::Failed { code: error.code().to_owned() })
    }
}

/// Runs a task.
///
/// # Errors
/// Returns an error only if the failure of the try could not be recorded: Lambda then sends the event to the on-failure
/// destination.
pub async fn run<W: Work>(worker: &Arc<Worker>, call: &Invocation, assigned: &Assignment, work: &W) -> Result<Outcome> {
    let execution = Execution::new(worker, call, assigned);
    match on_heap(|| attempt(worker, &execution, work)).await {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            let failed = on_heap(|| execution.failed(&error)).await;
            if error.is(Code::SlowKey) {
                // The job's own code goes on, and nothing else ends it.
                (worker.abandon)();
            }
            failed
        }
    }
}

async fn attempt<W: Work>(worker: &Arc<Worker>, execution: &Execution<'_>, work: &W) -> Result<Outcome> {
    let (conductor, Assignment { job, key, .. }) = (&worker.conductor, execution.assigned);
    let sent = conductor.clients.meter.totals();
    let view = conductor.ledger.job(job).await?;
    // This follows a reply, which has set the clock.
    let began = Began { at: conductor.now(), sent };
    if !is_due(&view, key.stage) {
        return Ok(Outcome::skipped(Skip::Phase(view.phase)));
    }
    let (skip, spec, input) = tokio::join!(execution.start(), work.spec(worker, job), work.input(conductor, &view));
    if let Some(why) = skip? {
        if why == Skip::Committed {
            execution.over().await;
        }
        return Ok(Outcome::skipped(why));
    }
    let (spec, input) = (spec?, input?);
    worker.journal.job_name(&spec.job);
    let running = execution.live(work.look(&spec));
    let attempt = AttemptId { number: key.number, nonce: execution.nonce };
    let task = Try { worker, call: execution.call, job, key: *key, attempt, view, spec, running, began };
    let Some(record) = on_heap(|| work.run(&task, input)).await? else {
        task.running.end();
        execution.over().await;
        return Ok(Outcome::skipped(Skip::Unwanted));
    };
    let tasks = task.view.tasks_of(key.stage);
    let commit = conductor.ledger.commit(job, key.task, key.piece, &record, tasks).await?;
    // What follows is not this try's work any more, and may go on after the stage is over.
    task.running.end();
    match commit {
        Commit::Lost(winner) => {
            let (lost, ()) = tokio::join!(work.lost(&task, &record), execution.over());
            lost?;
            Ok(Outcome::Lost { winner })
        }
        Commit::Won { stage_complete } => {
            work.hand_on(&task, &record).await?;
            // The execution that completes the stage reads the job as it is then, and goes on with it.
            let phase = if stage_complete { Some(conductor.conduct(job).await?) } else { None };
            work.leave(&task, &record, phase).await?;
            Ok(Outcome::Committed { attempt })
        }
    }
}

/// Returns whether a job is in the phase in which this stage's tasks run.
fn is_due(view: &JobView, stage: Stage) -> bool {
    match stage {
        Stage::Split => view.phase == Phase::Splitting,
        Stage::Map => view.phase == Phase::Mapping && view.plan.is_some(),
        Stage::Merge => view.phase == Phase::Merging,
        Stage::Reduce => view.phase == Phase::Reducing,
    }
}
