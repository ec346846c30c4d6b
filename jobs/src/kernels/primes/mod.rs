//! Primes in a range: how many, their sum, or all of them, up to 2^64 − 1.
//!
//! A segmented sieve of Eratosthenes, with eight bits for thirty numbers (`wheel.rs` draws them). How a prime strikes its
//! multiples depends on how often it hits a segment: by patterns for the smallest (`pattern.rs`), in rounds without branches
//! (`rounds.rs`), in single steps (`steps.rs`), or from buckets if it skips most segments (`buckets.rs`). The methods are of
//! Kim Walisch's primesieve (<https://github.com/kimwalisch/primesieve/blob/master/doc/ALGORITHMS.md>) and Tomás Oliveira e
//! Silva (<http://sweet.ua.pt/tos/software/prime_sieve.html>); `bench/README.md` compares its figures with primesieve's.
//!
//! Ranges are inclusive at both ends, so that a range can contain the largest `u64`. They are cut into stretches, each of which
//! one thread sieves, and the result does not depend on the cuts.
//!
//! Why not a library: the crate `primal` works on one thread and always begins at 0, so it can neither share the work nor sieve
//! a range high up. It counts the primes up to 10^9 in 0.12 s, and this sieve on one thread in 0.053 s (medians of five runs in
//! turns on a quiet machine, primal-sieve 0.3.7, AMD EPYC with 2 cores, 2026-11-21). In the tests both must agree. primesieve
//! is C++, and every function would have to carry it.
//!
//! Memory, for a range that ends at b: a bit for 3.75 numbers up to √b (143 MB at the top of `u64`), and for each thread about
//! 1 MB plus 8 bytes for each prime up to √b that hits the thread's stretch: 0.4 GB near 10^18, 1.6 GB at the top of `u64`, and
//! proportionally less for a stretch that is short compared to √b.

mod bootstrap;
mod buckets;
mod pattern;
mod read;
mod rounds;
mod seeds;
mod segments;
mod steps;
#[cfg(test)]
mod tests;
mod wheel;

use bootstrap::seeds_up_to;
use kinglet_core::{Code, Error, Result};
use rayon::prelude::*;
use segments::{Segments, WAYS, chunks};
use wheel::RESIDUES;

/// Returns how many primes p have `from` ≤ p ≤ `to`.
///
/// ```
/// assert_eq!(kinglet_jobs::kernels::primes::count(0, 1_000_000)?, 78_498);
/// # Ok::<(), kinglet_core::Error>(())
/// ```
///
/// # Errors
/// Returns [`Error::Input`] (`range-reversed`) when `from` is greater than `to`.
pub fn count(from: u64, to: u64) -> Result<u64> {
    let counted = each(from, to, 0, |_, bits, sum| *sum += read::count(bits))?;
    Ok(counted.into_iter().sum::<u64>() + without_bit(from, to).count() as u64)
}

/// Returns the sum of the primes p with `from` ≤ p ≤ `to`.
///
/// # Errors
/// As [`count`].
pub fn sum(from: u64, to: u64) -> Result<u128> {
    let summed = each(from, to, 0, |base, bits, sum| *sum += read::sum(base, bits))?;
    Ok(summed.into_iter().sum::<u128>() + without_bit(from, to).map(u128::from).sum::<u128>())
}

/// Returns the primes p with `from` ≤ p ≤ `to`, in order. They take 8 bytes each, and twice that for a moment on several
/// threads. Use [`for_each_slice`] for more primes than fit into memory.
///
/// # Errors
/// As [`count`].
pub fn list(from: u64, to: u64) -> Result<Vec<u64>> {
    let mut listed = each(from, to, Vec::new(), read::list)?;
    if listed.len() == 1 && from > 5 {
        return Ok(listed.swap_remove(0));
    }
    let mut all = Vec::with_capacity(3 + listed.iter().map(Vec::len).sum::<usize>());
    all.extend(without_bit(from, to));
    listed.iter().for_each(|part| all.extend_from_slice(part));
    Ok(all)
}

