//! Runs a job over memory sizes and prints the results.

use super::choice::{self, Choices, Run, Size};
use super::svg;
use crate::options::{Cloud, DATA_DIR, EmbeddedOnly};
use clap::Args;
use kinglet::measure::Measure;
use kinglet::{Code, Driver, Error, JobHandle, Local, Result, Submit};
use std::path::PathBuf;
use std::time::Duration;

/// Over which sizes a job is run, and what is wanted of the result.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tuning")]
pub(super) struct TuneHow {
    /// Memory sizes in MB, 128 to 10240
    #[arg(long, value_name = "MB,…", value_delimiter = ',', default_value = "128,256,512,1024,1769,3008",
          value_parser = clap::value_parser!(u32).range(128..=10240))]
    memory: Vec<u32>,

    /// Runs at each size; those far from the median are left out
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,

    /// Draw time against cost into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Name the cheapest size at which the job takes at most so many seconds
    #[arg(long, value_name = "S", value_parser = positive)]
    deadline: Option<f64>,

    /// Name the fastest size at which the job costs at most so many dollars
    #[arg(long, value_name = "USD", value_parser = positive)]
    budget: Option<f64>,

    /// Where the job writes, each run over the one before; on a stack it must be an s3:// prefix [default: a temporary directory]
    #[arg(short, long, value_name = "OUT")]
    output: Option<String>,

    /// Print the figures as JSON
    #[arg(long)]
    json: bool,

    /// How many functions run at once [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,

    /// Where intermediate data goes; it is removed at the end [default: the temporary directory]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl TuneHow {
    pub(super) fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.data_dir.as_ref().map(|_| DATA_DIR)
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("not a number above 0".to_owned()),
    }
}

/// So many parts, and all else by default.
pub(super) fn with_partitions(submit: Submit, parts: u32) -> Submit {
    submit.with_partitions(parts)
}

/// Whether more memory may be the way out: also of a program that the system could not start for want of it.
fn is_of_size(error: &Error) -> bool {
    matches!(error, Error::Limit(_)) || error.is(Code::ProgramLoad)
}

/// Measures, prints and draws.
pub(super) async fn sizes(
    name: &str,
    how: &TuneHow,
    cloud: &Cloud,
    submit: impl AsyncFn(&Driver, &str) -> Result<JobHandle>,
) -> Result<()> {
    if let Some(size) = how.memory.iter().find(|size| how.memory.iter().filter(|other| other == size).count() > 1) {
        return Err(Error::new(Code::MemoryTwice, format!("--memory names {size} MB twice"))
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
            // That a size has too little memory is a result, and no reason to stop; what is wrong with every size is one.
            Err(error) if is_of_size(&error) && how.memory.len() > 1 => failed.push((memory_mb, error)),
            Err(error) => {
                all = Err(error.context(format!("at {memory_mb} MB")));
                break;
            }
        }
    }
    if let Some(stack) = stack {
        // What has been measured is shown in any case.
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
        Error::new(Code::Svg, format!("writing {}: {e}", file.display()))
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
    let own = tempfile::tempdir().map_err(|e| Error::new(Code::Tmp, format!("making a directory: {e}")))?;
    let output = how.output.clone().unwrap_or_else(|| own.path().join("out").to_string_lossy().into_owned());
    let mut runs: Vec<Run> = Vec::new();
    for n in 1..=how.runs {
        let report = submit(&driver, &output).await?.wait().await?;
        let Some(runtime) = driver.runtime() else { break };
        // After the job's end the last worker asks for its next event, which ends its billed time.
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
            return Err(Error::new(Code::Output, "on a stack the job needs a place to write to")
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
