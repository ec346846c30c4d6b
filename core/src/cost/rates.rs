//! How fast functions and services are. None of this was measured on AWS by us: each number names where it comes from, and has
//! a range.

use crate::limits::MEMORY_MB_PER_VCPU;
use crate::wire::cost::Host;

/// How things go: each makes one forecast, and the three together its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Luck {
    /// Everything goes well.
    Good,
    /// As is most likely.
    Likely,
    /// Little goes well.
    Bad,
}

impl Luck {
    pub(super) const ALL: [Luck; 3] = [Luck::Good, Luck::Likely, Luck::Bad];

    /// Returns the one of three numbers that is for this luck: good, likely, bad.
    pub(super) fn pick(self, of: [f64; 3]) -> f64 {
        of[self as usize]
    }

    /// Returns a factor for costs that may be off by `most` either way.
    pub(super) fn factor(self, most: f64) -> f64 {
        self.pick([1.0 / most, 1.0, most])
    }
}

/// How fast everything is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    /// What one function receives from S3, or sends to it, in bytes a second.
    pub(super) net_bytes_s: f64,
    /// The speed of a vCPU beside that of the machine where jobs were measured.
    pub(super) vcpu_speed: f64,
    /// How long a small request to S3 takes, in seconds.
    pub(super) s3_s: f64,
    /// How long a request to DynamoDB takes, in seconds.
    pub(super) dynamodb_s: f64,
    /// How long it takes to hand Lambda an event, in seconds.
    pub(super) invoke_s: f64,
    /// What a GET costs the function that sends it, in seconds of a vCPU.
    pub(super) get_cpu_s: f64,
    /// The init phase of a function, in seconds, which is billed.
    pub(super) init_s: f64,
    /// How much longer than the mean the slowest task of a stage takes, as a factor.
    pub(super) slowest: f64,
    /// How many environments a function may start at once, and after each [`RAMP_S`].
    pub(super) ramp: f64,
    /// How many GETs a second S3 serves of one prefix: that of a job's runs.
    pub(super) gets_a_second: f64,
    /// How many units a second a table takes.
    pub(super) writes_a_second: f64,
    /// How often a driver that waits reads the job's item, a second; and how often the tasks of a stage.
    pub(super) polls_a_second: f64,
    pub(super) counts_a_second: f64,
}

/// The time after which a function may start as many environments again, in seconds.
/// <https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html>, 2026-11.
pub(super) const RAMP_S: f64 = 10.0;

impl Rates {
    pub(super) fn of(host: Host, luck: Luck) -> Self {
        let rate = |of: [f64; 3]| luck.pick(of);
        match host {
            Host::Lambda => Rates {
                // A function of 1 to 3 GB receives 50 to 90 MB/s, much the same at every size: Müller and others, "Lambada",
                // <https://arxiv.org/abs/1912.00937>, section 4.3, had 90 MiB/s after a first burst.
                net_bytes_s: rate([90e6, 75e6, 50e6]),
                // A vCPU of Lambda and a core of the machine of bench/README.md are both threads of a server's processor; how
                // fast Lambda's is depends on what it runs on.
                vcpu_speed: rate([1.0, 1.0, 0.67]),
                // The documentation promises 100 to 200 ms to the first byte; small objects mostly take 20 ms.
                // <https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html>, 2026-11.
                s3_s: rate([0.015, 0.03, 0.15]),
                // "Single-digit milliseconds": <https://aws.amazon.com/dynamodb/features/>, 2026-11.
                dynamodb_s: rate([0.003, 0.006, 0.015]),
                // An assumption: it is a request that is stored before it is answered.
                invoke_s: rate([0.015, 0.03, 0.1]),
                // An assumption: signing, TLS and the SDK, on a vCPU.
                get_cpu_s: rate([0.000_3, 0.000_5, 0.001]),
                // bench/README.md, "bench/functions": 6 to 16 ms until the first event on a whole core, and what Lambda needs.
                init_s: rate([0.02, 0.08, 0.3]),
                // An assumption; backups start at four times the median.
                slowest: rate([1.1, 1.3, 2.5]),
                ramp: 1_000.0,
                // A prefix is split when it is busy, which takes minutes, so a new job may count on one:
                // <https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html>, 2026-11.
                gets_a_second: rate([f64::INFINITY, 5_500.0, 5_500.0]),
                // A new on-demand table takes 4,000 write units a second, and more when it has had more:
                // <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html>, 2026-11.
                writes_a_second: rate([f64::INFINITY, 4_000.0, 4_000.0]),
                polls_a_second: 0.5,
                counts_a_second: 0.2,
            },
            // A machine of which the jobs were measured; it has no network between.
            Host::Embedded => Rates {
                net_bytes_s: rate([4e9, 1e9, 0.5e9]),
                vcpu_speed: rate([1.2, 1.0, 0.5]),
                s3_s: rate([0.000_3, 0.001, 0.005]),
                dynamodb_s: rate([0.000_2, 0.001, 0.005]),
                invoke_s: rate([0.000_2, 0.001, 0.005]),
                get_cpu_s: rate([0.000_1, 0.000_2, 0.001]),
                init_s: rate([0.005, 0.02, 0.1]),
                slowest: rate([1.0, 1.2, 2.0]),
                ramp: f64::INFINITY,
                gets_a_second: f64::INFINITY,
                writes_a_second: f64::INFINITY,
                polls_a_second: 30.0,
                counts_a_second: 5.0,
            },
        }
    }

    /// Returns how many vCPUs of the measured machine's speed a function of so much memory has.
    pub(super) fn vcpus(&self, memory_mb: u32) -> f64 {
        f64::from(memory_mb) / f64::from(MEMORY_MB_PER_VCPU) * self.vcpu_speed
    }
}
