use super::*;
use crate::codecs::Codec;
use crate::format::{CsvDialect, DataRow, Datum, FirstBytes, Named, RowFormat, Rows, SerdeRow, first_rows};
use proptest::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

fn write<R: Row>(format: &OutputFormat, records: &[R]) -> Result<Vec<u8>> {
    let (mut writer, mut out) = (RowWriter::new(format, &OpenTyped::default())?, Vec::new());
    for record in records {
        writer.push(record, &mut out)?;
    }
    writer.finish(&mut out)?;
    Ok(out)
}

fn text<R: Row>(format: &OutputFormat, records: &[R]) -> String {
    String::from_utf8(write(format, records).unwrap()).unwrap()
}

fn code<R: Row>(format: &OutputFormat, records: &[R]) -> String {
    write(format, records).unwrap_err().code().to_owned()
}

#[derive(Serialize)]
struct Total {
    town: &'static str,
    cents: Option<i64>,
    share: f64,
}

impl SerdeRow for Total {}

const TOTALS: [Total; 3] = [
    Total { town: "Perth", cents: Some(250), share: 1.0 },
    Total { town: "Newcastle, \"NSW\"\r\n", cents: None, share: 1e300 },
    Total { town: "", cents: Some(-1), share: 0.1 },
];

#[test]
fn records_are_written_in_every_format() {
    assert_eq!(text(&OutputFormat::text(), &TOTALS[..1]), "Perth\t250\t1\n");
    let csv = "town,cents,share\nPerth,250,1.0\n\"Newcastle, \"\"NSW\"\"\r\n\",,1e+300\n\"\",-1,0.1\n";
    assert_eq!(text(&OutputFormat::csv(), &TOTALS), csv);
    assert_eq!(text(&OutputFormat::csv().without_head().with_delimiter(b';'), &TOTALS[..1]), "Perth;250;1.0\n");
    assert_eq!(text(&OutputFormat::tsv(), &TOTALS[..1]), "town\tcents\tshare\nPerth\t250\t1.0\n");
    let json = "{\"town\":\"Newcastle, \\\"NSW\\\"\\r\\n\",\"cents\":null,\"share\":1e+300}\n";
    assert_eq!(text(&OutputFormat::json_lines(), &TOTALS[1..2]), json);
    let words = [(b"a".to_vec(), 2u64), (b"b,".to_vec(), u64::MAX)];
    assert_eq!(text(&OutputFormat::csv(), &words), "1,2\na,2\n\"b,\",18446744073709551615\n");
    assert_eq!(text(&OutputFormat::json_lines(), &words), "[\"a\",2]\n[\"b,\",18446744073709551615]\n");
    assert_eq!(text(&OutputFormat::json_lines(), &["x".to_owned()]), "\"x\"\n");
    let named = OutputFormat::json_lines().with_columns(["word", "count"]);
    assert_eq!(text(&named, &words[..1]), "{\"word\":\"a\",\"count\":2}\n");
    let named = OutputFormat::csv().with_columns(["word", "how,many"]);
    assert_eq!(text(&named, &words[..1]), "word,\"how,many\"\na,2\n");
}

#[test]
fn a_part_without_records_has_the_head_that_is_known() {
    let none: [(u8, u8); 0] = [];
    assert_eq!(text(&OutputFormat::csv(), &none), "");
    assert_eq!(text(&OutputFormat::csv().with_columns(["a", "b"]), &none), "a,b\n");
    assert_eq!(text(&OutputFormat::csv().with_columns(["a", "b"]).without_head(), &none), "");
    assert_eq!(text(&OutputFormat::json_lines().with_columns(["a"]), &none), "");
}

#[test]
fn a_row_of_one_column_is_never_an_empty_line() {
    let rows = [Some("a"), None, Some("")].map(|value| ("x".to_owned(), value.unwrap_or_default().to_owned()));
    assert_eq!(text(&OutputFormat::csv().without_head(), &rows), "x,a\nx,\"\"\nx,\"\"\n");
    assert_eq!(text(&OutputFormat::csv().without_head(), &[(), ()]), "\"\"\n\"\"\n");
}

type Map = BTreeMap<&'static str, i32>;

#[derive(Serialize)]
struct Keyed(Map);

impl SerdeRow for Keyed {}

