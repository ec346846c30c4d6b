//! How many reads of S3 a process sends at once: twice as many after each round, until S3 says that they are too many; then half as
//! many, and from there one more after every few rounds.
//!
//! S3 serves so many requests a second of a prefix, to all functions together, and answers the others 503. A refused request waits
//! and is sent again, so where hundreds of functions begin to read thousands of runs each, most requests would be repetitions, and
//! some would be refused until nobody tries again. No function knows of the others; each does what senders in a network do
//! (D. Chiu and R. Jain, "Analysis of the increase and decrease algorithms for congestion avoidance in computer networks", Computer
//! Networks and ISDN Systems 17, 1989; V. Jacobson, "Congestion avoidance and control", SIGCOMM 1988, on how to begin).
//!
//! In the simulated region, 192 reducers that read 400 runs each took 16.2 s so and 8 % of their requests were repetitions; with 64
//! reads at once from the first to the last, and the SDK's pauses alone, 23.8 s and 27 %; with the SDK's adaptive retries, 32.7 s and
//! 6 % (`kinglet-sim --scenario sort-100-gb`, 2026-11-23). S3's rate alone makes it 14 s.
//!
//! A read counts until the head of its answer is there, with all repetitions and the pauses between them.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// How many reads a process sends at once when it begins.
const AT_FIRST: usize = 8;

/// After a refusal: how many more reads are sent at once after each round that was answered.
const MORE_A_ROUND: f64 = 0.25;

/// The most: whoever merges so many runs opens them all ([`kinglet_core::budget::open_runs_max`]).
const MOST: f64 = 1_024.0;

/// Refusals that come within this time of one another are of one round.
const ROUND: Duration = Duration::from_millis(200);

/// The pace of a process's reads. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Pace(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    slots: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How many reads may be under way.
    limit: f64,
    /// How many slots that are in use go when they are given back.
    owed: usize,
    /// When it was halved last.
    halved: Option<Instant>,
}

/// A read that may be sent.
pub(crate) struct Slot<'a> {
    slot: Option<SemaphorePermit<'a>>,
    pace: &'a Pace,
}

impl Default for Pace {
    fn default() -> Self {
        let state = State { limit: AT_FIRST as f64, owed: 0, halved: None };
        Pace(Arc::new(Shared { slots: Semaphore::new(AT_FIRST), state: Mutex::new(state) }))
    }
}

impl Pace {
    /// Waits until a read may be sent.
    pub(crate) async fn slot(&self) -> Slot<'_> {
        // An error would say that nobody may send any more, which never comes.
        Slot { slot: self.0.slots.acquire().await.ok(), pace: self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A read was answered.
    fn answered(&self) {
        let mut state = self.state();
        let limit = state.limit;
        let more = if state.halved.is_none() { 1.0 } else { MORE_A_ROUND / limit };
        self.set(&mut state, (limit + more).min(MOST));
    }

    /// A read was refused, as there are too many.
    fn refused(&self) {
        let mut state = self.state();
        let now = Instant::now();
        if state.halved.is_none_or(|halved| now.duration_since(halved) >= ROUND) {
            state.halved = Some(now);
            let limit = state.limit;
            self.set(&mut state, (limit / 2.0).max(1.0));
        }
    }

    fn set(&self, state: &mut State, limit: f64) {
        let (was, is) = (state.limit as usize, limit as usize);
        state.limit = limit;
        if is < was {
            state.owed += was - is - self.0.slots.forget_permits(was - is);
        } else {
            let stays = (is - was).min(state.owed);
            state.owed -= stays;
            self.0.slots.add_permits(is - was - stays);
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.pace.state();
        if state.owed > 0 {
            state.owed -= 1;
            if let Some(slot) = self.slot.take() {
                slot.forget();
            }
        }
    }
}

/// Sees how reads are answered, each time that they are sent.
#[derive(Debug)]
pub(crate) struct PaceInterceptor(pub(crate) Pace);

#[dyn_dispatch_hint]
impl Intercept for PaceInterceptor {
    fn name(&self) -> &'static str {
        "kinglet-pace"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let is_read = config.load::<Metadata>().is_some_and(|request| request.name() == "GetObject");
        match context.response().map(|response| response.status().as_u16()) {
            Some(429 | 503) if is_read => self.0.refused(),
            Some(_) if is_read => self.0.answered(),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_halves_what_may_be_under_way_and_answers_bring_it_back() {
        let pace = Pace::default();
        for _ in 0..24 {
            pace.answered();
        }
        let mut slots = Vec::new();
        for _ in 0..32 {
            slots.push(pace.slot().await);
        }
        assert_eq!((pace.state().limit, pace.0.slots.available_permits()), (32.0, 0));
        pace.refused();
        pace.refused();
        assert_eq!(pace.state().limit, 16.0, "both are of one round");
        slots.truncate(16);
        assert_eq!(pace.0.slots.available_permits(), 0, "what was given back is gone");
        slots.clear();
        assert_eq!(pace.0.slots.available_permits(), 16);
        for _ in 0..70 {
            pace.answered();
        }
        assert_eq!(pace.0.slots.available_permits(), 17, "after somewhat more than four rounds");
        for _ in 0..20 {
            pace.state().halved = Instant::now().checked_sub(ROUND);
            pace.refused();
        }
        assert_eq!((pace.state().limit, pace.0.slots.available_permits()), (1.0, 1), "and never below one");
    }
}
