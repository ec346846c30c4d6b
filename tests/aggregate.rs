//! Groups of rows with the whole system: counts, sums, means and extremes are those that Python computes with exact fractions,
//! whatever the format, the splits and the partitions.

use crate::programs;
use crate::support::{job, run};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Writes the same rows as CSV and as JSON lines, and prints what `kinglet` should say of them.
const ROWS: &str = "import csv, json, random\n\
    from fractions import Fraction\n\
    random.seed(7)\n\
    towns = ['Ulm', 'Perth', 'São Paulo', 'a \"b\", c', '']\n\
    def price():\n    \
        return random.choice(['', '7', '-3', '0.1', '1e16', '-1e16', str(random.random() * 1e3), str(random.randint(-9**9, 9**9))])\n\
    rows = [(random.choice(towns), price(), '20%02d-01-0%d' % (random.randint(0, 30), random.randint(1, 9))) for _ in range(20000)]\n\
    with open('in.csv', 'w', newline='', encoding='utf-8') as file:\n    \
        csv.writer(file).writerows([('town', 'price', 'day'), *rows])\n\
    number = lambda text: None if text == '' else float(text) if set(text) & set('.e') else int(text)\n\
    with open('in.jsonl', 'w', encoding='utf-8') as file:\n    \
        for town, price, day in rows:\n        \
            print(json.dumps({'day': day, 'price': number(price), 'town': town or None}), file=file)\n\
    groups = {}\n\
    for town, price, day in rows:\n    \
        groups.setdefault(town, []).append((price, day))\n\
    for town in sorted(groups, key=lambda town: (town == '', town.encode())):\n    \
        prices = [price for price, _ in groups[town] if price]\n    \
        total = float(sum(Fraction(number(price)) for price in prices))\n    \
        print(json.dumps([town or None, len(groups[town]), len(prices), total, total / len(prices), min(day for _, day in groups[town])]))\n";

fn python(dir: &Path) -> Option<String> {
    match Command::new("python3").current_dir(dir).args(["-c", ROWS]).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            println!("skipped: no python3 ({error})");
            None
        }
    }
}

/// The lines of all parts, sorted.
fn lines(dir: &Path) -> Vec<String> {
    let parts = fs::read_dir(dir.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let parts = parts.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("part-"));
    let mut lines: Vec<String> = parts
        .flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    lines.sort_unstable();
    lines
}

#[test]
fn groups_are_those_of_exact_arithmetic_however_the_input_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let Some(want) = python(dir.path()) else { return };
    let want: Vec<serde_json::Value> = want.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let functions = "count(), count(price), sum(price), avg(price), min(day)";
    for (input, how) in [
        ("in.csv", &["--partitions", "1"][..]),
        ("in.csv", &["--split-bytes", "20000", "--partitions", "3"]),
        ("in.jsonl", &["--split-bytes", "50000", "--partitions", "2"]),
    ] {
        let args = [&["aggregate", functions, input, "--by", "town", "--output-format", "json-lines"], how].concat();
        let ran = job(dir.path(), &args);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let mut rows: Vec<serde_json::Value> =
            lines(dir.path()).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        rows.sort_by_key(|row| (row["town"].is_null(), row["town"].as_str().map(str::to_owned)));
        assert_eq!(rows.len(), want.len());
        for (row, want) in rows.iter().zip(&want) {
            let names = ["town", "count()", "count(price)", "sum(price)", "avg(price)", "min(day)"];
            let row: Vec<_> = names.iter().map(|name| row[name].clone()).collect();
            assert_eq!(&row, want.as_array().unwrap(), "{args:?}");
        }
    }
}

#[test]
fn distinct_values_and_chosen_rows() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("year=2026")).unwrap();
    let csv = "town,price\nUlm,1\nPerth,2.5\nUlm,1.0\nUlm,3\n,\n";
    fs::write(dir.path().join("year=2026/a.csv"), csv).unwrap();
    let input = "year=2026/a.csv";
    for (args, want) in [
        (&["distinct", "town,year", input][..], &["\t2026", "Perth\t2026", "Ulm\t2026"][..]),
        (&["distinct", "price", input, "--where", "town = Ulm"], &["1", "3"]),
        (&["aggregate", "count() as n, max(price)", input], &["5\t3"]),
        (&["aggregate", "count()", input, "--where", "price >= 2", "--where", "town != x"], &["2"]),
        (&["aggregate", "count(), sum(price)", input, "--where", "price > 9"], &["0\t"]),
    ] {
        let ran = job(dir.path(), args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        assert_eq!(lines(dir.path()), want, "{args:?}");
    }
}

#[test]
fn what_cannot_be_computed_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in.csv"), "town,price\nUlm,1\nPerth,dear\n").unwrap();
    for (args, says) in [
        (&["aggregate", "median(price)", "in.csv"][..], "there is no such function"),
        (&["aggregate", "count(), count()", "in.csv"], "two columns of the result would be called \"count()\""),
        (&["aggregate", "", "in.csv"], "there is nothing to compute"),
        (&["aggregate", "sum(prize)", "in.csv"], "has no column \"prize\", but town, price"),
        (&["aggregate", "sum(price)", "in.csv"], "sum(price): the value \"dear\" is no number"),
        (&["aggregate", "count()", "in.csv", "--columns", "town"], "leave --columns out"),
        (&["distinct", "in.csv"], "required arguments"),
    ] {
        let ran = job(dir.path(), args);
        assert!(ran.code != Some(0) && ran.err.contains(says), "{args:?}: {}", ran.err);
        assert!(!dir.path().join("out/_manifest.json").exists());
    }
    // The place of what is no number is named.
    assert!(job(dir.path(), &["aggregate", "sum(price)", "in.csv"]).err.contains("in.csv at byte 17"));
}

