//! Stored jobs: a stack starts them again and again, once for each start however often its event comes, after changes have come
//! to rest, and a task of Step Functions is told of the end. The Step Functions are ministack's.

use crate::ministack::Ministack;
use crate::support::{Ran, conductor, driver, failed, run, shown};
use crate::{programs, venv};
use kinglet::{Code, Driver, Error, JobId, Manifest, Phase, Store, Submit, Timestamp};
use kinglet_aws::Conductor;
use kinglet_aws::objects::Replace;
use kinglet_aws::program::publish;
use kinglet_aws::stored::Start;
use kinglet_core::ids::ProgramId;
use kinglet_core::wire::event::{ChangedEvent, Event, StartEvent, SweepEvent};
use kinglet_core::wire::program;
use kinglet_core::wire::stored::{StoredName, read_time};
use kinglet_jobs::WordCount;
use kinglet_local::lambda::{Fault, FaultPlan, FaultRule};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinSet;

const INPUT: &str = "logs";
const OUTPUT: &str = "results";

/// A driver whose S3 has these two buckets.
async fn stack(choices: impl FnOnce(kinglet::Local) -> kinglet::Local) -> (Driver, Conductor) {
    let driver = driver(choices).await;
    let conductor = conductor(&driver);
    for bucket in [INPUT, OUTPUT] {
        conductor.objects.create_bucket(bucket).await.unwrap();
    }
    (driver, conductor)
}

async fn put(conductor: &Conductor, key: &str, text: &'static str) {
    conductor.objects.put(INPUT, key, text.into(), Replace::Yes).await.unwrap();
}

