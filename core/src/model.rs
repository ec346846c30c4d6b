//! How AWS behaves, as far as Kinglet relies on it and it is no limit (those are in [`limits`](crate::limits)): the rates, waits
//! and latencies of a region. A simulated region takes them for true, and `kinglet bench` prints what it measured of a stack
//! beside them.
//!
//! Each stands here once. What it means, where it was read, or why it is only assumed, is in `docs/reference/aws-model.md`;
//! a constant's last sentence names the section there. A test holds the numbers of that page to these.
//!
//! Latencies are what a client in the same region sees of one request that is neither throttled nor repeated, on a connection
//! that is open. They are assumptions, all of them: AWS promises none.

/// How long something takes: half of all times are shorter than the median, and one in a hundred is longer than the 99th
/// percentile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The median, in microseconds.
    pub median_us: u64,
    /// The 99th percentile, in microseconds.
    pub p99_us: u64,
}

impl Latency {
    const fn ms(median: u64, p99: u64) -> Latency {
        Latency { median_us: median * 1_000, p99_us: p99 * 1_000 }
    }

    /// Returns the latency of this and then of that. Both tails at once are rarer than one in a hundred, so the 99th percentile
    /// is that of the longer one and the median of the other.
    #[must_use]
    pub const fn then(self, that: Latency) -> Latency {
        let (this_tail, that_tail) = (self.p99_us - self.median_us, that.p99_us - that.median_us);
        let tail = if this_tail > that_tail { this_tail } else { that_tail };
        let median_us = self.median_us + that.median_us;
        Latency { median_us, p99_us: median_us + tail }
    }

    /// Returns the latency with this many bytes moved on top, at a number of bytes a second.
    #[must_use]
    pub const fn moving(self, bytes: u64, bytes_per_s: u64) -> Latency {
        let us = bytes * 1_000_000 / bytes_per_s;
        Latency { median_us: self.median_us + us, p99_us: self.p99_us + us }
    }
}

/// The page that explains all of these.
pub const PAGE: &str = "docs/reference/aws-model.md";

/// AWS Lambda.
pub mod lambda {
    use super::Latency;

    /// How many functions a new account may run at once, until AWS raises it. Section *Concurrency*.
    pub const CONCURRENCY_NEW_ACCOUNT: u32 = 10;

    /// How much of an account's concurrency cannot be reserved for functions. Section *Concurrency*.
    pub const CONCURRENCY_UNRESERVED_MIN: u32 = 100;

    /// How many environments a function may gain in [`RAMP_MS`]. Section *Concurrency*.
    pub const RAMP_ENVIRONMENTS: u32 = 1_000;

    /// The time in which a function may gain [`RAMP_ENVIRONMENTS`], in milliseconds. The allowance is refilled all the time, and
    /// not saved up. Section *Concurrency*.
    pub const RAMP_MS: u64 = 10_000;

    /// How many synchronous invocations one environment takes in a second. Asynchronous ones are not counted. Section
    /// *Concurrency*.
    pub const INVOKES_PER_ENVIRONMENT_PER_S: u32 = 10;

    /// How many requests a second the control plane takes from an account, all operations together but those that have a
    /// quota of their own. Section *Control plane*.
    pub const CONTROL_REQUESTS_PER_S: u32 = 15;

    /// How many `GetFunction` a second an account may send. Section *Control plane*.
    pub const GET_FUNCTION_PER_S: u32 = 100;

    /// How often Lambda runs an asynchronous event again whose function failed, unless it is told otherwise. Section *Queue*.
    pub const EVENT_RETRIES_MAX: u32 = 2;

    /// The waits before these retries, in milliseconds. Section *Queue*.
    pub const EVENT_RETRY_WAITS_MS: [u64; EVENT_RETRIES_MAX as usize] = [60_000, 120_000];

    /// The wait of a throttled event before it is tried again for the first time, in milliseconds. Each further wait is
    /// [`THROTTLED_WAIT_FACTOR`] times as long. Section *Queue*.
    pub const THROTTLED_WAIT_MS: u64 = 1_000;

    /// By how much the wait of a throttled event grows. Section *Queue*.
    pub const THROTTLED_WAIT_FACTOR: u64 = 2;

