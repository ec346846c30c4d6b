//! Primes that skip most segments: each lies in the bucket of the segment it hits next (Tomás Oliveira e Silva, "Fast
//! implementation of the segmented sieve of Eratosthenes", 2002). A segment costs only the primes that hit it, however many
//! there are.
//!
//! ```text
//! entry   │ 32 bits: prime / 30 │ 9 bits: state on the wheel of 210 │ 23 bits: byte in the segment │
//! block   │ entry 0: number of the bucket's block before │ entries …                               │
//! ```
//!
//! Buckets are chains of blocks from one arena, which reuses the blocks of finished segments. An entry has 8 bytes, and a prime
//! has one entry, or none if it has no further hit: that is all the memory that the buckets need.

use super::wheel::{STATE_BITS, STEPS, first_hit_210};

const AT_BITS: u32 = 32 - STATE_BITS;

/// The largest segment, in bytes: a byte's place in it must fit into an entry.
pub(super) const SEGMENT_BYTES_MAX: usize = 1 << AT_BITS;

/// The number of entries in a block, including its link.
const BLOCK: usize = 1 << 10;

/// The buckets of one thread.
pub(super) struct Buckets {
    chains: Chains,
    ring: Ring,
}

struct Chains {
    arena: Vec<u64>,
    free: Vec<u32>,
    /// The first block of the arena that was never used. Block 0 stands for no block.
    unused: u32,
    /// For each segment to come, as a ring: where the next entry goes. At a block's border there is no room; 0 at first.
    ends: Vec<usize>,
}

/// The position in the ring of segments. It is small and copied, so that it stays in registers while the chains are written.
#[derive(Clone, Copy)]
struct Ring {
    now: usize,
    segment_bits: u32,
    /// How many segments there are from the current one to the last.
    left: usize,
}

impl Buckets {
    /// Makes buckets for at most `primes` primes up to `prime_max`, over `segments` segments of 2^`segment_bits` bytes. `spare`
    /// is the memory [left](Buckets::into_spare) of other buckets, or empty.
    pub(super) fn new(primes: usize, prime_max: u64, segments: usize, segment_bits: u32, spare: Vec<u64>) -> Self {
        assert!(segment_bits <= AT_BITS);
        // The widest gap on the wheel of 210 is 10, and a first hit is no farther from the segment's start.
        let reach = ((prime_max as usize / 30 + 1) * 11) >> segment_bits;
        let ring = (reach + 2).min(segments + 1).next_power_of_two();
        let blocks = if primes == 0 { 0 } else { primes / (BLOCK - 1) + ring + 3 };
        // The system gives zeroed pages only when they are first written, but an allocator that reuses memory zeroes all of
        // it. What the arena contains does not matter: entries are written before they are read.
        let arena = if spare.len() < blocks * BLOCK { vec![0; blocks * BLOCK] } else { spare };
        let chains = Chains { arena, free: Vec::new(), unused: 1, ends: vec![0; ring] };
        Buckets { chains, ring: Ring { now: 0, segment_bits, left: segments } }
    }

    /// Returns the memory, for other buckets to use.
    pub(super) fn into_spare(self) -> Vec<u64> {
        self.chains.arena
    }

    /// Takes in a prime at the segment that starts with `low`.
    #[inline]
    pub(super) fn add(&mut self, prime: u64, low: u64) {
        let (at, state) = first_hit_210(prime, low);
        let entry = (prime / 30) << 32 | u64::from(state) << AT_BITS;
        let Chains { arena, free, unused, ends } = &mut self.chains;
        put(arena, ends, (free, unused), self.ring, entry, at as usize);
    }

    /// Strikes all hits in the segment and goes on to the next.
    pub(super) fn strike(&mut self, segment: &mut [u8]) {
        let ring = self.ring;
        let Chains { arena, free, unused, ends } = &mut self.chains;
        let (arena, ends) = (&mut arena[..], &mut ends[..]);
        // Primes that hit the segment again come back into its bucket.
        while let end @ 1.. = std::mem::take(&mut ends[ring.now]) {
            let (mut block, mut length) = ((end - 1) / BLOCK, (end - 1) % BLOCK + 1);
            while block != 0 {
                for place in block * BLOCK + 1..block * BLOCK + length {
                    let entry = arena[place];
                    let at = entry as usize % SEGMENT_BYTES_MAX;
                    let step = STEPS[(entry >> AT_BITS) as usize % STEPS.len()];
                    segment[at] &= step.mask;
                    let a = entry >> 32;
                    let next = at + a as usize * usize::from(step.gap) + usize::from(step.carry);
                    let entry = a << 32 | u64::from(step.next) << AT_BITS;
                    put(arena, ends, (free, unused), ring, entry, next);
                }
                free.push(block as u32);
                (block, length) = (arena[block * BLOCK] as usize, BLOCK);
            }
        }
        self.ring.now = (ring.now + 1) & (ends.len() - 1);
        self.ring.left -= 1;
    }
}

/// Adds an entry, whose place is still 0, to the bucket of the segment that is `at` bytes after the current segment's start.
#[inline(always)]
fn put(arena: &mut [u64], ends: &mut [usize], blocks: (&mut Vec<u32>, &mut u32), ring: Ring, entry: u64, at: usize) {
    let ahead = at >> ring.segment_bits;
    if ahead >= ring.left {
        return;
    }
    let place = at & ((1 << ring.segment_bits) - 1);
    let bucket = (ring.now + ahead) & (ends.len() - 1);
    let end = &mut ends[bucket];
    if end.is_multiple_of(BLOCK) {
        *end = lengthen(arena, blocks, *end);
    }
    arena[*end] = entry | place as u64;
    *end += 1;
}

/// Chains a new block to the one that ends at `end`, and returns where its first entry goes.
#[cold]
#[inline(never)]
fn lengthen(arena: &mut [u64], (free, unused): (&mut Vec<u32>, &mut u32), end: usize) -> usize {
    let block = free.pop().unwrap_or_else(|| {
        *unused += 1;
        *unused - 1
    }) as usize;
    // `end` is the border after the full block, or 0.
    arena[block * BLOCK] = (end / BLOCK).saturating_sub(1) as u64;
    block * BLOCK + 1
}
