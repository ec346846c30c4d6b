//! Functions called on a stack: `map`, `call`, `map_reduce`, and the futures that they return.
//!
//! A map is a job in the ledger whose input is made: each call's input is an item, a batch of calls is a map task, and the
//! results are what the task commits. The ledger makes every call count once, whatever crashes. This module cuts inputs into
//! batches, starts them, and reads the results as tasks commit.
//!
//! How many calls a batch makes is measured, unless the caller says it. A small first wave, one call a batch, shows how long
//! a call takes; the rest goes out in batches of about [`BATCH_MS_LOCAL`] or [`BATCH_MS_AWS`]. A map is therefore one or two
//! jobs in the ledger.

mod attach;
mod futures;
mod options;
mod state;
mod stats;
mod submit;

pub use futures::{CallFuture, Calls};
pub use options::CallOptions;
pub use stats::{CallStats, CallsReport};

use crate::driver::Driver;
use crate::handle::JobHandle;
use crate::submit::Submit;
use crate::{Code, Error, Job, Result, Value};
use kinglet_aws::on_heap;
use kinglet_calls::{Function, Functions, Shared};
use kinglet_core::wire::spec::{CallsSpec, FunctionSpec, Then};
use std::sync::Arc;
use std::time::Duration;

/// About how much work a batch of short calls is, in milliseconds: enough to make the cost of an invocation small next to
/// it, and little enough that all functions have work and results come soon.
const BATCH_MS_LOCAL: f64 = 50.0;
const BATCH_MS_AWS: f64 = 200.0;

/// The most calls that a measured batch has.
const BATCH_CALLS_MAX: usize = 2_000;

/// A map of fewer calls than this is sent at once, one call a batch, as measuring would gain nothing.
const PROBE_WORTH: usize = 16;

/// The most calls of the first wave.
const PROBE_CALLS_MAX: usize = 16;

/// How long the first wave is waited for. If fewer than half of its calls are done by then, calls are long, and the rest is
/// sent one a batch.
const PROBE_WAIT_LOCAL: Duration = Duration::from_millis(400);
const PROBE_WAIT_AWS: Duration = Duration::from_secs(3);

impl Driver {
    /// Calls a function once for each input, on as many functions at once as the stack has, and returns a future for each
    /// call. Returns as soon as all calls are sent; they run whether or not anybody waits.
    ///
    /// The driver fetches the results, so keep it until they are there. In
    /// `let calls = Driver::local().await?.map(…).await?;` it is dropped at the end of the line, and the calls end with
    /// `driver-closed`.
    ///
    /// ```no_run
    /// use kinglet::{Driver, Registry};
    ///
    /// fn square(n: u64) -> u64 {
    ///     n * n
    /// }
    ///
    /// fn main() -> std::process::ExitCode {
    ///     kinglet::main(Registry::new().function(square), async || {
    ///         let driver = Driver::local().await?;
    ///         let squares = driver.map(square, 0..1_000).await?.results().await?;
    ///         println!("{}", squares.iter().sum::<u64>());
    ///         Ok(())
    ///     })
    /// }
    /// ```
    ///
    /// A call may run more than once, for example after a crash, and even twice at the same time; one result counts. Short
    /// calls are sent many to an invocation; how many follows from how long the first ones take, unless [`Driver::map_with`]
    /// is told.
    ///
    /// # Errors
    /// `function-not-registered` when [`crate::main`] was not given the function; `no-inputs`; `value-encode` when an input
    /// does not serialise; `shipping-forbidden` when the stack runs no shipped programs; `program-…` when the
    /// [program](crate::Program) does not fit the functions; [a service error](crate#errors). What goes wrong with a call is
    /// that call's result.
    pub async fn map<M, F: Function<M>>(
        &self,
        function: F,
        inputs: impl IntoIterator<Item = F::Input>,
    ) -> Result<Calls<F::Output>> {
        self.map_with(function, inputs, CallOptions::new()).await
    }

    /// Does what [`Driver::map`] does, with choices.
    ///
    /// # Errors
    /// `calls-per-batch`, `calls-at-once` and `ceiling` when a choice makes no sense; `prices` when those of the stack's region
    /// are not known and the map has a ceiling; otherwise as [`Driver::map`].
    pub async fn map_with<M, F: Function<M>>(
        &self,
        function: F,
        inputs: impl IntoIterator<Item = F::Input>,
        options: CallOptions,
    ) -> Result<Calls<F::Output>> {
        let function = self.function_spec(function)?;
        on_heap(|| submit::map(self, function, inputs.into_iter().collect(), &options)).await
    }

    /// Calls a function once. The returned future can be awaited, or asked.
    ///
    /// ```no_run
    /// # fn square(n: u64) -> u64 { n * n }
    /// # async fn run(driver: kinglet::Driver) -> kinglet::Result<()> {
    /// let nine: u64 = driver.call(square, 3).await?.await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Driver::map`].
    pub async fn call<M, F: Function<M>>(&self, function: F, input: F::Input) -> Result<CallFuture<F::Output>> {
        let options = CallOptions::new().with_calls_per_batch(1);
        Ok(self.map_with(function, [input], options).await?.future(0))
    }

