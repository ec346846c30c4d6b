//! A guard against processes that outlive the host, even if the host is killed with no chance to clean up.
//!
//! A worker that waits for an event ends by itself when the host dies, as its connection breaks. One that is in the middle of
//! a long task would go on until it wants to answer. Linux has a parent-death signal, but it is bound to the *thread* that
//! spawned (an event loop's threads may come and go), setting it needs code between fork and exec (`unsafe`, and off the
//! quick path of spawning), and other systems have none.
//!
//! So the host keeps one shell, in a process group of its own, that reads the process groups of the workers from a pipe.
//! However the host ends, the pipe closes, and the shell kills the groups that are still on its list.

use super::lock::lock;
use std::{
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, Stdio},
    sync::Mutex,
};

/// The shell's script, which uses only what is built into a POSIX shell.
const SCRIPT: &str = r#"
live=' '
while read -r op group; do
  case $op in
    +) live="$live$group " ;;
    -) case $live in *" $group "*) live="${live%% "$group" *} ${live#* "$group" }" ;; esac ;;
  esac
done
for group in $live; do kill -s KILL -- "-$group" 2>/dev/null; done
"#;

pub(super) struct Reaper {
    shell: Mutex<Option<(Child, ChildStdin)>>,
}

impl Reaper {
    pub(super) fn start() -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).env_clear().stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // In our group, an interrupt from the keyboard would end it together with the host.
        let mut child = command.process_group(0).spawn()?;
        let stdin = child.stdin.take().ok_or_else(|| io::Error::other("the shell has no standard input"))?;
        Ok(Self { shell: Mutex::new(Some((child, stdin))) })
    }

    /// Returns the reaper of a host without one: the host is still correct, as long as it is not killed.
    pub(super) fn none() -> Self {
        Self { shell: Mutex::new(None) }
    }

    pub(super) fn add(&self, pid: u32) {
        self.tell(&format!("+ {pid}\n"));
    }

    pub(super) fn remove(&self, pid: u32) {
        self.tell(&format!("- {pid}\n"));
    }

    fn tell(&self, line: &str) {
        let mut shell = lock(&self.shell);
        if let Some((_, stdin)) = shell.as_mut()
            && let Err(error) = stdin.write_all(line.as_bytes())
        {
            tracing::warn!(%error, "the shell that guards against orphans is gone");
            *shell = None;
        }
    }

    /// Closes the pipe and waits: after this, every group on the list has been sent a kill.
    pub(super) fn finish(&self) {
        if let Some((mut child, stdin)) = lock(&self.shell).take() {
            drop(stdin);
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_the_pipe_kills_what_is_on_the_list_and_nothing_else() {
        let sleeper = || Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let (mut first, mut second, mut third) = (sleeper(), sleeper(), sleeper());
        let reaper = Reaper::start().unwrap();
        for child in [&first, &second, &third] {
            reaper.add(child.id());
        }
        reaper.remove(second.id());
        reaper.finish();
        assert!(!first.wait().unwrap().success() && !third.wait().unwrap().success());
        assert!(second.try_wait().unwrap().is_none(), "taken off the list in time");
        second.kill().unwrap();
        second.wait().unwrap();
    }
}
