//! The three servers put together: started in a few milliseconds, on loopback and on ports that the system chooses, with all
//! data under one directory that is removed when the runtime stops.

use crate::dynamodb;
use crate::gate::{Gates, Service};
use crate::lambda::{CpuShare, Function, Host, HostError, HostOptions};
use crate::s3::{self, BucketKind, CreateBucketError, Keys, Store};
use std::ffi::OsString;
use std::fmt;
use std::fs::Permissions;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The region that requests are signed for, and of ARNs.
pub const REGION: &str = "us-east-1";

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to keep data: the runtime makes a directory of its own in it. By default, the system's temporary directory.
    pub data_dir: Option<PathBuf>,
    /// How many functions run at once.
    pub concurrency: u32,
    /// How much CPU a function gets.
    pub cpu: CpuShare,
    /// Whether a function that uses more than its memory is killed.
    pub enforce_memory: bool,
    /// S3 and DynamoDB servers to use instead of the embedded ones.
    pub servers: Option<Servers>,
    /// Whether [gates](crate::gate) stand before S3 and DynamoDB, embedded or not, so that tests can interfere with requests.
    pub gates: bool,
}

/// S3 and DynamoDB servers that run already, and the keys that they accept. The Lambda host accepts the same keys.
#[derive(Clone)]
pub struct Servers {
    /// The URL of S3.
    pub s3_url: String,
    /// The URL of DynamoDB.
    pub dynamodb_url: String,
    /// The access key id.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: String,
}

/// Without the secret, as what is printed is often kept.
impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Servers { s3_url, dynamodb_url, access_key, secret_key: _ } = self;
        let mut shown = f.debug_struct("Servers");
        shown.field("s3_url", s3_url).field("dynamodb_url", dynamodb_url).field("access_key", access_key);
        shown.finish_non_exhaustive()
    }
}

/// A function to host.
#[derive(Clone)]
pub struct FunctionOptions {
    /// Its name.
    pub name: String,
    /// The program to start.
    pub program: PathBuf,
    /// The program's arguments.
    pub args: Vec<OsString>,
    /// The program's environment, besides the endpoints, keys and region, which the runtime adds.
    pub env: Vec<(String, String)>,
    /// Its memory in MB.
    pub memory_mb: u32,
    /// Its timeout.
    pub timeout: Duration,
    /// The function that takes the records of its failed events.
    pub on_failure: Option<String>,
}

/// With the names of its environment's variables only, of which any may hold a secret.
impl fmt::Debug for FunctionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FunctionOptions { name, program, args, env, memory_mb, timeout, on_failure } = self;
        let env: Vec<_> = env.iter().map(|(name, _)| name).collect();
        let mut shown = f.debug_struct("FunctionOptions");
        shown.field("name", name).field("program", program).field("args", args).field("env", &env);
        shown.field("memory_mb", memory_mb).field("timeout", timeout).field("on_failure", on_failure).finish()
    }
}

