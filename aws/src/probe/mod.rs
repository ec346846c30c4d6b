//! What S3, DynamoDB and Lambda do, tried from outside and set beside what [`kinglet_core::model`] says: how long requests take,
//! and what is answered where much depends on the answer.
//!
//! Everything is done under the id of a job that never was: objects and uploads below `jobs/<id>/` in the work bucket, items
//! with the partition key of that job. So a driver's own permissions are enough, and [`Conductor::forget_all`] and `kinglet clean`
//! find all of it. Items also have the ledger's time to live, and the bucket's lifecycle rules hold for the objects.
//!
//! Requests are sent one after another, except where the question is who wins, and are not sent again: a repeated request
//! would hide the first one's answer and time. A sample that gets no answer, or an unexpected one, is left out of the times; a
//! line without any sample says why.
//!
//! | module | tries |
//! |---|---|
//! | `s3` | requests on objects and multipart uploads, conditional ones above all |
//! | `dynamodb` | requests on items, conditions, transactions |
//! | `lambda` | invocations, and the control plane |
//! | `line` | what one of them found, beside the model |

mod dynamodb;
mod lambda;
mod line;
mod s3;

pub use line::{Line, Measured, Model, Times};

use crate::conductor::Conductor;
use crate::ledger::Key;
use crate::{Clients, FunctionNames};
use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use kinglet_core::ids::JobId;
use kinglet_core::prices;
use kinglet_core::wire::record::Requests;

/// How often each thing is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Samples {
    /// Requests that are small.
    pub small: u32,
    /// Requests that move 8 MiB, and multipart uploads.
    pub large: u32,
    /// Races, of [`RACERS`] requests each.
    pub races: u32,
}

/// How many requests race for one key.
pub const RACERS: u32 = 16;

/// The size of a small object, in bytes (1 KiB).
const SMALL_BYTES: usize = 1 << 10;

/// The size of a large object, in bytes: what a mapper asks for with one GET.
const LARGE_BYTES: usize = kinglet_core::budget::GET_BYTES as usize;

impl Samples {
    /// Enough for a 99th percentile.
    pub const MANY: Samples = Samples { small: 100, large: 20, races: 8 };

    /// Enough to see orders of magnitude.
    pub const FEW: Samples = Samples { small: 20, large: 3, races: 2 };

    /// Returns about how many requests are sent, rounded up.
    pub fn requests(&self) -> Requests {
        let [small, large, races, racers] = [self.small, self.large, self.races, RACERS].map(u64::from);
        Requests {
            s3_put: 2 * small + 4 * large + races * (2 * racers + 6) + 40,
            s3_get: 2 * small + large + races * 4 + 10,
            s3_delete: small + races + 15,
            dynamodb: 4 * small + races * (2 * racers + 6) + 30,
            write_milliunits: 1_000 * (5 * small + races * (5 * racers + 2) + 30),
            read_milliunits: 1_000 * (2 * small + races * 4 + 20),
            lambda: small + 5,
            again: 0,
        }
    }

    /// Returns about what these requests cost, in US dollars.
    pub fn cost(&self) -> f64 {
        let requests = self.requests();
        requests.s3_put as f64 * prices::S3_PUT
            + requests.s3_get as f64 * prices::S3_GET
            + requests.write_milliunits as f64 / 1e3 * prices::DYNAMODB_WRITE_UNIT
            + requests.read_milliunits as f64 / 1e3 * prices::DYNAMODB_READ_UNIT
            + requests.lambda as f64 * prices::LAMBDA_REQUEST
    }
}

/// Tries the services of a stack.
pub struct Probe<'a> {
    conductor: &'a Conductor,
    s3: aws_sdk_s3::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    lambda: aws_sdk_lambda::Client,
    job: JobId,
    samples: Samples,
}

impl<'a> Probe<'a> {
    /// Makes a probe that leaves everything under this id, which no job may have. It sends nothing yet.
    pub fn new(conductor: &'a Conductor, job: JobId, samples: Samples) -> Self {
        let Clients { s3, dynamodb, lambda, .. } = &conductor.clients;
        let once = RetryConfig::disabled();
        Probe {
            conductor,
            s3: aws_sdk_s3::Client::from_conf(s3.config().to_builder().retry_config(once.clone()).build()),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(
                dynamodb.config().to_builder().retry_config(once.clone()).build(),
            ),
            lambda: aws_sdk_lambda::Client::from_conf(lambda.config().to_builder().retry_config(once).build()),
            job,
            samples,
        }
    }

    /// Tries everything, and tells of each part by its name before it begins.
    pub async fn run(&self, tell: &mut (dyn FnMut(&str) + Send)) -> Vec<Line> {
        let mut lines = Vec::new();
        tell("S3: how long requests take");
        lines.extend(self.s3_times().await);
        tell("S3: conditions, races and uploads");
        lines.extend(self.s3_answers().await);
        tell("DynamoDB");
        lines.extend(self.dynamodb_times().await);
        lines.extend(self.dynamodb_answers().await);
        tell("Lambda");
        lines.extend(self.lambda_times().await);
        lines.extend(self.lambda_answers().await);
        lines.extend(self.clock());
        lines
    }

    fn bucket(&self) -> &str {
        &self.conductor.stack.work_bucket
    }

    /// Returns a key of an object.
    fn key(&self, name: &str) -> String {
        format!("{}bench/{name}", Conductor::prefix(&self.job))
    }

    fn table(&self) -> &str {
        self.conductor.ledger.table_name()
    }

    /// Returns the partition key and the sort key of an item.
    fn item(&self, name: &str) -> [(String, AttributeValue); 2] {
        let Key { pk, .. } = Key::job(&self.job);
        [("pk".to_owned(), AttributeValue::S(pk)), ("sk".to_owned(), AttributeValue::S(format!("bench#{name}")))]
    }

    fn functions(&self) -> &FunctionNames {
        &self.conductor.stack.functions
    }

    /// Returns how far this machine's clock is off, once services have answered.
    fn clock(&self) -> Option<Line> {
        let ahead_ms = self.conductor.clients.clock.ahead_ms()?;
        let model = format!(
            "within {} s, of S3 within {} s",
            kinglet_core::model::dynamodb::SKEW_MS_MAX / 1_000,
            kinglet_core::model::s3::SKEW_MS_MAX / 1_000
        );
        let agrees = ahead_ms.unsigned_abs() < kinglet_core::model::dynamodb::SKEW_MS_MAX;
        let measured = Measured::Value { value: -ahead_ms as f64 / 1e3, unit: "s".to_owned() };
        let model = Model { latency: None, says: model, agrees: Some(agrees) };
        Some(Line::new("clock", "this machine's clock ahead of AWS's", "Clocks", measured, model))
    }
}
