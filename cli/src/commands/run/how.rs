//! The options that all jobs of `kinglet run` share, and how the jobs are run.

use crate::commands::report::write_page;
use crate::options::{Cloud, CodecArg, CompressionArg, Embedded, MergeRunsArg};
use crate::times::duration;
use crate::{progress, report};
use clap::Args;
use kinglet::prices::Prices;
use kinglet::{Code, Driver, Error, JobHandle, MaxRejected, OutputFormat, PathCondition, Result, Store, Submit};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a job has that reads files.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Files, directories, patterns in quotes, or s3:// URIs (an object, a prefix, a pattern)
    #[arg(required_unless_present_any = ["input_list", "inventory"], value_name = "INPUT")]
    pub(crate) inputs: Vec<String>,

    /// A file that lists more inputs: a path or an s3:// URI of one object a line
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub(crate) input_list: Option<String>,

    /// An S3 Inventory report, whose objects are read too: s3://BUCKET/…/manifest.json
    #[arg(long, value_name = "URI", help_heading = "Input")]
    pub(crate) inventory: Option<String>,

    /// Read only objects whose path says so, as in year=2026/month=07/: 'month>=7', day=1,2,3; several times for several
    #[arg(long = "where-path", value_name = "CONDITION", help_heading = "Input")]
    pub(crate) conditions: Vec<PathCondition>,

    /// How all of the input is compressed [default: as the name and the first bytes of each object say]
    #[arg(long, value_enum, value_name = "CODEC", help_heading = "Job")]
    pub(crate) input_compression: Option<CodecArg>,

    /// How many times as long as it is a compressed object may become [default: 1100]
    #[arg(long, value_name = "N", help_heading = "Job", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) expansion_max: Option<u32>,

    /// How many records that are not valid may be left out: a number, or a share as in 0.1%; they lie beside the result
    #[arg(long, value_name = "N|P%", help_heading = "Job")]
    pub(crate) max_rejected: Option<MaxRejected>,

    /// Read each file in one split, whatever its size
    #[arg(long, help_heading = "Job")]
    pub(crate) whole_objects: bool,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// How the result is written, of jobs that leave it to the user.
    #[arg(skip)]
    pub(crate) format: OutputFormat,

    #[command(flatten)]
    pub(crate) how: How,
}

impl Common {
    /// Returns what the job reads, for who only reads it.
    pub(crate) fn reads(&self) -> Submit {
        let submit = Submit::new(self.inputs.iter().cloned(), "").with_conditions(self.conditions.clone());
        let submit = match &self.input_list {
            Some(list) => submit.with_input_list(list),
            None => submit,
        };
        match &self.inventory {
            Some(manifest) => submit.with_inventory(manifest),
            None => submit,
        }
    }

    /// Returns what the job reads and writes, if it is to be run, or planned, now.
    pub(crate) fn submit(self) -> Result<Submit> {
        if let Some(name) = &self.store.store {
            let message = format!("this cannot be stored as {name}: what it does follows from what its input has now");
            return Err(Error::new(Code::StoredJob, message).with_hint("leave --store out"));
        }
        let mut submit = submit(Submit::new(self.inputs, &self.how.output), &self.how)?;
        submit = submit.with_conditions(self.conditions);
        if let Some(list) = self.input_list {
            submit = submit.with_input_list(list);
        }
        if let Some(manifest) = self.inventory {
            submit = submit.with_inventory(manifest);
        }
        submit = submit.with_output_format(self.format);
        if let Some(codec) = self.input_compression {
            submit = submit.with_input_compression(codec.into());
        }
        if let Some(max) = self.max_rejected {
            submit = submit.with_max_rejected(max);
        }
        if self.whole_objects {
            submit = submit.with_whole_objects();
        }
        Ok(match self.expansion_max {
            Some(times) => submit.with_expansion_max(times),
            None => submit,
        })
    }
}

/// How a job is kept in the stack.
#[derive(Debug, Default, Args)]
pub(crate) struct StoreArgs {
    /// Keep the job in the stack under this name, to be started by `kinglet stored start`, a schedule or new objects, and run nothing now
    #[arg(long, value_name = "NAME", help_heading = "Stored jobs")]
    store: Option<String>,

    /// How long before a start the time lies that %Y, %m, %d, %H and %M say in the names of input and output, as 1d [default: none]
    #[arg(long, value_name = "TIME", requires = "store", value_parser = duration, help_heading = "Stored jobs")]
    time_back: Option<Duration>,

