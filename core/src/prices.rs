//! AWS prices in US dollars, us-east-1, read 2026-11. An estimate only: the bill is AWS's.

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
