//! AWS prices in US dollars. An estimate only: the bill is AWS's.
//!
//! The constants are those of us-east-1, read 2026-11. [`Prices::of`] has them by region and architecture; where a region is
//! not known here, a file says what it costs ([`Prices::read`]).

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};

/// One GB-second of an x86_64 function. <https://aws.amazon.com/lambda/pricing/>
pub const LAMBDA_GB_SECOND_X86: f64 = 0.000_016_666_7;
/// One GB-second of an arm64 function. Same page.
pub const LAMBDA_GB_SECOND_ARM: f64 = 0.000_013_333_4;
/// One invocation. Same page.
pub const LAMBDA_REQUEST: f64 = 0.20 / 1e6;
/// One DynamoDB write unit (1 KB), on demand. <https://aws.amazon.com/dynamodb/pricing/on-demand/>
pub const DYNAMODB_WRITE_UNIT: f64 = 0.625 / 1e6;
/// One DynamoDB read unit (4 KB, strongly consistent; half for an eventually consistent read). Same page.
pub const DYNAMODB_READ_UNIT: f64 = 0.125 / 1e6;
/// One S3 PUT, COPY, POST or LIST request. <https://aws.amazon.com/s3/pricing/>
pub const S3_PUT: f64 = 0.005 / 1e3;
/// One S3 GET or HEAD request. Same page.
pub const S3_GET: f64 = 0.0004 / 1e3;
/// One GB (10^9 bytes) kept in S3 Standard for a month. Same page; the first 50 TB.
pub const S3_GB_MONTH: f64 = 0.023;

/// When the prices here were read.
const READ: &str = "2026-11";

/// The regions whose prices are those of us-east-1 for all that is priced here. Same pages.
const REGIONS: [&str; 3] = ["us-east-1", "us-east-2", "us-west-2"];

/// What a region charges for functions of one architecture, and for what they use, in US dollars. A file of these fields as
/// JSON says what another region costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// The region.
    pub region: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// When the prices were read, such as `2026-11`.
    pub read: String,
    /// One GB-second of a function.
    pub lambda_gb_second: f64,
    /// One invocation.
    pub lambda_request: f64,
    /// One DynamoDB write unit.
    pub dynamodb_write_unit: f64,
    /// One DynamoDB read unit.
    pub dynamodb_read_unit: f64,
    /// One S3 PUT, COPY, POST or LIST request.
    pub s3_put: f64,
    /// One S3 GET or HEAD request.
    pub s3_get: f64,
    /// One GB (10^9 bytes) kept in S3 for a month.
    pub s3_gb_month: f64,
}

impl Prices {
    /// Returns the prices of a region.
    ///
    /// # Errors
    /// Returns `prices` when those of the region or the architecture are not known here.
    pub fn of(region: &str, architecture: &str) -> Result<Self> {
        let is_known = REGIONS.contains(&region) && matches!(architecture, "x86_64" | "arm64");
        if is_known {
            return Ok(Prices { region: region.to_owned(), ..Self::of_us_east_1(architecture) });
        }
        let known = REGIONS.join(", ");
        Err(Error::new(Code::Prices, format!("the prices of {architecture} functions in {region} are not known here"))
            .with_hint(format!(
                "give them in a file (`--prices FILE`; `Submit::with_prices`): docs/guide/cost.md has its layout. Known are {known}"
            )))
    }

    /// Returns the prices of us-east-1: what they are to one another is much the same everywhere.
    pub fn of_us_east_1(architecture: &str) -> Self {
        let is_arm = architecture == "arm64";
        Prices {
            region: REGIONS[0].to_owned(),
            architecture: architecture.to_owned(),
            read: READ.to_owned(),
            lambda_gb_second: if is_arm { LAMBDA_GB_SECOND_ARM } else { LAMBDA_GB_SECOND_X86 },
            lambda_request: LAMBDA_REQUEST,
            dynamodb_write_unit: DYNAMODB_WRITE_UNIT,
            dynamodb_read_unit: DYNAMODB_READ_UNIT,
            s3_put: S3_PUT,
            s3_get: S3_GET,
            s3_gb_month: S3_GB_MONTH,
        }
    }

    /// Reads prices from the JSON of a file, which errors call `shown`.
    ///
    /// # Errors
    /// Returns `prices` when a field is missing or misspelt, or when a price is negative or no number.
    pub fn read(json: &str, shown: &str) -> Result<Self> {
        let wrong = |what: String| {
            Error::new(Code::Prices, format!("reading prices from {shown}: {what}"))
                .with_hint("docs/guide/cost.md has the layout of the file")
        };
        let prices: Prices = serde_json::from_str(json).map_err(|e| wrong(e.to_string()))?;
        if !prices.are_amounts() {
            return Err(wrong("a price is negative".to_owned()));
        }
        Ok(prices)
    }

    /// Returns whether each of them is an amount of money.
    pub fn are_amounts(&self) -> bool {
        let Prices { lambda_gb_second, lambda_request, dynamodb_write_unit, dynamodb_read_unit, .. } = *self;
        let Prices { s3_put, s3_get, s3_gb_month, .. } = *self;
        let all =
            [lambda_gb_second, lambda_request, dynamodb_write_unit, dynamodb_read_unit, s3_put, s3_get, s3_gb_month];
        all.into_iter().all(is_amount)
    }
}

/// Returns whether this is a number, and none below zero.
pub(crate) fn is_amount(amount: f64) -> bool {
    amount.is_finite() && amount >= 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_that_is_not_known_asks_for_a_file() {
        assert_eq!(Prices::of("us-west-2", "arm64").unwrap().lambda_gb_second, LAMBDA_GB_SECOND_ARM);
        assert_eq!(Prices::of("us-east-1", "x86_64").unwrap(), Prices::of_us_east_1("x86_64"));
        for (region, architecture) in [("mars-north-1", "x86_64"), ("us-east-1", "riscv64"), ("", "")] {
            let error = Prices::of(region, architecture).unwrap_err();
            assert_eq!(error.code(), "prices");
            assert!(error.hint().unwrap().contains("--prices FILE"));
        }
    }

    #[test]
    fn prices_are_read_from_a_file_or_refused() {
        let mars = Prices { region: "mars-north-1".into(), s3_get: 1.0, ..Prices::of_us_east_1("arm64") };
        assert_eq!(Prices::read(&serde_json::to_string(&mars).unwrap(), "f").unwrap(), mars);
        let negative = serde_json::to_string(&Prices { s3_put: -1.0, ..mars }).unwrap();
        for wrong in ["", "{}", &negative] {
            assert_eq!(Prices::read(wrong, "f").unwrap_err().code(), "prices", "{wrong}");
        }
    }
}