    /// How long there must have been no new object before these start the job, as 5m [default: 1m]
    #[arg(long, value_name = "TIME", requires = "store", value_parser = duration, help_heading = "Stored jobs")]
    quiet: Option<Duration>,

    /// How long the first of new objects waits at most before these start the job, as 1h [default: 15m]
    #[arg(long, value_name = "TIME", requires = "store", value_parser = duration, help_heading = "Stored jobs")]
    wait_at_most: Option<Duration>,
}

impl StoreArgs {
    /// Returns how the job is kept, if it is to be, and forgets that it is.
    fn take(&mut self) -> Option<Store> {
        let mut store = Store::new(self.store.take()?);
        if let Some(back) = self.time_back {
            store = store.with_time_back(back);
        }
        if let Some(quiet) = self.quiet {
            store = store.with_quiet(quiet);
        }
        if let Some(wait) = self.wait_at_most {
            store = store.with_wait(wait);
        }
        Some(store)
    }
}

/// How a job is run, and where its result goes.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// Where the parts go: a directory or an s3:// prefix
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: String,

    /// Replace the result that the output holds already; it stays until the new one is whole
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Write an empty _SUCCESS once the result is whole, for programs that look for one
    #[arg(long)]
    pub(crate) success_marker: bool,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Write a page that shows what each attempt did, for a browser, however the job ends
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// About how many bytes a map task reads [default: by the input's size]
    #[arg(long, value_name = "N", help_heading = "Job")]
    pub(crate) split_bytes: Option<u64>,

    /// How many partitions, and so parts, there are [default: by the input's size]
    #[arg(long, value_name = "N", help_heading = "Job")]
    pub(crate) partitions: Option<u32>,

    /// About how many bytes a file of the result has, as 128MB or 64MiB, in place of how many parts there are [default: whatever a part has]
    #[arg(long, value_name = "SIZE", help_heading = "Job", value_parser = size)]
    pub(crate) file_size: Option<u64>,

    /// How pairs are stored on their way from mappers to reducers
    #[arg(long, value_enum, default_value_t, help_heading = "Job")]
    pub(crate) compression: CompressionArg,

    /// Pairs of a map task lie in DynamoDB up to so many bytes, else in S3 [default: where it is cheaper]
    #[arg(long, value_name = "N", help_heading = "Job")]
    pub(crate) inline_bytes: Option<u64>,

    /// Whether runs are merged, by groups of map tasks and bands of partitions, before they are reduced
    #[arg(long, value_enum, default_value_t, help_heading = "Job")]
    pub(crate) merge_runs: MergeRunsArg,

    /// How many functions run at once; on AWS, how many to plan for [default: the number of cores; on AWS, what the stack
    /// reserves or the account has]
    #[arg(long, value_name = "N", help_heading = "Job", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) concurrency: Option<u32>,

    /// Keep the runs in S3 when the job has succeeded; else they are removed then
    #[arg(long, help_heading = "Job")]
    pub(crate) keep_runs: bool,

    /// How long the job may take in all, in seconds, waiting for functions included; then it fails [default: 86400, a day]
    #[arg(long, value_name = "S", help_heading = "Job", value_parser = clap::value_parser!(u64).range(1..=518_400))]
    pub(crate) job_timeout: Option<u64>,

    /// What the job may cost, in US dollars; it is refused if it is likely to cost more, and fails once it could
    #[arg(long, value_name = "USD", help_heading = "Job")]
    pub(crate) max_usd: Option<f64>,

    /// How long the job may take, in seconds; it is refused if it is likely to take longer, and fails if it does
    #[arg(long, value_name = "S", help_heading = "Job")]
    pub(crate) max_seconds: Option<f64>,

    /// Prices as JSON, for a region that is not known
    #[arg(long, value_name = "FILE", help_heading = "Job")]
    pub(crate) prices: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) embedded: Embedded,
}

/// Runs a job and prints its report.
pub(crate) async fn run_job<J: kinglet::Job>(job: &J, common: Common, cloud: &Cloud) -> Result<()> {
    run_job_then(job, common, cloud, async |_| Ok(())).await
}

/// The same, with something to be done once it has succeeded.
pub(crate) async fn run_job_then<J: kinglet::Job>(
    job: &J,
    mut common: Common,
    cloud: &Cloud,
    then: impl AsyncFnOnce(&JobHandle) -> Result<()>,
) -> Result<()> {
    if let Some(kept) = common.store.take() {
        return store(job, common, kept, cloud).await;
    }
    let (driver, told) = (start(&common.how, cloud).await?, common.how.told());
    let handle = driver.submit(job, common.submit()?).await?;
    finish(driver, handle, told, then).await
}

