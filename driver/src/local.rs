//! The embedded runtime as a stack: the same table, bucket and functions that `sam deploy` creates, on loopback.

use crate::driver::Driver;
use crate::place::Place;
use crate::program::{Architecture, Program, Shipping};
use crate::records::{Keeper, state_dir};
use crate::{Code, Error, Result};
use kinglet_aws::{Clients, Conductor, Endpoints, FunctionNames};
use kinglet_aws::{Stack, on_heap};
use kinglet_core::{budget, env, limits};
pub use kinglet_local::Servers;
use kinglet_local::lambda::CpuShare;
use kinglet_local::{FunctionOptions, Options, REGION, Runtime};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the functions of the embedded runtime run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum LocalFunctions {
    /// This very program, started again as splitter, mapper and reducer.
    #[default]
    Itself,
    /// The built functions in a directory: each as `NAME/bootstrap`, as `sam build` lays them out, or as `kinglet-NAME`, as
    /// cargo does. The names are `splitter`, `mapper` and `reducer`. The jobs must be linked into them.
    Directory(PathBuf),
}

/// The embedded runtime, with the choices that it is started with.
///
/// ```no_run
/// # async fn start() -> kinglet::Result<()> {
/// let driver = kinglet::Local::new().with_concurrency(2).with_data_dir("/big/disk").start().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is started"]
pub struct Local {
    concurrency: u32,
    memory_mb: u32,
    mapper_large_memory_mb: Option<u32>,
    timeout: Duration,
    data_dir: Option<PathBuf>,
    functions: LocalFunctions,
    program: Program,
    shipping_allowed: bool,
    cpu: CpuShare,
    enforce_memory: bool,
    servers: Option<Servers>,
    state_dir: Option<PathBuf>,
    gates: bool,
    function_env: Vec<(String, String)>,
}

const TABLE: &str = "kinglet";
const WORK_BUCKET: &str = "kinglet-work";

impl Local {
    /// Runs as many functions at once as there are cores, each with the memory that brings one vCPU.
    pub fn new() -> Self {
        Local {
            concurrency: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            memory_mb: budget::MEMORY_MB,
            mapper_large_memory_mb: None,
            timeout: Duration::from_millis(limits::FUNCTION_TIMEOUT_MS_MAX),
            data_dir: None,
            functions: LocalFunctions::Itself,
            program: Program::Linked,
            shipping_allowed: true,
            cpu: CpuShare::Whole,
            enforce_memory: false,
            servers: None,
            state_dir: state_dir(),
            gates: false,
            function_env: vec![],
        }
    }

    /// Sets how many functions run at once.
    pub fn with_concurrency(self, concurrency: u32) -> Self {
        Local { concurrency: concurrency.max(1), ..self }
    }

    /// Sets the memory of each function in MB, from 128 to 10,240. It decides the number of threads, one for each 1,769 MB,
    /// and how much a mapper holds before it spills.
    pub fn with_memory_mb(self, memory_mb: u32) -> Self {
        Local { memory_mb, ..self }
    }

    /// Sets the memory of the larger mapper in MB, from 128 to 10,240. Map tasks that died of memory are tried again on it.
    /// The default is four times the memory of the other functions, at most 10,240 MB. The memory is only used when it is
    /// needed, and tasks seldom die of memory unless [memory is enforced](Local::with_memory_enforced).
    pub fn with_mapper_large_memory_mb(self, memory_mb: u32) -> Self {
        Local { mapper_large_memory_mb: Some(memory_mb), ..self }
    }

    /// Kills a function that uses more than its memory, as Lambda does.
    pub fn with_memory_enforced(self) -> Self {
        Local { enforce_memory: true, ..self }
    }

    /// Gives each function the share of a CPU that Lambda gives for its memory, where control groups can be written.
    pub fn with_cpu_share(self) -> Self {
        Local { cpu: CpuShare::ByMemory, ..self }
    }

