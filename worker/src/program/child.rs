//! One child: started, given events, watched, ended.

use super::api::{Api, Delivered, Said};
use super::ended::Ended;
use super::output::Output;
use super::{Delivery, Task, memory};
use bytes::Bytes;
use kinglet_core::ids::ProgramId;
use kinglet_core::{Code, Error, Result, budget, env, process};
use serde_json::Value;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};
use tokio::process::{Child as Process, Command};
use tokio::time::Instant;

/// How long a program may take to ask for its first event.
const START_MAX: Duration = Duration::from_secs(10);

/// How often memory is checked. A program that fills fresh memory as fast as it can gets about 50 MB further between two
/// checks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How many of these checks cover only the known processes, until a search for others, which takes longer.
const LOOKS_PER_SEARCH: u64 = 10;

/// The most processes of a program that are checked at once.
const DESCENDANTS_MAX: usize = 256;

/// The longest wait for a killed child to be gone, and for its last output.
const GONE_MAX: Duration = Duration::from_millis(500);

/// What an invocation may use.
pub(super) struct Limits {
    pub(super) until: Instant,
    pub(super) memory_mb: Option<u32>,
}

/// A program that runs.
pub(super) struct Child {
    program: ProgramId,
    role: &'static str,
    process: Process,
    pid: u32,
    /// The processes that this worker had started before, which are not the program's.
    beside: Vec<u32>,
    api: Api,
    output: Output,
    /// When it was started, until it asks for an event.
    starting: Option<Instant>,
}

impl Child {
    /// Starts a program in its worker role, with the function's environment.
    pub(super) fn start(task: &Task, path: &Path, init_ms: u64) -> Result<Self> {
        let failed = |e: io::Error| {
            let error = Error::new(Code::ProgramLoad, format!("starting shipped program {}: {e}", task.program));
            match e.kind() {
                io::ErrorKind::PermissionDenied => {
                    let dir = path.parent().unwrap_or(path).display();
                    error.with_hint(format!(
                        "programs cannot be run in {dir}, which may be mounted with noexec: use another directory \
                         (--data-dir on the embedded runtime)"
                    ))
                }
                // The system says so when the loader that the program names does not exist.
                io::ErrorKind::NotFound => error.with_hint("build it for the functions' system, or statically (musl)"),
                _ => error,
            }
        };
        let beside = process::children(std::process::id());
        // Processes that it starts and leaves behind become this process's children, so that they can be ended with it.
        memory::adopt(true);
        let api = Api::start().map_err(failed)?;
        let (output, input) = io::pipe().map_err(failed)?;
        let mut command = Command::new(path);
        command
            .env(env::RUNTIME_API, api.address.to_string())
            .env(env::ROLE, task.role)
            .env(env::PROGRAM, task.program.to_string())
            .env(env::PROGRAM_INIT_MS, init_ms.to_string())
            .stdin(Stdio::null())
            .stdout(input.try_clone().map_err(failed)?)
            .stderr(input)
            .kill_on_drop(true);
        let process = command.spawn().map_err(failed)?;
        // The command has our last copies of the pipe's write end.
        drop(command);
        let pid = process.id().ok_or_else(|| failed(io::Error::other("it has no process id")))?;
        memory::end_first(pid);
        let output = Output::start(output).map_err(failed)?;
        let (program, role, starting) = (task.program, task.role, Some(Instant::now()));
        Ok(Child { program, role, process, pid, beside, api, output, starting })
    }

    pub(super) fn is_of(&self, task: &Task) -> bool {
        (self.program, self.role) == (task.program, task.role)
    }

