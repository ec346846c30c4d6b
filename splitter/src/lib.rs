//! The splitter: lists a job's inputs, cuts them into splits, writes the plan, and starts the mappers. It also looks after
//! jobs: it takes the records of invocations that failed, and sweeps up jobs that nobody looks after.

mod cut;
mod failure;
pub mod items;
mod list;

use kinglet_aws::conduct::Turn;
use kinglet_aws::ledger::{InputSize, Planned, Run, Says};
use kinglet_aws::objects::Replace;
use kinglet_aws::{Conductor, nonce};
use kinglet_core::ids::{JobId, ProgramId, Timestamp, TryKey};
use kinglet_core::ledger::{CallsView, JobView, Phase};
use kinglet_core::wire::event::{Event, FailureRecord, SplitEvent};
use kinglet_core::wire::log::Did;
use kinglet_core::wire::plan::{self, Inputs, Split};
use kinglet_core::wire::record::Usage;
use kinglet_core::wire::spec::{InputSpec, JobSpec, Objects as Which, Then};
use kinglet_core::{Error, Result};
use kinglet_worker::tries::{self, Running};
use kinglet_worker::{Invocation, Worker};
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
        Event::Split(event) => attempt(&worker, &event, &call).await,
        Event::Sweep(_) => sweep(conductor).await,
        other => Err(Error::stale("event", format!("the splitter was invoked with {other:?}"))),
    }
}

/// One try of splitting. What goes wrong is recorded as that try's failure, and can end a job only while it is splitting.
async fn attempt(worker: &Worker, event: &SplitEvent, call: &Invocation) -> Result<Value> {
    let (conductor, job, key) = (&worker.conductor, &event.job, TryKey::split(event.number));
    let view = conductor.ledger.job(job).await?;
    if view.phase != Phase::Splitting {
        if view.phase.is_final() && view.writes_output {
            // A driver that was slow may have taken the output after the job had ended.
            let spec = conductor.spec(job).await?;
            conductor.drop_late_claim(job, &spec.output).await?;
        }
        return Ok(json!({ "skipped": view.phase.as_str() }));
    }
    let nonce = nonce();
    let (request_id, memory_mb) = (call.request_id.clone(), worker.memory_mb);
    let run = Run { nonce, request_id, memory_mb, larger: false, calls_max: None };
    if let Some(why) = tries::begin(conductor, job, key, &run).await? {
        return Ok(json!({ "skipped": why }));
    }
    let running = Running::begin(conductor, job, key, nonce, |_| {});
    match split(worker, job, call.init_ms, running).await {
        Ok(()) => Ok(json!({})),
        Err(error) => {
            conductor.try_failed(job, key, Says::Run(nonce), &error).await?;
            Ok(json!({ "failed": error.code() }))
        }
    }
}

async fn split(worker: &Worker, job: &JobId, init_ms: u64, running: Running) -> Result<()> {
    let conductor = &worker.conductor;
    let (before, started_at) = (conductor.clients.meter.totals(), conductor.now());
    let spec = conductor.spec(job).await?;
    worker.journal.job_name(&spec.job);
    // The driver has taken the output, unless it died before it could.
    let keep = async { if spec.writes_output() { conductor.keep_output(job, &spec).await } else { Ok(()) } };
    // Neither is dropped half done where the other fails: a claim that is under way must not land after the job's end.
    let (planned, kept) = tokio::join!(cut_input(conductor, &spec), keep);
    let (splits, inputs, partitions) = planned?;
    worker.journal.did(Did { records: inputs.objects, bytes: inputs.bytes, spills: 0 });
    kept?;
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
    // Once the plan is recorded the try is over; what follows, starting the mappers, is not its work but whoever's has the turn.
    drop(running);
    let begun = begin(conductor, job, (&splits, &inputs, partitions), (calls, spec.program), Some(&spent)).await?;
    if !begun && spec.writes_output() && conductor.ledger.job(job).await?.phase.is_final() {
        // It ended before the output was taken for it, and nobody else will give that free.
        conductor.drop_late_claim(job, &spec.output).await?;
    }
    Ok(())
}

/// Looks at a job's input and cuts it. Returns the splits, what they are made of, and how many partitions that asks for.
async fn cut_input(conductor: &Conductor, spec: &JobSpec) -> Result<(Vec<Split>, Inputs, u32)> {
    if let [InputSpec { bucket, objects: Which::Items(made), .. }] = &spec.inputs[..] {
        return items::cut(&conductor.objects, bucket, made, &spec.options).await;
    }
    let listed = list::list(&conductor.objects, spec).await?;
    let shape = cut::Shape::of(&listed, &spec.options)?;
    let (splits, inputs) = cut::cut(&listed, &shape);
    Ok((splits, inputs, shape.partitions))
}

/// Writes a plan, records it with what a function spent on it until then, and starts the mappers, unless another splitter was
/// first, or the job has ended. Returns whether the plan is the job's.
///
/// # Errors
/// What the services report.
pub async fn begin(
    conductor: &Conductor,
    job: &JobId,
    (splits, inputs, partitions): (&[Split], &Inputs, u32),
    (calls, program): (Option<CallsView>, Option<ProgramId>),
    spent: Option<&(dyn Fn(Timestamp) -> Usage + Sync)>,
) -> Result<bool> {
    let bytes = plan::write(splits, inputs)?;
    let bucket = &conductor.stack.work_bucket;
    // Each splitter writes its own: what a mapper reads is what was recorded, whoever comes later.
    let id = format!("{:08x}{:08x}", nonce(), nonce());
    conductor.objects.put(bucket, &Conductor::plan_key(job, &id), bytes.into(), Replace::Yes).await?;
    let map_tasks = splits.len() as u32;
    let input = InputSize { objects: inputs.objects, bytes: inputs.bytes };
    let usage = spent.map(|spent| spent(conductor.now()));
    let planned = Planned { id: &id, map_tasks, partitions, input, calls, usage };
    if !conductor.ledger.plan(job, &planned).await? {
        return Ok(false);
    }
    if map_tasks == 0 {
        return conductor.conduct(job).await.map(|_| true);
    }
    let view = JobView { map_tasks, partitions, plan: Some(id), program, ..JobView::new(Phase::Mapping) };
    conductor.send_stage(job, &view, &Turn::new(Phase::Mapping, 1)).await?;
    Ok(true)
}

async fn sweep(conductor: &Conductor) -> Result<Value> {
    let jobs = conductor.ledger.open_jobs().await?;
    for job in &jobs {
        // One job that cannot be helped must not keep the others from it.
        if let Err(error) = conductor.conduct(job).await {
            tracing::error!(%job, %error, "sweeping");
        }
        if let Err(error) = conductor.renew_output(job).await {
            tracing::warn!(%job, %error, "renewing the claim to an output");
        }
    }
    Ok(json!({ "jobs": jobs.len() }))
}
