//! `kinglet clean`.

use crate::command::Command;
use crate::desk::Desk;
use crate::options::Cloud;
use crate::times::duration;
use crate::{progress, report};
use clap::Args;
use kinglet::{Result, Timestamp};
use std::time::Duration;

/// Remove what jobs that are over left: intermediate data and the ledger's items on a stack, records on this machine
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kinglet --stack kinglet clean --dry-run\n  kinglet --stack kinglet clean --older-than 12h\n\n\
    Outputs stay, and so does everything of jobs that run. Without it, all is gone after 7 days on a stack;\n\
    on this machine the newest 200 jobs are kept."
)]
pub(crate) struct Clean {
    /// Only of jobs that were over so many days, hours, minutes or seconds ago
    #[arg(long, value_name = "AGE", default_value = "1h", value_parser = duration)]
    older_than: Duration,

    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Command for Clean {
    async fn run(self, cloud: &Cloud) -> Result<()> {
        let desk = Desk::of(cloud).await?;
        let before = Timestamp(Timestamp::now().0.saturating_sub(self.older_than.as_millis() as u64));
        let cleaned = if self.dry_run { desk.leftovers(before).await? } else { desk.clean(before).await? };
        if self.json {
            return report::json(&cleaned);
        }
        for job in &cleaned.jobs {
            println!("{job}");
        }
        let verb = if self.dry_run { "would remove" } else { "removed" };
        let (jobs, objects) = (cleaned.jobs.len(), cleaned.objects);
        eprintln!("{verb} what {jobs} jobs left: {objects} objects, {}", progress::bytes(cleaned.bytes));
        Ok(())
    }
}
