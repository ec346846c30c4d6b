//! The options of the host: the functions, and how to run them.

use super::limits;
use crate::signature::Keys;
use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// A function: a program that speaks the Lambda Runtime API, and what `template.yaml` would say about it.
#[derive(Clone)]
pub struct Function {
    /// Name by which it is invoked: letters, digits, `-` and `_`, at most 64.
    pub name: String,
    /// The executable: the very file that is deployed as `bootstrap`.
    pub program: PathBuf,
    /// Arguments; Lambda gives a `bootstrap` none.
    pub args: Vec<OsString>,
    /// Environment variables, credentials included. The names that Lambda reserves are overwritten.
    pub env: Vec<(String, String)>,
    /// Memory size, which also sets the CPU share under [`CpuShare::ByMemory`].
    pub memory_mb: u32,
    /// Longest run of one invocation, not counting the init phase.
    pub timeout: Duration,
    /// Size of `/tmp`. The host reports it but does not enforce it: without a file system for each environment that would
    /// mean walking the directory again and again. A worker bounds its own spills.
    pub tmp_mb: u32,
    /// Reserved concurrency: most invocations of this function that run at once.
    pub concurrency_max: Option<u32>,
    /// On-failure destination: the function that is handed the record of an event that failed for good, as an event.
    pub on_failure: Option<String>,
}

/// With the names of its environment's variables only: some hold credentials.
impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        let mut shown = f.debug_struct("Function");
        shown.field("name", &self.name).field("program", &self.program).field("args", &self.args).field("env", &env);
        shown.field("memory_mb", &self.memory_mb).field("timeout", &self.timeout).field("tmp_mb", &self.tmp_mb);
        shown.field("concurrency_max", &self.concurrency_max).field("on_failure", &self.on_failure).finish()
    }
}

impl Function {
    /// Returns a function with Lambda's defaults: 128 MB, 3 s, 512 MB of `/tmp`, no reserved concurrency.
    #[must_use]
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            memory_mb: 128,
            timeout: Duration::from_secs(3),
            tmp_mb: 512,
            concurrency_max: None,
            on_failure: None,
        }
    }

    /// Checks what Lambda would check when the function is created, and that the program is there.
    pub(super) fn check(&self) -> Result<PathBuf, HostError> {
        let refuse = |why: String| HostError::Function { name: self.name.clone(), why };
        let name_fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(name_fits) {
            return Err(refuse("a name has 1 to 64 letters, digits, hyphens and underscores".into()));
        }
        if !limits::MEMORY_MB.contains(&self.memory_mb) {
            return Err(refuse(format!("memory of {} MB is outside {:?} MB", self.memory_mb, limits::MEMORY_MB)));
        }
        if !limits::TMP_MB.contains(&self.tmp_mb) {
            return Err(refuse(format!("/tmp of {} MB is outside {:?} MB", self.tmp_mb, limits::TMP_MB)));
        }
        if self.timeout.is_zero() || self.timeout > limits::TIMEOUT_MAX {
            return Err(refuse(format!("timeout of {:?} is outside 0 to {:?}", self.timeout, limits::TIMEOUT_MAX)));
        }
        // Made absolute, since the worker starts in another directory than this process.
        self.program.canonicalize().map_err(|source| HostError::Program {
            name: self.name.clone(),
            program: self.program.clone(),
            source,
        })
    }
}

/// How much CPU an environment gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CpuShare {
    /// Whatever the machine has.
    #[default]
    Whole,
    /// A share in proportion to memory, as on Lambda: 1,769 MB is one vCPU. Needs a writable cgroup on Linux; without one,
    /// functions have all the CPU and [`Host::warnings`](super::Host::warnings) says so.
    ByMemory,
}

/// How the host runs its functions.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Directory of this host alone: `envs/` (the `/tmp` of each environment), `logs/` and `failures.jsonl`.
    pub dir: PathBuf,
    /// Most invocations that run at once, all functions together (the account's concurrency).
    pub concurrency_max: u32,
    /// Waits before the retries of a failed `Event`; their number is the number of retries.
    pub async_retry_delays: Vec<Duration>,
    /// Longest init phase of an environment.
    pub init_timeout: Duration,
    /// How much CPU an environment gets.
    pub cpu: CpuShare,
    /// Whether a worker that uses more than `memory_mb` is killed, as on Lambda.
    pub enforce_memory: bool,
    /// Region in ARNs and in `AWS_REGION`.
    pub region: String,
    /// Account number in ARNs.
    pub account: String,
    /// Keys that requests must be signed with.
    pub keys: Keys,
}

impl HostOptions {
    /// Returns Lambda's defaults, but with short waits between the retries of events (0.2 s and 0.4 s, where Lambda waits one
    /// and two minutes) and eight invocations at once, both of which suit a laptop.
    #[must_use]
    pub fn new(dir: impl AsRef<Path>, keys: Keys) -> Self {
        Self {
            dir: dir.as_ref().to_path_buf(),
            concurrency_max: 8,
            async_retry_delays: vec![Duration::from_millis(200), Duration::from_millis(400)],
            init_timeout: limits::INIT_TIMEOUT,
            cpu: CpuShare::default(),
            enforce_memory: false,
            region: "us-east-1".into(),
            account: "000000000000".into(),
            keys,
        }
    }
}

/// Why a host could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A function that Lambda would not accept either.
    #[error("function {name}: {why}")]
    Function {
        /// The function.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Two functions with one name.
    #[error("function {name}: there are two of that name")]
    Twice {
        /// The name.
        name: String,
    },
    /// A program that is not there.
    #[error("function {name}: finding program {program}: {source}", program = program.display())]
    Program {
        /// The function.
        name: String,
        /// Its program, as given.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The host's directory cannot be used.
    #[error("preparing directory {dir}: {source}", dir = dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The listener cannot be used.
    #[error("reading the listener's address: {0}")]
    Listener(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_printed_without_the_values_of_its_environment() {
        let env = vec![("AWS_SECRET_ACCESS_KEY".to_owned(), "whispered".to_owned())];
        let function = Function { env, ..Function::new("f", "/bin/true") };
        let keys = Keys { access_key: "id".to_owned(), secret_key: "whispered".to_owned() };
        let shown = format!("{function:?} {:?}", HostOptions::new("/tmp", keys));
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("whispered"), "{shown}");
    }
}
