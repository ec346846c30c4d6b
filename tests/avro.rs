//! Avro with the whole system: the rows that fastavro reads, in all splits; and what is damaged, odd or not read, named with its object
//! and its block.

use crate::programs;
use crate::row_files::{job_into, made, parsed, part, refused};
use crate::support::run;
use kinglet::Framing;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The files of `python/avro_files.py`, or `None` where there is no fastavro.
fn files(test: &str) -> Option<&'static Path> {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    made(&MADE, "avro_files.py", test)
}

#[test]
fn rows_are_those_that_fastavro_reads() {
    let Some(dir) = files("rows_are_those_that_fastavro_reads") else { return };
    let rows = parsed(&fs::read_to_string(dir.join("rows.jsonl")).unwrap());
    for (n, codec) in ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"].iter().enumerate() {
        let file = format!("rows-{codec}.avro");
        let splits = ["20000", "100000", "3000000"][n % 3];
        let (got, manifest) = part(dir, &["cat", &file, "--split-bytes", splits]);
        let got = parsed(&got);
        let differs = got.iter().zip(&rows).find(|(got, want)| got != want);
        assert!(differs.is_none() && got.len() == rows.len(), "{codec}: {} rows, {differs:?}", got.len());
        assert_eq!(manifest.records, rows.len() as u64);
        assert_eq!(manifest.splits.len() > 1, splits != "3000000", "{codec}");
    }
    // Splits smaller than a block, or than the head.
    let (got, manifest) = part(dir, &["cat", "rows-null.avro", "--split-bytes", "1000", "--concurrency", "4"]);
    assert!(parsed(&got) == rows);
    assert!(manifest.splits.iter().any(|split| split.ranges.is_empty()), "no split was without a block");
    assert_eq!(part(dir, &["count", "long-head.avro", "--split-bytes", "3000"]).0, "20000\n");
    assert_eq!(part(dir, &["count", "rows-*.avro", "--format", "avro"]).0, "18000\n");
    for (file, count) in [("empty", 0), ("one-block", 50_000), ("row-a-block", 300), ("no-columns", 7), ("union", 2)] {
        let counted = part(dir, &["count", &format!("{file}.avro"), "--split-bytes", "2000"]).0;
        assert_eq!(counted, format!("{count}\n"), "{file}");
    }
    // By conditions and columns, and by a pattern in the text of rows.
    let two = rows.iter().filter(|row| row["kind"] == "two" && row["maybe"].as_i64() > Some(5)).count();
    let args = ["count", "rows-xz.avro", "--where", "kind = two", "--where", "maybe > 5", "--split-bytes", "40000"];
    assert_eq!(part(dir, &args).0, format!("{two}\n"));
    let found = part(
        dir,
        &["grep", "two", "rows-null.avro", "--columns", "again,row", "--split-bytes", "50000", "--partitions", "1"],
    )
    .0;
    let want = rows.iter().filter(|row| row["again"] == "two");
    let numbers = |line: &str| {
        let [file, place, json] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!(file, "rows-null.avro");
        (place.parse::<u64>().unwrap(), serde_json::from_str::<Value>(json).unwrap()["row"].as_u64().unwrap())
    };
    let found: Vec<_> = found.lines().map(numbers).collect();
    assert!(found.iter().map(|(_, row)| *row).eq(want.map(|row| row["row"].as_u64().unwrap())));
    // The block of a place ends with the file's marker, and so does the block, or the head, before it.
    let bytes = fs::read(dir.join("rows-null.avro")).unwrap();
    let marker = &bytes[bytes.len() - 16..];
    assert!(found.iter().all(|(place, _)| bytes[..(place >> Framing::ROW_BITS) as usize].ends_with(marker)));
    assert!(found.is_sorted());
}

/// What a file is, its first bytes say where its name does not.
#[test]
fn a_file_whose_ending_says_nothing_is_read_as_what_it_is() {
    let Some(files) = files("a_file_whose_ending_says_nothing_is_read_as_what_it_is") else { return };
    let dir = tempfile::tempdir().unwrap();
    let avro = files.join("rows-null.avro");
    fs::copy(&avro, dir.path().join("data.bin")).unwrap();
    fs::copy(&avro, dir.path().join("data.avro")).unwrap();
    let [by_bytes, by_name] = ["data.bin", "data.avro"].map(|name| part(dir.path(), &["count", name]).0);
    assert_eq!(by_bytes, by_name);
}

