//! What a map and a call return: results that are still to come.

use super::state::{Ended, State};
use super::stats::{CallStats, CallsReport};
use crate::{Code, Error, Result, Value};
use kinglet_core::codec;
use kinglet_core::ids::JobId;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The calls of a map: results in the order of the inputs or as they come, waiting for some or all, cancelling, and what the
/// calls took.
///
/// A call that fails does not touch the others: its result is its error.
///
/// ```no_run
/// # fn parse(text: String) -> kinglet::UserResult<i64> { Ok(text.parse()?) }
/// # async fn run(driver: kinglet::Driver, texts: Vec<String>) -> kinglet::Result<()> {
/// let mut calls = driver.map(parse, texts).await?;
/// while let Some((input, result)) = calls.next().await {
///     match result {
///         Ok(number) => println!("{input}: {number}"),
///         Err(error) => println!("{input}: {error}"),
///     }
/// }
/// # Ok(()) }
/// ```
///
/// Dropping it does not end the calls; [`Calls::cancel`] does. Results are kept in memory until it and all futures of it are
/// dropped.
#[must_use = "the calls run whether or not they are waited for; to end them, cancel them"]
pub struct Calls<O> {
    state: Arc<State>,
    /// How many results [`Calls::next`] has given.
    given: usize,
    output: PhantomData<fn() -> O>,
}

impl<O: Value> Calls<O> {
    pub(super) fn new(state: Arc<State>) -> Self {
        Calls { state, given: 0, output: PhantomData }
    }

    /// Returns the number of calls.
    pub fn len(&self) -> usize {
        self.state.len()
    }

    /// Returns `false`, as there is always a call.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many calls have ended, with a value or an error.
    pub fn done(&self) -> usize {
        self.state.done()
    }

    /// Returns the future of one call, by the position of its input.
    ///
    /// # Panics
    /// If there is no such input.
    pub fn future(&self, call: usize) -> CallFuture<O> {
        assert!(call < self.len(), "there are {} calls, and none has the number {call}", self.len());
        CallFuture::new(self.state.clone(), call)
    }

    /// Returns the futures of all calls, in the order of the inputs.
    pub fn futures(&self) -> impl Iterator<Item = CallFuture<O>> + use<O> {
        let state = self.state.clone();
        (0..state.len()).map(move |call| CallFuture::new(state.clone(), call))
    }

    /// Waits for all calls, or for the first that fails, and returns the values in the order of the inputs.
    ///
    /// # Errors
    /// The error of the call that fails first, as soon as it is known. The other calls go on: [`Calls::cancel`] ends them,
    /// and [`Calls::outcomes`] waits for them all.
    pub async fn results(&self) -> Result<Vec<O>> {
        let all = self.len();
        let failed = self.state.wait(|state| match state.first_failed() {
            None => (state.done() >= all).then_some(None),
            failed => Some(failed),
        });
        // The error of the call that failed comes first, so the list ends before it begins.
        failed.await.into_iter().chain(0..all).map(|call| value(&self.state, call)).collect()
    }

    /// Waits for all calls and returns the value or the error of each, in the order of the inputs.
    pub async fn outcomes(&self) -> Vec<Result<O>> {
        self.wait_all().await;
        (0..self.len()).map(|call| value(&self.state, call)).collect()
    }

    /// Waits for the next call that ends and that this method has not returned yet; returns the position of its input and
    /// its result. `None` once it has returned all.
    pub async fn next(&mut self) -> Option<(usize, Result<O>)> {
        if self.given == self.len() {
            return None;
        }
        let call = self.state.wait(|state| state.nth_ended(self.given)).await;
        self.given += 1;
        Some((call, value(&self.state, call)))
    }

    /// Waits until all calls have ended.
    pub async fn wait_all(&self) {
        let all = self.len();
        self.state.wait(|state| (state.done() >= all).then_some(())).await;
    }

    /// Waits until any call has ended, and returns which.
    pub async fn wait_any(&self) -> usize {
        self.state.wait(|state| state.nth_ended(0)).await
    }

    /// Waits until `n` calls have ended, or all if there are fewer, and returns which, in the order in which they ended.
    pub async fn wait_n(&self, n: usize) -> Vec<usize> {
        let n = n.min(self.len());
        self.state.wait(|state| (state.done() >= n).then_some(())).await;
        self.ended()
    }

    /// Waits as [`Calls::wait_n`], but no longer than `timeout`, and returns the calls that have ended by then.
    pub async fn wait_n_for(&self, n: usize, timeout: Duration) -> Vec<usize> {
        // The calls that have ended count, whether or not the time is up.
        let _ = tokio::time::timeout(timeout, self.wait_n(n)).await;
        self.ended()
    }

    /// Returns the calls that have ended, in the order in which they ended.
    pub fn ended(&self) -> Vec<usize> {
        (0..).map_while(|nth| self.state.nth_ended(nth)).collect()
    }

    /// Ends all calls that have not ended: calls that run are told ([`crate::Context::is_cancelled`]) within about two
    /// seconds, the others never begin. Results that are there stay.
    ///
    /// # Errors
    /// [A service error](crate#errors), after which it may be called again.
    pub async fn cancel(&self) -> Result<()> {
        self.state.cancel().await
    }

    /// Returns how far calls have come, from 0 to 1, for those that say so with [`crate::Context::progress`].
    ///
    /// # Errors
    /// [A service error](crate#errors).
    pub async fn progress(&self) -> Result<Vec<(usize, f32)>> {
        progress(&self.state).await
    }

