//! `kinglet run aggregate`.

use super::over_rows::OverRows;
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::{Result, Types};
use kinglet_jobs::Computed;

/// Compute counts, sums, means and extremes of groups of rows, or of all rows
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run aggregate 'count(), sum(price) as total' sales.csv --by town --output totals\n  \
    kinglet run aggregate 'avg(price), max(day)' 'sales/**/*.parquet' --where 'price >= 10' --output means\n\n\
    Rows that have nothing in a column do not count in what is computed of it; of no value, there is a count of 0 and nothing else.\n\
    Sums are exact, those of floats until they are rounded at last, so the result does not depend on splits and retries.\n\
    Groups are sorted within a part; --partitions 1 writes one part. Without --by there is one row.\n\n\
    As Parquet, counts are bigint, sums of whole numbers decimal(38,0) and of decimals decimal(38,S), other sums and means double, and\n\
    the rest is as its column, which a look at the input shows.")]
pub(crate) struct Aggregate {
    /// What to compute: count(), count(COLUMN), sum(COLUMN), avg(COLUMN), min(COLUMN), max(COLUMN), with commas between; `as NAME`
    /// behind one calls it otherwise
    #[arg(value_name = "FUNCTIONS")]
    computed: String,

    /// Group rows by the values of these columns
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    by: Vec<String>,

    /// Parquet: the types of these columns of the result, as in 'total decimal(12,2)'; of others, as the functions and the input's columns
    /// have them
    #[arg(long, help_heading = "Output", value_name = "TYPES")]
    types: Option<Types>,

    #[command(flatten)]
    rows: OverRows,
}

impl Command for Aggregate {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.rows.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let computed = Computed::parse_all(&self.computed)?;
        self.rows.aggregate(self.by, computed, self.types, cloud).await
    }
}
