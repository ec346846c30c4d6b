//! `kinglet plan primes`.

use super::print;
use crate::command::Command;
use crate::commands::run::how::{How, start, submit};
use crate::commands::run::primes::PrimeRange;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::{Result, Submit};

/// Primes in a range: how many, their sum, or all of them
#[derive(Debug, Args)]
pub(crate) struct Primes {
    #[command(flatten)]
    range: PrimeRange,

    #[command(flatten)]
    how: How,
}

impl Command for Primes {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.how.embedded.given()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let Primes { range, how } = self;
        let job = range.job(how.partitions)?;
        let driver = start(&how, cloud).await?;
        let how = How { partitions: Some(how.partitions.unwrap_or(job.parts)), ..how };
        let (stretches, submit) = range.items(&job, submit(Submit::to(&how.output), &how)?);
        let planned = driver.plan_items(&job, stretches, submit).await;
        driver.close().await;
        print(&planned?, how.json)
    }
}
