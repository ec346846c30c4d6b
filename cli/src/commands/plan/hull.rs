//! `kinglet plan hull`.

use super::word_count::plan;
use crate::command::Command;
use crate::commands::run::how::Common;
use crate::commands::run::hull::{PointArgs, job};
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::Result;

/// Find the convex hull of points in the plane or in space
#[derive(Debug, Args)]
pub(crate) struct Hull {
    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    points: PointArgs,
}

impl Command for Hull {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.common.how.embedded.given()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let job = job(&self.points, &self.common.inputs)?;
        let mut common = self.common;
        common.how.partitions = Some(1);
        plan(&job, common, cloud).await
    }
}
