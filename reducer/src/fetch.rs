//! How many of a partition's runs are open at once.

use kinglet_core::budget::{OPEN_RUN_BYTES, OPEN_RUNS_PERCENT, memory_bytes};

/// Returns how many runs may be open at once with this much memory.
pub(crate) fn fan_in_max(memory_mb: u32) -> usize {
    (memory_bytes(memory_mb, OPEN_RUNS_PERCENT) / OPEN_RUN_BYTES) as usize
}
