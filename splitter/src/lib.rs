//! The splitter: lists a job's inputs, cuts them into splits, writes the plan, and starts the mappers. It also looks after
//! jobs: it starts stored ones, handles the records of failed invocations, sweeps jobs that nobody looks after, and tells of those that
//! have ended.

mod cut;
mod failure;
pub mod inventory;
pub mod items;
pub mod list;
mod look;
mod walk;

use cut::Shape;
use kinglet_aws::conduct::Turn;
use kinglet_aws::ledger::Planned;
use kinglet_aws::objects::Replace;
use kinglet_aws::stored::Start;
use kinglet_aws::{Conductor, on_heap, token};
use kinglet_core::grid::Grid;
use kinglet_core::ids::{JobId, ProgramId, Timestamp};
use kinglet_core::ledger::{CallsView, InputSize, JobView, Phase};
use kinglet_core::wire::event::{Event, FailureRecord, StartEvent};
use kinglet_core::wire::log::Did;
use kinglet_core::wire::plan::{self, Inputs, Split};
use kinglet_core::wire::record::Usage;
use kinglet_core::wire::spec::{InputSpec, JobSpec, Objects as Which, Then};
use kinglet_core::wire::stored::read_time;
use kinglet_core::{Code, Error, Result};
use kinglet_worker::task::{Began, Execution};
use kinglet_worker::{Assignment, Invocation, Outcome, Running, Skip, Worker};
use std::sync::Arc;

/// Handles one invocation.
///
/// # Errors
/// Returns `event` when the splitter does not know the event; or a service error (`access-denied`, `throttled`,
/// `unreachable`, …). A job that cannot be split is failed in the ledger, which is not an error of the splitter.
pub async fn handle(worker: Arc<Worker>, call: Invocation) -> Result<Outcome> {
    let conductor = &worker.conductor;
    if call.payload.get("requestPayload").is_some() {
        let record: FailureRecord = serde_json::from_value(call.payload)
            .map_err(|e| Error::new(Code::Event, format!("reading the record of a failure: {e}")))?;
        return on_heap(|| failure::handle(&worker, record)).await;
    }
    let event = call.event()?;
    match (Assignment::of(&event), event) {
        (Some(assigned), Event::Split(_)) => on_heap(|| attempt(&worker, &assigned, &call)).await,
        (_, Event::Sweep(_)) => on_heap(|| sweep(conductor)).await,
        (_, Event::Start(event)) => on_heap(|| start(conductor, &event, &call.request_id)).await,
        (_, Event::Changed(event)) => conductor.note_change(&event).await.map(|()| Outcome::Nothing),
        (_, Event::Tell(_)) => on_heap(|| conductor.tell_ends()).await.map(|_| Outcome::Nothing),
        (_, other) => Err(Error::new(Code::Event, format!("the splitter was invoked with {other:?}"))),
    }
}

/// Runs one try of splitting. An error is recorded as that try's failure, and can end a job only while it is splitting.
async fn attempt(worker: &Worker, assigned: &Assignment, call: &Invocation) -> Result<Outcome> {
    let (conductor, job) = (&worker.conductor, &assigned.job);
    let view = conductor.ledger.job(job).await?;
    if view.phase != Phase::Splitting {
        if view.phase.is_final() && view.writes_output {
            // A slow driver may have taken the output after the job had ended.
            let spec = conductor.spec(job).await?;
            conductor.drop_late_claim(job, &spec.output).await?;
        }
        return Ok(Outcome::skipped(Skip::Phase(view.phase)));
    }
    let execution = Execution::new(worker, call, assigned);
    if let Some(why) = execution.start().await? {
        return Ok(Outcome::skipped(why));
    }
    let running = execution.live(Box::new(|_| {}));
    match on_heap(|| split(worker, call, job, running)).await {
        Ok(()) => Ok(Outcome::Nothing),
        Err(error) => execution.failed(&error).await,
    }
}

async fn split(worker: &Worker, call: &Invocation, job: &JobId, running: Running) -> Result<()> {
    let conductor = &worker.conductor;
    let began = Began::now(conductor);
    let spec = conductor.spec(job).await?;
    worker.journal.job_name(&spec.job);
    // The driver has taken the output, unless it died before it could.
    let keep = async { if spec.writes_output() { conductor.keep_output(job, &spec).await } else { Ok(()) } };
    // If one fails, the other is not dropped half done: a claim that is on its way must not land after the job's end.
    let (planned, kept) = tokio::join!(cut_input(conductor, &spec), keep);
    let plan = planned?;
    worker.journal.did(Did { records: plan.inputs.objects, bytes: plan.inputs.bytes, spills: 0 });
    kept?;
    let calls = spec
        .calls
        .as_ref()
        // Calls that make a job's pairs are records of that job: an error of one fails the job.
        .filter(|calls| calls.then != Then::Job)
        .map(|calls| CallsView { count: spec.inputs.iter().map(InputSpec::items).sum(), per_task: calls.per_task });
    // The driver reads the results of calls itself, or those of one reduce call.
    let partitions = match spec.calls.as_ref().map(|calls| &calls.then) {
        Some(Then::Collect) => 0,
        Some(Then::Reduce(_)) => 1,
        Some(Then::Job) | None => plan.partitions + spec.quarantines(),
    };
    // What reduces the results of calls reads all of them.
    let merging =
        plan.merging && !matches!(spec.calls.as_ref().map(|calls| &calls.then), Some(Then::Collect | Then::Reduce(_)));
    let plan = Plan { partitions, merging, calls, program: spec.program, ..plan };
    let spent = |now: Timestamp| began.usage(worker, call, now);
    // The try ends when the plan is recorded. Starting the mappers is the work of the process that has the turn.
    drop(running);
    let begun = begin(conductor, job, &plan, Some(&spent)).await?;
    if !begun && spec.writes_output() && conductor.ledger.job(job).await?.phase.is_final() {
        // The job ended before its output was taken, and nobody else will release that.
        conductor.drop_late_claim(job, &spec.output).await?;
    }
    Ok(())
}

