//! TODO

pub mod s3;
