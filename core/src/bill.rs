//! What function time and requests cost.

use crate::prices::Prices;
use crate::wire::record::Requests;

/// What something costs, in US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bill {
    /// Lambda: GB-seconds and invocations.
    pub lambda: f64,
    /// DynamoDB: write and read units.
    pub dynamodb: f64,
    /// S3: requests.
    pub s3: f64,
}

impl Bill {
    /// Returns what this function time, in GB-seconds, and these requests cost.
    pub fn of(prices: &Prices, gb_seconds: f64, requests: &Requests) -> Self {
        let units = |milliunits: u64| milliunits as f64 / 1e3;
        Bill {
            lambda: gb_seconds * prices.lambda_gb_second + requests.lambda as f64 * prices.lambda_request,
            dynamodb: units(requests.write_milliunits) * prices.dynamodb_write_unit
                + units(requests.read_milliunits) * prices.dynamodb_read_unit,
            s3: requests.s3_put as f64 * prices.s3_put + requests.s3_get as f64 * prices.s3_get,
        }
    }

    /// Returns the sum.
    pub fn total(&self) -> f64 {
        self.lambda + self.dynamodb + self.s3
    }
}
