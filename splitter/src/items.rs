//! Items that the driver made. The driver has cut them already; the index behind the items says where.

use crate::Plan;
use kinglet_aws::Objects;
use kinglet_core::budget::PARTITIONS_SPREAD_MAX;
use kinglet_core::cost::{self, Cut, Stages, Wanted};
use kinglet_core::wire::items::{index_bytes, read_index};
use kinglet_core::wire::plan::{Inputs, ObjectRange, Split};
use kinglet_core::wire::spec::{ItemsSpec, OptionsSpec};
use kinglet_core::{Code, Codec, Error, Result};

/// Returns the plan of a job of items, with the splits of its index and the job's partitions.
pub(crate) async fn cut(objects: &Objects, bucket: &str, made: &ItemsSpec, options: &OptionsSpec) -> Result<Plan> {
    let (from, to) = (made.items_bytes, made.items_bytes + index_bytes(made.splits));
    let shown = format!("s3://{bucket}/{}", made.key);
    let mut reader = objects.read(bucket, &made.key, Some(&made.etag), from, to, &shown);
    let mut index = Vec::new();
    while let Some(bytes) = reader.next().await? {
        index.extend_from_slice(&bytes);
    }
    let ends = read_index(&index, made.items_bytes)?;
    if ends.len() != made.splits as usize {
        return Err(Error::new(Code::ItemsCorrupt, format!("{shown} has {} splits, not {}", ends.len(), made.splits)));
    }
    let (splits, inputs) = splits(made, &ends);
    let chosen = options.concurrency.clamp(1, PARTITIONS_SPREAD_MAX).min(made.splits.max(1));
    let partitions = super::cut::partitions(options, chosen)?;
    let cut = Cut::of_ranges(splits.iter().map(|split| [(split.bytes(), false)]));
    let planned = cost::Plan::of_cut(cut, 1, &Wanted::of(options), partitions, &options.workload, &options.site);
    let merging = planned.stages == Stages::Two;
    Ok(Plan { splits, inputs, skipped: 0, partitions, merging, calls: None, program: None })
}

/// Returns the splits that end at these bytes.
pub fn splits(made: &ItemsSpec, ends: &[u64]) -> (Vec<Split>, Inputs) {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let splits = starts.zip(ends).map(|(from, to)| {
        let (key, etag) = (made.key.clone(), made.etag.clone());
        Split {
            ranges: vec![ObjectRange {
                input_idx: 0,
                key,
                etag,
                size: made.items_bytes,
                from,
                to: *to,
                codec: Some(Codec::None),
            }],
        }
    });
    (splits.collect(), Inputs { objects: 1, bytes: made.items_bytes, empty: vec![] })
}
