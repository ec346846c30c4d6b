//! Files of Avro: whatever a head, a schema or a block says, it is read or refused; ranges whose blocks meet have the blocks of the
//! whole. Input: how many bytes come at once; how many cuts, and each in two bytes; which schema stands in place of the file's head,
//! or none does; the file.
//!
//! Panics of the crate that decodes are errors of the file: `kinglet_formats` catches them, and so the fuzzer must not end on them.

use crate::Seed;
use crate::input::Input;
use bytes::Bytes;
use kinglet_core::engine::cut::Wants;
use kinglet_core::{ByteRange, Framing, Result, Selection};
use kinglet_formats::blocks::{BlockCutter, BlocksOf, File, FileBlock, HeadReader, Headed};

/// How many bytes a block may have, stored and unpacked (1 MiB).
const ROOM_BYTES: u64 = 1 << 20;

const MARKER: &[u8; 16] = b"a marker of 16 b";

/// Schemas whose heads stand in place of an input's own, as a fuzzer seldom writes one that is valid.
const SCHEMAS: [(&str, &str); 4] = [
    (
        "null",
        r#"{"type":"record","name":"R","fields":[{"name":"n","type":"long"},{"name":"text","type":"string"},
           {"name":"maybe","type":["null","double"]},{"name":"list","type":{"type":"array","items":["null","int"]}}]}"#,
    ),
    (
        "null",
        r#"{"type":"record","name":"R","fields":[{"name":"e","type":{"type":"enum","name":"E","symbols":["a","b"]}},
           {"name":"f","type":{"type":"fixed","name":"F","size":5}},{"name":"m","type":{"type":"map","values":"bytes"}},
           {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
           {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}]}"#,
    ),
    ("deflate", r#"{"type":"record","name":"R","fields":[{"name":"b","type":"boolean"},{"name":"x","type":"float"}]}"#),
    ("snappy", r#"{"type":"record","name":"R","fields":[{"name":"n","type":"null"},{"name":"s","type":"string"}]}"#),
];

/// An input.
struct Asked {
    step: usize,
    cuts: Vec<usize>,
    object: Vec<u8>,
}

impl Asked {
    fn of(bytes: &[u8]) -> Self {
        let mut input = Input(bytes);
        let step = usize::from(input.byte()) + 1;
        let count = input.byte() % 6;
        let cuts = (0..count).map(|_| input.short()).collect();
        let object = match SCHEMAS.get(usize::from(input.byte())) {
            Some((codec, schema)) => [&head(schema, codec), input.0].concat(),
            None => input.0.to_vec(),
        };
        Asked { step, cuts, object }
    }
}

pub(crate) fn run(bytes: &[u8]) {
    let Asked { step, cuts, object } = Asked::of(bytes);
    let Some(file) = opened(&object, step) else { return };
    let _ = (file.memory_bytes(), file.codec(), file.types(&kinglet_core::Columns::All));
    let whole = blocks(&file, &object, ByteRange { from: 0, to: object.len() as u64 }, step);
    if let Some((blocks, _)) = &whole {
        for selection in [Selection::default(), Selection::no_columns()] {
            let _ = decoded(&file, &selection, blocks);
        }
    }
    let mut ends: Vec<usize> = cuts.iter().map(|cut| (*cut).min(object.len())).chain([0, object.len()]).collect();
    ends.sort_unstable();
    ends.dedup();
    let (mut all, mut met) = (Vec::new(), 0);
    for range in ends.windows(2) {
        let range = ByteRange { from: range[0] as u64, to: range[1] as u64 };
        let Some((blocks, taken)) = blocks(&file, &object, range, step) else { return };
        all.extend(blocks);
        if let Some(taken) = taken {
            // The manifest's check refuses what does not meet.
            if taken.from != met {
                return;
            }
            met = taken.to;
        }
    }
    if met == object.len() as u64 {
        assert_eq!(Some(all), whole.map(|(blocks, _)| blocks), "the ranges {ends:?} meet, and have other blocks");
    }
}

/// Reads the head, however many bytes come at once.
fn opened(object: &[u8], step: usize) -> Option<File> {
    let whole = HeadReader::new("it").feed(object, true);
    let (mut reader, mut fed) = (HeadReader::new("it"), 0);
    let parts = loop {
        let to = object.len().min(fed + step);
        match reader.feed(&object[fed..to], to == object.len()) {
            Ok(None) => fed = to,
            ended => break ended.map(|headed| headed.map(|headed| (headed, to))),
        }
    };
    match (whole, parts) {
        (Ok(Some(Headed { file, rest })), Ok(Some((parts, to)))) => {
            assert_eq!(file.head_bytes(), parts.file.head_bytes());
            assert_eq!(rest, object[file.head_bytes() as usize..]);
            assert_eq!(parts.rest, object[file.head_bytes() as usize..to]);
            Some(file)
        }
        (Err(_), Err(_)) => None,
        (whole, parts) => panic!("read as a whole: {whole:?}, and in parts: {parts:?}"),
    }
}

/// Cuts a range into blocks; `None` if that fails.
fn blocks(file: &File, object: &[u8], range: ByteRange, step: usize) -> Option<(Vec<FileBlock>, Option<ByteRange>)> {
    let size = object.len() as u64;
    let mut cutter =
        BlockCutter::new(file, BlocksOf { range, size, starts: range.from == 0, block_bytes_max: ROOM_BYTES });
    let mut blocks = Vec::new();
    let mut wants = cutter.feed(Bytes::new(), &mut |block| blocks.push(block)).ok()?;
    while wants == Wants::More {
        let from = cutter.reads_from() as usize;
        let bytes = &object[from..object.len().min(from + step)];
        assert!(!bytes.is_empty(), "more is wanted than the file has");
        wants = cutter.feed(Bytes::copy_from_slice(bytes), &mut |block| blocks.push(block)).ok()?;
    }
    Some((blocks, cutter.taken()))
}

/// Decodes blocks: all of their rows, or an error. Returns how many there are.
fn decoded(file: &File, selection: &Selection, blocks: &[FileBlock]) -> Result<u64> {
    let plan = file.plan(selection)?;
    let mut all = 0;
    for block in blocks {
        let (rows, place) = (block.rows, Framing::place_in_block(block.lies.from, 0));
        let group = plan.block(block.clone(), ROOM_BYTES);
        let _ = group.place(place);
        let (mut open, mut read) = (group.open()?, 0);
        while let Some(block) = open.next_block()? {
            read += block.rows() as u64;
        }
        assert_eq!(read, rows, "a block is read to its end, and has another number of rows");
        all += read;
    }
    Ok(all)
}

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
    for (name, value) in [("avro.schema", schema), ("avro.codec", codec)] {
        text(name.as_bytes(), &mut out);
        text(value.as_bytes(), &mut out);
    }
    long(0, &mut out);
    out.extend_from_slice(MARKER);
    out
}

