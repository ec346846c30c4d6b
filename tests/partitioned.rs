//! Outputs in folders by the values of columns: the rows that were read, as Kinglet, pyarrow and DuckDB read them back, whatever a value
//! looks like; ten thousand folders in bounded memory; published whole or not at all, whoever dies, and replaced whole.

use crate::support::{Ran, driver, failed, nothing_published, run, shown};
use crate::{programs, venv};
use kinglet::{CsvDialect, Driver, Local, Manifest, OutputFormat, Report, RowFormat, Submit};
use kinglet_jobs::Convert;
use kinglet_local::lambda::{Fault, FaultPlan, FaultRule};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn job(dir: &Path, args: &[&str]) -> Ran {
    run(programs::kinglet().current_dir(dir).arg("run").args(args))
}

/// Runs a job that must succeed, and returns its result's manifest, checked.
#[track_caller]
fn result(dir: &Path, out: &str, args: &[&str]) -> Manifest {
    let ran = job(dir, &[args, &["--output", out, "--overwrite"]].concat());
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    whole(&dir.join(out), &[])
}

/// Reads a manifest and checks that it lists what lies in the output, besides what is the user's, with its length and checksum.
#[track_caller]
fn whole(out: &Path, users: &[&str]) -> Manifest {
    let manifest: Manifest = serde_json::from_slice(&fs::read(out.join("_manifest.json")).unwrap()).unwrap();
    let listed: BTreeSet<String> = manifest.parts.iter().map(|part| part.name.clone()).collect();
    assert_eq!(listed.len(), manifest.parts.len(), "no name stands twice");
    let all = listed.iter().map(String::as_str).chain(["_manifest.json"]).chain(users.iter().copied());
    assert_eq!(files(out), all.map(str::to_owned).collect());
    for part in &manifest.parts {
        let bytes = fs::read(out.join(&part.name)).unwrap();
        assert_eq!((bytes.len() as u64, crc32fast::hash(&bytes)), (part.bytes, part.crc32), "{}", part.name);
    }
    assert_eq!(manifest.records_out, manifest.parts.iter().map(|part| part.records).sum::<u64>());
    assert_eq!(manifest.bytes_out, manifest.parts.iter().map(|part| part.bytes).sum::<u64>());
    manifest
}

/// The names of all files below a directory, none of whose directories is empty.
#[track_caller]
fn files(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        let mut entries = fs::read_dir(&next).unwrap().peekable();
        assert!(next == dir || entries.peek().is_some(), "{} is empty", next.display());
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// The folders of a result, each with how many records and how many files it has.
fn folders(manifest: &Manifest) -> BTreeMap<String, (u64, usize)> {
    let mut found: BTreeMap<String, (u64, usize)> = BTreeMap::new();
    for part in &manifest.parts {
        let folder = found.entry(part.name.rsplit_once('/').unwrap().0.to_owned()).or_default();
        *folder = (folder.0 + part.records, folder.1 + 1);
    }
    found
}

/// The lines of all files that a manifest lists, sorted, without `heads`.
fn lines(out: &Path, manifest: &Manifest, head: &str) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    let all = manifest.parts.iter().flat_map(|part| read(&part.name).lines().map(str::to_owned).collect::<Vec<_>>());
    let mut all: Vec<String> = all.filter(|line| line != head).collect();
    all.sort_unstable();
    all
}

/// Values that cannot stand in a path as they are, or look like something else there; and none.
const TOWNS: [&str; 13] = [
    "Ulm",
    "",
    "São Paulo",
    "../x",
    "..",
    "/etc",
    "a=b",
    "50%",
    "%41",
    "__HIVE_DEFAULT_PARTITION__",
    "\"q\" 'q'",
    "[*]?{}",
    "a\\b:c|d",
];

/// Rows with a number, a town and a year, of which some have none.
fn rows() -> Vec<(u32, &'static str, Option<u32>)> {
    (0..1_300).map(|n| (n, TOWNS[n as usize % 13], (n % 7 > 0).then_some(2020 + n % 7))).collect()
}

