//! The embedded runtime: S3, DynamoDB and Lambda on loopback, inside the driver's process.
//!
//! Kinglet has one path: the AWS SDK. *Local* means that its signed requests go to these servers instead of AWS, and that
//! [`lambda`] instead of Lambda starts the worker processes, which are the very binaries that are deployed. Independent
//! projects do most of that: `s3s` speaks S3's protocol, with our [`s3`] behind it, and `dynoxide` is the database.
//!
//! This crate knows nothing of jobs: it is given functions, buckets and a directory.

mod dynamodb;
#[cfg_attr(test, allow(clippy::unwrap_used))]
pub mod gate;
pub mod lambda;
mod runtime;
pub mod s3;
mod signature;

pub use runtime::{FunctionOptions, Options, REGION, Runtime, Servers, StartError};