fn block(rows: i64, stored: &[u8], out: &mut Vec<u8>) {
    long(rows, out);
    text(stored, out);
    out.extend_from_slice(MARKER);
}

pub(crate) fn seeds() -> Vec<Seed> {
    // How it is read: 60 bytes at once, two cuts.
    let how = |schema: u8| vec![59, 2, 40, 0, 90, 1, schema];
    let of = |schema: u8, blocks: &[(i64, &[u8])]| {
        let mut out = how(schema);
        blocks.iter().for_each(|(rows, stored)| block(*rows, stored, &mut out));
        out
    };
    let (n, list) = ([3, 6, b'a', b'b', b'c', 0, 4, 0, 2, 9, 0], [0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let enums = [2, b'f', b'i', b'x', b'e', b'd', 2, 2, b'k', 2, 1, 0, 0xf6, 0xff, 0x0f, 4, 1, 2];
    let deflated = [1, 5, 0, 0xfa, 0xff, 1, 0, 0, 0x80, 0x3f];
    let xyz = [6, b'x', b'y', b'z'];
    let snappy = [&[4, 12][..], &xyz, &crc32fast::hash(&xyz).to_be_bytes()].concat();
    let mut whole = how(255);
    whole.extend_from_slice(&head(SCHEMAS[0].1, "null"));
    block(2, &[&n[..], &list].concat(), &mut whole);
    block(0, &[], &mut whole);
    let mut wide = how(255);
    wide.extend_from_slice(&head(
        r#"{"type":"record","name":"a.b","fields":[{"name":"u","type":["string","null"]},{"name":"r","type":["null",
           {"type":"record","name":"In","fields":[{"name":"day","type":{"type":"int","logicalType":"date"}},
           {"name":"id","type":{"type":"string","logicalType":"uuid"}}]}]},{"name":"l","type":{"type":"array","items":"a.In"}}]}"#,
        "null",
    ));
    block(1, &[0, 2, b'x', 0, 0], &mut wide);
    vec![
        Seed::new("rows", of(0, &[(1, &n), (1, &list), (2, &[&n[..], &[0; 4]].concat())])),
        Seed::new("kinds", of(1, &[(1, &enums)])),
        Seed::new("deflated", of(2, &[(1, &deflated), (0, &[3, 0])])),
        Seed::new("snappy", of(3, &[(1, &snappy)])),
        Seed::new("whole", whole),
        Seed::new("wide", wide),
    ]
}

/// A fuzzer finds its way from files that are read.
#[test]
fn seeds_are_read() {
    for seed in seeds() {
        let Asked { step, object, .. } = Asked::of(&seed.bytes);
        let file = opened(&object, step).unwrap_or_else(|| panic!("the head of {}", seed.name));
        let (blocks, taken) = blocks(&file, &object, ByteRange { from: 0, to: object.len() as u64 }, step)
            .unwrap_or_else(|| panic!("the blocks of {}", seed.name));
        assert_eq!(taken.map(|taken| taken.to), Some(object.len() as u64));
        let rows = decoded(&file, &Selection::default(), &blocks).unwrap_or_else(|e| panic!("{}: {e}", seed.name));
        assert!(rows > 0, "{}", seed.name);
    }
}
