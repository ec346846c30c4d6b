//! The names of all environment variables that Kinglet reads or sets. Only binaries read them.

/// Set by Lambda, and by the embedded host, in a worker: where the Runtime API listens.
pub const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
/// Set by Lambda: the function's memory in MB.
pub const FUNCTION_MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
/// Which handler a worker is: `splitter`, `mapper` or `reducer`.
pub const ROLE: &str = "KINGLET_ROLE";
/// The ledger's DynamoDB table.
pub const TABLE: &str = "KINGLET_TABLE";
/// The bucket for specs, plans and runs.
pub const WORK_BUCKET: &str = "KINGLET_WORK_BUCKET";
/// The name of the splitter function.
pub const SPLITTER: &str = "KINGLET_SPLITTER";
/// The name of the mapper function.
pub const MAPPER: &str = "KINGLET_MAPPER";
/// The name of the mapper function with more memory, for map tasks that died of memory on the other one. Optional.
pub const MAPPER_LARGE: &str = "KINGLET_MAPPER_LARGE";
/// The name of the reducer function.
pub const REDUCER: &str = "KINGLET_REDUCER";
/// The timeout of the functions in seconds.
pub const TIMEOUT_S: &str = "KINGLET_TIMEOUT_S";
/// The size of the functions' `/tmp` in MB. By default, the least that Lambda gives.
pub const TMP_MB: &str = "KINGLET_TMP_MB";
/// How many worker threads a function runs. By default, as many as its memory brings vCPUs.
pub const THREADS: &str = "KINGLET_THREADS";
/// Set by Lambda, and by the embedded host: the function's name.
pub const FUNCTION_NAME: &str = "AWS_LAMBDA_FUNCTION_NAME";
/// `0`: the log lines that end tasks make no CloudWatch metrics, each of which costs money every month. By default they do.
pub const METRICS: &str = "KINGLET_METRICS";
/// The event bus of EventBridge that is told of each job's end. Optional.
pub const EVENT_BUS: &str = "KINGLET_EVENT_BUS";
/// `allow`: the functions run programs that drivers ship. With any other value they refuse.
pub const SHIPPED: &str = "KINGLET_SHIPPED";
/// Set by a worker for a shipped program that it starts: the program's id.
pub const PROGRAM: &str = "KINGLET_PROGRAM";
/// Set by a worker for a shipped program that it starts: how long the function had run until then, in milliseconds.
pub const PROGRAM_INIT_MS: &str = "KINGLET_PROGRAM_INIT_MS";
/// Set by the embedded host if functions may use more memory than they have, which no function on Lambda may.
pub const MEMORY_UNENFORCED: &str = "KINGLET_MEMORY_UNENFORCED";
/// What is logged, in the syntax of `tracing_subscriber::EnvFilter`. By default `warn` in drivers and `info` in functions.
pub const LOG: &str = "KINGLET_LOG";
/// Where programs keep the records of the jobs that they ran on their embedded runtimes: `$XDG_STATE_HOME/kinglet` or
/// `~/.local/state/kinglet` by default. If it is empty, they keep none.
pub const STATE_DIR: &str = "KINGLET_STATE_DIR";
/// If set, tests rewrite golden files instead of comparing with them.
pub const UPDATE_GOLDEN: &str = "KINGLET_UPDATE_GOLDEN";
/// Where a worker may write: Lambda's `/tmp`, or what the embedded host gives.
pub const TMPDIR: &str = "TMPDIR";
/// Lets the allocator of the functions, mimalloc, ask for transparent huge pages: a mapper's tables have hundreds of MB and
/// are accessed at random. `bench/README.md` says what it saves.
pub const LARGE_PAGES: &str = "MIMALLOC_ALLOW_LARGE_OS_PAGES";
