//! Makes a job's report from the ledger.

use super::attempts::{Attempt, Gathered};
use super::{Cost, Hottest, Report, Requests, RunPlaces, Spread, Wall};
use crate::Forecast;
use kinglet_aws::Conductor;
use kinglet_aws::ledger::{self, Committed, GroupTry, Record};
use kinglet_core::Result;
use kinglet_core::budget::STRAGGLER_MS_MIN;
use kinglet_core::cost::{Cut, Plan, Wanted};
use kinglet_core::ids::{JobId, Partition, Piece, Stage, Timestamp};
use kinglet_core::ledger::JobView;
use kinglet_core::limits::TASKS_PER_GROUP;
use kinglet_core::wire::frame;
use kinglet_core::wire::plan::{self, ObjectRange};
use kinglet_core::wire::record::{self, MapRecord, MergeRecord, Placement, ReduceRecord, Usage};
use kinglet_core::wire::spec::{JobSpec, RunsMerged};

/// Makes the report of a job that succeeded, and the history that it sums up. `before` are this driver's totals of requests before
/// it submitted the job.
pub(crate) async fn report(
    conductor: &Conductor,
    job: &JobId,
    spec: &JobSpec,
    view: &JobView,
    before: &record::Requests,
) -> Result<(Report, Vec<Attempt>)> {
    let maps: Committed<MapRecord> = conductor.ledger.committed(job, view.map_tasks).await?;
    let merges: Committed<MergeRecord> = conductor.ledger.committed(job, view.tasks_of(Stage::Merge)).await?;
    let reduces: Committed<ReduceRecord> = conductor.ledger.committed(job, view.partitions).await?;
    let mut requests = Requests::counted(conductor.clients.meter.since(before));
    requests += commits(&maps)?;
    requests += commits(&merges)?;
    requests += commits(&reduces)?;
    let others = [
        overtaken(conductor, job, &maps).await?,
        overtaken(conductor, job, &merges).await?,
        overtaken(conductor, job, &reduces).await?,
    ];
    let overtaken: Vec<Usage> = others.iter().flatten().filter_map(|tried| tried.usage(view)).collect();
    let attempts = Gathered { maps: &maps, merges: &merges, reduces: &reduces, others }.attempts(view, conductor.now());
    let hottest = hottest(reduces.get(spec.quarantines() as usize..).unwrap_or_default());
    // What was read again counts once, and what it took counts each time.
    let mut counted = maps.clone();
    view.rereads.forget_in(&mut counted);
    let counted: Vec<_> = counted.into_iter().flatten().collect();
    let maps: Vec<_> = maps.into_iter().flatten().collect();
    let merges: Vec<_> = merges.into_iter().flatten().collect();
    let reduces: Vec<_> = reduces.into_iter().flatten().collect();
    let at = view.phase_at;
    let between =
        |from: Option<Timestamp>, to: Option<Timestamp>| to.unwrap_or_default().since_ms(from.unwrap_or_default());
    let usages = || {
        let committed = maps.iter().map(|r| &r.usage).chain(merges.iter().map(|r| &r.usage));
        committed.chain(reduces.iter().map(|r| &r.usage)).chain(&view.beside)
    };
    let committed = maps.iter().map(|r| r.attempt).chain(merges.iter().map(|r| r.attempt));
    let committed = committed.chain(reduces.iter().map(|r| r.attempt));
    let retries: u64 = committed.map(|attempt| u64::from(attempt.number)).sum();
    usages().for_each(|usage| requests += Requests::counted(usage.requests));
    // Every attempt was invoked once, by whichever function or program; and so was the splitter.
    requests.lambda = 1 + (maps.len() + merges.len() + reduces.len()) as u64 + retries.max(overtaken.len() as u64);
    // What the prediction is made of is read after all requests are counted.
    let predicted = predicted(conductor, job, spec, view).await;
    let gb_seconds = usages().chain(&overtaken).map(Usage::gb_seconds).sum();
    let rejected = counted.iter().map(|r| r.rejected).sum();
    let quarantine = (rejected > 0).then(|| spec.output.shown_key(&spec.key_of(Partition(0), Piece(0), job)));
    let parts = reduces.get(spec.quarantines() as usize..).unwrap_or_default();
    let (mut runs, mut in_s3) = (RunPlaces::default(), 0);
    in_s3 += merges.iter().map(|r| r.run_bytes).sum::<u64>();
    for record in &maps {
        in_s3 += if record.placement == Placement::Object { record.run_bytes } else { 0 };
        *match record.placement {
            Placement::Inline => &mut runs.inline,
            Placement::Object => &mut runs.object,
            Placement::Nowhere => &mut runs.empty,
        } += 1;
    }
    let report = Report {
        job: job.clone(),
        name: spec.job.clone(),
        phase: view.phase,
        output: spec.output.shown.clone(),
        wall: Wall {
            split_ms: between(at.splitting, at.mapping),
            map_ms: between(at.mapping, at.merging.or(at.reducing)),
            merge_ms: at.merging.map_or(0, |merging| between(Some(merging), at.reducing)),
            reduce_ms: between(at.reducing, at.ended),
            total_ms: between(at.splitting, at.ended),
        },
        objects: view.input.objects,
        skipped: view.input.skipped,
        bytes_in: view.input.bytes,
        records_in: counted.iter().map(|r| r.records).sum(),
        rejected,
        quarantine,
        pairs_emitted: counted.iter().map(|r| r.pairs_emitted).sum(),
        pairs_shuffled: counted.iter().map(|r| r.pairs_out).sum(),
        pairs_reduced: parts.iter().map(|r| r.pairs_in).sum(),
        shuffle_bytes: counted.iter().map(|r| r.run_bytes).sum(),
        hottest,
        runs,
        removed_bytes: if spec.options.keep_runs { 0 } else { in_s3 },
        spills: maps.iter().map(|r| r.spills).sum(),
        records_out: parts.iter().map(|r| r.records_out).sum(),
        bytes_out: parts.iter().map(|r| r.bytes_out).sum(),
        parts: match spec.output.format.partition_by().is_empty() {
            true => parts.len() as u64,
            false => parts.iter().map(|r| u64::from(r.files)).sum(),
        },
        map_tasks: maps.len() as u64,
        merge_tasks: merges.len() as u64,
        merged_bytes: merges.iter().map(|r| r.run_bytes).sum(),
        reduce_tasks: reduces.len() as u64,
        retries,
        cold_starts: usages().filter(|usage| usage.init_ms > 0).count() as u64,
        init_ms: usages().map(|usage| usage.init_ms).sum(),
        map_ms: Spread::of(maps.iter().map(|r| r.usage.ran_ms)),
        merge_ms: Spread::of(merges.iter().map(|r| r.usage.ran_ms)),
        reduce_ms: Spread::of(reduces.iter().map(|r| r.usage.ran_ms)),
        requests,
        gb_seconds,
        cost: Cost::of(gb_seconds, &requests, &spec.options.site.prices),
        predicted,
    };
    Ok((report, attempts))
}

