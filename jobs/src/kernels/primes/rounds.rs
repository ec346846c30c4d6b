//! Rounds, for primes that go round the wheel several times in a stretch of the sieve: eight hits without a branch.
//!
//! A prime always stands at a cofactor ≡ 1 (mod 30) and strikes a whole round, of p bytes, while its first hit lies in the
//! stretch. Hits after the stretch's end are correct too, only early: within a segment they belong to the next stretch, and
//! after the segment comes a margin that the next segment takes over. So a prime needs one loop with one exit in a stretch,
//! and no tail.
//!
//! The bounds of the eight hits are checked once before the loop (`last` is the largest), which the compiler sees. In the loop
//! only the round's slice is checked, so the code needs no `unsafe`.

use super::wheel::{BIT, CARRY, MASK, RESIDUES, first_multiple, mask};

#[derive(Clone, Copy)]
struct Walker {
    /// The prime divided by 30, rounded down; its class is the rest.
    a: u32,
    /// The byte at which its next round starts, from the segment's start.
    at: u32,
}

/// The primes, by class.
#[derive(Default)]
pub(super) struct Rounds([Vec<Walker>; 8]);

impl Rounds {
    /// Takes in a prime. `sieve` is the segment from `low` on and its margin of at least `prime` bytes. The hits up to the
    /// first whole round are struck at once.
    pub(super) fn add(&mut self, prime: u64, low: u64, sieve: &mut [u8]) {
        let (mut cofactor, mut behind) = first_multiple(prime, low);
        while cofactor % 30 != 1 {
            if BIT[(cofactor % 30) as usize] < 8 {
                sieve[(behind / 30) as usize] &= mask((behind % 30) as usize);
            }
            cofactor += 1;
            behind += prime;
        }
        let class = BIT[(prime % 30) as usize];
        self.0[usize::from(class)].push(Walker { a: (prime / 30) as u32, at: (behind / 30) as u32 });
    }

    /// Strikes all rounds that begin before `end`.
    pub(super) fn strike(&mut self, sieve: &mut [u8], end: usize) {
        let [c0, c1, c2, c3, c4, c5, c6, c7] = &mut self.0;
        strike::<0>(c0, sieve, end);
        strike::<1>(c1, sieve, end);
        strike::<2>(c2, sieve, end);
        strike::<3>(c3, sieve, end);
        strike::<4>(c4, sieve, end);
        strike::<5>(c5, sieve, end);
        strike::<6>(c6, sieve, end);
        strike::<7>(c7, sieve, end);
    }

    /// Goes on to the next segment.
    pub(super) fn advance(&mut self, segment_bytes: usize) {
        self.0.iter_mut().flatten().for_each(|walker| walker.at -= segment_bytes as u32);
    }
}

fn strike<const CLASS: usize>(walkers: &mut [Walker], sieve: &mut [u8], end: usize) {
    for walker in walkers {
        let a = walker.a as usize;
        let hit = |j: usize| a * (RESIDUES[j] as usize - 1) + CARRY[CLASS][j];
        let (h1, h2, h3, h4, h5, h6, h7) = (hit(1), hit(2), hit(3), hit(4), hit(5), hit(6), hit(7));
        let round = h7 + 1;
        assert!(h1 < round && h2 < round && h3 < round && h4 < round && h5 < round && h6 < round);
        let prime = a * 30 + RESIDUES[CLASS] as usize;
        let mut at = walker.at as usize;
        while at < end {
            let round = &mut sieve[at..at + round];
            round[0] &= MASK[CLASS][0];
            round[h1] &= MASK[CLASS][1];
            round[h2] &= MASK[CLASS][2];
            round[h3] &= MASK[CLASS][3];
            round[h4] &= MASK[CLASS][4];
            round[h5] &= MASK[CLASS][5];
            round[h6] &= MASK[CLASS][6];
            round[h7] &= MASK[CLASS][7];
            at += prime;
        }
        walker.at = at as u32;
    }
}
