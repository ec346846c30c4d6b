use super::pages::Paging;
use super::{File, Plan, read_footer};
use crate::footer::{Footer, Tail};
use arrow_array::builder::{ListBuilder, MapBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Int32Array, Int64Array,
    RecordBatch, StringArray, StructArray, Time64MicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use kinglet_core::{
    BlockExtent, ByteRange, Code, Fetched, Format, Only, Parquet, RangedObject, RawRows, Result, RowFormat, Selection,
    Shape, Side, UserResult,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// An object in memory that keeps what was read of it.
struct Memory {
    bytes: Bytes,
    read: Mutex<Vec<ByteRange>>,
}

struct Ready(Bytes);

impl Fetched for Ready {
    fn wait(self: Box<Self>) -> Result<Bytes> {
        Ok(self.0)
    }
}

impl RangedObject for Memory {
    fn name(&self) -> &str {
        "it"
    }

    fn fetch(&self, range: ByteRange) -> Box<dyn Fetched> {
        self.read.lock().unwrap().push(range);
        Box::new(Ready(self.bytes.slice(range.from as usize..range.to as usize)))
    }
}

fn memory(bytes: &Bytes) -> Arc<Memory> {
    Arc::new(Memory { bytes: bytes.clone(), read: Mutex::default() })
}

pub(super) fn file(bytes: &[u8]) -> Result<File> {
    let size = bytes.len() as u64;
    let mut from = bytes.len().saturating_sub(20);
    loop {
        match read_footer(Tail { shown: "it", size, bytes: &bytes[from..] })? {
            Footer::Whole(file) => return Ok(file),
            Footer::From(needed) => {
                assert!((needed as usize) < from, "more is needed than was given");
                from = needed as usize;
            }
        }
    }
}

fn written(batch: &RecordBatch, properties: WriterProperties) -> Bytes {
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    out.into()
}

/// A file of rows `n`, `text` and `more`, with so many rows in each row group.
fn numbered(rows: i64, group_rows: usize, compression: Compression) -> Bytes {
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(group_rows))
        .set_data_page_row_count_limit(64)
        .set_write_batch_size(32);
    numbered_as(rows, properties.build())
}

fn numbered_as(rows: i64, properties: WriterProperties) -> Bytes {
    let text = |n: i64| (n % 7 != 3).then(|| format!("text {}", n % 100));
    let columns: [(&str, ArrayRef); 3] = [
        ("n", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("text", Arc::new(StringArray::from_iter((0..rows).map(text)))),
        ("more", Arc::new(Float32Array::from_iter_values((0..rows).map(|n| n as f32 / 4.0)))),
    ];
    written(&RecordBatch::try_from_iter(columns).unwrap(), properties)
}

/// Reads what a plan wants of some bytes of an object.
fn read<F: Format>(
    format: &F,
    plan: &Plan,
    object: &Arc<Memory>,
    within: ByteRange,
    room_bytes: u64,
    each: impl FnMut(u64, F::Record<'_>) -> UserResult,
) -> Result<u64> {
    read_paged(format, plan, object, within, (room_bytes, Paging::default()), each)
}

/// The same, where it is said when pages are worth a look.
fn read_paged<F: Format>(
    format: &F,
    plan: &Plan,
    object: &Arc<Memory>,
    within: ByteRange,
    (room_bytes, paging): (u64, Paging),
    mut each: impl FnMut(u64, F::Record<'_>) -> UserResult,
) -> Result<u64> {
    let mut count = 0;
    for group in plan.0.file.row_groups(within) {
        if !plan.may_have_rows(group.number) {
            continue;
        }
        let rows = plan.paged_row_group(group.number, object.clone(), room_bytes, paging);
        rows.ahead();
        let (mut blocks, mut first_row) = (rows.open()?, group.first_row);
        while let Some(block) = blocks.next_block()? {
            let extent = BlockExtent { block: &block, first_row, object: "it", side: Side::Left };
            count += format
                .for_each_row(extent, |at, record| each(first_row + at as u64, record))
                .map_err(|e| e.into_error(Code::MapFailed))?;
            first_row += block.rows() as u64;
        }
        assert_eq!(first_row, group.first_row + group.rows);
    }
    Ok(count)
}

/// Returns the rows of a selection, as JSON, each with its number.
pub(super) fn json(bytes: &Bytes, selection: &Selection) -> Result<Vec<(u64, String)>> {
    let (plan, object) = (file(bytes)?.plan(selection)?, memory(bytes));
    let mut rows = Vec::new();
    let whole = ByteRange { from: 0, to: bytes.len() as u64 };
    read(&RawRows(RowFormat::Parquet(selection.clone())), &plan, &object, whole, 1 << 20, |n, row| {
        rows.push((n, String::from_utf8(row.to_vec()).unwrap()));
        Ok(())
    })?;
    Ok(rows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// The law of formats: wherever an object is cut, and however its bytes come, the same rows come out, once and in order.
    #[test]
    fn rows_are_the_same_in_all_splits_and_windows(
        rows in 0i64..3_000, group_rows in 1usize..1_500, room_bytes in 0u64..100_000,
        cuts in proptest::collection::vec(0u64..60_000, 0..6),
    ) {
        let bytes = numbered(rows, group_rows, Compression::SNAPPY);
        let format = RawRows(RowFormat::Parquet(Selection::default()));
        let (plan, object) = (file(&bytes)?.plan(&Selection::default())?, memory(&bytes));
        let size = bytes.len() as u64;
        let mut ends: Vec<u64> = cuts.iter().map(|cut| (*cut).min(size)).chain([0, size]).collect();
        ends.sort_unstable();
        let mut got = Vec::new();
        for split in ends.windows(2) {
            let within = ByteRange { from: split[0], to: split[1] };
            read(&format, &plan, &object, within, room_bytes, |n, row| {
                got.push((n, String::from_utf8(row.to_vec())?));
                Ok(())
            })?;
        }
        let want = (0..rows).map(|n| {
            let text = if n % 7 == 3 { "null".to_owned() } else { format!("\"text {}\"", n % 100) };
            (n as u64, format!("{{\"n\":{n},\"text\":{text},\"more\":{:?}}}", n as f64 / 4.0))
        });
        prop_assert_eq!(got, want.collect::<Vec<_>>());
        let mut read = object.read.lock().unwrap().clone();
        read.sort_by_key(|range| range.from);
        prop_assert!(read.windows(2).all(|pair| pair[0].to <= pair[1].from), "a byte was read twice: {read:?}");
    }
}

#[test]
fn only_the_chunks_of_the_columns_that_are_wanted_are_read() {
    let bytes = numbered(50_000, 7_000, Compression::UNCOMPRESSED);
    let file = file(&bytes).unwrap();
    let about = file.about();
    assert_eq!((about.rows, about.row_groups.len()), (50_000, 8));
    for (column, room_bytes) in [(0, 1 << 20), (1, 1 << 20), (2, 1 << 20), (2, 0)] {
        let name = &about.columns[column].name;
        let (plan, object) = (file.plan(&Selection::default().with_columns([name])).unwrap(), memory(&bytes));
        let format = RawRows(RowFormat::Parquet(Selection::default()));
        let whole = ByteRange { from: 0, to: bytes.len() as u64 };
        assert_eq!(read(&format, &plan, &object, whole, room_bytes, |_, _| Ok(())).unwrap(), 50_000);
        let read: u64 = object.read.lock().unwrap().iter().map(|range| range.bytes()).sum();
        assert_eq!(read, about.columns[column].bytes, "{name}");
    }
    let (plan, object) = (file.plan(&Selection::no_columns()).unwrap(), memory(&bytes));
    let format = RawRows(RowFormat::Parquet(Selection::no_columns()));
    let whole = ByteRange { from: 0, to: bytes.len() as u64 };
    let count =
        read(&format, &plan, &object, whole, 1 << 20, |_, row| if row == b"{}" { Ok(()) } else { Err("text".into()) });
    assert_eq!((count.unwrap(), object.read.lock().unwrap().len()), (50_000, 0));
}

#[test]
fn a_large_row_group_is_read_through_windows() {
    // One row group of some megabytes, of values that do not compress.
    let values = |seed: u64| (0..400_000u64).map(move |n| ((n + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 3) as i64);
    let column = |seed| Arc::new(Int64Array::from_iter_values(values(seed))) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("a", column(1)), ("b", column(2))]).unwrap();
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let bytes = written(&batch, properties);
    let (plan, object) = (file(&bytes).unwrap().plan(&Selection::default()).unwrap(), memory(&bytes));
    let whole = ByteRange { from: 0, to: bytes.len() as u64 };
    let mut want = values(1).zip(values(2));
    let format = Parquet::<(i64, i64)>::default();
    read(&format, &plan, &object, whole, 1 << 20, |_, row| {
        assert_eq!(Some(row), want.next());
        Ok(())
    })
    .unwrap();
    assert_eq!(want.next(), None);
    let read = object.read.lock().unwrap();
    let longest = read.iter().map(|range| range.bytes()).max();
    assert_eq!(longest, Some(256 << 10), "two windows for each of two columns, in a room of 1 MiB");
    assert_eq!(read.iter().map(|range| range.bytes()).sum::<u64>(), plan.0.file.about().row_groups[0].bytes);
}

#[test]
fn row_groups_are_passed_over_by_their_statistics_and_rows_by_their_values() {
    let bytes = numbered(10_000, 1_000, Compression::SNAPPY);
    let selected = |conditions: &[&str]| {
        let only = conditions.iter().map(|text| text.parse::<Only>().unwrap());
        only.fold(Selection::default().with_columns(["n"]), Selection::with_only)
    };
    for (conditions, want, groups) in [
        (&["n >= 2500", "n < 3500"][..], (2_500..3_500).collect::<Vec<i64>>(), 2),
        (&["n = 77"], vec![77], 1),
        (&["n > 9999"], vec![], 0),
        (&["n != 0", "n <= 2"], vec![1, 2], 1),
        (&["text = 'text 10'", "n < 400"], vec![110, 210, 310], 1),
        (&["more > 2499.5"], vec![9_999], 1),
        (&["text > zzz"], vec![], 0),
    ] {
        let selection = selected(conditions);
        let plan = file(&bytes).unwrap().plan(&selection).unwrap();
        let all = plan.0.file.row_groups(ByteRange { from: 0, to: bytes.len() as u64 });
        let may: Vec<_> = all.iter().filter(|group| plan.may_have_rows(group.number)).collect();
        assert_eq!(may.len(), groups, "{conditions:?}");
        let got = json(&bytes, &selection).unwrap();
        let want: Vec<_> = want.into_iter().map(|n| (n as u64, format!("{{\"n\":{n}}}"))).collect();
        assert_eq!(got, want, "{conditions:?}");
    }
    for (condition, says) in [("no > 1", "no column no; its columns are n, text, more"), ("n > x", "column n is int")] {
        let error = file(&bytes).unwrap().plan(&selected(&[condition])).unwrap_err();
        assert!(error.is(Code::Columns) && error.to_string().contains(says), "{error}");
    }
    let error = file(&bytes).unwrap().plan(&Selection::default().with_columns(["x", "n", "y"])).unwrap_err();
    assert!(error.to_string().contains("it has no columns x, y;"), "{error}");
    assert_eq!(
        json(&bytes, &Selection::default().with_columns(["text", "n"])).unwrap()[1].1,
        r#"{"text":"text 1","n":1}"#
    );
}

/// Rows of many types.
fn typed() -> RecordBatch {
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("a"), None, Some("ä\"")]);
    lists.append_null();
    let mut maps = MapBuilder::new(None, StringBuilder::new(), arrow_array::builder::Int32Builder::new());
    maps.keys().append_value("k");
    maps.values().append_value(1);
    maps.keys().append_value("l");
    maps.values().append_null();
    maps.append(true).unwrap();
    maps.append(true).unwrap();
    let inner = Field::new("x", DataType::Int32, true);
    let structs =
        StructArray::from(vec![(Arc::new(inner), Arc::new(Int32Array::from(vec![Some(7), None])) as ArrayRef)]);
    let columns: [(&str, ArrayRef); 12] = [
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("large", Arc::new(UInt64Array::from(vec![u64::MAX, 5]))),
        ("price", Arc::new(Decimal128Array::from(vec![-1_250, 3]).with_precision_and_scale(20, 2).unwrap())),
        ("day", Arc::new(Date32Array::from(vec![Some(19_782), None]))),
        ("clock", Arc::new(Time64MicrosecondArray::from(vec![23_400_000_001, 0]))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![1_700_000_000_123, -1]).with_timezone("UTC"))),
        ("wall", Arc::new(TimestampNanosecondArray::from(vec![1, 1_000_000_000]))),
        ("bytes", Arc::new(BinaryArray::from_vec(vec![b"\xff\x00", b""]))),
        ("ratio", Arc::new(Float32Array::from(vec![0.5, f32::NAN]))),
        ("list", Arc::new(lists.finish())),
        ("map", Arc::new(maps.finish())),
        ("struct", Arc::new(structs)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

#[test]
fn every_type_is_read_as_what_it_is() {
    let bytes = written(&typed(), WriterProperties::default());
    let rows = json(&bytes, &Selection::default()).unwrap();
    assert_eq!(
        rows[0].1,
        r#"{"flag":true,"large":"18446744073709551615","price":"-12.50","day":"2024-02-29","clock":"06:30:00.000001","at":"2023-11-14T22:13:20.123Z","wall":"1970-01-01T00:00:00.000000001","bytes":[255,0],"ratio":0.5,"list":["a",null,"ä\""],"map":[{"key":"k","value":1},{"key":"l","value":null}],"struct":{"x":7}}"#
    );
    assert_eq!(
        rows[1].1,
        r#"{"flag":null,"large":5,"price":"0.03","day":null,"clock":"00:00:00","at":"1969-12-31T23:59:59.999Z","wall":"1970-01-01T00:00:01","bytes":[],"ratio":null,"list":null,"map":[],"struct":{"x":null}}"#
    );
    let schema = file(&bytes).unwrap().schema();
    let of: Vec<_> = schema.columns.iter().map(|column| column.of.to_string()).collect();
    let want =
        ["bool", "decimal", "decimal", "date", "time", "timestamp", "timestamp", "bytes", "float", "list of text"];
    assert_eq!(
        (&of[..10], &of[10..]),
        (&want.map(str::to_owned)[..], &["list of {key: text, value: int?}".to_owned(), "{x: int?}".to_owned()][..])
    );
}

#[derive(Debug, Deserialize, PartialEq)]
struct Inner {
    x: Option<u8>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Row<'a> {
    flag: Option<bool>,
    large: u64,
    price: f64,
    day: Option<&'a str>,
    at: i64,
    #[serde(borrow)]
    list: Option<Vec<Option<&'a str>>>,
    map: BTreeMap<String, Option<i32>>,
    #[serde(rename = "struct")]
    inner: Inner,
    bytes: Vec<u8>,
    #[serde(default)]
    nowhere: u8,
}

struct Rows;

impl Shape for Rows {
    type Of<'a> = Row<'a>;
}

#[test]
fn rows_are_read_through_serde() {
    let bytes = written(&typed(), WriterProperties::default());
    let file = file(&bytes).unwrap();
    let whole = ByteRange { from: 0, to: bytes.len() as u64 };
    let format = Parquet::<Rows>::default();
    let selection = format.selection();
    let plan = file.plan(&selection).unwrap();
    let mut seen = 0;
    let failed = read(&format, &plan, &memory(&bytes), whole, 0, |_, _| {
        seen += 1;
        Ok(())
    });
    // A date is no text that could be borrowed.
    let error = failed.unwrap_err().to_string();
    assert!(seen == 0 && error.contains("column day: invalid type: string \"2024-02-29\""), "{error}");

    #[derive(Debug, Deserialize, PartialEq)]
    struct Owned {
        day: Option<String>,
        price: String,
        at: i64,
        list: Option<Vec<Option<String>>>,
        map: BTreeMap<String, Option<i32>>,
        #[serde(rename = "struct")]
        inner: Inner,
        bytes: Vec<u8>,
        #[serde(default)]
        nowhere: u8,
    }
    let (mut rows, format) = (Vec::new(), Parquet::<Owned>::default());
    let plan = file.plan(&format.selection()).unwrap();
    assert_eq!(plan.0.chosen.decoded.len(), 7, "the columns of the type that are there, and no others");
    read(&format, &plan, &memory(&bytes), whole, 0, |_, row| {
        rows.push(row);
        Ok(())
    })
    .unwrap();
    assert_eq!(
        rows[0],
        Owned {
            day: Some("2024-02-29".into()),
            price: "-12.50".into(),
            at: 1_700_000_000_123,
            list: Some(vec![Some("a".into()), None, Some("ä\"".into())]),
            map: BTreeMap::from([("k".into(), Some(1)), ("l".into(), None)]),
            inner: Inner { x: Some(7) },
            bytes: vec![255, 0],
            nowhere: 0,
        }
    );
    assert_eq!((&rows[1].day, &rows[1].list, rows[1].inner.x), (&None, &None, None));

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Missing {
        large: i64,
        shop: String,
    }
    let says = |selection: &Selection| {
        let (format, plan) = (Parquet::<Missing>::default(), file.plan(selection).unwrap());
        read(&format, &plan, &memory(&bytes), whole, 0, |_, _| Ok(())).unwrap_err()
    };
    let error = says(&Selection::default());
    assert!(error.is(Code::RecordInvalid) && error.to_string().contains("column large: invalid value"), "{error}");
    let error = says(&Selection::default().with_columns(["day"]));
    assert!(error.to_string().contains("missing field `large`"), "{error}");
}

#[test]
fn every_codec_is_read() {
    let want = json(&numbered(3_000, 1_000, Compression::UNCOMPRESSED), &Selection::default()).unwrap();
    for codec in [
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::BROTLI(Default::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(Default::default()),
    ] {
        let bytes = numbered(3_000, 1_000, codec);
        assert!(json(&bytes, &Selection::default()).unwrap() == want, "{codec}");
        let about = file(&bytes).unwrap().about();
        assert!(codec.to_string().to_lowercase().starts_with(&about.columns[0].compression), "{codec}");
        assert_eq!((&about.columns[0].least, &about.columns[0].most), (&Some(0.into()), &Some(2_999.into())));
        assert_eq!((about.columns[1].nulls, &about.columns[1].most), (Some(429), &Some("text 99".into())));
    }
}

#[test]
fn what_is_no_parquet_says_so() {
    let bytes = numbered(300, 100, Compression::SNAPPY);
    let end = bytes.len();
    let says = |bytes: &[u8], code: Code, says: &str| {
        let error = file(bytes).unwrap_err();
        assert!(error.is(code) && error.to_string().contains(says), "{says}: {error}");
    };
    for cut in [end - 1, end - 8, end / 2, 12] {
        says(&bytes[..cut], Code::ParquetCorrupt, "it does not end as Parquet does");
    }
    for cut in 0..12 {
        says(&bytes[..cut], Code::ParquetCorrupt, "no Parquet file is as short");
    }
    let mut longer = bytes.to_vec();
    longer[end - 8..end - 4].copy_from_slice(&(end as u32).to_le_bytes());
    says(&longer, Code::ParquetCorrupt, "which is more than the file has");
    longer[end - 8..end - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    says(&longer, Code::ParquetCorrupt, "its footer should have 4294967295 bytes");
    let mut encrypted = bytes.to_vec();
    encrypted[end - 1] = b'E';
    says(&encrypted, Code::ParquetEncrypted, "its footer and columns are encrypted");
    let mut without = bytes.to_vec();
    without[end - 8..end - 4].copy_from_slice(&1u32.to_le_bytes());
    says(&without, Code::ParquetCorrupt, "its footer:");
}

/// Whatever is changed in a file, there are rows or an error, and neither a panic nor memory that is not there.
#[test]
fn damage_is_an_error_or_other_rows() {
    let bytes = numbered(60, 30, Compression::SNAPPY);
    let (mut read, mut refused) = (0, 0);
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= change;
            match json(&damaged.into(), &Selection::default()) {
                Ok(_) => read += 1,
                Err(error) => {
                    assert!(
                        [Code::ParquetCorrupt, Code::ParquetEncrypted].iter().any(|code| error.is(*code)),
                        "{at}: {error}"
                    );
                    refused += 1;
                }
            }
        }
    }
    assert!(read > 0 && refused > 0, "{read} {refused}");
}

/// Pages are looked at, however small a row group is.
const ALL_PAGES: Paging = Paging { bytes_min: 0, gap_bytes: 0 };

/// Returns the rows of a selection by their pages, as JSON, each with its number, and how many bytes were read for them.
fn by_pages(bytes: &Bytes, selection: &Selection, room_bytes: u64) -> (Vec<(u64, String)>, u64) {
    let (plan, object) = (file(bytes).unwrap().plan(selection).unwrap(), memory(bytes));
    let mut rows = Vec::new();
    let whole = ByteRange { from: 0, to: bytes.len() as u64 };
    let format = RawRows(RowFormat::Parquet(selection.clone()));
    let given = read_paged(&format, &plan, &object, whole, (room_bytes, ALL_PAGES), |n, row| {
        rows.push((n, String::from_utf8(row.to_vec()).unwrap()));
        Ok(())
    });
    assert_eq!(given.unwrap(), rows.len() as u64);
    let mut read = object.read.lock().unwrap().clone();
    read.sort_by_key(|range| range.from);
    assert!(read.windows(2).all(|pair| pair[0].to <= pair[1].from), "a byte is read twice: {read:?}");
    (rows, read.iter().map(|range| range.bytes()).sum())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    /// Whatever a job wants, it is given the rows that it would be given of the whole row group, with their numbers.
    #[test]
    fn rows_are_the_same_by_pages(
        rows in 0i64..3_000, group_rows in 1usize..3_000, room_bytes in 0u64..100_000, from in -100i64..3_100,
        count in 0i64..500, text in 0u32..120, more in 0i64..900, which in 0usize..6,
    ) {
        let bytes = numbered(rows, group_rows, Compression::SNAPPY);
        let to = from + count;
        let wanted = [
            format!("n >= {from}"), format!("n < {to}"), format!("text = 'text {text}'"), format!("more > {more}.5"),
            format!("n = {from}"), format!("text != 'text {text}'"),
        ];
        let conditions: &[usize] = [&[0, 1][..], &[0, 1, 2], &[2], &[3, 1], &[4], &[5, 0, 1, 3]][which];
        let only = |selection: Selection, at: &usize| selection.with_only(wanted[*at].parse::<Only>().unwrap());
        for columns in [&["n", "text", "more"][..], &["more"], &["text", "n"]] {
            let selection = conditions.iter().fold(Selection::default().with_columns(columns.iter().copied()), only);
            prop_assert_eq!(by_pages(&bytes, &selection, room_bytes).0, json(&bytes, &selection).unwrap());
        }
    }
}

#[test]
fn lists_and_structs_are_the_same_by_pages() {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for n in 0..3_000 {
        (0..n % 5).for_each(|value| lists.values().append_option((value != 2).then(|| format!("{n} {value}"))));
        lists.append(n % 11 != 0);
    }
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..3_000).map(|n| n / 3)));
    let structs = StructArray::from(vec![(Arc::new(Field::new("in", DataType::Int64, true)), numbers.clone())]);
    let columns: [(&str, ArrayRef); 3] =
        [("n", numbers), ("list", Arc::new(lists.finish())), ("struct", Arc::new(structs))];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
    for (row_limit, compression) in [(40, Compression::UNCOMPRESSED), (333, Compression::SNAPPY)] {
        let properties = WriterProperties::builder().set_compression(compression).set_write_batch_size(20);
        let properties = properties.set_data_page_row_count_limit(row_limit).set_max_row_group_row_count(Some(1_700));
        let bytes = written(&batch, properties.build());
        for wanted in ["n = 500", "n > 900", "n <= 7", "n = 5000", "n != 3"] {
            let selection = Selection::default().with_only(wanted.parse::<Only>().unwrap());
            assert_eq!(by_pages(&bytes, &selection, 1 << 20).0, json(&bytes, &selection).unwrap(), "{wanted}");
        }
    }
}

