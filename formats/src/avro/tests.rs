use super::*;
use crate::file_blocks::{BlocksOf, FileBlock};
use bytes::Bytes;
use kinglet_core::engine::cut::Wants;
use kinglet_core::{
    Avro, BlockExtent, ByteRange, Format, Framing, Only, RawRows, Result, RowFormat, Selection, Shape, Side, UserResult,
};
use proptest::prelude::*;

const MARKER: [u8; 16] = *b"a marker of 16 b";

fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn text(text: &[u8], out: &mut Vec<u8>) {
    long(text.len() as i64, out);
    out.extend_from_slice(text);
}

fn head(schema: &str, codec: &str) -> Vec<u8> {
    let mut out = b"Obj\x01".to_vec();
    long(2, &mut out);
    text(b"avro.schema", &mut out);
    text(schema.as_bytes(), &mut out);
    text(b"avro.codec", &mut out);
    text(codec.as_bytes(), &mut out);
    long(0, &mut out);
    out.extend_from_slice(&MARKER);
    out
}

const ROW: &str = r#"{"type": "record", "name": "Row", "fields": [
    {"name": "n", "type": "long"}, {"name": "text", "type": "string"}, {"name": "other", "type": ["null", "long"]}]}"#;

fn row(n: usize, out: &mut Vec<u8>) {
    long(n as i64, out);
    text("x".repeat(n % 40).as_bytes(), out);
    long((n % 2) as i64, out);
    if n % 2 == 1 {
        long(-(n as i64), out);
    }
}

/// A block of rows that are `stored`.
fn block(rows: usize, stored: &[u8], out: &mut Vec<u8>) {
    long(rows as i64, out);
    text(stored, out);
    out.extend_from_slice(&MARKER);
}

/// A file of blocks of so many rows each.
fn file_of(blocks: &[usize]) -> Vec<u8> {
    let (mut out, mut n) = (head(ROW, "null"), 0);
    for rows in blocks {
        let mut stored = Vec::new();
        (n..n + rows).for_each(|n| row(n, &mut stored));
        n += rows;
        block(*rows, &stored, &mut out);
    }
    out
}

fn open(bytes: &[u8]) -> Result<File> {
    let mut reader = HeadReader::new("it");
    Ok(reader.feed(bytes, true)?.unwrap().file)
}

const ROOM: u64 = 1 << 20;

/// Cuts a range, whose bytes come so many at once: the blocks, and what the range accounts for.
fn cut(bytes: &[u8], range: ByteRange, starts: bool, feed: usize) -> Result<(Vec<FileBlock>, Option<ByteRange>)> {
    let of = BlocksOf { range, size: bytes.len() as u64, starts, block_bytes_max: ROOM };
    let mut cutter = BlockCutter::new(&open(bytes)?, of);
    let mut blocks = Vec::new();
    let mut wants = cutter.feed(Bytes::new(), &mut |block| blocks.push(block))?;
    while wants == Wants::More {
        let from = cutter.reads_from() as usize;
        let to = bytes.len().min(from + feed);
        wants = cutter.feed(Bytes::copy_from_slice(&bytes[from..to]), &mut |block| blocks.push(block))?;
    }
    Ok((blocks, cutter.taken()))
}

fn decode(plan: &Plan, block: FileBlock) -> Result<Vec<String>> {
    let place = Framing::place_in_block(block.lies.from, 0);
    let group = plan.block(block, ROOM);
    let (rows, mut read) = (RawRows(RowFormat::Avro(Selection::default())), Vec::new());
    let mut blocks = group.open()?;
    let mut first_row = place;
    while let Some(block) = blocks.next_block()? {
        let extent = BlockExtent { block: &block, first_row, object: "it", side: Side::Left };
        let each = |_, row: &[u8]| -> UserResult {
            read.push(String::from_utf8(row.to_vec()).unwrap());
            Ok(())
        };
        rows.for_each_row(extent, each).unwrap();
        first_row += block.rows() as u64;
    }
    assert!(group.place(place + 3).ends_with(&format!("row 3 of the block at byte {}", place >> Framing::ROW_BITS)));
    Ok(read)
}

fn rows_of(bytes: &[u8], selection: &Selection) -> Result<Vec<String>> {
    let plan = open(bytes)?.plan(selection)?;
    let (blocks, taken) = cut(bytes, ByteRange { from: 0, to: bytes.len() as u64 }, true, 1000)?;
    assert_eq!(taken, Some(ByteRange { from: 0, to: bytes.len() as u64 }));
    let mut rows = Vec::new();
    for block in blocks {
        rows.extend(decode(&plan, block)?);
    }
    Ok(rows)
}

fn all() -> Selection {
    Selection::default()
}

