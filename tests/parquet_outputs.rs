//! Results as Parquet: what pyarrow, DuckDB and pandas read in them, with which types; what becomes of columns that differ between
//! files; and that a value which does not fit fails the job by its place.

use crate::support::{failed, nothing_published, run};
use crate::{programs, venv};
use kinglet::Manifest;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs `convert` into `out`, which must succeed, and returns the result's manifest.
#[track_caller]
fn convert(dir: &Path, out: &str, args: &[&str]) -> Manifest {
    let args = [&["run", "convert", "--output", out], args].concat();
    let ran = run(programs::kinglet().current_dir(dir).args(&args));
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    serde_json::from_slice(&fs::read(dir.join(out).join("_manifest.json")).unwrap()).unwrap()
}

/// The same as Parquet.
#[track_caller]
fn to_parquet(dir: &Path, out: &str, args: &[&str]) -> Manifest {
    convert(dir, out, &[args, &["--output-format", "parquet"]].concat())
}

/// Runs a job that must fail, and say this.
#[track_caller]
fn refused(dir: &Path, args: &[&str], says: &[&str]) {
    let args = [&["run"], args, &["--output", "refused", "--output-format", "parquet"]].concat();
    failed(&run(programs::kinglet().current_dir(dir).args(&args)), says);
    nothing_published(&dir.join("refused"));
}