/// The one part of the output as JSON lines, whatever it is written as.
fn read_back(dir: &Path) -> Vec<serde_json::Value> {
    let ran = run(programs::kinglet().current_dir(dir).args(["head", "1000000", "out/part-*"]));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn groups_are_written_as_parquet_with_the_types_of_their_functions() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let rows: String =
        (0..5000).map(|n| format!("T{},{},{}.5,2026-01-0{}\n", n % 7, n * 3, n % 100, n % 9 + 1)).collect();
    fs::write(dir.join("in.csv"), format!("town,n,price,day\n{rows}")).unwrap();
    let job = |args: &[&str]| job(dir, &[args, &["--partitions", "1", "--split-bytes", "20000"]].concat());
    let computed = "count(), count(n) as there, sum(n) as total, sum(price), avg(n), min(day), max(price) as dearest";
    let aggregate = ["aggregate", computed, "in.csv", "--by", "town", "--output-format"];
    let json = job(&[&aggregate[..], &["json-lines"]].concat());
    assert_eq!(json.code, Some(0), "{}", json.err);
    let want = read_back(dir);
    let parquet = job(&[&aggregate[..], &["parquet"]].concat());
    assert_eq!(parquet.code, Some(0), "{}", parquet.err);
    let types = "types: town text, \"count()\" bigint, there bigint, total decimal(38,0), \"sum(price)\" double, \"avg(n)\" double, \
        \"min(day)\" text, dearest double\n";
    assert!(parquet.err.contains(types), "{}", parquet.err);
    let got = read_back(dir);
    assert_eq!((got.len(), want.len()), (7, 7));
    for (got, want) in got.iter().zip(&want) {
        for (name, value) in want.as_object().unwrap() {
            // A decimal is its digits; a whole float of JSON lines has no point.
            let got = &got[name];
            let same = if name == "total" {
                got == &value.to_string()
            } else {
                got == value || got.as_f64() == value.as_f64()
            };
            assert!(same, "{name}: {got} for {want}");
        }
    }
    // From the types that Parquet stores: a second stage over the first.
    let sums =
        ["aggregate", "sum(total) as all, sum(there), max(\"min(day)\")", "first/part-*", "--output-format", "parquet"];
    fs::rename(dir.join("out"), dir.join("first")).unwrap();
    let second = job(&sums);
    assert_eq!(second.code, Some(0), "{}", second.err);
    assert!(
        second.err.contains("types: all decimal(38,0), \"sum(there)\" decimal(38,0), \"max(min(day))\" text"),
        "{}",
        second.err
    );
    let total: u64 = (0..5000).map(|n| n * 3).sum();
    assert_eq!(
        read_back(dir),
        [serde_json::json!({"all": total.to_string(), "sum(there)": "5000", "max(min(day))": "2026-01-01"})]
    );
    // Types of the result may be said, and what they cannot hold is an error.
    let known = [
        "aggregate",
        "sum(n) as total, min(day) as since",
        "in.csv",
        "--by",
        "town",
        "--output-format",
        "parquet",
        "--types",
    ];
    let ran = job(&[&known[..], &["total bigint, since date"]].concat());
    assert!(ran.code == Some(0) && ran.err.contains("types: town text, total bigint, since date"), "{}", ran.err);
    assert_eq!(read_back(dir)[0]["since"], "2026-01-01");
    let ran = job(&[&known[..], &["total tinyint"]].concat());
    assert!(ran.code == Some(1) && ran.err.contains("column total is tinyint"), "{}", ran.err);
    let ran = job(&[&known[..], &["price double"]].concat());
    assert!(
        ran.code == Some(1) && ran.err.contains("no column price; its columns are town, total, since"),
        "{}",
        ran.err
    );
    let ran = job(&["aggregate", "count()", "in.csv", "--types", "\"count()\" int"]);
    assert!(ran.code == Some(1) && ran.err.contains("stores no types"), "{}", ran.err);
    let ran = job(&["aggregate", "sum(m)", "in.csv", "--output-format", "parquet"]);
    assert!(ran.code == Some(1) && ran.err.contains("column m"), "{}", ran.err);
    // Without a column nothing need be looked at; and values without anything computed.
    assert_eq!(job(&["aggregate", "count()", "in.csv", "--output-format", "parquet"]).code, Some(0));
    assert_eq!(read_back(dir), [serde_json::json!({"count()": 5000})]);
    let ran = job(&["distinct", "town,day", "in.csv", "--output-format", "parquet", "--types", "day date"]);
    assert!(ran.code == Some(0) && ran.err.contains("types: town text, day date"), "{}", ran.err);
    assert_eq!(read_back(dir).len(), 63);
}
