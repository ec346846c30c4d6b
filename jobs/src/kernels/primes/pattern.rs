//! Patterns, which strike the multiples of the smallest primes. The multiples of two to four primes repeat after as many bytes
//! as the product of the primes, so their bits are computed once in a process and laid over every segment, 16 bytes an
//! instruction.

use super::wheel::{RESIDUES, mask};
use std::sync::OnceLock;

/// The largest prime that is in a pattern.
pub(super) const PATTERN_MAX: u64 = 163;

/// The primes that share a pattern. Their products are of about the same, medium size, so that all patterns fit into a part of
/// the L2 cache.
const GROUPS: [&[usize]; 16] = [
    &[7, 11, 13, 17],
    &[19, 23, 29],
    &[31, 163],
    &[37, 157],
    &[41, 151],
    &[43, 149],
    &[47, 139],
    &[53, 137],
    &[59, 131],
    &[61, 127],
    &[67, 113],
    &[71, 109],
    &[73, 107],
    &[79, 103],
    &[83, 101],
    &[89, 97],
];

/// How many bytes are laid at a time. Each pattern goes on for this long after its period, so that no copy meets its end.
const STRETCH: usize = 2 << 10;

struct Pattern {
    period: u64,
    bytes: Vec<u8>,
}

/// All patterns.
pub(super) struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Returns the patterns, which are computed once in a process.
    pub(super) fn get() -> &'static Patterns {
        static PATTERNS: OnceLock<Patterns> = OnceLock::new();
        PATTERNS.get_or_init(|| Patterns(GROUPS.iter().map(|primes| Pattern::of(primes)).collect()))
    }

    /// Fills `segment`, whose first byte has the number `base`: a bit is set unless a prime of the patterns divides it.
    pub(super) fn fill(&self, base: u64, segment: &mut [u8]) {
        let mut at: Vec<usize> = self.0.iter().map(|pattern| (base % pattern.period) as usize).collect();
        for stretch in segment.chunks_mut(STRETCH) {
            let (first, rest) = (&self.0[..8], &self.0[8..]);
            lay::<true>(first, &at[..8], stretch);
            lay::<false>(rest, &at[8..], stretch);
            for (at, pattern) in at.iter_mut().zip(&self.0) {
                *at += STRETCH;
                let period = pattern.period as usize;
                while *at >= period {
                    *at -= period;
                }
            }
        }
        // The patterns strike the primes that they are made of, but not the 1.
        for &prime in GROUPS.iter().copied().flatten() {
            let byte = (prime as u64 / 30).checked_sub(base).and_then(|at| segment.get_mut(at as usize));
            byte.into_iter().for_each(|byte| *byte |= !mask(prime));
        }
        if let (0, Some(byte)) = (base, segment.first_mut()) {
            *byte &= mask(1);
        }
    }
}

/// Lays eight patterns over `out`: over the bits that are there, or, if `ANEW`, in place of them.
#[inline]
fn lay<const ANEW: bool>(patterns: &[Pattern], at: &[usize], out: &mut [u8]) {
    let n = out.len();
    let part = |k: usize| &patterns[k].bytes[at[k]..at[k] + n];
    let [a, b, c, d, e, f, g, h] = std::array::from_fn(part);
    for k in 0..n {
        let all = a[k] & b[k] & c[k] & d[k] & e[k] & f[k] & g[k] & h[k];
        if ANEW {
            out[k] = all;
        } else {
            out[k] &= all;
        }
    }
}

impl Pattern {
    fn of(primes: &[usize]) -> Pattern {
        let period: usize = primes.iter().product();
        let mut bytes = vec![0xff; period + STRETCH];
        for &prime in primes {
            for residue in RESIDUES {
                // p·q for q ≡ residue (mod 30): p bytes apart, always the same bit.
                let first = prime * usize::from(residue);
                bytes.iter_mut().skip(first / 30).step_by(prime).for_each(|byte| *byte &= mask(first));
            }
        }
        Pattern { period: period as u64, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_strike_the_multiples_of_their_primes_and_nothing_else() {
        for base in [0, 1, 17_016, 1_000_003, u64::MAX / 30 - 9_999] {
            let mut segment = vec![0; 9_000];
            Patterns::get().fill(base, &mut segment);
            for (k, byte) in segment.iter().enumerate() {
                for (bit, residue) in RESIDUES.iter().enumerate() {
                    let number = (base + k as u64) * 30 + u64::from(*residue);
                    let struck = GROUPS
                        .iter()
                        .copied()
                        .flatten()
                        .any(|&p| number.is_multiple_of(p as u64) && number != p as u64);
                    assert_eq!(byte >> bit & 1 == 0, struck || number == 1, "{number}");
                }
            }
        }
    }
}
