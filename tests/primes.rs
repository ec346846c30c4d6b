//! `kinglet run primes` and `kinglet tune`: the answers equal a trial division, lists are in order from part to part, and what
//! is no range is refused by name.

use crate::programs;
use crate::support::{Ran, failed, nothing_published, run};
use kinglet::Report;
use kinglet_core::manifest::{Manifest, PartEntry};
use std::fs;
use std::path::Path;

fn primes(dir: &Path, args: &[&str]) -> Ran {
    run(programs::kinglet().current_dir(dir).args(["run", "primes"]).args(args))
}

/// Runs it, which must succeed; the parts, and the report.
fn answer(dir: &Path, args: &[&str]) -> (Vec<String>, Report) {
    let ran = primes(dir, &[args, &["--output", "out", "--overwrite", "--json"]].concat());
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    let report: Report = serde_json::from_str(&ran.out).unwrap();
    let manifest: Manifest = serde_json::from_slice(&fs::read(dir.join("out/_manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest.parts.len() as u64, report.parts);
    let part = |part: &PartEntry| fs::read_to_string(dir.join("out").join(&part.name)).unwrap();
    (manifest.parts.iter().map(part).collect(), report)
}

fn naive(from: u64, to: u64) -> Vec<u64> {
    (from.max(2)..=to).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d))).collect()
}

#[test]
fn counts_and_sums_are_one_line_however_the_range_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let want = naive(1_000, 200_000);
    for stretches in ["1", "7", "100"] {
        let range = ["--from", "1_000", "--to", "2e5", "--stretches", stretches];
        let (parts, report) = answer(dir.path(), &range);
        assert_eq!(parts, [format!("{}\n", want.len())]);
        assert_eq!(report.map_tasks.to_string(), stretches);
        let (parts, _) = answer(dir.path(), &[&range[..], &["--sum"]].concat());
        assert_eq!(parts, [format!("{}\n", want.iter().sum::<u64>())]);
    }
    assert_eq!(answer(dir.path(), &["--to", "10^8"]).0, ["5761455\n"]);
    assert_eq!(answer(dir.path(), &["--from", "24", "--to", "28"]).0, ["0\n"]);
    assert_eq!(answer(dir.path(), &["--from", "10^15", "--to", "10^15+10^6", "--repeat", "2"]).0, ["28845\n"]);
}

#[test]
fn a_list_is_in_order_from_part_to_part() {
    let dir = tempfile::tempdir().unwrap();
    let (parts, _) = answer(dir.path(), &["--to", "50_000", "--list", "--partitions", "5", "--stretches", "3"]);
    let text: String = naive(0, 50_000).iter().map(|prime| format!("{prime}\n")).collect();
    assert_eq!(parts.concat(), text);
    assert!(parts.len() == 5 && parts.iter().all(|part| part.lines().count() > 900));
    let (parts, _) = answer(dir.path(), &["--from", "2", "--to", "2", "--list", "--partitions", "3"]);
    assert_eq!(parts, ["2\n", "", ""]);
    assert_eq!(answer(dir.path(), &["--from", "8", "--to", "10", "--list"]).0, [""]);
    // Several slices of several stretches, each on the threads of a function with two vCPUs.
    let args =
        ["--to", "5e6", "--list", "--partitions", "2", "--stretches", "2", "--memory-mb", "3538", "--repeat", "2"];
    let (parts, _) = answer(dir.path(), &args);
    let text: String =
        kinglet_jobs::kernels::primes::list(0, 5_000_000).unwrap().iter().map(|p| format!("{p}\n")).collect();
    assert!(parts.concat() == text);
}