fn csv() -> String {
    let quoted =
        |text: &str| if text.is_empty() { String::new() } else { format!("\"{}\"", text.replace('"', "\"\"")) };
    let year = |year: Option<u32>| year.map(|year| year.to_string()).unwrap_or_default();
    let row = |(n, town, of): (u32, &str, Option<u32>)| format!("{n},{},{},x{n}\n", quoted(town), year(of));
    rows().into_iter().map(row).collect()
}

#[test]
fn rows_lie_in_folders_and_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::create_dir(dir.join("in")).unwrap();
    fs::write(dir.join("in/rows.csv"), format!("n,town,year,text\n{}", csv())).unwrap();
    let by = ["--partition-by", "town,year", "--split-bytes", "9000"];
    let how = ["--output-format", "json-lines", "--partitions", "3"];
    let manifest = result(dir, "json", &[&["convert", "in/rows.csv"], &by[..], &how].concat());
    let found = folders(&manifest);
    assert_eq!((found.len(), manifest.records_out), (91, 1_300));
    // Each folder is one task's, and one file.
    assert!(found.values().all(|(_, files)| *files == 1), "{found:?}");
    for folder in [
        "town=Ulm/year=2021",
        "town=__HIVE_DEFAULT_PARTITION__/year=__HIVE_DEFAULT_PARTITION__",
        "town=São Paulo/year=2023",
        "town=..%2Fx/year=2024",
        "town=../year=2021",
        "town=%2Fetc/year=2021",
        "town=a%3Db/year=2022",
        "town=50%25/year=2022",
        "town=%2541/year=2023",
        "town=%5F_HIVE_DEFAULT_PARTITION__/year=2022",
        "town=%22q%22 %27q%27/year=2022",
        "town=%5B%2A%5D%3F%7B%7D/year=2022",
        "town=a%5Cb%3Ac%7Cd/year=2022",
    ] {
        assert!(found.contains_key(folder), "{folder} is not in {:?}", found.keys());
    }
    // Nothing is beside the output, and files do not have what folders say.
    assert_eq!(fs::read_dir(dir).unwrap().count(), 2);
    let name = &manifest.parts.iter().find(|part| part.name.starts_with("town=Ulm/year=2021/")).unwrap().name;
    assert!(name.starts_with("town=Ulm/year=2021/part-0000") && name.ends_with(&format!("-{}.jsonl", manifest.job)));
    assert!(fs::read_to_string(dir.join("json").join(name)).unwrap().starts_with("{\"n\":"));

    // Read back by Kinglet, whose columns are the paths' again.
    let back = ["--columns", "n,town,year,text", "--output-format", "csv", "--partitions", "1", "--plain-text"];
    let back_of = |from: &str, format: &str| {
        let plain = if format == "csv" { back.len() } else { back.len() - 1 };
        let manifest = result(dir, "back", &[&["convert", from, "--format", format], &back[..plain]].concat());
        lines(&dir.join("back"), &manifest, "n,town,year,text")
    };
    let want = {
        let plain = result(dir, "want", &[&["convert", "in/rows.csv"], &back[..back.len() - 1]].concat());
        lines(&dir.join("want"), &plain, "n,town,year,text")
    };
    assert_eq!(want.len(), 1_300);
    assert_eq!(back_of("json", "json-lines"), want);
    // As CSV, packed, with a head in each file, and back.
    let how = ["--output-format", "csv", "--output-compression", "gzip", "--partitions", "2"];
    let manifest = result(dir, "csv", &[&["convert", "in/rows.csv"], &by[..], &how].concat());
    assert_eq!((folders(&manifest).len(), manifest.records_out), (91, 1_300));
    assert!(manifest.parts.iter().all(|part| part.name.ends_with(".csv.gz")));
    let back_csv = ["convert", "csv", "--format", "csv", "--columns", "n,town,year,text"];
    let manifest = result(dir, "back", &[&back_csv[..], &["--output-format", "csv", "--partitions", "1"]].concat());
    assert_eq!(lines(&dir.join("back"), &manifest, "n,town,year,text"), want);
    // Parquet, and only what lies in some folders.
    let how = ["--output-format", "parquet", "--types", "town text, year int"];
    let manifest = result(dir, "parquet", &[&["convert", "in/rows.csv"], &by[..], &how].concat());
    assert_eq!((folders(&manifest).len(), manifest.records_out), (91, 1_300));
    let some =
        ["count", "parquet", "--format", "parquet", "--where-path", "year=2023", "--where-path", "town=50%25,Ulm"];
    let counted = result(dir, "counted", &some);
    let text = fs::read_to_string(dir.join("counted").join(&counted.parts[0].name)).unwrap();
    let of = |town: &str| rows().iter().filter(|(_, of, year)| *of == town && *year == Some(2023)).count();
    assert_eq!(text.trim(), of("Ulm").to_string(), "a condition names values as they are");
    let back_parquet = ["convert", "parquet", "--format", "parquet", "--columns", "n,town,year,text"];
    let manifest = result(dir, "back", &[&back_parquet[..], &["--output-format", "csv", "--partitions", "1"]].concat());
    assert_eq!(lines(&dir.join("back"), &manifest, "n,town,year,text"), want);
}

