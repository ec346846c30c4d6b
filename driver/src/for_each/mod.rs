//! A function called for each object of a listing, a manifest or an inventory, and a report of what became of each: what S3 Batch
//! Operations do with a function.
//!
//! ```text
//! source.rs ──lots of objects──▶ a map of calls ──those that failed──▶ another map, …, as often as they may be tried
//!                                      │ what became of each
//!                                      ▼
//!                          completion.rs: succeeded part, failed part ──▶ manifest.json
//! ```
//!
//! A lot is a map, so the ledger makes each call count once, and a call that kills its worker fails alone. The driver holds one lot at a
//! time, and its parts of the report leave by multipart uploads: what it takes of memory follows from a lot, not from the objects.
//! The price is that the driver must stay to the end, and that the calls of a lot wait for the slowest of the lot before.

mod completion;
mod source;

use crate::report::{Cost, Requests};
use crate::{CallOptions, Code, Driver, Error, Function, PathCondition, Result, S3Object};
use completion::{Completion, Outcome};
use kinglet_core::budget::{OBJECT_PAUSE_MS_MAX, OBJECT_TRIES, OBJECTS_PER_LOT};
use kinglet_core::prices::Prices;
use serde::{Deserialize, Serialize};
use source::{ObjectsOf, Source};
use std::fmt::Display;
use std::time::Duration;

/// The pause before the second try, which doubles before each further one, up to [`OBJECT_PAUSE_MS_MAX`].
const PAUSE_LOCAL: Duration = Duration::from_millis(50);
const PAUSE_AWS: Duration = Duration::from_secs(1);

/// Which objects a function is called for, and where the report goes: for [`Driver::for_each_object`].
///
/// ```
/// use kinglet::ForEachObject;
///
/// let photos = ForEachObject::of(["s3://photos/2026/"], "s3://results/reports/").with_tries(5);
/// let again = ForEachObject::in_manifest("s3://results/reports/job-…/results/….csv", "s3://results/reports/");
/// let all = ForEachObject::in_inventory("s3://inventories/photos/daily/2026-11-06T01-00Z/manifest.json", "reports");
/// ```
#[derive(Clone, Debug)]
#[must_use = "hand it to `Driver::for_each_object`"]
pub struct ForEachObject {
    from: ObjectsOf,
    report: String,
    tries: u16,
    calls: CallOptions,
    failed_only: bool,
}

impl ForEachObject {
    fn new(from: ObjectsOf, report: impl Into<String>) -> Self {
        ForEachObject {
            from,
            report: report.into(),
            tries: OBJECT_TRIES,
            calls: CallOptions::new(),
            failed_only: false,
        }
    }

    /// Takes the objects of `inputs` (files, directories, patterns, `s3://` URIs) as a job would: hidden ones are left out, and each
    /// has the ETag and the size that the listing says. The report goes below `report`, a directory or an `s3://` prefix.
    ///
    /// The listing is held in memory, at about 200 bytes an object; a manifest and an inventory are not.
    pub fn of<I>(inputs: I, report: impl Into<String>) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let inputs = inputs.into_iter().map(Into::into).collect();
        Self::new(ObjectsOf::Inputs { inputs, conditions: vec![] }, report)
    }

    /// Takes the objects that a manifest names, a file of this machine or an `s3://` URI: CSV of `bucket,key` or
    /// `bucket,key,version`, all lines alike, keys URL-encoded, as S3 Batch Operations take it. A part of a completion report is one,
    /// too.
    pub fn in_manifest(manifest: impl Into<String>, report: impl Into<String>) -> Self {
        Self::new(ObjectsOf::Manifest(manifest.into()), report)
    }

    /// Takes the objects that an S3 Inventory report lists, named by its `s3://BUCKET/…/manifest.json`: every version that it
    /// lists, but no delete markers.
    pub fn in_inventory(manifest: impl Into<String>, report: impl Into<String>) -> Self {
        Self::new(ObjectsOf::Inventory(manifest.into()), report)
    }

    /// Takes of the inputs only the objects whose path says these values, as [`crate::Submit::with_conditions`]. A manifest or an
    /// inventory is not asked.
    pub fn with_conditions(mut self, only: impl IntoIterator<Item = PathCondition>) -> Self {
        if let ObjectsOf::Inputs { conditions, .. } = &mut self.from {
            conditions.extend(only);
        }
        self
    }

    /// Sets how often the function is called at most for an object for which it fails: 3 times by default, at least once. Before the
    /// second try passes a second, and twice as long before each further one, up to 30 s.
    pub fn with_tries(self, tries: u16) -> Self {
        ForEachObject { tries: tries.max(1), ..self }
    }

    /// Sets how many calls share an invocation, as [`CallOptions::with_calls_per_batch`]. By default that is measured.
    pub fn with_calls_per_batch(self, calls: usize) -> Self {
        ForEachObject { calls: self.calls.with_calls_per_batch(calls), ..self }
    }

    /// Sets how many calls of a batch run at once, as [`CallOptions::with_calls_at_once`]: by default one for each thread. Choose
    /// more for functions that wait for S3.
    pub fn with_calls_at_once(self, calls: usize) -> Self {
        ForEachObject { calls: self.calls.with_calls_at_once(calls), ..self }
    }

    /// Reports the objects alone for which the function failed.
    pub fn with_failed_only(self) -> Self {
        ForEachObject { failed_only: true, ..self }
    }
}

