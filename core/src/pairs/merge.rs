//! A streaming merge of sorted runs: a tree of losers over the runs' first pairs, with one comparison per level for each
//! pair. It holds one block of each run, however long the runs are.

use crate::error::Result;
use crate::wire::run::{RunPlace, RunReader};
use std::io::Read;

struct Head<R> {
    reader: RunReader<R>,
    /// The first eight bytes of the key, big-endian: most comparisons end here.
    first: u64,
    done: bool,
}

impl<R: Read> Head<R> {
    fn advance(&mut self) -> Result<()> {
        self.done = !self.reader.advance()?;
        let key = self.reader.key();
        let mut eight = [0; 8];
        let n = key.len().min(8);
        eight[..n].copy_from_slice(&key[..n]);
        self.first = u64::from_be_bytes(eight);
        Ok(())
    }
}

/// Several runs, read as one.
pub(crate) struct Merge<R> {
    heads: Vec<Head<R>>,
    /// `losers[0]` is the winner; `losers[n]` lost the match at node `n`.
    losers: Vec<u32>,
}

impl<R: Read> Merge<R> {
    /// Starts a merge, which then stands on the smallest pair, if there is one.
    ///
    /// # Errors
    /// As [`RunReader::advance`].
    pub(crate) fn new(runs: Vec<RunReader<R>>) -> Result<Self> {
        Self::after(runs, None)
    }

    /// Starts a merge of the pairs whose keys come after this one, if one is given.
    ///
    /// # Errors
    /// As [`RunReader::advance`].
    pub(crate) fn after(runs: Vec<RunReader<R>>, key: Option<&[u8]>) -> Result<Self> {
        let mut heads = Vec::with_capacity(runs.len());
        for reader in runs {
            let mut head = Head { reader, first: 0, done: false };
            head.advance()?;
            while !head.done && key.is_some_and(|key| head.reader.key() <= key) {
                head.advance()?;
            }
            heads.push(head);
        }
        let mut merge = Merge { losers: vec![u32::MAX; heads.len().max(1)], heads };
        for leaf in 0..merge.heads.len() {
            merge.replay(leaf);
        }
        Ok(merge)
    }

    /// Returns whether head `a` comes before head `b`. A run that is done comes last; equal keys are ordered by their runs.
    #[inline(always)]
    fn before(&self, a: usize, b: usize) -> bool {
        let (x, y) = (&self.heads[a], &self.heads[b]);
        if x.done || y.done {
            return !x.done;
        }
        if x.first != y.first {
            return x.first < y.first;
        }
        match x.reader.key().cmp(y.reader.key()) {
            std::cmp::Ordering::Equal => a < b,
            order => order.is_lt(),
        }
    }

    /// Plays leaf `winner` up the tree. While the tree is being built, a free node keeps the first that reaches it.
    #[inline]
    fn replay(&mut self, leaf: usize) {
        let mut winner = leaf;
        let mut node = (leaf + self.heads.len()) / 2;
        while node > 0 {
            let other = self.losers[node];
            if other == u32::MAX {
                self.losers[node] = winner as u32;
                return;
            }
            if self.before(other as usize, winner) {
                self.losers[node] = winner as u32;
                winner = other as usize;
            }
            node /= 2;
        }
        self.losers[0] = winner as u32;
    }

    /// Returns the reader that stands on the smallest pair, or `None` when all are done.
    #[inline]
    pub(crate) fn top(&self) -> Option<&RunReader<R>> {
        let head = self.heads.get(self.losers[0] as usize)?;
        if head.done { None } else { Some(&head.reader) }
    }

    /// Returns the next pair's place in each run, in order; `None` in a run that is done.
    pub(crate) fn places(&self) -> impl Iterator<Item = Option<RunPlace>> {
        self.heads.iter().map(|head| (!head.done).then(|| head.reader.place()))
    }

    /// Goes on to the pair after the smallest.
    ///
    /// # Errors
    /// As [`RunReader::advance`].
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<()> {
        let winner = self.losers[0] as usize;
        if let Some(head) = self.heads.get_mut(winner) {
            head.advance()?;
            self.replay(winner);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::run::{Compression, RunWriter};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merging_is_sorting(runs in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(0u8..3, 0..11), 0..30), 0..9))
        {
            let mut want: Vec<Vec<u8>> = runs.concat();
            want.sort();
            let readers = runs.into_iter().map(|mut keys| {
                keys.sort();
                let mut writer = RunWriter::new(Compression::Lz4);
                keys.iter_mut().for_each(|k| writer.push(k, &1u8).unwrap());
                RunReader::open(std::io::Cursor::new(writer.finish().0), "test").unwrap()
            });
            let mut merge = Merge::new(readers.collect()).unwrap();
            let mut got = vec![];
            while let Some(top) = merge.top() {
                got.push(top.key().to_vec());
                merge.advance().unwrap();
            }
            prop_assert_eq!(got, want);
        }
    }
}
