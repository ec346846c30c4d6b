//! AWS's limits, as far as the host enforces them, and the bounds that are our own. Limits that others need too are in
//! `kinglet_core::limits`.
//!
//! Sources, read in November 2026: *Lambda quotas*
//! (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>), *Lambda execution environment lifecycle*
//! (<https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>), *Configure Lambda function memory*
//! (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>) and *How Lambda handles errors and retries
//! with asynchronous invocation*
//! (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>).

use std::time::Duration;

/// Largest request and response of a synchronous invocation. The quotas page says 6 MB; the service's own error
/// message, `Response payload size exceeded maximum allowed payload size (6291556 bytes)`, has these 100 bytes more.
pub const SYNC_PAYLOAD_BYTES_MAX: usize = kinglet_core::limits::INVOKE_SYNC_BYTES_MAX;
/// Largest request of an `Event` invocation (Lambda quotas: 1 MB since October 2025, 256 KB before).
pub const EVENT_PAYLOAD_BYTES_MAX: usize = kinglet_core::limits::INVOKE_ASYNC_BYTES_MAX;
/// The last bytes of the log that `X-Amz-Log-Type: Tail` returns (API reference, *Invoke*).
pub const LOG_TAIL_BYTES_MAX: usize = 4 * 1024;
/// The init phase of an on-demand function (execution environment lifecycle: 10 seconds).
pub const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest function timeout (Lambda quotas: 900 seconds).
pub const TIMEOUT_MAX: Duration = Duration::from_millis(kinglet_core::limits::FUNCTION_TIMEOUT_MS_MAX);
/// Memory that a function can have, in MB (Lambda quotas: 128 MB to 10,240 MB).
pub const MEMORY_MB: std::ops::RangeInclusive<u32> = 128..=kinglet_core::limits::FUNCTION_MEMORY_MB_MAX;
/// Size that `/tmp` can have, in MB (Lambda quotas: 512 MB to 10,240 MB).
pub const TMP_MB: std::ops::RangeInclusive<u32> = 512..=10_240;
/// Memory that comes with one whole vCPU (Configure Lambda function memory: 1,769 MB).
pub const MEMORY_MB_PER_VCPU: u64 = kinglet_core::limits::MEMORY_MB_PER_VCPU as u64;
/// Waits before the two retries of a failed `Event` (asynchronous invocation: one minute, then two minutes).
pub const ASYNC_RETRY_DELAYS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// Events that may wait in the host. Lambda's own queue has no stated length; ours must have one.
pub(super) const QUEUE_MAX: usize = 200_000;
/// Reports kept in memory, the oldest dropped first; a subscriber sees them all.
pub(super) const REPORTS_MAX: usize = 100_000;
/// Failure records kept in memory, the oldest dropped first; the file has them all.
pub(super) const FAILURES_MAX: usize = 10_000;
/// Bytes one environment may log to its file before the rest is dropped, with a note.
pub(super) const LOG_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How much of a body that is too large is read and thrown away, so that its sender gets to see our answer.
pub(super) const DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How often the memory of busy workers is sampled.
pub(super) const MEMORY_SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// How old a sample may be at the end of a run before another is taken.
pub(super) const MEMORY_SAMPLE_STALE: Duration = Duration::from_millis(10);
/// How long a killed process may take to be gone before we go on without it.
pub(super) const KILL_WAIT_MAX: Duration = Duration::from_secs(5);
/// Dead warm environments that one invocation may meet before it is given a fresh one.
pub(super) const WARM_TRIES_MAX: u32 = 8;
/// Kinds of warning that are kept.
pub(super) const WARNINGS_MAX: usize = 100;
