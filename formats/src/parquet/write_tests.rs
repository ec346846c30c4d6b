use super::tests::{file, json};
use super::typed_writer;
use kinglet_core::{
    Agreed, Code, Codec, Columns, Datum, Named, OutputFormat, Result, Selection, TypedWriter, Types, cast_row,
};
use proptest::prelude::*;
use std::collections::HashMap;

/// The room of a function with the default memory.
const ROOM_BYTES: u64 = 350 << 20;

fn types(text: &str) -> Types {
    text.parse().unwrap()
}

/// Reads rows of JSON.
fn rows(text: &str) -> Vec<Vec<Named<'_>>> {
    let row = |line| match serde_json::from_str(line).unwrap() {
        Datum::Struct(fields) => fields,
        other => panic!("{other:?}"),
    };
    text.lines().map(row).collect()
}

fn push(writer: &mut dyn TypedWriter, row: Vec<Named<'_>>, types: &Types, out: &mut Vec<u8>) -> Result<()> {
    for (at, field) in cast_row(row, types)?.into_iter().enumerate() {
        writer.push(at, field.value)?;
    }
    writer.end_row(out)
}

fn write(format: &OutputFormat, rows: Vec<Vec<Named<'_>>>) -> Vec<u8> {
    let (mut writer, mut out) = (typed_writer(format, ROOM_BYTES).unwrap(), Vec::new());
    let types = format.typed().unwrap().types;
    rows.into_iter().for_each(|row| push(&mut *writer, row, types, &mut out).unwrap());
    writer.finish(&mut out).unwrap();
    out
}

fn read(bytes: Vec<u8>) -> Vec<serde_json::Value> {
    let rows = json(&bytes.into(), &Selection::default()).unwrap();
    rows.iter().map(|(_, row)| serde_json::from_str(row).unwrap()).collect()
}

#[test]
fn every_type_is_written_and_read_as_it_was() {
    let types = types(
        "b boolean, i8 tinyint, i16 smallint, i32 int, i64 bigint, u8 utinyint, u16 usmallint, u32 uint, u64 ubigint, f float, \
         d double, d9 decimal(9,2), d18 decimal(18,0), d38 decimal(38,10), t text, day date, c3 time(3), c6 time, c9 time(9), \
         at3 timestamp(3), at6 timestamp, at9 timestamp(9), z3 timestamptz(3), z6 timestamptz, z9 timestamptz(9), \"l i\" int[], \
         ll text[][], s struct<x bigint, y struct<z text[]>>, m map<text, double>, ls struct<a int>[], md map<date, decimal(4,2)[]>",
    );
    let full = r#"{"b":true,"i8":-128,"i16":32767,"i32":-2147483648,"i64":9223372036854775807,"u8":255,"u16":65535,"u32":4294967295,
        "u64":"18446744073709551615","f":0.5,"d":1e300,"d9":"1234567.89","d18":"-999999999999999999","d38":"-0.0000000001",
        "t":"ä\n","day":"0001-01-01","c3":"23:59:59.999","c6":"00:00:00","c9":"12:00:00.000000001","at3":"9999-12-31T23:59:59.999",
        "at6":"1969-12-31T23:59:59.999999","at9":"2026-11-22T06:30:00.000000001","z3":"2026-11-22T06:30:00Z",
        "z6":"2026-11-22T06:30:00.000001Z","z9":"2026-11-22T06:30:00Z","l i":[1,null,-3],"ll":[[],null,["a",null,""]],
        "s":{"x":null,"y":{"z":["q"]}},"m":[{"key":"","value":null},{"key":"k","value":-0.5}],"ls":[{"a":1},null,{"a":null}],
        "md":[{"key":"2026-11-22","value":["1.50",null]}]}"#
        .replace("\n        ", "");
    let nothing = format!("{{{}}}", types.names().map(|name| format!("\"{name}\":null")).collect::<Vec<_>>().join(","));
    let empty = r#"{"t":"","l i":[],"ll":[[]],"s":{"y":null},"m":[],"ls":[],"md":[]}"#;
    let text = [&full[..], &nothing, empty, &full].join("\n");
    let bytes = write(&OutputFormat::parquet(types.clone()), rows(&text));
    assert_eq!(file(&bytes).unwrap().types(&Columns::All).unwrap(), types);
    let back = read(bytes);
    let want: Vec<serde_json::Value> = [&full, &nothing].map(|row| serde_json::from_str(row).unwrap()).to_vec();
    assert_eq!(back[..2], want[..]);
    assert_eq!(back[3], want[0]);
    let of_empty: HashMap<_, _> = back[2].as_object().unwrap().iter().filter(|(_, value)| !value.is_null()).collect();
    assert_eq!(of_empty.len(), 7);
    assert_eq!(back[2]["s"], serde_json::json!({"x": null, "y": null}));
    assert_eq!(back[2]["t"], "");
}

fn numbered(count: i64) -> Vec<Vec<Named<'static>>> {
    let text = |n: i64| Datum::Text(format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)).repeat(3).into());
    let row = |n| vec![Named { name: "n".into(), value: Datum::Int(n) }, Named { name: "text".into(), value: text(n) }];
    (0..count).map(row).collect()
}

