//! Sending calls: inputs become items, items are put into batches, and batches are the tasks of a job. The driver plans the
//! job itself, as it holds the inputs. If it dies before the plan stands, the splitter plans the same from what is stored.

use super::futures::{CallFuture, Calls};
use super::options::CallOptions;
use super::state::{State, follow};
use super::{
    BATCH_CALLS_MAX, BATCH_MS_AWS, BATCH_MS_LOCAL, PROBE_CALLS_MAX, PROBE_WAIT_AWS, PROBE_WAIT_LOCAL, PROBE_WORTH,
    no_inputs,
};
use crate::connection::Connection;
use crate::driver::Driver;
use crate::items::{ItemCuts, Made};
use crate::{Result, Value};
use kinglet_aws::Conductor;
use kinglet_aws::objects::Replace;
use kinglet_core::budget::WAVES;
use kinglet_core::ledger::CallsView;
use kinglet_core::limits::MAP_TASKS_MAX;
use kinglet_core::wire::frame;
use kinglet_core::wire::items::Writer;
use kinglet_core::wire::spec::{CallsSpec, FunctionSpec, JobSpec, OutputSpec, Then};
use kinglet_splitter::Plan;
use std::sync::Arc;

/// Calls of a map that are sent as one job.
struct Wave {
    writer: Writer,
    first_call: usize,
    per_batch: usize,
}

/// What the calls run on.
struct Stack {
    /// Whether the functions share this machine's cores.
    local: bool,
    /// How many functions can run at once.
    concurrency: usize,
}

fn encode<I: Value>(inputs: &[I], first_call: usize) -> Result<Writer> {
    let mut writer = Writer::new();
    for (n, input) in inputs.iter().enumerate() {
        writer.push_named(input, format_args!("input {}", first_call + n))?;
    }
    Ok(writer)
}

pub(super) async fn map<I: Value, O: Value>(
    driver: &Driver,
    function: FunctionSpec,
    inputs: Vec<I>,
    options: &CallOptions,
) -> Result<Calls<O>> {
    let shared = &driver.shared;
    if inputs.is_empty() {
        return Err(no_inputs(&function));
    }
    options.check()?;
    let (local, concurrency) = (shared.is_local(), shared.concurrency().await as usize);
    let probes = match options.per_batch {
        // What two jobs spend together, neither of them would know.
        None if options.has_ceiling() => 0,
        None if inputs.len() >= PROBE_WORTH => concurrency.clamp(1, PROBE_CALLS_MAX).min(inputs.len() / 8),
        _ => 0,
    };
    // All inputs are encoded before the first is sent: one that does not serialise stops the map before it starts.
    let (first, rest) = inputs.split_at(probes);
    let (first, rest) = (encode(first, 0)?, encode(rest, probes)?);
    let state = State::new(shared, &function.name, inputs.len(), false);
    drop(inputs);
    let evenly = if options.has_ceiling() { spread(rest.count(), concurrency) } else { 1 };
    let mut per_batch = options.per_batch.unwrap_or(evenly);
    if probes > 0 {
        let wave = Wave { writer: first, first_call: 0, per_batch: 1 };
        all_or_none(&state, send(shared, &state, &function, Then::Collect, wave, options)).await?;
        follow(shared, &state);
        let together = usize::from(options.at_once().unwrap_or(1));
        // Long calls go alone, unless they are more than a job may have tasks.
        let least = rest.count().div_ceil(MAP_TASKS_MAX as usize);
        let stack = Stack { local, concurrency };
        per_batch = measure(&state, probes, rest.count(), together, stack).await.max(least);
    }
    let wave = Wave { writer: rest, first_call: probes, per_batch };
    all_or_none(&state, send(shared, &state, &function, Then::Collect, wave, options)).await?;
    if probes == 0 {
        follow(shared, &state);
    }
    Ok(Calls::new(state))
}

/// Returns how many calls to put into a batch, by how long the first ones take; `together` is how many of a batch run at
/// once.
async fn measure(
    state: &State,
    probes: usize,
    rest: usize,
    together: usize,
    Stack { local, concurrency }: Stack,
) -> usize {
    let enough = probes.div_ceil(2);
    let patience = if local { PROBE_WAIT_LOCAL } else { PROBE_WAIT_AWS };
    let seen = state.wait(|state| (state.done() >= enough).then_some(()));
    if tokio::time::timeout(patience, seen).await.is_err() {
        return 1;
    }
    let mut ran_ms: Vec<f64> =
        (0..probes).filter_map(|call| state.ended(call)).map(|ended| ended.stats.ran.as_secs_f64() * 1e3).collect();
    ran_ms.sort_by(f64::total_cmp);
    let median_ms = ran_ms.get(ran_ms.len() / 2).copied().unwrap_or(f64::MAX);
    let batch_ms = if local { BATCH_MS_LOCAL } else { BATCH_MS_AWS };
    let by_time = ((batch_ms / median_ms.max(1e-3) * together as f64) as usize).clamp(1, BATCH_CALLS_MAX);
    // Where the functions share this machine's cores, each should have some of the calls.
    if local { by_time.min(rest.div_ceil(concurrency.max(1))).max(1) } else { by_time }
}

