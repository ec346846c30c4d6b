//! Parquet with the whole system: the rows that pyarrow reads, in all splits; which bytes are read for a column; and what is damaged,
//! mixed or encrypted, named with its object and its columns.

use crate::programs;
use crate::row_files::{made, parsed, part, refused};
use crate::support::{driver, failed, nothing_published, only_part, run, shown};
use kinglet::{Error, Is, Only, RowFormat, Selection, Submit};
use kinglet_jobs::CountRows;
use kinglet_local::gate::{Rule, Strike};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The files of `python/parquet_files.py`, or `None` where there is no pyarrow.
fn files(test: &str) -> Option<&'static Path> {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    made(&MADE, "parquet_files.py", test)
}

#[test]
fn rows_are_those_that_pyarrow_reads() {
    let Some(dir) = files("rows_are_those_that_pyarrow_reads") else { return };
    let want = |name: &str| parsed(&fs::read_to_string(dir.join(name)).unwrap());
    let rows = want("rows.jsonl");
    for (n, name) in ["none", "snappy", "gzip", "brotli", "zstd", "lz4", "encodings"].iter().enumerate() {
        let file = format!("rows-{name}.parquet");
        let splits = ["20000", "100000", "3000000"][n % 3];
        let (got, manifest) = part(dir, &["cat", &file, "--split-bytes", splits]);
        let got = parsed(&got);
        let differs = got.iter().zip(&rows).find(|(got, want)| got != want);
        assert!(differs.is_none() && got.len() == rows.len(), "{name}: {} rows, {differs:?}", got.len());
        assert_eq!(manifest.records, rows.len() as u64);
        let footer = kinglet::look_at_file(&shown(&dir.join(&file)), None, 0).unwrap().footer.unwrap();
        let starts: Vec<u64> = footer.row_groups.iter().map(|group| group.from).collect();
        assert_eq!(manifest.splits.len() > 1, starts.len() > 1 && splits != "3000000", "{name}");
        let cuts = manifest.splits.iter().flat_map(|split| &split.ranges).map(|(_, from, _)| *from);
        assert!(cuts.filter(|from| *from > 0).all(|from| starts.contains(&from)), "{name}: {starts:?}");
    }
    assert!(parsed(&part(dir, &["cat", "int96.parquet"]).0) == want("int96.jsonl"));
    let mut legacy = 0;
    while dir.join(format!("legacy-{legacy}.parquet")).exists() {
        assert!(
            parsed(&part(dir, &["cat", &format!("legacy-{legacy}.parquet")]).0)
                == want(&format!("legacy-{legacy}.jsonl"))
        );
        legacy += 1;
    }
    println!("{legacy} files of pyarrow's own tests");
    // By the footer, by a pattern in the text of rows, and by a condition.
    assert_eq!(part(dir, &["count", "rows-*.parquet", "--format", "parquet"]).0, "35000\n");
    let two = rows.iter().filter(|row| row["dictionary"] == "two").count();
    assert!(two > 1_000);
    for condition in ["dictionary = two", "dictionary='two'"] {
        let counted = part(dir, &["count", "rows-lz4.parquet", "--where", condition, "--split-bytes", "50000"]).0;
        assert_eq!(counted, format!("{two}\n"));
    }
    let counted = part(
        dir,
        &["count", "rows-zstd.parquet", "--matching", "^\\{\"dictionary\":\"two\"", "--columns", "dictionary"],
    );
    assert_eq!(counted.0, format!("{two}\n"));
    let at = |row: &Value, column: &str, than: &str| row[column].as_str().is_some_and(|at| at < than);
    let early = rows.iter().filter(|row| at(row, "at_us", "2000-01-01") && row["i8"].as_i64() > Some(0)).count();
    let args = ["count", "rows-gzip.parquet", "--where", "at_us < 2000-01-01", "--where", "i8 > 0"];
    assert_eq!(part(dir, &args).0, format!("{early}\n"));
    let found = part(dir, &["grep", "one", "rows-none.parquet", "--columns", "row,dictionary", "--partitions", "1"]).0;
    let want: String = (rows.iter().enumerate().filter(|(_, row)| row["dictionary"] == "one"))
        .map(|(n, _)| format!("rows-none.parquet\t{n}\t{{\"row\":{n},\"dictionary\":\"one\"}}\n"))
        .collect();
    assert!(found == want);
}

