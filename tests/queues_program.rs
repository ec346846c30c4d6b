//! A program whose jobs take their time, or all of it. `queues.rs` runs it with a case and a number of milliseconds; it prints
//! what it found as JSON. Each record that is mapped adds a line to a file.

use kinglet::prices::Prices;
use kinglet::{Code, Driver, Emitter, Error, Items, Job, JobHandle, Local, Registry, Sink, Submit, UserResult, Values};
use kinglet_local::gate::{Gates, Rule, Strike};
use kinglet_local::lambda::{Fault, FaultPlan, FaultRule};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Writes down each record and takes so long for it.
#[derive(Serialize, Deserialize)]
struct Patient {
    mapped: PathBuf,
    ms: u64,
    /// This record never ends.
    endless: Option<u32>,
}

impl Job for Patient {
    const NAME: &'static str = "patient";
    type Input = Items<u32>;
    type Key = u32;
    type Value = u32;
    type Output = u32;

    fn map(&self, number: u32, out: &mut Emitter<'_, u32, u32>) -> UserResult {
        let mut mapped = std::fs::OpenOptions::new().create(true).append(true).open(&self.mapped)?;
        mapped.write_all(format!("{number}\n").as_bytes())?;
        std::thread::sleep(Duration::from_millis(self.ms));
        while self.endless == Some(number) {
            std::thread::sleep(Duration::from_millis(1));
        }
        out.emit(number, number)
    }

    fn reduce(&self, number: u32, _: Values<'_, u32>, out: &mut Sink<'_, u32>) -> UserResult {
        out.push(&number)
    }
}

const MAPPER: &str = "kinglet-mapper";

/// So many invocations of mappers so far, and what they have mapped.
fn seen(driver: &Driver, job: &Patient) -> Value {
    let reports = driver.runtime().map(|runtime| runtime.host().reports()).unwrap_or_default();
    let mappers = reports.iter().filter(|report| &*report.function == MAPPER).count();
    let mapped = std::fs::read_to_string(&job.mapped).unwrap_or_default();
    let mut mapped: Vec<u32> = mapped.lines().filter_map(|line| line.parse().ok()).collect();
    mapped.sort_unstable();
    json!({ "mappers": mappers, "mapped": mapped })
}

fn faults(driver: &Driver, rules: Vec<FaultRule>) {
    if let Some(runtime) = driver.runtime() {
        runtime.host().set_faults(FaultPlan { seed: 0, rules });
    }
}

fn gates(driver: &Driver) -> kinglet::Result<&Gates> {
    let gates = driver.runtime().and_then(|runtime| runtime.gates());
    gates.ok_or_else(|| Error::new(Code::ProgramFailed, "there are no gates"))
}