#[test]
fn pages_in_which_no_row_can_be_the_jobs_are_not_read() {
    let (rows, page_rows) = (200_000, 1_000);
    // A dictionary is read whole, whichever pages are.
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_row_count_limit(page_rows)
        .set_write_batch_size(page_rows);
    let bytes = numbered_as(rows, properties.build());
    let chunks: u64 = {
        let whole = Selection::default().with_only("n >= 0".parse::<Only>().unwrap());
        let (all, read) = by_pages(&bytes, &whole, 64 << 20);
        assert_eq!(all.len(), rows as usize);
        read
    };
    let read = |condition: &str| {
        let selection = Selection::default().with_only(condition.parse::<Only>().unwrap());
        let (found, read) = by_pages(&bytes, &selection, 64 << 20);
        println!("{condition}: {} rows, {read} of {chunks} bytes", found.len());
        (found, read)
    };
    let (found, one) = read("n = 123456");
    assert_eq!(found, [(123_456, r#"{"n":123456,"text":"text 56","more":30864.0}"#.to_owned())]);
    // The index of the condition's column, those of the pages of three columns, and one page of each.
    let pages = (rows as usize / page_rows) as u64;
    let indexes = pages * (2 * 8 + 8 + 3 * 16);
    assert!(one < indexes + chunks / pages + 8_192, "{one} bytes, {indexes} of indexes, {} of pages", chunks / pages);
    assert!(one * 50 < chunks, "{one} of {chunks}");
    // Half of the rows are half of the bytes.
    let (found, half) = read("n >= 100000");
    assert_eq!((found.len(), found[0].0), (100_000, 100_000));
    assert!(half < chunks / 2 + indexes + 8_192, "{half} of {chunks}");
    // Within the row group's bounds, and in none of its pages.
    let gap: ArrayRef =
        Arc::new(Int64Array::from_iter_values((0..20_000).map(|n| if n < 10_000 { n } else { n + 90_000 })));
    let properties = WriterProperties::builder().set_data_page_row_count_limit(100).set_write_batch_size(100).build();
    let gap = written(&RecordBatch::try_from_iter([("n", gap)]).unwrap(), properties);
    let selection = Selection::default().with_only("n = 50000".parse::<Only>().unwrap());
    let (found, none) = by_pages(&gap, &selection, 1 << 20);
    assert!(found.is_empty() && none < 8_192, "{none} bytes");
    // Of little data, indexes are not asked for: it is read at once.
    let (plan, object) = (file(&gap).unwrap().plan(&selection).unwrap(), memory(&gap));
    let whole = ByteRange { from: 0, to: gap.len() as u64 };
    let format = RawRows(RowFormat::Parquet(selection.clone()));
    assert_eq!(read_of(&format, &plan, &object, whole), 0);
    assert_eq!(object.read.lock().unwrap().len(), 1);
}

fn read_of(format: &RawRows, plan: &Plan, object: &Arc<Memory>, within: ByteRange) -> u64 {
    read(format, plan, object, within, 1 << 20, |_, _| Ok(())).unwrap()
}

/// An index that is damaged is not relied on, unless it still is one; the decoder never takes what lies elsewhere for a page.
#[test]
fn damaged_indexes_of_pages_are_no_panic_and_no_foreign_bytes() {
    let bytes = numbered(2_000, 2_000, Compression::UNCOMPRESSED);
    let selection = Selection::default().with_only("n >= 1500".parse::<Only>().unwrap());
    let want = json(&bytes, &selection).unwrap();
    let metadata = file(&bytes).unwrap();
    let column = metadata.0.decoded.metadata().row_group(0).column(0).clone();
    let starts = [column.column_index_offset(), column.offset_index_offset()].map(|at| at.unwrap() as usize);
    let lengths = [column.column_index_length(), column.offset_index_length()].map(|length| length.unwrap() as usize);
    let mut same = 0;
    for (start, length) in starts.into_iter().zip(lengths) {
        for at in (start..start + length).step_by(3) {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 0x55;
            let damaged = Bytes::from(damaged);
            let (plan, object) = (file(&damaged).unwrap().plan(&selection).unwrap(), memory(&damaged));
            let whole = ByteRange { from: 0, to: damaged.len() as u64 };
            let format = RawRows(RowFormat::Parquet(selection.clone()));
            let mut rows = Vec::new();
            let read = read_paged(&format, &plan, &object, whole, (1 << 20, ALL_PAGES), |n, row| {
                rows.push((n, String::from_utf8(row.to_vec()).unwrap()));
                Ok(())
            });
            same += usize::from(read.is_ok() && rows == want);
        }
    }
    assert!(same > 0, "no damage was noticed");
}
