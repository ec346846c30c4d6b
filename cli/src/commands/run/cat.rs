//! `kinglet run cat`.

use super::how::{Common, run_job_of};
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly, RowsArgs, WrittenArgs};
use clap::Args;
use kinglet::Result;
use kinglet_jobs::Cat as Job;

/// Write all rows as they are, unpacked and checked, in the order of the files' names
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run cat 'logs/*.gz' --output all\n\n\
    The output is one part, or as many as --partitions says; then rows are sorted by file and offset within each.\n\
    Heads of CSV are left out. The first rows of a file are shown by `kinglet look`.")]
pub(crate) struct Cat {
    #[command(flatten)]
    written: RowsArgs,

    #[command(flatten)]
    result: WrittenArgs,

    #[command(flatten)]
    common: Common,
}

impl Command for Cat {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.common.how.embedded.given()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let format = self.written.format(&self.common.inputs)?;
        let partitions = Some(self.common.how.partitions.unwrap_or(1));
        let common = Common { format: self.result.format("row text")?, ..self.common };
        run_job_of(&Job { format }, common, partitions, cloud).await
    }
}