/// Waits until nothing runs any more; how long that took in milliseconds.
async fn idle(driver: &Driver) -> u64 {
    let began = Instant::now();
    while driver.runtime().is_some_and(|runtime| runtime.host().pending() > 0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    began.elapsed().as_millis() as u64
}

/// Prices by which a GB-second costs a dollar, and everything else what it does.
fn dear() -> Prices {
    Prices { lambda_gb_second: 1.0, ..Prices::of_us_east_1("x86_64") }
}

/// How a job ended that passed its ceiling, for whoever waits for it, attaches to it, or asks for its status; cancelling it
/// changes nothing.
async fn passed(driver: &Driver, handle: JobHandle, job: &Patient) -> kinglet::Result<Value> {
    let error = handle.wait().await.err().unwrap_or_else(|| Error::new(Code::ProgramFailed, "the job has succeeded"));
    let ms = idle(driver).await;
    let seen = seen(driver, job);
    handle.cancel().await?;
    let attached = driver.attach(handle.id()).await?.wait().await.err();
    let status = handle.status().await?;
    Ok(json!({
        "code": error.code(),
        "message": error.to_string(),
        "hint": error.hint(),
        "attached": attached.map(|error| error.to_string()),
        "phase": status.phase,
        "left after": ms,
        "seen": seen,
    }))
}

/// Waits until some records are being mapped.
async fn mapping(job: &Patient) {
    while !std::fs::metadata(&job.mapped).is_ok_and(|file| file.len() > 0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn program() -> kinglet::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let case = args.first().map_or("", String::as_str);
    let ms = args.get(1).and_then(|ms| ms.parse().ok()).unwrap_or(0);
    let mapped = std::env::current_dir().unwrap_or_default().join("mapped");
    let mut job = Patient { mapped, ms, endless: None };
    let local = Local::new().with_concurrency(2).with_gates();
    let is_short = matches!(case, "endless" | "endless below a ceiling");
    let local = if is_short { local.with_timeout(Duration::from_secs(3)) } else { local };
    let driver = local.start().await?;
    let submit = |per_split| Submit::to("out").with_items_per_split(per_split);
    let said = match case {
        "queue" => {
            let report = driver.submit_items(&job, 0..10, submit(1)).await?.wait().await?;
            json!({ "retries": report.retries, "seen": seen(&driver, &job) })
        }
        "twice" => {
            faults(
                &driver,
                vec![FaultRule::nth(MAPPER, 0, Fault::RunTwice), FaultRule::nth(MAPPER, 1, Fault::RunTwice)],
            );
            let report = driver.submit_items(&job, 0..2, submit(1)).await?.wait().await?;
            idle(&driver).await;
            let fired: u64 =
                driver.runtime().into_iter().flat_map(|at| at.host().fault_counts()).map(|count| count.fired).sum();
            json!({ "fired": fired, "retries": report.retries, "seen": seen(&driver, &job) })
        }
        "endless" => {
            job.endless = Some(1);
            let done = driver.submit_items(&job, 0..3, submit(1)).await?.wait().await;
            let error = done.err().unwrap_or_else(|| Error::new(Code::ProgramFailed, "the job has succeeded"));
            json!({ "code": error.code(), "message": error.to_string(), "seen": seen(&driver, &job) })
        }
        "endless below a ceiling" => {
            job.endless = Some(1);
            // A try of 3 s and 1.7 GB costs 5 dollars; a second one would cost as much.
            let submit = submit(1).with_prices(dear()).with_max_usd(8.0);
            passed(&driver, driver.submit_items(&job, 0..3, submit).await?, &job).await?
        }
        "slow below a ceiling" => {
            let submit = submit(500).with_prices(dear()).with_max_usd(20.0);
            passed(&driver, driver.submit_items(&job, 0..1_000, submit).await?, &job).await?
        }
        "too long" => {
            let submit = submit(500).with_max_seconds(3.0).with_concurrency(100);
            passed(&driver, driver.submit_items(&job, 0..1_000, submit).await?, &job).await?
        }
        "cancel" | "cancel endless" => {
            job.endless = (case == "cancel endless").then_some(0);
            let handle = driver.submit_items(&job, 0..1_000, submit(500)).await?;
            mapping(&job).await;
            handle.cancel().await?;
            let ms = idle(&driver).await;
            json!({ "left after": ms, "code": handle.wait().await.err().map(|error| error.code().to_owned()) })
        }
        "failing looks" => {
            let gates = gates(&driver)?;
            gates.set_rules(vec![Rule::s3("UploadPart").containing("part-").does(Strike::HoldBefore)]);
            let handle = driver.submit_items(&job, 0..2, submit(1)).await?;
            let held = gates.next_held().await;
            let refused = Strike::Refuse { status: 500, code: "InternalServerError".to_owned() };
            let looks = Rule::dynamodb("GetItem").containing(handle.id().as_str()).times(20).does(refused);
            gates.set_rules(vec![looks]);
            let release = async {
                while gates.counts()[0].1 < 20 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                held.go_on();
            };
            let (report, ()) = tokio::join!(handle.wait(), release);
            json!({ "refused": gates.counts()[0].1, "retries": report?.retries })
        }
        other => panic!("{other} is no case"),
    };
    driver.close().await;
    println!("{said}");
    Ok(())
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().job::<Patient>(), program)
}
