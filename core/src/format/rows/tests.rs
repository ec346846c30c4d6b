use super::*;
use crate::check_format;
use proptest::prelude::*;

fn all(bytes: &[u8]) -> FirstBytes<'_> {
    FirstBytes { bytes, is_all: true, object: "it" }
}

fn shown(format: RowFormat, object: &[u8]) -> Vec<String> {
    let rows = Rows(format);
    let rows = first_rows(&rows, all(object), 100).unwrap();
    rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect()
}

fn csv() -> RowFormat {
    RowFormat::Csv(CsvDialect::new())
}

#[test]
fn a_field_is_what_it_is_written_as() {
    let of = |text: &'static str| Datum::of_field(text.as_bytes().into());
    let text = |text: &'static str| Datum::Text(text.into());
    for (field, want) in [
        ("", Datum::Null),
        ("true", Datum::Bool(true)),
        ("0", Datum::Int(0)),
        ("-12", Datum::Int(-12)),
        ("9223372036854775807", Datum::Int(i64::MAX)),
        ("9223372036854775808", Datum::Decimal("9223372036854775808".into())),
        ("1.50", Datum::Float(1.5)),
        ("-2e3", Datum::Float(-2000.0)),
    ] {
        assert_eq!(of(field), want, "{field}");
    }
    for field in ["007", "+1", "1_000", "NaN", "inf", "1e999", "-", ".5", "5.", "True", " 1", "0x10", "1e", "--1"] {
        assert_eq!(of(field), text(field), "{field}");
    }
    assert_eq!(Datum::of_field(b"\xff"[..].into()), Datum::Bytes(b"\xff"[..].into()));
}

