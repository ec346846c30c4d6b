//! Writes random bytes: how fast reducers write to S3. The input is a number a line, each once; for each a reducer writes so
//! many bytes, which no one can compress, the same each time.

use kinglet_core::{Emitter, Job, Lines, Sink, UserResult, Values};
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct BenchWrite {
    /// How many bytes each number is written as.
    pub bytes: u32,
}

impl Job for BenchWrite {
    const NAME: &'static str = "bench-write";
    type Input = Lines;
    type Key = u64;
    type Value = ();
    type Output = Vec<u8>;

    fn map(&self, line: &str, out: &mut Emitter<'_, u64, ()>) -> UserResult {
        out.emit(line.trim().parse::<u64>()?, ())
    }

    fn reduce(&self, number: u64, _: Values<'_, ()>, out: &mut Sink<'_, Vec<u8>>) -> UserResult {
        // The record's line feed is one of its bytes.
        out.push(&random(number, (self.bytes as usize).saturating_sub(1)))
    }
}

/// Bytes from a generator (splitmix64, Steele et al., 2014), by seed.
fn random(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        out.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    out.truncate(bytes);
    out
}
