//! Workloads: what drivers do in a region, one file each. [`ALL`] is their list.

mod calls;
mod jobs;
mod meeting;
mod single;

pub use jobs::{Spread, Sums};

use crate::region::Conditions;
use crate::world::World;
use kinglet_calls::Functions;
use kinglet_core::Registry;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

/// A workload under way.
type Doing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What drivers do.
pub struct Workload {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Does it.
    pub run: fn(Arc<World>) -> Doing,
    /// What the region must be like for it.
    pub region: fn(&mut Conditions),
}

macro_rules! workloads {
    ($($name:literal, $run:path, $about:literal $(, in $region:path)?;)*) => {
        &[$(Workload {
            name: $name,
            about: $about,
            run: |world| Box::pin($run(world)),
            region: workloads!(@ $($region)?),
        }),*]
    };
    (@) => { |_| {} };
    (@ $region:path) => { $region };
}

/// All workloads.
pub const ALL: &[Workload] = workloads! {
    "word-count", single::word_count, "words of several objects, combined, runs in DynamoDB";
    "sort", single::sort, "lines shuffled whole, runs in S3, several partitions";
    "indexed", single::indexed, "lines shuffled whole by an index of their runs, which lie in S3, in DynamoDB or in both";
    "merged", single::merged, "lines shuffled whole or words combined, by runs that are merged before they are reduced";
    "merged-pieces", single::merged_pieces, "merge tasks that hand on after each map attempt, and reduce tasks after each key";
    "items", single::items, "a job whose input is made";
    "rereads", single::rereads, "CSV whose splits begin within long fields, and are read again";
    "pieces", single::pieces, "map tasks that hand on what they have no time for";
    "reduce-pieces", single::reduce_pieces, "reduce tasks that hand on after each key";
    "rejected", single::rejected, "lines of which some are not valid and may be left out, reduced whole or in pieces";
    "folders", single::folders, "a result in folders, several files a reduce task, whole or in pieces";
    "long", single::long, "map tasks that read for longer than a function lives", in single::short_lives;
    "ceiling", single::ceiling, "a job that would cost more than it may", in single::three_short_lives;
    "cleaned", single::cleaned, "a job that is cleaned as soon as it has ended";
    "map", calls::map, "calls of a function, in batches";
    "cancel-calls", calls::cancel, "single calls that are cancelled, and cleaned as soon as all have ended";
    "map-reduce", calls::map_reduce, "calls of a function, and one over their results";
    "map-into", calls::map_into, "calls whose pairs go to a job's reduce";
    "two-on-one-output", meeting::two_on_one_output, "jobs race to one output, and some insist", in meeting::insisting;
    "overwrite", meeting::overwrite, "a job over the result of another";
    "two-overwrite", meeting::two_overwrite, "jobs race to overwrite one result, and some insist", in meeting::insisting;
    "cancel", meeting::cancel, "a job that is cancelled at some time";
    "user-error", meeting::user_error, "a job whose own code fails";
    "input-changes", meeting::input_changes, "an object of the input is replaced while the job runs";
    "stranger", meeting::stranger, "somebody writes into the output, takes the claim away, or aborts uploads";
    "nobody", meeting::nobody, "a driver that submits and leaves";
    "stored", meeting::stored, "a stored job, whose start is told of several times", in meeting::patient;
    "changes", meeting::changes, "a stored job that new objects start", in meeting::patient;
};

/// Returns the jobs and functions of all workloads, as they are registered in every process.
pub fn registered() -> (Arc<Registry>, Arc<Functions>) {
    static REGISTERED: LazyLock<(Arc<Registry>, Arc<Functions>)> = LazyLock::new(|| {
        let jobs =
            Registry::new().job::<jobs::Count>().job::<jobs::CountFields>().job::<jobs::Sort>().job::<jobs::Sums>();
        let jobs = jobs.job::<jobs::Spread>();
        let jobs = jobs.job::<jobs::SumLines>().job::<jobs::SumsByTens>().job::<jobs::Fails>();
        let functions = Functions::new().function(calls::square).function(calls::sum).function(calls::pairs);
        (Arc::new(jobs), Arc::new(functions))
    });
    REGISTERED.clone()
}

/// Registers the same for drivers.
///
/// # Errors
/// Returns the error of a name that is taken.
pub fn register() -> kinglet::Result<()> {
    let jobs = kinglet::Registry::new()
        .job::<jobs::Count>()
        .job::<jobs::CountFields>()
        .job::<jobs::Sort>()
        .job::<jobs::Sums>()
        .job::<jobs::Spread>();
    let jobs = jobs.job::<jobs::SumLines>().job::<jobs::SumsByTens>().job::<jobs::Fails>();
    kinglet::register(jobs.function(calls::square).function(calls::sum).function(calls::pairs))
}
