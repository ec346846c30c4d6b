//! The numbers of the simulation that are not AWS's: those are in [`kinglet_core::model`].

/// How many bytes a second a function takes from S3 and works on.
pub const BYTES_PER_S: u64 = 40 << 20;

/// How long a sender waits before it knows that a connection is broken, in milliseconds.
pub const BROKEN_MS: u64 = 200;

/// How often the stack's schedule sweeps, in milliseconds, as `template.yaml` has it.
pub const SWEEP_MS: u64 = 60_000;
