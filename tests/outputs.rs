//! Results in every format and codec: the rows are those of the text, as Python reads them; the manifest has the parts as they lie
//! there; and one format's result is replaced by another's whole.

use crate::programs;
use crate::support::{Ran, failed, nothing_published, run};
use kinglet::Manifest;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn job(dir: &Path, args: &[&str]) -> Ran {
    run(programs::kinglet().current_dir(dir).arg("run").args(args).args(["--output", "out"]))
}

/// Runs a job that must succeed, checks that the manifest lists what lies in the output, and returns it.
#[track_caller]
fn result(dir: &Path, args: &[&str]) -> Manifest {
    let ran = job(dir, &[args, &["--overwrite"]].concat());
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    let manifest: Manifest = serde_json::from_slice(&fs::read(dir.join("out/_manifest.json")).unwrap()).unwrap();
    let entries = fs::read_dir(dir.join("out")).unwrap();
    let there: BTreeSet<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let listed = manifest.parts.iter().map(|part| part.name.clone()).chain(["_manifest.json".to_owned()]);
    assert_eq!(there, listed.collect(), "{args:?}");
    for part in &manifest.parts {
        let bytes = fs::read(dir.join("out").join(&part.name)).unwrap();
        assert_eq!((bytes.len() as u64, crc32fast::hash(&bytes)), (part.bytes, part.crc32), "{}", part.name);
    }
    assert_eq!(manifest.bytes_out, manifest.parts.iter().map(|part| part.bytes).sum::<u64>());
    manifest
}

/// What Python prints; `None` where there is no Python.
fn python(dir: &Path, script: &str) -> Option<String> {
    let output = match Command::new("python3").current_dir(dir).args(["-c", script]).output() {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: no python3 ({error})");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

const WORDS: &str = "to be, or \"not\" to \"be, is the question: the, \"\" é a,b";

/// Prints the sorted rows of all parts, whatever they are written in.
const ROWS: &str = "import bz2, csv, glob, gzip, json\n\
    opens = {'gz': gzip.open, 'bz2': bz2.open}\n\
    rows = []\n\
    for name in glob.glob('out/part-*'):\n    \
        ending = name.rsplit('.', 1)[-1]\n    \
        with opens.get(ending, open)(name, 'rt', newline='', encoding='utf-8') as part:\n        \
            if '.csv' in name or '.tsv' in name:\n            \
                head, *more = csv.reader(part, delimiter=',' if '.csv' in name else '\\t')\n            \
                assert head == ['word', 'count'], head\n            \
                rows += [(word, int(count)) for word, count in more]\n        \
            elif '.jsonl' in name:\n            \
                objects = [json.loads(line) for line in part]\n            \
                assert all(list(of) == ['word', 'count'] for of in objects)\n            \
                rows += [(of['word'], of['count']) for of in objects]\n        \
            else:\n            \
                split = [line.rstrip('\\n').split('\\t') for line in part]\n            \
                rows += [(word, int(count)) for word, count in split]\n\
    print(sorted(rows))\n";

#[test]
fn a_result_has_the_same_rows_in_every_format_as_python_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in"), WORDS.repeat(50)).unwrap();
    let count = ["word-count", "in", "--partitions", "3"];
    let text = result(dir.path(), &count);
    let Some(want) = python(dir.path(), ROWS) else { return };
    for (format, codec, ending) in [
        ("csv", "none", ".csv"),
        ("tsv", "bzip2", ".tsv.bz2"),
        ("json-lines", "none", ".jsonl"),
        ("text", "gzip", ".gz"),
    ] {
        let how = ["--output-format", format, "--output-compression", codec];
        let manifest = result(dir.path(), &[&count[..], &how].concat());
        assert_eq!((manifest.records_out, manifest.parts.len()), (text.records_out, 3));
        assert!(manifest.parts.iter().all(|part| part.name.ends_with(&format!("{}{ending}", manifest.job))));
        assert_eq!(python(dir.path(), ROWS).unwrap(), want, "{how:?}");
    }
}

#[test]
fn what_a_job_writes_compressed_another_reads() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("in")).unwrap();
    fs::write(dir.path().join("in/a.log"), (0..5_000).map(|n| format!("line {n}, \"q\"\n")).collect::<String>())
        .unwrap();
    for (codec, format, all) in [
        ("gzip", "csv", "found/*.csv.gz"),
        ("zstd", "json-lines", "found/*.jsonl.zst"),
        ("lz4", "tsv", "found/*.tsv.lz4"),
        ("snappy", "text", "found/part-*.sz"),
    ] {
        let how = ["--output-format", format, "--output-compression", codec, "--partitions", "2"];
        let found = result(dir.path(), &[&["grep", "7", "in"], &how[..]].concat()).records_out;
        assert_eq!(found, (0..5_000).filter(|n| n.to_string().contains('7')).count() as u64);
        let _ = fs::remove_dir_all(dir.path().join("found"));
        fs::rename(dir.path().join("out"), dir.path().join("found")).unwrap();
        let counted = result(dir.path(), &["count", all, "--output-format", "json-lines"]);
        let one = fs::read_to_string(dir.path().join("out").join(&counted.parts[0].name)).unwrap();
        assert_eq!(one, format!("{{\"count\":{found}}}\n"), "{format} {codec}");
        fs::remove_dir_all(dir.path().join("out")).unwrap();
    }
}

