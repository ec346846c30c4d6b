//! CSV and JSON lines with the whole system: the same rows whatever the splits, pieces and codecs, and the rows that Python reads; what
//! is wrong is named with its place.

use crate::programs;
use crate::support::{failed, job, nothing_published, only_part, run};
use kinglet::{Code, CsvDialect, CsvFields, Extent, Format, JsonLines, Manifest, Side};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs a job that must succeed, and returns its one part and its manifest.
#[track_caller]
fn part(dir: &Path, args: &[&str]) -> (String, Manifest) {
    let ran = job(dir, args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    let manifest = serde_json::from_slice(&fs::read(dir.join("out/_manifest.json")).unwrap()).unwrap();
    (String::from_utf8(only_part(&dir.join("out"))).unwrap(), manifest)
}

/// Rows, every third of which has line feeds in quotes, and some of which have delimiters and quotes.
fn rows(count: usize) -> Vec<String> {
    let row = |n: usize| match n % 6 {
        0 => format!("{n},\"two\nlines, and \"\"quotes\"\"\",{}", n * 7),
        1 => format!("{n},plain text,\"{n}\""),
        2 => format!("{n},,"),
        3 => format!("{n},\"\n\",\",\""),
        4 => format!("\"{n}\",\"a,b\",é"),
        _ => format!("{n},{},x", "long ".repeat(n % 40)),
    };
    (0..count).map(row).collect()
}

const PLACES: [&[&str]; 5] = [
    &["--split-bytes", "50000"],
    &["--split-bytes", "3000000"],
    &["--split-bytes", "77777", "--whole-objects"],
    &["--split-bytes", "31000", "--concurrency", "3"],
    &["--split-bytes", "5000"],
];

#[test]
fn csv_has_the_same_rows_in_all_splits() {
    let dir = tempfile::tempdir().unwrap();
    let all = rows(9_000);
    for (name, mark, end) in [("a.csv", "", "\n"), ("b.csv", "\u{feff}", "\r\n")] {
        let text = format!("{mark}id,text,more{end}{}{end}", all.join(end));
        fs::write(dir.path().join(name), text).unwrap();
    }
    let want: String = [&all[..], &all].concat().iter().map(|row| format!("{row}\n")).collect();
    for place in PLACES {
        let (got, manifest) = part(dir.path(), &[&["cat", "a.csv", "b.csv"], place].concat());
        assert!(got == want, "{place:?}: the rows differ");
        assert_eq!((manifest.records, manifest.objects), (18_000, 2));
        let splits = manifest.splits.iter().filter(|split| split.ranges.iter().any(|(name, ..)| name == "a.csv"));
        let whole = place.contains(&"--whole-objects") || place.contains(&"3000000");
        assert_eq!(splits.count() > 1, !whole, "{place:?}");
    }
    let counted = part(dir.path(), &["count", "a.csv", "--matching", "quotes", "--split-bytes", "9000"]).0;
    assert_eq!(counted, "1500\n");
    let ran = job(dir.path(), &["count", "a.csv", "b.csv", "--by-file", "--partitions", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(only_part(&dir.path().join("out")), b"a.csv\t9000\nb.csv\t9000\n");
    // What a row is depends on what it is taken for.
    let lines = part(dir.path(), &["count", "a.csv", "--format", "lines"]).0;
    assert_eq!(lines, format!("{}\n", fs::read_to_string(dir.path().join("a.csv")).unwrap().lines().count()));
}

#[test]
fn compressed_csv_and_json_lines_have_the_rows_of_the_plain_files() {
    let dir = tempfile::tempdir().unwrap();
    let script = "import bz2, gzip, json\n\
        rows = ['%d,\"two\\nlines %d\",x' % (n, n * n) for n in range(20000)]\n\
        csv = 'id,text,more\\n' + '\\n'.join(rows)\n\
        open('a.csv', 'w').write(csv)\n\
        open('a.csv.bz2', 'wb').write(bz2.compress(csv.encode(), 1))\n\
        open('a.csv.gz', 'wb').write(gzip.compress(csv.encode()))\n\
        lines = '\\n'.join(json.dumps({'id': n, 'text': 'a\\n' * (n % 5)}) for n in range(20000))\n\
        open('a.jsonl', 'w').write(lines)\n\
        open('a.jsonl.bz2', 'wb').write(bz2.compress(lines.encode(), 1))\n";
    match Command::new("python3").current_dir(dir.path()).args(["-c", script]).status() {
        Ok(status) => assert!(status.success()),
        Err(error) => return println!("skipped: no python3 ({error})"),
    }
    for (name, packed) in [("a.csv", &["a.csv.bz2", "a.csv.gz"][..]), ("a.jsonl", &["a.jsonl.bz2"])] {
        let plain = part(dir.path(), &["cat", name, "--split-bytes", "40000"]).0;
        for packed in packed {
            assert!(part(dir.path(), &["cat", packed, "--split-bytes", "40000"]).0 == plain, "{packed}");
        }
        assert_eq!(part(dir.path(), &["count", name, packed[0], "--split-bytes", "10000"]).0, "40000\n");
    }
}

#[test]
fn splits_that_begin_within_a_long_field_are_read_again_and_no_row_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    // More than a split looks at: a field whose lines look like rows, or like none.
    for (name, line) in [("rows.csv", "7,inside\n"), ("lines.csv", "inside\n"), ("fields.csv", "1,2,3,4,5\n")] {
        let field = line.repeat(2_800_000 / line.len());
        let text = format!("id,text\n1,first\n2,\"{field}\"\n3,\"last\"\n{}", "4,more\n".repeat(20_000));
        fs::write(dir.path().join(name), &text).unwrap();
        let whole = part(dir.path(), &["cat", name, "--whole-objects"]);
        assert_eq!((whole.1.records, whole.1.splits.len(), &whole.0[8..]), (20_003, 1, &text[8 + 8..]), "{name}");
        // The last split within the field sees the end of it, or does not.
        for split_bytes in ["900000", "1400000"] {
            let (rows, manifest) = part(dir.path(), &["cat", name, "--split-bytes", split_bytes]);
            assert!(rows == whole.0, "{name} in splits of {split_bytes}: the rows differ");
            let planned = text.len().div_ceil(split_bytes.parse().unwrap()) as u32;
            let reread = manifest.splits.iter().filter(|split| split.task >= planned).count();
            assert_eq!((manifest.records, manifest.rejected), (20_003, 0), "{name}, {split_bytes}");
            // Where no row was found within the field, none was to be found.
            assert!(reread == 1 || reread == 0 && name != "rows.csv", "{name}, {split_bytes}: {reread}");
            let places: Vec<_> =
                manifest.splits.iter().flat_map(|split| &split.ranges).map(|(_, from, to)| (*from, *to)).collect();
            assert!(places.windows(2).all(|pair| pair[0].1 == pair[1].0), "{places:?}");
        }
        // What was no row where it was begun is none that is left out, either.
        let left = part(dir.path(), &["count", name, "--split-bytes", "900000", "--max-rejected", "100%"]);
        assert_eq!((&left.0[..], left.1.rejected, left.1.quarantine), ("20003\n", 0, None), "{name}");
    }
    fs::remove_dir_all(dir.path().join("out")).unwrap();
    // The row behind the field is wrong indeed.
    let text = format!("id,text\n2,\"{}\"\n3,4,5\n", "7,inside\n".repeat(320_000));
    fs::write(dir.path().join("wrong.csv"), &text).unwrap();
    let ran = job(dir.path(), &["count", "wrong.csv", "--split-bytes", "1400000"]);
    failed(&ran, &[&format!("wrong.csv at byte {}", text.len() - "3,4,5\n".len()), "3 fields"]);
    nothing_published(&dir.path().join("out"));
    let left = part(dir.path(), &["count", "wrong.csv", "--split-bytes", "1400000", "--max-rejected", "1"]);
    assert_eq!((&left.0[..], left.1.rejected), ("1\n", 1));
    // With text next to a quote, every split knows how it begins.
    let field = "7,inside\n and \"\"quoted\"\"\n".repeat(200_000);
    fs::write(dir.path().join("known.csv"), format!("id,text\n1,first\n2,\"{field}\"\n3,last\n")).unwrap();
    let known = part(dir.path(), &["count", "known.csv", "--split-bytes", "500000"]);
    assert_eq!((&known.0[..], known.1.records), ("3\n", 3));
    let lines = job(dir.path(), &["count", "rows.csv", "--no-quoted-newlines", "--split-bytes", "300000"]);
    // Both the first split and the last meet such a line, and either may be the first to say so.
    failed(&lines, &["rows.csv at byte", "opens with a \" that its line does not close"]);
}

#[test]
fn a_row_that_is_not_valid_is_named_with_its_object_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(dir.path().join(name), text).unwrap();
    let good: String = (0..5_000).map(|n| format!("{n},\"a\nb\"\n")).collect();
    let good_json: String = (0..5_000).map(|n| format!("{{\"id\": {n}}}\n")).collect();
    for (name, head, bad, says) in [
        ("many.csv", "x,y\n", &b"1,2,3\n"[..], "3 fields, and the head of its object has 2"),
        ("few.csv", "x,y\n", b"1\n", "1 fields, and the head of its object has 2"),
        ("open.csv", "x,y\n", b"1,\"never closed\n", "never closed"),
        ("quote.csv", "x,y\n", b"1,a\"b\"\n", "in text that is not quoted"),
    ] {
        write(name, &[head.as_bytes(), good.as_bytes(), bad].concat());
        let ran = job(dir.path(), &["count", name, "--split-bytes", "7000"]);
        failed(&ran, &[&format!("{name} at byte {}", head.len() + good.len()), says]);
        nothing_published(&dir.path().join("out"));
    }
    for (name, bad, says) in [
        ("nan.jsonl", &b"{\"id\": NaN}\n"[..], "expected value"),
        ("utf8.jsonl", b"{\"id\": \"\xff\"}\n", "unicode"),
        ("cut.jsonl", b"{\"id\": 1", "EOF"),
    ] {
        write(name, &[good_json.as_bytes(), bad, b"\n{}"].concat());
        let ran = job(dir.path(), &["count", name, "--split-bytes", "7000"]);
        failed(&ran, &[&format!("{name} at byte {}", good_json.len()), says]);
    }
    let refused = job(dir.path(), &["grep", "a(", "many.csv"]);
    failed(&refused, &["\"a(\" is no regular expression"]);
    let mixed = job(dir.path(), &["count", "many.csv", "nan.jsonl"]);
    failed(&mixed, &["csv and json-lines"]);
    assert!(Code::of("record-invalid").is_some());
}

#[test]
fn rows_are_found_with_their_places() {
    let dir = tempfile::tempdir().unwrap();
    let text = "id,text\n1,\"one\nPerth\"\n2,two\n3,\"PERTH\"\n";
    fs::write(dir.path().join("a.csv"), text).unwrap();
    let found = part(dir.path(), &["grep", "perth", "a.csv", "--ignore-case", "--partitions", "1"]).0;
    assert_eq!(found, "a.csv\t8\t1,\"one\nPerth\"\na.csv\t28\t3,\"PERTH\"\n");
    let others = part(dir.path(), &["grep", "(?i)perth", "a.csv", "--invert", "--partitions", "1"]).0;
    assert_eq!(others, "a.csv\t22\t2,two\n");
    assert_eq!(part(dir.path(), &["count", "a.csv", "--matching", "nowhere"]).0, "0\n");
}

#[test]
fn a_look_shows_what_a_file_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), "id,text\n1,\"one\ntwo\"\n2.5,\n").unwrap();
    let look = |args: &[&str]| run(programs::kinglet().current_dir(dir.path()).arg("look").args(args));
    let seen = look(&["a.csv"]);
    assert_eq!((seen.code, &seen.err[..]), (Some(0), ""));
    let want = "file       25 bytes\n\
        packed by  none\n\
        format     csv\n\
        split      anywhere, between two rows; where one starts is guessed in the middle of an object, and proved\n\
        columns    id: float\n           text: text?\n\nid\ttext\n1\tone\\ntwo\n2.5\t\n";
    assert_eq!(seen.out, want);
    let json: serde_json::Value = serde_json::from_str(&look(&["a.csv", "--json", "--rows", "1"]).out).unwrap();
    assert_eq!((&json["rows"][0]["text"], &json["schema"]["columns"][0]["type"]), (&"one\ntwo".into(), &"int".into()));
    failed(&look(&["none.csv"]), &["none.csv"]);
    failed(&look(&["s3://b/k"]), &["no stack is named"]);
    failed(&look(&["a.csv", "--format", "json-lines"]), &["a.csv at byte 0"]);
    failed(&look(&["a.csv", "--format", "lines", "--no-header"]), &["the input is lines"]);
}

