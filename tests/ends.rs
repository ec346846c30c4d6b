//! Deaths at every step of a job's start and end: workers and whole programs are killed while a request of theirs is held, before
//! or after the service has done it. Somebody else goes on from there, to the right result or to a true error, and nothing is
//! left.

use crate::programs;
use crate::rig::{
    COMMIT, MAPPER, MAPS, REDUCER, Rig, SPLITTER, age, all_at_once, end, in_tasks, into_phase, refuse, snapshot,
};
use crate::support::{Counts, count, naive_count, nothing_published, read_listed, read_output, run, text};
use kinglet::{Phase, Submit, Timestamp};
use kinglet_aws::objects::Replace;
use kinglet_core::env::STATE_DIR;
use kinglet_core::ids::{JobId, Partition, Piece};
use kinglet_core::wire::owner::Owner;
use kinglet_core::wire::spec::OutputSpec;
use kinglet_jobs::WordCount;
use kinglet_local::gate::{Rule, Strike};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where workers die.
struct Death {
    name: &'static str,
    /// Each holds one request.
    rules: Vec<Rule>,
    /// Whose workers are killed.
    function: &'static str,
}

fn s3(operation: &str, text: &str, strike: Strike) -> Rule {
    Rule::s3(operation).containing(text).does(strike)
}

fn update(text: impl Into<String>, strike: Strike) -> Rule {
    Rule::dynamodb("UpdateItem").containing(text).does(strike)
}

/// Waits for what the rules hold, kills the workers, and lets what was not done yet be lost with them.
async fn die(rig: &Rig, death: &Death) {
    let mut held = Vec::new();
    for _ in &death.rules {
        held.push(rig.held().await);
    }
    rig.kill(death.function).await;
    held.into_iter().for_each(|held| held.lose());
    assert!(rig.struck().iter().all(|struck| *struck == 1), "{}: {:?}", death.name, rig.gates().counts());
}

