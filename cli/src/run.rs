//! `kinglet run`.

use crate::args::{Cloud, Common, CompressionArg, Embedded, Job, Run};
use crate::{hull, progress, report};
use kinglet::{Aws, Compression, Functions, JobHandle, JobOptions, Local, Result, Submit};
use kinglet_jobs::WordCount;
use std::time::Duration;

pub(crate) async fn run(run: Run, cloud: Cloud) -> Result<()> {
    match run.job {
        Job::WordCount(common) => run_job(&WordCount, common, cloud).await,
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
    common: Common,
    cloud: Cloud,
    then: impl AsyncFnOnce(&JobHandle) -> Result<()>,
) -> Result<()> {
    let driver = match cloud.aws() {
        Some(aws) => aws.connect().await?,
        None => local(common.concurrency, &common.embedded).start().await?,
    };
    let options = JobOptions {
        concurrency: common.concurrency.unwrap_or(0),
        split_bytes: common.split_bytes,
        partitions: common.partitions,
        compression: match common.compression {
            CompressionArg::None => Compression::None,
            CompressionArg::Lz4 => Compression::Lz4,
        },
        inline_bytes_max: common.inline_bytes,
        ..JobOptions::default()
    };
    let submit = Submit::new(common.inputs, common.output).with_options(options);
    let submit = if common.overwrite { submit.with_overwrite() } else { submit };
    let handle = driver.submit(job, submit).await?;
    let mut shown = progress::Shown::new();
    let done = handle.wait_with(&mut |progress| shown.tell(progress)).await;
    shown.end();
    let after = if done.is_ok() { then(&handle).await } else { Ok(()) };
    drop(handle);
    driver.close().await;
    report::print(&done?, common.json)?;
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
        local = local.with_functions(Functions::Directory(dir.clone()));
    }
    local
}

impl Cloud {
    /// The stack to connect to, where one is named.
    pub(crate) fn aws(&self) -> Option<Aws> {
        let mut aws = Aws::new(self.stack.as_ref()?);
        if let Some(region) = &self.region {
            aws = aws.with_region(region);
        }
        if let Some(profile) = &self.profile {
            aws = aws.with_profile(profile);
        }
        Some(aws)
    }
}
