//! Reducers that need longer than a function lives hand on, between two keys: what comes out is what one function would have
//! written, whoever dies meanwhile, and nothing is left of the pieces.

use crate::programs;
use crate::support::{Ran, run};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

fn program(case: &str) -> (Ran, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let ran = run(programs::of_example("long").arg(case).current_dir(dir.path()));
    (ran, dir)
}

fn said(case: &str) -> Value {
    let (ran, _) = program(case);
    assert_eq!(ran.code, Some(0), "{case}: {}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

/// The records that the program's jobs write, in order.
fn want(keys: impl Iterator<Item = u64>) -> String {
    let record = |key: u64| {
        let numbers: Vec<u64> = (0..400).filter(|number| number % 20 == key).collect();
        format!("{key}\t{}\t{}\n", numbers.len(), numbers.iter().sum::<u64>())
    };
    keys.map(record).collect()
}

/// Checks the one partition of a result, and that nothing else is there. Returns how many pieces it was reduced in.
#[track_caller]
fn pieces(found: &Value, case: &str) -> u64 {
    let report = &found["report"];
    let parts = found["parts"].as_array().unwrap();
    let text: String = parts.iter().map(|part| part[1].as_str().unwrap()).collect();
    assert_eq!(text, want(0..20), "{case}");
    let job = report["job"].as_str().unwrap();
    let names: Vec<&str> = parts.iter().map(|part| part[0].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..names.len())
        .map(|piece| if piece == 0 { format!("part-00000-{job}") } else { format!("part-00000.{piece:05}-{job}") })
        .collect();
    assert_eq!(names, expected, "{case}");
    let there: Vec<&str> = found["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(there, [&["_manifest.json"][..], &names].concat(), "{case}: the names sort as the parts do");
    assert_eq!(report["records_out"], 20, "{case}");
    assert_eq!((&report["parts"], &report["reduce_tasks"]), (&parts.len().into(), &parts.len().into()), "{case}");
    assert_eq!(report["hottest"]["pieces"], parts.len() as u64, "{case}");
    parts.len() as u64
}

#[test]
fn a_reducer_that_needs_longer_than_a_function_lives_hands_on() {
    assert_eq!(pieces(&said("quick"), "quick"), 1);
    let long = said("long");
    let in_pieces = pieces(&long, "long");
    assert!((2..=6).contains(&in_pieces), "{in_pieces} pieces");
    assert_eq!(long["report"]["retries"], 0);
    assert_eq!(long["whole"], want(0..20), "a partition is read as one");
}

#[test]
fn reducers_of_an_indexed_job_find_the_runs_of_their_further_pieces() {
    let found = said("objects");
    let parts = found["parts"].as_array().unwrap();
    assert!(parts.len() > 3, "{}", parts.len());
    let mut lines: Vec<&str> = parts.iter().flat_map(|part| part[1].as_str().unwrap().lines()).collect();
    lines.sort_by_key(|line| line.split('\t').next().unwrap().parse::<u64>().unwrap());
    assert_eq!(lines.join("\n") + "\n", want(0..20));
    assert_eq!(found["report"]["retries"], 0);
}

#[test]
fn a_piece_that_dies_or_runs_twice_counts_once() {
    for (case, fired) in [("killed", &[1, 1, 1][..]), ("lost replies", &[2])] {
        let found = said(case);
        assert!(pieces(&found, case) >= 2);
        let counts: Vec<u64> = found["fired"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!(counts, fired, "{case}");
    }
    let found = said("twice");
    let in_pieces = pieces(&found, "twice");
    assert!(in_pieces >= 2 && found["fired"][0].as_u64().unwrap() >= in_pieces, "{found}");
}

#[test]
fn a_key_that_takes_most_of_a_functions_life_is_reduced_in_a_piece_of_its_own() {
    let found = said("a slow key");
    assert!(pieces(&found, "a slow key") >= 3);
}

#[test]
fn a_key_that_takes_longer_than_a_function_lives_fails_its_job_by_its_name() {
    let (ran, dir) = program("too slow a key");
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    // The key, a number, has eight bytes.
    assert!(ran.err.contains(r#"reducing key "\0\0\0\0\0\0\0\u{7}" of partition 0"#), "{}", ran.err);
    assert!(ran.err.contains("(3 s)") && ran.err.contains("hint: give functions more time"), "{}", ran.err);
    assert!(ran.err.contains("names []") && !has_files(&dir.path().join("out")), "{}", ran.err);
}

fn has_files(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut found| found.next().is_some())
}

#[test]
fn a_job_that_is_cancelled_between_pieces_leaves_nothing() {
    let found = said("cancelled");
    assert_eq!((&found["code"], &found["names"]), (&"cancelled".into(), &Value::Array(vec![])));
    let left = &found["left"];
    assert!(!left["rests"].as_array().unwrap().is_empty(), "it was cancelled before a piece was handed on: {left}");
    assert_eq!((&left["uploads"], &left["cleaned"]), (&Value::Array(vec![]), &true.into()));
}

#[test]
fn a_result_of_any_number_of_pieces_replaces_another() {
    let found = said("over");
    let [first, second, third] = ["first", "second", "third"].map(|which| pieces(&found[which], which));
    assert!(first >= 2 && second > first && third == 1, "{first}, {second}, {third}");
    let left = &found["left"];
    assert_eq!((&left["rests"], &left["uploads"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    assert_eq!(left["cleaned"], true);
}
