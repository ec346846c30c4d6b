//! `kinglet plan`: what a job of `kinglet run` would take and cost, with the same arguments, before anything is started.

mod hull;
mod primes;
mod text;
mod word_count;

use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use crate::report;
use clap::Args;
use kinglet::{Planned, Result};

crate::command::commands! {
    PlanJob {
        word_count::WordCount,
        primes::Primes,
        hull::Hull,
    }
}

/// Say what a job would take and cost, from a listing of its input; nothing is started
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet --stack kinglet plan word-count s3://BUCKET/books/ --output s3://BUCKET/counts\n  \
    kinglet plan word-count books/ --output counts --json\n\n\
    The arguments are those of `kinglet run`. Each number is what is likely, with a range in brackets.")]
pub(crate) struct Plan {
    #[command(subcommand)]
    job: PlanJob,
}

impl Command for Plan {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.job.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        self.job.run(cloud).await
    }
}

/// Prints a plan.
fn print(planned: &Planned, json: bool) -> Result<()> {
    if json {
        return report::json(planned);
    }
    print!("{}", text::text(planned));
    Ok(())
}
