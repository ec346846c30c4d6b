//! `kinglet bench`: runs the benchmark set, on the stack that is named or on the embedded runtime. Of a stack it also measures
//! the services behind it, beside the model of them.
//!
//! The functions make their own corpus, so nothing is uploaded: writing it is the first thing that is measured. All that was
//! made is removed at the end, whether or not every benchmark succeeded, and on a stack also when the command is interrupted.

mod results;
mod services;

use crate::command::Command;
use crate::options::{Cloud, CompressionArg, Embedded, EmbeddedOnly};
use clap::Args;
use kinglet::measure::{Left, Measure};
use kinglet::{Code, Compression, Driver, Error, Job, JobHandle, Report, Result, Submit};
use kinglet_jobs::{BenchEmpty, BenchRead, BenchWrite, WordCount};
use results::{Case, Results};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Measure: word counts, reading, writing, empty tasks, and a stack's services
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet bench\n  \
    kinglet bench --quick --json > bench.json\n  \
    kinglet bench --sizes 1MB,10GB --repeat 5\n  \
    kinglet --stack kinglet bench\n  \
    kinglet --stack kinglet bench --services")]
pub(crate) struct Bench {
    /// Sizes of the word counts, and the largest of reading and writing: bytes, kB, MB or GB
    #[arg(long, value_name = "SIZE,…", value_delimiter = ',', value_parser = size, help_heading = "Benchmarks")]
    sizes: Vec<u64>,

    /// How many empty tasks are run [default: 1000]
    #[arg(long, value_name = "N", help_heading = "Benchmarks", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tasks: Option<u32>,

    /// How often each is run; the median counts [default: 3]
    #[arg(long, value_name = "N", help_heading = "Benchmarks", value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: Option<u32>,

    /// A small set, each run once: 1 MB and 10 MB, 100 empty tasks, few requests
    #[arg(long, help_heading = "Benchmarks")]
    quick: bool,

    /// Measure only the services, beside what docs/reference/aws-model.md says of them: how long requests to S3, DynamoDB and
    /// Lambda take, what is answered, how functions start
    #[arg(long, conflicts_with_all = ["sizes", "tasks", "repeat"], help_heading = "Benchmarks")]
    services: bool,

    /// Print everything as JSON, each run with its whole report
    #[arg(long)]
    json: bool,

    /// How runs are stored on their way from mappers to reducers
    #[arg(long, value_enum, default_value_t, help_heading = "Benchmarks")]
    compression: CompressionArg,

    /// Where corpora and outputs go: a directory, or an s3:// prefix that the functions may read and write [default: the
    /// temporary directory; on AWS, the stack's buckets]
    #[arg(long, value_name = "PLACE", help_heading = "Benchmarks")]
    at: Option<String>,

    /// How many functions run at once; on AWS, how many to plan for [default: the number of cores; on AWS, what the stack
    /// reserves or the account has]
    #[arg(long, value_name = "N", help_heading = "Benchmarks", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,

    #[command(flatten)]
    embedded: Embedded,
}

const MB: u64 = 1_000_000;

/// How much a reducer writes when a corpus is made, as far as there is so much.
const PART_BYTES: u64 = 64 * MB;

/// How much is written for each number that [`BenchWrite`] is given.
const STRETCH_BYTES: u64 = MB;

/// A number of bytes: `1000000`, `1MB`.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => MB,
        "GB" => 1_000 * MB,
        "TB" => MB * MB,
        _ => return Err("a size is a whole number of B, kB, MB, GB or TB, as in 100MB".to_owned()),
    };
    let number: u64 = digits.trim().parse().map_err(|_| "a size begins with a whole number, as in 100MB".to_owned())?;
    number.checked_mul(unit).filter(|size| *size > 0).ok_or_else(|| "a size is more than nothing".to_owned())
}

impl Command for Bench {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.embedded.given()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let driver = match cloud.aws() {
            Some(aws) => aws.connect().await?,
            None => self.embedded.local(self.concurrency).start().await?,
        };
        let measured = run_on(&driver, &self).await;
        driver.close().await;
        let results = measured?;
        if self.json {
            let text = serde_json::to_string_pretty(&results);
            println!("{}", text.map_err(|e| Error::new(Code::Report, format!("writing the results: {e}")))?);
        } else {
            print!("{results}");
        }
        Ok(())
    }
}

/// Where outputs go, or where corpora are read.
struct Place {
    root: String,
    /// Goes with its files when this does.
    _dir: Option<tempfile::TempDir>,
}

