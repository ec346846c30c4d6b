//! `kinglet run distinct`.

use super::over_rows::OverRows;
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::Result;

/// Write each combination of values that some columns have, once
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run distinct town,item sales.csv --output towns\n\n\
    How often each comes is what `kinglet run aggregate 'count()' --by town,item` says. Values are sorted within a part.")]
pub(crate) struct Distinct {
    /// The columns
    #[arg(value_name = "COLUMN,...")]
    of: String,

    #[command(flatten)]
    rows: OverRows,
}

impl Command for Distinct {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.rows.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        self.rows.aggregate(self.of.split(',').map(str::to_owned).collect(), Vec::new(), cloud).await
    }
}