/// What became of a function's calls for objects; the objects themselves are in the report's parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CompletionReport {
    /// Where the report's manifest lies: a path or an `s3://` URI.
    pub manifest: String,
    /// For how many objects the function succeeded.
    pub succeeded: u64,
    /// For how many it failed, the last time too.
    pub failed: u64,
    /// How many calls were made, further tries included.
    pub calls: u64,
    /// Requests of the calls' batches, and of this driver.
    pub requests: Requests,
    /// Function time times memory, in GB-seconds, of the committed batches.
    pub gb_seconds: f64,
    /// What that would cost on AWS (us-east-1, x86_64), in US dollars.
    pub cost: Cost,
}

impl CompletionReport {
    /// Returns how many objects there were.
    pub fn objects(&self) -> u64 {
        self.succeeded + self.failed
    }
}

impl Driver {
    /// Calls a function for each object, again for those for which it fails, and writes a report in the layout of S3 Batch Operations:
    /// which object, whether it succeeded, an error code, an HTTP status, and what the function said. What the function returns is
    /// written as its text.
    ///
    /// ```no_run
    /// use kinglet::{Context, Driver, ForEachObject, Registry, S3Object, UserError, UserResult};
    ///
    /// fn words(context: &Context, object: S3Object) -> UserResult<String> {
    ///     let bytes = context.blocking_read(&object)?;
    ///     let text = std::str::from_utf8(&bytes).map_err(|e| UserError::permanent(e.to_string()))?;
    ///     Ok(format!("{} words", text.split_whitespace().count()))
    /// }
    ///
    /// fn main() -> std::process::ExitCode {
    ///     kinglet::main(Registry::new().function(words), async || {
    ///         let driver = Driver::local().await?;
    ///         let done = driver.for_each_object(words, ForEachObject::of(["books/"], "reports")).await?;
    ///         println!("{} of {} failed: {}", done.failed, done.objects(), done.manifest);
    ///         Ok(())
    ///     })
    /// }
    /// ```
    ///
    /// An object for which the function fails fails alone. It is called again unless the error is one that another try cannot mend:
    /// [`UserError::permanent`](crate::UserError::permanent), an object that is missing or has changed, a missing permission, or
    /// running out of time or memory, which the ledger has tried again already.
    ///
    /// The report is there whole or not at all: its manifest is written last, once, and what has no manifest is no report. The driver
    /// must live until then; if it dies, call the function again for all objects.
    ///
    /// # Errors
    /// What keeps the whole from being done: `input-missing` when there is no object at all; `inventory` and `input-list` when an
    /// inventory or a manifest is none; `object-missing`; `output`, `output-kind`, `output-unwritable` of the report's place; `local-path`
    /// on AWS; otherwise as [`Driver::map`]. What goes wrong with an object is in the report.
    pub async fn for_each_object<M, F>(&self, function: F, of: ForEachObject) -> Result<CompletionReport>
    where
        F: Function<M, Input = S3Object>,
        F::Output: Display,
    {
        let mut completion = Completion::begin(&self.shared, &of.report, of.failed_only)?;
        let done = self.call_for_each(function, of, &mut completion).await;
        if done.is_err() {
            completion.abort().await;
        }
        done
    }

