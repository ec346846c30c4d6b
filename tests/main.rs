//! The whole-system tests, in one binary. Table of contents:
//!
//! | module | what it shows |
//! |---|---|
//! | `arrows` | the crates depend on each other as ARCHITECTURE.md says, and on nothing that they must not |
//! | `boto3` | AWS's own Python client works with the embedded S3, DynamoDB and Lambda |
//! | `ministack` | the same jobs give the same bytes on an S3 and a DynamoDB that are not ours |
//!
//! What they share: `programs` builds what is under test, `venv` brings Python packages.

mod arrows;
mod boto3;
mod ministack;
mod programs;
mod venv;