#[test]
fn a_look_shows_the_footer_and_the_first_rows() {
    let Some(dir) = files("a_look_shows_the_footer_and_the_first_rows") else { return };
    let look = |args: &[&str]| run(programs::kinglet().current_dir(dir).arg("look").args(args));
    let seen = look(&["rows-snappy.parquet", "--columns", "row,day,list", "--where", "row >= 700", "--rows", "2"]);
    assert_eq!(seen.code, Some(0), "{}", seen.err);
    for line in [
        "packed by  snappy",
        "format     parquet",
        "split      between its 8 row groups",
        "rows       5000 in 8 row groups",
        "columns    row: int?",
        "           lists: list of list of text?",
        "statistics row: 0 to 4999, 0 nulls, ",
        "           map: list of {key: text, value: int?}?",
    ] {
        assert!(seen.out.lines().any(|shown| shown.starts_with(line)), "{line}\n{}", seen.out);
    }
    let rows: Vec<_> = seen.out.lines().rev().take(3).collect();
    assert_eq!(rows[2], "row\tday\tlist");
    assert!(rows[1].starts_with("700\t") && rows[0].starts_with("701\t"), "{rows:?}");
    let json: Value = serde_json::from_str(&look(&["int96.parquet", "--json", "--rows", "1"]).out).unwrap();
    assert_eq!((&json["footer"]["rows"], &json["rows"][0]["row"]), (&5_000.into(), &0.into()));
    failed(&look(&["rows.jsonl", "--format", "parquet"]), &["rows.jsonl as Parquet", "PAR1"]);
    failed(&look(&["rows-none.parquet", "--format", "lines"]), &["rows-none.parquet begins like Parquet"]);
    failed(&look(&["rows.jsonl", "--columns", "row"]), &["the input is json-lines"]);
}

#[test]
fn what_is_damaged_mixed_or_encrypted_is_named() {
    let Some(dir) = files("what_is_damaged_mixed_or_encrypted_is_named") else { return };
    let good = fs::read(dir.join("rows-snappy.parquet")).unwrap();
    let own = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(own.path().join(name), bytes).unwrap();
    write("cut.parquet", &good[..good.len() / 2]);
    refused(own.path(), &["count", "cut.parquet"], &["cut.parquet as Parquet", "it is cut short"]);
    let mut longer = good.clone();
    let end = longer.len();
    longer[end - 8..end - 4].copy_from_slice(&(end as u32).to_le_bytes());
    write("longer.parquet", &longer);
    refused(own.path(), &["count", "longer.parquet"], &["longer.parquet", "more than the file has"]);
    let mut corrupt = good.clone();
    let length = u32::from_le_bytes(good[end - 8..end - 4].try_into().unwrap()) as usize;
    corrupt[end - 8 - length..][..300].fill(0x55);
    write("footer.parquet", &corrupt);
    refused(own.path(), &["count", "footer.parquet"], &["footer.parquet as Parquet"]);
    let mut pages = good.clone();
    pages[4..3_000].fill(0);
    write("pages.parquet", &pages);
    refused(own.path(), &["cat", "pages.parquet"], &["pages.parquet as Parquet: row group 0"]);
    for name in ["encrypted.parquet", "encrypted-columns.parquet"] {
        refused(dir, &["cat", name], &[name, "encrypted"]);
    }

    // A directory of several formats is read as one of them only if that is said.
    fs::create_dir(own.path().join("mixed")).unwrap();
    write("mixed/a.parquet", &good);
    write("mixed/b.csv", b"a,b\n1,2\n");
    let says = ["1 is parquet, such as mixed/a.parquet", "1 is csv, such as mixed/b.csv"];
    refused(own.path(), &["count", "mixed"], &says);
    refused(own.path(), &["count", "mixed", "--format", "lines"], &["a.parquet begins like Parquet"]);
    refused(own.path(), &["count", "mixed", "--format", "parquet"], &["b.csv as Parquet"]);
    refused(own.path(), &["count", "mixed/a.parquet", "mixed/b.csv"], &["parquet and csv"]);
    refused(own.path(), &["count", "mixed/b.csv", "--where", "a > 1"], &["the input is csv"]);
    refused(own.path(), &["count", "mixed/a.parquet", "--input-compression", "gzip"], &["not compressed by gzip"]);

    // Files of two schemas.
    write("two.parquet", &fs::read(dir.join("int96.parquet")).unwrap());
    let files = ["two.parquet", "mixed/a.parquet"];
    refused(
        own.path(),
        &["cat", files[0], files[1], "--columns", "row,text,day"],
        &["two.parquet has no columns text, day", "row, at_us"],
    );
    refused(own.path(), &["count", files[0], files[1], "--where", "flag = true"], &["two.parquet has no column flag"]);
    refused(
        own.path(),
        &["count", files[1], "--where", "text < 1", "--where", "list = 1"],
        &["column list is list of int"],
    );
    assert_eq!(part(own.path(), &["count", files[0], files[1], "--where", "row < 10"]).0, "20\n");
}

