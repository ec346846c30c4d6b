//! Writes several runs as one.

use super::groups::Groups;
use super::merge::Merge;
use crate::error::Result;
use crate::value::{Value, fold_into};
use crate::wire::run::{AnyRun, RunWriter};

/// Merges runs into one, with the values of each key combined if there is a combiner. It calls `after` after each pair that it writes.
/// Returns how many pairs it has read.
pub(crate) fn write_merged<V: Value>(
    runs: Vec<AnyRun>,
    fold: Option<fn(&mut V, V)>,
    writer: &mut RunWriter,
    after: &mut dyn FnMut(&mut RunWriter) -> Result<()>,
) -> Result<u64> {
    let Some(fold) = fold else { return write_as_they_are(runs, writer, after) };
    let mut groups = Groups::<V, _>::new(Merge::new(runs)?);
    let mut key = Vec::new();
    while groups.next_key(&mut key)? {
        if let Some(mut value) = groups.next_value() {
            while let Some(more) = groups.next_value() {
                fold_into(fold, &mut value, more);
            }
            groups.check()?;
            writer.push(&mut key, &value)?;
            after(writer)?;
        }
        groups.check()?;
    }
    Ok(groups.pairs())
}

/// Merges runs into one without a look at their values. Returns how many pairs there are.
pub(crate) fn write_as_they_are(
    runs: Vec<AnyRun>,
    writer: &mut RunWriter,
    after: &mut dyn FnMut(&mut RunWriter) -> Result<()>,
) -> Result<u64> {
    let (mut merge, mut key, mut pairs) = (Merge::new(runs)?, Vec::new(), 0);
    while let Some(top) = merge.top() {
        key.clear();
        key.extend_from_slice(top.key());
        writer.push_encoded(&mut key, top.value())?;
        pairs += 1;
        after(writer)?;
        merge.advance()?;
    }
    Ok(pairs)
}
