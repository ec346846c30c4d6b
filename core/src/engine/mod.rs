//! The engine: from blocks of input to sorted runs, and from sorted runs to parts. Plain synchronous code on slices; it knows
//! no S3, no DynamoDB and no Lambda.
//!
//! In the order the data flows: [`cut`] finds record boundaries, [`shard`] takes one thread's pairs and combines them,
//! `sort` orders a partition, [`crate::wire::run`] writes it, `spill` does so early when memory is full, [`merge`] brings
//! runs together again. [`map`] and [`reduce`] put these to work for one task, [`erased`] hides the job's types.

pub mod conformance;
pub mod cut;
pub mod erased;
mod front;
pub mod map;
pub mod merge;
pub mod reduce;
pub mod shard;
mod sort;
mod spill;
mod table;
#[cfg(test)]
mod tests;
