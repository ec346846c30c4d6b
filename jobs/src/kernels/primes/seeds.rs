//! The sieving primes: all primes up to the square root of the range's end, as bits on the wheel, at most 143 MB for the top of
//! `u64`. They are made once for all threads; each thread walks over them as its segments need them.

use super::pattern::PATTERN_MAX;

/// The sieving primes.
pub(super) struct Seeds {
    /// Bits as in [`super::wheel`], from 0 on; a whole number of words.
    bits: Vec<u8>,
    max: u64,
}

impl Seeds {
    /// Takes all primes up to `max` as bits; the field of that name says in which form.
    pub(super) fn new(bits: Vec<u8>, max: u64) -> Seeds {
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
