//! Cutting objects into splits: large objects become ranges of about equal size, small ones are packed together.

use kinglet_aws::objects::Listed;
use kinglet_core::budget::{
    OPEN_BYTES, PARTITION_INPUT_BYTES, PARTITIONS_CHOSEN_MAX, PARTITIONS_SPREAD_MAX, SPLIT_BYTES_MAX, SPLIT_BYTES_MIN,
    WAVES,
};
use kinglet_core::wire::plan::{EmptyObject, Inputs, ObjectRange, Split};
use kinglet_core::wire::spec::OptionsSpec;
use kinglet_core::{Code, Error, Result, limits};

/// The sizes that a job is cut by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) split_bytes: u64,
    pub(crate) partitions: u32,
}

impl Shape {
    pub(crate) fn of(listed: &[(u32, Listed)], options: &OptionsSpec) -> Result<Self> {
        let total: u64 = listed.iter().map(|(_, object)| object.size).sum();
        let concurrency = u64::from(options.concurrency.max(1));
        let chosen = (total / (concurrency * u64::from(WAVES))).clamp(SPLIT_BYTES_MIN, SPLIT_BYTES_MAX);
        let split_bytes = match options.split_bytes {
            Some(0) => {
                return Err(Error::new(Code::SplitBytes, "a split of 0 bytes holds nothing")
                    .with_hint("give a split some bytes (--split-bytes), or leave the choice to Kinglet"));
            }
            Some(bytes) if total / bytes > limits::MAP_TASKS_MAX => {
                let message =
                    format!("splits of {bytes} bytes make more than {} tasks of {total} bytes", limits::MAP_TASKS_MAX);
                return Err(Error::new(Code::SplitBytes, message).with_hint("choose larger splits"));
            }
            Some(bytes) => bytes,
            None => chosen.max(total.div_ceil(limits::MAP_TASKS_MAX)),
        };
        // Reducing should use as many functions as mapping did, unless there is next to nothing to reduce.
        let least = if total > SPLIT_BYTES_MIN { concurrency.min(PARTITIONS_SPREAD_MAX.into()) } else { 1 };
        let chosen = total.div_ceil(PARTITION_INPUT_BYTES).clamp(least, PARTITIONS_CHOSEN_MAX.into()) as u32;
        Ok(Shape { split_bytes, partitions: partitions(options, chosen)? })
    }
}

/// Returns how many partitions a job has: as many as it asks for, or `chosen`.
pub(crate) fn partitions(options: &OptionsSpec, chosen: u32) -> Result<u32> {
    match options.partitions {
        Some(0) => Err(Error::new(Code::Partitions, "a job needs at least one partition")
            .with_hint("ask for one or more (--partitions), or leave the choice to Kinglet")),
        Some(n) if n > limits::PARTITIONS_MAX => {
            Err(Error::new(Code::Partitions, format!("{n} partitions; the most is {}", limits::PARTITIONS_MAX))
                .with_hint("ask for fewer (--partitions)"))
        }
        Some(n) => Ok(n),
        None => Ok(chosen),
    }
}

