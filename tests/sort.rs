//! Rows sorted with the whole system: the parts, end to end, are those of a stable sort, whatever the format, the splits and the number
//! of parts; parts are even where half of all keys are the same; what cannot be sorted is named.

use crate::support::{driver, failed, job, nothing_published, parts, read_parts, shown};
use kinglet::{CsvDialect, OutputFormat, RowFormat, Sampling, Submit};
use kinglet_jobs::{By, Ordered, Sort};
use kinglet_local::lambda::{Fault, FaultPlan, FaultRule};
use std::cmp::Ordering;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A row of a test: where it lies, and its fields.
#[derive(Clone, Debug)]
struct Sale {
    id: usize,
    price: Option<&'static str>,
    town: &'static str,
}

/// Rows with few values, so that many are the same, and written in several ways.
fn sales() -> Vec<Sale> {
    let prices = [Some("10"), Some("9.50"), Some("9.5"), None, Some("-3"), Some("1e1"), Some("100"), Some("0")];
    let towns = ["Ulm", "Perth", "São Paulo", "a, b", "Zürich"];
    let mut state = 7u32;
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    (0..12_000).map(|id| Sale { id, price: prices[next(8)], town: towns[next(5)] }).collect()
}

/// Writes the rows as three CSV files.
fn write_csv(dir: &Path, sales: &[Sale]) {
    for (n, sales) in sales.chunks(5_000).enumerate() {
        let rows: String =
            sales.iter().map(|Sale { id, price, town }| format!("{id},{},\"{town}\"\n", price.unwrap_or(""))).collect();
        fs::write(dir.join(format!("in-{n}.csv")), format!("id,price,town\n{rows}")).unwrap();
    }
}

