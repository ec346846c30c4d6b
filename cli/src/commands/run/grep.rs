//! `kinglet run grep`.

use super::over_rows::OverRows;
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::Result;
use kinglet_jobs::{Grep as Job, Pattern};

/// Find the rows in which a regular expression matches, each with its file and offset
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run grep 'ERROR|FATAL' logs/ --output found\n  \
    kinglet run grep 'Perth' people.csv --ignore-case --output found --partitions 1\n\n\
    The output is lines FILE<TAB>OFFSET<TAB>ROW, sorted by file and offset within a part; offsets are in bytes of the unpacked\n\
    file. `kinglet run count --matching` counts them. To search lines that are not valid rows, add --format lines.")]
pub(crate) struct Grep {
    /// What to look for: a regular expression of the crate `regex`, over bytes
    #[arg(value_name = "REGEX")]
    pattern: String,

    /// Find the rows in which it does not match
    #[arg(long)]
    invert: bool,

    /// Take capital letters and small ones for the same
    #[arg(long)]
    ignore_case: bool,

    #[command(flatten)]
    rows: OverRows,
}

impl Command for Grep {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.rows.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let pattern = Pattern::new(self.pattern, self.ignore_case)?;
        let rows = self.rows.found(cloud).await?;
        let job = Job { format: rows.format()?, pattern, invert: self.invert };
        rows.run(&job, "file text, offset bigint, row text", cloud).await
    }
}
