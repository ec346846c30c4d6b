//! The services' time, on any machine.
//!
//! A driver's clock may be up to five minutes off (beyond that AWS refuses its signatures), a function's by a little. The
//! ledger's times are written by some machines and compared by others, so all must mean the same time: that of S3, DynamoDB
//! and Lambda, which state it in the header `Date` of each reply, in whole seconds. A reply with date `D` was written when
//! the services' time was in `D .. D + 1 s`, and this machine's between request and reply. So each reply bounds how far this
//! machine's clock is off, and all replies together bound it closely (Cristian, "Probabilistic clock synchronization", 1989;
//! Marzullo's intersection of such bounds).
//!
//! Where this machine's own clock lies within the bounds, it is used as it is.
//!
//! The monotonic clock counts between replies, so setting the wall clock does not matter. It may stand still while Lambda
//! freezes an environment; the bounds then contradict each other, and the newest count.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::date_time::Format;
use kinglet_core::ids::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Bounds older than this, in milliseconds, are widened: a quartz clock drifts by a few seconds a day at worst.
const FRESH_MS: i64 = 600_000;

/// By how much, in milliseconds.
const DRIFT_MS: i64 = 100;

/// A clock that shows the services' time once they have answered; this machine's until then.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// When this clock was made, by the machine's monotonic and its wall clock.
    made: Instant,
    made_at: Timestamp,
    bounds: Mutex<Option<Bounds>>,
}

/// How far the services' time is ahead of [`Clock::local_ms`], in milliseconds: at least and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    least: i64,
    most: i64,
    /// When these bounds were last confirmed, by the local clock.
    at: i64,
}

impl Bounds {
    /// Returns the bounds from one reply: written at `second`, requested at `sent`, received at `received` (all in
    /// milliseconds).
    fn of(second: i64, sent: i64, received: i64) -> Self {
        Bounds { least: second - received, most: second + 999 - sent, at: received }
    }

    /// Returns the assumed difference: the one within the bounds that is nearest to zero. Time servers set most machines'
    /// clocks to the millisecond, more exactly than whole seconds could.
    fn nearest(self) -> i64 {
        0.clamp(self.least, self.most)
    }

    /// Returns the bounds narrowed by those of a newer reply.
    fn and(self, newer: Bounds) -> Self {
        let drift = if newer.at - self.at > FRESH_MS { DRIFT_MS } else { 0 };
        let (least, most) = ((self.least - drift).max(newer.least), (self.most + drift).min(newer.most));
        if least <= most { Bounds { least, most, at: newer.at } } else { newer }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::of_machine(Timestamp::now())
    }
}

impl Clock {
    /// Returns a clock for a machine whose own clock shows `thinks`.
    pub fn of_machine(thinks: Timestamp) -> Self {
        Clock(Arc::new(Inner { made: Instant::now(), made_at: thinks, bounds: Mutex::default() }))
    }

    /// Returns the services' time.
    pub fn now(&self) -> Timestamp {
        Timestamp(u64::try_from(self.local_ms() + self.ahead_ms().unwrap_or(0)).unwrap_or(0))
    }

    /// Returns by how many milliseconds the services' time is ahead of this machine's wall clock, as read when the program
    /// began and counted on by the monotonic clock; `None` before a service has replied.
    pub fn ahead_ms(&self) -> Option<i64> {
        self.bounds().map(Bounds::nearest)
    }

    fn bounds(&self) -> Option<Bounds> {
        *self.0.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns this machine's wall clock as it was when the program began, plus what the monotonic clock has counted since.
    fn local_ms(&self) -> i64 {
        let since = i64::try_from(self.0.made.elapsed().as_millis()).unwrap_or(i64::MAX);
        i64::try_from(self.0.made_at.0).unwrap_or(i64::MAX).saturating_add(since)
    }

    fn learn(&self, newer: Bounds) {
        let mut bounds = self.0.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        *bounds = Some(bounds.map_or(newer, |known| known.and(newer)));
    }
}

/// When a request was sent, by [`Clock::local_ms`].
#[derive(Debug)]
struct Sent(i64);

impl Storable for Sent {
    type Storer = StoreReplace<Sent>;
}

/// Reads the time from every reply.
#[derive(Clone, Debug)]
pub(crate) struct ClockInterceptor(Clock);

impl ClockInterceptor {
    pub(crate) fn new(clock: Clock) -> Self {
        ClockInterceptor(clock)
    }
}

#[dyn_dispatch_hint]
impl Intercept for ClockInterceptor {
    fn name(&self) -> &'static str {
        "kinglet-clock"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(Sent(self.0.local_ms()));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        if let (Some(date), Some(sent)) = (date, config.load::<Sent>()) {
            self.0.learn(Bounds::of(date.secs() * 1_000, sent.0, self.0.local_ms()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bounds of a reply: the service is `ahead`, asked at `sent` and answered after `took`.
    fn reply(ahead: i64, sent: i64, took: i64) -> Bounds {
        Bounds::of((sent + took / 2 + ahead).div_euclid(1_000) * 1_000, sent, sent + took)
    }

    #[test]
    fn replies_bound_the_difference_ever_closer_and_never_wrongly() {
        for ahead in [0, 300_000, -300_000, 1_234] {
            let mut bounds = reply(ahead, 17, 40);
            for n in 1..50 {
                bounds = bounds.and(reply(ahead, 17 + n * 331, 20 + n % 7));
                assert!((bounds.least..=bounds.most).contains(&ahead), "{ahead}: {bounds:?}");
                assert!((bounds.nearest() - ahead).abs() < 1_100, "{ahead}: {bounds:?}");
            }
            assert!(ahead != 0 || bounds.nearest() == 0, "a clock that is right is believed: {bounds:?}");
            assert!(bounds.most - bounds.least < 300, "{ahead}: {bounds:?}");
        }
    }

    #[test]
    fn after_a_freeze_the_newest_reply_counts() {
        let before = reply(0, 0, 10).and(reply(0, 990, 10));
        // The local clock stood still for a minute.
        let after = before.and(reply(60_000, 2_000, 10));
        assert!((after.least..=after.most).contains(&60_000), "{after:?}");
    }
}
