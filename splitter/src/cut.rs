//! Cutting objects into splits: large objects become ranges of about equal size, small ones are packed together. A compressed
//! object is cut where its codec allows it.

use crate::look::{Places, Seen};
use kinglet_aws::objects::Listed;
use kinglet_core::Result;
use kinglet_core::budget::OPEN_BYTES;
use kinglet_core::cost::{self, Stages, Wanted, checked_partitions, pieces};
use kinglet_core::wire::plan::{EmptyObject, Inputs, ObjectRange, Split};
use kinglet_core::wire::spec::OptionsSpec;

/// The sizes that a job is cut by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) split_bytes: u64,
    pub(crate) partitions: u32,
    /// Whether the runs are merged before they are reduced.
    pub(crate) merging: bool,
}

impl Shape {
    /// Returns the sizes of the best plan, where the job's options do not fix them.
    pub(crate) fn of(listed: &[(u32, Listed)], options: &OptionsSpec) -> Result<Self> {
        let sizes: Vec<u64> = listed.iter().map(|(_, object)| object.size).collect();
        let input = cost::Input { sizes: &sizes };
        let plan = cost::Plan::best(input, &Wanted::of(options), &options.workload, &options.site)?;
        let merging = plan.stages == Stages::Two;
        Ok(Shape { split_bytes: plan.split_bytes, partitions: plan.partitions, merging })
    }
}

/// Returns how many partitions a job has: as many as it asks for, or `chosen`.
pub(crate) fn partitions(options: &OptionsSpec, chosen: u32) -> Result<u32> {
    options.partitions.map_or(Ok(chosen), checked_partitions)
}

/// How many bytes a byte of a compressed object stands for when small objects are packed into one split: text becomes three to
/// ten times as long.
const UNPACKED_FACTOR: u64 = 4;