/// Why the runtime could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The directory for its data cannot be made.
    #[error("making a directory for the embedded runtime in {dir}: {source}", dir = dir.display())]
    Directory {
        /// The parent directory.
        dir: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Loopback has no free port, or is not there.
    #[error("listening on 127.0.0.1: {0}")]
    Listen(#[source] std::io::Error),
    /// A gate could not be put before a server.
    #[error("putting a gate before a server: {0}")]
    Gate(#[source] std::io::Error),
    /// DynamoDB did not start.
    #[error("starting the embedded DynamoDB: {0}")]
    DynamoDb(String),
    /// Lambda did not start.
    #[error("starting the embedded Lambda: {0}")]
    Lambda(#[from] HostError),
    /// A bucket was refused.
    #[error(transparent)]
    Bucket(#[from] CreateBucketError),
}

/// The running servers.
pub struct Runtime {
    store: Arc<Store>,
    host: Host,
    gates: Option<Gates>,
    s3_url: String,
    dynamodb_url: String,
    serves_s3: bool,
    keys: Keys,
    stop: watch::Sender<bool>,
    dir: tempfile::TempDir,
    _closing: Closing,
}

/// Aborts at the end the uploads that nobody completed. Their bytes may lie hidden in a directory of the user's, and the
/// server's own tasks may hold the store until the process ends, so that it is never dropped.
struct Closing(Arc<Store>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.abort_uploads();
    }
}

impl Runtime {
    /// Starts the servers. No function is started before it is invoked.
    ///
    /// # Errors
    /// Returns [`StartError`], naming what is missing.
    ///
    /// # Panics
    /// Panics outside a Tokio runtime.
    pub async fn start(options: Options, functions: Vec<FunctionOptions>) -> Result<Self, StartError> {
        let parent = options.data_dir.clone().unwrap_or_else(std::env::temp_dir);
        let directory = |source| StartError::Directory { dir: parent.clone(), source };
        std::fs::create_dir_all(&parent).map_err(directory)?;
        // Objects, logs and the functions' `/tmp` lie in it, on a machine that others may use.
        let mut private = tempfile::Builder::new();
        private.prefix("kinglet-").permissions(Permissions::from_mode(0o700));
        let dir = private.tempdir_in(&parent).map_err(directory)?;
        let store = Store::open(dir.path()).map_err(directory)?;
        let keys = match &options.servers {
            Some(servers) => Keys { access_key: servers.access_key.clone(), secret_key: servers.secret_key.clone() },
            // Fresh for each runtime: another local process that finds the port still cannot read or run anything.
            None => Keys {
                access_key: format!("KINGLET{:013}", std::process::id()),
                secret_key: uuid::Uuid::new_v4().simple().to_string(),
            },
        };
        let (stop, stopped) = watch::channel(false);
        let stopping = |mut stopped: watch::Receiver<bool>| async move {
            // An error means that the runtime is gone, which is a reason to stop as well.
            let _ = stopped.wait_for(|stop| *stop).await;
        };

        let (mut s3_url, mut dynamodb_url) = match &options.servers {
            Some(servers) => (servers.s3_url.clone(), servers.dynamodb_url.clone()),
            None => {
                let (s3, s3_url) = listen().await?;
                tokio::spawn(s3::serve(s3, store.clone(), keys.clone(), stopping(stopped.clone())));
                let (dynamodb, dynamodb_url) = listen().await?;
                let database = dynoxide::Database::memory().map_err(|e| StartError::DynamoDb(e.to_string()))?;
                tokio::spawn(dynamodb::serve(dynamodb, database, keys.clone(), stopping(stopped.clone())));
                (s3_url, dynamodb_url)
            }
        };

        let mut gates = None;
        if options.gates {
            let servers = [(Service::S3, s3_url.as_str()), (Service::DynamoDb, &dynamodb_url)];
            let opened = Gates::open(servers, || stopping(stopped.clone())).await.map_err(StartError::Gate)?;
            gates = Some(opened.0);
            [s3_url, dynamodb_url] = opened.1;
        }

        let (lambda, lambda_url) = listen().await?;
        let shared_env = [
            ("AWS_ACCESS_KEY_ID", keys.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", keys.secret_key.clone()),
            ("AWS_ENDPOINT_URL_S3", s3_url.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url.clone()),
            ("AWS_ENDPOINT_URL_LAMBDA", lambda_url),
        ];
        let functions = functions.into_iter().map(|given| {
            let shared = shared_env.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            Function {
                args: given.args,
                env: shared.chain(given.env).collect(),
                memory_mb: given.memory_mb,
                timeout: given.timeout,
                tmp_mb: 10_240,
                on_failure: given.on_failure,
                ..Function::new(given.name, given.program)
            }
        });
        let host_options = HostOptions {
            concurrency_max: options.concurrency,
            // A failed event goes to the destination at once: `advance` decides what follows.
            async_retry_delays: vec![],
            cpu: options.cpu,
            enforce_memory: options.enforce_memory,
            region: REGION.to_owned(),
            ..HostOptions::new(dir.path().join("lambda"), keys.clone())
        };
        let host = Host::start(lambda, host_options, functions.collect()).await?;
        for warning in host.warnings() {
            tracing::warn!("{warning}");
        }
        let serves_s3 = options.servers.is_none();
        let _closing = Closing(store.clone());
        Ok(Runtime { store, host, gates, s3_url, dynamodb_url, serves_s3, keys, stop, dir, _closing })
    }

    /// Returns whether S3 is the embedded one, so that buckets can be added here.
    pub fn serves_s3(&self) -> bool {
        self.serves_s3
    }

    /// Adds a bucket.
    ///
    /// # Errors
    /// Returns [`StartError`] when the name breaks S3's rules or is taken.
    pub fn create_bucket(&self, name: &str, kind: BucketKind) -> Result<(), StartError> {
        Ok(self.store.create_bucket(name, kind)?)
    }

    /// Returns the URLs of S3, DynamoDB and Lambda; those of the gates, if there are any.
    pub fn urls(&self) -> [&str; 3] {
        [&self.s3_url, &self.dynamodb_url, self.host.endpoint()]
    }

    /// Returns the access key id and the secret that requests must be signed with.
    pub fn keys(&self) -> (&str, &str) {
        (&self.keys.access_key, &self.keys.secret_key)
    }

    /// Returns the Lambda host, for its reports, logs and faults.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the gates, if they were asked for.
    pub fn gates(&self) -> Option<&Gates> {
        self.gates.as_ref()
    }

    /// Returns the directory of the data.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Stops the servers and the workers, and removes the directory.
    pub async fn stop(self) {
        self.host.stop().await;
        let _ = self.stop.send(true);
        if let Err(error) = self.dir.close() {
            tracing::warn!("removing the embedded runtime's directory: {error}");
        }
    }
}

async fn listen() -> Result<(TcpListener, String), StartError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(StartError::Listen)?;
    let address = listener.local_addr().map_err(StartError::Listen)?;
    Ok((listener, format!("http://{address}")))
}