#[test]
fn rows_have_the_names_of_their_format() {
    assert_eq!(shown(csv(), b"a,b\n1,\"x\"\"y\"\n,z\n"), [r#"{"a":1,"b":"x\"y"}"#, r#"{"a":null,"b":"z"}"#]);
    assert_eq!(shown(RowFormat::Csv(CsvDialect::tsv().without_head()), b"1\tx\n"), [r#"{"1":1,"2":"x"}"#]);
    assert_eq!(shown(RowFormat::Lines, b"a b\r\n\n"), [r#"{"line":"a b"}"#, r#"{"line":""}"#]);
    let json = br#"{"a": [1, 2.5, null], "b": {"c": 18446744073709551615}}
"text""#;
    assert_eq!(
        shown(RowFormat::JsonLines, json),
        [r#"{"a":[1,2.5,null],"b":{"c":"18446744073709551615"}}"#, r#"{"value":"text"}"#]
    );
    let twice = Rows(RowFormat::JsonLines);
    let twice = first_rows(&twice, all(b"{\"a\": 1}\n{\"a\": 1, \"a\": 2}"), 9).unwrap_err();
    assert!(
        twice.to_string().contains("it at byte 9") && twice.to_string().contains("two values are called"),
        "{twice}"
    );
}

#[test]
fn the_names_of_columns_are_not_copied_for_every_row() {
    for (dialect, object) in
        [(CsvDialect::new(), &b"a,\"b c\"\n1,2\n3,4\n"[..]), (CsvDialect::new().without_head(), b"1,2\n")]
    {
        let rows = Rows(RowFormat::Csv(dialect));
        for row in first_rows(&rows, all(object), 9).unwrap() {
            assert!(row.fields.iter().all(|field| matches!(field.name, std::borrow::Cow::Borrowed(_))), "{row:?}");
        }
    }
}

#[test]
fn of_a_part_of_an_object_only_whole_rows_are_read() {
    let rows = Rows(csv());
    let read = |bytes, whole, limit| {
        first_rows(&rows, FirstBytes { is_all: whole, ..all(bytes) }, limit).map(|rows| rows.len())
    };
    assert_eq!(read(b"a,b\n1,2\n3,\"4\n5\",6", false, 9), Ok(1));
    assert_eq!(read(b"a,b\n1,2\n3,4", true, 9), Ok(2));
    assert_eq!(read(b"a,b\n1,2\n3,4\nwrong\n", true, 2), Ok(2));
    assert!(read(b"a,b\n1,2\n3,4\nwrong\n", true, 3).is_err());
    assert_eq!(read(b"a,b", false, 3), Ok(0));
}

#[test]
fn raw_rows_are_checked() {
    let read = |format, bytes| {
        let read = RawRows(format).for_each(crate::format::extent(bytes), |_, _| Ok(()));
        read.map_err(|e| e.take_place().0)
    };
    assert_eq!(read(RowFormat::JsonLines, b"{\"a\": \"\xff\"}"), Err(0));
    assert_eq!(read(RowFormat::JsonLines, b"{}\n{\"a\": NaN}"), Err(3));
    assert_eq!(read(RowFormat::JsonLines, b"{}\n\n[1, \"\xc3\xa4\"]"), Ok(2));
    assert_eq!(read(csv(), b"a,b\n1,2\n3\n"), Err(8));
    assert_eq!(read(RowFormat::Lines, b"\xff\n\n"), Ok(2));
}

#[test]
fn a_schema_takes_all_rows() {
    let schema = |format: RowFormat, object: &[u8]| {
        let rows = Rows(format);
        let mut schema = Schema::default();
        for (n, row) in (0..).zip(first_rows(&rows, all(object), 100).unwrap()) {
            schema.add(&row.fields, n);
        }
        schema.columns.iter().map(Column::to_string).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        schema(csv(), b"a,b,c,d,e\n1,1,x,true,\n2.5,9223372036854775808,1,1,\n"),
        "a: float, b: decimal, c: text, d: text, e: null?"
    );
    assert_eq!(schema(csv(), b"a,b\n1,\xff\n,x\n"), "a: int?, b: bytes");
    let json = b"{\"a\": [1, null], \"s\": {\"x\": 1}}\n{\"a\": [2.5], \"s\": {\"x\": null, \"y\": []}}\n{\"s\": {\"x\": 2}, \"z\": 1}";
    assert_eq!(schema(RowFormat::JsonLines, json), "a: list of float?, s: {x: int?, y: list of null?}, z: int?");
}

#[test]
fn a_name_says_the_format_whatever_it_is_packed_by() {
    for (name, format) in [
        ("s3://b/x.csv", "csv"),
        ("a/b.CSV.gz", "csv"),
        ("x.tsv.zst", "tsv"),
        ("x.jsonl", "json-lines"),
        ("x.ndjson.bz2", "json-lines"),
        ("x.txt", "lines"),
        ("csv", "lines"),
        ("a.csv/x", "lines"),
        ("x.gz", "lines"),
    ] {
        assert_eq!(RowFormat::named(name).name(), format, "{name}");
    }
}

proptest! {
    #[test]
    fn rows_keep_the_laws_of_formats(
        values: Vec<(u8, String, Option<f32>)>, cuts in proptest::collection::vec(0usize..90, 0..5), block_bytes in 1usize..20,
    ) {
        let json: String = values.iter().map(|value| serde_json::to_string(value).unwrap() + "\r\n").collect();
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let csv_text: String =
            values.iter().map(|(n, text, f)| format!("{n},{},{}\n", quoted(text), f.unwrap_or_default())).collect();
        for (format, object) in [
            (RowFormat::JsonLines, json.clone()),
            (RowFormat::Lines, json),
            (csv(), format!("a,b,c\n{csv_text}")),
        ] {
            check_format(Rows(format.clone()), object.as_bytes(), &cuts, block_bytes, |row| format!("{row:?}"));
            check_format(RawRows(format), object.as_bytes(), &cuts, block_bytes, |row| row.to_vec());
        }
    }
}

#[test]
fn values_in_an_objects_path_are_columns_of_its_rows() {
    let path = "s3://b/year=2026/city=S%C3%A3o/day=__HIVE_DEFAULT_PARTITION__/x=07/a.csv";
    let shown = |format: RowFormat, object: &[u8]| {
        let rows = Rows(format);
        let first = FirstBytes { bytes: object, is_all: true, object: path };
        let rows = first_rows(&rows, first, 9).unwrap();
        rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect::<Vec<_>>()
    };
    let columns = r#""year":2026,"city":"São","day":null,"x":"07"}"#;
    assert_eq!(shown(csv(), b"a\n1\n2\n"), [format!("{{\"a\":1,{columns}"), format!("{{\"a\":2,{columns}")]);
    assert_eq!(shown(RowFormat::Lines, b"l\n"), [format!("{{\"line\":\"l\",{columns}")]);
    // In place of what the row says itself.
    assert_eq!(shown(csv(), b"x,year\n1,1999\n"), [r#"{"x":"07","year":2026,"city":"São","day":null}"#]);
    let json = br#"{"day": 3}"#;
    assert_eq!(shown(RowFormat::JsonLines, json), [r#"{"day":null,"year":2026,"city":"São","x":"07"}"#]);
}