fn by_price(a: &Sale, b: &Sale) -> Ordering {
    let number = |sale: &Sale| sale.price.map(|price| price.parse::<f64>().unwrap());
    match (number(a), number(b)) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

#[test]
fn rows_of_every_format_are_in_the_order_of_a_stable_sort() {
    let dir = tempfile::tempdir().unwrap();
    let sales = sales();
    write_csv(dir.path(), &sales);
    let mut want = sales.clone();
    want.sort_by(|a, b| by_price(a, b).then_with(|| a.town.cmp(b.town)));
    // Fields of CSV stay as they were written.
    let quoted = |town: &str| if town.contains(',') { format!("\"{town}\"") } else { town.to_owned() };
    let line = |Sale { id, price, town }: &Sale| format!("{id},{},{}\n", price.unwrap_or(""), quoted(town));
    let csv: String = want.iter().map(line).collect();
    let by = ["sort", "--by", "price desc, town"];
    let of_csv = [&by[..], &["in-0.csv", "in-1.csv", "in-2.csv", "--no-output-header"]].concat();
    for how in
        [&["--partitions", "1"][..], &["--split-bytes", "20000", "--partitions", "5"], &["--split-bytes", "90000"]]
    {
        let parts = parts(dir.path(), &[&of_csv, how].concat());
        assert_eq!(parts.concat(), csv, "{how:?}");
    }
    // As JSON they are numbers, and Parquet has types.
    let ids: Vec<usize> = want.iter().map(|sale| sale.id).collect();
    for format in ["json-lines", "parquet"] {
        let input = converted(dir.path(), format);
        for how in [["--split-bytes", "40000", "--partitions", "4"], ["--split-bytes", "1000000", "--partitions", "1"]]
        {
            let args = ["sort", &input, "--by", "price desc, town", "--output-format", "json-lines"];
            let parts = parts(dir.path(), &[&args[..], &how].concat());
            let found: Vec<usize> = parts.concat().lines().map(id).collect();
            assert!(found == ids, "{format} {how:?}");
        }
        // What is written as the input is can be sorted again, by what was the order before.
        let args = ["sort", &input, "--by", "price desc, town", "--partitions", "1"];
        assert_eq!(job(dir.path(), &args).code, Some(0));
        let again = moved(dir.path(), &format!("sorted.{}", input.rsplit('.').next().unwrap()));
        let parts = parts(dir.path(), &["sort", &again, "--by", "id", "--output-format", "json-lines"]);
        assert!(parts.concat().lines().map(id).eq(0..sales.len()), "{format}");
    }
}

fn id(json: &str) -> usize {
    serde_json::from_str::<serde_json::Value>(json).unwrap()["id"].as_u64().unwrap() as usize
}

/// Writes the CSV files in another format, as one file with small row groups.
fn converted(dir: &Path, format: &str) -> String {
    let groups = if format == "parquet" { &["--row-group-bytes", "20000"][..] } else { &[] };
    let args = ["convert", "in-0.csv", "in-1.csv", "in-2.csv", "--output-format", format, "--partitions", "1"];
    let ran = job(dir, &[&args[..], groups].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    moved(dir, if format == "parquet" { "all.parquet" } else { "all.jsonl" })
}

/// Gives the one part of the result a name of its own.
fn moved(dir: &Path, name: &str) -> String {
    let there = fs::read_dir(dir.join("out")).unwrap().map(|entry| entry.unwrap());
    let part: Vec<_> = there.filter(|entry| entry.file_name().to_str().unwrap().starts_with("part-")).collect();
    assert_eq!(part.len(), 1);
    fs::rename(part[0].path(), dir.join(name)).unwrap();
    name.to_owned()
}

#[test]
fn half_of_all_keys_are_the_same_and_parts_are_even() {
    let dir = tempfile::tempdir().unwrap();
    let row = |n: u32| {
        format!("{},{n:08},{:040}\n", if n.is_multiple_of(2) { 5 } else { n % 10 }, n.wrapping_mul(2_654_435_761))
    };
    let rows: String = (0..24_000).map(row).collect();
    fs::write(dir.path().join("in.csv"), format!("key,n,rest\n{rows}")).unwrap();
    for by in ["key", "key desc", "n", "rest desc"] {
        let args = ["sort", "in.csv", "--by", by, "--partitions", "8", "--split-bytes", "300000", "--no-output-header"];
        let parts = parts(dir.path(), &args);
        let sizes: Vec<usize> = parts.iter().map(|part| part.lines().count()).collect();
        assert!(sizes.len() == 8 && sizes.iter().sum::<usize>() == 24_000, "{sizes:?}");
        assert!(sizes.iter().all(|size| *size <= 2 * 24_000 / 8 && *size >= 24_000 / 8 / 2), "{by}: {sizes:?}");
    }
}

/// So much that only some of it is sampled, and sorted, so that the first bytes say nothing of the rest.
#[test]
fn of_a_large_sorted_input_a_sample_is_enough_for_even_parts() {
    let dir = tempfile::tempdir().unwrap();
    let line = |n: u32| format!("{n:08} {}\n", "x".repeat(990));
    let text: String = (0..18_000).map(line).collect();
    fs::write(dir.path().join("in.txt"), &text).unwrap();
    let ran = job(dir.path(), &["sort", "in.txt", "--partitions", "6"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("sample: 16777216 bytes of 1 of 1 files"), "{}", ran.err);
    let parts = read_parts(&dir.path().join("out"));
    let sizes: Vec<usize> = parts.iter().map(|part| part.lines().count()).collect();
    assert!(sizes.len() == 6 && sizes.iter().all(|size| (1_500..=6_000).contains(size)), "{sizes:?}");
    assert_eq!(parts.concat(), text);
}

#[test]
fn lines_are_sorted_by_the_line_and_one_of_each_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.txt"), "b\n10\n9\nb\n").unwrap();
    fs::write(dir.path().join("b.txt"), "ä\n\nB\n10\n").unwrap();
    for (args, want) in [
        (&[][..], "\n10\n10\n9\nB\nb\nb\nä\n"),
        (&["--unique"], "\n10\n9\nB\nb\nä\n"),
        (&["--by", "line as number desc nulls first", "--partitions", "3"], "\nä\nb\nb\nB\n10\n10\n9\n"),
        (&["--where", "line != b"], "\n10\n10\n9\nB\nä\n"),
    ] {
        let parts = parts(dir.path(), &[&["sort", "a.txt", "b.txt"], args].concat());
        assert_eq!(parts.concat(), want, "{args:?}");
    }
    assert_eq!(parts(dir.path(), &["top", "2", "a.txt", "b.txt", "--by", "line desc"]), ["ä\nb\n"]);
}

#[test]
fn the_first_rows_are_written_with_the_columns_that_are_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let sales = sales();
    write_csv(dir.path(), &sales);
    let mut want = sales.clone();
    want.sort_by(by_price);
    let lines: String = want[..100].iter().map(|Sale { id, town, .. }| format!("{town}\t{id}\n")).collect();
    let inputs = ["top", "100", "in-0.csv", "in-1.csv", "in-2.csv", "--by", "price desc"];
    let options = ["--columns", "town,id", "--output-format", "text", "--split-bytes", "20000"];
    assert_eq!(parts(dir.path(), &[&inputs[..], &options].concat()), [lines]);
    // Of Parquet, the column is not written that rows are sorted by.
    converted(dir.path(), "parquet");
    let want: String =
        want[..100].iter().map(|Sale { id, town, .. }| format!("{{\"town\":\"{town}\",\"id\":{id}}}\n")).collect();
    let args =
        ["top", "100", "all.parquet", "--by", "price desc", "--columns", "town,id", "--output-format", "json-lines"];
    assert_eq!(parts(dir.path(), &args).concat(), want);
    let args = ["sort", "all.parquet", "--by", "price desc", "--columns", "town,id", "--output-format", "json-lines"];
    let all = parts(dir.path(), &[&args[..], &["--partitions", "4"]].concat());
    let typed = ["sort", "all.parquet", "--by", "price desc", "--columns", "town,id", "--partitions", "1"];
    assert_eq!(job(dir.path(), &typed).code, Some(0));
    let typed = moved(dir.path(), "typed.parquet");
    assert!(parts(dir.path(), &["cat", &typed]).concat().starts_with(&want));
    assert!(all.len() == 4 && all.concat().starts_with(&want) && all.concat().lines().count() == sales.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_killed_change_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    write_csv(dir.path(), &sales());
    let driver = driver(|local| local).await;
    let rows = Ordered::new(RowFormat::Csv(CsvDialect::new()), By::parse_all("price, town desc").unwrap()).unwrap();
    let mut all = Vec::new();
    for killed in [false, true] {
        let output = dir.path().join(format!("out-{killed}"));
        let inputs = [0, 1, 2].map(|n| shown(&dir.path().join(format!("in-{n}.csv"))));
        let submit = Submit::new(inputs, shown(&output)).with_split_bytes(30_000).with_partitions(4);
        let submit = submit.with_output_format(OutputFormat::json_lines());
        let job = Sort::new(rows.clone());
        let sample = driver.sample(&job, &submit, Sampling::default()).await.unwrap();
        assert!(sample.pairs.len() > 11_000 && sample.objects == 3, "{} of {}", sample.pairs.len(), sample.objects);
        let job = job.with_bounds(sample.bounds(100));
        let host = driver.runtime().unwrap().host();
        let kill = |function: &str, n| FaultRule::nth(function, n, Fault::KillWorker { after: Duration::ZERO });
        let rules = vec![kill("kinglet-mapper", 0), kill("kinglet-mapper", 3), kill("kinglet-reducer", 2)];
        host.set_faults(FaultPlan { seed: 1, rules: if killed { rules } else { vec![] } });
        let report = driver.submit(&job, submit).await.unwrap().wait().await.unwrap();
        assert_eq!(report.retries, if killed { 3 } else { 0 });
        host.set_faults(FaultPlan::default());
        all.push(read_parts(&output));
    }
    assert!(all[0].len() == 4 && all[0] == all[1]);
    driver.close().await;
}

#[test]
fn what_cannot_be_sorted_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in.csv"), "town,price\nUlm,1\nPerth,dear\n").unwrap();
    fs::write(dir.path().join("in.jsonl"), "{\"a\":1}\n").unwrap();
    let sort = |args: &[&str], says: &[&str]| {
        let ran = job(dir.path(), args);
        failed(&ran, &says[..1]);
        assert!(says.iter().all(|said| ran.err.contains(said)), "{says:?} is not said in: {}", ran.err);
        nothing_published(&dir.path().join("out"));
    };
    sort(&["sort", "in.csv"], &["no column says how they are sorted", "name columns: --by"]);
    sort(&["sort", "in.csv", "--by", "prize"], &["\"prize\", but town, price", "if \"price\" is meant"]);
    sort(&["sort", "in.csv", "--by", "price", "--where", "twon = Ulm"], &["\"twon\""]);
    sort(
        &["sort", "in.csv", "--by", "price", "--columns", "twon"],
        &["has no column \"twon\"", "if \"town\" is meant"],
    );
    sort(&["sort", "in.csv", "--by", "price,town,price"], &["by the column \"price\" twice"]);
    sort(&["sort", "in.csv", "--by", "price descending"], &["a , is missing at \"descending\""]);
    sort(&["sort", "in.csv", "--by", "price", "--types", "price int"], &["the result stores no types"]);
    sort(
        &["sort", "in.csv", "--by", "price", "--types", "price int", "--output-format", "parquet"],
        &["column price is int", "in.csv at byte 17"],
    );
    sort(&["sort", "in.jsonl", "in.csv", "--by", "a"], &["json-lines and csv"]);
    sort(&["top", "1000001", "in.csv", "--by", "price"], &["the most is 1000000"]);
}

#[test]
fn no_rows_and_one_row_are_sorted() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("head.csv"), "town,price\n").unwrap();
    fs::write(dir.path().join("empty.csv"), "").unwrap();
    fs::write(dir.path().join("one.csv"), "town,price\nUlm,1\n").unwrap();
    for (input, want) in [("head.csv", ""), ("empty.csv", ""), ("one.csv", "town,price\nUlm,1\n")] {
        for parts_wanted in ["1", "3"] {
            let found = parts(dir.path(), &["sort", input, "--by", "price", "--partitions", parts_wanted]);
            assert_eq!(found.concat(), want, "{input}");
        }
    }
    // A column that no row of JSON has: all rows are the same.
    fs::write(dir.path().join("a.jsonl"), "{\"a\":2}\n{\"a\":1}\n").unwrap();
    assert_eq!(parts(dir.path(), &["sort", "a.jsonl", "--by", "b"]).concat(), "{\"a\":2}\n{\"a\":1}\n");
}

