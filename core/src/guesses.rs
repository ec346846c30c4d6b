//! Splits that were begun by a guess: which of them began at a wrong place, and how they are read again.
//!
//! A map task says in its commit where its first record starts and where its last one ends. The first split of an object begins
//! where the object does. So from there on, each end proves the start of the next split; where they differ, the later one is wrong
//! (`crate::format::quotes` says why). It is read again by a task of its own, a [`Reread`], which begins at the proved place:
//!
//! ```text
//! splits     │    0    │    1    │    2    │    3    │      3 was right, as its guess was proved by what it has
//! records    ────────────┐"a field over several splits"┐──
//! task 0     taken ──────────────────────────────────▶│
//! tasks 1, 2             began within the field         ├─ task 4 reads 1 to 3, from where 0 ended: there is nothing in 1 and 2
//! task 3     began where?                               │
//! ```
//!
//! A reread ends with the first split that has something to read; those behind it may be right. Where the one behind it is not, it is
//! read again in turn: each time, at least one more split is proved. After [`REREADS_OF_OBJECT`] of them, the last reread takes
//! all that is left of the object. So there are at most one more than that for an object, and the job comes to its end.
//!
//! What the tasks before have committed stays where it is, and does not count ([`Counted`]). Nobody reads their runs.

use crate::ids::TaskIdx;
use crate::wire::plan::{ObjectRange, Split};
use crate::wire::record::MapRecord;
use crate::wire::reread::{Reread, Rereads};
use crate::wire::spec::{JobSpec, Splitting};

/// How many rereads of an object take one split each that has something to read. The next one takes the rest of the object.
pub const REREADS_OF_OBJECT: usize = 3;

/// The map tasks whose commits count, in the order of the input.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// Their numbers.
    pub tasks: Vec<TaskIdx>,
    /// What they read.
    pub splits: Vec<Split>,
    /// What they have committed.
    pub maps: Vec<Vec<MapRecord>>,
}

impl Reread {
    /// Returns what a reread reads, by the split of the first task that it replaces.
    #[must_use]
    pub fn split(&self, mut first: Split) -> Split {
        if let [range] = &mut first.ranges[..] {
            range.to = self.to.clamp(range.from, range.size);
        }
        first
    }
}

impl Counted {
    /// Finds them, by a plan's splits and what all map tasks have committed.
    pub fn of(rereads: &Rereads, splits: &[Split], maps: &[Vec<MapRecord>]) -> Self {
        let map_tasks = u32::try_from(maps.len()).unwrap_or(u32::MAX);
        let mut counted = Counted { tasks: vec![], splits: vec![], maps: vec![] };
        for task in rereads.in_order(map_tasks) {
            let reread = rereads.of(task, map_tasks);
            let split = splits.get(reread.map_or(task, |reread| reread.first).0 as usize).cloned();
            let split = split.map(|split| reread.map_or(split.clone(), |reread| reread.split(split)));
            // A plan that has fewer splits than it should is found out by who adds up.
            if let (Some(split), Some(pieces)) = (split, maps.get(task.0 as usize)) {
                counted.tasks.push(task);
                counted.splits.push(split);
                counted.maps.push(pieces.clone());
            }
        }
        counted
    }

    /// Returns the number of a task, by its place.
    pub fn task(&self, at: u32) -> Option<TaskIdx> {
        self.tasks.get(at as usize).copied()
    }

    /// Returns the rereads that are needed next, of a plan of so many tasks: one of each object whose splits do not meet.
    pub fn wrong(&self, spec: &JobSpec, planned: u32) -> Vec<Reread> {
        let mut wrong = vec![];
        for Broken { at, start } in breaks(spec, &self.splits, &self.maps) {
            // What was read from a proved place on is not read again: the job ends with what is wrong with it.
            if self.tasks[at].0 >= planned {
                continue;
            }
            let object = |n: usize| match self.splits.get(n).map(|split| &split.ranges[..]) {
                Some([range]) => Some(range),
                _ => None,
            };
            let Some(range) = object(at) else { continue };
            let is_of_it = |other: &&ObjectRange| other.key == range.key && other.input_idx == range.input_idx;
            let before = self
                .tasks
                .iter()
                .zip(0..at)
                .filter(|(task, n)| task.0 >= planned && object(*n).as_ref().is_some_and(is_of_it));
            let takes_all = before.count() >= REREADS_OF_OBJECT;
            let (mut last, mut to) = (at, range.to);
            while let Some(next) = object(last + 1).filter(is_of_it)
                && (takes_all || to <= start)
            {
                (last, to) = (last + 1, next.to);
            }
            wrong.push(Reread { first: self.tasks[at], last: self.tasks[last], start, to });
        }
        wrong
    }
}

