//! `kinglet run aggregate`.

use super::over_rows::OverRows;
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::Result;
use kinglet_jobs::Computed;

/// Compute counts, sums, means and extremes of groups of rows, or of all rows
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run aggregate 'count(), sum(price) as total' sales.csv --by town --output totals\n  \
    kinglet run aggregate 'avg(price), max(day)' 'sales/**/*.parquet' --where 'price >= 10' --output means\n\n\
    Rows that have nothing in a column do not count in what is computed of it; of no value, there is a count of 0 and nothing else.\n\
    Sums are exact, those of floats until they are rounded at last, so the result does not depend on splits and retries.\n\
    Groups are sorted within a part; --partitions 1 writes one part. Without --by there is one row.")]
pub(crate) struct Aggregate {
    /// What to compute: count(), count(COLUMN), sum(COLUMN), avg(COLUMN), min(COLUMN), max(COLUMN), with commas between; `as NAME`
    /// behind one calls it otherwise
    #[arg(value_name = "FUNCTIONS")]
    computed: String,

    /// Group rows by the values of these columns
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    by: Vec<String>,

    #[command(flatten)]
    rows: OverRows,
}

impl Command for Aggregate {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.rows.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let computed = Computed::parse_all(&self.computed)?;
        self.rows.aggregate(self.by, computed, cloud).await
    }
}