    /// Calls a function once for each input, and then another function once with all results, as a list in the order of the
    /// inputs. The second call runs where the results are, and only what it returns comes back to the driver. When a call
    /// fails, the reduce call fails with that call's error.
    ///
    /// ```no_run
    /// # fn square(n: u64) -> u64 { n * n }
    /// fn sum(numbers: Vec<u64>) -> u64 {
    ///     numbers.iter().sum()
    /// }
    /// # async fn run(driver: kinglet::Driver) -> kinglet::Result<()> {
    /// // Both are registered: Registry::new().function(square).function(sum)
    /// let total = driver.map_reduce(square, 0..1_000, sum).await?.await?;
    /// # Ok(()) }
    /// ```
    ///
    /// The list must fit into the memory of a reducer. If it does not, let the function return pairs and give them to a
    /// job's `reduce` with [`Driver::map_into`].
    ///
    /// # Errors
    /// As [`Driver::map`], for either function.
    pub async fn map_reduce<M, F, N, R>(
        &self,
        function: F,
        inputs: impl IntoIterator<Item = F::Input>,
        reducer: R,
    ) -> Result<CallFuture<R::Output>>
    where
        F: Function<M>,
        R: Function<N, Input = Vec<F::Output>>,
    {
        self.map_reduce_with(function, inputs, reducer, CallOptions::new()).await
    }

    /// Does what [`Driver::map_reduce`] does, with choices.
    ///
    /// # Errors
    /// As [`Driver::map_with`], for either function.
    pub async fn map_reduce_with<M, F, N, R>(
        &self,
        function: F,
        inputs: impl IntoIterator<Item = F::Input>,
        reducer: R,
        options: CallOptions,
    ) -> Result<CallFuture<R::Output>>
    where
        F: Function<M>,
        R: Function<N, Input = Vec<F::Output>>,
    {
        let (function, reducer) = (self.function_spec(function)?, self.function_spec(reducer)?);
        on_heap(|| submit::map_reduce(self, function, inputs.into_iter().collect(), reducer, &options)).await
    }

    /// Calls a function once for each input and hands the pairs that it returns to a job's `reduce`, shuffled and sorted, as
    /// if the job's own `map` had emitted them. The job's `map` is not called.
    ///
    /// A call that fails fails the job, as a record does.
    ///
    /// # Errors
    /// As [`Driver::map`] and [`Driver::submit`].
    pub async fn map_into<M, F, J>(
        &self,
        function: F,
        inputs: impl IntoIterator<Item = F::Input>,
        job: &J,
        submit: Submit,
    ) -> Result<JobHandle>
    where
        F: Function<M, Output = Vec<(J::Key, J::Value)>>,
        J: Job,
        F::Input: Value,
    {
        let function = self.function_spec(function)?;
        let calls = CallsSpec { function, then: Then::Job, per_task: 1, at_once: None };
        self.submit_made::<J, F::Input>(job, inputs, submit, Some(calls)).await
    }

    /// Sends a value to the stack once, for any number of calls to read: put the returned handle into their inputs. The
    /// value is kept for 7 days.
    ///
    /// ```no_run
    /// use kinglet::{Context, Driver, Shared, UserResult};
    ///
    /// fn known(context: &Context, (words, word): (Shared<Vec<String>>, String)) -> UserResult<bool> {
    ///     Ok(words.blocking_get(context)?.contains(&word))
    /// }
    /// # async fn run(driver: Driver, all: Vec<String>) -> kinglet::Result<()> {
    /// let words = driver.share(&all).await?;
    /// let asked = ["yes", "no"].map(|word| (words.clone(), word.to_owned()));
    /// let known = driver.map(known, asked).await?.results().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `value-encode` when the value does not serialise; [a service error](crate#errors).
    pub async fn share<T: Value + Sync>(&self, value: &T) -> Result<Shared<T>> {
        let conductor = &self.shared.conductor;
        // Shared values have keys of their own below `jobs/`, where the stack keeps things for 7 days.
        let key = format!("jobs/{}/shared", conductor.new_id());
        Shared::put(&conductor.objects, &conductor.stack.work_bucket, &key, value).await
    }

    fn function_spec<M, F: Function<M>>(&self, function: F) -> Result<FunctionSpec> {
        let (name, signature) = functions().find(function)?;
        Ok(FunctionSpec { name, signature })
    }
}

fn functions() -> Arc<Functions> {
    crate::entry::functions()
}

/// Returns the error of a map without inputs; every other kind of input refuses that too.
fn no_inputs(function: &FunctionSpec) -> Error {
    Error::new(Code::NoInputs, format!("there are no inputs for {}", function.name)).with_hint("give it at least one")
}