#[test]
fn pyarrow_and_duckdb_read_the_same_rows() {
    let Some(python) = venv::python("pyarrow_and_duckdb_read_the_same_rows") else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("rows.csv"), format!("n,town,year,text\n{}", csv())).unwrap();
    for (format, types) in [("parquet", &["--types", "town text, year int"][..]), ("json-lines", &[])] {
        let how =
            ["convert", "rows.csv", "--partition-by", "town,year", "--output-format", format, "--partitions", "3"];
        result(dir, format, &[&how[..], types].concat());
        let script = venv::script("partitioned.py");
        let output = Command::new(python).current_dir(dir).arg(script).args([format, "rows.csv"]).output().unwrap();
        assert!(output.status.success(), "{format}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "1300\n", "{format}");
    }
}

#[test]
fn a_folder_with_most_of_the_rows_is_not_one_tasks() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::create_dir(dir.join("in")).unwrap();
    // Half of all rows are of one town, the others of forty; and each file has rows of one year alone.
    for file in 0..16 {
        let town = |n: u32| if n.is_multiple_of(2) { "Ulm".to_owned() } else { format!("T{}", n / 2 % 40) };
        let rows: String =
            (0..12_000).map(|n| format!("{},{},{n},some text of row {n}\n", town(n), 2020 + file / 8)).collect();
        fs::write(dir.join(format!("in/{file:02}.csv")), format!("town,year,n,text\n{rows}")).unwrap();
    }
    let how =
        ["convert", "in", "--format", "csv", "--output-format", "json-lines", "--partitions", "6", "--partition-by"];
    let manifest = result(dir, "towns", &[&how[..], &["town"]].concat());
    let found = folders(&manifest);
    assert_eq!((found.len(), manifest.records_out), (41, 192_000));
    let hot = found["town=Ulm"];
    assert!(hot.0 == 96_000 && (2..=3).contains(&hot.1), "half of all, in files of three tasks at most: {hot:?}");
    assert!(found.iter().all(|(folder, of)| folder == "town=Ulm" || *of == (2_400, 1)), "{found:?}");
    let most = manifest.parts.iter().map(|part| part.records).max().unwrap();
    // Twice a share, which is a sixth of all, and what chance adds where sixteen files are spread by their names.
    assert!(most <= 192_000 / 6 * 5 / 2, "{most} rows in one file");
    // Of rows that come in the order of their folders, each file's stay together.
    let manifest = result(dir, "years", &[&how[..], &["year"]].concat());
    let found = folders(&manifest);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["year=2020", "year=2021"]);
    assert!(found.values().all(|of| of.0 == 96_000 && (2..=6).contains(&of.1)), "{found:?}");
}

