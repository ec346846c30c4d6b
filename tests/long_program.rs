//! A program whose reducers need longer than a function lives, which is three seconds here. `long.rs` runs it with a case; it
//! prints what it found as JSON.

#[path = "embedded.rs"]
mod embedded;

use kinglet::{
    Code, Driver, Emitter, Error, Items, Job, JobHandle, JobId, Local, Manifest, Registry, Report, Sink, Submit,
    Timestamp, UserResult, Values,
};
use kinglet_aws::Clock;
use kinglet_core::wire::spec::Indexed;
use kinglet_local::gate::{Rule, Strike};
use kinglet_local::lambda::{Fault, FaultPlan, FaultRule, When};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Adds up numbers by what is left of them after a division, and takes its time for each sum.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Slow {
    keys: u64,
    ms: u64,
    /// The key that takes so many milliseconds.
    slow: Option<(u64, u64)>,
}

impl Job for Slow {
    const NAME: &'static str = "slow";
    type Input = Items<u64>;
    type Key = u64;
    type Value = u64;
    type Output = (u64, u64, u64);

    fn map(&self, number: u64, out: &mut Emitter<'_, u64, u64>) -> UserResult {
        out.emit(number % self.keys, number)
    }

    fn reduce(&self, key: u64, numbers: Values<'_, u64>, out: &mut Sink<'_, (u64, u64, u64)>) -> UserResult {
        let ms = self.slow.filter(|(slow, _)| *slow == key).map_or(self.ms, |(_, ms)| ms);
        std::thread::sleep(Duration::from_millis(ms));
        let numbers: Vec<u64> = numbers.collect();
        out.push(&(key, numbers.len() as u64, numbers.iter().sum()))
    }
}

const REDUCER: &str = "kinglet-reducer";
const ITEMS: u64 = 400;
const QUICK: Slow = Slow { keys: 20, ms: 0, slow: None };
/// Five seconds' work, which is at least two pieces.
const LONG: Slow = Slow { keys: 20, ms: 250, slow: None };

fn submit(output: &str) -> Submit {
    Submit::to(output).with_partitions(1).with_items_per_split(50)
}

async fn start(driver: &Driver, job: Slow, submit: Submit) -> kinglet::Result<JobHandle> {
    driver.submit_items(&job, 0..ITEMS, submit).await
}

async fn run(driver: &Driver, job: Slow, submit: Submit) -> kinglet::Result<Report> {
    start(driver, job, submit).await?.wait().await
}

fn faults(driver: &Driver, rules: Vec<FaultRule>) {
    if let Some(runtime) = driver.runtime() {
        runtime.host().set_faults(FaultPlan { seed: 0, rules });
    }
}

fn fired(driver: &Driver) -> Vec<u64> {
    let counts = driver.runtime().map(|runtime| runtime.host().fault_counts()).unwrap_or_default();
    counts.iter().map(|count| count.fired).collect()
}

/// The parts of an output, in the order of its manifest.
fn parts(output: &str) -> Vec<(String, String)> {
    let read = |name: &str| std::fs::read(Path::new(output).join(name)).unwrap_or_default();
    let manifest: Manifest = serde_json::from_slice(&read("_manifest.json")).expect("a manifest");
    let text = |name: &str| String::from_utf8_lossy(&read(name)).into_owned();
    manifest.parts.into_iter().map(|part| (part.name.clone(), text(&part.name))).collect()
}

/// The names in an output.
fn names(output: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(output) else { return vec![] };
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    names.sort();
    names
}

