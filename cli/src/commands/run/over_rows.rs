//! The options that the jobs over rows share, and how they are run.

use super::how::{Common, How, run_job};
use crate::options::{Cloud, EmbeddedOnly, RowsArgs, WrittenArgs};
use clap::Args;
use kinglet::{Job, Result, RowFormat};

/// What a job has that reads rows of any format and leaves it to the user how its result is written.
#[derive(Debug, Args)]
pub(crate) struct OverRows {
    #[command(flatten)]
    written: RowsArgs,

    #[command(flatten)]
    result: WrittenArgs,

    #[command(flatten)]
    common: Common,
}

impl OverRows {
    pub(crate) fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.common.how.embedded.given()
    }

    /// Returns the format of the rows that are read.
    pub(crate) fn format(&self) -> Result<RowFormat> {
        self.written.format(&self.common.inputs)
    }

    /// Returns the format of the rows that are read, and the columns of those that are written.
    pub(crate) fn format_and_columns(&self) -> Result<(RowFormat, Vec<String>)> {
        self.written.format_and_columns(&self.common.inputs)
    }

    /// Says how many parts there are, unless the user does.
    pub(crate) fn with_parts(self, parts: u32) -> Self {
        let partitions = self.common.how.partitions.or(Some(parts));
        self.in_parts(partitions)
    }

    /// Says that there is one part, whatever the user does.
    pub(crate) fn in_one_part(self) -> Self {
        self.in_parts(Some(1))
    }

    fn in_parts(self, partitions: Option<u32>) -> Self {
        let how = How { partitions, ..self.common.how };
        OverRows { common: Common { how, ..self.common }, ..self }
    }

    /// Runs a job whose result has these columns, and prints its report.
    pub(crate) async fn run<J: Job>(self, job: &J, columns: &[&str], cloud: &Cloud) -> Result<()> {
        let common = Common { format: self.result.format(columns)?, ..self.common };
        run_job(job, common, cloud).await
    }
}
