//! The splitter: lists a job's inputs, cuts them into splits, writes the plan, and starts the mappers. It also looks after
//! jobs: it takes the records of invocations that failed, and sweeps up jobs that nobody looks after.

mod cut;
mod failure;
pub mod items;
mod list;

use kinglet_aws::Conductor;
use kinglet_aws::objects::Replace;
use kinglet_aws::worker::{Invocation, Worker};
use kinglet_core::ids::{JobId, ProgramId, TaskIdx, Timestamp};
use kinglet_core::ledger::{CallsView, Phase};
use kinglet_core::wire::event::{Event, FailureRecord, MapEvent};
use kinglet_core::wire::log::Did;
use kinglet_core::wire::plan::{self, Inputs, PlanIndex, Split};
use kinglet_core::wire::record::Usage;
use kinglet_core::wire::spec::{InputSpec, Objects as Which, Then};
use kinglet_core::{Error, Result};
use serde_json::{Value, json};
use std::sync::Arc;

/// Handles one invocation.
///
/// # Errors
/// What the services report; a job that cannot be split is failed in the ledger, which is not an error of the splitter.
pub async fn handle(worker: Arc<Worker>, call: Invocation) -> Result<Value> {
    let conductor = &worker.conductor;
    if call.payload.get("requestPayload").is_some() {
        let record: FailureRecord = serde_json::from_value(call.payload)
            .map_err(|e| Error::stale("event", format!("reading the record of a failure: {e}")))?;
        return failure::handle(&worker, record).await;
    }
    match call.event()? {
        Event::Split(event) => {
            if let Err(error) = split(&worker, &event.job, call.init_ms).await {
                conductor.fail(&event.job, Phase::Failed, &error).await?;
                return Ok(json!({ "failed": error.code() }));
            }
            Ok(json!({}))
        }
        Event::Sweep(_) => sweep(conductor).await,
        other => Err(Error::stale("event", format!("the splitter was invoked with {other:?}"))),
    }
}

async fn split(worker: &Worker, job: &JobId, init_ms: u64) -> Result<()> {
    let conductor = &worker.conductor;
    let (before, started_at) = (conductor.clients.meter.totals(), Timestamp::now());
    let spec = conductor.spec(job).await?;
    worker.journal.job_name(&spec.job);
    let (splits, inputs, partitions) = match &spec.inputs[..] {
        [InputSpec { bucket, objects: Which::Items(made), .. }] => {
            items::cut(&conductor.objects, bucket, made, &spec.options).await?
        }
        _ => {
            let listed = list::list(&conductor.objects, &spec).await?;
            let shape = cut::Shape::of(&listed, &spec.options)?;
            let (splits, inputs) = cut::cut(&listed, &shape);
            (splits, inputs, shape.partitions)
        }
    };
    worker.journal.did(Did { records: inputs.objects, bytes: inputs.bytes, spills: 0 });
    let calls = spec
        .calls
        .as_ref()
        // Calls that make a job's pairs are records of that job: what one of them does wrong fails the job.
        .filter(|calls| calls.then != Then::Job)
        .map(|calls| CallsView { count: spec.inputs.iter().map(InputSpec::items).sum(), per_task: calls.per_task });
    // The driver reads the results of calls itself, or those of one reduce call.
    let partitions = match spec.calls.as_ref().map(|calls| &calls.then) {
        Some(Then::Collect) => 0,
        Some(Then::Reduce(_)) => 1,
        Some(Then::Job) | None => partitions,
    };
    let spent = |now: Timestamp| Usage {
        started_at,
        ran_ms: now.since_ms(started_at),
        init_ms,
        memory_mb: worker.memory_mb,
        requests: conductor.clients.meter.since(&before),
    };
    begin(conductor, job, (&splits, &inputs, partitions), (calls, spec.program), Some(&spent)).await
}

/// Writes the plan, records it with what a function spent on it until then, and starts the mappers, unless another was first.
///
/// # Errors
/// What the services report.
pub async fn begin(
    conductor: &Conductor,
    job: &JobId,
    (splits, inputs, partitions): (&[Split], &Inputs, u32),
    (calls, program): (Option<CallsView>, Option<ProgramId>),
    spent: Option<&(dyn Fn(Timestamp) -> Usage + Sync)>,
) -> Result<()> {
    let bytes = plan::write(splits, inputs)?;
    let index = PlanIndex::read(&bytes)?;
    let bucket = &conductor.stack.work_bucket;
    conductor.objects.put(bucket, &Conductor::plan_key(job), bytes.into(), Replace::Yes).await?;
    let tasks = splits.len() as u32;
    let now = Timestamp::now();
    let usage = spent.map(|spent| spent(now));
    if !conductor
        .ledger
        .plan(job, (tasks, partitions), (inputs.objects, inputs.bytes), calls, usage.as_ref(), now)
        .await?
    {
        return Ok(()); // Another splitter was first, or the job has ended.
    }
    if tasks == 0 {
        return conductor.conduct(job).await.map(|_| ());
    }
    let event = |task: u32| {
        let plan = index.split(TaskIdx(task))?;
        Some(Event::Map(MapEvent::first(job.clone(), TaskIdx(task), plan, program)))
    };
    conductor.functions.start_all((0..tasks).filter_map(event).collect()).await
}

async fn sweep(conductor: &Conductor) -> Result<Value> {
    let jobs = conductor.ledger.open_jobs().await?;
    for job in &jobs {
        // One job that cannot be helped must not keep the others from it.
        if let Err(error) = conductor.conduct(job).await {
            tracing::error!(%job, %error, "sweeping");
        }
    }
    Ok(json!({ "jobs": jobs.len() }))
}