    /// Returns what the map has taken so far.
    pub fn report(&self) -> CallsReport {
        self.state.report()
    }

    /// Returns the map's jobs in the ledger, by which [`crate::Driver::attach_map`] finds the map again.
    pub fn jobs(&self) -> Vec<JobId> {
        self.state.jobs()
    }
}

impl<O> fmt::Debug for Calls<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} calls of {}", self.state.done(), self.state.len(), self.state.function())
    }
}

/// A call whose result is there or still to come. It can be awaited: `let value = future.await?`.
///
/// Three methods ask for the result: [`CallFuture::done`] looks, [`CallFuture::try_result`] takes what is there, and
/// [`CallFuture::result`] waits.
#[must_use = "the call runs whether or not it is waited for; to end it, cancel it"]
pub struct CallFuture<O> {
    state: Arc<State>,
    call: usize,
    output: PhantomData<fn() -> O>,
}

impl<O> Clone for CallFuture<O> {
    fn clone(&self) -> Self {
        CallFuture { state: self.state.clone(), call: self.call, output: PhantomData }
    }
}

impl<O: Value> CallFuture<O> {
    pub(super) fn new(state: Arc<State>, call: usize) -> Self {
        CallFuture { state, call, output: PhantomData }
    }

    /// Returns the position of the call's input in its map.
    pub fn call(&self) -> usize {
        self.call
    }

    /// Returns whether the call has ended, with a value or an error.
    pub fn done(&self) -> bool {
        self.state.is_done(self.call)
    }

    /// Returns the result, if the call has ended.
    pub fn try_result(&self) -> Option<Result<O>> {
        self.done().then(|| value(&self.state, self.call))
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// Why the call failed: [`Error::UserCode`] with `call-failed` or `panic`; [`Error::Limit`] with `out-of-memory` or
    /// `result-too-large`; [`Error::Service`] with `crashed` or `timed-out`; [`Error::Cancelled`]; or another error. A call
    /// that ends its shipped program may also fail with [`Error::UserCode`] and `exited` or `stack-overflow`.
    pub async fn result(&self) -> Result<O> {
        self.state.wait(|state| state.is_done(self.call).then_some(())).await;
        value(&self.state, self.call)
    }

    /// Ends the call, unless it has ended: a call that runs is told ([`crate::Context::is_cancelled`]) within about two
    /// seconds, and one that has not begun never does. Cancelling the call of [`crate::Driver::map_reduce`] ends all calls
    /// of the map.
    ///
    /// # Errors
    /// `calls-cancelled` when 50,000 calls of the map were already cancelled one by one: [`Calls::cancel`] ends them all; [a
    /// service error](crate#errors).
    pub async fn cancel(&self) -> Result<()> {
        let (Some(shared), Some((job, number))) = (self.state.shared(), self.state.place_of(self.call)) else {
            return Ok(());
        };
        if self.state.is_reduced() {
            return self.state.cancel().await;
        }
        if !self.done() {
            shared.conductor.ledger.cancel_calls(&job, &[number]).await?;
            let error = Error::new(Code::Cancelled, format!("call {} was cancelled", self.call));
            self.state.end(self.call, Ended { value: Err(error), stats: CallStats::default(), log: vec![] });
        }
        Ok(())
    }

    /// Returns how far the call says it has come, from 0 to 1; `None` if it has said nothing, as is always so of a reduce
    /// call.
    ///
    /// # Errors
    /// [A service error](crate#errors).
    pub async fn progress(&self) -> Result<Option<f32>> {
        if self.state.is_reduced() {
            return Ok(None);
        }
        let all = progress(&self.state).await?;
        Ok(all.into_iter().find(|(call, _)| *call == self.call).map(|(_, done)| done))
    }

    /// Returns what the call took, once it has ended.
    pub fn stats(&self) -> Option<CallStats> {
        self.state.ended(self.call).map(|ended| ended.stats)
    }

    /// Returns what all calls of its map have taken so far, this one included: requests, time and cost.
    pub fn report(&self) -> CallsReport {
        self.state.report()
    }

    /// Returns what the call logged with [`crate::Context::log`], once it has ended.
    pub fn log(&self) -> Option<Vec<String>> {
        self.state.ended(self.call).map(|ended| ended.log)
    }
}

impl<O: Value> IntoFuture for CallFuture<O> {
    type Output = Result<O>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<O>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.result().await })
    }
}

impl<O> fmt::Debug for CallFuture<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} of {}", self.call, self.state.function())
    }
}

/// Returns the result of a call that has ended.
fn value<O: Value>(state: &State, call: usize) -> Result<O> {
    match state.ended(call) {
        Some(ended) => codec::decode(&ended.value?).map_err(|e| {
            Error::new(Code::CallOutput, format!("reading the result of call {call}: {e}"))
                .with_hint("the functions hold another version of the output's type: build or deploy them again")
        }),
        None => Err(Error::new(Code::CallOpen, format!("call {call} has not ended"))),
    }
}

async fn progress(state: &State) -> Result<Vec<(usize, f32)>> {
    let Some(shared) = state.shared() else { return Ok(vec![]) };
    let mut all = Vec::new();
    for job in state.jobs() {
        let calls = shared.conductor.ledger.progress(&job).await?;
        all.extend(calls.into_iter().filter_map(|(number, done)| Some((state.call_of(&job, number)?, done))));
    }
    Ok(all)
}