#[test]
fn groups_and_the_rows_of_other_jobs_lie_in_folders_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("rows.csv"), format!("n,town,year,text\n{}", csv())).unwrap();
    // Groups are by town first, and folders by year: these come first all the same.
    let how = ["--by", "town,year", "--partition-by", "year", "--output-format", "csv", "--partitions", "3"];
    let manifest = result(dir, "sums", &[&["aggregate", "count()", "rows.csv"], &how[..]].concat());
    let found = folders(&manifest);
    assert_eq!((found.len(), manifest.records_out), (7, 91));
    assert!(found.values().all(|of| *of == (13, 1)), "{found:?}");
    let name = &manifest.parts[0].name;
    assert!(fs::read_to_string(dir.join("sums").join(name)).unwrap().starts_with("town,count()\n"));
    // By what is computed, in whatever order that comes.
    let how = ["--by", "town", "--partition-by", "count()", "--output-format", "json-lines"];
    let manifest = result(dir, "counts", &[&["aggregate", "count()", "rows.csv"], &how[..]].concat());
    assert_eq!(folders(&manifest).keys().collect::<Vec<_>>(), ["count()=100"]);
    fs::write(dir.join("other.csv"), "n\n7\n").unwrap();
    let how = ["7", "rows.csv", "other.csv", "--partition-by", "file", "--output-format", "json-lines"];
    let manifest = result(dir, "found", &[&["grep"], &how[..]].concat());
    assert_eq!(folders(&manifest).keys().collect::<Vec<_>>(), ["file=other.csv", "file=rows.csv"]);
}