    /// The longest wait of a throttled event, in milliseconds. Section *Queue*.
    pub const THROTTLED_WAIT_MS_MAX: u64 = 300_000;

    /// How long an asynchronous event is kept that cannot run, in milliseconds. Section *Queue*.
    pub const EVENT_AGE_MS_MAX: u64 = 6 * 3_600_000;

    /// Of a million asynchronous events, how many run twice though nothing failed. Section *Queue*.
    pub const DUPLICATES_PER_MILLION: u32 = 100;

    /// How many functions may invoke one another in a chain before Lambda stops it, unless the function allows it. Section
    /// *Recursion*.
    pub const RECURSION_DEPTH_MAX: u32 = 16;

    /// How long an environment may take to ask for its first event, in milliseconds. Section *Environments*.
    pub const INIT_MS_MAX: u64 = 10_000;

    /// How long an environment waits for work before it is taken down, in milliseconds. Section *Environments*.
    pub const IDLE_MS: u64 = 600_000;

    /// How old an environment becomes, however busy, in milliseconds. Section *Environments*.
    pub const ENVIRONMENT_AGE_MS_MAX: u64 = 4 * 3_600_000;

    /// How many bytes a second a function can move over the network, in both directions together. Section *Environments*.
    pub const NETWORK_BYTES_PER_S: u64 = 75_000_000;

    /// The wait for `Invoke` of an asynchronous event, until it is accepted. Section *Latencies of Lambda*.
    pub const INVOKE_EVENT: Latency = Latency::ms(20, 100);

    /// The wait for `Invoke` of a warm function that answers at once, with its answer. Section *Latencies of Lambda*.
    pub const INVOKE_WARM: Latency = Latency::ms(25, 120);

    /// The wait of an accepted event for an environment that is warm. Section *Latencies of Lambda*.
    pub const WARM_START: Latency = Latency::ms(50, 500);

    /// The wait of an accepted event for an environment that is begun for it, its init phase not included. Section *Latencies
    /// of Lambda*.
    pub const COLD_START: Latency = Latency::ms(250, 1_000);

    /// The init phase of Kinglet's functions. Section *Latencies of Lambda*.
    pub const INIT: Latency = Latency::ms(60, 250);

    /// A request of the control plane, such as `GetFunctionConfiguration`. Section *Latencies of Lambda*.
    pub const CONTROL: Latency = Latency::ms(40, 300);
}

/// Amazon S3.
pub mod s3 {
    use super::Latency;

    /// How many PUT, COPY, POST and DELETE a second one prefix takes at least. Above it, S3 may answer 503 `SlowDown`. Section
    /// *Request rates*.
    pub const WRITES_PER_PREFIX_PER_S: u32 = 3_500;

    /// How many GET and HEAD a second one prefix takes at least. Section *Request rates*.
    pub const READS_PER_PREFIX_PER_S: u32 = 5_500;

    /// How long a prefix must have been asked for more than it takes before S3 has split it, in milliseconds. Section *Request
    /// rates*.
    pub const PREFIX_SPLIT_MS: u64 = 15 * 60_000;

    /// How many bytes a second one request moves. Section *Latencies of S3*.
    pub const STREAM_BYTES_PER_S: u64 = 85_000_000;

    /// A GET of a small object, or of the first bytes of a large one. Section *Latencies of S3*.
    pub const GET: Latency = Latency::ms(30, 200);

    /// A PUT of a small object; a large one, and an `UploadPart`, takes [`STREAM_BYTES_PER_S`] more. Section *Latencies of S3*.
    pub const PUT: Latency = Latency::ms(60, 400);

    /// A HEAD. Section *Latencies of S3*.
    pub const HEAD: Latency = Latency::ms(20, 150);

    /// A page of a list of objects or uploads. Section *Latencies of S3*.
    pub const LIST: Latency = Latency::ms(50, 300);

    /// A DELETE of one object or of a thousand. Section *Latencies of S3*.
    pub const DELETE: Latency = Latency::ms(40, 300);

    /// `CreateMultipartUpload`. Section *Latencies of S3*.
    pub const CREATE_UPLOAD: Latency = Latency::ms(40, 300);

