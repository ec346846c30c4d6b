//! Makes the sieving primes: few by a plain sieve, more by the segments themselves, which then need only the sieving primes up to
//! the square root of the largest.

use super::seeds::Seeds;
use super::segments::{Segments, WAYS, chunks};
use super::wheel::{BIT, RESIDUES, mask};
use rayon::prelude::*;

/// The largest number up to which a plain sieve makes them.
const PLAIN_MAX: u64 = 1 << 12;

/// All primes up to `max`, which is below 2^32.
pub(super) fn seeds_up_to(max: u64) -> Seeds {
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
        let seeds = seeds_up_to(max.isqrt());
        let length = chunks(0, bytes as u64, WAYS);
        bits[..bytes].par_chunks_mut(length as usize).enumerate().for_each(|(n, out)| {
            let base = n as u64 * length;
            Segments::new(&seeds, base, base + out.len() as u64).run(&mut |at, segment| {
                out[(at - base) as usize..][..segment.len()].copy_from_slice(segment);
            });
        });
        bits[bytes..].fill(0);
    }
    Seeds::new(bits, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_meets_the_primes_behind_the_patterns() {
        let naive = |max: u64| (164..=max).filter(|&n| (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d)));
        for max in [0, 7, 166, 167, 168, 4_095, 4_096, 4_097, 70_000] {
            let seeds = seeds_up_to(max);
            let mut walk = seeds.walk();
            for prime in naive(max) {
                assert_eq!(walk.now(), prime, "up to {max}");
                walk.next();
            }
            assert_eq!(walk.now(), u64::MAX, "up to {max}");
        }
    }
}