    /// Sets how long one invocation may run, at most 900 s.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Local { timeout, ..self }
    }

    /// Sets the directory for intermediate data, the system's temporary directory by default. The data lies in a directory
    /// of its own below it, which is removed at the end.
    pub fn with_data_dir(self, dir: impl Into<PathBuf>) -> Self {
        Local { data_dir: Some(dir.into()), ..self }
    }

    /// Sets what the functions run.
    pub fn with_functions(self, functions: LocalFunctions) -> Self {
        Local { functions, ..self }
    }

    /// Ships this program to the functions as on AWS: it is checked, stripped, uploaded to the embedded S3, fetched from
    /// there and run as the functions' child. This is for trying out shipping. It is slower than the default, where the
    /// functions are this program.
    pub fn with_shipped_program(self) -> Self {
        self.with_program(Program::Itself)
    }

    /// Sets where the functions get the jobs' code from. By default the code is linked into them ([`Program::Linked`]).
    pub fn with_program(self, program: Program) -> Self {
        Local { program, ..self }
    }

    /// Refuses shipped programs, as a stack does that was deployed with `ShippedPrograms=forbid`.
    pub fn with_shipping_forbidden(self) -> Self {
        Local { shipping_allowed: false, ..self }
    }

    /// Uses running S3 and DynamoDB servers instead of the embedded ones: emulators, or S3-compatible stores. Inputs and
    /// outputs must then be `s3://` URIs.
    pub fn with_servers(self, servers: Servers) -> Self {
        Local { servers: Some(servers), ..self }
    }

    /// Sets where jobs are recorded, so that `kinglet jobs` and [`crate::Machine`] know them. The default is
    /// `$KINGLET_STATE_DIR`, else `$XDG_STATE_HOME/kinglet`, else `~/.local/state/kinglet`. The newest 200 are kept.
    pub fn with_state_dir(self, dir: impl Into<PathBuf>) -> Self {
        Local { state_dir: Some(dir.into()), ..self }
    }

    /// Sets a variable in the environment of all functions, as a template does. Not part of this API.
    #[doc(hidden)]
    pub fn with_function_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.function_env.push((name.into(), value.into()));
        self
    }

    /// Puts [gates](kinglet_local::gate) before S3 and DynamoDB, at which tests refuse, lose and hold requests.
    /// `driver.runtime()` returns them.
    #[doc(hidden)]
    pub fn with_gates(self) -> Self {
        Local { gates: true, ..self }
    }

    /// Starts the embedded runtime and connects to it.
    ///
    /// # Errors
    /// `no-jobs` when nothing is registered; `job-name-taken` when two jobs have one name; `driver-in-worker` inside a
    /// function; `function-missing` when a function's program is not built; `local-start` when loopback or the data
    /// directory cannot be used.
    pub async fn start(self) -> Result<Driver> {
        let began = std::time::Instant::now();
        crate::entry::refuse_in_worker()?;
        let jobs = crate::entry::registry()?;
        jobs.check()?;
        let names = FunctionNames {
            splitter: "kinglet-splitter".to_owned(),
            mapper: "kinglet-mapper".to_owned(),
            mapper_large: Some("kinglet-mapper-large".to_owned()),
            reducer: "kinglet-reducer".to_owned(),
        };
        let larger_mb = self.mapper_large_memory_mb.unwrap_or_else(|| budget::larger_memory_mb(self.memory_mb));
        let mut functions = Vec::new();
        for (role, name, memory_mb) in [
            ("splitter", Some(&names.splitter), self.memory_mb),
            ("mapper", Some(&names.mapper), self.memory_mb),
            ("mapper", names.mapper_large.as_ref(), larger_mb),
            ("reducer", Some(&names.reducer), self.memory_mb),
        ] {
            if let Some(name) = name {
                functions.push(self.function(role, name, memory_mb, &names)?);
            }
        }
        let options = Options {
            data_dir: self.data_dir.clone(),
            concurrency: self.concurrency,
            cpu: self.cpu,
            enforce_memory: self.enforce_memory,
            servers: self.servers.clone(),
            gates: self.gates,
        };
        let failed = |e: kinglet_local::StartError| {
            Error::new(Code::LocalStart, e.to_string())
                .with_hint("the embedded runtime needs free ports on 127.0.0.1 and a writable directory (--data-dir)")
        };
        let runtime = on_heap(|| Runtime::start(options, functions)).await.map_err(failed)?;
        let [s3, dynamodb, lambda] = runtime.urls().map(str::to_owned);
        let (id, secret) = runtime.keys();
        let keys = (id.to_owned(), secret.to_owned());
        let clients = Clients::at(&Endpoints { s3, dynamodb, lambda, region: REGION.to_owned(), keys });
        let stack = Stack {
            table: TABLE.to_owned(),
            work_bucket: WORK_BUCKET.to_owned(),
            functions: names,
            timeout_ms: self.timeout.as_millis() as u64,
        };
        let conductor = Conductor::new(clients, stack).alone();
        conductor.objects.create_bucket(WORK_BUCKET).await?;
        conductor.ledger.create_table().await?;
        tracing::info!(ms = began.elapsed().as_secs_f64() * 1e3, "the embedded runtime has started");
        let (runtime, keeper) = (Box::new(runtime), self.state_dir.as_deref().map(Keeper::new));
        let shipping = Shipping::new(self.program, Architecture::here(), self.shipping_allowed);
        let (concurrency, memory_mb) = (self.concurrency, self.memory_mb);
        let place = Place::Embedded { runtime, concurrency, memory_mb, keeper };
        Ok(Driver::new(conductor, jobs, place, shipping))
    }

    fn function(&self, role: &str, name: &str, memory_mb: u32, names: &FunctionNames) -> Result<FunctionOptions> {
        let program = match &self.functions {
            LocalFunctions::Itself => std::env::current_exe()
                .map_err(|e| Error::new(Code::LocalStart, format!("finding this program's own file: {e}")))?,
            LocalFunctions::Directory(dir) => find_function(dir, role)?,
        };
        let mut env = vec![
            (env::ROLE.to_owned(), role.to_owned()),
            (env::TABLE.to_owned(), TABLE.to_owned()),
            (env::WORK_BUCKET.to_owned(), WORK_BUCKET.to_owned()),
            (env::SPLITTER.to_owned(), names.splitter.clone()),
            (env::MAPPER.to_owned(), names.mapper.clone()),
            (env::REDUCER.to_owned(), names.reducer.clone()),
            (env::TIMEOUT_S.to_owned(), self.timeout.as_secs().to_string()),
            (env::TMP_MB.to_owned(), limits::TMP_MB_MAX.to_string()),
            (env::LARGE_PAGES.to_owned(), "1".to_owned()),
            (env::SHIPPED.to_owned(), if self.shipping_allowed { "allow" } else { "forbid" }.to_owned()),
        ];
        if !self.enforce_memory {
            env.push((env::MEMORY_UNENFORCED.to_owned(), "1".to_owned()));
        }
        if let Some(name) = &names.mapper_large {
            env.push((env::MAPPER_LARGE.to_owned(), name.clone()));
        }
        env.extend(self.function_env.iter().cloned());
        for passed_on in [env::LOG, "RUST_BACKTRACE", "MIMALLOC_PURGE_DELAY"] {
            if let Ok(value) = std::env::var(passed_on) {
                env.push((passed_on.to_owned(), value));
            }
        }
        Ok(FunctionOptions {
            name: name.to_owned(),
            program,
            args: vec![],
            env,
            memory_mb,
            timeout: self.timeout,
            on_failure: (role != "splitter").then(|| names.splitter.clone()),
        })
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

impl Driver {
    /// Starts the embedded runtime with its defaults. [`Local`] has the choices.
    ///
    /// # Errors
    /// As [`Local::start`].
    pub async fn local() -> Result<Driver> {
        Local::new().start().await
    }
}

fn find_function(dir: &Path, role: &str) -> Result<PathBuf> {
    let places = [dir.join(role).join("bootstrap"), dir.join(format!("kinglet-{role}"))];
    places.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let [first, second] = places.map(|path| path.display().to_string());
        Error::new(
            Code::FunctionMissing,
            format!("the {role} function is not built: there is neither {first} nor {second}"),
        )
        .with_hint(
            "build the functions with `cargo build --release -p kinglet-splitter -p kinglet-mapper -p kinglet-reducer`",
        )
    })
}
