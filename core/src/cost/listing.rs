//! How many map tasks an input makes, and how many GETs they read it by, without cutting it.
//!
//! The splitter cuts ([`pieces`] is its rule as well), and the mapper reads. Here both are only counted, for each size of
//! splits that a plan considers; tests compare the counts with what they do.

use crate::budget::{GET_BYTES, OPEN_BYTES};

/// How many bytes beyond a split's end are fetched with it, as the mapper does.
const TAIL_BYTES: u64 = 64 << 10;

/// What an input makes when it is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the input.
    pub bytes: u64,
    /// Map tasks.
    pub map_tasks: u64,
    /// GETs by which they read the input.
    pub gets: u64,
}

/// Returns into how many ranges of about equal size an object is cut. A remainder of a tenth does not deserve a task of its
/// own.
pub fn pieces(size: u64, split_bytes: u64) -> u64 {
    size.saturating_add(split_bytes - split_bytes / 10 - 1) / split_bytes
}

/// Returns by how many GETs a range of so many bytes is read. A remainder smaller than half a GET joins the GET before it.
pub(super) fn gets(bytes: u64) -> u64 {
    if bytes < GET_BYTES + GET_BYTES / 2 { 1 } else { (bytes + GET_BYTES / 2) / GET_BYTES }
}

impl Cut {
    /// Counts what objects of these sizes make, in the order of the input. `split_bytes` is at least 1.
    pub fn of(sizes: &[u64], split_bytes: u64) -> Self {
        Self::of_pieces(sizes, split_bytes, |pieces| pieces)
    }

    /// Counts the same where each object is in one split.
    pub fn of_whole(sizes: &[u64], split_bytes: u64) -> Self {
        Self::of_pieces(sizes, split_bytes, |_| 1)
    }

    fn of_pieces(sizes: &[u64], split_bytes: u64, cut_into: impl Fn(u64) -> u64) -> Self {
        let mut cut = Cut { bytes: sizes.iter().sum(), ..Cut::default() };
        let mut pack_weight = 0;
        for &size in sizes.iter().filter(|size| **size > 0) {
            let pieces = pieces(size, split_bytes);
            if pieces > 1 {
                let pieces = cut_into(pieces);
                cut.map_tasks += u64::from(pack_weight > 0) + pieces;
                pack_weight = 0;
                let piece = size / pieces;
                // All but the last piece end within the object, and read on to the end of their last record.
                cut.gets += gets(piece + TAIL_BYTES + 1) * (pieces - 1) + gets(piece + 1);
                continue;
            }
            if pack_weight > 0 && pack_weight + size + OPEN_BYTES > split_bytes {
                cut.map_tasks += 1;
                pack_weight = 0;
            }
            pack_weight += size + OPEN_BYTES;
            cut.gets += gets(size);
        }
        cut.map_tasks += u64::from(pack_weight > 0);
        cut
    }

    /// Counts splits that are cut already, each given by the bytes of its ranges; a range that does not end with its object
    /// reads on.
    pub fn of_ranges(splits: impl IntoIterator<Item = impl IntoIterator<Item = (u64, bool)>>) -> Self {
        let mut cut = Cut::default();
        for split in splits {
            cut.map_tasks += 1;
            for (bytes, reads_on) in split {
                cut.bytes += bytes;
                cut.gets += gets(bytes + if reads_on { TAIL_BYTES } else { 0 });
            }
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn gets_are_of_eight_mib_and_a_small_rest_joins_the_last() {
        let counted = [0, 1, 8 * MIB, 12 * MIB - 1, 12 * MIB, 15 * MIB, 20 * MIB - 1, 20 * MIB].map(gets);
        assert_eq!(counted, [1, 1, 1, 1, 2, 2, 2, 3]);
    }

    #[test]
    fn large_objects_are_cut_and_small_ones_packed() {
        let cut = |sizes: &[u64], split| {
            let Cut { bytes, map_tasks, gets } = Cut::of(sizes, split);
            assert_eq!(bytes, sizes.iter().sum::<u64>());
            (map_tasks, gets)
        };
        assert_eq!(cut(&[], MIB), (0, 0));
        assert_eq!(cut(&[0, 0], MIB), (0, 0));
        // A tenth more than a split is no second task.
        assert_eq!(cut(&[110 * MIB / 100], MIB), (1, 1));
        assert_eq!(cut(&[100 * MIB], 16 * MIB), (7, 14));
        // Each small object weighs a quarter of a MiB more than it has: 48 of them make a split of 16 MiB.
        assert_eq!(cut(&vec![MIB / 12; 96], 16 * MIB), (2, 96));
        // A large object ends the pack before it.
        assert_eq!(cut(&[1, 100 * MIB, 1], 50 * MIB), (4, 1 + 12 + 1));
    }
}
