//! Random numbers that tell things apart. None is a secret.

/// Returns a number for [`kinglet_core::ids::AttemptId`], random enough to tell two executions of one try apart.
pub fn nonce() -> u32 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(std::process::id()) as u32
}

/// Returns 16 random hexadecimal digits, by which a writer recognises its own write later.
pub(crate) fn token() -> String {
    format!("{:08x}{:08x}", nonce(), nonce())
}
