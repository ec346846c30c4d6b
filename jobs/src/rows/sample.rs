//! Writes a share of the rows as they are: each is drawn by where it lies, so the same objects give the same rows, however they are
//! split. Otherwise it is the job [`Cat`](super::Cat).

use kinglet_core::{Emitter, Job, Located, LocatedRecord, RawRows, RowFormat, Sink, UserResult, Values};
use serde::{Deserialize, Serialize};

/// The job; see the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The format of the rows.
    pub format: RowFormat,
    /// Which share of the rows is drawn, from 0 to 1.
    pub share: f64,
    /// With another seed, others are drawn.
    pub seed: u64,
}

impl Sample {
    /// Returns whether the row that starts here is drawn.
    fn draws(&self, object: &str, offset: u64) -> bool {
        // FNV-1a of the name, and SplitMix64's finalizer over it, the offset and the seed.
        let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let name = object.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
        let mut hash = name ^ mix(offset ^ mix(self.seed));
        hash = mix(hash);
        // The upper 53 bits are a float from 0 to 1 exactly.
        (hash >> 11) as f64 / ((1u64 << 53) as f64) < self.share
    }
}

fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

impl Job for Sample {
    const NAME: &'static str = "sample";
    type Input = Located<RawRows>;
    type Key = (String, u64);
    type Value = Vec<u8>;
    type Output = Vec<u8>;

    fn input(&self) -> Located<RawRows> {
        Located(RawRows(self.format.clone()))
    }

    #[inline]
    fn map(&self, row: LocatedRecord<'_, &[u8]>, out: &mut Emitter<'_, (String, u64), Vec<u8>>) -> UserResult {
        if !self.draws(row.object, row.offset) {
            return Ok(());
        }
        out.emit((row.object.to_owned(), row.offset), row.record.to_owned())
    }

    fn reduce(&self, _: (String, u64), rows: Values<'_, Vec<u8>>, out: &mut Sink<'_, Vec<u8>>) -> UserResult {
        rows.into_iter().try_for_each(|row| out.push(&row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::check_job;

    fn sample(share: f64, seed: u64) -> Vec<String> {
        let lines: String = (0..20_000).map(|n| format!("{n}\n")).collect();
        let job = Sample { format: RowFormat::Lines, share, seed };
        check_job(&job, lines.as_bytes(), &[1]).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_share_of_the_rows_is_drawn_and_the_same_each_time() {
        let tenth = sample(0.1, 0);
        // Six standard deviations of the binomial distribution.
        assert!((1_746..=2_254).contains(&tenth.len()), "{}", tenth.len());
        assert_eq!(tenth, sample(0.1, 0));
        let other = sample(0.1, 1);
        let both = tenth.iter().filter(|row| other.contains(row)).count();
        assert!((115..=285).contains(&both), "{both}");
        assert_eq!((sample(0.0, 0).len(), sample(1.0, 0).len()), (0, 20_000));
        // A larger share has all rows of a smaller one.
        let fifth = sample(0.2, 0);
        assert!(tenth.iter().all(|row| fifth.contains(row)));
    }
}
