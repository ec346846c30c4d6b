//! `kinglet tune`: a job over memory sizes, several times each; what is the cheapest, the fastest and the balanced size.
//!
//! Times are *billed* times, as Lambda would bill each invocation, and costs follow from them by Lambda's prices. On the
//! embedded host a control group gives each function the CPU share of its memory, so the times are this machine's at that
//! share.

mod args;
mod choice;
mod svg;

use crate::args::Cloud;
use crate::{hull, run};
pub(crate) use args::Tune;
use args::{TuneHow, TuneJob};
use choice::{Choices, Run, Size};
use kinglet::measure::Measure;
use kinglet::{Driver, Error, Job as _, JobHandle, Local, Result, Submit, prices};

use kinglet_jobs::WordCount;
use std::time::Duration;

pub(crate) async fn tune(tune: Tune, cloud: Cloud) -> Result<()> {
    match tune.job {
        TuneJob::WordCount { inputs, how } => {
            let submit = async |driver: &Driver, output: &str| {
                driver.submit(&WordCount, Submit::new(inputs.clone(), output).with_overwrite()).await
            };
            sizes(WordCount::NAME, &how, &cloud, submit).await
        }
        TuneJob::Primes { range, how } => {
            let job = run::prime_job(&range, None)?;
            let stretches = job.stretches(range.stretches.unwrap_or(1));
            let submit = async |driver: &Driver, output: &str| {
                let submit = Submit::to(output).with_items_per_split(1).with_overwrite();
                driver.submit_items(&job, stretches.clone(), run::with_partitions(submit, job.parts)).await
            };
            sizes(kinglet_jobs::Primes::NAME, &how, &cloud, submit).await
        }
        TuneJob::Hull { inputs, points, how } => {
            let job = hull::job(&points, &inputs)?;
            let submit = async |driver: &Driver, output: &str| {
                let submit = Submit::new(inputs.clone(), output).with_overwrite();
                driver.submit(&job, run::with_partitions(submit, 1)).await
            };
            sizes(kinglet_jobs::Hull::NAME, &how, &cloud, submit).await
        }
    }
}

