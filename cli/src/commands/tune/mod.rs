//! `kinglet tune`: runs a job over memory sizes, several times each, and names the cheapest, the fastest and the balanced
//! size.
//!
//! Times are *billed* times, as Lambda would bill each invocation, and costs follow from them by Lambda's prices. On the
//! embedded host a control group gives each function the CPU share of its memory, so the times are this machine's at that
//! share.

mod choice;
mod hull;
mod measure;
mod primes;
mod svg;
mod word_count;

use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::Result;

crate::command::commands! {
    TuneJob {
        word_count::WordCount,
        primes::Primes,
        hull::Hull,
    }
}

/// Run a job over memory sizes and say which is the cheapest, the fastest and the balanced
#[derive(Debug, Args)]
pub(crate) struct Tune {
    #[command(subcommand)]
    job: TuneJob,
}

impl Command for Tune {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.job.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        self.job.run(cloud).await
    }
}