/// A split that did not begin where the one before it ended, or that lacks what lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Which one, counted as they come.
    pub(crate) at: usize,
    /// Where its first record starts.
    pub(crate) start: u64,
}

/// Returns the first split of each object that began by a wrong guess. Both lists are in the order of the input.
pub(crate) fn breaks(spec: &JobSpec, splits: &[Split], maps: &[Vec<MapRecord>]) -> Vec<Broken> {
    let mut broken = vec![];
    // How far the object was read, if all of its splits until here meet.
    let mut ended: Option<(u32, &str, Option<u64>)> = None;
    for (at, (split, pieces)) in splits.iter().zip(maps).enumerate() {
        let [range] = &split.ranges[..] else { continue };
        if spec.splitting_of(range.input_idx) != Splitting::Guessed {
            continue;
        }
        let before = ended.filter(|(input_idx, key, _)| *input_idx == range.input_idx && *key == range.key);
        let Some(start) = before.map_or(Some(0), |(_, _, end)| end) else { continue };
        let end = end_of(pieces, start, range.to);
        if end.is_none() {
            broken.push(Broken { at, start });
        }
        ended = Some((range.input_idx, &range.key, end));
    }
    broken
}

/// Returns where a split's last record ends whose first one starts at `start`, if its pieces say so and reach its end.
fn end_of(pieces: &[MapRecord], start: u64, to: u64) -> Option<u64> {
    let mut end = start;
    for taken in pieces.iter().filter_map(|record| record.taken) {
        if taken.from != end {
            return None;
        }
        end = taken.to;
    }
    (end >= to).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::AttemptId;
    use crate::range::ByteRange;
    use crate::wire::record::{Placement, Position, Usage};
    use crate::wire::spec::OptionsSpec;
    use proptest::prelude::*;

    fn spec() -> JobSpec {
        let plain = JobSpec::of_one_object();
        JobSpec { options: OptionsSpec { splitting: Splitting::Guessed, ..plain.options }, ..plain }
    }

    fn split(key: &str, from: u64, to: u64, size: u64) -> Split {
        let range = ObjectRange { input_idx: 0, key: key.into(), etag: "e".into(), size, from, to, codec: None };
        Split { ranges: vec![range] }
    }

    fn piece(taken: Option<(u64, u64)>, remainder: Option<u64>) -> MapRecord {
        MapRecord {
            attempt: AttemptId { number: 0, nonce: 1 },
            bytes_assigned: 1,
            taken: taken.map(|(from, to)| ByteRange { from, to }),
            bytes_read: taken.map_or(0, |(from, to)| to - from),
            crc32: 0,
            records: 1,
            rejected: 0,
            pairs_emitted: 1,
            pairs_out: 1,
            run_bytes: 1,
            placement: Placement::Inline,
            spills: 0,
            remainder: remainder.map(|at| Position::at(0, at)),
            usage: Usage::default(),
        }
    }

    fn reads(taken: Option<(u64, u64)>) -> Vec<MapRecord> {
        vec![piece(taken, None)]
    }

    /// The rereads that come next, as first, last, start and end.
    fn wrong(splits: &[Split], maps: &[Vec<MapRecord>], made: &Rereads) -> Vec<(u32, u32, u64, u64)> {
        let counted = Counted::of(made, splits, maps);
        let wrong = counted.wrong(&spec(), splits.len() as u32);
        wrong.into_iter().map(|Reread { first, last, start, to }| (first.0, last.0, start, to)).collect()
    }

    #[test]
    fn splits_that_meet_are_right_and_the_first_that_does_not_is_read_from_the_end_before_it() {
        let splits = [(0, 10), (10, 20), (20, 30), (30, 40)].map(|(from, to)| split("k", from, to, 40));
        let wrong = |reads: [Option<(u64, u64)>; 4]| wrong(&splits, &reads.map(self::reads), &Rereads::default());
        assert_eq!(wrong([Some((0, 12)), Some((12, 20)), Some((20, 31)), Some((31, 40))]), []);
        // A record over two splits, in which nothing starts.
        assert_eq!(wrong([Some((0, 32)), None, None, Some((32, 40))]), []);
        assert_eq!(wrong([Some((0, 12)), Some((13, 20)), Some((20, 31)), Some((31, 40))]), [(1, 1, 12, 20)]);
        // Records were found within one that goes over the next two splits: there is nothing to read in these.
        assert_eq!(wrong([Some((0, 32)), Some((13, 21)), Some((21, 31)), Some((32, 40))]), [(1, 3, 32, 40)]);
        assert_eq!(wrong([Some((0, 40)), Some((13, 21)), Some((21, 31)), None]), [(1, 3, 40, 40)]);
        // Nothing was found where a record starts, as of what was read in vain.
        assert_eq!(wrong([Some((0, 12)), None, Some((20, 31)), Some((31, 40))]), [(1, 1, 12, 20)]);
        assert_eq!(wrong([Some((0, 12)), Some((12, 20)), Some((20, 31)), None]), [(3, 3, 31, 40)]);
    }

    #[test]
    fn pieces_are_one_split_and_objects_do_not_mix() {
        let splits = [split("a", 0, 10, 20), split("a", 10, 20, 20), split("b", 0, 10, 20), split("b", 10, 20, 20)];
        let cut = |at| vec![piece(Some((12, at)), Some(at)), piece(Some((15, 20)), None)];
        let maps = |second| [reads(Some((0, 12))), second, reads(Some((0, 10))), reads(Some((11, 20)))];
        assert_eq!(wrong(&splits, &maps(cut(15)), &Rereads::default()), [(3, 3, 10, 20)]);
        assert_eq!(wrong(&splits, &maps(cut(14)), &Rereads::default()), [(1, 1, 12, 20), (3, 3, 10, 20)]);
        // What is not guessed is not looked at.
        let plain = JobSpec { options: OptionsSpec::for_concurrency(1_000), ..spec() };
        let counted = Counted::of(&Rereads::default(), &splits, &maps(cut(14)));
        assert_eq!(counted.wrong(&plain, 4), []);
    }

    #[test]
    fn a_reread_that_was_wrong_is_not_read_again() {
        let splits = [split("k", 0, 10, 20), split("k", 10, 20, 20)];
        let made = Rereads(vec![Reread { first: TaskIdx(1), last: TaskIdx(1), start: 12, to: 20 }]);
        let maps = [reads(Some((0, 12))), reads(Some((13, 20))), reads(Some((12, 19)))];
        assert_eq!(wrong(&splits, &maps, &made), []);
        assert_eq!(breaks(&spec(), &splits, &[maps[0].clone(), maps[2].clone()]), [Broken { at: 1, start: 12 }]);
    }

    proptest! {
        /// Whatever the guesses were, the job comes to its end: all of the object is counted once, in order, and no object is read
        /// again more than a few times.
        #[test]
        fn rereads_come_to_an_end(
            cuts in proptest::collection::btree_set(1u64..400, 0..40),
            records in proptest::collection::btree_set(1u64..400, 0..40),
            guesses in proptest::collection::vec(proptest::option::of((0u64..400, 0u64..30)), 41),
        ) {
            let size = 400;
            let ends = |of: &std::collections::BTreeSet<u64>| {
                let all: Vec<u64> = [0].into_iter().chain(of.iter().copied()).chain([size]).collect();
                all.windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>()
            };
            let splits: Vec<_> = ends(&cuts).into_iter().map(|(from, to)| split("k", from, to, size)).collect();
            let records = ends(&records);
            // What a split reads that begins right: the records that start between two places.
            let right = |from: u64, to: u64| {
                let own: Vec<_> = records.iter().filter(|(start, _)| (from..to).contains(start)).collect();
                Some((own.first()?.0, own.last()?.1))
            };
            let starts: Vec<_> = records.iter().map(|(start, _)| *start).collect();
            let mut maps: Vec<_> = splits.iter().zip(&guesses).enumerate().map(|(n, (split, guess))| {
                let range = &split.ranges[0];
                reads(match guess {
                    // A wrong guess never finds the start of a record.
                    Some((from, bytes)) if n > 0 && (range.from..range.to).contains(from) && !starts.contains(from) => {
                        Some((*from, from + bytes))
                    }
                    _ => right(range.from, range.to),
                })
            }).collect();
            let mut made = Rereads::default();
            loop {
                let counted = Counted::of(&made, &splits, &maps);
                let wrong = counted.wrong(&spec(), splits.len() as u32);
                let Some(reread) = wrong.first().copied() else { break };
                prop_assert_eq!(wrong.len(), 1);
                prop_assert!(right(reread.start, size).is_none_or(|(start, _)| start == reread.start), "a proved place");
                maps.push(reads(right(reread.start, reread.to)));
                made.0.push(reread);
                prop_assert!(crate::wire::frame::Framed::check(&made).is_ok());
                prop_assert!(made.0.len() <= REREADS_OF_OBJECT + 1);
            }
            let counted = Counted::of(&made, &splits, &maps);
            prop_assert_eq!(breaks(&spec(), &counted.splits, &counted.maps), []);
            let assigned: u64 = counted.splits.iter().map(Split::bytes).sum();
            prop_assert_eq!(assigned, size);
            let read: u64 = counted.maps.iter().flatten().map(|record| record.bytes_read).sum();
            prop_assert_eq!(read, size);
        }
    }
}