/// Measures, prints and draws.
async fn sizes(
    name: &str,
    how: &TuneHow,
    cloud: &Cloud,
    submit: impl AsyncFn(&Driver, &str) -> Result<JobHandle>,
) -> Result<()> {
    if let Some(size) = how.memory.iter().find(|size| how.memory.iter().filter(|other| other == size).count() > 1) {
        return Err(Error::input("memory-twice", format!("--memory names {size} MB twice"))
            .with_hint("name each size once; --runs says how often it is measured"));
    }
    let (mut sizes, mut failed, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let stack = match cloud.aws() {
        Some(aws) => Some(Stack::connect(aws, how).await?),
        None => None,
    };
    let mut all = Ok(());
    for &memory_mb in &how.memory {
        let runs = match &stack {
            Some(stack) => stack.measure(memory_mb, how, &submit).await,
            None => measure(memory_mb, how, &submit, &mut notes).await,
        };
        match runs {
            Ok(runs) => sizes.push(Size::of(memory_mb, &runs)),
            // Too little memory is something to find out, and no reason to stop; what is wrong with every size is.
            Err(error) if matches!(error, Error::Limit(_)) && how.memory.len() > 1 => failed.push((memory_mb, error)),
            Err(error) => {
                all = Err(error.context(format!("at {memory_mb} MB")));
                break;
            }
        }
    }
    if let Some(stack) = stack {
        // What was measured is shown all the same.
        match Measure::on(&stack.driver).restore_mapper_memory().await {
            Ok(()) => notes.push(stack.note()),
            Err(error) => notes.push(format!(
                "the stack's mapper had {} MB and could not be given them back, so deploy again: {error}",
                stack.before_mb
            )),
        }
        stack.driver.close().await;
    }
    if let Err(error) = all {
        notes.iter().for_each(|note| eprintln!("note: {note}"));
        return Err(error);
    }
    if sizes.is_empty() {
        let (memory_mb, error) = failed.swap_remove(0);
        return Err(error.context(format!("no memory size was enough; at {memory_mb} MB")));
    }
    let choices = Choices::of(&sizes, how.deadline, how.budget);
    show(name, how, (&sizes, &failed), &choices, &notes);
    let Some(file) = &how.svg else { return Ok(()) };
    std::fs::write(file, svg::draw(name, &sizes, &choices)).map_err(|e| {
        Error::input("svg", format!("writing {}: {e}", file.display()))
            .with_hint("name a file in a directory that is there and can be written")
    })
}

/// Prints what was measured.
fn show(name: &str, how: &TuneHow, (sizes, failed): (&[Size], &[(u32, Error)]), choices: &Choices, notes: &[String]) {
    if how.json {
        let failed: Vec<_> = failed
            .iter()
            .map(|(memory_mb, e)| serde_json::json!({"memory_mb": memory_mb, "error": e.to_string()}))
            .collect();
        let all = serde_json::json!({
            "job": name, "sizes": sizes, "failed": failed, "choices": choices, "notes": notes,
        });
        println!("{all:#}");
        return;
    }
    println!("{}", choice::table(name, how.runs, sizes));
    for (memory_mb, error) in failed {
        println!("{memory_mb} MB is too little: {error}");
    }
    println!("{}", choices.text());
    notes.iter().for_each(|note| println!("note: {note}"));
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
    let own = tempfile::tempdir().map_err(|e| Error::limit("tmp", format!("making a directory: {e}")))?;
    let output = how.output.clone().unwrap_or_else(|| own.path().join("out").to_string_lossy().into_owned());
    let mut runs: Vec<Run> = Vec::new();
    for n in 1..=how.runs {
        let report = submit(&driver, &output).await?.wait().await?;
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
        tell(memory_mb, n, how, &run);
        runs.push(run);
        notes.extend(runtime.host().warnings().into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
    }
    driver.close().await;
    Ok(runs)
}

fn tell(memory_mb: u32, n: u32, how: &TuneHow, run: &Run) {
    eprintln!("{memory_mb} MB, run {n} of {}: {:.3} s billed", how.runs, run.billed_ms / 1e3);
}

/// A stack whose mapper gets one memory size after the other, and at the end what it had.
struct Stack {
    driver: Driver,
    output: String,
    before_mb: u32,
}

impl Stack {
    async fn connect(aws: kinglet::Aws, how: &TuneHow) -> Result<Self> {
        let Some(output) = how.output.clone() else {
            return Err(Error::input("output", "on a stack the job needs a place to write to")
                .with_hint("add --output s3://BUCKET/PREFIX; each run overwrites the one before"));
        };
        let driver = aws.connect().await?;
        let before_mb = Measure::on(&driver).mapper_memory_mb().await?;
        eprintln!("the stack's mapper has {before_mb} MB; it gets them back at the end, also after Ctrl-C");
        Ok(Stack { driver, output, before_mb })
    }

    /// As the functions measured themselves: how long each attempt ran, and its init phase.
    async fn measure(
        &self,
        memory_mb: u32,
        how: &TuneHow,
        submit: &impl AsyncFn(&Driver, &str) -> Result<JobHandle>,
    ) -> Result<Vec<Run>> {
        Measure::on(&self.driver).set_mapper_memory_mb(memory_mb).await?;
        let mut runs = Vec::new();
        for n in 1..=how.runs {
            let report = submit(&self.driver, &self.output).await?.wait().await?;
            let (map, reduce) = (report.map_ms, report.reduce_ms);
            let run = Run {
                path_ms: (map.max + reduce.max) as f64,
                billed_ms: (map.sum + reduce.sum + report.init_ms) as f64,
                invocations: report.requests.lambda as usize,
                map_ms: map.sum as f64 / report.map_tasks.max(1) as f64,
                wall_ms: report.wall.total_ms as f64,
                lambda: report.cost.lambda,
                others: report.cost.dynamodb + report.cost.s3,
            };
            tell(memory_mb, n, how, &run);
            runs.push(run);
        }
        Ok(runs)
    }

    fn note(&self) -> String {
        format!("the stack's mapper has its {} MB again; set MapperMemory and deploy to change it", self.before_mb)
    }
}

/// What Lambda charges for one invocation.
fn invocation_cost(billed_ms: f64, memory_mb: u32) -> f64 {
    billed_ms / 1e3 * f64::from(memory_mb) / 1024.0 * prices::LAMBDA_GB_SECOND_X86 + prices::LAMBDA_REQUEST
}