#[test]
fn rows_are_decoded_by_columns_and_conditions() {
    let bytes = file_of(&[3, 0, 10_000, 1]);
    let rows = rows_of(&bytes, &all()).unwrap();
    assert_eq!(rows.len(), 10_004);
    assert_eq!(rows[..2], [r#"{"n":0,"text":"","other":null}"#, r#"{"n":1,"text":"x","other":-1}"#]);
    assert!(rows[10_003].starts_with("{\"n\":10003,"));
    let two = Selection::default().with_columns(["other", "n"]).with_only("text = xx".parse::<Only>().unwrap());
    assert_eq!(rows_of(&bytes, &two).unwrap()[..2], [r#"{"other":null,"n":2}"#, r#"{"other":null,"n":42}"#]);
    assert_eq!(rows_of(&bytes, &Selection::no_columns()).unwrap().len(), 10_004);
    let missing = rows_of(&bytes, &Selection::default().with_columns(["m"])).unwrap_err();
    assert!(missing.is(Code::Columns) && missing.to_string().contains("its columns are n, text, other"), "{missing}");
    // A type that is defined in a column which is not wanted.
    let twice = r#"{"type": "record", "name": "Row", "fields": [
        {"name": "a", "type": {"type": "enum", "name": "E", "symbols": ["x", "y"]}}, {"name": "b", "type": "E"}]}"#;
    let mut bytes = head(twice, "null");
    block(2, &[0, 2, 2, 0], &mut bytes);
    assert_eq!(rows_of(&bytes, &Selection::default().with_columns(["b"])).unwrap(), [r#"{"b":"y"}"#, r#"{"b":"x"}"#]);
}

#[derive(serde::Deserialize)]
struct Row<'a> {
    n: u64,
    text: &'a str,
    other: Option<i64>,
}

/// The shape of a row that borrows its text.
struct AnyRow;

impl Shape for AnyRow {
    type Of<'a> = Row<'a>;
}

#[test]
fn rows_are_read_into_a_type() {
    let bytes = file_of(&[100]);
    let format = Avro::<AnyRow>::default().with_only("n < 50".parse().unwrap());
    let plan = open(&bytes).unwrap().plan(&format.selection()).unwrap();
    let (blocks, _) = cut(&bytes, ByteRange { from: 0, to: bytes.len() as u64 }, true, 64).unwrap();
    let group = plan.block(blocks[0].clone(), ROOM);
    let mut seen = 0;
    let block = group.open().unwrap().next_block().unwrap().unwrap();
    let read =
        format.for_each_row(BlockExtent { block: &block, first_row: 0, object: "it", side: Side::Left }, |_, row| {
            let other = (seen % 2 == 1).then_some(-(seen as i64));
            assert_eq!((row.n, row.text.len(), row.other), (seen, seen as usize % 40, other));
            seen += 1;
            Ok(())
        });
    assert_eq!((read.unwrap(), seen), (50, 50));
    // What the type has and the file has not.
    let tuple = Avro::<(u64, String)>::default().with_columns(["n", "missing"]);
    assert!(open(&bytes).unwrap().plan(&tuple.selection()).unwrap_err().is(Code::Columns));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The conformance of splits: wherever a file is cut, and however its bytes arrive, every block is one split's, and what the
    /// splits account for lies end to end.
    #[test]
    fn every_block_is_one_splits(
        blocks in proptest::collection::vec(0usize..60, 0..12), cuts: Vec<prop::sample::Index>, feed in 1usize..700,
    ) {
        let bytes = file_of(&blocks);
        let size = bytes.len() as u64;
        let (want, _) = cut(&bytes, ByteRange { from: 0, to: size }, true, bytes.len()).unwrap();
        prop_assert_eq!(want.len(), blocks.len());
        let mut ends: Vec<u64> = cuts.iter().map(|at| at.index(bytes.len()) as u64).chain([0, size]).collect();
        ends.sort_unstable();
        let (mut got, mut end) = (Vec::new(), 0);
        for pair in ends.windows(2).filter(|pair| pair[0] < pair[1]) {
            let (blocks, taken) = cut(&bytes, ByteRange { from: pair[0], to: pair[1] }, pair[0] == 0, feed).unwrap();
            if let Some(taken) = taken {
                prop_assert_eq!(taken.from, end);
                end = taken.to;
            }
            prop_assert_eq!(blocks.is_empty(), taken.is_none_or(|taken| taken.from == 0 && blocks.is_empty()));
            // A piece that goes on where a block starts has the rest.
            if let Some(second) = blocks.get(1) {
                let rest = cut(&bytes, ByteRange { from: second.lies.from, to: pair[1] }, true, feed).unwrap().0;
                prop_assert_eq!(&rest[..], &blocks[1..]);
            }
            got.extend(blocks);
        }
        prop_assert_eq!(got, want);
        prop_assert_eq!(end, size);
    }

    /// Whatever was done to a file, it is read or refused.
    #[test]
    fn damage_is_never_a_panic(at: prop::sample::Index, with: u8, cut_to: prop::sample::Index) {
        let mut bytes = file_of(&[5, 40, 3]);
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        bytes.truncate(cut_to.index(bytes.len()) + 1);
        let _ = rows_of(&bytes, &all());
    }
}

#[test]
fn a_file_that_is_cut_short_is_never_taken_for_a_whole_one() {
    let bytes = file_of(&[5, 7]);
    let second = cut(&bytes, ByteRange { from: 0, to: bytes.len() as u64 }, true, 99).unwrap().0[1].lies.from as usize;
    let head = open(&bytes).unwrap().head_bytes() as usize;
    for end in 0..bytes.len() {
        match rows_of(&bytes[..end], &all()) {
            // Between two blocks, nothing tells.
            Ok(rows) => assert!((end, rows.len()) == (head, 0) || (end, rows.len()) == (second, 5), "{end}"),
            Err(error) => assert!(error.is(Code::AvroCorrupt), "{end}: {error}"),
        }
    }
}

#[test]
fn what_is_wrong_is_named_with_its_block() {
    let whole = file_of(&[5, 7]);
    let at = open(&whole).unwrap().head_bytes() as usize;
    let refused = |change: &dyn Fn(&mut Vec<u8>), code: Code, says: &str| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        let error = rows_of(&bytes, &all()).unwrap_err();
        assert!(error.is(code) && error.to_string().contains(says), "{says}: {error}");
    };
    refused(&|bytes| bytes[0] = b'P', Code::AvroCorrupt, "does not begin as Avro");
    refused(&|bytes| bytes[at] = 4, Code::AvroCorrupt, "bytes are behind the last of its 2 rows");
    refused(&|bytes| bytes[at] = 20, Code::AvroCorrupt, &format!("the block at byte {at}: row 5"));
    refused(&|bytes| bytes[at] = 1, Code::AvroCorrupt, "it has the length -1");
    refused(&|bytes| bytes[at + 1] += 2, Code::AvroCorrupt, "does not end with the file's marker");
    refused(&|bytes| bytes[at..at + 10].fill(0xff), Code::AvroCorrupt, "begins with no number");
    refused(&|bytes| bytes.truncate(at + 9), Code::AvroCorrupt, "more than the file has");
    refused(&|bytes| bytes.push(2), Code::AvroCorrupt, "cut short within it");
    let only = |schema: &str, codec: &str, rows: usize, stored: &[u8]| {
        let mut bytes = head(schema, codec);
        block(rows, stored, &mut bytes);
        rows_of(&bytes, &all())
    };
    let error = |read: Result<Vec<String>>, code: Code, says: &str| {
        let error = read.unwrap_err();
        assert!(error.is(code) && error.to_string().contains(says) && error.hint().is_some(), "{says}: {error}");
    };
    error(only(ROW, "lzo", 0, &[]), Code::AvroSchema, "lzo");
    error(only("\"long\"", "null", 1, &[2]), Code::AvroSchema, "its schema");
    error(only("{}", "null", 1, &[2]), Code::AvroSchema, "lacks its `type`");
    error(only(ROW, "null", 1 << 40, &[0; 30]), Code::AvroCorrupt, "rows in 30 bytes");
    error(only(ROW, "null", 1, &vec![0; ROOM as usize + 1]), Code::AvroBlock, "at most 1048576 are held");
    // Text that is none.
    error(only(ROW, "null", 1, &[0, 2, 0xff, 0]), Code::AvroCorrupt, "the block at byte");
    // An array that says it has 2^62 nulls.
    let nulls =
        r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "array", "items": "null"}}]}"#;
    let mut many = Vec::new();
    long(1 << 62, &mut many);
    error(only(nulls, "null", 1, &many), Code::AvroCorrupt, "row 0");
}

