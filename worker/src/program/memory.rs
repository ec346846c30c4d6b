//! Acting on the processes of a program; [`kinglet_core::process`] observes them.

use rustix::process::{Pid, Signal, WaitOptions};
use std::fs;
use std::path::PathBuf;

/// Returns the executable that a process runs.
pub(super) fn executable(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Makes the kernel kill this process first when memory runs out, and not the worker that watches it.
pub(super) fn end_first(pid: u32) {
    // If the system refuses this, the other measures remain.
    let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), "1000");
}

/// Sets whether this process adopts processes whose parents end.
pub(super) fn adopt(adopts: bool) {
    // If the kernel refuses, such processes are left behind.
    let _ = rustix::process::set_child_subreaper(adopts.then(rustix::process::getpid));
}

/// Kills a process.
pub(super) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may be gone already, which is as good.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Reaps a child of this process that has ended; it stays in the system's table until then.
pub(super) fn reap(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may still run, or not be a child.
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
    }
}
