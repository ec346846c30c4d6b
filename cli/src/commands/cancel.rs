//! `kinglet cancel`.

use crate::command::Command;
use crate::desk::Desk;
use crate::options::Cloud;
use clap::Args;
use kinglet::{Phase, Result};

/// Cancel a job: nothing of it is published
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kinglet --stack kinglet cancel f0a9")]
pub(crate) struct Cancel {
    /// The job: its id, the start of one of the id's halves, or `last`
    #[arg(value_name = "JOB")]
    job: String,
}

impl Command for Cancel {
    async fn run(self, cloud: &Cloud) -> Result<()> {
        let desk = Desk::of(cloud).await?;
        let job = desk.find(&self.job).await?;
        let before = desk.status(&job).await?;
        if before.phase.is_final() {
            eprintln!("job {job} has {} already", before.phase.as_str());
            return Ok(());
        }
        desk.attach(&job).await?.cancel().await?;
        let after = desk.status(&job).await?.phase;
        // The job may have ended first, or be about to.
        match after {
            Phase::Publishing => eprintln!("job {job} is publishing its result: it is too late to cancel it"),
            Phase::Undoing => eprintln!("job {job} is being undone"),
            Phase::Cancelled => eprintln!("job {job} is cancelled"),
            ended => eprintln!("job {job} has {}", ended.as_str()),
        }
        Ok(())
    }
}