#[test]
fn what_is_no_range_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &[&str]); 12] = [
        (&["--from", "10", "--to", "9"], &["the range from 10 to 9 ends before it begins"]),
        (&["--to", "2^64"], &["--to", "\"2^64\" is larger than 2^64-1"]),
        (&["--to", "18446744073709551616"], &["--to", "larger than 2^64-1"]),
        (&["--to", ""], &["--to", "\"\" is not a whole number"]),
        (&["--from", "-1", "--to", "9"], &["--from", "\"-1\" is not a whole number"]),
        (&["--from", "1.5", "--to", "9"], &["--from", "\"1.5\" is not a whole number"]),
        (&["--to", "many"], &["--to", "\"many\" is not a whole number"]),
        (&["--to", "2,5e3"], &["--to", "\"2,5e3\" is not a whole number"]),
        (&["--to", "1,5"], &["--to", "\"1,5\" is not a whole number"]),
        (&["--from", "10^40-10^39", "--to", "10"], &["--from", "\"10^40-10^39\" has a part that is too large"]),
        (&["--to", "2^64-1", "--list"], &["8842976.23 TB of text", "a list has at most 1.28 TB"]),
        (&["--from", "10^18", "--to", "10^18+10^14", "--list", "--partitions", "9"], &["TB of text"]),
    ];
    for (args, says) in cases {
        let ran = primes(dir.path(), &[args, &["--output", "out"]].concat());
        failed(&ran, says);
        nothing_published(&dir.path().join("out"));
    }
    for args in [&["--sum"][..], &["--to", "9", "--sum", "--list"], &["--to", "9", "--stretches", "0"]] {
        assert_eq!(primes(dir.path(), &[args, &["--output", "out"]].concat()).code, Some(2), "{args:?}");
    }
}

#[test]
fn tune_measures_every_size_and_names_the_best() {
    let dir = tempfile::tempdir().unwrap();
    let tune = |args: &[&str]| run(programs::kinglet().current_dir(dir.path()).arg("tune").args(args));
    let args = ["primes", "--to", "1e6", "--memory", "512,1769", "--runs", "2", "--deadline", "1e-6", "--svg", "p.svg"];
    let ran = tune(&[&args[..], &["--budget", "1", "--json"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let sizes = json["sizes"].as_array().unwrap();
    assert_eq!(sizes.iter().map(|size| size["memory_mb"].as_u64().unwrap()).collect::<Vec<_>>(), [512, 1769]);
    for size in sizes {
        assert_eq!(size["runs"], serde_json::json!([2, 2]), "two runs have no outlier");
        let field = |name: &str| size[name].as_f64().unwrap();
        // The splitter, one mapper and one reducer.
        assert!(field("time_s") > 0.0 && field("billed_s") >= field("map_s"));
        let map = field("map_s") * field("memory_mb") / 1024.0 * 0.000_016_666_7 + 0.2e-6;
        assert!((field("map_usd_1000") - map * 1e3).abs() < 1e-9 && field("usd") > field("lambda_usd"));
    }
    assert_eq!(json["choices"]["deadline"], serde_json::json!([1e-6, null]));
    assert_eq!(json["choices"]["budget"][1], json["choices"]["fastest"]);
    assert_eq!(fs::read_to_string(dir.path().join("p.svg")).unwrap().matches("<circle").count(), 2);

    fs::write(dir.path().join("in.txt"), "a b a").unwrap();
    let ran = tune(&["word-count", "in.txt", "--memory", "512", "--runs", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("   512 MB    1/1") && ran.out.contains("cheapest   512 MB"), "{}", ran.out);
    fs::write(dir.path().join("in.csv"), "a,b\n0,0\n1,0\n0,1\n").unwrap();
    let hull = ["hull", "in.csv", "--x", "a", "--y", "b", "--memory", "512", "--runs", "1"];
    let ran = tune(&[&hull[..], &["--svg", "no/where.svg"]].concat());
    // What was measured is shown, whatever becomes of the picture.
    assert!(ran.code == Some(1) && ran.err.contains("error: writing no/where.svg"), "{ran:?}");
    assert!(ran.out.contains("   512 MB    1/1") && ran.out.contains("hull, 1 runs"), "{}", ran.out);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing is left behind");

    failed(&tune(&["primes", "--from", "9", "--to", "1"]), &["the range from 9 to 1"]);
    failed(&tune(&["word-count", "none.txt", "--memory", "512,1024"]), &["none.txt"]);
    failed(&tune(&["primes", "--to", "9", "--memory", "512,512"]), &["512 MB twice"]);
    assert_eq!(tune(&["primes", "--to", "9", "--memory", "127"]).code, Some(2));
    assert_eq!(tune(&["primes", "--to", "9", "--deadline", "-1"]).code, Some(2));
}
