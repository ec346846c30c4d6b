//! Reading a sieved segment: how many bits are set, the sum of their numbers, and the numbers themselves.

use super::wheel::RESIDUES;

/// Returns the number of bit `bit` of a word of eight bytes, relative to the word's first number.
#[inline]
pub(super) fn place(bit: u32) -> u64 {
    const PLACES: [u8; 64] = {
        let mut places = [0; 64];
        let mut bit = 0;
        while bit < 64 {
            places[bit] = (bit / 8 * 30) as u8 + RESIDUES[bit % 8];
            bit += 1;
        }
        places
    };
    u64::from(PLACES[(bit % 64) as usize])
}

fn words(bits: &[u8]) -> (impl Iterator<Item = u64>, u64) {
    let (whole, rest) = bits.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    (whole.iter().map(|word| u64::from_le_bytes(*word)), u64::from_le_bytes(last))
}

/// Returns how many bits are set. In a build for every x86-64, which cannot use `popcnt`, the compiler makes vector code of it.
pub(super) fn count(bits: &[u8]) -> u64 {
    let (whole, last) = words(bits);
    whole.map(|word| u64::from(word.count_ones())).sum::<u64>() + u64::from(last.count_ones())
}

/// Returns the sum of the numbers whose bits are set.
pub(super) fn sum(base: u64, bits: &[u8]) -> u128 {
    /// For each byte, how many bits are set, and the sum of their residues.
    const BYTES: [(u16, u16); 256] = {
        let mut table = [(0, 0); 256];
        let mut byte = 0;
        while byte < 256 {
            let mut bit = 0;
            while bit < 8 {
                if byte >> bit & 1 == 1 {
                    table[byte].0 += 1;
                    table[byte].1 += RESIDUES[bit] as u16;
                }
                bit += 1;
            }
            byte += 1;
        }
        table
    };
    let (mut count, mut places, mut residues) = (0_u64, 0_u64, 0_u64);
    for (k, byte) in (0_u64..).zip(bits) {
        let (ones, sum) = BYTES[usize::from(*byte)];
        count += u64::from(ones);
        places += k * u64::from(ones);
        residues += u64::from(sum);
    }
    u128::from(base) * 30 * u128::from(count) + u128::from(places) * 30 + u128::from(residues)
}

/// Appends the numbers whose bits are set.
pub(super) fn list(base: u64, bits: &[u8], out: &mut Vec<u64>) {
    let mut first = base * 30;
    let (whole, last) = words(bits);
    out.reserve(count(bits) as usize);
    for mut word in whole.chain([last]) {
        while word != 0 {
            // This does not overflow: a bit that is set stands for a prime in the range.
            out.push(first + place(word.trailing_zeros()));
            word &= word - 1;
        }
        first = first.wrapping_add(240);
    }
}
