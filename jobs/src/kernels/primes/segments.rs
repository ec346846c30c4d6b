//! One thread's way through a stretch of numbers: segment by segment, each sieved by patterns, rounds, steps and buckets.
//!
//! A segment and its patterns stay in a core's L2 cache. Within a segment the smallest primes work on pieces that fit into an
//! L1 cache.

use super::buckets::Buckets;
use super::pattern::Patterns;
use super::rounds::Rounds;
use super::seeds::{Seeds, Walk};
use super::steps::Steps;

/// How many bytes the smallest primes strike at a time (32 KiB): they fit into an L1 cache.
const L1_BYTES: usize = 32 << 10;
/// The largest prime that strikes in such pieces, …
const L1_PRIME_MAX: u64 = 20_000;
/// … the largest that strikes in rounds over the segment, …
const ROUND_PRIME_MAX: u64 = 512 << 10;
/// … and the largest that strikes in steps, in multiples of the segment's bytes; larger ones are in buckets.
const STEP_PRIMES: u64 = 3;
/// The largest segment, in bytes as a power of two: half of the L2 cache of a core, or of a vCPU that shares one.
const SEGMENT_BITS_MAX: u32 = 19;
/// How many ways a thread goes at most, one after the other; see [`chunks`].
pub(super) const WAYS: u64 = 16;

/// The part of the way that lies ahead.
pub(super) struct Segments<'a> {
    /// The byte where the next segment starts.
    at: u64,
    to: u64,
    segment_bits: u32,
    walk: Walk<'a>,
    sieve: Sieve,
    buffer: Vec<u8>,
    /// What earlier segments struck after their ends.
    carried: Vec<u8>,
}

impl<'a> Segments<'a> {
    /// Starts a way over the bytes `from..to`; `seeds` has the primes up to the square root of the last number.
    pub(super) fn new(seeds: &'a Seeds, from: u64, to: u64) -> Self {
        Segments::with_spare(seeds, from, to, Vec::new())
    }

    /// Starts a way with the memory [left](Segments::into_spare) of another.
    pub(super) fn with_spare(seeds: &'a Seeds, from: u64, to: u64, spare: Vec<u64>) -> Self {
        let bytes = to - from;
        let last = to.saturating_mul(30);
        let root = last.isqrt();
        let bits = (root * 2).clamp(L1_BYTES as u64, 1 << SEGMENT_BITS_MAX).next_power_of_two().trailing_zeros();
        let step_prime_max = STEP_PRIMES << bits;
        let mut sieve = Sieve {
            l1: Rounds::default(),
            l2: Rounds::default(),
            steps: Steps::default(),
            buckets: None,
            step_prime_max,
        };
        let buffer = if root > step_prime_max { 1 << bits } else { bytes.min(1 << bits) as usize };
        if root > step_prime_max {
            let segments = bytes.div_ceil(1 << bits) as usize;
            sieve.buckets = Some(Buckets::new(seeds.count_max(), root, segments, bits, spare));
        }
        let margin = root.min(ROUND_PRIME_MAX) as usize + 1;
        Segments {
            at: from,
            to,
            segment_bits: bits,
            walk: seeds.walk(),
            sieve,
            buffer: vec![0xff; buffer + margin],
            carried: vec![0xff; margin],
        }
    }

    /// Sieves the next segment and returns it with the number of its first byte. A bit is set exactly if its number is prime.
    pub(super) fn next(&mut self) -> Option<(u64, &mut [u8])> {
        let Segments { at, to, segment_bits, walk, sieve, buffer, carried } = self;
        if at == to {
            return None;
        }
        let (start, length) = (*at, (*to - *at).min(1 << *segment_bits) as usize);
        Patterns::get().fill(start, &mut buffer[..length]);
        buffer[length..].fill(0xff);
        for (byte, carried) in buffer.iter_mut().zip(&*carried) {
            *byte &= carried;
        }
        sieve.take(walk, start, buffer, length);
        sieve.strike(buffer, length);
        let margin = carried.len();
        carried.copy_from_slice(&buffer[length..length + margin]);
        *at += length as u64;
        Some((start, &mut buffer[..length]))
    }

    /// Returns the memory, for another way to use.
    pub(super) fn into_spare(self) -> Vec<u64> {
        self.sieve.buckets.map_or_else(Vec::new, Buckets::into_spare)
    }

    /// Goes to the end and calls `each` with each segment.
    pub(super) fn run(mut self, each: &mut dyn FnMut(u64, &mut [u8])) {
        while let Some((at, bits)) = self.next() {
            each(at, bits);
        }
    }
}

/// Returns how many of the bytes `from..to` a thread should go in one way. Each thread gets up to `most` ways, so that all
/// threads end together. But a way is long enough that looking through the sieving primes does not cost more than the sieving.
pub(super) fn chunks(from: u64, to: u64, most: u64) -> u64 {
    let threads = rayon::current_num_threads() as u64;
    let bytes = (to - from).max(1);
    if threads == 1 {
        return bytes;
    }
    let root = to.saturating_mul(30).isqrt();
    // A sieving prime costs a way about as much as two bytes, and about one number in twenty is one.
    let least = (root * 2).max(L1_BYTES as u64 * 2);
    let ways = (bytes / least / threads).clamp(1, most) * threads;
    bytes.div_ceil(ways).max(L1_BYTES as u64)
}

struct Sieve {
    l1: Rounds,
    l2: Rounds,
    steps: Steps,
    buckets: Option<Buckets>,
    step_prime_max: u64,
}

impl Sieve {
    /// Takes in the next sieving primes, as long as their squares lie before the segment's end.
    fn take(&mut self, walk: &mut Walk<'_>, at: u64, buffer: &mut [u8], length: usize) {
        let low = at * 30;
        let end = (at + length as u64).saturating_mul(30);
        // After the last prime the product saturates.
        while walk.now().saturating_mul(walk.now()) < end {
            let prime = walk.now();
            if prime <= L1_PRIME_MAX {
                self.l1.add(prime, low, buffer);
            } else if prime <= ROUND_PRIME_MAX {
                self.l2.add(prime, low, buffer);
            } else if prime <= self.step_prime_max {
                self.steps.add(prime, low);
            } else if let Some(buckets) = &mut self.buckets {
                buckets.add(prime, low);
            }
            walk.next();
        }
    }

    fn strike(&mut self, buffer: &mut [u8], length: usize) {
        for end in (L1_BYTES..).step_by(L1_BYTES) {
            self.l1.strike(buffer, end.min(length));
            if end >= length {
                break;
            }
        }
        self.l2.strike(buffer, length);
        self.steps.strike(&mut buffer[..length]);
        if let Some(buckets) = &mut self.buckets {
            buckets.strike(buffer);
        }
        self.l1.advance(length);
        self.l2.advance(length);
    }
}