fn keyed<const N: usize>(fields: [(&'static str, i32); N]) -> Keyed {
    Keyed(fields.into())
}

#[test]
fn all_records_of_a_part_have_the_columns_of_the_first_or_those_that_are_named() {
    let row = |fields: &[(&'static str, i64)]| DataRow {
        fields: fields.iter().map(|(name, n)| Named { name: (*name).into(), value: Datum::Int(*n) }).collect(),
    };
    let rows = [row(&[("a", 1), ("b", 2)]), row(&[("b", 3), ("a", 4)])];
    assert_eq!(text(&OutputFormat::csv(), &rows), "a,b\n1,2\n4,3\n");
    assert_eq!(text(&OutputFormat::csv().with_columns(["b", "a"]), &rows), "b,a\n2,1\n3,4\n");
    assert_eq!(code(&OutputFormat::csv(), &[keyed([("a", 1), ("b", 2)]), keyed([("a", 1)])]), "output-columns");
    assert_eq!(code(&OutputFormat::csv(), &[keyed([("a", 1)]), keyed([("a", 1), ("b", 2)])]), "output-columns");
    let named = OutputFormat::csv().with_columns(["c", "b", "a"]);
    assert_eq!(text(&named, &[keyed([("a", 1), ("b", 2)]), keyed([("c", 1)])]), "c,b,a\n,2,1\n1,,\n");
    assert_eq!(code(&named, &[keyed([("d", 1)])]), "output-columns");
    let json = OutputFormat::json_lines().with_columns(["c", "a"]);
    assert_eq!(text(&json, &[keyed([("a", 1)])]), "{\"c\":null,\"a\":1}\n");
    // JSON lines need no columns in common.
    assert_eq!(text(&OutputFormat::json_lines(), &[keyed([("a", 1)]), keyed([])]), "{\"a\":1}\n{}\n");
    assert_eq!(code(&OutputFormat::csv().with_columns(["a"]), &[(1, 2)]), "output-columns");
    let error = write(&named, &[keyed([("a", 1), ("d", 1)])]).unwrap_err();
    assert!(error.to_string().contains("a, d") && error.hint().unwrap().contains("--columns"), "{error}");
}

#[test]
fn what_json_has_no_value_for_is_an_error() {
    assert_eq!(text(&OutputFormat::csv().without_head(), &[(f64::NAN, f64::NEG_INFINITY)]), "NaN,-inf\n");
    assert_eq!(code(&OutputFormat::json_lines(), &[f64::NAN]), "output-value");
    assert_eq!(code(&OutputFormat::json_lines(), &[b"\xff".to_vec()]), "output-value");
    assert_eq!(write(&OutputFormat::csv().without_head(), &[b"\xff,".to_vec()]).unwrap(), b"\"\xff,\"\n");
    let odd = DataRow { fields: vec![Named { name: "a".into(), value: Datum::Decimal("twelve".into()) }] };
    assert_eq!(text(&OutputFormat::json_lines(), &[odd]), "{\"a\":\"twelve\"}\n");
}

#[test]
fn a_format_says_what_cannot_be_read_again() {
    let check = |format: OutputFormat| format.check().map_err(|e| e.code().to_owned());
    assert_eq!(check(OutputFormat::csv().with_delimiter(b'|').with_columns(["a", "b"])), Ok(()));
    for format in [
        OutputFormat::csv().with_delimiter(b'"'),
        OutputFormat::csv().with_delimiter(b'\n'),
        OutputFormat::csv().with_columns(["a", "b", "a"]),
        OutputFormat::text().with_columns(["a"]),
    ] {
        assert_eq!(check(format), Err("output-format".to_owned()));
    }
}

#[test]
fn columns_that_are_folders_are_some_of_the_outputs() {
    let refused = |format: OutputFormat, by: &[&str]| {
        let error = format.with_partition_by(by.iter().copied()).check().unwrap_err();
        assert!(error.is(Code::OutputFormat), "{error}");
        (error.to_string(), error.hint().unwrap().to_owned())
    };
    let (csv, json) = (|| OutputFormat::csv().with_columns(["Year", "month", "n"]), OutputFormat::json_lines);
    let parquet = || OutputFormat::parquet("a int, b int".parse().unwrap());
    for (format, by) in [(csv(), vec!["month", "Year"]), (json(), vec!["x"]), (parquet(), vec!["b"])] {
        let format = format.with_partition_by(by.clone());
        format.check().unwrap();
        let files = format.of_files();
        assert!(files.partition_by().is_empty() && files.check().is_ok());
        assert!(files.columns().iter().all(|column| !by.contains(&column.as_str())));
    }
    assert_eq!(csv().with_partition_by(["month"]).of_files().columns(), ["Year", "n"]);
    assert_eq!(parquet().with_partition_by(["b"]).of_files().typed().unwrap().types.to_string(), "a int");
    let (says, hint) = refused(csv(), &["yaer"]);
    assert!(
        says.contains("no column yaer") && says.contains("Year, month, n") && hint == "did you mean Year?",
        "{says} {hint}"
    );
    let (says, hint) = refused(parquet(), &["town"]);
    assert!(says.contains("no column town") && hint.contains("one of these"), "{says} {hint}");
    assert!(refused(json(), &["a", "b", "a"]).0.contains("\"a\" twice"));
    assert!(refused(csv(), &["Year", "n", "month"]).0.contains("nothing is left"));
    assert!(refused(parquet(), &["a", "b"]).0.contains("nothing is left"));
    let (says, hint) = refused(OutputFormat::text(), &["a"]);
    assert!(says.contains("text has no columns") && hint.contains("--output-format"), "{says} {hint}");
    assert!(refused(json(), &["a", ""]).0.contains("without a name"));
}

#[test]
fn names_of_parts_end_as_they_are_written() {
    for (format, ending) in [
        (OutputFormat::text(), ""),
        (OutputFormat::text().with_compression(Codec::Gzip), ".gz"),
        (OutputFormat::csv(), ".csv"),
        (OutputFormat::csv().with_delimiter(b';').with_compression(Codec::Zstd), ".csv.zst"),
        (OutputFormat::tsv(), ".tsv"),
        (OutputFormat::json_lines().with_compression(Codec::Bzip2), ".jsonl.bz2"),
        (OutputFormat::parquet("a int".parse().unwrap()), ".parquet"),
    ] {
        assert_eq!(format.ending(), ending);
        assert!(OutputFormat::is_ending(ending));
        // What is written is read by its name.
        let name = format!("part-00000-id{ending}");
        let read_as = if format.name() == "text" { "lines" } else { format.name() };
        assert_eq!(RowFormat::named(&name).name(), read_as);
        assert_eq!(Codec::named(&name).unwrap().unwrap_or(Codec::None), format.packing());
    }
    for ending in [".parquet.gz", ".csv.zip", ".txt", "csv", ".gz.csv", ".csv.csv"] {
        assert!(!OutputFormat::is_ending(ending), "{ending}");
    }
}

/// Values that a field of CSV can be.
fn field() -> impl Strategy<Value = Datum<'static>> {
    prop_oneof![
        Just(Datum::Null),
        any::<bool>().prop_map(Datum::Bool),
        any::<i64>().prop_map(Datum::Int),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Datum::Float),
        "[a-zé\",;\r\n\u{feff} ]{0,6}[x\",\r\n]".prop_map(|text| Datum::Text(text.into())),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same_rows(
        rows in proptest::collection::vec((field(), field()), 0..6), delimiter in proptest::sample::select(b",;\t15e-.".to_vec()),
    ) {
        let name = |at: usize| ["a", "b\",\r\n1"][at];
        let row = |values: [Datum<'static>; 2]| DataRow {
            fields: values.into_iter().enumerate().map(|(at, value)| Named { name: name(at).into(), value }).collect(),
        };
        let rows: Vec<_> = rows.into_iter().map(|(a, b)| row([a, b])).collect();
        for (format, read_by) in [
            (OutputFormat::csv().with_delimiter(delimiter), RowFormat::Csv(CsvDialect::new().with_delimiter(delimiter))),
            (OutputFormat::json_lines(), RowFormat::JsonLines),
        ] {
            let written = write(&format, &rows).unwrap();
            let read_by = Rows(read_by);
            let read = first_rows(&read_by, FirstBytes { bytes: &written, is_all: true, object: "it" }, 100).unwrap();
            prop_assert_eq!(&read, &rows, "{:?}", String::from_utf8_lossy(&written));
        }
    }
}
