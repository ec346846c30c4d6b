//! The sieving primes: all primes up to the square root of the range's end, as bits on the wheel, at most 143 MB for the top of
//! `u64`. They are made once for all threads; each thread walks over them as its segments need them.

use super::pattern::PATTERN_MAX;
use super::segments::{Segments, WAYS, chunks};
use super::wheel::{BIT, RESIDUES, mask};
use rayon::prelude::*;

/// The largest number up to which a plain sieve makes them.
const PLAIN_MAX: u64 = 1 << 12;

/// The sieving primes.
pub(super) struct Seeds {
    /// Bits as in [`super::wheel`], from 0 on; a whole number of words.
    bits: Vec<u8>,
    max: u64,
}

impl Seeds {
    /// Makes all primes up to `max`, which is below 2^32.
    pub(super) fn up_to(max: u64) -> Seeds {
        let bytes = (max / 30 + 1) as usize;
        let mut bits = vec![0xff; bytes.next_multiple_of(8)];
        if max <= PLAIN_MAX {
            bits[0] = mask(1);
            let end = bits.len() * 30;
            for prime in (7..).take_while(|n| n * n <= end) {
                if BIT[prime % 30] < 8 && bits[prime / 30] & !mask(prime) != 0 {
                    for residue in RESIDUES {
                        // p·q for q ≡ residue (mod 30): p bytes apart, always the same bit. The prime itself stays.
                        let first = prime * usize::from(residue) + if residue == 1 { 30 * prime } else { 0 };
                        bits.iter_mut().skip(first / 30).step_by(prime).for_each(|byte| *byte &= mask(first));
                    }
                }
            }
        } else {
            let seeds = Seeds::up_to(max.isqrt());
            let length = chunks(0, bytes as u64, WAYS);
            bits[..bytes].par_chunks_mut(length as usize).enumerate().for_each(|(n, out)| {
                let base = n as u64 * length;
                Segments::new(&seeds, base, base + out.len() as u64).run(&mut |at, segment| {
                    out[(at - base) as usize..][..segment.len()].copy_from_slice(segment);
                });
            });
            bits[bytes..].fill(0);
        }
        Seeds { bits, max }
    }

    /// Returns how many sieving primes there are at most.
    pub(super) fn count_max(&self) -> usize {
        super::read::count(&self.bits) as usize
    }

    /// Returns a walk over the primes that are in no pattern, in order.
    pub(super) fn walk(&self) -> Walk<'_> {
        let mut walk = Walk { seeds: self, word: 0, bits: 0, at: 0, now: 0 };
        walk.load(0);
        while walk.now <= PATTERN_MAX {
            walk.next();
        }
        walk
    }
}

/// A walk over the sieving primes.
pub(super) struct Walk<'a> {
    seeds: &'a Seeds,
    word: usize,
    bits: u64,
    at: u64,
    now: u64,
}

impl Walk<'_> {
    /// Returns the current prime, or, after the last, a number that is larger than all of them.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Goes on to the next prime.
    #[inline]
    pub(super) fn next(&mut self) {
        while self.bits == 0 {
            if (self.word + 1) * 8 >= self.seeds.bits.len() {
                self.now = u64::MAX;
                return;
            }
            self.load(self.word + 1);
        }
        self.now = self.at + super::read::place(self.bits.trailing_zeros());
        self.bits &= self.bits - 1;
        if self.now > self.seeds.max {
            self.now = u64::MAX;
        }
    }

    fn load(&mut self, word: usize) {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.seeds.bits[word * 8..word * 8 + 8]);
        (self.word, self.bits, self.at) = (word, u64::from_le_bytes(bytes), word as u64 * 240);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_meets_the_primes_behind_the_patterns() {
        let naive = |max: u64| (164..=max).filter(|&n| (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d)));
        for max in [0, 7, 166, 167, 168, 4_095, 4_096, 4_097, 70_000] {
            let seeds = Seeds::up_to(max);
            let mut walk = seeds.walk();
            for prime in naive(max) {
                assert_eq!(walk.now(), prime, "up to {max}");
                walk.next();
            }
            assert_eq!(walk.now(), u64::MAX, "up to {max}");
        }
    }
}
