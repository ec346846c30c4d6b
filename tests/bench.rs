//! `kinglet bench` at tiny sizes: every benchmark runs as often as asked, the raw numbers are all there and agree with each
//! other, the bill is the sum of the jobs, and nothing is left.

use crate::programs;
use crate::support::run;
use serde_json::Value;
use std::fs;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn the_whole_set_is_measured_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["bench", "--sizes", "200kB,50kB", "--tasks", "40", "--repeat", "2", "--json", "--memory-mb", "512"];
    let ran = run(programs::kinglet().args(args).arg("--data-dir").arg(dir.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something is left");
    let results: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&results["version"], &results["place"]), (&1.into(), &"embedded".into()));
    let functions: Vec<_> = results["functions"].as_array().unwrap().iter().collect();
    let names: Vec<_> = functions.iter().map(|function| function["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["kinglet-splitter", "kinglet-mapper", "kinglet-mapper-large", "kinglet-reducer"]);
    assert_eq!((&functions[1]["memory_mb"], &functions[2]["memory_mb"]), (&512.into(), &2048.into()));

    let cases = results["cases"].as_array().unwrap();
    let named: Vec<_> = cases.iter().map(|case| (case["name"].as_str().unwrap(), number(&case["size"]))).collect();
    let want = [("write", 200e3), ("read", 200e3), ("word-count", 50e3), ("word-count", 200e3), ("empty-tasks", 40.0)];
    assert_eq!(named, want);
    let (mut jobs, mut gb_seconds, mut invocations) = (0, 0.0, 0.0);
    for case in cases {
        let runs = case["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 2);
        for run in runs {
            let report = &run["report"];
            let amount = if case["unit"] == "B" { number(&case["size"]) } else { 40.0 };
            assert_eq!(run["wall_ms"], report["wall"]["total_ms"]);
            let rate = amount * 1e3 / number(&run["wall_ms"]).max(1.0);
            assert!((number(&run["per_second"]) - rate).abs() < rate * 1e-6, "{run}");
            let attempts = 1.0 + number(&report["map_tasks"]) + number(&report["reduce_tasks"]);
            assert_eq!(number(&run["cold"]) + number(&run["warm"]), attempts);
            match case["name"].as_str().unwrap() {
                "write" => assert_eq!(number(&report["bytes_out"]), amount),
                "empty-tasks" => assert_eq!(number(&report["map_tasks"]), amount),
                _ => assert_eq!(number(&report["bytes_in"]), amount),
            }
            jobs += 1;
            gb_seconds += number(&report["gb_seconds"]);
            invocations += number(&report["requests"]["lambda"]);
        }
        let walls: Vec<_> = runs.iter().map(|run| number(&run["wall_ms"])).collect();
        // Of two runs the slower one is the median.
        assert_eq!(walls[case["median"].as_u64().unwrap() as usize], walls[0].max(walls[1]));
    }
    // Every function began cold once, in some run.
    let colds = cases.iter().flat_map(|case| case["runs"].as_array().unwrap()).map(|run| number(&run["cold"]));
    assert!(colds.sum::<f64>() >= 3.0);
    // The job that made the smaller corpus is on the bill too.
    assert_eq!(number(&results["bill"]["jobs"]) as usize, jobs + 1);
    assert!(number(&results["bill"]["gb_seconds"]) > gb_seconds);
    assert!(number(&results["bill"]["requests"]["lambda"]) >= invocations + 3.0);
    let cost = &results["bill"]["cost"];
    let parts: f64 = ["lambda", "dynamodb", "s3"].map(|part| number(&cost[part])).iter().sum();
    assert!(parts > 0.0 && (parts - number(&cost["total"])).abs() < 1e-12);
}

#[test]
fn a_person_gets_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("place");
    fs::create_dir(&place).unwrap();
    let args = ["bench", "--quick", "--sizes", "30kB", "--tasks", "3", "--at"];
    let ran = run(programs::kinglet().args(args).arg(&place).arg("--data-dir").arg(dir.path().join("data")));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for row in ["write 30kB ", "read 30kB ", "word-count 30kB ", "empty-tasks 3 ", "all 4 jobs: ", "on AWS about $"] {
        assert!(ran.out.lines().any(|line| line.starts_with(row)), "{row} is not in: {}", ran.out);
    }
    assert!(ran.err.contains("word count of corpus-30kB, 1 of 1"), "{}", ran.err);
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0, "something is left");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    for (args, code, says) in [
        (&["bench", "--sizes", "1.5GB"][..], 2, "whole number"),
        (&["bench", "--tasks", "0"], 2, "0 is not in 1..=100000"),
        (&["bench", "--quick", "--at", "/nowhere/at/all"], 1, "making a directory in /nowhere/at/all"),
    ] {
        let ran = run(programs::kinglet().args(args));
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert!(ran.err.contains(says), "{says} is not in: {}", ran.err);
    }
}
