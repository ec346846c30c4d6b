//! Random numbers that keep things apart. Nothing here is a secret.

/// Makes a number for [`kinglet_core::ids::AttemptId`]: random enough to keep two executions of one try apart.
pub fn nonce() -> u32 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(std::process::id()) as u32
}

/// Makes 16 hexadecimal digits, by which whoever wrote something knows later that it was them.
pub(crate) fn token() -> String {
    format!("{:08x}{:08x}", nonce(), nonce())
}
