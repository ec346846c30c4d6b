//! Puts a job's report together from the ledger.

use kinglet_aws::Conductor;
use kinglet_core::Result;
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::ledger::JobView;
use kinglet_core::report::{Cost, Report, Wall, gb_seconds};
use kinglet_core::wire::record::{MapRecord, Placement, ReduceRecord};
use kinglet_core::wire::spec::JobSpec;

pub(crate) async fn report(conductor: &Conductor, job: &JobId, spec: &JobSpec, view: &JobView) -> Result<Report> {
    let maps: Vec<MapRecord> = conductor.ledger.committed(job, view.map_tasks).await?.into_iter().flatten().collect();
    let reduces: Vec<ReduceRecord> =
        conductor.ledger.committed(job, view.partitions).await?.into_iter().flatten().collect();
    let at = |n: usize| view.phase_at[n].unwrap_or(Timestamp(0));
    let usages = || maps.iter().map(|r| &r.usage).chain(reduces.iter().map(|r| &r.usage));
    let attempts = maps.iter().map(|r| r.attempt).chain(reduces.iter().map(|r| r.attempt));
    let retries: u64 = attempts.map(|attempt| u64::from(attempt.number)).sum();
    let mut requests = conductor.clients.meter.totals();
    usages().for_each(|usage| requests += usage.requests);
    // Every attempt was invoked once, by whomever; and so was the splitter.
    requests.lambda = 1 + maps.len() as u64 + reduces.len() as u64 + retries;
    let gb_seconds = usages().map(gb_seconds).sum();
    let placed = |placement| maps.iter().filter(|r| r.placement == placement).count() as u64;
    Ok(Report {
        job: job.clone(),
        name: spec.job.clone(),
        phase: view.phase,
        output: spec.output.shown.clone(),
        wall: Wall {
            split_ms: at(1).since_ms(at(0)),
            map_ms: at(2).since_ms(at(1)),
            reduce_ms: at(3).since_ms(at(2)),
            total_ms: at(3).since_ms(at(0)),
        },
        objects: view.input.0,
        bytes_in: view.input.1,
        records_in: maps.iter().map(|r| r.records).sum(),
        rejected: maps.iter().map(|r| r.rejected).sum(),
        pairs_emitted: maps.iter().map(|r| r.pairs_emitted).sum(),
        pairs_shuffled: maps.iter().map(|r| r.pairs_out).sum(),
        shuffle_bytes: maps.iter().map(|r| r.run_bytes).sum(),
        runs_inline_object_empty: (placed(Placement::Inline), placed(Placement::Object), placed(Placement::Nowhere)),
        spills: maps.iter().map(|r| r.spills).sum(),
        records_out: reduces.iter().map(|r| r.records_out).sum(),
        bytes_out: reduces.iter().map(|r| r.bytes_out).sum(),
        parts: reduces.len() as u64,
        map_tasks: maps.len() as u64,
        reduce_tasks: reduces.len() as u64,
        retries,
        requests,
        gb_seconds,
        cost: Cost::of(gb_seconds, &requests),
    })
}
