//! What is done to the processes of a program; [`kinglet_core::process`] looks at them.

use rustix::process::{Pid, Signal, WaitOptions};
use std::fs;
use std::path::PathBuf;

/// What a process runs.
pub(super) fn executable(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Lets the kernel end this process first when memory runs out, and not the one that watches it.
pub(super) fn end_first(pid: u32) {
    // Where that cannot be said, the other measures stand.
    let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), "1000");
}

/// Whether processes become this one's when those that started them end.
pub(super) fn adopt(adopts: bool) {
    // Where the kernel does not do that, they are left behind.
    let _ = rustix::process::set_child_subreaper(adopts.then(rustix::process::getpid));
}

/// Ends a process.
pub(super) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may be gone already, which is as good.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Takes note of the end of a child of this process, which stays in the system's table until then.
pub(super) fn reap(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may run still, or not be a child.
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
    }
}
