//! Other processes, as Linux's `/proc` tells; where there is none, nothing is known of them.

use std::fs;

/// The memory of a process that is resident, in KB.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    /// All of it.
    pub all_kb: u64,
    /// Of it, without the pages of files: those the kernel takes back where it needs them.
    pub bound_kb: u64,
    /// The most there ever was: the kernel's own figure, which does not miss what happens between two looks.
    pub peak_kb: u64,
}

/// The memory of a process, if it is there.
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

/// The processes that a process has started, or adopted.
pub fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_ascii_whitespace().flat_map(str::parse).collect::<Vec<u32>>()).collect()
}

/// These processes and those that they started, as far as so many have been looked at.
pub fn tree(mut pids: Vec<u32>, looked_at_max: usize) -> Vec<u32> {
    let mut next = 0;
    while next < pids.len().min(looked_at_max) {
        pids.extend(children(pids[next]));
        next += 1;
    }
    pids
}
