//! Where the runs of a map attempt lie: inline in DynamoDB, or in one S3 object.
//!
//! DynamoDB charges about a thousand times as much for a byte as S3 but little for a request, and answers in a few
//! milliseconds. S3 charges for requests (one PUT for each mapper, and one GET for each mapper and partition) and answers in
//! tens of milliseconds. So small runs lie inline and large ones in S3. The rule compares the two bills, where S3's also
//! includes the time that functions wait longer for it.

use crate::prices;
use crate::wire::record::{INLINE_BYTES_MAX, Placement};

/// How much longer an S3 request takes than a DynamoDB request, in seconds: small ones take about 20 ms and 5 ms.
const S3_WAIT_S: f64 = 0.015;

/// The memory of the function that waits, in GB.
const WAITING_GB: f64 = 1.73;

/// The longest run that lies inline, whatever the bills say, in bytes (256 KiB): a DynamoDB partition takes 1,000 KB a second.
pub const INLINE_RUN_BYTES_MAX: u64 = 256 << 10;

/// Decides where runs of these lengths lie, one for each partition; a run without pairs has length 0. `bytes_max` overrides
/// the rule: the runs lie inline if they have at most that many bytes together.
pub fn place(run_bytes: &[u64], bytes_max: Option<u64>) -> Placement {
    let total: u64 = run_bytes.iter().sum();
    if total == 0 {
        return Placement::Nowhere;
    }
    let inline = match bytes_max {
        Some(most) => total <= most.min(INLINE_BYTES_MAX),
        None => {
            run_bytes.iter().all(|n| *n <= INLINE_RUN_BYTES_MAX) && inline_cost(run_bytes) <= object_cost(run_bytes)
        }
    };
    if inline { Placement::Inline } else { Placement::Object }
}

fn inline_cost(run_bytes: &[u64]) -> f64 {
    let units = |unit: u64| run_bytes.iter().map(|n| n.div_ceil(unit)).sum::<u64>() as f64;
    units(1 << 10) * prices::DYNAMODB_WRITE_UNIT + units(4 << 10) * prices::DYNAMODB_READ_UNIT
}

fn object_cost(run_bytes: &[u64]) -> f64 {
    let reads = run_bytes.iter().filter(|n| **n > 0).count() as f64;
    let wait = S3_WAIT_S * WAITING_GB * prices::LAMBDA_GB_SECOND_X86;
    // The PUT, the item that points to the object, and one GET for each partition.
    prices::S3_PUT + prices::DYNAMODB_WRITE_UNIT + wait + reads * (prices::S3_GET + wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_runs_lie_inline_and_large_ones_in_s3() {
        assert_eq!(place(&[0, 0], None), Placement::Nowhere);
        assert_eq!(place(&[500, 500], None), Placement::Inline);
        assert_eq!(place(&[5_000], None), Placement::Inline);
        assert_eq!(place(&[50_000], None), Placement::Object);
        assert_eq!(place(&[900; 1000], None), Placement::Inline);
        assert_eq!(place(&[5_000; 1000], None), Placement::Object);
        assert_eq!(place(&[50_000], Some(50_000)), Placement::Inline);
        assert_eq!(place(&[1], Some(0)), Placement::Object);
    }
}