/// Files that Python has made at random, and the rows that its own readers find in them.
#[test]
fn rows_are_those_that_python_reads() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"
import csv, io, json, random
r = random.Random(7)
def field():
    return ''.join(r.choice(['a', 'b', ',', '"', '\n', '\r\n', ' ', 'é', ';', '']) for _ in range(r.randrange(6)))
cases = []
for n in range(400):
    columns = r.randrange(1, 4)
    rows = [[field() for _ in range(columns)] for _ in range(r.randrange(6))]
    out = io.StringIO(newline='')
    quoting = r.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    csv.writer(out, quoting=quoting, lineterminator=r.choice(['\n', '\r\n'])).writerows(rows)
    text = out.getvalue()
    read = [row for row in csv.reader(io.StringIO(text, newline=''), strict=True) if row]
    cases.append({'text': text, 'rows': read})
def value(depth):
    kind = r.randrange(8 if depth else 6)
    return [None, True, r.randrange(-2**63, 2**64), r.uniform(-1e9, 1e9) * 10 ** r.randrange(-200, 200), field(), r.random(),
            [value(depth - 1) for _ in range(r.randrange(3))] if depth else None,
            {field(): value(depth - 1) for _ in range(r.randrange(3))} if depth else None][kind]
lines = [json.dumps(value(3), ensure_ascii=r.random() < 0.5) for _ in range(2000)]
open('csv.json', 'w').write(json.dumps(cases))
open('lines.jsonl', 'w', newline='').write('\r\n'.join(lines))
open('lines.json', 'w').write(json.dumps([json.loads(line) for line in lines]))
"#;
    match Command::new("python3").current_dir(dir.path()).args(["-c", script]).status() {
        Ok(status) => assert!(status.success()),
        Err(error) => return println!("skipped: no python3 ({error})"),
    }
    #[derive(serde::Deserialize)]
    struct Case {
        text: String,
        rows: Vec<Vec<String>>,
    }
    let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
    let extent = |bytes| Extent { bytes, offset: 0, head: &[], object: "it", side: Side::Left };
    let cases: Vec<Case> = serde_json::from_slice(&read("csv.json")).unwrap();
    for case in &cases {
        let (format, mut rows) = (CsvFields::new(CsvDialect::new().without_head()), vec![]);
        let read = format.for_each(extent(case.text.as_bytes()), |_, row| {
            rows.push(row.fields().map(|field| String::from_utf8(field.into_owned()).unwrap()).collect::<Vec<_>>());
            Ok(())
        });
        read.unwrap_or_else(|e| panic!("{:?}: {e}", case.text));
        assert_eq!(rows, case.rows, "{:?}", case.text);
    }
    let (lines, mut values) = (read("lines.jsonl"), vec![]);
    let format = JsonLines::<serde_json::Value>::default();
    format
        .for_each(extent(&lines), |_, value| {
            values.push(value);
            Ok(())
        })
        .unwrap();
    let want: Vec<serde_json::Value> = serde_json::from_slice(&read("lines.json")).unwrap();
    assert_eq!((cases.len(), values.len()), (400, 2000));
    assert_eq!(values, want);
}

