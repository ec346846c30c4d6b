//! The region: its services, its machines, its time.

use crate::chance::Chance;
use crate::faults::{Fault, Faults, Kind};
use crate::lambda::Lambda;
use crate::machine::{Machine, Nature, Reply};
use crate::services::dynamodb::{self, DynamoDb, Units};
use crate::services::s3::{self, S3};
use crate::services::{Asked, Service};
use crate::trace::{Trace, body_hash};
use kinglet_aws::{Conductor, FunctionNames, Stack};
use kinglet_core::model;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The services' time when a run begins, in seconds since 1970 (in January 2027).
const EPOCH_S: u64 = 1_800_000_000;

/// What a region is like.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// How many functions of the account run at once.
    pub concurrency: u32,
    /// How many times as many bytes each byte of an input stands for, for a mapper.
    pub scale: u64,
    /// How many bytes a second a function takes from S3 and works on.
    pub bytes_per_s: u64,
    /// By how much the services take less in a second than AWS's.
    pub scarcity: u64,
    /// How far machines' clocks are off at most, in milliseconds.
    pub skew_ms: u64,
    /// One function in so many is slower, by so many times; 0: none.
    pub slow_one_in: u64,
    pub slower: f64,
    /// The memory of mappers and reducers in MB.
    pub memory_mb: u32,
    /// The functions' timeout.
    pub timeout: Duration,
    /// How much longer than otherwise jobs may take, if no fault strikes.
    pub calm_extra: Duration,
    /// How many write units the table takes in a second, if not as many as a new one.
    pub table_write_units: Option<u64>,
    /// By how much drivers' clocks are fast and functions' clocks slow, in milliseconds.
    pub clocks_apart_ms: i64,
    /// Whether every event is delivered twice, and once more after three hours.
    pub twice: bool,
    /// While it lasts, one request in two to the work bucket is refused.
    pub storm: Option<(Duration, Duration)>,
    /// From when to when another tenant takes so many functions.
    pub neighbour: Option<(Duration, Duration, u32)>,
}

impl Default for Conditions {
    fn default() -> Self {
        Conditions {
            concurrency: 1_000,
            scale: 1,
            bytes_per_s: crate::model::BYTES_PER_S,
            scarcity: 1,
            skew_ms: 0,
            slow_one_in: 0,
            slower: 1.0,
            memory_mb: 1_769,
            timeout: Duration::from_secs(900),
            calm_extra: Duration::ZERO,
            table_write_units: None,
            clocks_apart_ms: 0,
            twice: false,
            storm: None,
            neighbour: None,
        }
    }
}

impl Conditions {
    /// Returns what a seed says of a region.
    pub fn of_seed(seed: u64) -> Self {
        let chance = Chance::of(seed, "conditions");
        Conditions {
            concurrency: *chance.pick(&[2, 5, 20, 1_000]),
            // Up to an hour: the SDK learns of it when the first request is refused.
            skew_ms: *chance.pick(&[0, 100, 3_000, 60_000, 280_000, 3_600_000]),
            slow_one_in: *chance.pick(&[0, 0, 10, 3]),
            slower: chance.between(2, 8) as f64,
            twice: chance.hits(100_000),
            ..Conditions::default()
        }
    }
}

/// A region under simulation.
pub struct Region {
    pub seed: u64,
    pub conditions: Conditions,
    pub trace: Trace,
    pub faults: Faults,
    pub lambda: Lambda,
    start: Instant,
    s3: S3,
    dynamodb: DynamoDb,
    machines: AtomicU32,
    chance: Chance,
    dir: TempDir,
}

impl Region {
    /// Makes a region, with its table and buckets. Must be called in a Tokio runtime whose time is paused.
    pub async fn make(seed: u64, conditions: Conditions, faults: Faults, trace: Trace) -> std::io::Result<Arc<Self>> {
        let start = Instant::now();
        // In memory where there is such a directory: only spilled runs are written.
        let shm = PathBuf::from("/dev/shm");
        let dir = if shm.is_dir() { tempfile::tempdir_in(shm)? } else { tempfile::tempdir()? };
        let now = move || UNIX_EPOCH + Duration::from_secs(EPOCH_S) + start.elapsed();
        let region = Arc::new(Region {
            seed,
            trace,
            faults,
            lambda: Lambda::new(conditions.concurrency),
            start,
            s3: S3::open(dir.path(), Arc::new(now), conditions.scarcity)?,
            dynamodb: DynamoDb::open(conditions.scarcity, conditions.table_write_units)
                .map_err(std::io::Error::other)?,
            machines: AtomicU32::new(0),
            chance: Chance::of(seed, "region"),
            conditions,
            dir,
        });
        let observer = region.observer();
        observer.ledger.create_table().await.map_err(std::io::Error::other)?;
        Ok(region)
    }

