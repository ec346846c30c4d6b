//! Counts words: the maximal runs of bytes that are not ASCII white space.
//!
//! Words are byte strings, so that text that is not UTF-8 is counted correctly too. The result is `word<TAB>count`, sorted by
//! word within a part.

use kinglet_core::{Combiner, Emitter, Growth, Job, Sink, UserResult, Values, Words, Workload};
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

    /// Measured: 1.2 GB took 14.7 CPU seconds in all (bench/README.md), of which 23 % went into merging, reducing and writing;
    /// 268 MB of the same corpus made runs of 3.8 MB from splits of 16 MiB, of 11.0 MB from 64 MiB and of 28.9 MB from 256 MiB,
    /// and an output of 70 MB.
    fn workload(&self) -> Workload {
        Workload {
            map_s_per_gb: 9.5,
            reduce_s_per_gb: 20.0,
            map_s: 0.0,
            map_run_bytes: 0.0,
            runs: Growth { bytes_at_gb: 73e6, exponent: 0.73 },
            output: Growth { bytes_at_gb: 170e6, exponent: 0.7 },
            uncertainty: 2.0,
        }
    }

    fn reduce(&self, word: Vec<u8>, counts: Values<'_, u64>, out: &mut Sink<'_, (Vec<u8>, u64)>) -> UserResult {
        out.push(&(word, counts.sum()))
    }
}