impl Place {
    /// Where outputs go, and where corpora are read when they cannot be read there: on a stack whose functions may write to one
    /// bucket and read from another.
    fn new(driver: &Driver, bench: &Bench) -> Result<(Place, Option<Place>)> {
        let dir = |parent: &Path| {
            let made = tempfile::Builder::new().prefix("kinglet-bench-").tempdir_in(parent).map_err(|e| {
                Error::new(Code::Output, format!("making a directory in {}: {e}", parent.display()))
                    .with_hint("name a place to write to with --at")
            })?;
            Ok((Place { root: made.path().display().to_string(), _dir: Some(made) }, None))
        };
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        let s3 = |place: &str| Place {
            root: format!("{}/kinglet-bench-{since:x}", place.trim_end_matches('/')),
            _dir: None,
        };
        match (&bench.at, driver.stack()) {
            (Some(at), _) if at.starts_with("s3://") => Ok((s3(at), None)),
            (Some(at), None) => dir(at.as_ref()),
            (Some(at), Some(stack)) => {
                let message =
                    format!("{at} is on this machine, where the functions of stack {} cannot reach it", stack.name);
                Err(Error::new(Code::LocalPath, message).with_hint("name an s3:// prefix with --at, or leave it out"))
            }
            (None, None) => dir(bench.embedded.data_dir.as_deref().unwrap_or(&std::env::temp_dir())),
            (None, Some(stack)) => {
                let reads = (stack.input_uri != stack.output_uri).then(|| s3(&stack.input_uri));
                Ok((s3(&stack.output_uri), reads))
            }
        }
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    async fn remove(&self, driver: &Driver, name: &str) -> Result<()> {
        let place = self.at(name);
        if place.starts_with("s3://") {
            return driver.remove_output(&place).await;
        }
        match std::fs::remove_dir_all(&place) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::new(Code::Output, format!("removing {place}: {e}")))
            }
            _ => Ok(()),
        }
    }
}

async fn run_on(driver: &Driver, bench: &Bench) -> Result<Results> {
    let (place, reads) = Place::new(driver, bench)?;
    let results = Results::new(driver.stack(), Measure::on(driver).functions().await?);
    let left = Left::on(driver);
    let mut set = Set { driver, bench, place: &place, reads: reads.as_ref().unwrap_or(&place), results, left };
    for name in set.outputs() {
        set.note(&name);
    }
    let measured = set.run().await;
    let mut left = Ok(());
    if driver.stack().is_some() {
        left = set.left.remove().await;
    } else {
        for name in set.outputs() {
            left = left.and(place.remove(driver, &name).await);
        }
    }
    // The first error is the one that is reported.
    measured?;
    left?;
    Ok(set.results)
}

struct Set<'a> {
    driver: &'a Driver,
    bench: &'a Bench,
    place: &'a Place,
    reads: &'a Place,
    results: Results,
    /// What is to be removed from the stack.
    left: Arc<Left>,
}

const OUT: &str = "out";

