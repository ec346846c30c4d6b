//! The embedded runtime: S3, DynamoDB and Lambda on loopback, inside the driver's process.
//!
//! Kinglet has one path: the AWS SDK. *Local* means that its signed requests go to these servers instead of AWS, and that
//! [`lambda`] instead of Lambda starts the worker processes, which are the very binaries that are deployed. Independent
//! projects, `s3s` and `dynoxide`, speak S3's and DynamoDB's protocols; what lies behind S3 is [`s3`].
//!
//! This crate knows nothing of jobs: it is given functions, buckets and a directory.

#[cfg_attr(test, allow(clippy::unwrap_used))]
pub mod gate;
pub mod lambda;
mod runtime;
pub mod s3;

pub use runtime::{FunctionOptions, Options, REGION, Runtime, Servers, StartError};