    /// Returns the services' time.
    pub fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(EPOCH_S) + self.since_start()
    }

    /// Returns how long the run has gone on.
    pub fn since_start(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns the directory for functions' temporary files.
    pub fn tmp(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Adds a line to the trace.
    pub fn says(&self, what: &str) {
        self.trace.add(self.since_start(), what);
    }

    pub(crate) fn next_machine(&self) -> u32 {
        self.machines.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns what the next machine is like, which is a driver's or a function's.
    pub fn nature(&self, role: &str) -> Nature {
        let Conditions { skew_ms, slow_one_in, slower, clocks_apart_ms, .. } = self.conditions;
        let apart_ms = if role == "driver" { clocks_apart_ms } else { -clocks_apart_ms };
        let skew_ms = self.chance.between(0, 2 * skew_ms).cast_signed() - skew_ms.cast_signed();
        let is_slow = slow_one_in > 0 && self.chance.between(1, slow_one_in) == 1;
        Nature { skew_ms: skew_ms + apart_ms, slower: if is_slow { slower } else { 1.0 }, faulty: true }
    }

    /// Invokes the splitter to sweep, as the stack's schedule does, until the task is aborted.
    pub fn sweep(self: &Arc<Self>, every: Duration) -> JoinHandle<()> {
        let region = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                region.lambda.send(&region, "splitter", json!({ "sweep": {} }));
            }
        })
    }

    /// Returns how many units of the ledger were used.
    pub fn units(&self) -> Units {
        self.dynamodb.units()
    }

    /// Returns the ledger's items, as text.
    pub fn items(&self) -> Vec<String> {
        self.dynamodb.items(&self.stack().table, self.wall())
    }

    /// Returns the stack.
    pub fn stack(&self) -> Stack {
        Stack {
            table: "kinglet".to_owned(),
            work_bucket: s3::BUCKETS[0].to_owned(),
            functions: FunctionNames {
                splitter: "splitter".to_owned(),
                mapper: "mapper".to_owned(),
                mapper_large: Some("mapper-large".to_owned()),
                reducer: "reducer".to_owned(),
            },
            timeout_ms: self.conditions.timeout.as_millis() as u64,
        }
    }

    /// Returns the conductor of a process.
    pub fn conductor(&self, machine: &Arc<Machine>) -> Conductor {
        Conductor::new(machine.clients(), self.stack()).in_turn()
    }

    /// Returns the conductor of somebody who looks at the region from outside, whom no fault strikes.
    pub fn observer(self: &Arc<Self>) -> Conductor {
        self.conductor(&Machine::start(self, "observer", Nature::SAFE))
    }

    /// Serves a request.
    pub async fn serve(self: &Arc<Self>, machine: &Arc<Machine>, asked: &Asked, fault: Option<&Fault>) -> Reply {
        let kind = fault.map(|fault| fault.struck.kind);
        let refused = match fault {
            Some(fault) if kind == Some(Kind::Refuse) => Some(refusal(asked, fault.pick)),
            _ => self.storm(asked).or_else(|| self.skewed(asked)),
        };
        let refuses = refused.is_some();
        let mut reply = match (refused, asked.service) {
            (Some(refused), _) => refused,
            (None, Service::S3) => self.s3.serve(asked, &self.chance).await,
            (None, Service::DynamoDb) => self.dynamodb.serve(asked, kind == Some(Kind::Partial)),
            (None, Service::Lambda) => self.lambda.serve(self, asked).await,
        };
        if let Ok(date) = http::HeaderValue::from_str(&http_date(self.wall())) {
            reply.headers.insert("date", date);
        }
        self.trace.count(&asked.operation);
        let note = if refuses { " (a fault)" } else { "" };
        self.says(&format!(
            "{}-{} {} {:x} → {}{note}",
            machine.role,
            machine.number,
            asked.step(),
            body_hash(&asked.body),
            reply.status
        ));
        reply
    }

    /// Refuses every other request to the work bucket while there is a storm.
    fn storm(&self, asked: &Asked) -> Option<Reply> {
        let (from, to) = self.conditions.storm?;
        let now = self.since_start();
        let strikes = asked.service == Service::S3
            && asked.parts.uri.path().starts_with("/kinglet-work/")
            && (from..to).contains(&now)
            && self.chance.hits(500_000);
        strikes.then(|| s3::refusal(503, "SlowDown", "Please reduce your request rate."))
    }

    /// Refuses requests that were signed at another time.
    fn skewed(&self, asked: &Asked) -> Option<Reply> {
        let ours = self.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let off = asked.signed_at()?.abs_diff(ours);
        match asked.service {
            Service::S3 if off > Duration::from_millis(model::s3::SKEW_MS_MAX) => Some(s3::refusal(
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the server's time is too large.",
            )),
            Service::DynamoDb | Service::Lambda if off > Duration::from_millis(model::dynamodb::SKEW_MS_MAX) => {
                Some(dynamodb::refusal("InvalidSignatureException", "Signature expired."))
            }
            _ => None,
        }
    }
}

/// Returns one of the ways in which a service refuses a request for now.
fn refusal(asked: &Asked, pick: u64) -> Reply {
    let writes = matches!(asked.parts.method, http::Method::PUT | http::Method::POST);
    match (asked.service, pick % 3) {
        (Service::S3, 0) => s3::refusal(503, "SlowDown", "Please reduce your request rate."),
        (Service::S3, 1) if writes => {
            s3::refusal(409, "ConditionalRequestConflict", "A conflicting operation occurred. Try again.")
        }
        (Service::S3, _) => s3::refusal(500, "InternalError", "We encountered an internal error. Please try again."),
        (Service::DynamoDb, 0) => {
            dynamodb::refusal("ProvisionedThroughputExceededException", "The level of throughput was exceeded.")
        }
        (Service::DynamoDb, 1) => dynamodb::refusal("ThrottlingException", "Rate exceeded"),
        (Service::DynamoDb, _) => dynamodb::refusal("InternalServerError", "The request processing has failed."),
        (Service::Lambda, _) => crate::lambda::refusal(429, "TooManyRequestsException", "Rate Exceeded."),
    }
}

/// Returns a time as it stands in the header `Date` (RFC 9110, section 5.6.7).
fn http_date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let date = aws_smithy_types::DateTime::from_secs(seconds.cast_signed());
    date.fmt(aws_smithy_types::date_time::Format::HttpDate).unwrap_or_default()
}
