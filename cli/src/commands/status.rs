//! `kinglet status`.

use crate::command::Command;
use crate::desk::Desk;
use crate::options::{Cloud, OneJob};
use crate::times::{date, took};
use crate::{progress, report};
use clap::Args;
use kinglet::{JobStatus, Result};

/// Show how a job stands, and its report when it has succeeded
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kinglet status last\n  kinglet --stack kinglet status 19aa5440eb0-f0a9c3d5e7ab --json"
)]
pub(crate) struct Status {
    #[command(flatten)]
    one: OneJob,
}

impl Command for Status {
    async fn run(self, cloud: &Cloud) -> Result<()> {
        let desk = Desk::of(cloud).await?;
        let job = desk.find(&self.one.job).await?;
        let status = desk.status(&job).await?;
        if self.one.json {
            return report::json(&status);
        }
        print_status(&status);
        Ok(())
    }
}

fn print_status(status: &JobStatus) {
    println!("job        {} {}", status.name, status.job);
    println!("phase      {}", status.phase.as_str());
    let started = status.times.submitted_at.unwrap_or_default();
    println!("started    {} UTC, {} ago", date(started), took(started, None).trim());
    println!("input      {}", status.inputs.join(", "));
    println!("output     {}", status.output);
    if !status.phase.is_final() {
        println!("progress   {}", progress::counts(&status.progress));
    }
    if let Some(error) = &status.error {
        println!("error      {error} ({})", error.code());
        if let Some(hint) = error.hint() {
            println!("hint       {hint}");
        }
    }
    if let Some(done) = &status.report {
        // The job and its output are printed above.
        for line in done.to_string().lines().filter(|line| !line.starts_with("job ")) {
            println!("{line}");
        }
    }
}