/// Runs a job that must succeed, and returns its manifest.
#[track_caller]
fn manifest(dir: &Path, args: &[&str]) -> Manifest {
    let ran = job(dir, args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    serde_json::from_slice(&fs::read(dir.join("out/_manifest.json")).unwrap()).unwrap()
}

/// The rows of an output that is one part of Parquet; bytes are lists.
fn rows_of_parquet(dir: &Path) -> Vec<serde_json::Value> {
    let ran = run(programs::kinglet().current_dir(dir).args(["head", "1000000", "out/part-*.parquet"]));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn records_of_a_fixed_length_are_rows() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    // All bytes, line feeds and quotes among them.
    let record = |n: usize| -> Vec<u8> { (0..100).map(|at| (n * 7 + at * (n % 11 + 1)) as u8).collect() };
    let records: Vec<_> = (0..10_000).map(record).collect();
    write("a.bin", &records.concat());
    let packed = Command::new("gzip").arg("-k").arg("a.bin").current_dir(dir.path()).status();
    assert!(packed.is_ok_and(|packed| packed.success()));
    for place in PLACES {
        let counted = part(dir.path(), &[&["count", "a.bin", "a.bin.gz", "--format", "fixed:100"], place].concat());
        assert_eq!(counted.0, "20000\n", "{place:?}");
    }
    let split = ["--format", "fixed:100", "--split-bytes", "7777", "--partitions", "1"];
    let got = manifest(
        dir.path(),
        &[&["convert", "a.bin", "--output-format", "parquet", "--types", "record bytes"], &split[..]].concat(),
    );
    assert!(got.splits.len() > 100);
    let rows =
        rows_of_parquet(dir.path()).into_iter().map(|row| serde_json::from_value(row["record"].clone()).unwrap());
    assert!(rows.collect::<Vec<Vec<u8>>>() == records);
    // Records with a line feed in their first two bytes.
    let fed = records.iter().filter(|record| record[..2].contains(&b'\n')).count();
    let args = ["count", "a.bin", "--matching", r"(?s-u)\A.?\n", "--format", "fixed:100"];
    assert_eq!(part(dir.path(), &args).0, format!("{fed}\n"));
    write("bad.bin", &[b'x'; 250]);
    let bad = ["bad.bin at byte 200", "50 of 100 bytes"];
    failed(&job(dir.path(), &["count", "bad.bin", "--format", "fixed:100"]), &bad);
    let head = run(programs::kinglet().current_dir(dir.path()).args(["head", "3", "bad.bin", "--format", "fixed:100"]));
    assert_eq!((head.code, head.out), (Some(1), format!("{0}\n{0}\n", "x".repeat(100))));
    assert!(bad.iter().all(|says| head.err.contains(says)), "{}", head.err);
    let look = |args: &[&str]| run(programs::kinglet().current_dir(dir.path()).arg("look").args(args));
    let seen = look(&["bad.bin", "--format", "fixed:50"]);
    assert!(seen.out.contains("columns    record: bytes") && seen.out.contains("format     fixed"), "{seen:?}");
    failed(&look(&["bad.bin", "--format", "fixed:100"]), &["bad.bin at byte 200", "50 of 100 bytes"]);
    for wrong in ["fixed:0", "fixed:", "fixed:x", "fixed:99999999999", "fixed"] {
        assert_eq!(job(dir.path(), &["count", "a.bin", "--format", wrong]).code, Some(2), "{wrong}");
    }
    failed(&job(dir.path(), &["count", "a.bin", "--format", "fixed:100", "--no-header"]), &["the input is fixed"]);
    failed(&job(dir.path(), &["aggregate", "max(other)", "a.bin", "--format", "fixed:100"]), &["other", "record"]);
}

#[test]
fn a_whole_object_is_a_row() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    write("d/a.txt", b"one\ntwo");
    write("d/b.bin", &large);
    write("d/empty", b"");
    write("d/c.txt", b"\xff\n");
    let packed = Command::new("gzip").arg("d/c.txt").current_dir(dir.path()).status();
    assert!(packed.is_ok_and(|packed| packed.success()));
    let whole = ["--format", "whole", "--split-bytes", "100000", "--partitions", "1"];
    let manifest = manifest(dir.path(), &[&["convert", "d", "--output-format", "parquet"], &whole[..]].concat());
    let rows = rows_of_parquet(dir.path());
    let row = |name: &str, bytes: &[u8]| serde_json::json!({"name": name, "bytes": bytes});
    assert_eq!(rows.len(), 3);
    assert!(rows == [row("d/a.txt", b"one\ntwo"), row("d/b.bin", &large), row("d/c.txt.gz", b"\xff\n")]);
    // The large one is not cut.
    assert!(manifest.splits.len() <= 3 && manifest.records == 3, "{:?}", manifest.splits);
    assert_eq!(part(dir.path(), &["count", "d", "--matching", "two", "--format", "whole"]).0, "1\n");
    let names = ["distinct", "name", "d", "--format", "whole", "--partitions", "1"];
    assert_eq!(part(dir.path(), &names).0, "d/a.txt\nd/b.bin\nd/c.txt.gz\n");
    let ran =
        job(dir.path(), &["convert", "d", "--format", "whole", "--output-format", "parquet", "--partitions", "1"]);
    assert!(ran.code == Some(0) && ran.err.contains("types: name text, bytes bytes"), "{}", ran.err);
    let seen = run(programs::kinglet().current_dir(dir.path()).args(["look", "d/a.txt", "--format", "whole"]));
    assert!(seen.out.contains("split      nowhere: it is one row"), "{seen:?}");
    failed(&job(dir.path(), &["distinct", "size", "d", "--format", "whole"]), &["size", "name, bytes"]);
}

