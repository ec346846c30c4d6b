//! Processes and their memory, as `/proc` tells; where there is none, nothing is measured.

use rustix::process::{Pid, Signal, WaitOptions};
use std::fs;
use std::path::PathBuf;

/// The resident memory of a process in bytes, without the pages of files: the kernel takes those back where it needs them.
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kb = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Some(kb("VmRSS")?.saturating_sub(kb("RssFile").unwrap_or(0)) << 10)
}

/// What a process runs.
pub(super) fn executable(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Lets the kernel end this process first when memory runs out, and not the one that watches it.
pub(super) fn end_first(pid: u32) {
    // Where that cannot be said, the other measures stand.
    let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), "1000");
}

/// How many processes of a program are looked at at once.
const DESCENDANTS_MAX: usize = 256;

/// These processes and those that they started.
pub(super) fn tree(mut pids: Vec<u32>) -> Vec<u32> {
    let mut next = 0;
    while next < pids.len().min(DESCENDANTS_MAX) {
        pids.extend(children(pids[next]));
        next += 1;
    }
    pids
}

/// The processes that a process has started, or adopted.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_ascii_whitespace().flat_map(str::parse).collect::<Vec<u32>>()).collect()
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
