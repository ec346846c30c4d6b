//! `kinglet report`.

use crate::command::Command;
use crate::desk::Desk;
use crate::options::{Cloud, OneJob};
use crate::report;
use clap::Args;
use kinglet::{Code, Error, History, Result};
use std::path::{Path, PathBuf};

/// Write a page that shows what each attempt of a job did, for a browser
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kinglet report last\n  kinglet --stack kinglet report 19aa5440eb0-f0a9c3d5e7ab -o job.html"
)]
pub(crate) struct Report {
    #[command(flatten)]
    one: OneJob,

    /// Where the page goes [default: kinglet-JOB.html]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Command for Report {
    async fn run(self, cloud: &Cloud) -> Result<()> {
        let desk = Desk::of(cloud).await?;
        let job = desk.find(&self.one.job).await?;
        let history = desk.history(&job).await?;
        if self.one.json {
            return report::json(&history);
        }
        let file = self.output.unwrap_or_else(|| PathBuf::from(format!("kinglet-{job}.html")));
        write_page(&history, &file)?;
        println!("{}", file.display());
        Ok(())
    }
}

/// Writes a job's page.
pub(crate) fn write_page(history: &History, file: &Path) -> Result<()> {
    std::fs::write(file, history.to_html())
        .map_err(|e| Error::new(Code::Page, format!("writing {}: {e}", file.display())).with_hint("name another file"))
}
