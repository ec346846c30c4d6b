//! `kinglet run convert`.

use super::how::{Common, run_job};
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly, RowsArgs, WrittenArgs};
use clap::Args;
use kinglet::Result;
use kinglet_jobs::Convert as Job;

/// Write the rows of files in another format, compressed or not, in as many parts as you like
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run convert sales.csv.gz --output-format json-lines --output sales\n  \
    kinglet run convert 'logs/*.jsonl' --output-format csv --columns time,level,text --output-compression zstd --output logs-csv\n\n\
    Fields of CSV are numbers, true, false and nothing where they are written so, and otherwise text; with --plain-text all are \
    text, as\n\
    they are written. Rows are sorted by file and offset within a part; --partitions 1 writes one part with all of them.\n\
    All rows of a part of CSV have the columns of its first row, or those that --columns names; other rows fail the job.")]
pub(crate) struct Convert {
    #[command(flatten)]
    written: RowsArgs,

    #[command(flatten)]
    result: WrittenArgs,

    #[command(flatten)]
    common: Common,
}

impl Command for Convert {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.common.how.embedded.given()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let (format, columns) = self.written.format_and_columns(&self.common.inputs)?;
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let common = Common { format: self.result.format(&columns)?, ..self.common };
        run_job(&Job { format }, common, cloud).await
    }
}
