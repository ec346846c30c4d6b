//! `kinglet run primes`.

use super::how::{How, finish, start, submit};
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::{Result, Submit};
use kinglet_jobs::{PrimesOf, Stretch, parse_number};

/// Primes in a range: how many, their sum, or all of them
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run primes --to 10^12 --output count\n  \
    kinglet run primes --from 2^64-10^10 --to 2^64-1 --sum --output sum\n  \
    kinglet run primes --to 1e9 --list --output primes\n\n\
    Both ends are in the range. A count or a sum is one line in the only part; a list is one prime a line, in order\n\
    within a part and from part to part.")]
pub(crate) struct Primes {
    #[command(flatten)]
    range: PrimeRange,

    #[command(flatten)]
    how: How,
}

/// What is computed: which numbers, and in how many pieces.
#[derive(Debug, Args)]
pub(crate) struct PrimeRange {
    /// The first number: 1000000, 1_000_000, 1e12, 10^12, 2^64-1
    #[arg(long, value_name = "A", default_value = "0", allow_hyphen_values = true, help_heading = "Range")]
    from: String,

    /// The last number, itself in the range
    #[arg(long, value_name = "B", allow_hyphen_values = true, help_heading = "Range")]
    to: String,

    /// Their sum, not their number
    #[arg(long, conflicts_with = "list", help_heading = "Range")]
    sum: bool,

    /// All of them, not their number
    #[arg(long, help_heading = "Range")]
    list: bool,

    /// Into how many map tasks the range is cut, at about equal cost [default: four for each function that can run at once]
    #[arg(long, value_name = "N", help_heading = "Range", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) stretches: Option<u32>,

    /// Compute each stretch so many times, to measure functions
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Range", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

impl Command for Primes {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.how.embedded.given()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let Primes { range, how } = self;
        let job = range.job(how.partitions)?;
        let driver = start(&how, cloud).await?;
        // Without the option there is one part, except for a list.
        let how = How { partitions: Some(how.partitions.unwrap_or(job.parts)), ..how };
        let (stretches, submit) = range.items(&job, submit(Submit::to(&how.output), &how)?);
        let handle = driver.submit_items(&job, stretches, submit).await?;
        finish(driver, handle, how.told(), async |_| Ok(())).await
    }
}

impl PrimeRange {
    /// The stretches of the range as the job's items, and the submission that puts them into tasks.
    pub(crate) fn items(&self, job: &kinglet_jobs::Primes, submit: Submit) -> (Vec<Stretch>, Submit) {
        match self.stretches {
            Some(count) => (job.stretches(count), submit.with_items_per_split(1)),
            None => (job.stretches(job.stretches_max()), submit),
        }
    }

    /// The job of these arguments.
    pub(crate) fn job(&self, parts: Option<u32>) -> Result<kinglet_jobs::Primes> {
        let number = |option: &str, text: &str| parse_number(text).map_err(|e| e.context(option.to_owned()));
        let (from, to) = (number("--from", &self.from)?, number("--to", &self.to)?);
        let of = if self.sum {
            PrimesOf::Sum
        } else if self.list {
            PrimesOf::List
        } else {
            PrimesOf::Count
        };
        let job = kinglet_jobs::Primes::new(from, to, of)?.with_repeat(self.repeat);
        if of != PrimesOf::List {
            return Ok(job);
        }
        Ok(job.with_parts(parts.unwrap_or_else(|| kinglet_jobs::Primes::parts_for(from, to))))
    }
}