#[cfg(feature = "all-codecs")]
#[test]
fn blocks_are_unpacked_and_bombs_are_not() {
    use std::io::Write;
    let mut stored = Vec::new();
    (0..50).for_each(|n| row(n, &mut stored));
    let deflate = |bytes: &[u8]| {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let snappy = |bytes: &[u8]| {
        let mut packed = snap::raw::Encoder::new().compress_vec(bytes).unwrap();
        packed.extend_from_slice(&crc32fast::hash(bytes).to_be_bytes());
        packed
    };
    let bzip2 = |bytes: &[u8]| {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let xz = |bytes: &[u8]| {
        let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    type Pack<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let codecs: [(&str, Pack<'_>); 5] =
        [("deflate", &deflate), ("snappy", &snappy), ("bzip2", &bzip2), ("xz", &xz), ("zstandard", &zstd)];
    for (codec, pack) in codecs {
        let read = |rows: usize, stored: &[u8]| {
            let mut bytes = head(ROW, codec);
            block(rows, stored, &mut bytes);
            rows_of(&bytes, &all())
        };
        assert_eq!(read(50, &pack(&stored)).unwrap().len(), 50, "{codec}");
        let mut cut = pack(&stored);
        cut.truncate(cut.len() / 2);
        let error = read(50, &cut).unwrap_err();
        assert!(error.is(Code::AvroCorrupt), "{codec}: {error}");
        let error = read(1, &pack(&vec![0; ROOM as usize + 1])).unwrap_err();
        assert!(error.is(Code::AvroBlock) && error.to_string().contains("unpacks to more"), "{codec}: {error}");
    }
    let mut wrong = snappy(&stored);
    *wrong.last_mut().unwrap() ^= 1;
    let mut bytes = head(ROW, "snappy");
    block(50, &wrong, &mut bytes);
    assert!(rows_of(&bytes, &all()).unwrap_err().to_string().contains("its checksum is wrong"));
}
