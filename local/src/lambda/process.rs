//! Processes from outside: how much memory they use, how they ended, and signals to them.
//!
//! Memory is that of the worker and of the children that it may have started; without `/proc`, nothing is measured. Limits
//! apply to the memory without file pages.

use kinglet_core::process;
use rustix::process::{Pid, Signal};
use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

/// The most descendants in one sample.
const DESCENDANTS_MAX: usize = 64;

/// Memory in KB.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    pub(super) all_kb: u64,
    /// Without file pages.
    pub(super) bound_kb: u64,
}

/// Returns the peak resident memory of a process, or what it and its descendants use together now, if that is more.
pub(super) fn memory(pid: u32) -> Option<Memory> {
    let now = process::resident(pid)?;
    let descendants = process::tree(process::children(pid), DESCENDANTS_MAX);
    let mut together = Memory { all_kb: now.all_kb, bound_kb: now.bound_kb };
    for its in descendants.into_iter().take(DESCENDANTS_MAX).filter_map(process::resident) {
        together.all_kb += its.all_kb;
        together.bound_kb += its.bound_kb;
    }
    let of_files_kb = now.all_kb - now.bound_kb;
    Some(Memory {
        all_kb: now.peak_kb.max(together.all_kb),
        bound_kb: now.peak_kb.saturating_sub(of_files_kb).max(together.bound_kb),
    })
}

/// Signals a worker's process group: the worker leads it, and whatever the worker started is in it.
pub(super) fn signal_group(pid: u32, signal: Signal) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    // The group may be gone already, which is as good.
    let _ = rustix::process::kill_process_group(pid, signal);
}

/// Returns how a process ended, in the words of Lambda's messages; `None` for a successful exit.
pub(super) fn describe_exit(status: ExitStatus) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit status {code}")),
        (None, Some(signal)) => Some(format!("signal: {}", signal_name(signal))),
        (None, None) => Some("unknown status".into()),
    }
}

/// Returns the name as the Go library prints it; Lambda's own supervisor is written in Go.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        6 => "aborted",
        8 => "floating point exception",
        9 => "killed",
        11 => "segmentation fault",
        13 => "broken pipe",
        15 => "terminated",
        other => return format!("signal {other}"),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_described_as_lambda_does() {
        assert_eq!(describe_exit(ExitStatus::from_raw(0)), None);
        assert_eq!(describe_exit(ExitStatus::from_raw(3 << 8)).unwrap(), "exit status 3");
        assert_eq!(describe_exit(ExitStatus::from_raw(9)).unwrap(), "signal: killed");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_counts_the_peak() {
        let before = memory(std::process::id()).unwrap();
        let block = vec![1u8; 64 << 20];
        std::hint::black_box(&block);
        drop(block);
        let after = memory(std::process::id()).unwrap();
        assert!(after.all_kb >= before.all_kb && after.bound_kb >= 64 << 10, "{before:?}, then {after:?}");
        assert!(after.bound_kb < after.all_kb, "this program is a file: {after:?}");
    }
}
