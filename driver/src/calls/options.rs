//! How calls are made.

use kinglet_core::wire::spec::JobOptions;

/// How the calls of a map are made; see [`crate::Driver::map_with`].
#[derive(Clone, Debug, Default)]
#[must_use = "hand it to `map_with`"]
pub struct CallOptions {
    pub(super) per_batch: Option<usize>,
    pub(super) tries_max: Option<u16>,
}

impl CallOptions {
    /// Batches by measure; four tries.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many calls go into one invocation, one after the other on each of its threads. By default that is measured: a few
    /// calls go ahead, and the rest in batches of some tens or hundreds of milliseconds of work.
    pub fn with_calls_per_batch(self, calls: usize) -> Self {
        CallOptions { per_batch: Some(calls), ..self }
    }

    /// How often a batch is tried that fails for no fault of its calls, as when a service does. 4 by default. A batch whose
    /// worker dies is halved instead, until the call that kills it is alone; that one is tried twice, once when it was out of
    /// time, and no more often than this.
    pub fn with_tries(self, tries: u16) -> Self {
        CallOptions { tries_max: Some(tries.max(1)), ..self }
    }

    pub(super) fn job_options(&self, concurrency: u32) -> JobOptions {
        let defaults = JobOptions::default();
        JobOptions { concurrency, tries_max: self.tries_max.unwrap_or(defaults.tries_max), ..defaults }
    }
}