/// Keeps a job in the stack.
async fn store<J: kinglet::Job>(job: &J, common: Common, store: Store, cloud: &Cloud) -> Result<()> {
    let Some(aws) = cloud.aws() else {
        return Err(Error::new(Code::StoredJob, "this machine keeps no jobs that start themselves")
            .with_hint("name the stack that is to keep it: `kinglet --stack NAME run …`"));
    };
    let driver = aws.connect().await?;
    let stored = driver.store(job, common.submit()?, store).await;
    driver.close().await;
    eprintln!("{}", if stored? { "stored, in place of what was stored under this name" } else { "stored" });
    Ok(())
}

pub(crate) async fn start(how: &How, cloud: &Cloud) -> Result<Driver> {
    match cloud.aws() {
        Some(aws) => aws.connect().await,
        None => how.embedded.local(how.concurrency).start().await,
    }
}

pub(crate) fn submit(mut submit: Submit, how: &How) -> Result<Submit> {
    submit = submit.with_compression(how.compression.into());
    if let Some(functions) = how.concurrency {
        submit = submit.with_concurrency(functions);
    }
    if let Some(bytes) = how.split_bytes {
        submit = submit.with_split_bytes(bytes);
    }
    if let Some(partitions) = how.partitions {
        submit = submit.with_partitions(partitions);
    }
    if let Some(bytes) = how.file_size {
        submit = submit.with_file_bytes(bytes);
    }
    if let Some(bytes) = how.inline_bytes {
        submit = submit.with_inline_bytes(bytes);
    }
    if let Some(seconds) = how.job_timeout {
        submit = submit.with_job_timeout(Duration::from_secs(seconds));
    }
    if let Some(usd) = how.max_usd {
        submit = submit.with_max_usd(usd);
    }
    if let Some(seconds) = how.max_seconds {
        submit = submit.with_max_seconds(seconds);
    }
    if let Some(file) = &how.prices {
        submit = submit.with_prices(prices(file)?);
    }
    if how.success_marker {
        submit = submit.with_success_marker();
    }
    submit = submit.with_runs_merged(how.merge_runs.into());
    if how.keep_runs {
        submit = submit.with_runs_kept();
    }
    Ok(if how.overwrite { submit.with_overwrite() } else { submit })
}

fn prices(file: &Path) -> Result<Prices> {
    let shown = file.display().to_string();
    let json = std::fs::read_to_string(file).map_err(|e| {
        Error::new(Code::Prices, format!("reading {shown}: {e}")).with_hint("name a file of prices as JSON")
    })?;
    Prices::read(&json, &shown)
}

/// What is told of a job when it has ended.
pub(crate) struct Told {
    /// Whether the report is printed as JSON.
    json: bool,
    /// Where the page goes.
    page: Option<PathBuf>,
}

impl How {
    /// Returns what is to be told when the job has ended.
    pub(crate) fn told(&self) -> Told {
        Told { json: self.json, page: self.report.clone() }
    }
}

/// Waits for the end of a job, and tells of it.
pub(crate) async fn finish(
    driver: Driver,
    handle: JobHandle,
    told: Told,
    then: impl AsyncFnOnce(&JobHandle) -> Result<()>,
) -> Result<()> {
    let mut shown = progress::Shown::new();
    let done = handle.wait_with(&mut |progress| shown.tell(progress)).await;
    shown.end();
    let paged = match &told.page {
        Some(file) => handle.history().await.and_then(|mut history| {
            // What was read for the page is not the job's.
            history.status.report = done.as_ref().ok().cloned();
            write_page(&history, file)
        }),
        None => Ok(()),
    };
    let after = if done.is_ok() { then(&handle).await } else { Ok(()) };
    drop(handle);
    driver.close().await;
    report::print(&done?, told.json)?;
    after.and(paged)
}

/// Reads a number of bytes: as it is, or of KB, MB and GB, which are powers of 1,000, or of KiB, MiB and GiB, which are those of 1,024.
fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 6] =
        [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let unit = UNITS.iter().find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes)));
    let (number, bytes) = unit.unwrap_or((text, 1));
    let number: Option<u64> = number.trim_end().parse().ok();
    number
        .and_then(|number| number.checked_mul(bytes))
        .ok_or_else(|| "a whole number of bytes, or with KB, MB, GB, KiB, MiB or GiB behind it".to_owned())
}
