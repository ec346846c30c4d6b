//! `kinglet run`: the built-in jobs, one file each.

mod aggregate;
mod cat;
mod convert;
mod count;
mod distinct;
mod grep;
pub(crate) mod how;
pub(crate) mod hull;
mod join;
mod over_rows;
pub(crate) mod primes;
mod sample;
mod sort;
mod svg;
mod top;
mod word_count;

use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::Result;

crate::command::commands! {
    Job {
        word_count::WordCount,
        primes::Primes,
        hull::Hull,
        count::Count,
        aggregate::Aggregate,
        distinct::Distinct,
        sort::Sort,
        top::Top,
        join::Join,
        grep::Grep,
        cat::Cat,
        sample::Sample,
        convert::Convert,
    }
}

/// Run a job to its end
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(subcommand)]
    job: Job,
}

impl Command for Run {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.job.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        self.job.run(cloud).await
    }
}