#[test]
fn row_groups_have_the_bytes_that_are_asked_for_and_statistics() {
    let format = OutputFormat::parquet(types("n bigint, text text")).with_row_group_bytes(300_000);
    let format = format.with_compression(Codec::None);
    let bytes = write(&format, numbered(40_000));
    let footer = file(&bytes).unwrap().about();
    let groups = &footer.row_groups;
    assert!(groups.len() > 4, "{groups:?}");
    assert!(groups[..groups.len() - 1].iter().all(|group| (200_000..600_000).contains(&group.bytes)), "{groups:?}");
    assert_eq!((footer.rows, groups.iter().map(|group| group.rows).sum()), (40_000, 40_000u64));
    let n = &footer.columns[0];
    assert_eq!((n.least.clone(), n.most.clone(), n.nulls), (Some(0.into()), Some(39_999.into()), Some(0)));
    assert!(footer.written_by.unwrap().starts_with("kinglet version "));
    assert_eq!(bytes, write(&format, numbered(40_000)));
    let back = read(bytes);
    assert_eq!((back.len(), &back[39_999]["n"]), (40_000, &39_999.into()));
}

#[test]
fn a_row_group_ends_early_where_there_is_no_room() {
    let format = OutputFormat::parquet(types("n bigint, text text")).with_compression(Codec::None);
    let (mut writer, mut out) = (typed_writer(&format, 8 << 20).unwrap(), Vec::new());
    let typed = format.typed().unwrap().types;
    let mut blocks = Vec::new();
    for row in numbered(200_000) {
        push(&mut *writer, row, typed, &mut out).unwrap();
        blocks.extend((!out.is_empty()).then(|| std::mem::take(&mut out)));
    }
    writer.finish(&mut out).unwrap();
    blocks.push(out);
    let sizes: Vec<_> = blocks.iter().map(Vec::len).collect();
    assert!(sizes.len() > 2 && sizes.iter().all(|size| *size < 5 << 20), "{sizes:?}");
    assert_eq!(file(&blocks.concat()).unwrap().about().rows, 200_000);
}

#[test]
fn pages_are_compressed_by_every_codec_that_parquet_has() {
    for (codec, name) in [
        (Codec::None, "none"),
        (Codec::Zstd, "zstd"),
        (Codec::Snappy, "snappy"),
        (Codec::Gzip, "gzip"),
        (Codec::Lz4, "lz4"),
    ] {
        let format = OutputFormat::parquet(types("n bigint, text text")).with_compression(codec);
        format.check().unwrap();
        let bytes = write(&format, numbered(3_000));
        let columns = file(&bytes).unwrap().about().columns;
        assert!(columns.iter().all(|column| column.compression == name), "{columns:?}");
        assert_eq!(read(bytes).len(), 3_000);
    }
    for codec in [Codec::Bzip2, Codec::Xz] {
        let format = OutputFormat::parquet(types("n bigint")).with_compression(codec);
        assert!(format.check().unwrap_err().is(Code::OutputFormat));
    }
    assert!(OutputFormat::parquet(Types::default()).check().unwrap_err().is(Code::OutputFormat));
    assert!(OutputFormat::parquet(types("a int")).with_columns(["a"]).check().unwrap_err().is(Code::OutputFormat));
}

#[test]
fn a_part_without_rows_has_its_columns() {
    let types = types("n bigint, s struct<a text>, m map<text, int>");
    let bytes = write(&OutputFormat::parquet(types.clone()), Vec::new());
    let file = file(&bytes).unwrap();
    assert_eq!((file.types(&Columns::All).unwrap(), file.about().rows), (types, 0));
}

/// A file is refused whose columns are others than those that were agreed on, each by its name.
#[test]
fn a_file_of_another_schema_is_refused_by_the_names_of_its_columns() {
    let format = OutputFormat::parquet(types("a bigint, b text, c date"));
    let file = file(&write(&format, Vec::new())).unwrap();
    let selection = |text: &str, cast: &[&str]| Selection {
        agreed: Some(Agreed {
            types: types(text),
            said_by: "another".to_owned(),
            cast: cast.iter().map(|name| (*name).to_owned()).collect(),
        }),
        ..Selection::default()
    };
    file.plan(&selection("c date, a bigint, d int, b text", &[])).unwrap();
    file.plan(&selection("a int, c date", &["a", "b"])).unwrap();
    let error = file.plan(&selection("a int, b text, d date", &[])).unwrap_err();
    assert!(error.is(Code::Columns), "{error}");
    for says in
        ["it has another schema than another", "its column a is bigint, and not int;", "its column c is in no other"]
    {
        assert!(error.to_string().contains(says), "{says}: {error}");
    }
    file.plan(&selection("a bigint", &[]).with_columns(["a"])).unwrap();
}

fn nested() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::json;
    let text = proptest::option::of("[a-c]{0,2}");
    let pairs = proptest::collection::hash_map("[a-c]{0,2}", proptest::option::of(0i32..9), 0..3)
        .prop_map(|pairs| pairs.iter().map(|(key, value)| json!({"key": key, "value": value})).collect::<Vec<_>>());
    let inner = (text, proptest::option::of(pairs)).prop_map(|(t, m)| json!({"t": t, "m": m}));
    let list = proptest::collection::vec(proptest::option::of(inner), 0..3);
    (proptest::option::of(list), proptest::option::of(any::<i64>())).prop_map(|(list, n)| json!({"n": n, "list": list}))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn nested_rows_come_back_as_they_were(all in proptest::collection::vec(nested(), 0..50)) {
        let text: Vec<_> = all.iter().map(ToString::to_string).collect();
        let format = OutputFormat::parquet(types("n bigint, list struct<t text, m map<text, int>>[]"));
        prop_assert_eq!(read(write(&format, rows(&text.join("\n")))), all);
    }
}