/// What `python/parquet_outputs.py` prints.
#[track_caller]
fn python(python: &Path, dir: &Path, args: &[&str]) -> String {
    let output =
        Command::new(python).current_dir(dir).arg(venv::script("parquet_outputs.py")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_files_types_are_kept() {
    let Some(reader) = venv::python("a_files_types_are_kept") else { return };
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new(reader).current_dir(dir.path()).arg(venv::script("parquet_files.py")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for (codec, splits) in [("zstd", "3000000"), ("snappy", "20000"), ("lz4", "100000")] {
        let from = format!("rows-{codec}.parquet");
        let how = ["--output-compression", codec, "--split-bytes", splits, "--row-group-bytes", "50000"];
        let manifest = to_parquet(dir.path(), codec, &[&[&from[..]], &how[..], &["--partitions", "1"]].concat());
        assert_eq!((manifest.records, manifest.records_out), (5_000, 5_000));
        assert_eq!(python(reader, dir.path(), &["kept", &from, codec]), "5000\n");
    }
}

const SCALARS: &str = r#"{"n":1,"i":-2147483648,"price":"12.50","share":0.1,"ok":true,"text":"","day":"2024-02-29","clock":"06:30:00.000250","at":"2026-11-22T06:30:00","zoned":"2026-11-22T06:30:00+02:00","list":[1,null],"pairs":{"k":0.5},"inner":{"a":7,"b":["x",null]}}
{"n":2,"i":null}
{"n":3,"share":"NaN","text":"é\n\"","list":[],"pairs":{},"inner":{}}
"#;

const TYPES: &str = "n bigint, i int, price decimal(12,2), share double, ok boolean, text text, day date, clock time, at timestamp, \
                     zoned timestamptz, list bigint[], pairs map<text, double>, inner struct<a int, b text[]>";

#[test]
fn every_type_is_read_by_pyarrow_duckdb_and_pandas_as_what_it_is() {
    let Some(reader) = venv::python("every_type_is_read_by_pyarrow_duckdb_and_pandas_as_what_it_is") else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in.jsonl"), SCALARS).unwrap();
    for codec in ["zstd", "snappy", "gzip", "lz4", "none"] {
        to_parquet(dir.path(), codec, &["in.jsonl", "--types", TYPES, "--output-compression", codec]);
        assert_eq!(python(reader, dir.path(), &["scalars", codec]), "read\n", "{codec}");
    }
    // As CSV says the same: what lies within is JSON in a field.
    let csv = "n,i,price,share,ok,text,day,clock,at,zoned,list,pairs,inner\n\
        1,-2147483648,12.50,0.1,TRUE,,2024-02-29,06:30:00.00025,2026-11-22 06:30,2026-11-22 04:30Z,\"[1,null]\",\"{\"\"k\"\":0.5}\",\
        \"{\"\"a\"\":7,\"\"b\"\":[\"\"x\"\",null]}\"\n2,,,,,,,,,,,,\n3,,,NaN,,\"é\n\"\"\",,,,,[],{},{}\n";
    fs::write(dir.path().join("in.csv"), csv).unwrap();
    to_parquet(dir.path(), "csv", &["in.csv", "--types", TYPES]);
    let rows = python(reader, dir.path(), &["dump", "csv"]);
    // Nothing in CSV is an empty text: the field is null.
    assert_eq!(rows, python(reader, dir.path(), &["dump", "none"]).replacen("True, '',", "True, None,", 1));
}

/// Rows of CSV that take quotes, and text that looks like something else.
const MADE: &str = "import csv\n\
    texts = ['', 'plain', 'a,b', 'say \"hi\"', 'two\\nlines', 'cr\\r\\nlf', 'é', '007', ' x ', 'true', '1.50', '1e5', '-0', '9' * 30]\n\
    rows = [[str(n), texts[n % len(texts)], texts[n * 7 % 13], str(n / 8)] for n in range(3000)]\n\
    with open('in.csv', 'w', newline='', encoding='utf-8') as file:\n    \
        csv.writer(file).writerows([['id', 'text', 'more, \"so\"', 'share']] + rows)\n";

/// Says whether a result has the rows of `in.csv`.
const SAME: &str = "import csv, glob\n\
    [out] = glob.glob('back/part-*.csv')\n\
    rows = [list(csv.reader(open(name, newline='', encoding='utf-8'))) for name in ('in.csv', out)]\n\
    print(rows[0] == rows[1], len(rows[1]))\n";

#[test]
fn csv_to_parquet_to_json_lines_and_back_has_the_same_rows() {
    let Some(reader) = venv::python("csv_to_parquet_to_json_lines_and_back_has_the_same_rows") else { return };
    let dir = tempfile::tempdir().unwrap();
    let script = |script: &str| {
        let output = Command::new(reader).current_dir(dir.path()).args(["-c", script]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    script(MADE);
    let one = ["--partitions", "1", "--split-bytes", "20000"];
    to_parquet(dir.path(), "parquet", &[&["in.csv"], &one[..]].concat());
    convert(dir.path(), "json", &[&["parquet/*.parquet", "--output-format", "json-lines"], &one[..]].concat());
    convert(dir.path(), "back", &[&["json/*.jsonl", "--output-format", "csv"], &one[..]].concat());
    assert_eq!(script(SAME), "True 3001\n");
}

#[test]
fn files_of_other_columns_are_named_and_missing_ones_are_null() {
    let Some(reader) = venv::python("files_of_other_columns_are_named_and_missing_ones_are_null") else { return };
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("files");
    fs::create_dir(&files).unwrap();
    python(reader, &files, &["many"]);
    let dir = dir.path();
    let all = ["files/[0-3]*.parquet"];
    to_parquet(dir, "all", &[&all[..], &["--partitions", "3"]].concat());
    let rows = python(reader, dir, &["dump", "all"]);
    assert!(rows.starts_with("[('id', 'BIGINT'), ('name', 'VARCHAR')]\n[(0, '0'), "), "{rows}");
    assert!(rows.contains("(6, '6'), (7, None), (8, '8')") && rows.matches('(').count() == 42, "{rows}");

    // Two files are both looked at before the job is submitted; of forty-one, the second is not.
    let two = ["convert", "files/01.parquet", "files/other.parquet"];
    refused(dir, &two, &["column id is bigint in files/01.parquet, and text in files/other.parquet"]);
    let forty = ["convert", "files/00.parquet", "files/other.parquet", "files/[0-3][1-9].parquet"];
    refused(
        dir,
        &forty,
        &["files/other.parquet has another schema than files/00.parquet", "its column id is text, and not bigint"],
    );
    let forty = ["convert", "files/00.parquet", "files/more.parquet", "files/[0-3][1-9].parquet"];
    refused(dir, &forty, &["files/more.parquet", "its column more is in no other that was looked at"]);
    refused(
        dir,
        &["convert", "files/wide.parquet"],
        &["column d of files/wide.parquet is of the type Decimal256(50, 2)"],
    );

    // What its user says a column is, it is made, and null where it is missing.
    to_parquet(dir, "said", &[&forty[1..], &["--types", "id decimal(5,1), more text, none date"]].concat());
    let rows = python(reader, dir, &["dump", "said"]);
    assert!(
        rows.starts_with("[('id', 'DECIMAL(5,1)'), ('name', 'VARCHAR'), ('more', 'VARCHAR'), ('none', 'DATE')]"),
        "{rows}"
    );
    assert!(rows.contains("(Decimal('1.0'), None, 'true', None)"), "{rows}");
    // Only what is wanted is read, wherever it is.
    let args = [&forty[1..], &["--columns", "more,id", "--types", "more boolean"]].concat();
    to_parquet(dir, "chosen", &args);
    let rows = python(reader, dir, &["dump", "chosen"]);
    assert!(rows.starts_with("[('more', 'BOOLEAN'), ('id', 'BIGINT')]"), "{rows}");
    refused(dir, &["convert", "files/00.parquet", "--columns", "id,nom"], &["has a column nom", "there are id"]);
}

#[test]
fn values_in_paths_are_columns_with_types() {
    let Some(reader) = venv::python("values_in_paths_are_columns_with_types") else { return };
    let dir = tempfile::tempdir().unwrap();
    for (folder, row) in [("year=2025/v=1.50", "1"), ("year=2026/v=2.00", "2"), ("year=2026/v=x", "3")] {
        let folder = dir.path().join("in").join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.csv"), format!("id\n{row}\n")).unwrap();
    }
    let dir = dir.path();
    to_parquet(dir, "csv", &["in", "--format", "csv", "--partitions", "1"]);
    let rows = "[('id', 'BIGINT'), ('year', 'BIGINT'), ('v', 'VARCHAR')]\n[(1, 2025, '1.50'), (2, 2026, '2.00'), (3, 2026, 'x')]\n";
    assert_eq!(python(reader, dir, &["dump", "csv"]), rows);
    // What is not chosen is left out, of the path and of the file.
    to_parquet(dir, "one", &["in", "--format", "csv", "--partitions", "1", "--columns", "v"]);
    assert_eq!(python(reader, dir, &["dump", "one"]), "[('v', 'VARCHAR')]\n[('1.50',), ('2.00',), ('x',)]\n");
    // The same of Parquet, which lies in such folders in turn.
    for folder in ["p/v=1.50/w=1", "p/v=y/w=02"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
        let [from] = &fs::read_dir(dir.join("csv"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "parquet"))
            .collect::<Vec<_>>()[..]
        else {
            panic!()
        };
        fs::copy(from, dir.join(folder).join("a.parquet")).unwrap();
    }
    to_parquet(dir, "again", &["p", "--format", "parquet", "--where", "id = 3"]);
    assert_eq!(
        python(reader, dir, &["dump", "again"]),
        "[('id', 'BIGINT'), ('year', 'BIGINT'), ('v', 'VARCHAR'), ('w', 'VARCHAR')]\n[(3, 2026, '1.50', '1'), (3, 2026, 'y', '02')]\n"
    );
    to_parquet(
        dir,
        "chosen",
        &["p", "--format", "parquet", "--where", "id = 3", "--columns", "w,id", "--types", "w int"],
    );
    assert_eq!(python(reader, dir, &["dump", "chosen"]), "[('w', 'INTEGER'), ('id', 'BIGINT')]\n[(1, 3), (2, 3)]\n");
    // As rows of other formats, too; and what neither the file nor the path has is refused.
    let some = ["p", "--format", "parquet", "--where", "id = 3", "--output-format", "json-lines", "--partitions", "1"];
    let manifest = convert(dir, "json", &[&some[..], &["--columns", "w,id,v"]].concat());
    let rows = fs::read_to_string(dir.join("json").join(&manifest.parts[0].name)).unwrap();
    assert_eq!(rows, "{\"w\":1,\"id\":3,\"v\":1.5}\n{\"w\":\"02\",\"id\":3,\"v\":\"y\"}\n");
    let args = [&["run", "convert", "--output", "refused", "--columns", "id,x"], &some[..]].concat();
    failed(&run(programs::kinglet().current_dir(dir).args(args)), &["a.parquet has no column x"]);
}

#[test]
fn what_does_not_fit_fails_the_job_where_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // Behind the first megabyte, which is looked at.
    let mut csv = "id,price\n".to_owned();
    for n in 0..200_000 {
        csv.push_str(&format!("{n},1.25\n"));
    }
    let place = csv.len();
    csv.push_str("7,a\n");
    fs::write(dir.join("late.csv"), &csv).unwrap();
    let at = format!("late.csv at byte {place}");
    refused(dir, &["convert", "late.csv"], &[&at, "column price is double, and \"a\" is not"]);
    fs::write(dir.join("more.jsonl"), format!("{}{{\"a\":1,\"b\":2}}\n", "{\"a\":1}\n".repeat(200_000))).unwrap();
    refused(dir, &["convert", "more.jsonl"], &["more.jsonl at byte 1600000", "a column b"]);
    refused(
        dir,
        &["convert", "late.csv", "--types", "id tinyint"],
        &["late.csv at byte ", "column id is tinyint", "out of range"],
    );
    refused(dir, &["convert", "late.csv", "--output-compression", "bzip2"], &["Parquet is not compressed by bzip2"]);
    refused(
        dir,
        &["word-count", "late.csv", "--no-output-header"],
        &["the result is parquet, of which an option for CSV says nothing"],
    );
    fs::write(dir.join("bytes"), b"some \xff\xfe words").unwrap();
    refused(dir, &["word-count", "bytes"], &["column word is text", "it is not UTF-8"]);
    fs::write(dir.join("empty.csv"), "").unwrap();
    refused(dir, &["convert", "empty.csv"], &["no row was found"]);
    let typed = ["run", "convert", "late.csv", "--types", "id int", "--output", "refused"];
    failed(&run(programs::kinglet().current_dir(dir).args(typed)), &["the result stores no types"]);
    let grouped = ["run", "cat", "late.csv", "--row-group-bytes", "5", "--output", "refused"];
    failed(&run(programs::kinglet().current_dir(dir).args(grouped)), &["--row-group-bytes says nothing"]);
}

#[test]
fn other_jobs_write_parquet_too() {
    let Some(reader) = venv::python("other_jobs_write_parquet_too") else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("in"), "to be or\nnot to be\n").unwrap();
    for (args, rows) in [
        (
            &["word-count", "in"][..],
            "[('word', 'VARCHAR'), ('count', 'BIGINT')]\n[('be', 2), ('not', 1), ('or', 1), ('to', 2)]\n",
        ),
        (&["count", "in", "--by-file"], "[('file', 'VARCHAR'), ('count', 'BIGINT')]\n[('in', 2)]\n"),
        (
            &["grep", "not", "in"],
            "[('file', 'VARCHAR'), ('offset', 'BIGINT'), ('row', 'VARCHAR')]\n[('in', 9, 'not to be')]\n",
        ),
        (&["cat", "in"], "[('row', 'VARCHAR')]\n[('not to be',), ('to be or',)]\n"),
    ] {
        let written = ["--output-format", "parquet", "--partitions", "1", "--overwrite", "--output", "out"];
        let ran = run(programs::kinglet().current_dir(dir).arg("run").args(args).args(written));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert_eq!(python(reader, dir, &["dump", "out"]), rows, "{args:?}");
    }
    // A partition without words is a file without rows.
    let many = [
        "run",
        "word-count",
        "in",
        "--output-format",
        "parquet",
        "--partitions",
        "9",
        "--overwrite",
        "--output",
        "out",
    ];
    assert_eq!(run(programs::kinglet().current_dir(dir).args(many)).code, Some(0));
    assert_eq!(python(reader, dir, &["dump", "out"]).lines().count(), 2);
}
