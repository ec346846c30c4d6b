//! The wheel: which numbers have a bit, and how a prime walks over them.
//!
//! ```text
//! byte k  │ bit 0 │ bit 1 │ bit 2  │ bit 3  │ bit 4  │ bit 5  │ bit 6  │ bit 7  │
//!         │ 30k+1 │ 30k+7 │ 30k+11 │ 30k+13 │ 30k+17 │ 30k+19 │ 30k+23 │ 30k+29 │
//! ```
//!
//! The eight residues of 30 that are coprime to it have a bit each; multiples of 2, 3 and 5 have none. A byte's number is its
//! first number divided by 30, so all of `u64` has byte numbers below 2^60, and positions never overflow.
//!
//! A prime p = 30a + r hits the numbers p·q with q coprime to the wheel. From one q to the next, q + g, the byte number grows
//! by a·g + ⌊(p·q mod 30 + r·g) / 30⌋, and the bit depends only on r and q mod 30, so a small table holds all of it.

/// The residues of 30 that have a bit, by bit.
pub(super) const RESIDUES: [u8; 8] = [1, 7, 11, 13, 17, 19, 23, 29];

/// The bit of each residue; 8 if it has none.
pub(super) const BIT: [u8; 30] = {
    let mut bit = [8; 30];
    let mut n = 0;
    while n < 8 {
        bit[RESIDUES[n] as usize] = n as u8;
        n += 1;
    }
    bit
};

/// Returns the mask that clears the bit of `number`.
pub(super) const fn mask(number: usize) -> u8 {
    !(1 << BIT[number % 30])
}

/// One round of a prime of class `i` (p = 30a + RESIDUES[i]) over the wheel of 30, from q ≡ 1: its eight hits lie at the
/// bytes `a * (RESIDUES[j] - 1) + CARRY[i][j]` after the first, and clear the bits with `MASK[i][j]`.
pub(super) const CARRY: [[usize; 8]; 8] = {
    let mut carry = [[0; 8]; 8];
    let mut i = 0;
    while i < 8 {
        let mut j = 0;
        while j < 8 {
            carry[i][j] = RESIDUES[i] as usize * RESIDUES[j] as usize / 30;
            j += 1;
        }
        i += 1;
    }
    carry
};

/// See [`CARRY`].
pub(super) const MASK: [[u8; 8]; 8] = {
    let mut masks = [[0; 8]; 8];
    let mut i = 0;
    while i < 8 {
        let mut j = 0;
        while j < 8 {
            masks[i][j] = mask(RESIDUES[i] as usize * RESIDUES[j] as usize);
            j += 1;
        }
        i += 1;
    }
    masks
};

/// One hit of a larger prime on the wheel of 210, which also leaves out the multiples of 7, and the way to the next hit.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// The state after the hit.
    pub(super) next: u16,
    /// The mask that clears the bit.
    pub(super) mask: u8,
    /// The next hit is `a * gap + carry` bytes away.
    pub(super) gap: u8,
    /// See `gap`.
    pub(super) carry: u8,
}

/// The bits of a state, which is `48 * class of p + place of q among the 48 residues`. The table is filled up to 2^9 entries,
/// so that any nine bits are an index.
pub(super) const STATE_BITS: u32 = 9;

/// The steps, by state.
pub(super) static STEPS: [Step; 1 << STATE_BITS] = {
    let mut steps = [Step { next: 0, mask: 0xff, gap: 0, carry: 0 }; 1 << STATE_BITS];
    let mut i = 0;
    while i < 8 {
        let r = RESIDUES[i] as usize;
        let (mut j, mut q) = (0, 1);
        while j < 48 {
            let gap = to_coprime_210(q + 1) + 1;
            let low = r * q % 30;
            steps[48 * i + j] = Step {
                next: (48 * i + (j + 1) % 48) as u16,
                mask: mask(low),
                gap: gap as u8,
                carry: ((low + r * gap) / 30) as u8,
            };
            q += gap;
            j += 1;
        }
        i += 1;
    }
    steps
};

/// For each residue of 210, how far it is to the next one that is coprime to 210, and the place of that one among the 48.
pub(super) static NEXT_210: [(u8, u8); 210] = {
    let mut next = [(0, 0); 210];
    let (mut place, mut q) = (0, 0);
    while q < 210 {
        let far = to_coprime_210(q);
        next[q] = (far as u8, place % 48);
        if far == 0 {
            place += 1;
        }
        q += 1;
    }
    next
};

const fn to_coprime_210(from: usize) -> usize {
    let mut n = from;
    while n.is_multiple_of(2) || n.is_multiple_of(3) || n.is_multiple_of(5) || n.is_multiple_of(7) {
        n += 1;
    }
    n - from
}

/// Finds the first multiple of `prime` at or after `low` (a multiple of 30) whose cofactor is not below the prime itself.
/// Returns the cofactor, and how far after `low` the multiple lies. It is exact up to the top of `u64` and one step beyond.
#[inline]
pub(super) fn first_multiple(prime: u64, low: u64) -> (u64, u64) {
    let cofactor = low.div_ceil(prime).max(prime);
    (cofactor, cofactor.wrapping_mul(prime).wrapping_sub(low))
}

/// Returns where a prime first hits on the wheel of 210: how many bytes after `low`, and the state.
#[inline]
pub(super) fn first_hit_210(prime: u64, low: u64) -> (u64, u16) {
    let (cofactor, behind) = first_multiple(prime, low);
    let (far, place) = NEXT_210[(cofactor % 210) as usize];
    let class = u16::from(BIT[(prime % 30) as usize]);
    ((behind + prime * u64::from(far)) / 30, 48 * class + u16::from(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_meets_every_multiple_that_is_coprime_to_the_wheel() {
        for prime in [211_u64, 223, 227, 229, 233, 239, 241, 251, 9_973, 4_294_967_291] {
            for low in [0, 30, 30 * 123_456_789, u64::MAX / 30 * 30 - 30 * 1_000_000_000] {
                let (mut byte, mut state) = first_hit_210(prime, low);
                let mut cofactor = u128::from(low.div_ceil(prime).max(prime));
                for _ in 0..100 {
                    cofactor = (cofactor..).find(|q| [2, 3, 5, 7].iter().all(|f| !q.is_multiple_of(*f))).unwrap();
                    let number = u128::from(prime) * cofactor;
                    let step = STEPS[usize::from(state)];
                    assert_eq!(u128::from(low / 30 + byte), number / 30, "{prime} {low}");
                    assert_eq!(step.mask, mask((number % 30) as usize));
                    byte += prime / 30 * u64::from(step.gap) + u64::from(step.carry);
                    state = step.next;
                    cofactor += 1;
                }
            }
        }
    }
}
