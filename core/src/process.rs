//! Other processes, as Linux's `/proc` shows them. On a system without `/proc` nothing is known of them.

use std::fs;

/// The resident memory of a process, in KB.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    /// All of it.
    pub all_kb: u64,
    /// Without the pages of files, which the kernel takes back when it needs memory.
    pub bound_kb: u64,
    /// The peak, as the kernel counts it: unlike a poll, it misses nothing.
    pub peak_kb: u64,
}

/// Returns the resident memory of a process, if the process exists.
pub fn resident(pid: u32) -> Option<Resident> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kb = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let all_kb = kb("VmRSS")?;
    let bound_kb = all_kb.saturating_sub(kb("RssFile").unwrap_or(0));
    Some(Resident { all_kb, bound_kb, peak_kb: kb("VmHWM").unwrap_or(all_kb) })
}

/// Returns the processes that a process has started or adopted.
pub fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_ascii_whitespace().flat_map(str::parse).collect::<Vec<u32>>()).collect()
}

/// Returns these processes and all that they started, directly or not. It looks for the children of the first
/// `looked_at_max` processes only.
pub fn tree(mut pids: Vec<u32>, looked_at_max: usize) -> Vec<u32> {
    let mut next = 0;
    while next < pids.len().min(looked_at_max) {
        pids.extend(children(pids[next]));
        next += 1;
    }
    pids
}