/// Calls `each` with all primes p with `from` ≤ p ≤ `to`, some hundred thousand at a time, so that a range of any length takes
/// little memory: a bit for 3.75 numbers up to √`to`, and for each thread some 10 MB up to 10^15, 0.4 GB at the top of `u64`.
/// The primes of a slice are in order. On several threads the slices are not, as each thread goes through a stretch of 250
/// million numbers and the slices of different stretches alternate.
///
/// ```
/// use kinglet_jobs::kernels::primes::for_each_slice;
/// let mut ending_in_7 = 0;
/// for_each_slice(0, 1_000_000, |primes| {
///     ending_in_7 += primes.iter().filter(|prime| **prime % 10 == 7).count();
///     Ok::<(), kinglet_core::Error>(())
/// })?;
/// assert_eq!(ending_in_7, 19_621);
/// # Ok::<(), kinglet_core::Error>(())
/// ```
///
/// # Errors
/// Returns the first error of `each`, or the error of [`count`].
pub fn for_each_slice<E: From<Error>>(
    from: u64,
    to: u64,
    mut each: impl FnMut(&[u64]) -> Result<(), E>,
) -> Result<(), E> {
    check(from, to)?;
    let (first, end) = (from / 30, to / 30 + 1);
    let seeds = seeds_up_to(to.isqrt());
    let small: Vec<u64> = without_bit(from, to).collect();
    if !small.is_empty() {
        each(&small)?;
    }
    let mut spare = Vec::new();
    let piece_bytes = LISTED_BYTES * rayon::current_num_threads() as u64;
    for first in (first..end).step_by(piece_bytes as usize) {
        let end = end.min(first + piece_bytes);
        let length = chunks(first, end, 1);
        let starts: Vec<u64> = (first..end).step_by(length as usize).collect();
        spare.resize_with(starts.len(), Vec::new);
        let begin = |(&base, spare)| (Segments::with_spare(&seeds, base, end.min(base + length), spare), Vec::new());
        let mut ways: Vec<(Segments<'_>, Vec<u64>)> = starts.par_iter().zip(spare.par_drain(..)).map(begin).collect();
        loop {
            ways.par_iter_mut().for_each(|(segments, slice)| {
                while slice.len() < SLICE
                    && let Some((at, bits)) = segments.next()
                {
                    clip(from, to, at, bits);
                    read::list(at, bits, slice);
                }
            });
            if ways.iter().all(|(_, slice)| slice.is_empty()) {
                break;
            }
            for (_, slice) in ways.iter_mut().filter(|(_, slice)| !slice.is_empty()) {
                each(slice)?;
                slice.clear();
            }
        }
        spare.extend(ways.into_iter().map(|(segments, _)| segments.into_spare()));
    }
    Ok(())
}

/// The length of a thread's stretch when primes are listed, in bytes of the sieve: 250 million numbers. It is so short that few
/// of the largest sieving primes hit it and lie in its buckets; but each stretch costs a look at all sieving primes.
const LISTED_BYTES: u64 = 1 << 23;

/// The number of primes from which a slice is full (2 MB). The segment that fills it may add another million primes.
const SLICE: usize = 1 << 18;

/// Checks that a range does not end before it begins.
///
/// # Errors
/// Returns [`Error::Input`] (`range-reversed`) when `from` is greater than `to`.
pub fn check(from: u64, to: u64) -> Result<()> {
    if from <= to {
        return Ok(());
    }
    Err(Error::new(Code::RangeReversed, format!("the range from {from} to {to} ends before it begins"))
        .with_hint("both ends are in the range: the first is the smaller"))
}

/// Returns the primes of the range that have no bit on the wheel: 2, 3 and 5.
fn without_bit(from: u64, to: u64) -> impl Iterator<Item = u64> {
    [2, 3, 5].into_iter().filter(move |prime| (from..=to).contains(prime))
}

/// Sieves the range in stretches, and folds the segments of each into a value that begins as `start`. Returns the values in
/// order.
fn each<T: Clone + Send + Sync>(
    from: u64,
    to: u64,
    start: T,
    fold: impl Fn(u64, &[u8], &mut T) + Sync,
) -> Result<Vec<T>> {
    check(from, to)?;
    let (first, end) = (from / 30, to / 30 + 1);
    let seeds = seeds_up_to(to.isqrt());
    let length = chunks(first, end, WAYS);
    let starts: Vec<u64> = (first..end).step_by(length as usize).collect();
    let folded = starts.par_iter().map(|&base| {
        let mut value = start.clone();
        Segments::new(&seeds, base, end.min(base + length)).run(&mut |at, bits| {
            clip(from, to, at, bits);
            fold(at, bits, &mut value);
        });
        value
    });
    Ok(folded.collect())
}

/// Clears the bits of a segment that lie in the range's first or last byte but not in the range.
fn clip(from: u64, to: u64, at: u64, bits: &mut [u8]) {
    if at == from / 30 {
        bits[0] &= kept(|residue| residue >= from % 30);
    }
    let last = bits.len() - 1;
    if at + last as u64 == to / 30 {
        bits[last] &= kept(|residue| residue <= to % 30);
    }
}

/// Returns the bits of a byte whose residues are wanted.
fn kept(wanted: impl Fn(u64) -> bool) -> u8 {
    RESIDUES.iter().enumerate().map(|(bit, &residue)| u8::from(wanted(u64::from(residue))) << bit).sum()
}
