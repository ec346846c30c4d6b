//! Steps, for primes with a few hits in a segment: one hit after the other, by the table of the wheel of 210.

use super::wheel::{STEPS, first_hit_210};

#[derive(Clone, Copy)]
struct Walker {
    /// The prime divided by 30, rounded down; the state knows the rest.
    a: u32,
    /// The byte of the next hit, from the segment's start.
    at: u32,
    state: u16,
}

/// The primes, in any order.
#[derive(Default)]
pub(super) struct Steps(Vec<Walker>);

impl Steps {
    /// Takes in a prime at the segment that starts with `low`.
    pub(super) fn add(&mut self, prime: u64, low: u64) {
        let (at, state) = first_hit_210(prime, low);
        self.0.push(Walker { a: (prime / 30) as u32, at: at as u32, state });
    }

    /// Strikes all hits in the segment and goes on to the next.
    pub(super) fn strike(&mut self, segment: &mut [u8]) {
        let bytes = segment.len();
        for walker in &mut self.0 {
            let (a, mut at, mut state) = (walker.a as usize, walker.at as usize, walker.state);
            while at < bytes {
                let step = STEPS[usize::from(state) % STEPS.len()];
                segment[at] &= step.mask;
                at += a * usize::from(step.gap) + usize::from(step.carry);
                state = step.next;
            }
            walker.at = (at - bytes) as u32;
            walker.state = state;
        }
    }
}
