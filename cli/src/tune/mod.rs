//! `kinglet tune`: a job over memory sizes, several times each; what is the cheapest, the fastest and the balanced size.
//!
//! Times are *billed* times, as Lambda would bill each invocation, and costs follow from them by Lambda's prices. On the
//! embedded host a control group gives each function the CPU share of its memory, so the times are this machine's at that
//! share.

mod args;
mod choice;
mod svg;

use crate::run;
pub(crate) use args::Tune;
use args::{TuneHow, TuneJob};
use choice::{Choices, Run, Size};
use kinglet::{Driver, Error, Job as _, JobHandle, Local, Result, Submit, prices};

use kinglet_jobs::WordCount;
use std::time::Duration;

pub(crate) async fn tune(tune: Tune, _cloud: crate::args::Cloud) -> Result<()> {
    match tune.job {
        TuneJob::WordCount { inputs, how } => {
            let submit = async |driver: &Driver, output: &str| {
                driver.submit(&WordCount, Submit::new(inputs.clone(), output)).await
            };
            sizes(WordCount::NAME, &how, submit).await
        }
        TuneJob::Primes { range, how } => {
            let job = run::prime_job(&range, None)?;
            let stretches = job.stretches(range.stretches.unwrap_or(1));
            let submit = async |driver: &Driver, output: &str| {
                let submit = Submit::to(output).with_items_per_split(1);
                driver.submit_items(&job, stretches.clone(), run::with_partitions(submit, job.parts)).await
            };
            sizes(kinglet_jobs::Primes::NAME, &how, submit).await
        }
    }
}

/// Measures, prints and draws.
async fn sizes(name: &str, how: &TuneHow, submit: impl AsyncFn(&Driver, &str) -> Result<JobHandle>) -> Result<()> {
    if let Some(size) = how.memory.iter().find(|size| how.memory.iter().filter(|other| other == size).count() > 1) {
        return Err(Error::input("memory-twice", format!("--memory names {size} MB twice")));
    }
    let (mut sizes, mut failed, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for &memory_mb in &how.memory {
        match measure(memory_mb, how, &submit, &mut notes).await {
            Ok(runs) => sizes.push(Size::of(memory_mb, &runs)),
            // Too little memory is something to find out, and no reason to stop; what is wrong with every size is.
            Err(error) if matches!(error, Error::Limit(_)) && how.memory.len() > 1 => failed.push((memory_mb, error)),
            Err(error) => return Err(error.context(format!("at {memory_mb} MB"))),
        }
    }
    if sizes.is_empty() {
        let (memory_mb, error) = failed.swap_remove(0);
        return Err(error.context(format!("no memory size was enough; at {memory_mb} MB")));
    }
    let choices = Choices::of(&sizes, how.deadline, how.budget);
    if let Some(file) = &how.svg {
        let drawn = svg::draw(name, &sizes, &choices);
        std::fs::write(file, drawn).map_err(|e| Error::input("svg", format!("writing {}: {e}", file.display())))?;
    }
    if how.json {
        let failed: Vec<_> = failed
            .iter()
            .map(|(memory_mb, e)| serde_json::json!({"memory_mb": memory_mb, "error": e.to_string()}))
            .collect();
        let all = serde_json::json!({
            "job": name, "sizes": sizes, "failed": failed, "choices": choices, "notes": notes,
        });
        println!("{all:#}");
        return Ok(());
    }
    println!("{}", choice::table(name, how.runs, &sizes));
    for (memory_mb, error) in &failed {
        println!("{memory_mb} MB is too little: {error}");
    }
    println!("{}", choices.text());
    notes.iter().for_each(|note| println!("note: {note}"));
    Ok(())
}

/// The runs at one size, the first with fresh environments, as on Lambda after a pause.
async fn measure(
    memory_mb: u32,
    how: &TuneHow,
    submit: &impl AsyncFn(&Driver, &str) -> Result<JobHandle>,
    notes: &mut Vec<String>,
) -> Result<Vec<Run>> {
    let mut local = Local::new().with_memory_mb(memory_mb).with_memory_enforced().with_cpu_share();
    if let Some(concurrency) = how.concurrency {
        local = local.with_concurrency(concurrency);
    }
    if let Some(dir) = &how.data_dir {
        local = local.with_data_dir(dir);
    }
    let driver = local.start().await?;
    let output = tempfile::tempdir().map_err(|e| Error::limit("tmp", format!("making a directory: {e}")))?;
    let mut runs: Vec<Run> = Vec::new();
    for n in 1..=how.runs {
        let place = output.path().join(n.to_string());
        let handle = submit(&driver, &place.to_string_lossy()).await?;
        let report = handle.wait().await?;
        let Some(runtime) = driver.runtime() else { break };
        // The last worker asks for its next event, which ends its billed time, after the job's end.
        while runtime.host().pending() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let seen: usize = runs.iter().map(|run| run.invocations).sum();
        let reports = runtime.host().reports();
        let reports = reports.get(seen..).unwrap_or_default();
        let calls = reports.iter().map(|report| (&*report.function, report.billed_ms, report.memory_mb));
        let mut run = Run::of(calls, report.wall.total_ms);
        run.others = report.cost.dynamodb + report.cost.s3;
        eprintln!("{memory_mb} MB, run {n} of {}: {:.3} s billed", how.runs, run.billed_ms / 1e3);
        runs.push(run);
        notes.extend(runtime.host().warnings().into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
        // What came out is of no use here.
        let _ = std::fs::remove_dir_all(&place);
    }
    driver.close().await;
    Ok(runs)
}

/// What Lambda charges for one invocation.
fn invocation_cost(billed_ms: f64, memory_mb: u32) -> f64 {
    billed_ms / 1e3 * f64::from(memory_mb) / 1024.0 * prices::LAMBDA_GB_SECOND_X86 + prices::LAMBDA_REQUEST
}
