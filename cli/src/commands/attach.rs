//! `kinglet attach`.

use crate::command::Command;
use crate::desk::Desk;
use crate::options::{Cloud, OneJob};
use crate::{progress, report};
use clap::Args;
use kinglet::Result;

/// Follow a job that runs to its end, whoever submitted it, and print its report
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kinglet --stack kinglet attach last\n\n\
    Ctrl-C ends this command and not the job; on this machine, too.")]
pub(crate) struct Attach {
    #[command(flatten)]
    one: OneJob,
}

impl Command for Attach {
    async fn run(self, cloud: &Cloud) -> Result<()> {
        let desk = Desk::of(cloud).await?;
        let job = desk.find(&self.one.job).await?;
        let status = desk.status(&job).await?;
        let done = match (status.report, status.error) {
            (Some(done), _) => done,
            (None, Some(error)) => return Err(error),
            (None, None) => {
                let handle = desk.attach(&job).await?;
                let mut shown = progress::Shown::new();
                let done = handle.wait_with(&mut |progress| shown.tell(progress)).await;
                shown.end();
                done?
            }
        };
        report::print(&done, self.one.json)
    }
}
