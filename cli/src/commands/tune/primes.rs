//! `kinglet tune primes`.

use super::measure::{TuneHow, sizes, with_partitions};
use crate::command::Command;
use crate::commands::run::primes::PrimeRange;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::{Driver, Job, Result, Submit};

/// Primes in a range, in one map task unless --stretches says more
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet tune primes --to 1e10 --svg primes.svg\n  \
    kinglet tune primes --to 1e6 --list --repeat 1000 --memory 128,256,512,1024")]
pub(crate) struct Primes {
    #[command(flatten)]
    range: PrimeRange,

    #[command(flatten)]
    how: TuneHow,
}

impl Command for Primes {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.how.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let job = self.range.job(None)?;
        let stretches = job.stretches(self.range.stretches.unwrap_or(1));
        let submit = async |driver: &Driver, output: &str| {
            let submit = Submit::to(output).with_items_per_split(1).with_overwrite();
            driver.submit_items(&job, stretches.clone(), with_partitions(submit, job.parts)).await
        };
        sizes(kinglet_jobs::Primes::NAME, &self.how, cloud, submit).await
    }
}