#[test]
fn what_is_no_partition_is_said_and_nothing_is_published() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("rows.csv"), "year,n,tags\n2026,1,a\n2025,2,b\n").unwrap();
    fs::write(dir.join("rows.jsonl"), "{\"n\":1,\"tags\":[1],\"year\":1}\n{\"n\":2,\"tags\":null,\"year\":2}\n")
        .unwrap();
    let refused = |args: &[&str], says: &[&str]| {
        let ran = job(dir, &[args, &["--output", "out"]].concat());
        failed(&ran, says);
        nothing_published(&dir.join("out"));
        ran.err.lines().find(|line| line.starts_with("hint: ")).unwrap().to_owned()
    };
    let json = |by: &'static str| ["convert", "rows.csv", "--output-format", "json-lines", "--partition-by", by];
    let hint = refused(&json("Yera"), &["rows.csv at byte 12", "no column Yera", "it has year, n, tags"]);
    assert!(hint.contains("did you mean year?"), "{hint}");
    refused(&json("year,n,year"), &["by \"year\" twice"]);
    refused(&json("year,n,tags"), &["nothing is left for its file", "year, n, tags"]);
    refused(&["convert", "rows.csv", "--partition-by", "year"], &["text has no columns that could be folders (year)"]);
    let csv = ["convert", "rows.csv", "--output-format", "csv", "--columns", "n,tags", "--partition-by", "year"];
    refused(&csv, &["the output has no column year, by which it is partitioned: it has n, tags"]);
    let parquet = ["convert", "rows.csv", "--output-format", "parquet", "--partition-by"];
    refused(&[&parquet[..], &["yeer"]].concat(), &["no column yeer", "it has year, n, tags"]);
    refused(&[&parquet[..], &["year,n,tags"]].concat(), &["partitioned by all of its columns (year, n, tags)"]);
    refused(&["cat", "rows.csv", "--output-format", "csv", "--partition-by", "row"], &["all of its columns (row)"]);
    let tags = ["convert", "rows.jsonl", "--output-format", "json-lines", "--partition-by", "tags"];
    refused(&tags, &["rows.jsonl at byte 0", "column tags has a list"]);
    let long = format!("{{\"n\":1,\"k\":\"{}\"}}\n", "k".repeat(300));
    fs::write(dir.join("long.jsonl"), long).unwrap();
    let long = ["convert", "long.jsonl", "--output-format", "json-lines", "--partition-by", "k"];
    refused(&long, &["column k has a value whose folder's name has 302 bytes, where 255 are the most"]);
    let deep: String = (0..9).map(|n| format!("\"k{n}\":\"{}\",", "é".repeat(60))).collect();
    fs::write(dir.join("deep.jsonl"), format!("{{{deep}\"n\":1}}\n")).unwrap();
    let by = (0..9).map(|n| format!("k{n}")).collect::<Vec<_>>().join(",");
    let deep = ["convert", "deep.jsonl", "--output-format", "json-lines", "--partition-by", &by];
    refused(&deep, &["where S3 takes 1024"]);
    // What a task has begun before it has too many is gone as well.
    let many = [&json("n")[..], &["--max-files", "1", "--partitions", "1"]].concat();
    let hint = refused(&many, &["partitioned by n", "may begin 1 files: one more would be in n=2/"]);
    assert!(hint.contains("--max-files"), "{hint}");
    let ran = job(dir, &["convert", "rows.csv", "--max-files", "3", "--output", "out"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
}

#[test]
fn a_result_in_folders_is_replaced_whole_and_nothing_else_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("rows.csv"), format!("n,town,year,text\n{}", csv())).unwrap();
    let by = |columns: &'static str| {
        ["convert", "rows.csv", "--output-format", "json-lines", "--partitions", "2", "--partition-by", columns]
    };
    let first = result(dir, "out", &by("town,year"));
    let out = dir.join("out");
    // A user's files, in folders of the result's and beside them, which look like parts, or not.
    let users =
        ["town=Ulm/notes.txt", "town=Ulm/year=2021/part-mine.jsonl", "year=1/x.jsonl", "plain/part-00000.jsonl"];
    for name in users {
        fs::create_dir_all(out.join(name).parent().unwrap()).unwrap();
        fs::write(out.join(name), "mine").unwrap();
    }
    let again = |args: &[&str]| job(dir, &[args, &["--output", "out"]].concat());
    failed(&again(&by("town,year")), &["the output out is taken", "_manifest.json is there"]);
    let ran = again(&[&by("year")[..], &["--overwrite"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("out/year=1/x.jsonl is no part of a result and stays"), "{}", ran.err);
    let second = whole(&out, &users);
    assert_eq!((folders(&second).len(), second.records_out), (7, first.records_out));
    // Without folders, and with them again.
    let plain = ["convert", "rows.csv", "--output-format", "json-lines", "--partitions", "2", "--overwrite"];
    assert_eq!(again(&plain).code, Some(0));
    assert_eq!(whole(&out, &users).parts.len(), 2);
    assert_eq!(again(&[&by("year,town")[..], &["--overwrite"]].concat()).code, Some(0));
    assert_eq!(folders(&whole(&out, &users)).len(), 91);
    // What others have put into folders of the first column is refused where nothing may be replaced.
    fs::create_dir_all(dir.join("other/year=2021")).unwrap();
    fs::write(dir.join("other/year=2021/x.jsonl"), "mine").unwrap();
    let ran = job(dir, &[&by("year")[..], &["--output", "other"]].concat());
    failed(&ran, &["the output other is taken: other/year=2021/x.jsonl is there"]);
    assert_eq!(files(&dir.join("other")).len(), 1);
}

#[test]
fn of_two_jobs_on_one_output_one_wins_whole() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("rows.csv"), format!("n,town,year,text\n{}", csv().repeat(20))).unwrap();
    for round in 0..3 {
        let out = format!("out-{round}");
        let start = |by: &str| {
            let how = ["--output-format", "json-lines", "--partition-by", by, "--output", &out];
            let mut command = programs::kinglet();
            command.current_dir(dir).args(["run", "convert", "rows.csv"]).args(how);
            std::thread::spawn(move || run(&mut command))
        };
        let ran = [start("town,year"), start("year")].map(|ran| ran.join().unwrap());
        let won: Vec<_> = ran.iter().filter(|ran| ran.code == Some(0)).collect();
        assert_eq!(won.len(), 1, "{ran:?}");
        let lost = ran.iter().find(|ran| ran.code != Some(0)).unwrap();
        failed(lost, &["is taken"]);
        let manifest = whole(&dir.join(&out), &[]);
        let count = folders(&manifest).len();
        assert_eq!(manifest.records_out, 26_000);
        assert!(count == if ran[0].code == Some(0) { 91 } else { 7 }, "{count} folders");
    }
}

