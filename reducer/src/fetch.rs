//! How many of a partition's runs are open at once.

/// What an open run holds at most, about: its block, raw and stored, and the blocks that wait.
const RUN_MEMORY_BYTES: usize = 1 << 20;

/// How many runs may be open at once in so much memory.
pub(crate) fn fan_in_max(memory_mb: u32) -> usize {
    ((memory_mb as usize) << 20) / 2 / RUN_MEMORY_BYTES
}
