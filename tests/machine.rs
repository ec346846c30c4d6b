//! The jobs of this machine: `kinglet jobs`, `status`, `attach`, `cancel`, `logs`, `clean` and `doctor` without a stack, from
//! other processes than the one that runs the job.

use crate::programs;
use crate::support::{Ran, failed, nothing_published, read_output, run, text};
use kinglet_core::env::STATE_DIR;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A directory to work in, with a state directory of its own.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn kinglet(&self, args: &[&str]) -> Command {
        let mut command = programs::kinglet();
        command.current_dir(self.dir.path()).env(STATE_DIR, self.state()).args(args);
        command
    }

    fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        ran.out
    }

    fn run(&self, args: &[&str]) -> Ran {
        run(&mut self.kinglet(args))
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// A job with a thousand map tasks, in its middle.
    fn running(&self) -> Child {
        fs::write(self.dir.path().join("in.txt"), text(6, 3_000_000)).unwrap();
        let args = ["run", "word-count", "in.txt", "--output", "out", "--split-bytes", "3000", "--concurrency", "1"];
        let mut child = self.kinglet(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with("mapping: ")), "the job never came to mapping");
        std::thread::spawn(move || lines.for_each(drop));
        child
    }
}

#[test]
fn a_job_is_known_when_its_program_is_gone() {
    let place = Place::new();
    assert_eq!(place.run(&["jobs"]).err, "no jobs\n");
    fs::create_dir(place.dir.path().join("in")).unwrap();
    fs::write(place.dir.path().join("in/a.txt"), "one two one").unwrap();
    place.ok(&["run", "word-count", "in/a.txt", "--output", "out"]);
    let failed_run = place.run(&["run", "word-count", "in/nothing-*", "--output", "out2"]);
    assert_eq!(failed_run.code, Some(1));

    let jobs = place.json(&["jobs", "--json"]);
    let jobs = jobs.as_array().unwrap();
    assert_eq!(jobs.iter().map(|job| job["phase"].as_str().unwrap()).collect::<Vec<_>>(), ["succeeded", "failed"]);
    let id = jobs[0]["job"].as_str().unwrap();
    let list = place.ok(&["jobs"]);
    assert!(list.lines().nth(1).unwrap().starts_with(&format!("{id}  word-count        succeeded  2")), "{list}");

    let status = place.json(&["status", id, "--json"]);
    assert_eq!((&status["inputs"][0], &status["output"]), (&"in/a.txt".into(), &"out".into()));
    assert_eq!(status["report"]["records_in"], 3);
    // By the start of its second half, too; and the report stands in what people read.
    let text = place.ok(&["status", &id[12..20]]);
    assert!(text.contains("phase      succeeded\n") && text.contains("read       3 records"), "{text}");
    let report: kinglet::Report = serde_json::from_str(&place.ok(&["attach", id, "--json"])).unwrap();
    assert_eq!(report.records_out, 2);
    // One that has failed fails again, in the same words.
    let ran = place.run(&["attach", "last"]);
    assert_eq!((ran.code, ran.err.lines().last()), (Some(1), failed_run.err.lines().last()));
    failed(&ran, &["in/nothing-*"]);

    // What the functions wrote outlives the directory in which they wrote it.
    let lines = place.ok(&["logs", id, "--json"]);
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ended = lines.iter().filter(|line| line["message"] == "task ended" && line["outcome"] == "committed").count();
    assert!(ended >= 2, "{lines:?}");
    let map: Vec<_> = place.ok(&["logs", id, "--stage", "map", "--task", "0"]).lines().map(str::to_owned).collect();
    assert!(map.iter().any(|line| line.contains("kinglet-mapper map 0 INFO task ended")), "{map:?}");
    assert!(map.iter().any(|line| line.contains("REPORT RequestId")), "{map:?}");
    assert_eq!(place.ok(&["logs", id, "--task", "77"]), "");

    // For its owner's eyes only.
    let dir = place.state().join("jobs").join(id);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(dir.clone()), mode(dir.join("record.json")), mode(dir.join("log.jsonl"))), (0o700, 0o600, 0o600));

    assert_eq!(place.ok(&["clean"]), "", "both are younger than an hour");
    assert_eq!(place.ok(&["clean", "--older-than", "0s", "--dry-run"]).lines().count(), 2);
    assert_eq!(place.json(&["jobs", "--json"]).as_array().unwrap().len(), 2);
    assert_eq!(place.ok(&["clean", "--older-than", "0s"]).lines().count(), 2);
    assert_eq!(place.json(&["jobs", "--json"]).as_array().unwrap().len(), 0);
    let ran = place.run(&["status", id]);
    failed(&ran, &["there is no job", id]);
    failed(&place.run(&["cancel", "last"]), &["there are no jobs on this machine"]);
}