/// Predicts what the job takes, as it was cut, from what was known when it began. Returns `None` if the plan is not there any
/// more.
async fn predicted(conductor: &Conductor, job: &JobId, spec: &JobSpec, view: &JobView) -> Option<Forecast> {
    let key = Conductor::plan_key(job, view.plan.as_deref()?);
    let read = async {
        let bytes = conductor.objects.get(&conductor.stack.work_bucket, &key, None).await?;
        plan::read(&bytes)
    };
    let (splits, inputs) =
        read.await.inspect_err(|error| tracing::debug!(%job, %error, "reading the plan for the report")).ok()?;
    let made = spec.inputs.iter().any(|input| input.items() > 0);
    let read = |range: &ObjectRange| (range.to - range.from, range.to < range.size && !made);
    let cut = Cut::of_ranges(splits.iter().map(|split| split.ranges.iter().map(read)));
    let merged = if view.grid.is_some() { RunsMerged::Always } else { RunsMerged::Never };
    let (options, wanted) = (&spec.options, Wanted { merged, ..Wanted::of(&spec.options) });
    let planned = Plan::of_cut(cut, inputs.objects, &wanted, view.partitions, &options.workload, &options.site);
    Some(planned.forecast)
}

/// Returns the partition with the most pairs, the first of several, of those that become parts.
fn hottest(reduces: &[Vec<ReduceRecord>]) -> Option<Hottest> {
    let partitions = reduces.iter().enumerate().map(|(partition, pieces)| Hottest {
        partition: partition as u32,
        pairs: pieces.iter().map(|record| record.pairs_in).sum(),
        pieces: pieces.len() as u64,
    });
    partitions.filter(|one| one.pairs > 0).rev().max_by_key(|one| one.pairs)
}

/// Returns the tries of a stage that did not commit. Where no task was tried again, and none ran for so long that a backup may have been
/// sent, there are none to be found, and a large job has many groups to search.
async fn overtaken<R: Record>(conductor: &Conductor, job: &JobId, stage: &Committed<R>) -> Result<Vec<GroupTry>> {
    match may_have_others(stage) {
        true => conductor.ledger.overtaken(job, stage).await,
        false => Ok(vec![]),
    }
}

fn may_have_others<R: Record>(committed: &Committed<R>) -> bool {
    committed.iter().flatten().any(|record| record.attempt().number > 0 || record.usage().ran_ms > STRAGGLER_MS_MIN)
}

/// Returns what the commits themselves took.
fn commits<R: Record>(tasks: &Committed<R>) -> Result<Requests> {
    let mut requests = Requests::default();
    for group in tasks.chunks(TASKS_PER_GROUP as usize) {
        let bytes = group.iter().flatten().map(|record| frame::write(record).map(|bytes| bytes.len()));
        requests += Requests::counted(ledger::commits(bytes.collect::<Result<Vec<_>>>()?.into_iter()));
    }
    Ok(requests)
}