    /// `CompleteMultipartUpload` of an upload of a few parts. Section *Latencies of S3*.
    pub const COMPLETE_UPLOAD: Latency = Latency::ms(100, 800);

    /// How wrong the sender's clock may be, in milliseconds. Section *Clocks*.
    pub const SKEW_MS_MAX: u64 = 15 * 60_000;
}

/// Amazon DynamoDB.
pub mod dynamodb {
    use super::Latency;

    /// How many write units a second one partition takes, and so one partition key. Section *Capacity*.
    pub const WRITE_UNITS_PER_KEY_PER_S: u32 = 1_000;

    /// How many read units a second one partition takes, and so one partition key. Section *Capacity*.
    pub const READ_UNITS_PER_KEY_PER_S: u32 = 3_000;

    /// How many write units a second a new on-demand table takes. Section *Capacity*.
    pub const TABLE_WRITE_UNITS_PER_S: u32 = 4_000;

    /// How many read units a second a new on-demand table takes. Section *Capacity*.
    pub const TABLE_READ_UNITS_PER_S: u32 = 12_000;

    /// The time within which an on-demand table may be asked for twice its former peak and no more, in milliseconds. Section
    /// *Capacity*.
    pub const TABLE_DOUBLES_MS: u64 = 30 * 60_000;

    /// How many units a second an account's quota lets one on-demand table have, reading and writing each. Section *Capacity*.
    pub const TABLE_UNITS_PER_S_MAX: u32 = 40_000;

    /// How long unused capacity of a partition is saved up for a burst, in milliseconds. Section *Capacity*.
    pub const BURST_MS: u64 = 300_000;

    /// The most that one page of a `Query` reads, in bytes (1 MB). Section *Requests*.
    pub const QUERY_PAGE_BYTES_MAX: usize = 1 << 20;

    /// The most actions of one transaction. Section *Requests*.
    pub const TRANSACTION_ACTIONS_MAX: usize = 100;

    /// How long a transaction with a known `ClientRequestToken` is not done again, in milliseconds. Section *Requests*.
    pub const TRANSACTION_TOKEN_MS: u64 = 600_000;

    /// How long after its time an expired item may still be there, in milliseconds. Section *Requests*.
    pub const EXPIRED_KEPT_MS: u64 = 2 * 24 * 3_600_000;

    /// A `GetItem`. Section *Latencies of DynamoDB*.
    pub const GET: Latency = Latency::ms(4, 20);

    /// A `PutItem`, `UpdateItem` or `DeleteItem`. Section *Latencies of DynamoDB*.
    pub const UPDATE: Latency = Latency::ms(6, 30);

    /// A page of a `Query`, a `BatchGetItem` or a `BatchWriteItem`. Section *Latencies of DynamoDB*.
    pub const QUERY: Latency = Latency::ms(6, 40);

    /// A `TransactWriteItems`. Section *Latencies of DynamoDB*.
    pub const TRANSACT: Latency = Latency::ms(15, 80);

    /// How wrong the sender's clock may be, in milliseconds, for DynamoDB as for Lambda. Section *Clocks*.
    pub const SKEW_MS_MAX: u64 = 5 * 60_000;
}

/// The schedule by which EventBridge invokes the splitter as the sweeper.
pub mod schedule {
    /// The shortest time between two invocations, in milliseconds. Section *Schedule*.
    pub const PERIOD_MS_MIN: u64 = 60_000;

    /// By how much an invocation may be late, in milliseconds. Section *Schedule*.
    pub const LATE_MS_MAX: u64 = 60_000;
}

/// Amazon CloudWatch Logs.
pub mod logs {
    /// After how long a line that a function wrote can be found, in milliseconds. Section *Logs*.
    pub const DELAY_MS: u64 = 10_000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_add_up() {
        let sum = Latency::ms(20, 100).then(Latency::ms(250, 1_000));
        assert_eq!(sum, Latency::ms(270, 1_020));
        assert_eq!(Latency::ms(1_000, 1_020).then(Latency::ms(1, 2)), Latency::ms(1_001, 1_021));
        assert_eq!(s3::GET.moving(8_500_000, s3::STREAM_BYTES_PER_S), Latency::ms(130, 300));
    }
}