#[test]
fn what_cannot_be_written_is_said_and_nothing_is_published() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in"), b"some \xff\xfe words").unwrap();
    let ran = job(dir.path(), &["word-count", "in", "--output-format", "json-lines"]);
    failed(&ran, &["text of JSON is UTF-8"]);
    nothing_published(&dir.path().join("out"));
    let ran = job(dir.path(), &["word-count", "in", "--output-compression", "xz"]);
    failed(&ran, &["without writing xz"]);
    nothing_published(&dir.path().join("out"));
    // CSV has bytes as they are.
    let manifest = result(dir.path(), &["word-count", "in", "--output-format", "csv", "--partitions", "1"]);
    let part = fs::read(dir.path().join("out").join(&manifest.parts[0].name)).unwrap();
    assert_eq!(part, b"word,count\nsome,1\nwords,1\n\xff\xfe,1\n");
}

/// Rows of CSV that take quotes, numbers that are written in several ways, and empty fields.
const MADE: &str = "import csv, json\n\
    texts = ['', 'plain', 'a,b', 'say \"hi\"', 'two\\nlines', 'cr\\r\\nlf', 'é', '007', ' x ', 'true', '1.50', '1e5', '-0', '9' * 30]\n\
    rows = [[str(n), texts[n % len(texts)], texts[n * 7 % 13], str(n / 8)] for n in range(3000)]\n\
    with open('in.csv', 'w', newline='', encoding='utf-8') as file:\n    \
        csv.writer(file).writerows([['id', 'text', 'more, \"so\"', 'share']] + rows)\n";

/// Says whether `out` has the rows of `in.csv`: as text, or by value.
const SAME: &str = "import csv, glob, json\n\
    def read(name):\n    \
        with open(name, newline='', encoding='utf-8') as file:\n        \
            if name.endswith('.csv'):\n            \
                return [dict(row) for row in csv.DictReader(file)]\n        \
            return [json.loads(line) for line in file]\n\
    def value(field):\n    \
        if isinstance(field, str):\n        \
            try:\n            \
                return float(field) if not field.startswith('0') or field[:2] in ('0', '0.') else field\n        \
            except ValueError:\n            \
                return {'true': True, 'false': False, '': None}.get(field, field)\n    \
        return field if field is None or isinstance(field, bool) else float(field)\n\
    [out] = glob.glob('OUT/part-*')\n\
    a, b = read('in.csv'), read(out)\n\
    by_value = lambda rows: [[(name, value(field)) for name, field in row.items()] for row in rows]\n\
    print(a == b, by_value(a) == by_value(b), len(b))\n";

#[test]
fn csv_to_json_lines_and_back_has_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    if python(dir.path(), MADE).is_none() {
        return;
    }
    let same = |out: &str| python(dir.path(), &SAME.replace("OUT", out)).unwrap();
    let convert = |from: &str, to: &str, more: &[&str]| {
        let args = [&["convert", from, "--output-format", to, "--split-bytes", "20000"], more].concat();
        let manifest = result(dir.path(), &args);
        assert_eq!((manifest.records, manifest.records_out, manifest.parts.len()), (3_000, 3_000, 1));
        let moved = dir.path().join(format!("{to}-{}", more.len()));
        fs::rename(dir.path().join("out"), &moved).unwrap();
        let name = moved.file_name().unwrap().to_str().unwrap().to_owned();
        (same(&name), format!("{name}/part-*"))
    };
    // Numbers become numbers, and are the same by value; as plain text all is as it was written.
    let (rows, json) = convert("in.csv", "json-lines", &[]);
    assert_eq!(rows, "False True 3000\n");
    assert_eq!(convert(&json, "csv", &["--format", "json-lines"]).0, "False True 3000\n");
    let (rows, json) = convert("in.csv", "json-lines", &["--plain-text"]);
    assert_eq!(rows, "True True 3000\n");
    assert_eq!(convert(&json, "csv", &["--format", "json-lines", "--compression", "none"]).0, "True True 3000\n");
}

#[test]
fn a_marker_of_success_comes_with_a_whole_result_and_stays_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in"), "a b a").unwrap();
    fs::write(dir.path().join("bad"), "\u{e4} \u{e4}".as_bytes().split_last().unwrap().1).unwrap();
    let marker = dir.path().join("out/_SUCCESS");
    let marked = ["--success-marker", "--output-format", "json-lines"];
    failed(&job(dir.path(), &[&["word-count", "bad"], &marked[..]].concat()), &["text of JSON is UTF-8"]);
    assert!(!marker.exists());
    assert_eq!(job(dir.path(), &[&["word-count", "in"], &marked[..]].concat()).code, Some(0));
    assert_eq!(fs::read(&marker).unwrap(), b"");
    let replaced = [&["word-count", "bad", "--overwrite"], &marked[..]].concat();
    failed(&job(dir.path(), &replaced), &["text of JSON is UTF-8"]);
    assert!(marker.exists() && dir.path().join("out/_manifest.json").exists());
    assert_eq!(job(dir.path(), &["word-count", "in", "--overwrite"]).code, Some(0));
    let there = fs::read_dir(dir.path().join("out")).unwrap().count();
    assert_eq!(there, 3, "the part, the manifest and the marker");
}

