//! Attaching to calls that this program or another sent before: the ledger and the specs say all that is needed.

use super::futures::{CallFuture, Calls};
use super::state::{State, follow};
use crate::driver::Driver;
use crate::{Code, Error, Result, Value};
use kinglet_calls::returns;
use kinglet_core::ids::JobId;
use kinglet_core::wire::spec::{CallsSpec, FunctionSpec, JobSpec, Objects, Then};
use std::any::type_name;
use std::sync::Arc;

/// A job of calls, as its spec describes it.
struct Sent {
    job: JobId,
    spec: JobSpec,
    calls: CallsSpec,
    count: usize,
    tasks: usize,
}

impl Driver {
    /// Attaches to a map that any program sent before with [`Driver::map`]: to wait for its results, of which those that are
    /// there come at once, or to cancel it. Give it all of the ids that [`Calls::jobs`] returned, in any order. If one of
    /// two is missing, calls are numbered from the first call of the job that is named.
    ///
    /// ```no_run
    /// # async fn run(driver: kinglet::Driver, jobs: Vec<kinglet::JobId>) -> kinglet::Result<()> {
    /// let squares = driver.attach_map::<u64>(&jobs).await?.results().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `job-missing`; `jobs-missing` when no job is named; `job-kind` when a job is not one of a map; `jobs-of-two-maps`;
    /// `output-type` when the function returns another type; `frame-version` when another version of Kinglet sent the map;
    /// [a service error](crate#errors). If the map was cancelled, that is the error of the calls that were ended by it.
    pub async fn attach_map<O: Value>(&self, jobs: &[JobId]) -> Result<Calls<O>> {
        // Ids sort by time, and a map sends its calls in order.
        let mut jobs = jobs.to_vec();
        jobs.sort_unstable();
        jobs.dedup();
        let mut waves = Vec::new();
        for job in jobs {
            let sent = self.sent(job).await?;
            if sent.calls.then != Then::Collect {
                return Err(other_kind(&sent.job, &sent.spec, "a map whose results are fetched"));
            }
            waves.push(sent);
        }
        let function = match &waves[..] {
            [first, ..] => first.calls.function.clone(),
            [] => {
                return Err(
                    Error::new(Code::JobsMissing, "a map has at least one job").with_hint("name all of its jobs")
                );
            }
        };
        if let Some(other) = waves.iter().find(|wave| wave.calls.function != function) {
            let message = format!(
                "job {} calls {}, and job {} {}",
                waves[0].job, function.name, other.job, other.calls.function.name
            );
            return Err(Error::new(Code::JobsOfTwoMaps, message).with_hint("attach to each map by itself"));
        }
        check_output::<O>(&waves[0].job, &function)?;
        let count = waves.iter().map(|wave| wave.count).sum();
        let state = State::new(&self.shared, &function.name, count, false);
        let mut first = 0;
        for wave in waves {
            let calls = first..first + wave.count;
            first = calls.end;
            state.add_wave(wave.job, calls, wave.tasks, wave.spec.submitted_at);
        }
        self.follow(&state).await?;
        Ok(Calls::new(state))
    }

    /// Attaches to a [`Driver::map_reduce`] that any program sent before: to wait for its result, which comes at once if it
    /// is there, or to cancel it. [`CallFuture::report`] names its job.
    ///
    /// # Errors
    /// As [`Driver::attach_map`]; the type is what the reducing function returns.
    pub async fn attach_map_reduce<O: Value>(&self, job: &JobId) -> Result<CallFuture<O>> {
        let sent = self.sent(job.clone()).await?;
        let Then::Reduce(reducer) = &sent.calls.then else {
            return Err(other_kind(&sent.job, &sent.spec, "a map whose results are reduced by a function"));
        };
        check_output::<O>(job, reducer)?;
        let state = State::new(&self.shared, &reducer.name, 1, true);
        state.add_wave(sent.job, 0..1, sent.tasks, sent.spec.submitted_at);
        self.follow(&state).await?;
        Ok(CallFuture::new(state, 0))
    }

    /// Fetches the results that are there, and follows the other calls.
    async fn follow(&self, state: &Arc<State>) -> Result<()> {
        state.look(&self.shared.conductor).await?;
        follow(&self.shared, state);
        Ok(())
    }

    async fn sent(&self, job: JobId) -> Result<Sent> {
        // For a missing job, the error of the ledger is better than that of the missing spec.
        self.shared.conductor.ledger.job(&job).await?;
        let spec = self.shared.conductor.spec(&job).await?;
        let made = spec.inputs.first().and_then(|input| match &input.objects {
            Objects::Items(made) => Some(made),
            _ => None,
        });
        let (Some(calls), Some(made)) = (spec.calls.clone(), made) else {
            return Err(other_kind(&job, &spec, "a map of a function"));
        };
        let count = usize::try_from(made.items).unwrap_or(usize::MAX);
        let tasks = made.splits as usize;
        Ok(Sent { job, spec, calls, count, tasks })
    }
}

fn other_kind(job: &JobId, spec: &JobSpec, wanted: &str) -> Error {
    let (is, hint) = match spec.calls.as_ref().map(|calls| &calls.then) {
        Some(Then::Collect) => ("a map whose results are fetched", "attach to it with `Driver::attach_map`"),
        Some(Then::Reduce(_)) => {
            ("a map whose results are reduced by a function", "attach to it with `Driver::attach_map_reduce`")
        }
        Some(Then::Job) | None => ("a job with an output of its own", "attach to it with `Driver::attach`"),
    };
    Error::new(Code::JobKind, format!("job {job} ({}) is {is}, not {wanted}", spec.job)).with_hint(hint)
}

/// Checks the type that the program expects: results of another type would be misread.
fn check_output<O>(job: &JobId, function: &FunctionSpec) -> Result<()> {
    if returns::<O>(&function.signature) {
        return Ok(());
    }
    let FunctionSpec { name, signature } = function;
    let message = format!("the results of job {job} are those of {name}, {signature}, not {}", type_name::<O>());
    Err(Error::new(Code::OutputType, message).with_hint("attach to it with the type that the function returns"))
}