    async fn call_for_each<M, F>(
        &self,
        function: F,
        of: ForEachObject,
        completion: &mut Completion,
    ) -> Result<CompletionReport>
    where
        F: Function<M, Input = S3Object>,
        F::Output: Display,
    {
        let ForEachObject { from, tries, calls, .. } = of;
        let meter = &self.shared.conductor.clients.meter;
        let mut seen = meter.totals();
        let mut source = Source::open(&self.shared, from).await?;
        let mut spent = Spent::default();
        loop {
            let lot = source.next(OBJECTS_PER_LOT).await?;
            if lot.is_empty() {
                break;
            }
            let mut outcomes: Vec<Option<Outcome>> = Vec::new();
            outcomes.resize_with(lot.len(), || None);
            let mut open: Vec<usize> = (0..lot.len()).collect();
            for number in 1..=tries {
                let inputs: Vec<S3Object> = open.iter().map(|at| lot[*at].clone()).collect();
                spent.outside(Requests::counted(meter.since(&seen)));
                let made = self.map_with(function, inputs, calls.clone()).await?;
                made.wait_all().await;
                let mut again = Vec::new();
                for (n, at) in open.iter().enumerate() {
                    let result = made.future(n).try_result().unwrap_or_else(|| Err(never_ended()));
                    if let Err(error) = &result
                        && error.is(Code::DriverClosed)
                    {
                        return Err(error.clone());
                    }
                    if number < tries && result.as_ref().is_err_and(may_mend) {
                        again.push(*at);
                    }
                    outcomes[*at] = Some(Outcome::of(n, result.map(|value| value.to_string())));
                }
                spent.add(&made.report());
                seen = meter.totals();
                open = again;
                if open.is_empty() {
                    break;
                }
                tokio::time::sleep(self.pause_before(number)).await;
            }
            for (object, outcome) in lot.iter().zip(&outcomes) {
                let Some(outcome) = outcome else { return Err(never_ended()) };
                completion.add(source.called(&object.bucket), object, outcome).await?;
            }
        }
        if completion.objects() == 0 {
            return Err(source.nothing());
        }
        let done = completion.finish(self.shared.conductor.now()).await?;
        spent.outside(Requests::counted(meter.since(&seen)));
        let Spent { calls, requests, gb_seconds } = spent;
        Ok(CompletionReport {
            manifest: done.manifest,
            succeeded: done.succeeded,
            failed: done.failed,
            calls,
            requests,
            gb_seconds,
            cost: Cost::of(gb_seconds, &requests, &Prices::of_us_east_1("x86_64")),
        })
    }

    /// Returns how long to wait when the calls that were tried so often have failed.
    fn pause_before(&self, tried: u16) -> Duration {
        let first = if self.shared.is_local() { PAUSE_LOCAL } else { PAUSE_AWS };
        first.saturating_mul(1 << u32::from(tried - 1).min(10)).min(Duration::from_millis(OBJECT_PAUSE_MS_MAX))
    }
}

/// Returns whether another call may succeed.
fn may_mend(error: &Error) -> bool {
    matches!(error.known_code(), Some(Code::CallFailed | Code::Panic)) || error.is_retryable()
}

fn never_ended() -> Error {
    Error::new(Code::CallOpen, "a call of the function has not ended")
}

/// What the calls have taken so far.
#[derive(Default)]
struct Spent {
    calls: u64,
    requests: Requests,
    gb_seconds: f64,
}

impl Spent {
    /// Adds a map, with what the driver has sent since it began.
    fn add(&mut self, report: &crate::CallsReport) {
        self.calls += report.calls;
        self.requests += report.requests;
        self.gb_seconds += report.gb_seconds;
    }

    /// Adds what the driver has sent besides.
    fn outside(&mut self, requests: Requests) {
        // Invocations are the batches', which each map counts.
        self.requests += Requests { lambda: 0, ..requests };
    }
}