/// Waits for the end of each job of a stack, and returns how they ended, oldest first.
async fn ended(conductor: &Conductor) -> Vec<(JobId, Phase, Option<Error>)> {
    loop {
        let mut jobs = conductor.ledger.jobs().await.unwrap();
        if jobs.iter().all(|job| job.phase.is_final()) {
            jobs.sort_by_key(|job| job.submitted_at);
            let mut ended = vec![];
            for job in jobs {
                let view = conductor.ledger.job(&job.job).await.unwrap();
                ended.push((job.job, job.phase, view.error));
            }
            return ended;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The result below a prefix of the output's bucket.
async fn result(conductor: &Conductor, prefix: &str) -> (String, String) {
    let manifest = conductor.objects.get(OUTPUT, &format!("{prefix}_manifest.json"), None).await.unwrap();
    let manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
    let mut text = String::new();
    for part in &manifest.parts {
        let part = conductor.objects.get(OUTPUT, &format!("{prefix}{}", part.name), None).await.unwrap();
        text += std::str::from_utf8(&part).unwrap();
    }
    (manifest.job, text)
}

/// Does something several times at once.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    conductor: &Conductor,
    times: usize,
    what: impl Fn(Conductor) -> F,
) -> Vec<T> {
    let all: JoinSet<T> = (0..times).map(|_| what(conductor.clone())).collect();
    all.join_all().await
}

/// How many invocations of the splitter have ended.
fn splitters(driver: &Driver) -> usize {
    let reports = driver.runtime().unwrap().host().reports();
    reports.iter().filter(|report| &*report.function == "kinglet-splitter").count()
}

/// Sends the splitter an event, and waits until an invocation has ended.
async fn send(driver: &Driver, conductor: &Conductor, event: Event) {
    let before = splitters(driver);
    conductor.functions.start(&event).await.unwrap();
    while splitters(driver) == before {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn start_at(name: &StoredName, once: &str, at: &str) -> Event {
    Event::Start(StartEvent { stored: name.clone(), once: Some(once.into()), at: Some(at.into()), token: None })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_job_starts_again_and_again_with_the_time_in_its_names() {
    let (driver, conductor) = stack(|local| local).await;
    put(&conductor, "2026/11/21/a", "a b a").await;
    put(&conductor, "2026/11/22/a", "c c").await;
    put(&conductor, "2026/11/22/b", "d").await;
    let submit = || Submit::new(["s3://logs/%Y/%m/%d/"], "s3://results/%Y-%m-%d").with_partitions(1);
    let day = Duration::from_secs(86_400);
    assert!(!driver.store(&WordCount, submit(), Store::new("daily").with_time_back(day)).await.unwrap());
    let name: StoredName = "daily".parse().unwrap();

    // Each event comes three times.
    for (once, at) in [("first", "2026-11-22T02:00:00Z"), ("second", "2026-11-23T02:00:00Z")] {
        for _ in 0..3 {
            send(&driver, &conductor, start_at(&name, once, at)).await;
        }
    }
    let jobs = ended(&conductor).await;
    assert_eq!(jobs.iter().map(|(_, phase, _)| *phase).collect::<Vec<_>>(), [Phase::Succeeded; 2], "{jobs:?}");
    let (first, text) = result(&conductor, "2026-11-21/").await;
    assert_eq!((first, text), (jobs[0].0.to_string(), "a\t2\nb\t1\n".to_owned()));
    let (second, text) = result(&conductor, "2026-11-22/").await;
    assert_eq!((second, text), (jobs[1].0.to_string(), "c\t2\nd\t1\n".to_owned()));

    // A start of its own finds the result of the one before: the job says so, and the result stays.
    send(&driver, &conductor, start_at(&name, "third", "2026-11-23T03:00:00Z")).await;
    let (_, phase, error) = ended(&conductor).await.pop().unwrap();
    assert_eq!((phase, error.unwrap().code()), (Phase::Failed, "output-exists"));
    assert_eq!(result(&conductor, "2026-11-22/").await.1, "c\t2\nd\t1\n");

    // What is stored anew counts from then on, and only that is kept.
    assert!(
        driver.store(&WordCount, submit().with_overwrite(), Store::new("daily").with_time_back(day)).await.unwrap()
    );
    send(&driver, &conductor, start_at(&name, "fourth", "2026-11-23T04:00:00Z")).await;
    assert_eq!(ended(&conductor).await.pop().unwrap().1, Phase::Succeeded);
    assert_eq!(conductor.objects.list("kinglet-work", "stored/").await.unwrap().len(), 1);

    // By hand, too; and the list has it.
    put(&conductor, "now/a", "e").await;
    driver
        .store(&WordCount, Submit::new(["s3://logs/now/"], "s3://results/now").with_overwrite(), Store::new("now"))
        .await
        .unwrap();
    driver.start_stored("now").await.unwrap().wait().await.unwrap();
    driver.start_stored("now").await.unwrap().wait().await.unwrap();
    assert_eq!(result(&conductor, "now/").await.1, "e\t1\n");
    let names: Vec<_> = driver.stored().await.unwrap().into_iter().map(|stored| (stored.name, stored.output)).collect();
    assert_eq!(
        names,
        [("daily", "s3://results/%Y-%m-%d"), ("now", "s3://results/now")].map(|(a, b)| (a.into(), b.into()))
    );

    driver.remove_stored("daily").await.unwrap();
    driver.remove_stored("now").await.unwrap();
    assert!(conductor.objects.list("kinglet-work", "stored/").await.unwrap().is_empty());
    for gone in [driver.remove_stored("daily").await.err(), driver.start_stored("daily").await.err()] {
        assert!(gone.as_ref().is_some_and(|gone| gone.is(Code::StoredMissing)), "{gone:?}");
    }
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_start_a_job_at_once_one_does() {
    let (driver, conductor) = stack(|local| local).await;
    put(&conductor, "a", "a b a").await;
    let submit = Submit::new(["s3://logs/a"], "s3://results/%Y-%m-%d-%H-%M");
    driver.store(&WordCount, submit, Store::new("one")).await.unwrap();
    let name: StoredName = "one".parse().unwrap();
    let at = Some(read_time("2026-11-22T02:00:00Z").unwrap());
    for once in ["x", "y"] {
        let at = at.map(|at| if once == "y" { Timestamp(at.0 + 60_000) } else { at });
        let started = at_once(&conductor, 12, |conductor| {
            let name = name.clone();
            async move { conductor.start_stored(&Start { name: &name, once, at, token: None }).await }
        })
        .await;
        let jobs: Vec<_> = started.into_iter().map(|started| started.unwrap()).collect();
        assert!(jobs.iter().all(|started| started.job == jobs[0].job), "{jobs:?}");
        assert_eq!(jobs.iter().filter(|started| started.spec.is_some()).count(), 1);
    }
    let jobs = ended(&conductor).await;
    assert_eq!(jobs.iter().map(|(_, phase, _)| *phase).collect::<Vec<_>>(), [Phase::Succeeded; 2], "{jobs:?}");
    // Those that were not first have left nothing.
    let specs = conductor.objects.list("kinglet-work", "jobs/").await.unwrap();
    assert_eq!(specs.iter().filter(|object| object.key.ends_with("/spec")).count(), 2);
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_start_a_job_once_they_have_come_to_rest() {
    let (driver, conductor) = stack(|local| local).await;
    put(&conductor, "in/a", "a").await;
    let name: StoredName = "changes".parse().unwrap();
    let store = async |quiet: u64| {
        let submit = Submit::new(["s3://logs/in/"], "s3://results/in").with_overwrite();
        let store = Store::new("changes").with_quiet(Duration::from_secs(quiet)).with_wait(Duration::from_secs(7_200));
        driver.store(&WordCount, submit, store).await.unwrap();
    };
    let changed = |bucket: &str, key: &str| {
        Event::Changed(ChangedEvent { stored: name.clone(), bucket: bucket.into(), key: key.into() })
    };
    let listed = async || driver.stored().await.unwrap().remove(0);

    // What it writes itself is no change.
    store(0).await;
    send(&driver, &conductor, changed(OUTPUT, "in/part-00000-x")).await;
    assert_eq!((listed().await.changed_at, conductor.start_changed().await.unwrap()), (None, 0));

    store(3_600).await;
    for _ in 0..3 {
        send(&driver, &conductor, changed(INPUT, "in/b")).await;
    }
    put(&conductor, "in/b", "b").await;
    assert!(listed().await.changed_at.is_some());
    // Not before it is quiet; then once, however many look.
    send(&driver, &conductor, Event::Sweep(SweepEvent {})).await;
    assert!(conductor.ledger.jobs().await.unwrap().is_empty());
    store(0).await;
    let counts = at_once(&conductor, 4, |conductor| async move { conductor.start_changed().await }).await;
    assert!(counts.into_iter().all(|count| count.is_ok()));
    let jobs = ended(&conductor).await;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!(result(&conductor, "in/").await, (jobs[0].0.to_string(), "a\t1\nb\t1\n".to_owned()));
    let stored = listed().await;
    assert_eq!((stored.changed_at, stored.last.as_ref()), (None, Some(&jobs[0].0)));

    // A change that comes while the last job runs waits for that job's end. Its mapper stands still.
    let stand = Fault::FreezeWorker { after: Duration::ZERO, pause: Duration::from_secs(3_600) };
    let stands = FaultRule::nth("kinglet-mapper", 0, stand);
    driver.runtime().unwrap().host().set_faults(FaultPlan { seed: 0, rules: vec![stands] });
    send(&driver, &conductor, changed(INPUT, "in/c")).await;
    assert_eq!(conductor.start_changed().await.unwrap(), 1);
    let running = listed().await.last.unwrap();
    send(&driver, &conductor, changed(INPUT, "in/c")).await;
    assert_eq!(conductor.start_changed().await.unwrap(), 0);
    let stop = Error::relayed("cancelled", "a test");
    conductor.fail(&running, Phase::Cancelled, &stop).await.unwrap();
    assert_eq!(conductor.start_changed().await.unwrap(), 1);
    let phases: Vec<_> = ended(&conductor).await.into_iter().map(|(_, phase, _)| phase).collect();
    assert_eq!(phases, [Phase::Succeeded, Phase::Cancelled, Phase::Succeeded]);

    // However many follow, the first waits no longer than it may.
    store(3_600).await;
    send(&driver, &conductor, changed(INPUT, "in/d")).await;
    let first = conductor.ledger.stored(&name).await.unwrap().changed.unwrap().0;
    send(&driver, &conductor, changed(INPUT, "in/d")).await;
    let (now, last) = conductor.ledger.stored(&name).await.unwrap().changed.unwrap();
    assert!(now == first && last > first);

    // Of a stored job that is there no more, nothing is noted.
    driver.remove_stored("changes").await.unwrap();
    let gone = conductor.note_change(&ChangedEvent { stored: name, bucket: INPUT.into(), key: "in/e".into() }).await;
    assert!(gone.unwrap_err().is(Code::StoredMissing));
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shipped_program_is_kept_with_its_job() {
    let (driver, conductor) = stack(|local| local).await;
    put(&conductor, "a", "a").await;
    driver
        .store(&WordCount, Submit::new(["s3://logs/a"], "s3://results/a").with_overwrite(), Store::new("own"))
        .await
        .unwrap();
    let name: StoredName = "own".parse().unwrap();
    let executable = b"no program, and nobody runs it";
    let id = ProgramId::of(executable);
    publish(&conductor, id, async { Ok(program::pack(62, executable, id)) }).await.unwrap();
    let stored = conductor.ledger.stored(&name).await.unwrap();
    let mut spec = conductor.stored_spec(&stored).await.unwrap();
    spec.program = Some(id);
    assert!(conductor.store(&name, &spec, 0, stored.changes).await.unwrap());
    let kept = conductor.objects.get("kinglet-work", &program::key(&id), None).await.unwrap();

    // By then S3 has removed it where drivers put it.
    conductor.objects.delete("kinglet-work", &[program::key(&id)]).await.unwrap();
    let job = driver.start_stored("own").await.unwrap();
    assert_eq!(conductor.objects.get("kinglet-work", &program::key(&id), None).await.unwrap(), kept);
    // It is no program of this machine's.
    assert!(job.wait().await.is_err());
    driver.remove_stored("own").await.unwrap();
    assert!(conductor.objects.list("kinglet-work", "stored/").await.unwrap().is_empty());
    driver.close().await;
}

/// Runs the script of the state machine.
async fn script(python: &Path, url: &str, args: &[&str]) -> Vec<Value> {
    venv::said(python, "state_machine.py", args, ("STATES_URL", url)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_step_functions_is_told_of_the_end() {
    let Some(python) = venv::python("a_task_of_step_functions_is_told_of_the_end") else { return };
    let server = Ministack::start(python);
    let tokens = script(python, &server.url, &["begin", "3"]).await.remove(0);
    let token = |n: usize| Some(tokens[n].as_str().unwrap().to_owned());
    let (driver, conductor) = stack(|local| local.with_function_env("AWS_ENDPOINT_URL_SFN", &server.url)).await;
    put(&conductor, "a", "a b a").await;
    for (name, input) in [("good", "s3://logs/a"), ("bad", "s3://nowhere/a"), ("late", "s3://nowhere/b")] {
        let submit = Submit::new([input], format!("s3://results/{name}")).with_overwrite();
        driver.store(&WordCount, submit, Store::new(name)).await.unwrap();
    }
    for (name, n) in [("good", 0), ("bad", 1)] {
        let event = StartEvent { stored: name.parse().unwrap(), once: None, at: None, token: token(n) };
        // The token tells the start from others, too.
        for _ in 0..2 {
            send(&driver, &conductor, Event::Start(event.clone())).await;
        }
    }
    // One that a driver ends, which wakes nobody: the sweep answers.
    let once = token(2).unwrap();
    let late: StoredName = "late".parse().unwrap();
    let start = Start { name: &late, once: &once, at: None, token: Some(&once) };
    let job = conductor.start_stored(&start).await.unwrap().job;
    let jobs = ended(&conductor).await;
    assert_eq!(jobs.len(), 3, "{jobs:?}");
    for _ in 0..2 {
        send(&driver, &conductor, Event::Sweep(SweepEvent {})).await;
    }
    let executions = script(python, &server.url, &["end"]).await;
    let status: Vec<_> = executions.iter().map(|execution| execution["status"].as_str().unwrap()).collect();
    assert_eq!(status, ["SUCCEEDED", "FAILED", "FAILED"], "{executions:?}");
    let output: Value = serde_json::from_str(executions[0]["output"].as_str().unwrap()).unwrap();
    assert_eq!((&output["state"], &output["output"]), (&"succeeded".into(), &"s3://results/good".into()));
    assert_eq!((&output["sums"]["records"], &output["sums"]["recordsOut"]), (&3.into(), &2.into()), "{output}");
    assert_eq!(output["job"], jobs.iter().find(|(_, phase, _)| *phase == Phase::Succeeded).unwrap().0.as_str());
    for execution in &executions[1..] {
        let said = execution["failed"].to_string();
        assert!(said.contains("bucket-missing"), "{execution}");
    }
    assert!(jobs.iter().any(|(id, _, _)| *id == job));
    // Nobody is told twice.
    assert_eq!(conductor.tell_ends().await.unwrap(), 0);
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_again_and_again_is_not_stored() {
    let (driver, conductor) = stack(|local| local).await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in"), "a").unwrap();
    let local = shown(&dir.path().join("in"));
    for (name, input, output, says) in [
        ("a b", "s3://logs/a", "s3://results/%Y", "\"a b\" is no name of a stored job"),
        ("", "s3://logs/a", "s3://results/%Y", "is no name of a stored job"),
        ("a", "s3://logs/a", "s3://results/a", "the second finds the result of the first"),
        ("a", "s3://logs/%y", "s3://results/%Y", "%y is no part of a time"),
        ("a", "s3://logs/a", "s3://results/%Y%", "% is no part of a time"),
        ("a", &local, "s3://results/%Y", "is on this machine"),
        ("a", "s3://logs/a", &shown(&dir.path().join("out")), "is on this machine"),
    ] {
        let error = driver.store(&WordCount, Submit::new([input], output), Store::new(name)).await.unwrap_err();
        assert!(error.is(Code::StoredJob) && error.to_string().contains(says) && error.hint().is_some(), "{error}");
    }
    assert!(driver.stored().await.unwrap().is_empty());
    assert!(conductor.objects.list("kinglet-work", "stored/").await.unwrap().is_empty());
    let missing =
        conductor.start_stored(&Start { name: &"none".parse().unwrap(), once: "x", at: None, token: None }).await;
    assert!(missing.unwrap_err().is(Code::StoredMissing));
    driver.close().await;

    let kinglet = |args: &[&str]| -> Ran { run(programs::kinglet().current_dir(dir.path()).args(args)) };
    let counts = ["run", "word-count", "s3://b/in", "-o", "s3://b/%Y", "--store", "daily"];
    failed(&kinglet(&counts), &["this machine keeps no jobs that start themselves"]);
    failed(&kinglet(&["stored"]), &["this machine keeps no jobs that start themselves"]);
    failed(
        &kinglet(&["plan", "word-count", "in", "-o", "out", "--store", "daily"]),
        &["this cannot be stored as daily"],
    );
    let sort = ["run", "sort", "--by", "line", "in", "-o", "out", "--store", "daily"];
    failed(&kinglet(&sort), &["this cannot be stored as daily"]);
    let without = kinglet(&["run", "word-count", "in", "-o", "out", "--quiet", "5m"]);
    assert!(without.code == Some(2) && without.err.contains("--store <NAME>"), "{without:?}");
}