/// An Avro file of one column `n` with these small numbers.
fn avro(numbers: &[u8]) -> Vec<u8> {
    let schema = br#"{"type":"record","name":"R","fields":[{"name":"n","type":"long"}]}"#;
    let marker = [7; 16];
    let twice = |number: usize| u8::try_from(2 * number).unwrap();
    let mut file = b"Obj\x01\x02\x16avro.schema".to_vec();
    file.extend_from_slice(&[twice(schema.len()) | 0x80, 1]);
    file.extend_from_slice(schema);
    file.push(0);
    file.extend_from_slice(&marker);
    file.extend_from_slice(&[twice(numbers.len()), twice(numbers.len())]);
    file.extend(numbers.iter().map(|number| twice(usize::from(*number))));
    file.extend_from_slice(&marker);
    file
}

#[test]
fn the_format_of_a_folder_is_what_its_files_say() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let count = |args: &[&str]| part(dir.path(), &[&["count"], args].concat()).0;
    write("sales/day=1/a.csv", b"id,text\n1,\"one\ntwo\"\n");
    write("sales/day=2/b.csv.gz", b"");
    write("sales/day=2/c.CSV", b"id,text\n2,x\n");
    write("sales/_SUCCESS", b"");
    write("sales/.part.crc", b"x");
    assert_eq!(count(&["sales"]), "2\n");
    assert_eq!(count(&["sales/**/*"]), "2\n");
    assert_eq!(count(&["sales/**/*", "--where-path", "day=2"]), "1\n");
    write("list.txt", format!("{}\n", dir.path().join("sales/day=1/a.csv").display()).as_bytes());
    assert_eq!(count(&["--input-list", "list.txt"]), "1\n");
    // What is said counts: these are lines.
    assert_eq!(count(&["sales", "--format", "lines"]), "5\n");
    // By first bytes, where names say nothing.
    let parquet = ["run", "convert", "sales", "--output-format", "parquet", "--partitions", "1", "--output", "made"];
    let made = run(programs::kinglet().current_dir(dir.path()).args(parquet));
    assert!(made.code == Some(0) && made.err.contains("format: csv\n"), "{}", made.err);
    let mut parts = fs::read_dir(dir.path().join("made")).unwrap().map(|file| file.unwrap().path());
    let made =
        fs::read(parts.find(|path| path.extension().is_some_and(|ending| ending == "parquet")).unwrap()).unwrap();
    assert_eq!(count(&["made"]), "2\n");
    write("bare/part-0", &made);
    write("bare/x.data", &made);
    assert_eq!(count(&["bare"]), "4\n");
    write("avro/part-0", &avro(&[1, 2, 3]));
    write("avro/b.avro", &avro(&[4]));
    assert_eq!(count(&["avro/"]), "4\n");
    let sums = part(dir.path(), &["aggregate", "sum(n)", "avro"]).0;
    assert_eq!(sums, "10\n");
    let head = run(programs::kinglet().current_dir(dir.path()).args(["head", "2", "avro"]));
    assert_eq!(head.out, "{\"n\":4}\n{\"n\":1}\n");
    write("logs/web", b"a\nb,c\n");
    write("logs/app.out", b"d\n");
    assert_eq!(count(&["logs"]), "3\n");

    // A folder of several says which is which.
    write("sales/d.parquet", &made);
    write("sales/e", &avro(&[1]));
    let mixed = job(dir.path(), &["count", "sales"]);
    let says =
        ["2 are csv, such as sales/day=1/a.csv", "1 is parquet, such as sales/d.parquet", "1 is avro, such as sales/e"];
    failed(&mixed, &says);
    assert!(mixed.err.contains("--format"), "{}", mixed.err);
    nothing_published(&dir.path().join("out2"));
    failed(&job(dir.path(), &["sort", "sales", "--by", "id"]), &["of several formats"]);
    assert_eq!(count(&["sales/**/*.csv", "sales/**/*.CSV"]), "2\n");
    fs::create_dir(dir.path().join("nothing")).unwrap();
    failed(&job(dir.path(), &["count", "nothing"]), &["nothing is at nothing"]);
    // Options are still checked against what was found.
    failed(&job(dir.path(), &["count", "avro", "--no-header"]), &["the input is avro"]);
}
