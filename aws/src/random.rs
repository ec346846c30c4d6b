//! Random numbers that tell things apart. None is a secret.
//!
//! Each thread has a generator of its own, whose seed comes from the operating system. A simulation seeds it itself, so that
//! the same seed gives the same ids, tokens and pauses.

use std::cell::RefCell;
use std::hash::BuildHasher;

thread_local! {
    static NUMBERS: RefCell<fastrand::Rng> = RefCell::new(fastrand::Rng::with_seed(from_system()));
}

/// Returns a number by the keys that the standard library takes from the operating system for hash tables.
fn from_system() -> u64 {
    std::hash::RandomState::new().hash_one(std::process::id())
}

/// Makes the numbers that follow on this thread repeatable.
pub fn seed_thread(seed: u64) {
    NUMBERS.with_borrow_mut(|numbers| numbers.seed(seed));
}

/// Returns a number for [`kinglet_core::ids::AttemptId`], random enough to tell two executions of one try apart.
pub fn nonce() -> u32 {
    NUMBERS.with_borrow_mut(|numbers| numbers.u32(..))
}

/// Returns 16 random hexadecimal digits: what a writer recognises its own write by later, or a name that nothing else has.
pub fn token() -> String {
    format!("{:08x}{:08x}", nonce(), nonce())
}
