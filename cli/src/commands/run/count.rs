//! `kinglet run count`.

use super::how::{Common, run_job_of};
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly, RowsArgs, WrittenArgs};
use clap::Args;
use kinglet::Result;
use kinglet_jobs::{CountRows, Pattern};

/// Count rows: of all files together, or of each; all of them, or those that match
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run count sales.csv --output n\n  \
    kinglet run count 'logs/**/*.gz' --by-file --matching 'status=5..' --output failed\n\n\
    The output is one line with the count; with --by-file, lines FILE<TAB>COUNT of files that have such rows.\n\
    Every row is checked: one that is not valid fails the job, and names its file and offset.")]
pub(crate) struct Count {
    /// Count the rows of each file by themselves
    #[arg(long)]
    by_file: bool,

    /// Count rows in which this regular expression is found
    #[arg(long, value_name = "REGEX")]
    matching: Option<String>,

    /// Take capital letters and small ones for the same
    #[arg(long, requires = "matching")]
    ignore_case: bool,

    #[command(flatten)]
    written: RowsArgs,

    #[command(flatten)]
    result: WrittenArgs,

    #[command(flatten)]
    common: Common,
}

impl Command for Count {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.common.how.embedded.given()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let format = self.written.format(&self.common.inputs)?;
        let pattern = self.matching.map(|text| Pattern::new(text, self.ignore_case)).transpose()?;
        let job = CountRows { format, by_object: self.by_file, pattern };
        // One count stands in one part.
        let partitions = if self.by_file { None } else { Some(1) };
        let columns = if self.by_file { "file text, count bigint" } else { "count bigint" };
        let common = Common { format: self.result.format(columns)?, ..self.common };
        run_job_of(&job, common, partitions, cloud).await
    }
}
