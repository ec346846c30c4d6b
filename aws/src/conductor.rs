//! A stack's parts in one hand: what its functions and its drivers act with. [`crate::conduct`], [`crate::output`] and
//! [`crate::calls`] say how they act.

use crate::beside::Beside;
use crate::clients::Clients;
use crate::functions::{FunctionNames, Functions};
use crate::ledger::Ledger;
use crate::objects::{Objects, SMALL_BYTES_MAX};
use crate::random::nonce;
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::ledger::JobView;
use kinglet_core::wire::frame;
use kinglet_core::wire::plan::{PlanIndex, Split};
use kinglet_core::wire::record::{Requests, Usage};
use kinglet_core::wire::spec::JobSpec;
use kinglet_core::{ByteRange, Code, Error, Result};

/// The names of a stack's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The ledger's table.
    pub table: String,
    /// The bucket for specs, plans, runs and shipped programs.
    pub work_bucket: String,
    /// The functions.
    pub functions: FunctionNames,
    /// The functions' timeout in milliseconds.
    pub timeout_ms: u64,
}

/// Acts for the jobs of a stack: reads and writes the ledger, S3 and Lambda.
#[derive(Clone)]
pub struct Conductor {
    /// S3.
    pub objects: Objects,
    /// DynamoDB.
    pub ledger: Ledger,
    /// Lambda.
    pub functions: Functions,
    /// The stack.
    pub stack: Stack,
    /// The clients behind these.
    pub clients: Clients,
    /// Whether this is a function, whose requests nobody else counts, and not the driver.
    pub(crate) in_function: bool,
    /// Whether no function with more rights acts for these jobs.
    alone: bool,
    /// How engines run beside its requests.
    pub beside: Beside,
    /// The event bus that is told of each job's end.
    pub(crate) bus: Option<String>,
}

impl Conductor {
    /// Returns a driver's conductor of a stack.
    pub fn new(clients: Clients, stack: Stack) -> Self {
        Conductor {
            objects: Objects::new(&clients),
            ledger: Ledger::new(clients.dynamodb.clone(), &stack.table, clients.meter.clone(), clients.clock.clone()),
            functions: Functions::new(clients.lambda.clone(), stack.functions.clone()),
            stack,
            clients,
            in_function: false,
            alone: false,
            beside: Beside::default(),
            bus: None,
        }
    }

    /// Returns the same for a stack that tells an event bus of each job's end.
    #[must_use]
    pub fn telling(self, bus: Option<String>) -> Self {
        Conductor { bus, ..self }
    }

    /// Returns the same for a function.
    #[must_use]
    pub fn in_function(self) -> Self {
        Conductor { in_function: true, ..self }
    }

    /// Returns the same for a driver whose functions have no more rights than it: an error of its own then decides the job.
    #[must_use]
    pub fn alone(self) -> Self {
        Conductor { alone: true, ..self }
    }

    /// Returns the same for a process with one thread, in which engines run in turn with requests.
    #[must_use]
    pub fn in_turn(self) -> Self {
        Conductor { beside: Beside::InTurn, ..self }
    }

    /// Makes a new id for a job.
    pub fn new_id(&self) -> JobId {
        let random = u64::from(nonce()) << 32 | u64::from(nonce());
        JobId::new(self.now(), random)
    }

    /// Returns the prefix of all keys of a job in the work bucket.
    pub fn prefix(job: &JobId) -> String {
        format!("jobs/{job}/")
    }

    /// Returns the key of a job's spec in the work bucket.
    pub fn spec_key(job: &JobId) -> String {
        format!("jobs/{job}/spec")
    }

    /// Returns the key of one of a job's plans in the work bucket. Each splitter writes a plan of its own; the ledger says
    /// which counts.
    pub fn plan_key(job: &JobId, plan: &str) -> String {
        format!("jobs/{job}/plan/{plan}")
    }

    /// Returns the key of a job's items in the work bucket.
    pub fn items_key(job: &JobId) -> String {
        format!("jobs/{job}/items")
    }

    /// Reads the job's spec.
    ///
    /// # Errors
    /// Returns `object-missing` when the spec is gone, `frame-version` when another version of Kinglet wrote it, or a service
    /// error of S3.
    pub async fn spec(&self, job: &JobId) -> Result<JobSpec> {
        let bytes = self.objects.get_whole(&self.stack.work_bucket, &Self::spec_key(job), SMALL_BYTES_MAX).await?;
        frame::read(&bytes, &format!("the spec of job {job}"))
    }

    /// Reads one split of a plan.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn split(&self, job: &JobId, plan: &str, at: ByteRange) -> Result<Split> {
        let bytes = self.objects.get(&self.stack.work_bucket, &Self::plan_key(job, plan), Some(at.into())).await?;
        frame::read(&bytes, &format!("a split of job {job}"))
    }

    /// Reads the index of the plan: where each split lies in it.
    pub(crate) async fn plan_index(&self, job: &JobId, view: &JobView) -> Result<PlanIndex> {
        let range = Some((0, PlanIndex::bytes(view.planned_tasks())));
        let key = Self::plan_key(job, plan_of(job, view)?);
        PlanIndex::read(&self.objects.get(&self.stack.work_bucket, &key, range).await?)
    }

    /// Returns the services' time.
    pub fn now(&self) -> Timestamp {
        self.clients.clock.now()
    }

    /// Returns whether an error decides the job, and not only concerns this process: a driver may lack rights that functions
    /// have.
    pub(crate) fn decides(&self, error: &Error) -> bool {
        let of_driver = error
            .known_code()
            .is_some_and(|code| matches!(code, Code::AccessDenied | Code::Region) || code.is_of_credentials());
        !error.is_retryable() && (self.in_function || self.alone || !of_driver)
    }

    /// Returns what a function has spent on the job outside of its own task. A driver counts its requests itself.
    pub(crate) fn usage_since(&self, before: &Requests, started_at: Timestamp) -> Option<Usage> {
        let requests = self.clients.meter.since(before);
        self.in_function.then(|| Usage { started_at, requests, ..Usage::default() })
    }
}

/// Returns the id of the job's plan that counts.
pub(crate) fn plan_of<'a>(job: &JobId, view: &'a JobView) -> Result<&'a str> {
    view.plan.as_deref().ok_or_else(|| Error::new(Code::PlanCorrupt, format!("job {job} has no plan")))
}