impl Set<'_> {
    fn sizes(&self) -> Vec<u64> {
        let mut sizes = match (&self.bench.sizes[..], self.bench.quick) {
            ([], true) => vec![MB, 10 * MB],
            ([], false) => vec![MB, 100 * MB, 1_000 * MB],
            (given, _) => given.to_vec(),
        };
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    fn repeat(&self) -> u32 {
        self.bench.repeat.unwrap_or(if self.bench.quick { 1 } else { 3 })
    }

    /// Everything that may have been made.
    fn outputs(&self) -> Vec<String> {
        self.sizes().into_iter().map(corpus).chain([OUT.to_owned()]).collect()
    }

    /// Notes an output, and where it may be copied to, before it is written.
    fn note(&self, name: &str) {
        let (written, read) = (self.place.at(name), self.reads.at(name));
        if written.starts_with("s3://") {
            self.left.output(&written);
        }
        if written != read {
            self.left.copies(&read);
        }
    }

    async fn run(&mut self) -> Result<()> {
        if !self.bench.services {
            self.jobs().await?;
        }
        if self.bench.services || self.driver.stack().is_some() {
            self.services().await?;
        }
        Ok(())
    }

    /// Runs the benchmark set.
    async fn jobs(&mut self) -> Result<()> {
        let sizes = self.sizes();
        let (smaller, largest) = sizes.split_at(sizes.len().saturating_sub(1));
        for size in smaller {
            let what = format!("make {}", corpus(*size));
            let job = self.write(*size).await?;
            let made = self.once(&what, job).await?;
            self.results.set_up(&made);
            self.hand_over(*size).await?;
        }
        let repeat = self.repeat();
        for size in largest {
            let mut runs = Vec::new();
            for n in 1..=repeat {
                let job = self.write(*size).await?;
                runs.push(self.once(&format!("write {}, {n} of {repeat}", corpus(*size)), job).await?);
            }
            self.hand_over(*size).await?;
            self.results.add(Case::moved("write", *size, runs, |report| (report.bytes_out, report.reduce_ms.sum)));

            let runs = self.repeatedly("read", &BenchRead, &corpus(*size)).await?;
            self.results.add(Case::moved("read", *size, runs, |report| (report.bytes_in, report.map_ms.sum)));
        }
        for size in sizes {
            let runs = self.repeatedly(&format!("word count of {}", corpus(size)), &WordCount, &corpus(size)).await?;
            self.results.add(Case::moved("word-count", size, runs, |report| (report.bytes_in, report.map_ms.sum)));
        }
        let tasks = self.bench.tasks.unwrap_or(if self.bench.quick { 100 } else { 1_000 });
        let mut runs = Vec::new();
        for n in 1..=repeat {
            let items = vec![Vec::new(); tasks as usize];
            let submit = self.submit([], OUT).with_items_per_split(1);
            let job = self.driver.submit_items(&BenchEmpty, items, submit).await?;
            runs.push(self.once(&format!("{tasks} empty tasks, {n} of {repeat}"), job).await?);
            self.place.remove(self.driver, OUT).await?;
        }
        self.results.add(Case::tasks("empty-tasks", u64::from(tasks), runs));
        Ok(())
    }

    fn submit<const N: usize>(&self, inputs: [String; N], output: &str) -> Submit {
        let submit = Submit::new(inputs, self.place.at(output)).with_overwrite();
        let submit = submit.with_compression(self.bench.compression.into());
        match self.bench.concurrency {
            Some(functions) => submit.with_concurrency(functions),
            None => submit,
        }
    }

    /// Starts the job that writes a corpus.
    async fn write(&self, size: u64) -> Result<JobHandle> {
        let bytes = STRETCH_BYTES.min(size);
        let partitions = u32::try_from(size.div_ceil(PART_BYTES)).unwrap_or(u32::MAX);
        // `--compression` is for the runs of the word counts: this job shuffles next to nothing.
        let submit = self.submit([], &corpus(size)).with_compression(Compression::Lz4);
        let submit = submit.with_partitions(partitions.min(1_000));
        let job = BenchWrite { bytes: bytes as u32 };
        self.driver.submit_items(&job, 0..size.div_ceil(bytes), submit).await
    }

    /// Brings a corpus to where it can be read.
    async fn hand_over(&self, size: u64) -> Result<()> {
        let (from, to) = (self.place.at(&corpus(size)), self.reads.at(&corpus(size)));
        if from == to {
            return Ok(());
        }
        // The parts of a run that was broken off have other names, and would be read with these.
        Measure::on(self.driver).remove_copied_parts(&to).await?;
        Measure::on(self.driver).copy_parts(&from, &to).await
    }

    async fn repeatedly<J: Job>(&mut self, what: &str, job: &J, input: &str) -> Result<Vec<Report>> {
        let repeat = self.repeat();
        let mut runs = Vec::new();
        for n in 1..=repeat {
            let handle = self.driver.submit(job, self.submit([self.reads.at(input)], OUT)).await?;
            runs.push(self.once(&format!("{what}, {n} of {repeat}"), handle).await?);
            self.place.remove(self.driver, OUT).await?;
        }
        Ok(runs)
    }

    /// Waits for a job, and says on stderr that it runs.
    async fn once(&mut self, what: &str, job: JobHandle) -> Result<Report> {
        self.left.job(job.id());
        eprintln!("{what}");
        job.wait().await.map_err(|e| e.context(what.to_owned()))
    }
}

/// The name of a corpus.
fn corpus(size: u64) -> String {
    format!("corpus-{}", results::bytes(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        assert_eq!(
            ["1", "5kB", "100MB", "1GB", "2 TB"].map(|text| size(text).unwrap()),
            [1, 5_000, 100 * MB, 1_000 * MB, 2 * MB * MB]
        );
        for bad in ["", "0", "MB", "1.5GB", "7 apples", "99999999999TB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(
            [1, 5_000, 100 * MB, 1_000 * MB, 1_234_567].map(corpus),
            ["corpus-1B", "corpus-5kB", "corpus-100MB", "corpus-1GB", "corpus-1234567B"]
        );
    }
}
