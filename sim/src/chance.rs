//! Chance, from a seed: each subject has numbers of its own, so that one more draw for one changes nothing for another.

use kinglet_core::model::Latency;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A stream of numbers (SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug)]
pub struct Chance(AtomicU64);

/// Mixes a number into another that looks unrelated.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Returns the hash of a text (FNV-1a, 64 bits).
pub fn hash(text: &[u8]) -> u64 {
    extend(0xcbf2_9ce4_8422_2325, text)
}

/// Extends a hash by more text.
pub fn extend(hash: u64, text: &[u8]) -> u64 {
    text.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

impl Chance {
    /// Returns the numbers of one subject under a seed.
    pub fn of(seed: u64, subject: &str) -> Self {
        Chance(AtomicU64::new(mix(seed ^ hash(subject.as_bytes()))))
    }

    /// Returns the next number.
    pub fn next(&self) -> u64 {
        let step = 0x9E37_79B9_7F4A_7C15u64;
        mix(self.0.fetch_add(step, Ordering::Relaxed).wrapping_add(step))
    }

    /// Returns a number from `least` to `most`, both included.
    pub fn between(&self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// Returns whether something happens that does so `ppm` times in a million.
    pub fn hits(&self, ppm: u64) -> bool {
        self.next() % 1_000_000 < ppm
    }

    /// Returns one of the choices.
    pub fn pick<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[(self.next() % choices.len() as u64) as usize]
    }

    /// Returns a number from 0 to 1, 1 excluded.
    fn unit(&self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns how long something takes this time. The logarithm of the time is normally distributed, as those of services
    /// nearly are.
    pub fn latency(&self, latency: Latency) -> Duration {
        let (median_us, p99_us) = (latency.median_us as f64, latency.p99_us as f64);
        // The sum of twelve uniform numbers is close to a normal one.
        let normal = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        let sigma = (p99_us / median_us).ln() / 2.326;
        Duration::from_micros((median_us * (sigma * normal).exp()) as u64)
    }
}
