//! The report: what a job did, how long it took and what it would cost on AWS. Plain fields; `--json` prints it as it is.

use crate::ids::JobId;
use crate::ledger::Phase;
use crate::prices;
use crate::wire::record::{Requests, Usage};
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The job's id.
    pub job: JobId,
    /// The job's name.
    pub name: String,
    /// How it ended.
    pub phase: Phase,
    /// Where the output is.
    pub output: String,
    /// Wall time.
    pub wall: Wall,
    /// Objects read.
    pub objects: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Records read.
    pub records_in: u64,
    /// Records left out as not valid.
    pub rejected: u64,
    /// Pairs that `map` emitted.
    pub pairs_emitted: u64,
    /// Pairs after combining, as they travelled.
    pub pairs_shuffled: u64,
    /// Their bytes.
    pub shuffle_bytes: u64,
    /// Map attempts whose runs lay in DynamoDB, in S3, or nowhere because they were empty.
    pub runs_inline_object_empty: (u64, u64, u64),
    /// How often a mapper's memory was full.
    pub spills: u64,
    /// Records written.
    pub records_out: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Parts written.
    pub parts: u64,
    /// Committed map tasks, pieces counted.
    pub map_tasks: u64,
    /// Committed reduce tasks.
    pub reduce_tasks: u64,
    /// Attempts beyond the first of each task.
    pub retries: u64,
    /// Requests of the committed attempts and of this driver.
    pub requests: Requests,
    /// Function time times memory, in GB-seconds, of the committed attempts.
    pub gb_seconds: f64,
    /// What that would cost on AWS (us-east-1, x86_64), in US dollars.
    pub cost: Cost,
}

/// Wall time by phase, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wall {
    /// From submission to the plan.
    pub split_ms: u64,
    /// From the plan to the last map commit.
    pub map_ms: u64,
    /// From there to the manifest.
    pub reduce_ms: u64,
    /// From submission to the manifest.
    pub total_ms: u64,
}

/// An estimate, in US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Lambda: GB-seconds and invocations.
    pub lambda: f64,
    /// DynamoDB: write and read units.
    pub dynamodb: f64,
    /// S3: requests.
    pub s3: f64,
    /// All.
    pub total: f64,
}

impl Cost {
    /// The cost of function time and requests.
    pub fn of(gb_seconds: f64, requests: &Requests) -> Self {
        let lambda = gb_seconds * prices::LAMBDA_GB_SECOND_X86 + requests.lambda as f64 * prices::LAMBDA_REQUEST;
        let dynamodb = requests.write_milliunits as f64 / 1e3 * prices::DYNAMODB_WRITE_UNIT
            + requests.read_milliunits as f64 / 1e3 * prices::DYNAMODB_READ_UNIT;
        let s3 = requests.s3_put as f64 * prices::S3_PUT + requests.s3_get as f64 * prices::S3_GET;
        Cost { lambda, dynamodb, s3, total: lambda + dynamodb + s3 }
    }
}

/// What Lambda bills for one attempt: init and run, times memory.
pub fn gb_seconds(usage: &Usage) -> f64 {
    (usage.ran_ms + usage.init_ms) as f64 / 1e3 * f64::from(usage.memory_mb) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_of_each_costs_what_the_price_lists_say() {
        let requests = Requests {
            s3_put: 1_000_000,
            s3_get: 1_000_000,
            write_milliunits: 1_000_000_000,
            read_milliunits: 1_000_000_000,
            lambda: 1_000_000,
            ..Requests::default()
        };
        let cost = Cost::of(1_000_000.0, &requests);
        assert!((cost.lambda - 16.8667).abs() < 1e-3, "{cost:?}");
        assert!((cost.dynamodb - 0.75).abs() < 1e-9, "{cost:?}");
        assert!((cost.s3 - 5.4).abs() < 1e-9, "{cost:?}");
    }
}
