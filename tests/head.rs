//! `kinglet head`: the first rows as they are written, whatever the format and the codec, and nothing read that they do not need.

use crate::programs;
use crate::support::{Ran, driver, failed, run};
use kinglet::{Code, RowFormat, Submit};
use std::fs;
use std::path::Path;
use std::process::Command;

fn head(dir: &Path, args: &[&str]) -> Ran {
    run(programs::kinglet().current_dir(dir).arg("head").args(args))
}

/// Runs a command that must succeed, and returns what it printed and how many bytes it has read.
#[track_caller]
fn printed(dir: &Path, args: &[&str]) -> (String, u64) {
    let ran = head(dir, args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    let read = ran.err.lines().find_map(|line| line.strip_suffix(" bytes read"));
    (ran.out, read.unwrap().parse().unwrap())
}

#[test]
fn the_first_rows_are_read_and_hardly_more() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    // In the order of names, each with a header; one row goes over two lines.
    write("a.csv", b"\xef\xbb\xbfid,text\r\n1,\"one\ntwo\"\r\n2,b\r\n");
    write("b.csv", b"id,text\n3,c\n");
    write("c.csv", "id,text\n4,d\nwrong\n".as_bytes());
    let all = ["a.csv", "b.csv", "c.csv"];
    let first = |rows: &str| printed(dir.path(), &[&[rows], &all[..]].concat());
    let (a, b) = (30, 12);
    assert_eq!(first("0"), (String::new(), 0));
    assert_eq!(first("1"), ("id,text\n1,\"one\ntwo\"\n".to_owned(), a));
    assert_eq!(first("2").1, a);
    assert_eq!(first("3"), ("id,text\n1,\"one\ntwo\"\n2,b\n3,c\n".to_owned(), a + b));
    // What is wrong behind the rows is nobody's.
    assert_eq!(first("4").0.lines().last(), Some("4,d"));
    let ran = head(dir.path(), &[&["5"], &all[..]].concat());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("reading c.csv at byte 12") && ran.err.contains("1 field"), "{}", ran.err);
    assert_eq!(printed(dir.path(), &["2", "c.csv", "--no-header", "--format", "tsv"]).0, "id,text\n4,d\n");
    // Of much, little is read; more where rows are long.
    let long: String = (0..400_000).map(|n| format!("{{\"n\": {n}, \"text\": \"some text of a row\"}}\n")).collect();
    write("long.jsonl", long.as_bytes());
    let (rows, read) = printed(dir.path(), &["1000", "long.jsonl"]);
    assert_eq!((rows.lines().count(), read), (1000, 65_536));
    let (rows, read) = printed(dir.path(), &["200000", "long.jsonl"]);
    assert_eq!(rows, long.split_inclusive('\n').take(200_000).collect::<String>());
    assert!(
        read < 2 * rows.len() as u64 && (read as usize) < long.len(),
        "{read} of {} for {}",
        long.len(),
        rows.len()
    );
    let (rows, read) = printed(dir.path(), &["500000", "long.jsonl"]);
    assert_eq!((rows.len(), read), (long.len(), long.len() as u64));
}

#[test]
fn packed_rows_and_rows_in_columns_are_read_as_far_as_they_go() {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..300_000u64).map(|n| format!("{n},{}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    fs::write(dir.path().join("a.csv"), format!("n,mixed\n{text}")).unwrap();
    for codec in [&["gzip", "-k"][..], &["bzip2", "-k"]] {
        let packed = Command::new(codec[0]).args(&codec[1..]).arg("a.csv").current_dir(dir.path()).status();
        assert!(packed.is_ok_and(|packed| packed.success()), "{codec:?}");
    }
    let first: String = text.split_inclusive('\n').take(5).collect();
    for name in ["a.csv.gz", "a.csv.bz2"] {
        let size = fs::metadata(dir.path().join(name)).unwrap().len();
        let (rows, read) = printed(dir.path(), &["5", name]);
        assert_eq!(rows, format!("n,mixed\n{first}"), "{name}");
        assert!(read < size / 2, "{name}: {read} of {size}");
    }
    let cut = fs::read(dir.path().join("a.csv.gz")).unwrap();
    fs::write(dir.path().join("cut.csv.gz"), &cut[..cut.len() / 2]).unwrap();
    assert_eq!(printed(dir.path(), &["1", "cut.csv.gz"]).0, "n,mixed\n0,0\n");
    let ran = head(dir.path(), &["300000", "cut.csv.gz"]);
    assert!(ran.code == Some(1) && ran.err.contains("cut.csv.gz"), "{}", ran.err);

    let parquet =
        ["run", "convert", "a.csv", "--output-format", "parquet", "--row-group-bytes", "100000", "--partitions", "1"];
    let made = run(programs::kinglet().current_dir(dir.path()).args(parquet).args(["--output", "p"]));
    assert_eq!(made.code, Some(0), "{}", made.err);
    let size = fs::read_dir(dir.path().join("p")).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).max();
    let (rows, read) = printed(dir.path(), &["2", "p/part-*.parquet", "--columns", "n", "--where", "n >= 100000"]);
    assert_eq!(rows, "{\"n\":100000}\n{\"n\":100001}\n");
    assert!(read < size.unwrap() / 2, "{read} of {size:?}");
}

