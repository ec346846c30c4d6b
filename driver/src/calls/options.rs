//! Choices of how calls are made.

use crate::submit::check_ceiling;
use crate::{Code, Error, Result};
use kinglet_core::limits::CALLS_AT_ONCE_MAX;
use kinglet_core::prices::Prices;
use kinglet_core::wire::cost::{Ceiling, Site};
use kinglet_core::wire::spec::OptionsSpec;

/// How the calls of a map are made: for [`crate::Driver::map_with`] and [`crate::Driver::map_reduce_with`].
#[derive(Clone, Debug, Default)]
#[must_use = "hand it to `map_with`"]
pub struct CallOptions {
    pub(super) per_batch: Option<usize>,
    pub(super) at_once: Option<usize>,
    pub(super) tries: Option<u16>,
    pub(super) ceiling: Ceiling,
    pub(super) prices: Option<Prices>,
}

impl CallOptions {
    /// Measures how many calls a batch has, and tries a batch four times.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many calls share an invocation; each of its threads makes them one after the other. By default that is
    /// measured: a few calls go ahead, and the rest follows in batches of some tens or hundreds of milliseconds of work.
    pub fn with_calls_per_batch(self, calls: usize) -> Self {
        CallOptions { per_batch: Some(calls), ..self }
    }

    /// Sets how many calls of a batch run at once in an invocation, from 1 to 512. By default that is the number of its
    /// threads, which is right for calls that compute. Choose more for calls that wait, for objects or other services;
    /// choose fewer for calls that need much memory each, or that use all threads themselves.
    ///
    /// This does not set the size of a batch: small maps, and calls that take long, go alone unless
    /// [`CallOptions::with_calls_per_batch`] puts them together.
    pub fn with_calls_at_once(self, calls: usize) -> Self {
        CallOptions { at_once: Some(calls), ..self }
    }

    /// Sets how often a batch is tried that fails through no fault of its calls, for example when a service fails: 4 times
    /// by default. A batch whose worker dies is halved instead, until the call that kills it is alone. That call is tried
    /// twice, or once if it ran out of time, but no more often than this.
    pub fn with_tries(self, tries: u16) -> Self {
        CallOptions { tries: Some(tries.max(1)), ..self }
    }

    /// Sets what the map may cost, in US dollars. A map that has spent as much, or in which a further try could, ends: calls that
    /// are still open then fail with `ceiling-passed`. Such a map is one job, so that it can be watched as a whole: how many
    /// calls a batch has follows from their number, and is not measured.
    pub fn with_max_usd(self, usd: f64) -> Self {
        CallOptions { ceiling: Ceiling { usd: Some(usd), ..self.ceiling }, ..self }
    }

    /// Sets how long the map may take, in seconds; calls that are open then fail with `ceiling-passed`. Such a map is one job, as
    /// with [`CallOptions::with_max_usd`].
    pub fn with_max_seconds(self, seconds: f64) -> Self {
        CallOptions { ceiling: Ceiling { seconds: Some(seconds), ..self.ceiling }, ..self }
    }

    /// Sets the prices by which what the map spends is counted, where those of the stack's region are not known.
    pub fn with_prices(self, prices: Prices) -> Self {
        CallOptions { prices: Some(prices), ..self }
    }

    /// Returns whether the map has a ceiling.
    pub(super) fn has_ceiling(&self) -> bool {
        self.ceiling != Ceiling::default()
    }

    /// Checks the choices.
    ///
    /// # Errors
    /// `calls-per-batch` or `calls-at-once` when a choice makes no sense; `ceiling` and `prices` when one is no amount.
    pub(super) fn check(&self) -> Result<()> {
        check_ceiling(self.ceiling, self.prices.as_ref())?;
        if self.per_batch == Some(0) {
            return Err(Error::new(Code::CallsPerBatch, "a batch of 0 calls does nothing")
                .with_hint("put one call or more into a batch, or leave the choice to Kinglet"));
        }
        let Some(calls) = self.at_once.filter(|calls| !(1..=CALLS_AT_ONCE_MAX).contains(calls)) else { return Ok(()) };
        let message = format!("{calls} calls cannot run at once in an invocation");
        let hint = format!("choose from 1 to {CALLS_AT_ONCE_MAX}, or leave it at one for each thread");
        Err(Error::new(Code::CallsAtOnce, message).with_hint(hint))
    }

    /// Returns how many calls run at once, for choices that were checked.
    pub(super) fn at_once(&self) -> Option<u16> {
        self.at_once.and_then(|calls| u16::try_from(calls).ok())
    }

    /// Returns the choices as workers read them. `site` is asked only for a map with a ceiling.
    pub(super) fn for_job(&self, concurrency: u32, site: impl FnOnce() -> Result<Site>) -> Result<OptionsSpec> {
        let defaults = OptionsSpec::for_concurrency(concurrency);
        let site = if self.has_ceiling() { site()? } else { defaults.site };
        let tries_max = self.tries.unwrap_or(defaults.tries_max);
        Ok(OptionsSpec { tries_max, ceiling: self.ceiling, site, ..defaults })
    }
}
