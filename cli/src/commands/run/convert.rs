//! `kinglet run convert`.

use super::over_rows::{OverRows, stores_no_types};
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::{OutputFormat, Result, Types};
use kinglet_jobs::{Convert as Job, TypedRows};

/// Write the rows of files in another format, compressed or not, in as many parts as you like
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run convert sales.csv.gz --output-format json-lines --output sales\n  \
    kinglet run convert sales.csv --output-format parquet --types 'price decimal(12,2), day date' --output sales-parquet\n  \
    kinglet run convert 'sales/*.csv' --output-format parquet --partition-by year,month --output by-month\n  \
    kinglet run convert 'logs/*.jsonl' --output-format csv --columns time,level,text --output-compression zstd --output logs-csv\n\n\
    Fields of CSV are numbers, true, false and nothing where they are written so, and otherwise text; with --plain-text all are \
    text, as\n\
    they are written. Rows are sorted by file and offset within a part; --partitions 1 writes one part with all of them.\n\
    All rows of a part of CSV have the columns of its first row, or those that --columns names; other rows fail the job.\n\n\
    Parquet has types: those of Parquet that is read; of other formats, those that the first megabyte of up to 16 files shows, as\n\
    `kinglet look` does. --types says others: boolean, int, bigint, double, decimal(P,S), text, bytes, date, time, timestamp,\n\
    timestamptz, T[], struct<name T, ...>, map<K,V>. A value that does not fit fails the job, and names its file, place and column.")]
pub(crate) struct Convert {
    /// Parquet: the types of these columns, as in 'price decimal(12,2), day date'; of others, what a look at the input shows
    #[arg(long, help_heading = "Output", value_name = "TYPES")]
    types: Option<Types>,

    #[command(flatten)]
    rows: OverRows,
}

impl Command for Convert {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.rows.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let rows = self.rows.found(cloud).await?;
        let (format, columns) = rows.format_and_columns()?;
        if rows.is_typed() {
            let chosen = !columns.is_empty();
            let job = |typed: kinglet::Typed, format: &OutputFormat| {
                Job::new(typed.format, Some(TypedRows { types: typed.types, chosen }), foldered(format))
            };
            return rows.run_typed(self.types.unwrap_or_default(), job, cloud).await;
        }
        if self.types.is_some() {
            return Err(stores_no_types());
        }
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let folders = foldered(&rows.result_format(&columns)?);
        rows.run_named(&Job::new(format, None, folders), &columns, cloud).await
    }
}

/// Returns the format of a result in folders, whose rows are brought together by them.
fn foldered(format: &OutputFormat) -> Option<OutputFormat> {
    (!format.partition_by().is_empty()).then(|| format.clone())
}
