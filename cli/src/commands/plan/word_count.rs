//! `kinglet plan word-count`.

use super::print;
use crate::command::Command;
use crate::commands::run::how::{Common, start};
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::Result;

/// Count words: maximal runs of bytes that are not ASCII white space
#[derive(Debug, Args)]
pub(crate) struct WordCount {
    #[command(flatten)]
    common: Common,
}

impl Command for WordCount {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.common.how.embedded.given()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        plan(&kinglet_jobs::WordCount, self.common, cloud).await
    }
}

/// Plans a job that reads files, and prints the plan.
pub(super) async fn plan<J: kinglet::Job>(job: &J, common: Common, cloud: &Cloud) -> Result<()> {
    let (driver, json) = (start(&common.how, cloud).await?, common.how.json);
    let planned = driver.plan(job, common.submit()?).await;
    driver.close().await;
    print(&planned?, json)
}