/// Deaths of jobs that succeed all the same, all at once, as most of the time is waited.
async fn succeed(deaths: Vec<Death>, timeout: Duration) {
    let deaths = deaths.into_iter().map(|death| async move {
        let rig = Rig::with(|local| local.with_timeout(timeout)).await;
        rig.strike(death.rules.clone());
        // Nobody looks after the job until they are dead.
        let handle = rig.submit("out").await;
        die(&rig, &death).await;
        let began = Instant::now();
        let report = end(&handle).await.unwrap_or_else(|error| panic!("{}: {error}", death.name));
        assert_eq!(report.phase, Phase::Succeeded, "{}", death.name);
        // Not as late as a silent worker is taken for lost.
        assert!(began.elapsed() < Duration::from_secs(60), "{}: {:?}", death.name, began.elapsed());
        rig.is_right("out");
        rig.leaves_nothing(handle.id()).await;
        rig.driver.close().await;
    });
    all_at_once(deaths).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_splitter_or_mapper_that_died_between_two_steps_was_waited_for_until_it_counted_as_lost() {
    use Strike::{HoldAfter, HoldBefore};
    let death = |name, rule, function| Death { name, rules: vec![rule], function };
    // A splitter that began and died counts as lost only 15 s after its timeout.
    let deaths = vec![
        death("listing done", s3("PutObject", "/plan/", HoldBefore), SPLITTER),
        death("plan written", s3("PutObject", "/plan/", HoldAfter), SPLITTER),
        death("plan recorded", update(into_phase("mapping"), HoldAfter), SPLITTER),
        death("map committed", update(COMMIT, HoldAfter), MAPPER),
        death("reducing not yet", update(into_phase("reducing"), HoldBefore), MAPPER),
        death("reducing, no reducer started", update(into_phase("reducing"), HoldAfter), MAPPER),
    ];
    succeed(deaths, Duration::from_secs(6)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reducer_that_died_while_it_committed_or_published_left_half_an_output() {
    use Strike::{HoldAfter, HoldBefore};
    let commit = |strike| Rule::dynamodb("UpdateItem").containing(COMMIT).after(MAPS).does(strike);
    let death = |name, rules| Death { name, rules, function: REDUCER };
    let deaths = vec![
        death("uploaded", vec![commit(HoldBefore)]),
        death("committed", vec![commit(HoldAfter)]),
        death("publishing", vec![update(into_phase("publishing"), HoldAfter)]),
        death(
            "between two parts",
            vec![s3("CompleteMultipartUpload", "part-", HoldAfter), s3("CompleteMultipartUpload", "part-", HoldBefore)],
        ),
        death("manifest sent", vec![s3("UploadPart", "_manifest.json", HoldAfter)]),
        death("result there", vec![s3("CompleteMultipartUpload", "_manifest.json", HoldAfter)]),
        death("result noted", vec![update("SET #published", HoldAfter)]),
        death("claim still there", vec![s3("DeleteObject", "_owner.json", HoldBefore)]),
        death("claim gone", vec![s3("DeleteObject", "_owner.json", HoldAfter)]),
        death("success not noted", vec![Rule::dynamodb("TransactWriteItems").containing("succeeded").does(HoldBefore)]),
        death("success noted", vec![Rule::dynamodb("TransactWriteItems").containing("succeeded").does(HoldAfter)]),
    ];
    succeed(deaths, Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reducer_that_died_before_the_ledger_knew_its_upload_of_the_manifest_left_that() {
    let rules = vec![s3("CreateMultipartUpload", "_manifest.json", Strike::HoldAfter)];
    succeed(vec![Death { name: "manifest begun", rules, function: REDUCER }], Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_died_while_it_undid_a_job_left_its_claim_and_uploads() {
    use Strike::{HoldAfter, HoldBefore};
    let deaths = [
        ("failing", update(into_phase("undoing"), HoldAfter)),
        ("aborting", s3("AbortMultipartUpload", "part-", HoldBefore)),
        ("aborted", s3("AbortMultipartUpload", "part-", HoldAfter)),
        ("claim still there", s3("DeleteObject", "_owner.json", HoldBefore)),
        ("claim gone", s3("DeleteObject", "_owner.json", HoldAfter)),
        ("failure not noted", Rule::dynamodb("TransactWriteItems").containing("failed").does(HoldBefore)),
        ("failure noted", Rule::dynamodb("TransactWriteItems").containing("failed").does(HoldAfter)),
    ];
    let deaths = deaths.into_iter().map(|(name, rule)| async move {
        let rig = Rig::new().await;
        // One part is uploaded and committed; the other's reducer dies before it commits, and its splitter undoes the job.
        let rules = vec![Rule::dynamodb("UpdateItem").containing(COMMIT).after(MAPS + 1).does(HoldBefore), rule];
        rig.strike(rules);
        let submit = rig.submission("out").with_tries(1);
        let handle = rig.driver.submit(&WordCount, submit).await.unwrap();
        let commit = rig.held().await;
        rig.kill(REDUCER).await;
        commit.lose();
        let held = rig.held().await;
        rig.kill(SPLITTER).await;
        held.lose();
        assert_eq!(rig.struck(), [1, 1], "{name}");
        let error = end(&handle).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("failed 1 times") && said.contains("killed"), "{name}: {said}");
        nothing_published(&rig.path("out"));
        // And the output is free.
        rig.strike([]);
        let next = rig.submit("out").await;
        end(&next).await.unwrap();
        rig.is_right("out");
        rig.leaves_nothing(handle.id()).await;
        rig.driver.close().await;
    });
    all_at_once(deaths).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_driver_died_while_it_submitted_was_never_started() {
    use Strike::HoldAfter;
    let deaths = [
        ("spec written", s3("PutObject", "/spec", HoldAfter), false),
        ("job created", Rule::dynamodb("TransactWriteItems").does(HoldAfter), true),
        ("output claimed", s3("PutObject", "_owner.json", HoldAfter), true),
    ];
    let deaths = deaths.into_iter().map(|(name, rule, is_job)| async move {
        let rig = Rig::new().await;
        rig.strike([rule]);
        // Of the driver that dies only the request is left; the stack stays.
        let submission = rig.submission("out");
        let held = rig.submit_until_held(name, submission).await;
        assert_eq!(rig.struck(), [1], "{name}");
        held.go_on();
        let jobs = rig.driver.jobs().await.unwrap();
        assert_eq!(jobs.len(), usize::from(is_job), "{name}");
        if let Some(job) = jobs.first() {
            // Whoever looks after it then starts it.
            let attached = rig.driver.attach(&job.job).await.unwrap();
            end(&attached).await.unwrap();
            rig.is_right("out");
            rig.leaves_nothing(&job.job).await;
        } else {
            let next = rig.submit("out").await;
            end(&next).await.unwrap();
            rig.is_right("out");
        }
        rig.driver.close().await;
    });
    all_at_once(deaths).await;
}

/// What a dead job has left of a stack that this one cannot ask: a claim of long ago, a part, and uploads.
async fn put_dead_claim(rig: &Rig, output: &OutputSpec) {
    let (s3, dead) = (&rig.conductor.clients.s3, JobId::new(Timestamp::now(), 1));
    let owner = Owner {
        version: kinglet_core::wire::owner::VERSION,
        job: dead.clone(),
        name: "word-count".into(),
        ledger: "elsewhere/work".into(),
        replaces: None,
        inherits: vec![],
    };
    let objects = &rig.conductor.objects;
    let part = output.part_key(Partition(0), Piece(0), &dead);
    let left_out = format!("{}_rejected-{dead}.jsonl", output.prefix);
    for (key, bytes) in [
        (output.owner_key(), owner.to_bytes().unwrap()),
        (part, b"a part".to_vec()),
        (left_out.clone(), b"left out".to_vec()),
    ] {
        objects.put(&output.bucket, &key, bytes.into(), Replace::No).await.unwrap();
    }
    for key in [output.part_key(Partition(1), Piece(2), &dead), output.manifest_key(), left_out] {
        s3.create_multipart_upload().bucket(&output.bucket).key(key).send().await.unwrap();
    }
    age(&rig.path("results/out"), 61);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_heir_that_died_while_it_put_a_dead_jobs_output_in_order_kept_its_leavings() {
    use Strike::HoldAfter;
    let claim = |written| Rule::s3("PutObject").containing("_owner.json").after(written).does(HoldAfter);
    let deaths = [
        // The first is refused, as the dead job's claim is there.
        ("claim taken over", claim(1)),
        ("one upload aborted", s3("AbortMultipartUpload", "_manifest.json", HoldAfter)),
        ("all uploads aborted", Rule::s3("GetObject").containing("_manifest.json").after(1).does(HoldAfter)),
        ("parts removed", s3("DeleteObjects", "part-", HoldAfter)),
        ("settled", claim(2)),
    ];
    let deaths = deaths.into_iter().map(|(name, rule)| async move {
        let rig = Rig::new().await;
        rig.make_results();
        let first = rig.driver.submit(&WordCount, rig.submission_to("s3://results/out")).await.unwrap();
        end(&first).await.unwrap();
        let output = rig.conductor.spec(first.id()).await.unwrap().output;
        put_dead_claim(&rig, &output).await;
        rig.strike([rule]);
        let submission = rig.submission_to("s3://results/out").with_overwrite();
        let held = rig.submit_until_held(name, submission).await;
        assert_eq!(rig.struck(), [1], "{name}");
        held.go_on();
        let jobs = rig.driver.jobs().await.unwrap();
        let second = jobs.iter().find(|job| job.job != *first.id()).unwrap();
        let attached = rig.driver.attach(&second.job).await.unwrap();
        end(&attached).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        rig.is_right("results/out");
        rig.leaves_nothing(&second.job).await;
        rig.driver.close().await;
    });
    all_at_once(deaths).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stood_still_was_waited_for_until_its_functions_timeout() {
    let cases = [
        ("splitter", SPLITTER, s3("PutObject", "/plan/", Strike::HoldBefore)),
        ("mapper", MAPPER, update(COMMIT, Strike::HoldBefore)),
    ];
    let cases = cases.into_iter().map(|(name, function, rule)| async move {
        let rig = Rig::with(|local| local.with_timeout(Duration::from_secs(900))).await;
        rig.strike([rule]);
        // One map task: another's event might come to a mapper that stands still before it has begun, and wait there until it goes on.
        let submission = rig.submission("out").with_split_bytes(1 << 20);
        let handle = Box::pin(rig.driver.submit(&WordCount, submission)).await.unwrap();
        let held = rig.held().await;
        assert!(rig.host().freeze_workers(function, true) > 0, "{name}");
        held.lose();
        // The splitter is taken for dead 40 s after its last sign of life, a mapper 130 s.
        let ended = tokio::time::timeout(Duration::from_secs(300), Box::pin(handle.wait())).await;
        let report = ended.unwrap_or_else(|_| panic!("{name}: the job goes on")).unwrap();
        assert!(name == "splitter" || report.retries > 0, "{name}: {report}");
        rig.is_right("out");
        let before = snapshot(&rig.path("out"));
        assert!(rig.host().freeze_workers(function, false) > 0, "{name}");
        rig.idle().await;
        assert!(snapshot(&rig.path("out")) == before, "{name}: {:?}", snapshot(&rig.path("out")).keys());
        rig.leaves_nothing(handle.id()).await;
        rig.driver.close().await;
    });
    all_at_once(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_driver_could_not_finish_what_the_first_ones_functions_had_begun_to_publish() {
    let rig = Rig::new().await;
    let rule = s3("CompleteMultipartUpload", "part-", Strike::HoldAfter);
    rig.strike([rule.clone()]);
    let handle = rig.submit("out").await;
    die(&rig, &Death { name: "publishing", rules: vec![rule], function: REDUCER }).await;
    let other = rig.second_driver().await;
    let report = end(&other.attach(handle.id()).await.unwrap()).await.unwrap();
    assert_eq!(report.phase, Phase::Succeeded);
    rig.is_right("out");
    assert_eq!(end(&handle).await.unwrap().records_out, report.records_out);
    other.close().await;
    rig.driver.close().await;
}

/// A directory in which programs are killed, with a state directory of its own.
struct Place {
    dir: tempfile::TempDir,
    counts: Counts,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bytes = text(11, 30_000);
        fs::write(dir.path().join("in.txt"), &bytes).unwrap();
        Place { dir, counts: naive_count([&bytes[..]]) }
    }

    fn out(&self) -> std::path::PathBuf {
        self.dir.path().join("out")
    }

    fn command(&self, mut command: Command) -> Command {
        command.current_dir(self.dir.path()).env(STATE_DIR, self.dir.path().join("state"));
        command
    }

    fn kinglet(&self, args: &[&str]) -> crate::support::Ran {
        let mut command = self.command(programs::kinglet());
        run(command.args(args))
    }

    fn rerun(&self, more: &[&str]) -> crate::support::Ran {
        self.kinglet(&[&["run", "word-count", "in.txt", "--output", "out", "--partitions", "2"], more].concat())
    }

    /// Runs the program until it stands still, and kills it with its embedded servers.
    fn kill_at(&self, step: Step, over: bool) {
        let mut command = self.command(programs::of_example("ends"));
        let (operation, text, when) = step;
        command.args([operation, text, when, if over { "over" } else { "keep" }]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
        assert_eq!(said, "held", "{step:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// An operation, a text in the request, and when it is held.
type Step = (&'static str, &'static str, &'static str);

/// All that a job does to its output and to what says how it stands, in order.
const STEPS: [Step; 14] = [
    ("TransactWriteItems", "splitting", "before"),
    ("TransactWriteItems", "splitting", "after"),
    ("PutObject", "_owner.json", "before"),
    ("PutObject", "_owner.json", "after"),
    ("PutObject", "/plan/", "before"),
    ("UploadPart", "part-", "after"),
    ("UpdateItem", "\"publishing\"", "after"),
    ("CompleteMultipartUpload", "part-", "after"),
    ("CompleteMultipartUpload", "_manifest.json", "before"),
    ("CompleteMultipartUpload", "_manifest.json", "after"),
    ("UpdateItem", "SET #published", "after"),
    ("DeleteObject", "_owner.json", "before"),
    ("DeleteObject", "_owner.json", "after"),
    ("TransactWriteItems", "succeeded", "before"),
];

/// From here on the result is the new one.
const RESULT_FROM: usize = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_could_never_be_sent_was_sent_for_a_day() {
    let rig = Rig::new().await;
    // As a lifecycle rule may have it.
    rig.strike([Rule::s3("GetObject").containing("/plan/").times(u64::MAX).does(refuse(404, "NoSuchKey"))]);
    let handle = rig.submit("out").await;
    let error = end(&handle).await.unwrap_err();
    assert_eq!(error.code(), "object-missing", "{error}");
    nothing_published(&rig.path("out"));
    rig.strike([]);
    rig.leaves_nothing(handle.id()).await;
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_bucket_was_gone_before_it_published_went_on_for_a_week() {
    let rig = Rig::new().await;
    let gone = |operation| Rule::s3(operation).times(u64::MAX).does(refuse(404, "NoSuchBucket"));
    // What it does to its output once its parts are uploaded.
    let all = ["CompleteMultipartUpload", "AbortMultipartUpload", "ListMultipartUploads", "HeadObject"];
    rig.strike([Rule::dynamodb("UpdateItem").containing(into_phase("publishing")).does(Strike::HoldAfter)]);
    let handle = rig.submit("out").await;
    let held = rig.held().await;
    rig.strike(all.map(gone));
    held.go_on();
    let error = end(&handle).await.unwrap_err();
    assert_eq!(error.code(), "bucket-missing", "{error}");
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_with_fewer_rights_failed_what_the_functions_could_publish() {
    let rig = Rig::new().await;
    let rule = s3("CompleteMultipartUpload", "part-", Strike::HoldBefore);
    rig.strike([rule.clone()]);
    let handle = rig.submit("out").await;
    die(&rig, &Death { name: "publishing", rules: vec![rule], function: REDUCER }).await;
    rig.strike([Rule::s3("CompleteMultipartUpload").containing("part-").does(refuse(403, "AccessDenied"))]);
    // It has the turn when nothing was heard of the reducer for a while.
    let began = Instant::now();
    let refused = loop {
        match rig.conductor.conduct(handle.id()).await {
            Ok(_) => assert!(began.elapsed() < Duration::from_secs(60), "nobody took the turn"),
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!((refused.code(), rig.struck()), ("access-denied", vec![1]), "{refused}");
    assert_eq!(rig.conductor.ledger.job(handle.id()).await.unwrap().phase, Phase::Publishing);
    end(&handle).await.unwrap();
    rig.is_right("out");
    rig.leaves_nothing(handle.id()).await;
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_was_closed_left_its_job_on_other_servers_in_the_way_of_the_next() {
    let rig = Rig::new().await;
    rig.make_results();
    let other = rig.second_driver().await;
    rig.strike([update(COMMIT, Strike::HoldBefore)]);
    // Its input is on the servers, as nothing of this machine is.
    let input = fs::read(rig.path("in.txt")).unwrap();
    rig.conductor.objects.put("results", "in.txt", input.into(), Replace::No).await.unwrap();
    let submit = || in_tasks(Submit::new(["s3://results/in.txt"], "s3://results/out"));
    let first = other.submit(&WordCount, submit()).await.unwrap().id().clone();
    let held = rig.held().await;
    other.close().await;
    held.lose();
    assert_eq!(rig.conductor.ledger.job(&first).await.unwrap().phase, Phase::Cancelled);
    let next = rig.driver.submit(&WordCount, submit()).await.unwrap();
    end(&next).await.unwrap();
    rig.is_right("results/out");
    rig.leaves_nothing(next.id()).await;
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_was_taken_as_long_as_its_program_lived_that_only_asked_how_the_job_stood() {
    let rig = Rig::new().await;
    let handle = rig.submit("out").await;
    rig.ends_alone(handle.id()).await;
    // Whoever dropped the submission of a job has none.
    rig.strike([Rule::s3("GetObject").containing("_manifest.json").does(Strike::HoldBefore)]);
    let held = rig.submit_until_held("dropped", rig.submission("dropped")).await;
    held.go_on();
    assert!(!rig.path("dropped").exists());
    assert_eq!(handle.status().await.unwrap().phase, Phase::Succeeded);
    for output in ["out", "dropped"] {
        count(rig.dir.path(), &["in.txt", "--output", output, "--overwrite"]);
        rig.is_right(output);
    }
    rig.driver.close().await;
}

#[test]
fn a_program_that_was_killed_left_half_a_result_in_the_way_of_the_next() {
    for (n, step) in STEPS.into_iter().enumerate() {
        let place = Place::new();
        place.kill_at(step, false);
        let is_whole = n >= RESULT_FROM;
        assert_eq!(place.out().join("_manifest.json").exists(), is_whole, "{step:?}");
        if is_whole {
            assert!(read_listed(&place.out()).counts == place.counts, "{step:?}");
            let ran = place.rerun(&[]);
            assert!(ran.code == Some(1) && ran.err.contains("_manifest.json is there"), "{step:?}: {}", ran.err);
            // What is no result of it, `clean` takes away.
            let cleaned = place.kinglet(&["clean", "--older-than", "0s"]);
            assert_eq!(cleaned.code, Some(0), "{step:?}: {}", cleaned.err);
        } else {
            let ran = place.rerun(&[]);
            assert_eq!(ran.code, Some(0), "{step:?}: {}", ran.err);
        }
        assert!(read_output(&place.out()).counts == place.counts, "{step:?}");
    }
}

#[test]
fn a_program_that_was_killed_while_it_overwrote_left_neither_the_old_result_nor_the_new_one() {
    let replaced = [("DeleteObjects", "part-", "before"), ("DeleteObjects", "part-", "after")];
    for (step, n) in STEPS.into_iter().zip(0..).skip(3).chain(replaced.map(|step| (step, RESULT_FROM))) {
        let place = Place::new();
        assert_eq!(place.rerun(&[]).code, Some(0));
        let old = read_output(&place.out()).manifest.job;
        put_stranger(&place.out());
        place.kill_at(step, true);
        let there = read_listed(&place.out());
        assert!(there.counts == place.counts, "{step:?}");
        assert_eq!(there.manifest.job != old, n >= RESULT_FROM, "{step:?}");
        let ran = place.rerun(&["--overwrite"]);
        assert_eq!(ran.code, Some(0), "{step:?}: {}", ran.err);
        assert_eq!(fs::read_to_string(place.out().join(STRANGER)).unwrap(), "the user's", "{step:?}");
        fs::remove_file(place.out().join(STRANGER)).unwrap();
        assert!(read_output(&place.out()).counts == place.counts, "{step:?}: {:?}", snapshot(&place.out()).keys());
    }
}

const STRANGER: &str = "part-notes.txt";

fn put_stranger(output: &Path) {
    fs::write(output.join(STRANGER), "the user's").unwrap();
}
