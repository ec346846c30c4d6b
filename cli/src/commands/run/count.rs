//! `kinglet run count`.

use super::over_rows::OverRows;
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
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
    rows: OverRows,
}

impl Command for Count {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.rows.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let pattern = self.matching.map(|text| Pattern::new(text, self.ignore_case)).transpose()?;
        let rows = self.rows.found(cloud).await?;
        let job = CountRows { format: rows.format()?, by_object: self.by_file, pattern };
        if self.by_file {
            rows.run(&job, "file text, count bigint", cloud).await
        } else {
            // One count stands in one part.
            rows.in_one_part().run(&job, "count bigint", cloud).await
        }
    }
}
