//! The services, measured beside the model of them: requests from this machine, and functions started by small jobs.

use super::{OUT, Set};
use kinglet::Result;
use kinglet::measure::{Line, Measure, Measured, Model, Samples, Start, Times};
use kinglet_core::model::{Latency, lambda};
use kinglet_core::prices;
use kinglet_jobs::BenchHold;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount {
    samples: Samples,
    /// How many jobs of one task run one after another.
    alone: u32,
    /// How many functions are started at once.
    at_once: u32,
    /// How long each of these is kept, in milliseconds.
    hold_ms: u32,
}

impl Amount {
    pub(super) fn new(quick: bool) -> Self {
        if quick {
            Amount { samples: Samples::FEW, alone: 3, at_once: 20, hold_ms: 1_000 }
        } else {
            Amount { samples: Samples::MANY, alone: 10, at_once: 100, hold_ms: 3_000 }
        }
    }

    /// Returns the amount for an account that runs so many functions at once.
    pub(super) fn at_most(self, concurrency: u32) -> Self {
        Amount { at_once: self.at_once.min(concurrency), ..self }
    }

    /// Says what it will take, before anything is sent.
    pub(super) fn stated(&self, memory_mb: u32) -> String {
        let requests = self.samples.requests();
        let held_gb_s = f64::from(self.at_once) * f64::from(self.hold_ms) / 1e3 * f64::from(memory_mb) / 1_024.0;
        let usd = self.samples.cost() + held_gb_s * prices::LAMBDA_GB_SECOND_X86;
        format!(
            "the services: up to {} requests to S3, {} to DynamoDB, {} to Lambda; {} jobs, of which one keeps {} functions \
             for {} s: about ${usd:.3}",
            requests.s3_put + requests.s3_get + requests.s3_delete,
            requests.dynamodb,
            requests.lambda,
            self.alone + 1,
            self.at_once,
            f64::from(self.hold_ms) / 1e3,
        )
    }
}

impl Set<'_> {
    /// Measures the services.
    pub(super) async fn services(&mut self) -> Result<()> {
        let measure = Measure::on(self.driver);
        let amount = Amount::new(self.bench.quick).at_most(measure.concurrency().await);
        let memory_mb = self.results.functions.iter().map(|function| function.memory_mb).max().unwrap_or(0);
        eprintln!("{}", amount.stated(memory_mb));
        let found = measure.services(amount.samples, &self.left, &mut |part| eprintln!("{part}")).await;
        self.results.tried(&found);
        let read = self.results.read_per_function_second().map(throughput);
        self.results.services.extend(read);
        let mut starts = Vec::new();
        for n in 1..=amount.alone {
            starts.extend(self.hold(&format!("one task alone, {n} of {}", amount.alone), 1, 0).await?);
        }
        let what = format!("{} functions at once", amount.at_once);
        let at_once = self.hold(&what, amount.at_once, amount.hold_ms).await?;
        self.results.services.extend(begun(&starts, &at_once));
        Ok(())
    }

    /// Runs a job whose tasks only keep their functions. Returns when they began.
    async fn hold(&mut self, what: &str, tasks: u32, ms: u32) -> Result<Vec<Start>> {
        let items = vec![Vec::new(); tasks as usize];
        let submit = self.submit([], OUT).with_items_per_split(1).with_partitions(1);
        let job = self.driver.submit_items(&BenchHold { ms }, items, submit).await?;
        let id = job.id().clone();
        let report = self.once(what, job).await?;
        self.results.set_up(&report);
        let starts = Measure::on(self.driver).starts(&id).await?;
        self.place.remove(self.driver, OUT).await?;
        Ok(starts)
    }
}

const LATENCIES: &str = "Latencies of Lambda";

/// Returns the lines of how functions began: those of jobs of one task, and those of a job of many.
fn begun(alone: &[Start], at_once: &[Start]) -> Vec<Line> {
    let times = |of: &dyn Fn(&Start) -> Option<u64>, starts: &[&[Start]]| {
        let ms: Vec<u64> = starts.iter().flat_map(|starts| starts.iter()).filter_map(of).collect();
        match Times::of(ms.into_iter().map(|ms| ms * 1_000).collect()) {
            Some(times) => Measured::Times(times),
            None => Measured::Nothing("none began so".to_owned()),
        }
    };
    let warm = |start: &Start| (start.init_ms == 0).then_some(start.waited_ms);
    let cold = |start: &Start| (start.init_ms > 0).then_some(start.waited_ms);
    let init = |start: &Start| (start.init_ms > 0).then_some(start.init_ms);
    let (warm_model, cold_model) = (lambda::INVOKE_EVENT.then(lambda::WARM_START), cold_start());
    let took = |name, what, measured, model| Line::took(name, what, LATENCIES, measured, model);
    let mut lines = vec![
        took("start-warm", "from Invoke of an event to a warm function", times(&warm, &[alone]), warm_model),
        took("start-cold", "the same to a new environment", times(&cold, &[alone, at_once]), cold_model),
        took("start-init", "the init phase of new environments", times(&init, &[alone, at_once]), lambda::INIT),
    ];
    // The reducer begins when all is over.
    let maps = &at_once[..at_once.len().saturating_sub(1)];
    let what = format!("{} functions started at once", maps.len());
    let model = Model { latency: None, says: ramp(maps.len() as u64), agrees: None };
    lines.push(Line::new("start-ramp", &what, "Concurrency", by_second(maps), model));
    lines
}

/// What the model says of an event that needs a new environment.
fn cold_start() -> Latency {
    lambda::INVOKE_EVENT.then(lambda::COLD_START).then(lambda::INIT)
}

/// Says how the model starts so many functions.
fn ramp(functions: u64) -> String {
    let ramps = functions.saturating_sub(1) / u64::from(lambda::RAMP_ENVIRONMENTS);
    let within_ms = ramps * lambda::RAMP_MS + cold_start().p99_us / 1_000;
    format!("all within {:.1} s", within_ms as f64 / 1e3)
}

/// Counts starts by the second in which they were.
fn by_second(starts: &[Start]) -> Measured {
    let Some(last) = starts.iter().map(|start| start.waited_ms / 1_000).max() else {
        return Measured::Nothing("none began".to_owned());
    };
    let mut seconds = vec![0; last as usize + 1];
    starts.iter().for_each(|start| seconds[(start.waited_ms / 1_000) as usize] += 1);
    Measured::Starts(seconds)
}

/// Returns the line of how fast one function read from S3.
fn throughput(bytes_per_s: f64) -> Line {
    let measured = Measured::Value { value: bytes_per_s / 1e6, unit: "MB/s".to_owned() };
    let says = format!("{} MB/s", lambda::NETWORK_BYTES_PER_S / 1_000_000);
    let model = Model { latency: None, says, agrees: None };
    Line::new("function-read", "one function reads from S3", "Environments", measured, model)
}