#[test]
fn every_job_over_rows_reads_avro() {
    let Some(dir) = files("every_job_over_rows_reads_avro") else { return };
    let rows = parsed(&fs::read_to_string(dir.join("rows.jsonl")).unwrap());
    let sorted = part(
        dir,
        &[
            "sort",
            "rows-snappy.avro",
            "--by",
            "text, row desc",
            "--columns",
            "row,text",
            "--output-format",
            "json-lines",
            "--partitions",
            "1",
            "--split-bytes",
            "60000",
        ],
    )
    .0;
    let mut want: Vec<_> =
        rows.iter().map(|row| (row["text"].as_str().unwrap(), std::cmp::Reverse(row["row"].as_i64()))).collect();
    want.sort();
    assert!(parsed(&sorted).iter().map(|row| row["row"].as_i64()).eq(want.iter().map(|(_, row)| row.0)));
    let sums = part(
        dir,
        &[
            "aggregate",
            "count(), sum(price) as total",
            "rows-deflate.avro",
            "--by",
            "kind",
            "--partitions",
            "1",
            "--split-bytes",
            "50000",
        ],
    )
    .0;
    let ones = rows.iter().filter(|row| row["kind"] == "one").count();
    assert!(sums.lines().any(|line| line.starts_with(&format!("one\t{ones}\t"))), "{sums}");
    let sampled = part(dir, &["sample", "50%", "row-a-block.avro", "--split-bytes", "2000"]).0.lines().count();
    assert!((100..200).contains(&sampled), "{sampled}");
    // Through Parquet, and back as the same JSON.
    let out = tempfile::tempdir().unwrap();
    let parquet = out.path().join("p");
    let ran =
        job_into(dir, &parquet, &["convert", "rows-zstandard.avro", "--output-format", "parquet", "--partitions", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("price decimal(12,2)") && ran.err.contains("when_us timestamptz"), "{}", ran.err);
    let back = part(&parquet, &["cat", ".", "--format", "parquet"]).0;
    let differs = parsed(&back).into_iter().zip(&rows).find(|(got, want)| got != *want);
    assert!(differs.is_none(), "{differs:?}");
    let look = |args: &[&str]| run(programs::kinglet().current_dir(dir).arg("look").args(args));
    let seen = look(&["rows-bzip2.avro", "--columns", "row,kind", "--rows", "2"]);
    assert_eq!(seen.code, Some(0), "{}", seen.err);
    for line in [
        "packed by  bzip2",
        "format     avro",
        "split      at any block",
        "columns    row: int",
        "           kind: text",
        "row\tkind",
    ] {
        assert!(seen.out.lines().any(|shown| shown.starts_with(line)), "{line}\n{}", seen.out);
    }
    let head = run(programs::kinglet().current_dir(dir).args(["head", "3", "rows-null.avro", "--columns", "row"]));
    assert_eq!(head.out, "{\"row\":0}\n{\"row\":1}\n{\"row\":2}\n");
    assert_eq!(head.err, "65536 bytes read\n");
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let Some(dir) = files("what_is_wrong_with_a_file_is_said") else { return };
    refused(dir, &["cat", "none.avro"], &["none.avro", "does not begin as Avro does"]);
    refused(dir, &["cat", "plain.avro"], &["plain.avro", "its schema"]);
    refused(dir, &["cat", "tree.avro"], &["tree.avro", "Tree contains itself"]);
    refused(dir, &["cat", "union.avro"], &["column either of union.avro", "Union"]);
    assert_eq!(part(dir, &["cat", "union.avro", "--columns", "n"]).0, "{\"n\":1}\n{\"n\":2}\n");
    refused(dir, &["cat", "bomb.avro"], &["bomb.avro", "the block at byte", "unpacks to more than"]);
    refused(dir, &["cat", "one-block.avro", "--columns", "m"], &["one-block.avro has no column m"]);
    refused(dir, &["cat", "one-block.avro", "--where", "n = x"], &["column n is int"]);
    refused(dir, &["cat", "one-block.avro", "--input-compression", "gzip"], &["is Avro", "as a whole"]);
    let all = part(dir, &["count", "one-block.avro", "--max-rejected", "0"]);
    assert_eq!((all.1.rejected, all.1.quarantine), (0, None));
    let typed = ["convert", "one-block.avro", "other.avro", "--output-format", "parquet"];
    refused(dir, &typed, &["column n is bigint in one-block.avro, and text in other.avro"]);
    // Damaged copies.
    let damaged = tempfile::tempdir().unwrap();
    let whole = fs::read(dir.join("rows-deflate.avro")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(damaged.path().join(name), bytes).unwrap();
    write("cut.avro", &whole[..whole.len() - 100]);
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 0x55;
    write("changed.avro", &changed);
    for split in ["30000", "3000000"] {
        refused(damaged.path(), &["count", "cut.avro", "--split-bytes", split], &["cut.avro", "the block at byte"]);
        refused(damaged.path(), &["cat", "changed.avro", "--split-bytes", split], &["changed.avro"]);
    }
}

/// A split may find the marker within a row; what it then takes for a block is never a row of the result, as it is read again.
#[test]
fn a_marker_within_a_row_makes_no_wrong_row() {
    let Some(dir) = files("a_marker_within_a_row_makes_no_wrong_row") else { return };
    let whole = part(dir, &["cat", "trap.avro", "--split-bytes", "5000", "--whole-objects"]);
    assert_eq!((whole.0.lines().count(), whole.1.splits.len()), (40, 1));
    let mut reread = 0;
    for split in ["5000", "7000", "9001", "11000"] {
        let (rows, manifest) = part(dir, &["cat", "trap.avro", "--split-bytes", split]);
        assert!(rows == whole.0, "{split}");
        reread += manifest.splits.windows(2).filter(|pair| pair[1].task < pair[0].task).count();
    }
    assert!(reread > 0, "no split found a marker within a row");
}