/// A driver in this process, and rows whose folders come in any order.
struct Bench {
    dir: tempfile::TempDir,
    driver: Driver,
}

impl Bench {
    async fn new(rows: u32, folders: u32, choices: impl FnOnce(Local) -> Local) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Neighbours are in folders far from each other.
        let row = |n: u32| format!("{n},{},some text of row {n}\n", u64::from(n) * 7_919 % u64::from(folders));
        let csv: String = (0..rows).map(row).collect();
        fs::write(dir.path().join("rows.csv"), format!("n,k,text\n{csv}")).unwrap();
        Bench { dir, driver: driver(choices).await }
    }

    async fn run(&self, out: &str, choose: impl FnOnce(Submit) -> Submit) -> kinglet::Result<(Report, Manifest)> {
        let out = self.dir.path().join(out);
        let format = OutputFormat::json_lines().with_partition_by(["k"]);
        let job = Convert::new(RowFormat::Csv(CsvDialect::new()), None, Some(format.clone()));
        let submit = Submit::new([shown(&self.dir.path().join("rows.csv"))], shown(&out)).with_output_format(format);
        let handle = self.driver.submit(&job, choose(submit)).await?;
        let report = handle.wait().await?;
        let manifest = whole(&out, &[]);
        let read = handle.part(0).await?.len() + handle.part(1).await?.len();
        assert_eq!(read as u64, report.bytes_out, "what the driver reads");
        assert_eq!((report.parts, report.records_out), (manifest.parts.len() as u64, manifest.records_out));
        Ok((report, manifest))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_folders_take_no_more_memory_than_one() {
    let bench = Bench::new(60_000, 10_000, |local| local.with_memory_mb(256).with_memory_enforced()).await;
    let (report, manifest) = bench.run("out", |submit| submit.with_partitions(2)).await.unwrap();
    let found = folders(&manifest);
    assert_eq!((found.len(), manifest.records_out, report.retries), (10_000, 60_000, 0));
    assert!(found.values().all(|of| *of == (6, 1)), "each folder is one file");
    let reports = bench.driver.runtime().unwrap().host().reports();
    let reducers = reports.iter().filter(|ran| *ran.function == *"kinglet-reducer");
    let peak = reducers.map(|ran| ran.max_memory_mb).max().unwrap();
    println!("10,000 folders on 2 reducers of 256 MB: peak {peak} MB; {:.1} s", report.wall.total_ms as f64 / 1e3);
    // A file is three requests: begun, sent, completed.
    let s3 = report.requests.s3_put;
    assert!((30_000..30_200).contains(&s3), "{s3} requests of S3");
    assert!(report.cost.total > 0.15, "{report}");
    bench.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_die_and_reducers_that_hand_on_leave_the_same_rows() {
    let bench = Bench::new(30_000, 300, |local| local).await;
    let of_job = |manifest: &Manifest| {
        let plain = |name: &str| name.replace(&manifest.job, "JOB");
        let listed = manifest.parts.iter().map(|part| (plain(&part.name), part.bytes, part.crc32));
        listed.collect::<Vec<_>>()
    };
    let in_tasks = |submit: Submit| submit.with_partitions(2).with_split_bytes(300_000);
    let (_, calm) = bench.run("calm", in_tasks).await.unwrap();
    let host = bench.driver.runtime().unwrap().host();
    let kill = |ms| Fault::KillWorker { after: Duration::from_millis(ms) };
    for (seed, fault) in [kill(0), kill(60), kill(150), Fault::LoseReply, Fault::RunTwice].into_iter().enumerate() {
        let rules = vec![FaultRule::nth("kinglet-reducer", 0, fault), FaultRule::nth("kinglet-mapper", 1, fault)];
        host.set_faults(FaultPlan { seed: seed as u64, rules });
        let (report, hurt) = bench.run(&format!("hurt-{seed}"), in_tasks).await.unwrap();
        assert_eq!(of_job(&hurt), of_job(&calm), "seed {seed}: {report}");
        assert!(host.fault_counts().iter().any(|count| count.fired > 0));
        host.set_faults(FaultPlan::default());
    }
    // A reducer hands on between two keys, also within a folder: the next piece has a file of its own there.
    let short = |submit: Submit| in_tasks(submit).with_reduce_time(Duration::from_millis(40));
    let (report, pieces) = bench.run("pieces", short).await.unwrap();
    assert!(report.reduce_tasks > 2, "{report}");
    assert!(pieces.parts.iter().any(|part| part.name.contains("/part-00000.00001-")), "{report}");
    let out = |name: &str| bench.dir.path().join(name);
    assert_eq!(lines(&out("pieces"), &pieces, ""), lines(&out("calm"), &calm, ""));
    bench.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_cancelled_or_fails_while_it_reduces_leaves_no_folder() {
    let bench = Bench::new(30_000, 3_000, |local| local).await;
    let out = bench.dir.path().join("out");
    let format = OutputFormat::json_lines().with_partition_by(["k"]);
    let job = Convert::new(RowFormat::Csv(CsvDialect::new()), None, Some(format.clone()));
    let submit = |format: OutputFormat| {
        let submit = Submit::new([shown(&bench.dir.path().join("rows.csv"))], shown(&out));
        submit.with_output_format(format).with_partitions(2)
    };
    let handle = bench.driver.submit(&job, submit(format.clone())).await.unwrap();
    // Its first folders are there by then, with what nobody sees yet.
    while !out.exists() || fs::read_dir(&out).unwrap().count() < 20 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    handle.cancel().await.unwrap();
    assert_eq!(handle.wait().await.unwrap_err().code(), "cancelled");
    gone(&out).await;
    let handle = bench.driver.submit(&job, submit(format.with_files_max(900))).await.unwrap();
    assert_eq!(handle.wait().await.unwrap_err().code(), "output-files");
    gone(&out).await;
    bench.driver.close().await;
}

/// Waits until nothing is in an output: workers that were told to stop need a moment.
async fn gone(out: &Path) {
    for _ in 0..500 {
        let Ok(mut entries) = fs::read_dir(out) else { return };
        if entries.next().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} holds {:?}", out.display(), files(out));
}

#[test]
fn a_program_that_is_killed_while_it_publishes_leaves_what_the_next_job_puts_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let csv: String = (0..6_000).map(|n| format!("{n},{}\n", n * 7_919 % 2_000)).collect();
    fs::write(dir.join("rows.csv"), format!("n,k\n{csv}")).unwrap();
    let out = dir.join("out");
    fs::create_dir_all(out.join("k=7")).unwrap();
    fs::write(out.join("k=7/mine"), "mine").unwrap();
    let mut command = programs::kinglet();
    command.current_dir(dir).args(["run", "convert", "rows.csv", "--output-format", "json-lines", "--overwrite"]);
    command.args(["--partition-by", "k", "--output", "out"]);
    let mut killed = command.spawn().unwrap();
    let is_part = |name: &String| name.contains("/part-");
    let began = std::time::Instant::now();
    while !out.exists() || !files_now(&out).iter().any(is_part) {
        assert!(killed.try_wait().unwrap().is_none(), "it was too fast");
        assert!(began.elapsed() < Duration::from_secs(300), "it was too slow");
        std::thread::sleep(Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let left = files_now(&out);
    assert!(
        left.iter().any(is_part) && left.contains("_owner.json") && !left.contains("_manifest.json"),
        "{}",
        left.len()
    );
    let ran = run(command.args(["--partitions", "3"]));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let manifest = whole(&out, &["k=7/mine"]);
    assert_eq!((folders(&manifest).len(), manifest.records_out), (2_000, 6_000));
}

/// The names of all files below a directory that changes.
fn files_now(dir: &Path) -> BTreeSet<String> {
    let (mut found, mut left) = (BTreeSet::new(), vec![dir.to_owned()]);
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => left.push(entry.path()),
                _ => drop(found.insert(entry.path().strip_prefix(dir).unwrap().to_string_lossy().into_owned())),
            }
        }
    }
    found
}
