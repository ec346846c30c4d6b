//! `kinglet run top`.

use super::how::finish;
use super::over_rows::{OverRows, Sorting};
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::{Result, Types};
use kinglet_jobs::Top as Job;

/// Write the first rows of those that `kinglet run sort` would write
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run top 10 --by 'price desc' 'sales/*.csv' --output dearest\n  \
    kinglet run top 100 --by 'time desc' 'logs/**/*.parquet' --where 'level = error' --columns time,text --output last\n\n\
    --by is written as for `kinglet run sort`, and of rows with the same values the first in the order of files and offsets are taken.\n\
    There is one part. At most 1,000,000 rows are kept, and 256 MiB of them.")]
pub(crate) struct Top {
    /// How many rows, at most 1,000,000
    #[arg(value_name = "N")]
    rows_max: u32,

    /// The columns to sort by, as in 'price desc nulls first, town' [default: of lines, the line]
    #[arg(long, value_name = "COLUMN[ desc],...")]
    by: Option<String>,

    /// Parquet: the types of these columns, as in 'price decimal(12,2), day date'; of others, what a look at the input shows
    #[arg(long, help_heading = "Output", value_name = "TYPES")]
    types: Option<Types>,

    #[command(flatten)]
    rows: OverRows,
}

impl Command for Top {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.rows.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        Job::check(self.rows_max)?;
        let rows = self.rows.in_one_part();
        let Sorting { driver, submit, rows, told, .. } = rows.ordered(self.by.as_deref(), self.types, cloud).await?;
        let handle = driver.submit(&Job::new(rows, self.rows_max)?, submit).await?;
        finish(driver, handle, told, async |_| Ok(())).await
    }
}
