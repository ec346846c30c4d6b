//! Counts words: the maximal runs of bytes that are not ASCII white space.
//!
//! Words are byte strings, so that text that is not UTF-8 is counted correctly too. The result is `word<TAB>count`, sorted by
//! word within a part.

use kinglet_core::{Combiner, Emitter, Job, Sink, UserResult, Values, Words};
use serde::{Deserialize, Serialize};

/// The job, without parameters; see the module.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct WordCount;

impl Job for WordCount {
    const NAME: &'static str = "word-count";
    type Input = Words;
    type Key = Vec<u8>;
    type Value = u64;
    type Output = (Vec<u8>, u64);

    #[inline]
    fn map(&self, word: &[u8], out: &mut Emitter<'_, Vec<u8>, u64>) -> UserResult {
        out.emit(word, 1)
    }

    fn combiner(&self) -> Option<Combiner<u64>> {
        Some(Combiner::sum())
    }

    fn reduce(&self, word: Vec<u8>, counts: Values<'_, u64>, out: &mut Sink<'_, (Vec<u8>, u64)>) -> UserResult {
        out.push(&(word, counts.sum()))
    }
}
