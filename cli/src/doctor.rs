//! `kinglet doctor`.

use crate::args::Cloud;
use crate::report;
use kinglet::{Error, Level, Result, examine_machine};

pub(crate) async fn run(json: bool, cloud: &Cloud) -> Result<()> {
    let found = match cloud.aws() {
        Some(aws) => aws.examine().await,
        None => examine_machine().await,
    };
    if json {
        report::json(&found)?;
    } else {
        found.iter().for_each(|finding| println!("{finding}"));
    }
    match found.iter().filter(|finding| finding.level == Level::Problem).count() {
        0 => Ok(()),
        problems => {
            let were = if problems == 1 { "problem was" } else { "problems were" };
            let message = format!("{problems} {were} found");
            Err(Error::input("problems", message).with_hint("each says what to do about it"))
        }
    }
}
