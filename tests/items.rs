//! Jobs whose input is made, not read: every item is mapped once however they are cut, and the manifest accounts for them; what
//! is wrong is said.

use crate::programs;
use crate::support::{Ran, failed, nothing_published, run};
use kinglet::{Manifest, Report};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn program(case: &str) -> (Ran, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let ran = run(programs::of_example("items").arg(case).current_dir(dir.path()));
    (ran, dir)
}

/// Runs a case that must succeed, and checks that each of the items came out once.
fn runs(case: &str, count: u32) -> (Report, Manifest) {
    let (ran, dir) = program(case);
    assert_eq!(ran.code, Some(0), "{case}: {}", ran.err);
    let report: Report = serde_json::from_str(&ran.out).unwrap();
    let manifest = read_manifest(dir.path());
    let mut lines = Vec::new();
    for part in &manifest.parts {
        let text = fs::read_to_string(dir.path().join("out").join(&part.name)).unwrap();
        lines.extend(text.lines().map(str::to_owned));
    }
    lines.sort_by_key(|line| line.split('\t').next().unwrap().parse::<u32>().unwrap());
    let want: Vec<String> = (0..count).map(|n| format!("{n}\t1\t{}", "x".repeat(n as usize % 7))).collect();
    assert!(lines == want, "{case}: {lines:?}");
    assert_eq!((report.records_in, manifest.records, manifest.objects), (count.into(), count.into(), 1), "{case}");
    // The splits lie end to end.
    let mut end = 0;
    for (name, from, to) in manifest.splits.iter().flat_map(|split| &split.ranges) {
        assert_eq!((&name[..], *from), ("items", end), "{case}");
        end = *to;
    }
    assert_eq!((end, manifest.splits.iter().map(|s| s.records).sum::<u64>()), (manifest.bytes, count.into()), "{case}");
    (report, manifest)
}

fn read_manifest(dir: &Path) -> Manifest {
    serde_json::from_slice(&fs::read(dir.join("out/_manifest.json")).unwrap()).unwrap()
}

#[test]
fn each_item_is_mapped_once_however_they_are_cut() {
    // Four tasks for each of the two functions that run at once.
    assert_eq!(runs("even", 100).0.map_tasks, 8);
    let (report, manifest) = runs("one a split", 40);
    assert_eq!((report.map_tasks, report.retries), (40, 0));
    assert!(manifest.splits.iter().all(|split| split.records == 1));
    assert_eq!(runs("many", 30_000).0.map_tasks, 3);
    let (report, manifest) = runs("weights", 100);
    let records: Vec<u64> = manifest.splits.iter().map(|split| split.records).collect();
    assert!(report.map_tasks == 8 && records[0] > 3 * records[7], "{records:?}");
}

#[test]
fn a_task_out_of_time_hands_back_the_items_that_it_has_not_begun() {
    let (report, manifest) = runs("out of time", 40);
    let pieces = manifest.splits.iter().filter(|split| split.piece > 0).count();
    assert!(pieces >= 2 && report.retries == 0, "{report}");
}

#[test]
fn what_is_wrong_with_items_is_said() {
    let fails = |case: &str, says: &[&str]| {
        let (ran, dir) = program(case);
        failed(&ran, says);
        nothing_published(&dir.path().join("out"));
    };
    fails("none", &["job digits", "there are no items"]);
    fails("files", &["the input of job digits is made of items of (u32, alloc::string::String), not read"]);
    fails("both", &["job digits reads items, not in"]);
    fails("too few weights", &["1 weights were given for 3 items"]);
    // The job's own errors have no hint.
    for (case, says) in [("fails", "item 17 (job digits): this number will not do"), ("panics", "unthinkable")] {
        let (ran, dir) = program(case);
        assert!(ran.code == Some(1) && ran.err.contains(says) && ran.err.contains("mapping item 17"), "{}", ran.err);
        nothing_published(&dir.path().join("out"));
    }
}

/// At the end of a map task the job's own code runs too: its values are combined and written.
#[test]
fn a_value_that_panics_when_it_is_written_fails_its_job_at_the_first_try() {
    let (ran, dir) = program("unwritable");
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("ending a map task (job mutes): encoding a "), "{}", ran.err);
    assert!(ran.err.contains("Mute panicked: it will not be written"), "{}", ran.err);
    assert!(!ran.err.contains(" times"), "it was tried again: {}", ran.err);
    nothing_published(&dir.path().join("out"));
}