async fn idle(driver: &Driver) {
    while driver.runtime().is_some_and(|runtime| runtime.host().pending() > 0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What runs of all kinds have in common: the report, the parts, and what lies in the output.
fn found(report: &Report, output: &str) -> Value {
    json!({ "report": report, "parts": parts(output), "names": names(output) })
}

async fn program() -> kinglet::Result<()> {
    let driver = Local::new().with_concurrency(3).with_timeout(Duration::from_secs(3)).with_gates().start().await?;
    let case = std::env::args().nth(1).unwrap_or_default();
    let always =
        |fault, budget| FaultRule { fault, function: Some(REDUCER.into()), when: When::Probability(1.0), budget };
    let said = match &case[..] {
        "quick" => found(&run(&driver, QUICK, submit("out")).await?, "out"),
        "long" => {
            let handle = start(&driver, LONG, submit("out")).await?;
            let report = handle.wait().await?;
            let whole = String::from_utf8_lossy(&handle.part(0).await?).into_owned();
            let mut said = found(&report, "out");
            said["whole"] = json!(whole);
            said
        }
        // The runs lie in S3, and are indexed; two reducers hand on.
        "objects" => {
            let submit = submit("out").with_inline_bytes(0).with_partitions(2).with_indexed(Indexed::Always);
            found(&run(&driver, Slow { ms: 500, ..LONG }, submit).await?, "out")
        }
        "killed" => {
            // The second and the third piece die the first time that they are tried, and two answers are lost.
            let kill = Fault::KillWorker { after: Duration::ZERO };
            let rules = vec![
                FaultRule::nth(REDUCER, 1, kill),
                FaultRule::nth(REDUCER, 3, kill),
                FaultRule::nth(REDUCER, 2, Fault::LoseReply),
            ];
            faults(&driver, rules);
            let mut said = found(&run(&driver, Slow { ms: 400, ..LONG }, submit("out")).await?, "out");
            said["fired"] = json!(fired(&driver));
            said
        }
        "twice" => {
            faults(&driver, vec![always(Fault::RunTwice, 20)]);
            let mut said = found(&run(&driver, LONG, submit("out")).await?, "out");
            said["fired"] = json!(fired(&driver));
            said
        }
        "lost replies" => {
            let gates = driver.runtime().and_then(|runtime| runtime.gates());
            let gates = gates.ok_or_else(|| Error::new(Code::ProgramFailed, "there are no gates"))?;
            let commit = Rule::dynamodb("UpdateItem").containing("SET #done = :done").after(ITEMS / 50);
            gates.set_rules(vec![commit.times(2).does(Strike::LoseReply)]);
            let mut said = found(&run(&driver, LONG, submit("out")).await?, "out");
            said["fired"] = json!(gates.counts().into_iter().map(|(_, struck)| struck).collect::<Vec<_>>());
            said
        }
        // It begins when most of a function's time is over, and fits into a whole one.
        "a slow key" => {
            let job = Slow { keys: 20, ms: 250, slow: Some((7, 1_900)) };
            found(&run(&driver, job, submit("out")).await?, "out")
        }
        "too slow a key" => {
            let job = Slow { keys: 20, ms: 250, slow: Some((7, 60_000)) };
            let done = run(&driver, job, submit("out")).await;
            idle(&driver).await;
            driver.close().await;
            eprintln!("names {:?}", names("out"));
            return done.map(drop);
        }
        "cancelled" => {
            let handle = start(&driver, LONG, submit("out")).await?;
            // A piece has been handed on.
            while reducers(&driver) < 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            handle.cancel().await?;
            let ended = handle.wait().await.err().map(|error| error.code().to_owned());
            idle(&driver).await;
            json!({ "code": ended, "names": names("out"), "left": left(&driver, handle.id()).await? })
        }
        "over" => {
            let first = found(&run(&driver, LONG, submit("out")).await?, "out");
            let second = found(&run(&driver, Slow { ms: 400, ..LONG }, submit("out").with_overwrite()).await?, "out");
            let handle = start(&driver, QUICK, submit("out").with_overwrite()).await?;
            let third = found(&handle.wait().await?, "out");
            idle(&driver).await;
            json!({ "first": first, "second": second, "third": third, "left": left(&driver, handle.id()).await? })
        }
        other => panic!("{other} is no case"),
    };
    driver.close().await;
    println!("{said}");
    Ok(())
}

/// How many invocations of reducers have ended.
fn reducers(driver: &Driver) -> usize {
    let reports = driver.runtime().map(|runtime| runtime.host().reports()).unwrap_or_default();
    reports.iter().filter(|report| &*report.function == REDUCER).count()
}

/// The keys of what pieces have left in the work bucket, and of uploads that nobody has ended; and what cleaning leaves.
async fn left(driver: &Driver, job: &JobId) -> kinglet::Result<Value> {
    let conductor = embedded::conductor(driver, Clock::default(), 3_000);
    let conductor = conductor.ok_or_else(|| Error::new(Code::ProgramFailed, "there is no runtime"))?;
    let (objects, work) = (&conductor.objects, &conductor.stack.work_bucket);
    let listed = objects.list(work, "jobs/").await?;
    let rests: Vec<_> = listed.into_iter().map(|object| object.key).filter(|key| key.contains("/rest/")).collect();
    let output = conductor.spec(job).await?.output;
    let mut uploads = objects.uploads(&output.bucket, "").await?;
    uploads.extend(objects.uploads(work, "").await?);
    let uploads: Vec<_> = uploads.into_iter().map(|left| left.key).collect();
    driver.clean(Timestamp(Timestamp::now().0 + 3_600_000)).await?;
    let objects = objects.list(work, "jobs/").await?.len();
    let found = conductor.leftovers().await?.len();
    Ok(json!({ "rests": rests, "uploads": uploads, "cleaned": objects + found == 0 }))
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().job::<Slow>(), program)
}
