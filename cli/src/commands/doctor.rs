//! `kinglet doctor`.

use crate::command::Command;
use crate::options::Cloud;
use crate::report;
use clap::Args;
use kinglet::{Code, Error, Level, Result, examine_machine};

/// Check everything that jobs need, by trying it, and say what to do
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kinglet doctor\n  kinglet --stack kinglet doctor --json\n\n\
    With --stack: credentials, the stack, permissions, functions, quotas, settings, the clock, leftovers.\n\
    Without it: what the embedded runtime needs of this machine. The exit code is 1 when there is a problem.")]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Command for Doctor {
    async fn run(self, cloud: &Cloud) -> Result<()> {
        let found = match cloud.aws() {
            Some(aws) => aws.examine().await,
            None => examine_machine().await,
        };
        if self.json {
            report::json(&found)?;
        } else {
            found.iter().for_each(|finding| println!("{finding}"));
        }
        match found.iter().filter(|finding| finding.level == Level::Problem).count() {
            0 => Ok(()),
            problems => {
                let were = if problems == 1 { "problem was" } else { "problems were" };
                let message = format!("{problems} {were} found");
                Err(Error::new(Code::Problems, message).with_hint("each says what to do about it"))
            }
        }
    }
}
