//! `kinglet stored`.

use crate::command::Command;
use crate::options::Cloud;
use crate::times::date;
use crate::{progress, report};
use clap::{Args, Subcommand};
use kinglet::{Code, Driver, Error, Result};

/// List the jobs that a stack keeps to be started again and again, start one, or remove one
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet --stack kinglet run word-count 's3://logs/%Y/%m/%d/' -o s3://results/%Y-%m-%d --store daily-count\n  \
    kinglet --stack kinglet stored\n  \
    kinglet --stack kinglet stored start daily-count\n\n\
    Schedules, new objects and Step Functions start them as well: docs/guide/stored.md.")]
pub(crate) struct Stored {
    #[command(subcommand)]
    what: Option<What>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Start one now, and follow it to its end
    Start {
        /// The name under which it is kept
        name: String,

        /// Print the job's id, and do not wait for its end
        #[arg(long)]
        detach: bool,

        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Let the stack forget one; jobs that it has started go on
    Remove {
        /// The name under which it is kept
        name: String,
    },
}

impl Command for Stored {
    async fn run(self, cloud: &Cloud) -> Result<()> {
        let Some(aws) = cloud.aws() else {
            return Err(Error::new(Code::StoredJob, "this machine keeps no jobs that start themselves")
                .with_hint("name the stack that does: `kinglet --stack NAME stored`"));
        };
        let driver = aws.connect().await?;
        match self.what {
            None => {
                let listed = list(&driver, self.json).await;
                driver.close().await;
                listed
            }
            Some(What::Start { name, detach: true, .. }) => {
                let job = driver.start_stored(&name).await.map(|handle| handle.id().clone());
                driver.close().await;
                println!("{}", job?);
                Ok(())
            }
            Some(What::Start { name, json, .. }) => {
                let handle = driver.start_stored(&name).await?;
                let mut shown = progress::Shown::new();
                let done = handle.wait_with(&mut |progress| shown.tell(progress)).await;
                shown.end();
                drop(handle);
                driver.close().await;
                report::print(&done?, json)
            }
            Some(What::Remove { name }) => {
                let removed = driver.remove_stored(&name).await;
                driver.close().await;
                removed
            }
        }
    }
}

async fn list(driver: &Driver, json: bool) -> Result<()> {
    let stored = driver.stored().await?;
    if json {
        return report::json(&stored);
    }
    if stored.is_empty() {
        eprintln!("no stored jobs");
        return Ok(());
    }
    println!("{:<24}  {:<16}  {:<19}  OUTPUT", "NAME", "JOB", "STORED (UTC)");
    for one in stored {
        println!("{:<24}  {:<16}  {:<19}  {}", one.name, one.job, date(one.stored_at), one.output);
    }
    Ok(())
}