#[test]
fn rows_of_other_columns_need_columns_to_be_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in.jsonl"), "{\"a\": 1}\n{\"b\": [1, \"x\"], \"a\": null}\n{}\n").unwrap();
    let csv = ["convert", "in.jsonl", "--output-format", "csv"];
    failed(&job(dir.path(), &csv), &["columns b, a", "has a"]);
    nothing_published(&dir.path().join("out"));
    let manifest = result(dir.path(), &[&csv[..], &["--columns", "a,b"]].concat());
    let part = fs::read_to_string(dir.path().join("out").join(&manifest.parts[0].name)).unwrap();
    assert_eq!(part, "a,b\n1,\n,\"[1,\"\"x\"\"]\"\n,\n");
    // JSON lines have rows of all kinds, in as many parts as are asked for.
    let manifest = result(dir.path(), &["convert", "in.jsonl", "--output-format", "json-lines", "--partitions", "3"]);
    assert_eq!((manifest.records_out, manifest.parts.len()), (3, 3));
}

#[test]
fn files_have_about_the_size_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    // Digits that compress to half of their length.
    let number = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let row = |n: u64| format!("{n},{:020},{}\n", number(n), n % 3);
    let rows: Vec<String> = (0..200_000).map(row).collect();
    fs::write(dir.path().join("in.csv"), format!("n,digits,third\n{}", rows.concat())).unwrap();
    let convert = |more: &[&str]| result(dir.path(), &[&["convert", "in.csv", "--file-size", "2MB"], more].concat());
    let read = |manifest: &Manifest| -> Vec<String> {
        let mut names: Vec<_> = manifest.parts.iter().map(|part| part.name.clone()).collect();
        names.sort();
        let text = |name: &String| fs::read_to_string(dir.path().join("out").join(name)).unwrap();
        names.iter().flat_map(|name| text(name).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    for (more, partitions) in [
        (&["--output-format", "json-lines"][..], None),
        (&["--output-format", "json-lines", "--partitions", "1"], Some(1)),
    ] {
        let manifest = convert(more);
        let mut all = read(&manifest);
        assert_eq!(all.len(), rows.len());
        all.sort();
        all.dedup();
        assert_eq!(all.len(), rows.len(), "no row is in two files");
        let bytes: Vec<u64> = manifest.parts.iter().map(|part| part.bytes).collect();
        // A block of bytes is sent when it is full, and what was begun ends with its row.
        assert!(bytes.iter().all(|bytes| *bytes < 2_000_000 + (2 << 20)), "{bytes:?}");
        let small = bytes.iter().filter(|bytes| **bytes < 2_000_000).count();
        let most = partitions.unwrap_or(manifest.bytes.div_ceil(2_000_000) as usize);
        assert!(small <= most && bytes.len() > 2, "{bytes:?}");
    }
    // In folders, compressed, and of Parquet.
    let folders = job(
        dir.path(),
        &[
            "convert",
            "in.csv",
            "--file-size",
            "1MiB",
            "--output-format",
            "json-lines",
            "--partition-by",
            "third",
            "--overwrite",
        ],
    );
    assert_eq!(folders.code, Some(0), "{}", folders.err);
    let manifest: Manifest = serde_json::from_slice(&fs::read(dir.path().join("out/_manifest.json")).unwrap()).unwrap();
    let of =
        |third: u64| manifest.parts.iter().filter(|part| part.name.starts_with(&format!("third={third}/"))).count();
    assert!((0..3).all(|third| of(third) > 1), "{:?}", manifest.parts);
    assert_eq!(manifest.parts.iter().map(|part| part.records).sum::<u64>(), 200_000);
    fs::remove_dir_all(dir.path().join("out")).unwrap();
    let parquet = convert(&["--output-format", "parquet", "--row-group-bytes", "300000", "--partitions", "1"]);
    assert!(parquet.parts.len() > 1 && parquet.parts.iter().all(|part| part.bytes < 3_000_000), "{:?}", parquet.parts);
    let ran = job(dir.path(), &["convert", "in.csv", "--file-size", "1MB", "--output-format", "csv", "--overwrite"]);
    failed(&ran, &["files of 1000000 bytes", "1048576"]);
    let ran = job(dir.path(), &["convert", "in.csv", "--file-size", "much", "--output-format", "csv"]);
    assert!(ran.code == Some(2) && ran.err.contains("a whole number of bytes"), "{}", ran.err);
}
