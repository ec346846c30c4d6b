//! `kinglet tune word-count`.

use super::measure::{TuneHow, sizes};
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::{Driver, Job, Result, Submit};

/// Count words: maximal runs of bytes that are not ASCII white space
#[derive(Debug, Args)]
pub(crate) struct WordCount {
    /// Files, directories, patterns in quotes, or s3:// URIs (an object, a prefix, a pattern)
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<String>,

    #[command(flatten)]
    how: TuneHow,
}

impl Command for WordCount {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.how.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let job = kinglet_jobs::WordCount;
        let submit = async |driver: &Driver, output: &str| {
            driver.submit(&job, Submit::new(self.inputs.clone(), output).with_overwrite()).await
        };
        sizes(kinglet_jobs::WordCount::NAME, &self.how, cloud, submit).await
    }
}