/// A job over one column reads no more than 5 % beyond its chunks, the footer included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_chunks_of_a_column_are_read_from_s3() {
    let Some(dir) = files("only_the_chunks_of_a_column_are_read_from_s3") else { return };
    let (input, out) = (dir.join("wide.parquet"), tempfile::tempdir().unwrap());
    let footer = kinglet::look_at_file(&shown(&input), None, 0).unwrap().footer.unwrap();
    let chunks = footer.columns.iter().find(|column| column.name == "row").unwrap().bytes;
    let driver = driver(|local| local.with_gates()).await;
    let gates = driver.runtime().unwrap().gates().unwrap();
    let measure = || Rule::s3("GetObject").containing("wide.parquet").times(u64::MAX).does(Strike::Measure);
    let count = async |selection: Selection| {
        let before = gates.measured_bytes();
        gates.set_rules(vec![measure()]);
        let job = CountRows { format: RowFormat::Parquet(selection), by_object: false, pattern: None };
        let submit = Submit::new([shown(&input)], shown(&out.path().join("out")))
            .with_overwrite()
            .with_partitions(1)
            .with_split_bytes(1 << 30);
        driver.submit(&job, submit).await?.wait().await?;
        assert!(gates.counts()[0].1 > 0, "nothing was measured");
        let counted = String::from_utf8(only_part(&out.path().join("out"))).unwrap();
        Ok::<_, Error>((counted, gates.measured_bytes() - before))
    };
    let condition = |value: u64| Selection::default().with_only(Only::new("row", Is::AtLeast, value));
    let (rows, read) = count(condition(1)).await.unwrap();
    assert_eq!(rows, format!("{}\n", footer.rows - 1));
    println!("the chunks of the column have {chunks} bytes, and {read} were read");
    assert!(read >= chunks && read * 20 <= chunks * 21, "{read} bytes were read for {chunks}");
    // One row group of eight may have such rows.
    let (rows, read) = count(condition(footer.rows - 5)).await.unwrap();
    assert!(rows == "5\n" && read * 6 < chunks, "{rows}: {read} bytes were read, and the column has {chunks}");
    driver.close().await;
}

/// The version that was listed is read, or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_replaced_while_it_is_read_fails_the_job() {
    let Some(dir) = files("an_object_that_is_replaced_while_it_is_read_fails_the_job") else { return };
    let own = tempfile::tempdir().unwrap();
    let input = own.path().join("rows.parquet");
    fs::copy(dir.join("rows-snappy.parquet"), &input).unwrap();
    let driver = driver(|local| local.with_gates().with_concurrency(1)).await;
    let gates = driver.runtime().unwrap().gates().unwrap();
    // The footer is the first that is read, and the GET behind it waits.
    gates.set_rules(vec![Rule::s3("GetObject").containing("rows.parquet").after(1).times(1).does(Strike::HoldBefore)]);
    let job = kinglet_jobs::Cat { format: RowFormat::Parquet(Selection::default()) };
    let submit = Submit::new([shown(&input)], shown(&own.path().join("out"))).with_split_bytes(1 << 30);
    let handle = driver.submit(&job, submit).await.unwrap();
    let held = gates.next_held().await;
    let other = own.path().join("other");
    fs::copy(dir.join("rows-zstd.parquet"), &other).unwrap();
    fs::rename(&other, &input).unwrap();
    held.go_on();
    let error = handle.wait().await.unwrap_err();
    assert_eq!(error.code(), "object-changed", "{error}");
    assert!(error.to_string().contains(&shown(&input)), "{error}");
    drop(handle);
    driver.close().await;
    nothing_published(&own.path().join("out"));
}
