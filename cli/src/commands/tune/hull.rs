//! `kinglet tune hull`.

use super::measure::{TuneHow, sizes, with_partitions};
use crate::command::Command;
use crate::commands::run::hull::{PointArgs, job};
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::{Driver, Job, Result, Submit};

/// The convex hull of points in the plane or in space
#[derive(Debug, Args)]
pub(crate) struct Hull {
    /// Files, directories, patterns in quotes, or s3:// URIs (an object, a prefix, a pattern)
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<String>,

    #[command(flatten)]
    points: PointArgs,

    #[command(flatten)]
    how: TuneHow,
}

impl Command for Hull {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.how.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let job = job(&self.points, &self.inputs)?;
        let submit = async |driver: &Driver, output: &str| {
            let submit = Submit::new(self.inputs.clone(), output).with_overwrite();
            driver.submit(&job, with_partitions(submit, 1)).await
        };
        sizes(kinglet_jobs::Hull::NAME, &self.how, cloud, submit).await
    }
}