/// Lists a job's input and cuts it; returns the plan, with the partitions that the job asks for or those chosen.
async fn cut_input(conductor: &Conductor, spec: &JobSpec) -> Result<Plan> {
    if let [InputSpec { bucket, objects: Which::Items(made), .. }] = &spec.inputs[..] {
        return items::cut(&conductor.objects, bucket, made, &spec.options).await;
    }
    let list::Found { objects: listed, skipped } = list::list(&conductor.objects, spec).await?;
    let shape = Shape::of(&listed, &spec.options)?;
    let seen = look::look(&conductor.objects, spec, &listed, shape.split_bytes).await?;
    let right_from = spec.options.right.map(|right| right.from_input);
    let (splits, inputs) = cut::cut(listed, &seen, &shape, right_from);
    let Shape { partitions, merging, .. } = shape;
    Ok(Plan { splits, inputs, skipped, partitions, merging, calls: None, program: None })
}

/// A job's tasks, as a splitter or a driver has cut its input.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The splits, one for each map task.
    pub splits: Vec<Split>,
    /// The inputs that the splits are cut from.
    pub inputs: Inputs,
    /// How many objects were found and left out.
    pub skipped: u64,
    /// The number of reduce tasks.
    pub partitions: u32,
    /// Whether the runs are merged before they are reduced.
    pub merging: bool,
    /// The calls that the map tasks make, if the job is for their results.
    pub calls: Option<CallsView>,
    /// The shipped program that runs the tasks.
    pub program: Option<ProgramId>,
}

/// Writes a plan, records it with what a function spent on it until then, and starts the mappers, unless another splitter was
/// first or the job has ended. Returns whether this plan is the job's.
///
/// # Errors
/// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses.
pub async fn begin(
    conductor: &Conductor,
    job: &JobId,
    plan: &Plan,
    spent: Option<&(dyn Fn(Timestamp) -> Usage + Sync)>,
) -> Result<bool> {
    let Plan { splits, inputs, skipped, partitions, merging, calls, program } = plan;
    let bytes = plan::write(splits, inputs)?;
    let bucket = &conductor.stack.work_bucket;
    // Each splitter writes a plan of its own. Mappers read the one that was recorded, whichever splitter comes later.
    let id = token();
    conductor.objects.put(bucket, &Conductor::plan_key(job, &id), bytes.into(), Replace::Yes).await?;
    let map_tasks = splits.len() as u32;
    let input = InputSize { objects: inputs.objects, bytes: inputs.bytes, skipped: *skipped };
    let usage = spent.map(|spent| spent(conductor.now()));
    let grid = Grid::of(map_tasks, *partitions).filter(|_| *merging);
    let merging = grid.map(|grid| grid.sizes());
    let planned = Planned { id: &id, map_tasks, partitions: *partitions, merging, input, calls: *calls, usage };
    if !conductor.ledger.plan(job, &planned).await? {
        return Ok(false);
    }
    if map_tasks == 0 {
        return conductor.conduct(job).await.map(|_| true);
    }
    let view = JobView {
        map_tasks,
        partitions: *partitions,
        grid,
        plan: Some(id),
        program: *program,
        ..JobView::new(Phase::Mapping)
    };
    conductor.send_stage(job, &view, &Turn::new(Phase::Mapping, 1)).await?;
    Ok(true)
}

/// Starts a stored job. All deliveries of one event have the same request id.
async fn start(conductor: &Conductor, event: &StartEvent, request_id: &str) -> Result<Outcome> {
    let StartEvent { stored, once, at, token } = event;
    let token = token.as_deref();
    let once = once.as_deref().or(token).unwrap_or(request_id);
    let at = at.as_deref().map(read_time).transpose()?;
    let started = conductor.start_stored(&Start { name: stored, once, at, token }).await?;
    Ok(Outcome::Started { job: started.job })
}

async fn sweep(conductor: &Conductor) -> Result<Outcome> {
    let jobs = conductor.ledger.jobs().await?;
    let open: Vec<_> = jobs.iter().filter(|entry| !entry.phase.is_final()).map(|entry| entry.job.clone()).collect();
    for job in &open {
        // One job that cannot be helped must not keep the sweep from the others.
        if let Err(error) = conductor.conduct(job).await {
            tracing::error!(%job, %error, "sweeping");
        }
        if let Err(error) = conductor.renew_output(job).await {
            tracing::warn!(%job, %error, "renewing the claim to an output");
        }
    }
    if let Err(error) = on_heap(|| conductor.start_changed()).await {
        tracing::error!(%error, "starting stored jobs");
    }
    // Of those that have ended, too, whose enders could not wake anybody.
    if let Err(error) = on_heap(|| conductor.tell_ends_of(jobs)).await {
        tracing::error!(%error, "telling of jobs that have ended");
    }
    Ok(Outcome::Swept { jobs: open.len() })
}
