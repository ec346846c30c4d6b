//! Checks of this machine: what the embedded runtime needs of it.

use super::Finding;
use crate::machine::Machine;
use crate::records::Record;
use kinglet_core::limits::MEMORY_MB_PER_VCPU;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

/// Below this, even small jobs may run out of room for intermediate data.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// Every worker, and every open request, takes a few.
const FILES_MIN: u64 = 1_024;

/// Checks everything that the embedded runtime needs of this machine: loopback, room for data, processors and memory, control
/// groups, and what is left of earlier programs.
pub async fn examine_machine() -> Vec<Finding> {
    let data_dir = std::env::temp_dir();
    let mut found = vec![loopback(), room(&data_dir), cores(), files()];
    found.extend(memory());
    found.push(cpu_share());
    match Machine::open() {
        Ok(machine) => {
            found.push(records(&machine));
            found.push(leftovers(&machine));
        }
        Err(error) => found.push(Finding::failed("records", super::Level::Note, &error)),
    }
    found
}

fn loopback() -> Finding {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
        Ok(_) => Finding::ok("loopback", "ports of 127.0.0.1 can be listened at"),
        Err(e) => {
            Finding::problem("loopback", format!("listening at 127.0.0.1: {e}"), "allow programs to use loopback")
        }
    }
}

fn room(dir: &Path) -> Finding {
    let hint = "free some space, or name another directory with --data-dir or TMPDIR";
    let shown = dir.display();
    if let Err(e) = tempfile::tempdir_in(dir) {
        return Finding::problem("data", format!("making a directory in {shown}: {e}"), hint);
    }
    match rustix::fs::statvfs(dir) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let message = format!("{shown} has {:.1} GB of room", free as f64 / 1e9);
            if free < FREE_BYTES_MIN { Finding::warning("data", message, hint) } else { Finding::ok("data", message) }
        }
        Err(e) => Finding::note("data", format!("how much room {shown} has: {e}"), hint),
    }
}

fn cores() -> Finding {
    match std::thread::available_parallelism() {
        Ok(cores) => Finding::ok("cores", format!("{cores}: so many functions run at once")),
        Err(e) => Finding::note("cores", format!("the number of cores is not known: {e}"), "give --concurrency"),
    }
}

fn files() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(limit) if limit < FILES_MIN => {
            Finding::warning("files", format!("{limit} files may be open at once"), "raise it: `ulimit -n 4096`")
        }
        Some(limit) => Finding::ok("files", format!("{limit} may be open at once")),
        None => Finding::ok("files", "any number may be open at once"),
    }
}

/// Compares the free memory with what one function for each core may use. Linux only.
fn memory() -> Option<Finding> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let free_mb = line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? / 1_024;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let wanted_mb = cores * u64::from(MEMORY_MB_PER_VCPU);
    let message = format!("{free_mb} MB are free; {cores} functions of {MEMORY_MB_PER_VCPU} MB may use {wanted_mb} MB");
    Some(if free_mb < wanted_mb {
        Finding::warning("memory", message, "give fewer or smaller functions: --concurrency, --memory-mb")
    } else {
        Finding::ok("memory", message)
    })
}

fn cpu_share() -> Finding {
    match kinglet_local::lambda::check_cpu_share() {
        Ok(()) => Finding::ok("cpu-share", "control groups can be made: --cpu-share works"),
        Err(why) => Finding::note("cpu-share", why, "without --cpu-share nothing needs it"),
    }
}

fn records(machine: &Machine) -> Finding {
    let dir = machine.dir();
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
    match rustix::fs::access(there, rustix::fs::Access::WRITE_OK) {
        Ok(()) => Finding::ok("records", format!("jobs are recorded in {}", dir.display())),
        Err(e) => {
            let message = format!("{} cannot be written: {e}; `kinglet jobs` will know of no new ones", dir.display());
            Finding::warning("records", message, "set KINGLET_STATE_DIR to a directory of yours")
        }
    }
}

fn leftovers(machine: &Machine) -> Finding {
    let (mut lost, mut dirs) = (Vec::new(), 0);
    for job in machine.recorded().unwrap_or_default() {
        let dir = machine.job_dir(&job);
        if let Ok(Some(Record { servers: Some(servers), .. })) = Record::read(&dir)
            && !Record::is_running(&dir)
        {
            dirs += usize::from(servers.logs.exists());
            lost.push(job);
        }
    }
    if lost.is_empty() {
        return Finding::ok("leftovers", "nothing is left of earlier jobs");
    }
    let message = format!("the programs of {} jobs were killed; {dirs} of them left their data", lost.len());
    Finding::note("leftovers", message, "`kinglet clean --older-than 0s` removes it")
}
