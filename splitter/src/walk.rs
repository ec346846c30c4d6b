//! Listing folder by folder, where the job's conditions on the values in paths (`year=2026/month=07/`) leave folders out: these are
//! not listed, whatever they hold.
//!
//! ```text
//! logs/ ─┬─ year=2025/            left out by year=2026
//!        └─ year=2026/ ─┬─ month=06/ …   all conditions are decided: everything below is listed at once
//!                       └─ month=07/ …
//! ```

use futures_util::stream::{self, StreamExt, TryStreamExt};
use kinglet_aws::Objects;
use kinglet_aws::objects::{Level, Listed};
use kinglet_core::wire::spec::InputSpec;
use kinglet_core::{PathCondition, PathPart, Result};

/// How many folders are listed at once.
const FOLDERS_AT_ONCE: usize = 32;

/// Lists the objects of an input whose keys start with `prefix`, without the folders that the conditions leave out, by key.
pub(crate) async fn list(
    objects: &Objects,
    input: &InputSpec,
    prefix: &str,
    conditions: &[PathCondition],
) -> Result<Vec<Listed>> {
    if conditions.is_empty() {
        return objects.list(&input.bucket, prefix).await;
    }
    let (mut found, mut folders) = (Vec::new(), vec![prefix.to_owned()]);
    while !folders.is_empty() {
        let here = std::mem::take(&mut folders);
        let levels = stream::iter(here).map(|folder| level(objects, input, folder, conditions));
        let levels: Vec<Level> = levels.buffer_unordered(FOLDERS_AT_ONCE).try_collect().await?;
        for Level { objects, folders: below } in levels {
            found.extend(objects);
            folders.extend(below.into_iter().filter(|folder| may_be_met(input, folder, conditions)));
        }
    }
    found.retain(|object| is_met(&input.shown_key(&object.key), conditions));
    found.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    Ok(found)
}

/// Lists one folder, or all that is below where nothing more is to be decided.
async fn level(objects: &Objects, input: &InputSpec, folder: String, conditions: &[PathCondition]) -> Result<Level> {
    if is_met(&input.shown_key(&folder), conditions) {
        let objects = objects.list(&input.bucket, &folder).await?;
        return Ok(Level { objects, folders: vec![] });
    }
    objects.list_level(&input.bucket, &folder).await
}

/// Returns whether a path meets all conditions: with each part of the name that a condition is about, and there is one.
pub(crate) fn is_met(path: &str, conditions: &[PathCondition]) -> bool {
    conditions.iter().all(|condition| {
        let mut decided = PathPart::all(path).filter_map(|part| condition.is_met(&part)).peekable();
        decided.peek().is_some() && decided.all(|is_met| is_met)
    })
}

/// Returns whether something below a folder may meet all conditions.
fn may_be_met(input: &InputSpec, folder: &str, conditions: &[PathCondition]) -> bool {
    let shown = input.shown_key(folder);
    let unmet = |condition: &PathCondition| PathPart::all(&shown).any(|part| condition.is_met(&part) == Some(false));
    !conditions.iter().any(unmet)
}
