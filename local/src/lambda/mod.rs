//! A small AWS Lambda on loopback, inside the driver's process.
//!
//! It speaks Lambda's Invoke API to the SDK and the Lambda Runtime API to worker processes, so the very binaries that are
//! deployed run here, and the driver takes the same path as on AWS: the same requests, limits, error codes and retries.
//!
//! An invocation comes in by `invoke_api`, is admitted by the `pool` or queued there, and `run` makes an `attempt` of it in
//! an `environment`, warm or one that `launch` starts, which hands it to its process through the `runtime_api`. What comes
//! of it is a `report`.
//!
//! | as on Lambda | not so |
//! |---|---|
//! | one invocation at a time in an environment, which is reused with its `/tmp` (here `TMPDIR`) | the processes share the machine, its network and its files |
//! | init phase, timeout, memory limit (sampled, if asked for), crash, with Lambda's error documents | an init phase that times out fails the invocation; Lambda tries once more |
//! | concurrency of the account and of a function; 429 for a caller, a queue for events | one account, one version (`$LATEST`), no rate of new environments |
//! | two retries of a failed event, then an on-failure record | events are kept in memory, without Lambda's limit of six hours |
//! | payload limits, log tail, `REPORT` lines, billed duration | `/tmp` has no enforced size; signatures are not verified |
//!
//! Whatever goes wrong outside becomes an error document or a warning; nothing here panics on it. This module calls a unit of
//! work an *invocation*, as Lambda does: it knows nothing of jobs and tasks.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod attempt;
mod cpu;
mod environment;
pub mod faults;
mod host;
mod http;
mod invocation;
mod invoke_api;
mod launch;
pub mod limits;
mod lock;
mod logs;
mod messages;
mod options;
mod pool;
mod process;
mod reaper;
mod refusals;
mod report;
mod run;
mod runtime_api;
mod shared;
#[cfg(test)]
mod tests;

pub use faults::{Fault, FaultCount, FaultPlan, FaultRule, When};
pub use host::Host;
pub use options::{CpuShare, Function, HostError, HostOptions};
pub use report::{FailureRecord, InvocationError, InvocationReport, RequestContext, ResponseContext};

/// Checks that an environment can be given Lambda's CPU share here: makes a control group and removes it again.
///
/// # Errors
/// Says in words why not.
pub fn check_cpu_share() -> Result<(), String> {
    // No environment has this number: they are counted from one.
    cpu::CpuGroups::find()?.create(0, kinglet_core::limits::MEMORY_MB_PER_VCPU).map(|group| group.remove())
}
