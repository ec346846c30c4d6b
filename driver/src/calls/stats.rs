//! What calls took.

use crate::report::{Cost, Requests};
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::prices::{LAMBDA_GB_SECOND_X86, LAMBDA_REQUEST};
use kinglet_core::wire::record::MapRecord;
use std::time::Duration;

/// What one call took. Where it shared its invocation with other calls, its share of the invocation is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CallStats {
    /// When it was sent.
    pub sent_at: Timestamp,
    /// How long it waited from then until the function was called, in milliseconds, by the clocks of driver and worker.
    pub queued_ms: u64,
    /// When the function was called.
    pub started_at: Timestamp,
    /// How long it ran.
    pub ran: Duration,
    /// What Lambda bills for it: the invocation's time, init included, divided by the number of its calls.
    pub billed: Duration,
    /// Whether the invocation had to start a worker.
    pub cold: bool,
    /// How many calls the invocation made.
    pub calls_in_batch: u32,
    /// The worker's memory in MB; 0 for a call that failed because its worker died.
    pub memory_mb: u32,
    /// How many tries of its batch there were before.
    pub retries: u16,
}

impl CallStats {
    pub(super) fn of(sent_at: Timestamp, started_at: Timestamp, ran_us: u64, record: &MapRecord) -> Self {
        let usage = &record.usage;
        let calls = record.records.max(1);
        CallStats {
            sent_at,
            queued_ms: started_at.since_ms(sent_at),
            started_at,
            ran: Duration::from_micros(ran_us),
            billed: Duration::from_micros((usage.ran_ms + usage.init_ms) * 1000 / calls),
            cold: usage.init_ms > 0,
            calls_in_batch: u32::try_from(calls).unwrap_or(u32::MAX),
            memory_mb: usage.memory_mb,
            retries: if record.attempt.number == u16::MAX { 0 } else { record.attempt.number },
        }
    }

    /// Returns what Lambda charges for the call (us-east-1, x86_64), in US dollars: its billed time, and its share of the
    /// invocation's request. [`CallsReport::cost`] also has what S3 and DynamoDB charge. 0 for a call that failed because
    /// its worker died.
    pub fn lambda_usd(&self) -> f64 {
        if self.calls_in_batch == 0 {
            return 0.0;
        }
        let gb_seconds = self.billed.as_secs_f64() * f64::from(self.memory_mb) / 1024.0;
        gb_seconds * LAMBDA_GB_SECOND_X86 + LAMBDA_REQUEST / f64::from(self.calls_in_batch)
    }
}

/// What a map has taken so far.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CallsReport {
    /// Its jobs in the ledger: one or two.
    pub jobs: Vec<JobId>,
    /// The number of calls.
    pub calls: u64,
    /// How many have ended, with a value or an error.
    pub done: u64,
    /// How many have failed.
    pub failed: u64,
    /// Committed batches, each of which is an invocation that counted.
    pub batches: u64,
    /// Requests of the batches, and of this driver since the map began, including what else the driver did meanwhile.
    pub requests: Requests,
    /// Function time times memory, in GB-seconds, of the committed batches.
    pub gb_seconds: f64,
    /// What that would cost on AWS (us-east-1, x86_64), in US dollars.
    pub cost: Cost,
}

impl CallsReport {
    pub(super) fn add(&mut self, record: &MapRecord) {
        self.batches += 1;
        self.gb_seconds += record.usage.gb_seconds();
        let lambda = self.requests.lambda;
        self.requests += Requests::counted(record.usage.requests);
        // Each batch was invoked once, and once more for each retry, by whichever function or program.
        let retries = if record.attempt.number == u16::MAX { 0 } else { record.attempt.number };
        self.requests.lambda = lambda + 1 + u64::from(retries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_costs_its_time_and_its_share_of_the_request() {
        let stats =
            CallStats { billed: Duration::from_secs(2), memory_mb: 512, calls_in_batch: 4, ..CallStats::default() };
        assert!((stats.lambda_usd() - (0.000_016_666_7 + 0.000_000_05)).abs() < 1e-15);
        assert!(CallStats::default().lambda_usd().abs() < f64::EPSILON);
    }
}
