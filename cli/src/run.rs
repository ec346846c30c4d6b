//! `kinglet run`.

use crate::args::{Cloud, Common, CompressionArg, Embedded, How, Job, PrimeRange, Primes, Run};
use crate::{hull, progress, report};
use kinglet::{Aws, Compression, Driver, JobHandle, Local, LocalFunctions, Program, Result, Submit};
use kinglet_jobs::{PrimesOf, WordCount, parse_number};
use std::time::Duration;

pub(crate) async fn run(run: Run, cloud: Cloud) -> Result<()> {
    match run.job {
        Job::WordCount(common) => run_job(&WordCount, common, cloud).await,
        Job::Primes(primes) => run_primes(primes, cloud).await,
        Job::Hull(args) => hull::run(*args, cloud).await,
    }
}

/// Runs a job and prints its report.
pub(crate) async fn run_job<J: kinglet::Job>(job: &J, common: Common, cloud: Cloud) -> Result<()> {
    run_job_then(job, common, cloud, async |_| Ok(())).await
}

/// The same, with something to be done once it has succeeded.
pub(crate) async fn run_job_then<J: kinglet::Job>(
    job: &J,
    Common { inputs, how }: Common,
    cloud: Cloud,
    then: impl AsyncFnOnce(&JobHandle) -> Result<()>,
) -> Result<()> {
    let driver = start(&how, &cloud).await?;
    let handle = driver.submit(job, submit(Submit::new(inputs, &how.output), &how)).await?;
    finish(driver, handle, how.json, then).await
}

async fn run_primes(Primes { range, how }: Primes, cloud: Cloud) -> Result<()> {
    let job = prime_job(&range, how.partitions)?;
    let driver = start(&how, &cloud).await?;
    // Without the option there is one part, but for a list.
    let how = How { partitions: Some(how.partitions.unwrap_or(job.parts)), ..how };
    let submit = submit(Submit::to(&how.output), &how);
    let (stretches, submit) = match range.stretches {
        Some(count) => (job.stretches(count), submit.with_items_per_split(1)),
        None => (job.stretches(job.stretches_max()), submit),
    };
    let handle = driver.submit_items(&job, stretches, submit).await?;
    finish(driver, handle, how.json, async |_| Ok(())).await
}

/// The job of these arguments.
pub(crate) fn prime_job(range: &PrimeRange, parts: Option<u32>) -> Result<kinglet_jobs::Primes> {
    let number = |option: &str, text: &str| parse_number(text).map_err(|e| e.context(option.to_owned()));
    let (from, to) = (number("--from", &range.from)?, number("--to", &range.to)?);
    let of = if range.sum {
        PrimesOf::Sum
    } else if range.list {
        PrimesOf::List
    } else {
        PrimesOf::Count
    };
    let job = kinglet_jobs::Primes::new(from, to, of)?.with_repeat(range.repeat);
    if of != PrimesOf::List {
        return Ok(job);
    }
    Ok(job.with_parts(parts.unwrap_or_else(|| kinglet_jobs::Primes::parts_for(from, to))))
}

/// So many parts, and all else by default.
pub(crate) fn with_partitions(submit: Submit, parts: u32) -> Submit {
    submit.with_partitions(parts)
}

async fn start(how: &How, cloud: &Cloud) -> Result<Driver> {
    match cloud.aws() {
        Some(aws) => aws.connect().await,
        None => local(how.concurrency, &how.embedded).start().await,
    }
}

fn submit(mut submit: Submit, how: &How) -> Submit {
    submit = submit.with_compression(match how.compression {
        CompressionArg::None => Compression::None,
        CompressionArg::Lz4 => Compression::Lz4,
    });
    if let Some(functions) = how.concurrency {
        submit = submit.with_concurrency(functions);
    }
    if let Some(bytes) = how.split_bytes {
        submit = submit.with_split_bytes(bytes);
    }
    if let Some(partitions) = how.partitions {
        submit = submit.with_partitions(partitions);
    }
    if let Some(bytes) = how.inline_bytes {
        submit = submit.with_inline_bytes(bytes);
    }
    if let Some(seconds) = how.job_timeout {
        submit = submit.with_job_timeout(Duration::from_secs(seconds));
    }
    if how.overwrite { submit.with_overwrite() } else { submit }
}

async fn finish(
    driver: Driver,
    handle: JobHandle,
    json: bool,
    then: impl AsyncFnOnce(&JobHandle) -> Result<()>,
) -> Result<()> {
    let mut shown = progress::Shown::new();
    let done = handle.wait_with(&mut |progress| shown.tell(progress)).await;
    shown.end();
    let after = if done.is_ok() { then(&handle).await } else { Ok(()) };
    drop(handle);
    driver.close().await;
    report::print(&done?, json)?;
    after
}

/// The embedded runtime as the options say.
pub(crate) fn local(concurrency: Option<u32>, embedded: &Embedded) -> Local {
    let mut local = Local::new();
    if let Some(concurrency) = concurrency {
        local = local.with_concurrency(concurrency);
    }
    if let Some(memory_mb) = embedded.memory_mb {
        local = local.with_memory_mb(memory_mb);
    }
    if let Some(memory_mb) = embedded.mapper_large_memory_mb {
        local = local.with_mapper_large_memory_mb(memory_mb);
    }
    if let Some(seconds) = embedded.timeout {
        local = local.with_timeout(Duration::from_secs(seconds));
    }
    if embedded.enforce_memory {
        local = local.with_memory_enforced();
    }
    if embedded.cpu_share {
        local = local.with_cpu_share();
    }
    if let Some(dir) = &embedded.data_dir {
        local = local.with_data_dir(dir);
    }
    if let Some(dir) = &embedded.functions {
        local = local.with_functions(LocalFunctions::Directory(dir.clone()));
    }
    local
}

impl Cloud {
    /// The stack to connect to, where one is named.
    pub(crate) fn aws(&self) -> Option<Aws> {
        // What the command runs, the functions of the template hold themselves.
        let mut aws = Aws::new(self.stack.as_ref()?).with_program(Program::Linked);
        if let Some(region) = &self.region {
            aws = aws.with_region(region);
        }
        if let Some(profile) = &self.profile {
            aws = aws.with_profile(profile);
        }
        Some(aws)
    }
}
