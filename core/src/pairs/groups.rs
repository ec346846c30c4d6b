//! Walks merged runs key by key.

use super::merge::Merge;
use crate::error::{Error, Result};
use crate::value::Value;
use std::io::Read;
use std::marker::PhantomData;

/// A walk through a merge, key by key, and within a key value by value.
pub(crate) struct Groups<V, R> {
    merge: Merge<R>,
    key: Vec<u8>,
    pairs: u64,
    failed: Option<Error>,
    value: PhantomData<fn() -> V>,
}

impl<V: Value, R: Read> Groups<V, R> {
    pub(crate) fn new(merge: Merge<R>) -> Self {
        Groups { merge, key: Vec::new(), pairs: 0, failed: None, value: PhantomData }
    }

    /// Returns how many pairs were read or skipped.
    pub(crate) fn pairs(&self) -> u64 {
        self.pairs
    }

    /// Returns the merge, as far as it has come.
    pub(crate) fn merge(&self) -> &Merge<R> {
        &self.merge
    }

    /// Goes to the next key, skipping the values that are left of this one, and writes it to `key`.
    pub(crate) fn next_key(&mut self, key: &mut Vec<u8>) -> Result<bool> {
        match self.merge.top() {
            None => Ok(false),
            Some(top) => {
                self.key.clear();
                self.key.extend_from_slice(top.key());
                key.clone_from(&self.key);
                Ok(true)
            }
        }
    }

    /// Returns the error that [`Self::next_value`] met, if any.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    fn try_next_value(&mut self) -> Result<Option<V>> {
        let Some(top) = self.merge.top() else {
            return Ok(None);
        };
        if top.key() != self.key {
            return Ok(None);
        }
        let value = crate::codec::decode(top.value())?;
        self.pairs += 1;
        self.merge.advance()?;
        Ok(Some(value))
    }

    /// Skips the values that `reduce` did not read.
    pub(crate) fn skip_rest(&mut self) -> Result<()> {
        while let Some(top) = self.merge.top() {
            if top.key() != self.key {
                break;
            }
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
