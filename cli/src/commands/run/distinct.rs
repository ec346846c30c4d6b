//! `kinglet run distinct`.

use super::over_rows::OverRows;
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::{Result, Types};

/// Write each combination of values that some columns have, once
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run distinct town,item sales.csv --output towns\n\n\
    How often each comes is what `kinglet run aggregate 'count()' --by town,item` says. Values are sorted within a part.")]
pub(crate) struct Distinct {
    /// The columns
    #[arg(value_name = "COLUMN,...")]
    of: String,

    /// Parquet: the types of these columns, as in 'day date'; of others, what a look at the input shows
    #[arg(long, help_heading = "Output", value_name = "TYPES")]
    types: Option<Types>,

    #[command(flatten)]
    rows: OverRows,
}

impl Command for Distinct {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.rows.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let of = self.of.split(',').map(str::to_owned).collect();
        self.rows.aggregate(of, Vec::new(), self.types, cloud).await
    }
}
