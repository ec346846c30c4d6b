//! `kinglet run cat`.

use super::over_rows::OverRows;
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::Result;
use kinglet_jobs::Cat as Job;

/// Write all rows as they are, unpacked and checked, in the order of the files' names
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run cat 'logs/*.gz' --output all\n\n\
    The output is one part, or as many as --partitions says; then rows are sorted by file and offset within each.\n\
    Heads of CSV are left out. `kinglet head` prints the first rows.")]
pub(crate) struct Cat {
    #[command(flatten)]
    rows: OverRows,
}

impl Command for Cat {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.rows.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let rows = self.rows.found(cloud).await?;
        let job = Job { format: rows.format()? };
        rows.with_parts(1).run(&job, "row text", cloud).await
    }
}
