//! Memory of processes, as `/proc` tells; where there is none, nothing is measured.

use rustix::process::{Pid, Signal};
use std::fs;

/// The resident memory of a process in bytes.
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = pages.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Lets the kernel end this process first when memory runs out, and not the one that watches it.
pub(super) fn end_first(pid: u32) {
    // Where that cannot be said, the other measures stand.
    let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), "1000");
}

/// How many processes of a program are ended with it.
const DESCENDANTS_MAX: usize = 256;

/// A process and those that it started, itself first.
pub(super) fn tree(pid: u32) -> Vec<u32> {
    let mut pids = vec![pid];
    let mut next = 0;
    while next < pids.len().min(DESCENDANTS_MAX) {
        let threads = fs::read_dir(format!("/proc/{}/task", pids[next])).into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        pids.extend(lists.flat_map(|list| list.split_ascii_whitespace().flat_map(str::parse).collect::<Vec<u32>>()));
        next += 1;
    }
    pids
}

/// Ends a process.
pub(super) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may be gone already, which is as good.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}