/// Cuts the objects, which come in the order of the input, into splits in the same order. `seen` says what is known of each. The
/// names move on into the splits: there may be a million of them. No split has objects of both sides of a join, whose right one begins
/// with the input `right_from`.
pub(crate) fn cut(
    listed: Vec<(u32, Listed)>,
    seen: &[Seen],
    shape: &Shape,
    right_from: Option<u32>,
) -> (Vec<Split>, Inputs) {
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
    for ((input_idx, Listed { key, etag, size, .. }), seen) in listed.into_iter().zip(seen) {
        inputs.bytes += size;
        if size == 0 {
            inputs.empty.push(EmptyObject { input_idx, key });
            continue;
        }
        let codec = seen.codec;
        let pieces = pieces(size, shape.split_bytes);
        if pieces > 1 {
            end_pack(&mut pack, &mut pack_weight, &mut splits);
            let even = |n: u64| (u128::from(size) * u128::from(n) / u128::from(pieces)) as u64;
            let at = |n: u64| match &seen.places {
                _ if n == 0 || n == pieces => even(n),
                Places::Anywhere => even(n),
                Places::At(places) => {
                    places.get(places.partition_point(|place| *place < even(n))).copied().unwrap_or(size)
                }
                Places::Nowhere => size,
            };
            let range =
                |from, to| ObjectRange { input_idx, key: key.clone(), etag: etag.clone(), size, from, to, codec };
            let ranges = (0..pieces).map(|n| range(at(n), at(n + 1))).filter(|r| r.from < r.to);
            splits.extend(ranges.map(|range| Split { ranges: vec![range] }));
            continue;
        }
        let weight = if seen.is_packed { size * UNPACKED_FACTOR } else { size } + OPEN_BYTES;
        let is_right = right_from.is_some_and(|from| input_idx >= from);
        let is_other_side = is_right && pack.last().is_some_and(|last: &ObjectRange| Some(last.input_idx) < right_from);
        if is_other_side || pack_weight + weight > shape.split_bytes {
            end_pack(&mut pack, &mut pack_weight, &mut splits);
        }
        pack_weight += weight;
        pack.push(ObjectRange { input_idx, key, etag, size, from: 0, to: size, codec });
    }
    end_pack(&mut pack, &mut pack_weight, &mut splits);
    (splits, inputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::budget::{PARTITION_INPUT_BYTES, SPLIT_BYTES_MAX, SPLIT_BYTES_MIN, WAVES};
    use kinglet_core::cost::Cut;
    use kinglet_core::grid::Grid;
    use kinglet_core::ids::Timestamp;
    use kinglet_core::prices::Prices;
    use kinglet_core::wire::cost::{Host, Site};

    fn object(key: &str, size: u64) -> (u32, Listed) {
        (0, Listed { key: key.into(), etag: "e".into(), size, modified: Timestamp(0) })
    }

    fn shape(split_bytes: u64) -> Shape {
        Shape { split_bytes, partitions: 1, merging: false }
    }

    fn plain(listed: &[(u32, Listed)]) -> Vec<Seen> {
        vec![Seen::plain(); listed.len()]
    }

    #[test]
    fn a_compressed_object_is_cut_where_its_codec_allows_it() {
        let listed = [object("k", 10_000)];
        let cut_at = |places: Places| {
            let seen = [Seen { codec: Some(kinglet_core::Codec::Zstd), is_packed: true, places }];
            let (splits, inputs) = cut(listed.to_vec(), &seen, &shape(3_000), None);
            assert_eq!(inputs.bytes, 10_000);
            let ranges = splits.iter().flat_map(|split| &split.ranges);
            assert!(ranges.clone().all(|range| range.codec == Some(kinglet_core::Codec::Zstd)));
            ranges.map(|range| (range.from, range.to)).collect::<Vec<_>>()
        };
        assert_eq!(cut_at(Places::Nowhere), [(0, 10_000)]);
        assert_eq!(cut_at(Places::Anywhere), [(0, 2_500), (2_500, 5_000), (5_000, 7_500), (7_500, 10_000)]);
        assert_eq!(cut_at(Places::At(vec![0, 2_400, 2_600, 9_000])), [(0, 2_600), (2_600, 9_000), (9_000, 10_000)]);
        assert_eq!(cut_at(Places::At(vec![])), [(0, 10_000)]);
    }

    #[test]
    fn small_compressed_objects_weigh_what_they_unpack_to() {
        let listed: Vec<_> = (0..100).map(|n| object(&format!("k{n}"), OPEN_BYTES)).collect();
        let splits = |is_packed| {
            let seen = vec![Seen { is_packed, ..Seen::plain() }; listed.len()];
            cut(listed.to_vec(), &seen, &shape(20 * OPEN_BYTES), None).0.len()
        };
        assert_eq!((splits(false), splits(true)), (10, 25));
    }

    #[test]
    fn every_byte_is_in_one_split_in_order() {
        let sizes = [1, 100, 0, 1_000, 999, 1_100, 5_555, 1, 1];
        let listed: Vec<_> = (0..).zip(sizes).map(|(n, size)| object(&format!("k{n}"), size)).collect();
        let (splits, inputs) = cut(listed.to_vec(), &plain(&listed), &shape(1_000), None);
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
    fn no_split_has_objects_of_both_sides_of_a_join() {
        let listed: Vec<_> =
            [0, 1, 1, 2, 2].map(|input_idx| (input_idx, object(&format!("k{input_idx}"), 10).1)).to_vec();
        let sides = |right_from| {
            let (splits, _) = cut(listed.clone(), &plain(&listed), &shape(1 << 30), right_from);
            let inputs = |split: &Split| split.ranges.iter().map(|range| range.input_idx).collect::<Vec<_>>();
            splits.iter().map(inputs).collect::<Vec<_>>()
        };
        assert_eq!(sides(None), [vec![0, 1, 1, 2, 2]]);
        assert_eq!(sides(Some(1)), [vec![0], vec![1, 1, 2, 2]]);
        assert_eq!(sides(Some(2)), [vec![0, 1, 1], vec![2, 2]]);
    }

    #[test]
    fn fifty_thousand_small_objects_are_packed() {
        let listed: Vec<_> = (0..50_000).map(|n| object(&format!("k{n:05}"), 24_000)).collect();
        let shape = Shape::of(&listed, &OptionsSpec::for_concurrency(2)).unwrap();
        let (splits, inputs) = cut(listed.to_vec(), &plain(&listed), &shape, None);
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

    #[test]
    fn a_plan_counts_the_splits_that_are_cut() {
        let sizes: [&[u64]; 5] = [
            &[],
            &[1, 100, 0, 1_000, 999, 1_100, 5_555, 1, 1],
            &[1_000_000; 300],
            &[1 << 20, 300 << 20, 1, 16 << 20, 17 << 20, 18 << 20, 0, 5],
            &[126_800_000_000 / 1_010; 1_010],
        ];
        for sizes in sizes {
            let listed: Vec<_> = (0..).zip(sizes).map(|(n, size)| object(&format!("k{n}"), *size)).collect();
            for split_bytes in [1_000_000, 1 << 20, 16 << 20, 50 << 20, 256 << 20] {
                let (splits, inputs) = cut(listed.to_vec(), &plain(&listed), &shape(split_bytes), None);
                let counted = Cut::of(sizes, split_bytes);
                assert_eq!((counted.map_tasks, counted.bytes), (splits.len() as u64, inputs.bytes), "{split_bytes}");
                let whole = vec![Seen { places: Places::Nowhere, ..Seen::plain() }; listed.len()];
                let (splits, _) = cut(listed.to_vec(), &whole, &shape(split_bytes), None);
                assert!(splits.iter().flat_map(|split| &split.ranges).all(|range| range.to - range.from == range.size));
                assert_eq!(Cut::of_whole(sizes, split_bytes).map_tasks, splits.len() as u64, "{split_bytes}");
            }
        }
    }

    /// What was published as 4,000 mappers and 945 reducers by rules of thumb, where 3.8 million GETs cost $1.51.
    #[test]
    fn on_aws_a_shuffle_is_bounded_by_what_it_costs() {
        let listed: Vec<_> = (0..1_010).map(|n| object(&format!("k{n:04}"), 126_800_000_000 / 1_010)).collect();
        let site =
            Site { host: Host::Lambda, mapper_mb: 1_769, reducer_mb: 1_769, prices: Prices::of_us_east_1("x86_64") };
        let options = OptionsSpec { site, ..OptionsSpec::for_concurrency(1_000) };
        let chosen = Shape::of(&listed, &options).unwrap();
        let (splits, _) = cut(listed.to_vec(), &plain(&listed), &chosen, None);
        let (maps, partitions) = (splits.len() as u32, chosen.partitions);
        let grid = Grid::of(maps, partitions).filter(|_| chosen.merging);
        let gets = grid.map_or(maps * partitions, |grid| maps * grid.bands() + partitions * grid.groups());
        assert!(gets < 300_000, "{maps} splits, {partitions} partitions, merged by {grid:?}");
        // What the user fixes stays fixed.
        let fixed = OptionsSpec { split_bytes: Some(100 << 20), partitions: Some(7), ..options };
        let Shape { split_bytes, partitions, .. } = Shape::of(&listed, &fixed).unwrap();
        assert_eq!((split_bytes, partitions), (100 << 20, 7));
    }

    /// Word count of 200 MB on two cores is cut as it was when a rule of thumb was all there was.
    #[test]
    fn the_embedded_runtime_cuts_by_its_cores() {
        let shape = Shape::of(&[object("k", 200_000_000)], &OptionsSpec::for_concurrency(2)).unwrap();
        assert_eq!(shape, Shape { split_bytes: 25_000_000, partitions: 2, merging: false });
    }
}