pub(super) async fn map_reduce<I: Value, O: Value>(
    driver: &Driver,
    function: FunctionSpec,
    inputs: Vec<I>,
    reducer: FunctionSpec,
    options: &CallOptions,
) -> Result<CallFuture<O>> {
    let shared = &driver.shared;
    if inputs.is_empty() {
        return Err(no_inputs(&function));
    }
    options.check()?;
    let concurrency = shared.concurrency().await as usize;
    let per_batch = options.per_batch.unwrap_or_else(|| spread(inputs.len(), concurrency));
    let wave = Wave { writer: encode(&inputs, 0)?, first_call: 0, per_batch };
    let state = State::new(shared, &reducer.name, 1, true);
    all_or_none(&state, send(shared, &state, &function, Then::Reduce(reducer), wave, options)).await?;
    follow(shared, &state);
    Ok(CallFuture::new(state, 0))
}

/// Returns how many calls to put into a batch where that is not measured: each function gets a few batches.
fn spread(calls: usize, concurrency: usize) -> usize {
    calls.div_ceil(concurrency.max(1) * WAVES as usize).min(BATCH_CALLS_MAX)
}

/// Ends the whole map if a part of it could not be sent, as nobody gets its futures.
async fn all_or_none(state: &State, sending: impl Future<Output = Result<()>>) -> Result<()> {
    let sent = sending.await;
    if sent.is_err()
        && let Err(error) = state.cancel().await
    {
        tracing::warn!(%error, "cancelling calls that were sent in part");
    }
    sent
}

/// Sends calls as one job.
async fn send(
    shared: &Arc<Connection>,
    state: &Arc<State>,
    function: &FunctionSpec,
    then: Then,
    wave: Wave,
    options: &CallOptions,
) -> Result<()> {
    shared.check_ready()?;
    let conductor = &shared.conductor;
    let program = shared.shipping.ship(None, conductor).await?;
    let calls = wave.writer.count();
    let per_task = u32::try_from(wave.per_batch.min(calls)).unwrap_or(u32::MAX);
    let concurrency = shared.concurrency().await;
    let made = Made::of(wave.writer, &ItemCuts::PerSplit(per_task as usize), concurrency)
        .map_err(|e| e.context(&function.name).with_hint("put more calls into a batch (`with_calls_per_batch`)"))?;
    let (job, now) = (conductor.new_id(), conductor.now());
    let input = made.write(conductor, &job).await?;
    let (splits, inputs) = kinglet_splitter::items::splits(&input.spec, &input.ends);
    let (partitions, slots) = match then {
        Then::Reduce(_) => (1, 1),
        _ => (0, calls),
    };
    let spec = JobSpec {
        job: function.name.clone(),
        signature: String::new(),
        params: vec![],
        inputs: vec![input.input],
        output: OutputSpec {
            bucket: String::new(),
            prefix: String::new(),
            shown: "(calls)".to_owned(),
            overwrite: false,
            format: Default::default(),
            success_marker: false,
        },
        options: options.for_job(concurrency, || shared.place.site(options.prices.clone()))?,
        program,
        submitted_at: now,
        calls: Some(CallsSpec { function: function.clone(), then, per_task, at_once: options.at_once() }),
    };
    let bytes = frame::write(&spec)?;
    let key = Conductor::spec_key(&job);
    tokio::try_join!(
        conductor.objects.put(&conductor.stack.work_bucket, &key, bytes.into(), Replace::Yes),
        conductor.ledger.create_job(&job, &spec, conductor.stack.timeout_ms),
    )?;
    shared.goes_on(&job);
    let view = CallsView { count: calls as u64, per_task };
    state.add_wave(job.clone(), wave.first_call..wave.first_call + slots, splits.len(), now);
    let plan = Plan { splits, inputs, skipped: 0, partitions, merging: false, calls: Some(view), program };
    // If the splitter was faster, it has planned the same.
    kinglet_splitter::begin(conductor, &job, &plan, None).await.map(drop)
}
