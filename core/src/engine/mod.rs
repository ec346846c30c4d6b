//! The engine: from blocks of input to sorted runs, and from sorted runs to parts. It is plain synchronous code on slices and
//! knows no S3, no DynamoDB and no Lambda.
//!
//! [`cut`] finds record boundaries, and [`conformance`] checks that a format finds them correctly. [`map`] and [`reduce`] run
//! one task on the tables and runs of `pairs`, with [`crate::guard`] between them and the job's own code; [`trial`] runs both in
//! memory, and checks a job's laws; [`sample`] maps pieces of an input beforehand. [`erased`] hides the job's types. [`merge`] is the task between these
//! two, where a job has such. `rejects` takes
//! out the records that are not valid, where a job may leave such out, and [`quarantine`] writes them.

pub mod conformance;
pub mod cut;
#[cfg(test)]
mod cut_tests;
pub mod erased;
#[cfg(test)]
mod join_tests;
pub mod map;
pub mod merge;
#[cfg(test)]
mod panic_tests;
#[cfg(test)]
mod part_tests;
pub mod passes;
#[cfg(test)]
mod piece_tests;
pub mod quarantine;
pub mod reduce;
mod rejects;
#[cfg(test)]
mod rejects_tests;
pub mod run;
pub mod sample;
#[cfg(test)]
mod task_tests;
#[cfg(test)]
mod tests;
pub mod trial;
#[cfg(test)]
mod trial_tests;
