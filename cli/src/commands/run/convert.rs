//! `kinglet run convert`.

use super::over_rows::OverRows;
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
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
    rows: OverRows,
}

impl Command for Convert {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.rows.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let (format, columns) = self.rows.format_and_columns()?;
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        self.rows.run(&Job { format }, &columns, cloud).await
    }
}