    /// Returns whether the child runs, as far as can be seen now.
    pub(super) fn lives(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Hands the child an event and waits for its answer: a response, or an error document.
    ///
    /// # Errors
    /// Returns how the child ended without an answer.
    pub(super) async fn answer(
        &mut self,
        delivery: &Delivery,
        reserve: Duration,
        limits: &Limits,
    ) -> Result<Result<Value, Bytes>, Ended> {
        if self.starting.is_none() {
            self.output.begin();
        }
        let left = delivery.deadline.duration_since(Instant::now()).saturating_sub(reserve);
        let deadline = (SystemTime::now() + left).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.api.deliver(Delivered {
            request_id: delivery.request_id.clone(),
            deadline_ms: deadline.as_millis() as u64,
            arn: delivery.arn.clone(),
            trace_id: delivery.trace_id.clone(),
            payload: delivery.payload.to_string().into(),
        });
        let answered = self.wait(limits).await;
        // What it wrote before it answered belongs to this invocation.
        self.output.end();
        self.reap();
        answered
    }

    async fn wait(&mut self, limits: &Limits) -> Result<Result<Value, Bytes>, Ended> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut looks, mut started) = (0u64, vec![]);
        let (was_started, mut taken) = (self.starting.is_none(), false);
        loop {
            let start_until = self.starting.map(|since| since + START_MAX);
            let until = start_until.unwrap_or(limits.until).min(limits.until);
            let said = tokio::select! {
                // A message that it sent before it ended counts.
                biased;
                said = self.api.said() => said,
                status = self.process.wait() => match self.api.has_said() {
                    Some(said) => said,
                    None if was_started && !taken => return Err(Ended::Idle),
                    None => {
                        let status = status.map_err(|e| Ended::Nonsense(e.to_string()))?;
                        return Err(Ended::Exited { status, starting: self.starting.is_some() });
                    }
                },
                () = tokio::time::sleep_until(until) => {
                    return Err(match self.starting {
                        Some(since) if since + START_MAX <= limits.until => Ended::Silent(since.elapsed()),
                        starting => Ended::Late { starting: starting.is_some() },
                    });
                }
                _ = look.tick() => {
                    if looks % LOOKS_PER_SEARCH == 0 {
                        // Processes that ended meanwhile stay in the system's table until they are reaped.
                        self.reap();
                        started = self.started();
                    }
                    looks += 1;
                    match self.uses_too_much(limits.memory_mb, &started) {
                        Some(used) => return Err(Ended::Memory { used_mb: used >> 20 }),
                        None => continue,
                    }
                }
            };
            match said {
                Said::Ready => self.starting = None,
                Said::Taken => taken = true,
                // While it starts, the only error it can report is that it cannot.
                Said::Error(document) if self.starting.is_some() => return Err(Ended::CannotStart(document)),
                Said::Error(document) => return Ok(Err(document)),
                Said::Response(body) => {
                    return serde_json::from_slice(&body).map(Ok).map_err(|e| Ended::Nonsense(e.to_string()));
                }
            }
        }
    }

    /// Returns how many bytes of the function's memory are in use, if that is too much.
    fn uses_too_much(&self, memory_mb: Option<u32>, processes: &[u32]) -> Option<u64> {
        let most = budget::program_bytes_max(memory_mb?);
        let pids = [std::process::id(), self.pid].into_iter().chain(processes.iter().copied());
        let used = pids.filter_map(|pid| Some(process::resident(pid)?.bound_kb << 10)).sum();
        (used > most).then_some(used)
    }

    /// Returns the processes that the child started and that run another program. A process that runs the same program is
    /// most likely a fork that is about to run another, and shares the child's memory.
    fn started(&self) -> Vec<u32> {
        let own = memory::executable(self.pid);
        let is_another = |pid: &u32| *pid != self.pid && memory::executable(*pid) != own;
        self.processes().into_iter().filter(is_another).collect()
    }

    /// Returns the child and the processes that it started.
    fn processes(&self) -> Vec<u32> {
        process::tree(self.children(), DESCENDANTS_MAX)
    }

    /// Returns those of them that are this process's own children.
    fn children(&self) -> Vec<u32> {
        process::children(std::process::id()).into_iter().filter(|pid| !self.beside.contains(pid)).collect()
    }

    fn reap(&self) {
        self.children().into_iter().filter(|pid| *pid != self.pid).for_each(memory::reap);
    }

    /// Kills the child and all that it started, and waits until they are gone.
    pub(super) async fn kill(&mut self) {
        let until = Instant::now() + GONE_MAX;
        loop {
            // If `/proc` does not show what it started, only the child itself is killed.
            let _ = self.process.start_kill();
            let left = self.processes();
            left.iter().copied().for_each(memory::kill);
            let gone = !self.lives();
            self.reap();
            // A process that was being started is found in the next round.
            if gone && left.is_empty() {
                break;
            }
            if Instant::now() >= until {
                tracing::warn!(pid = self.pid, "a shipped program that was killed has not gone");
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        memory::adopt(false);
        while !self.output.pump() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Returns the last lines that it wrote.
    pub(super) fn said(&self) -> Vec<String> {
        self.output.tail()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::ids::{JobId, Piece, TaskIdx, Timestamp, TryKey};
    use std::os::unix::fs::PermissionsExt;

    /// Takes one event, starts a process that keeps its output open, answers, and ends.
    const SCRIPT: &str = r#"#!/bin/bash
IFS=: read -r host port <<< "$AWS_LAMBDA_RUNTIME_API"
ask() {
    exec 3<>"/dev/tcp/$host/$port"
    printf '%s /2018-06-01/runtime/invocation/%s HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}' "$1" "$2" >&3
}
ask GET next
while IFS= read -r -u 3 line; do
    line=${line%?}
    case $line in
        lambda-runtime-aws-request-id:*) id=${line#*: } ;;
        '') break ;;
    esac
done
setsid sleep 1000 &
ask POST "$id/response"
read -r -u 3 line
"#;

    #[tokio::test]
    async fn what_it_said_before_it_ended_counts_and_what_it_started_ends_with_it() {
        let path = std::env::temp_dir().join(format!("kinglet-child-{}", std::process::id()));
        std::fs::write(&path, SCRIPT).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let (job, key) = (JobId::new(Timestamp(1), 1), TryKey::map(TaskIdx(0), Piece(0), 0));
        let task = Task { program: ProgramId::of(b"a script"), role: "mapper", job, key };
        let mut child = Child::start(&task, &path, 0).unwrap();
        let delivery = Delivery {
            payload: Value::Null,
            request_id: "one".to_owned(),
            trace_id: None,
            arn: "arn".to_owned(),
            deadline: Instant::now() + Duration::from_secs(60),
            init_ms: 0,
        };
        let limits = Limits { until: Instant::now() + Duration::from_secs(50), memory_mb: Some(1 << 20) };
        let answered = child.answer(&delivery, Duration::ZERO, &limits).await;
        assert_eq!(answered.unwrap().unwrap(), serde_json::json!({}), "{:?}", child.said());
        while child.lives() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // It is gone, and was given no event.
        let answered = child.answer(&delivery, Duration::ZERO, &limits).await;
        assert!(matches!(answered, Err(Ended::Idle)), "{answered:?}");
        let left = child.processes();
        assert!(!left.is_empty() && child.started() == left, "{left:?}");
        child.kill().await;
        assert_eq!(child.processes(), [0; 0]);
        assert!(child.output.pump(), "somebody holds the pipe");
        let _ = std::fs::remove_file(path);
    }
}