#[test]
fn packed_files_values_of_paths_and_rows_that_are_not_valid_are_sorted_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut want = Vec::new();
    for year in [2026, 2025] {
        let folder = dir.path().join(format!("in/year={year}"));
        fs::create_dir_all(&folder).unwrap();
        let rows: String = (0..3_000).map(|n| format!("{{\"n\":{},\"y\":{year}}}\n", n * 7 % 1_000)).collect();
        // Every tenth row is none.
        let text: String =
            rows.lines().enumerate().map(|(n, row)| format!("{}\n", if n % 10 == 9 { "no" } else { row })).collect();
        fs::write(folder.join("a.jsonl"), &text).unwrap();
        let valid = (0..3_000).filter(|n| n % 10 != 9).map(|n| (n * 7 % 1_000, year));
        want.extend(valid);
    }
    for year in [2025, 2026] {
        let packed = Command::new("gzip").arg(dir.path().join(format!("in/year={year}/a.jsonl"))).status().unwrap();
        assert!(packed.success());
    }
    want.sort_by_key(|(n, year)| (std::cmp::Reverse(*year), *n));
    let by = ["sort", "in", "--format", "json-lines", "--by", "year desc, n", "--max-rejected", "10%"];
    for unique in [false, true] {
        let args = [&by[..], if unique { &["--unique"][..] } else { &[] }, &["--partitions", "4"]].concat();
        let parts = parts(dir.path(), &args);
        if unique {
            want.dedup();
        }
        let number =
            |row: &str, name: &str| serde_json::from_str::<serde_json::Value>(row).unwrap()[name].as_i64().unwrap();
        let text = parts.concat();
        let found: Vec<(i64, i64)> = text.lines().map(|row| (number(row, "n"), number(row, "year"))).collect();
        assert!(found == want, "{unique}: {} of {}", found.len(), want.len());
        let sizes: Vec<usize> = parts.iter().map(|part| part.lines().count()).collect();
        assert!(sizes.iter().all(|size| *size <= want.len() / 2), "parts are even: {sizes:?}");
    }
}