#[test]
fn what_cannot_be_printed_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    write("a.csv", b"id,text\n1,a\n");
    write("b.csv", b"text,id\nb,2\n");
    write("a.zip", b"PK\x03\x04");
    write("bad.jsonl", b"{}\n{no\n");
    let ran = head(dir.path(), &["2", "a.csv", "b.csv"]);
    assert_eq!((ran.code, &ran.out[..]), (Some(1), "id,text\n1,a\n"));
    assert!(ran.err.contains("b.csv has another header than a.csv") && ran.err.contains("hint: "), "{}", ran.err);
    assert_eq!(printed(dir.path(), &["1", "a.csv", "b.csv"]).0, "id,text\n1,a\n");
    let ran = head(dir.path(), &["2", "bad.jsonl"]);
    assert_eq!((ran.code, &ran.out[..]), (Some(1), "{}\n"));
    assert!(ran.err.contains("reading bad.jsonl at byte 3"), "{}", ran.err);
    failed(&head(dir.path(), &["1", "none.csv"]), &["none.csv"]);
    failed(&head(dir.path(), &["1", "*.json"]), &["nothing is at *.json"]);
    failed(&head(dir.path(), &["1", "a.zip"]), &["a.zip"]);
    failed(&head(dir.path(), &["1", "a.csv", "bad.jsonl"]), &["csv and json-lines"]);
    failed(&head(dir.path(), &["1", "a.csv", "--format", "parquet"]), &["a.csv", "PAR1"]);
    failed(&head(dir.path(), &["1", "a.csv", "--format", "parquet", "--input-compression", "gzip"]), &["as a whole"]);
    assert_eq!(head(dir.path(), &["many", "a.csv"]).code, Some(2));
    // A reader that has enough ends it.
    let many: String = (0..1_000_000).map(|n| format!("{n}\n")).collect();
    write("many.txt", many.as_bytes());
    let script = "set -o pipefail; \"$0\" head 1000000 many.txt | head -2";
    let ran =
        run(Command::new("bash").current_dir(dir.path()).args(["-c", script]).arg(programs::kinglet().get_program()));
    assert_eq!((ran.code, &ran.out[..]), (Some(0), "0\n1\n"), "{}", ran.err);
}

#[tokio::test]
async fn a_program_takes_rows_until_it_has_enough() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..3_000_000).map(|n| format!("{n}\n")).collect();
    fs::write(dir.path().join("a.txt"), &lines).unwrap();
    let driver = driver(|local| local).await;
    let input = Submit::new([dir.path().to_str().unwrap()], "");
    let mut head = driver.head(&input, RowFormat::Lines, u64::MAX).await.unwrap();
    for n in 0..10 {
        assert_eq!(head.next().await.unwrap(), Some(n.to_string().into_bytes()));
    }
    // What waits is bounded, so a reader that stops taking stops the reading.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(head.bytes_read() < 1 << 20, "{}", head.bytes_read());
    drop(head);
    let missing = driver.head(&Submit::new([dir.path().join("none").to_str().unwrap()], ""), RowFormat::Lines, 1).await;
    assert!(missing.unwrap_err().is(Code::InputMissing));
    driver.close().await;
}
