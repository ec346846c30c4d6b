//! The engine: from blocks of input to sorted runs, and from sorted runs to parts. Plain synchronous code on slices; it knows
//! no S3, no DynamoDB and no Lambda.
//!
//! [`cut`] finds record boundaries, and [`conformance`] checks that a format does; [`map`] and [`reduce`] run one task, with what
//! `pairs` knows of tables and runs, and with [`guard`] between them and the job's own code; [`erased`] hides the job's types.

pub mod conformance;
pub mod cut;
pub mod erased;
pub mod guard;
pub mod map;
pub mod reduce;
#[cfg(test)]
mod tests;
