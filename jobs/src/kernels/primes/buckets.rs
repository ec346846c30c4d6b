//! Primes that skip most segments: each lies in the bucket of the segment it hits next (Tomás Oliveira e Silva, "Fast
//! implementation of the segmented sieve of Eratosthenes", 2002). A segment costs what hits it, however many primes there are.
//!
//! ```text
//! entry   │ 32 bits: prime / 30 │ 9 bits: state on the wheel of 210 │ 23 bits: byte in the segment │
//! block   │ entry 0: number of the bucket's block before │ entries …                               │
//! ```
//!
//! Buckets are chains of blocks from one arena, in which the blocks of a finished segment are used again. An entry has 8
//! bytes, and a prime has one entry, or none when it has no further hit: that is all the memory the sieve needs.

use super::wheel::{STATE_BITS, STEPS, first_hit_210};

const AT_BITS: u32 = 32 - STATE_BITS;

/// The largest segment: a byte's place must fit an entry.
pub(super) const SEGMENT_BYTES_MAX: usize = 1 << AT_BITS;

/// Entries in a block, its link included.
const BLOCK: usize = 1 << 10;

/// The buckets of one thread.
pub(super) struct Buckets {
    arena: Vec<u64>,
    free: Vec<u32>,
    /// Blocks of the arena that were never used begin here. Block 0 is none.
    unused: u32,
    /// For each segment to come, round and round: where the next entry goes. On a block's border there is no room; 0 at first.
    ends: Vec<usize>,
    now: usize,
    segment_bits: u32,
    /// Segments from the current one to the last.
    left: usize,
}

impl Buckets {
    /// For at most `primes` primes up to `prime_max`, over `segments` segments of 2^`segment_bits` bytes.
    pub(super) fn new(primes: usize, prime_max: u64, segments: usize, segment_bits: u32) -> Self {
        assert!(segment_bits <= AT_BITS);
        // The widest gap on the wheel of 210 is 10, and a first hit lies no farther behind the segment's start.
        let reach = ((prime_max as usize / 30 + 1) * 11) >> segment_bits;
        let ring = (reach + 2).min(segments + 1).next_power_of_two();
        let blocks = if primes == 0 { 0 } else { primes / (BLOCK - 1) + ring + 2 };
        Buckets {
            // The system gives zeroed pages only when they are first written.
            arena: vec![0; blocks * BLOCK],
            free: Vec::new(),
            unused: 1,
            ends: vec![0; ring],
            now: 0,
            segment_bits,
            left: segments,
        }
    }

    /// Takes a prime, at the segment that starts with `low`.
    #[inline]
    pub(super) fn add(&mut self, prime: u64, low: u64) {
        let (at, state) = first_hit_210(prime, low);
        let entry = (prime / 30) << 32 | u64::from(state) << AT_BITS;
        self.push(entry, at as usize);
    }

    /// Puts an entry, whose place is still 0, `at` bytes behind the start of the current segment.
    #[inline]
    fn push(&mut self, entry: u64, at: usize) {
        let ahead = at >> self.segment_bits;
        if ahead >= self.left {
            return;
        }
        let place = at & ((1 << self.segment_bits) - 1);
        let bucket = (self.now + ahead) & (self.ends.len() - 1);
        let mut end = self.ends[bucket];
        if end % BLOCK == 0 {
            end = self.lengthen(end);
        }
        self.arena[end] = entry | place as u64;
        self.ends[bucket] = end + 1;
    }

    /// A new block behind that which ends at `end`, and where its first entry goes.
    #[cold]
    #[inline(never)]
    fn lengthen(&mut self, end: usize) -> usize {
        let block = self.free.pop().unwrap_or_else(|| {
            self.unused += 1;
            self.unused - 1
        }) as usize;
        // `end` is the border behind the full block, or 0.
        self.arena[block * BLOCK] = (end / BLOCK).saturating_sub(1) as u64;
        block * BLOCK + 1
    }

    /// Strikes all hits in the segment and goes on to the next.
    pub(super) fn strike(&mut self, segment: &mut [u8]) {
        // Primes that hit the segment once more come back into its bucket.
        while let end @ 1.. = std::mem::take(&mut self.ends[self.now]) {
            let (mut block, mut length) = ((end - 1) / BLOCK, (end - 1) % BLOCK + 1);
            while block != 0 {
                let mut entries = [0; BLOCK];
                entries.copy_from_slice(&self.arena[block * BLOCK..(block + 1) * BLOCK]);
                // Given back before its entries go on: they may fill it again.
                self.free.push(block as u32);
                for &entry in &entries[1..length] {
                    let at = entry as usize % SEGMENT_BYTES_MAX;
                    let step = STEPS[(entry >> AT_BITS) as usize % STEPS.len()];
                    segment[at] &= step.mask;
                    let a = entry >> 32;
                    let next = at + a as usize * usize::from(step.gap) + usize::from(step.carry);
                    self.push(a << 32 | u64::from(step.next) << AT_BITS, next);
                }
                (block, length) = (entries[0] as usize, BLOCK);
            }
        }
        self.now = (self.now + 1) & (self.ends.len() - 1);
        self.left -= 1;
    }
}
