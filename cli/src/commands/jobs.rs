//! `kinglet jobs`.

use crate::command::Command;
use crate::desk::Desk;
use crate::options::Cloud;
use crate::times::{date, took};
use crate::{progress, report};
use clap::Args;
use kinglet::{JobSummary, Result};

/// List jobs: on the stack that is named, or of this machine
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kinglet jobs\n  kinglet --stack kinglet jobs --json")]
pub(crate) struct Jobs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Command for Jobs {
    async fn run(self, cloud: &Cloud) -> Result<()> {
        let desk = Desk::of(cloud).await?;
        let jobs = desk.jobs().await?;
        if self.json {
            return report::json(&jobs);
        }
        if jobs.is_empty() {
            eprintln!("no jobs");
            return Ok(());
        }
        println!("{:<24}  {:<16}  {:<9}  {:<19}  {:>9}  PROGRESS", "ID", "JOB", "PHASE", "STARTED (UTC)", "TOOK");
        for job in jobs {
            let progress = if job.phase.is_final() { String::new() } else { progress_of(&desk, &job).await };
            let took = took(job.submitted_at, job.ended_at);
            let line = format!(
                "{:<24}  {:<16}  {:<9}  {:<19}  {took:>9}  {progress}",
                job.job.as_str(),
                job.name,
                job.phase.as_str(),
                date(job.submitted_at)
            );
            println!("{}", line.trim_end());
        }
        Ok(())
    }
}

/// Returns how far a running job has come; nothing if that cannot be read, for example when the job has just been cleaned.
async fn progress_of(desk: &Desk, job: &JobSummary) -> String {
    let status = desk.status(&job.job).await;
    status.map_or(String::new(), |status| progress::counts(&status.progress))
}
