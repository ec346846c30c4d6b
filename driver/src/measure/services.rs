//! What `kinglet bench` tries of the services behind a stack, and when the functions of a job began.

use super::{Left, Measure};
use crate::Result;
use crate::report::{Cost, Requests};
use kinglet_aws::ledger::{Committed, Record};
use kinglet_aws::probe::Probe;
pub use kinglet_aws::probe::{Line, Measured, Model, Samples, Times};
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::prices::Prices;
use kinglet_core::wire::record::{MapRecord, ReduceRecord};

/// What was found of the services.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Services {
    /// A line for each thing.
    pub lines: Vec<Line>,
    /// The requests that it took. Of DynamoDB's units they hold what [`Samples::requests`] expects.
    pub requests: Requests,
    /// About what they cost.
    pub cost: Cost,
}

/// When the first try of a task began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Start {
    /// The time from the beginning of the task's stage, when its event was sent, to the beginning of the try, in milliseconds.
    pub waited_ms: u64,
    /// How much of it the function's init phase took, in milliseconds; 0 in an environment that was warm.
    pub init_ms: u64,
}

impl Measure<'_> {
    /// Tries S3, DynamoDB and Lambda from this machine: how long requests take, and what is answered where much depends on it.
    /// Tells of each part before it begins. All is done under the id of a job that never was, which is noted in `left`.
    pub async fn services(&self, samples: Samples, left: &Left, tell: &mut (dyn FnMut(&str) + Send)) -> Services {
        let (job, before) = (self.shared.conductor.new_id(), self.shared.conductor.clients.meter.totals());
        left.job(&job);
        let lines = Probe::new(&self.shared.conductor, job, samples).run(tell).await;
        let mut counted = self.shared.conductor.clients.meter.since(&before);
        let expected = samples.requests();
        (counted.write_milliunits, counted.read_milliunits) = (expected.write_milliunits, expected.read_milliunits);
        let requests = Requests::counted(counted);
        Services { lines, requests, cost: Cost::of(0.0, &requests, &Prices::of_us_east_1("x86_64")) }
    }

    /// Returns when the tasks of a job that has ended began, first those of mapping and then those of reducing. Tasks that had
    /// to be tried again are left out.
    ///
    /// # Errors
    /// `job-missing`; [a service error](crate#errors).
    pub async fn starts(&self, job: &JobId) -> Result<Vec<Start>> {
        let ledger = &self.shared.conductor.ledger;
        let view = ledger.job(job).await?;
        let maps: Committed<MapRecord> = ledger.committed(job, view.map_tasks).await?;
        let reduces: Committed<ReduceRecord> = ledger.committed(job, view.partitions).await?;
        Ok(began(&maps, view.phase_at.mapping).chain(began(&reduces, view.phase_at.reducing)).collect())
    }
}

fn began<R: Record>(tasks: &Committed<R>, since: Option<Timestamp>) -> impl Iterator<Item = Start> {
    let first = tasks.iter().filter_map(|pieces| pieces.first()).filter(|record| record.attempt().number == 0);
    first.filter_map(move |record| {
        let usage = record.usage();
        Some(Start { waited_ms: usage.started_at.since_ms(since?), init_ms: usage.init_ms })
    })
}
