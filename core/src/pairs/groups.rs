//! Walks merged runs key by key, or group by group where keys that begin alike are reduced together.

use super::merge::Merge;
use crate::error::{Error, Result};
use crate::key::GroupedBy;
use crate::value::Value;
use std::io::Read;
use std::marker::PhantomData;

/// A walk through a merge, key by key, and within a key value by value.
pub(crate) struct Groups<V, R> {
    merge: Merge<R>,
    /// The key that is read, or the last one.
    key: Vec<u8>,
    /// How much of a key says its group; without it, all.
    grouped_by: Option<GroupedBy>,
    /// How many bytes of the key that is.
    group_bytes: usize,
    pairs: u64,
    failed: Option<Error>,
    value: PhantomData<fn() -> V>,
}

impl<V: Value, R: Read> Groups<V, R> {
    pub(crate) fn new(merge: Merge<R>) -> Self {
        Self::grouped(merge, None)
    }

    /// Starts a walk in which keys are reduced together whose first bytes are the same, as many as this says.
    pub(crate) fn grouped(merge: Merge<R>, grouped_by: Option<GroupedBy>) -> Self {
        Groups { merge, key: Vec::new(), grouped_by, group_bytes: 0, pairs: 0, failed: None, value: PhantomData }
    }

    /// Returns the key of the last pair that was read or skipped.
    pub(crate) fn last_key(&self) -> &[u8] {
        &self.key
    }

    /// Goes on to a pair of another key, if it is of the same group.
    fn is_same_group(&mut self) -> bool {
        let Some(top) = self.merge.top() else { return false };
        let key = top.key();
        if key == self.key {
            return true;
        }
        let Some(grouped_by) = &self.grouped_by else { return false };
        // A key that is shorter than its group is one by itself, as it is placed by all of it.
        let group = |key| <[u8]>::get(key, ..self.group_bytes).unwrap_or(key);
        let is_same = grouped_by(key) == self.group_bytes && group(key) == group(&self.key);
        if is_same {
            self.key.clear();
            self.key.extend_from_slice(key);
        }
        is_same
    }

    /// Returns how many pairs were read or skipped.
    pub(crate) fn pairs(&self) -> u64 {
        self.pairs
    }

    /// Returns the merge, as far as it has come.
    pub(crate) fn merge(&self) -> &Merge<R> {
        &self.merge
    }

    /// Goes to the next key, or to the first key of the next group, and writes it to `key`.
    pub(crate) fn next_key(&mut self, key: &mut Vec<u8>) -> Result<bool> {
        match self.merge.top() {
            None => Ok(false),
            Some(top) => {
                self.key.clear();
                self.key.extend_from_slice(top.key());
                key.clone_from(&self.key);
                self.group_bytes = self.grouped_by.as_ref().map_or(0, |bytes| bytes(&self.key));
                Ok(true)
            }
        }
    }

    /// Returns the error that [`Self::next_value`] met, if any.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    fn try_next_value(&mut self) -> Result<Option<V>> {
        if !self.is_same_group() {
            return Ok(None);
        }
        let Some(top) = self.merge.top() else { return Ok(None) };
        let value = crate::codec::decode(top.value())?;
        self.pairs += 1;
        self.merge.advance()?;
        Ok(Some(value))
    }

    /// Skips the values that `reduce` did not read.
    pub(crate) fn skip_rest(&mut self) -> Result<()> {
        while self.is_same_group() {
            self.pairs += 1;
            self.merge.advance()?;
        }
        Ok(())
    }

    /// Returns the key's next value. It returns `None` also when reading failed: see [`Self::check`].
    #[inline]
    pub(crate) fn next_value(&mut self) -> Option<V> {
        if self.failed.is_some() {
            return None;
        }
        self.try_next_value().unwrap_or_else(|error| {
            self.failed = Some(error);
            None
        })
    }
}

impl<V: Value, R: Read> Iterator for Groups<V, R> {
    type Item = V;

    #[inline]
    fn next(&mut self) -> Option<V> {
        self.next_value()
    }
}
