//! `kinglet run convert`.

use super::how::{Common, finish, run_job, start};
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly, RowsArgs, WrittenArgs};
use clap::Args;
use kinglet::{Code, Error, Result, Types, Typing};
use kinglet_jobs::{Convert as Job, TypedRows};

/// Write the rows of files in another format, compressed or not, in as many parts as you like
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run convert sales.csv.gz --output-format json-lines --output sales\n  \
    kinglet run convert sales.csv --output-format parquet --types 'price decimal(12,2), day date' --output sales-parquet\n  \
    kinglet run convert 'logs/*.jsonl' --output-format csv --columns time,level,text --output-compression zstd --output logs-csv\n\n\
    Fields of CSV are numbers, true, false and nothing where they are written so, and otherwise text; with --plain-text all are \
    text, as\n\
    they are written. Rows are sorted by file and offset within a part; --partitions 1 writes one part with all of them.\n\
    All rows of a part of CSV have the columns of its first row, or those that --columns names; other rows fail the job.\n\n\
    Parquet has types: those of Parquet that is read; of other formats, those that the first megabyte of up to 16 files shows, as\n\
    `kinglet look` does. --types says others: boolean, int, bigint, double, decimal(P,S), text, bytes, date, time, timestamp,\n\
    timestamptz, T[], struct<name T, ...>, map<K,V>. A value that does not fit fails the job, and names its file, place and column.")]
pub(crate) struct Convert {
    #[command(flatten)]
    written: RowsArgs,

    #[command(flatten)]
    result: WrittenArgs,

    /// Parquet: the types of these columns, as in 'price decimal(12,2), day date'; of others, what a look at the input shows
    #[arg(long, help_heading = "Output", value_name = "TYPES")]
    types: Option<Types>,

    #[command(flatten)]
    common: Common,
}

impl Command for Convert {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.common.how.embedded.given()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let (format, columns) = self.written.format_and_columns(&self.common.inputs)?;
        if self.result.is_typed() {
            let typing = Typing { format, columns, types: self.types.unwrap_or_default() };
            return run_typed(typing, &self.result, self.common, cloud).await;
        }
        if self.types.is_some() {
            let message = "the result stores no types, and --types says some";
            return Err(Error::new(Code::OutputFormat, message).with_hint("add --output-format parquet"));
        }
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let common = Common { format: self.result.named(&columns)?, ..self.common };
        run_job(&Job { format, typed: None }, common, cloud).await
    }
}

/// Runs the job with a result that stores types, which are decided before it is submitted.
async fn run_typed(typing: Typing, result: &WrittenArgs, common: Common, cloud: &Cloud) -> Result<()> {
    let (driver, json, chosen) = (start(&common.how, cloud).await?, common.how.json, !typing.columns.is_empty());
    let submit = common.submit()?;
    let typed = driver.type_input(&submit, typing).await?;
    eprintln!("types: {} ({} of {} objects looked at)", typed.types, typed.sampled, typed.objects);
    let submit = submit.with_output_format(result.typed(typed.types.clone())?);
    let job = Job { format: typed.format, typed: Some(TypedRows { types: typed.types, chosen }) };
    let handle = driver.submit(&job, submit).await?;
    finish(driver, handle, json, async |_| Ok(())).await
}