/// Cuts the objects, which come in the order of the input, into splits in the same order.
pub(crate) fn cut(listed: &[(u32, Listed)], shape: &Shape) -> (Vec<Split>, Inputs) {
    let mut splits = Vec::new();
    let mut inputs = Inputs { objects: listed.len() as u64, ..Inputs::default() };
    let mut pack = Vec::new();
    let mut pack_weight = 0;
    let end_pack = |pack: &mut Vec<ObjectRange>, weight: &mut u64, splits: &mut Vec<Split>| {
        if !pack.is_empty() {
            splits.push(Split { ranges: std::mem::take(pack) });
        }
        *weight = 0;
    };
    for (input_idx, object) in listed {
        inputs.bytes += object.size;
        if object.size == 0 {
            inputs.empty.push(EmptyObject { input_idx: *input_idx, key: object.key.clone() });
            continue;
        }
        let range = |from, to| ObjectRange {
            input_idx: *input_idx,
            key: object.key.clone(),
            etag: object.etag.clone(),
            size: object.size,
            from,
            to,
        };
        // A remainder of a tenth does not deserve a task of its own.
        let pieces = (object.size + shape.split_bytes - shape.split_bytes / 10 - 1) / shape.split_bytes;
        if pieces > 1 {
            end_pack(&mut pack, &mut pack_weight, &mut splits);
            let at = |n: u64| (u128::from(object.size) * u128::from(n) / u128::from(pieces)) as u64;
            let ranges = (0..pieces).map(|n| range(at(n), at(n + 1))).filter(|r| r.from < r.to);
            splits.extend(ranges.map(|range| Split { ranges: vec![range] }));
            continue;
        }
        if pack_weight + object.size + OPEN_BYTES > shape.split_bytes {
            end_pack(&mut pack, &mut pack_weight, &mut splits);
        }
        pack_weight += object.size + OPEN_BYTES;
        pack.push(range(0, object.size));
    }
    end_pack(&mut pack, &mut pack_weight, &mut splits);
    (splits, inputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::ids::Timestamp;

    fn object(key: &str, size: u64) -> (u32, Listed) {
        (0, Listed { key: key.into(), etag: "e".into(), size, modified: Timestamp(0) })
    }

    fn shape(split_bytes: u64) -> Shape {
        Shape { split_bytes, partitions: 1 }
    }

    #[test]
    fn every_byte_is_in_one_split_in_order() {
        let sizes = [1, 100, 0, 1_000, 999, 1_100, 5_555, 1, 1];
        let listed: Vec<_> = (0..).zip(sizes).map(|(n, size)| object(&format!("k{n}"), size)).collect();
        let (splits, inputs) = cut(&listed, &shape(1_000));
        assert_eq!(inputs.bytes, sizes.iter().sum::<u64>());
        assert_eq!(inputs.empty, [EmptyObject { input_idx: 0, key: "k2".to_owned() }]);
        let mut at: Vec<(String, u64)> = vec![];
        for range in splits.iter().flat_map(|s| &s.ranges) {
            match at.last_mut() {
                Some((key, end)) if *key == range.key => {
                    assert_eq!(*end, range.from);
                    *end = range.to;
                }
                _ => {
                    assert_eq!(range.from, 0);
                    at.push((range.key.clone(), range.to));
                }
            }
        }
        let want: Vec<_> = listed.iter().filter(|(_, o)| o.size > 0).map(|(_, o)| (o.key.clone(), o.size)).collect();
        assert_eq!(at, want);
        assert!(splits.iter().all(|s| s.ranges.len() == 1 || s.ranges.iter().all(|r| r.to == r.size)));
    }

    #[test]
    fn fifty_thousand_small_objects_are_packed() {
        let listed: Vec<_> = (0..50_000).map(|n| object(&format!("k{n:05}"), 24_000)).collect();
        let shape = Shape::of(&listed, &OptionsSpec::for_concurrency(2)).unwrap();
        let (splits, inputs) = cut(&listed, &shape);
        assert!(splits.len() < 200, "{} splits", splits.len());
        assert_eq!(splits.iter().map(Split::bytes).sum::<u64>(), inputs.bytes);
    }

    #[test]
    fn sizes_follow_the_input_and_bad_options_are_named() {
        let options = OptionsSpec::for_concurrency(2);
        assert_eq!(Shape::of(&[object("k", 1_000)], &options).unwrap().partitions, 1);
        // Of so much that each of the two functions maps as often as it should, if splits are twice the smallest.
        let all = 2 * u64::from(WAVES) * 2 * SPLIT_BYTES_MIN;
        let big = [object("k", all)];
        assert_eq!(Shape::of(&big, &options).unwrap().split_bytes, 2 * SPLIT_BYTES_MIN);
        let partitions = all.div_ceil(PARTITION_INPUT_BYTES).max(2) as u32;
        assert_eq!(Shape::of(&big, &options).unwrap().partitions, partitions);
        let huge = [object("k", 100 * u64::from(WAVES) * SPLIT_BYTES_MAX)];
        assert_eq!(Shape::of(&huge, &options).unwrap().split_bytes, SPLIT_BYTES_MAX);
        let code = |options: OptionsSpec| Shape::of(&big, &options).unwrap_err().code().to_owned();
        assert_eq!(code(OptionsSpec { split_bytes: Some(0), ..options.clone() }), "split-bytes");
        assert_eq!(code(OptionsSpec { split_bytes: Some(1), ..options.clone() }), "split-bytes");
        assert_eq!(code(OptionsSpec { partitions: Some(0), ..options.clone() }), "partitions");
        assert_eq!(code(OptionsSpec { partitions: Some(20_000), ..options }), "partitions");
    }
}