#[test]
fn another_program_follows_a_job_to_its_end() {
    let place = Place::new();
    let mut child = place.running();
    let list = place.ok(&["jobs"]);
    assert!(list.contains("mapping") && list.contains(" maps "), "{list}");
    let status = place.json(&["status", "last", "--json"]);
    assert_eq!(status["progress"]["maps"][1], 1_000);
    // What runs is never cleaned.
    assert_eq!(place.ok(&["clean", "--older-than", "0s"]), "");
    let followed: kinglet::Report = serde_json::from_str(&place.ok(&["attach", "last", "--json"])).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(followed.map_tasks, 1_000);
    let out = read_output(&place.dir.path().join("out"));
    assert_eq!(followed.records_out, out.manifest.records_out);
}

#[test]
fn another_program_cancels_a_job() {
    let place = Place::new();
    let mut child = place.running();
    let ran = place.run(&["cancel", "last"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("is cancelled"), "{}", ran.err);
    assert_eq!(child.wait().unwrap().code(), Some(1), "the program that waits for it is told");
    nothing_published(&place.dir.path().join("out"));
    let status = place.json(&["status", "last", "--json"]);
    assert_eq!(status["phase"], "cancelled");
    assert_eq!(status["error"]["Cancelled"]["code"], "cancelled");
    let again = place.run(&["cancel", "last"]);
    assert_eq!((again.code, again.err.contains("has cancelled already")), (Some(0), true), "{}", again.err);
}

#[test]
fn a_job_whose_program_was_killed_is_told_and_what_it_left_is_cleaned() {
    let place = Place::new();
    let mut child = place.running();
    child.kill().unwrap();
    child.wait().unwrap();
    let status = place.json(&["status", "last", "--json"]);
    assert_eq!(status["phase"], "failed");
    assert_eq!(status["error"]["Service"]["code"], "driver-lost");
    let id = status["job"].as_str().unwrap();
    let record = fs::read_to_string(place.state().join("jobs").join(id).join("record.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let logs = PathBuf::from(record["servers"]["logs"].as_str().unwrap());
    assert!(logs.is_dir() && !place.ok(&["logs", id]).is_empty(), "what was killed could not tidy up");
    let found = place.json(&["doctor", "--json"]);
    let left = found.as_array().unwrap().iter().find(|finding| finding["check"] == "leftovers").unwrap();
    assert!(left["message"].as_str().unwrap().contains("1 of them left"), "{left}");
    assert_eq!(place.ok(&["clean", "--older-than", "0s"]).trim(), id);
    assert!(!logs.ancestors().nth(2).unwrap().exists());
}

#[test]
fn the_doctor_checks_this_machine() {
    let place = Place::new();
    let ran = place.run(&["doctor"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for check in ["loopback", "data", "cores", "files", "cpu-share", "records", "leftovers"] {
        assert!(ran.out.lines().any(|line| line.split_whitespace().nth(1) == Some(check)), "{check}: {}", ran.out);
    }
    let ran = run(place.kinglet(&["doctor"]).env("TMPDIR", "/nonexistent"));
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("problem  data") && ran.err.contains("1 problem was found"), "{ran:?}");
}

#[test]
fn a_state_directory_that_cannot_be_written_costs_the_record_and_not_the_job() {
    let place = Place::new();
    fs::write(place.dir.path().join("in.txt"), "one").unwrap();
    fs::write(place.state(), "a file is in the way").unwrap();
    place.ok(&["run", "word-count", "in.txt", "--output", "out"]);
    failed(&place.run(&["jobs"]), &["state"]);
}
