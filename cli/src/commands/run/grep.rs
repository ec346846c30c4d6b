//! `kinglet run grep`.

use super::how::{Common, run_job};
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly, RowsArgs, WrittenArgs};
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
    written: RowsArgs,

    #[command(flatten)]
    result: WrittenArgs,

    #[command(flatten)]
    common: Common,
}

impl Command for Grep {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.common.how.embedded.given()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let format = self.written.format(&self.common.inputs)?;
        let job = Job { format, pattern: Pattern::new(self.pattern, self.ignore_case)?, invert: self.invert };
        let common = Common { format: self.result.format("file text, offset bigint, row text")?, ..self.common };
        run_job(&job, common, cloud).await
    }
}
