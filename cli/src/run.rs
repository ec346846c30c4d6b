//! `kinglet run`.

use crate::args::{Common, CompressionArg, Job, Run};
use crate::{progress, report};
use kinglet::{Compression, Functions, JobOptions, Local, Result, Submit};
use kinglet_jobs::WordCount;
use std::time::Duration;

pub(crate) async fn run(run: Run) -> Result<()> {
    match run.job {
        Job::WordCount(common) => run_job(&WordCount, common).await,
    }
}

async fn run_job<J: kinglet::Job>(job: &J, common: Common) -> Result<()> {
    let driver = local(&common).start().await?;
    let options = JobOptions {
        concurrency: 0,
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
    drop(handle);
    driver.close().await;
    report::print(&done?, common.json)
}

fn local(common: &Common) -> Local {
    let mut local = Local::new().with_memory_mb(common.memory_mb).with_timeout(Duration::from_secs(common.timeout));
    if let Some(concurrency) = common.concurrency {
        local = local.with_concurrency(concurrency);
    }
    if let Some(memory_mb) = common.mapper_large_memory_mb {
        local = local.with_mapper_large_memory_mb(memory_mb);
    }
    if common.enforce_memory {
        local = local.with_memory_enforced();
    }
    if common.cpu_share {
        local = local.with_cpu_share();
    }
    if let Some(dir) = &common.data_dir {
        local = local.with_data_dir(dir);
    }
    if let Some(dir) = &common.functions {
        local = local.with_functions(Functions::Directory(dir.clone()));
    }
    local
}
