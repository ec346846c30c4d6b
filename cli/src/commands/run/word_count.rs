//! `kinglet run word-count`.

use super::how::{Common, run_job};
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly, WrittenArgs};
use clap::Args;
use kinglet::Result;

/// Count words: maximal runs of bytes that are not ASCII white space
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run word-count books/ --output counts\n  \
    kinglet run word-count 'logs/**/*.txt' more.txt --output counts --overwrite\n\n\
    The output is parts, part-00000-<job>, …, with lines WORD<TAB>COUNT sorted by word within a part, and\n\
    _manifest.json, which is written last: an output without it is not whole.")]
pub(crate) struct WordCount {
    #[command(flatten)]
    result: WrittenArgs,

    #[command(flatten)]
    common: Common,
}

impl Command for WordCount {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.common.how.embedded.given()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let common = Common { format: self.result.format("word text, count bigint")?, ..self.common };
        run_job(&kinglet_jobs::WordCount, common, cloud).await
    }
}
