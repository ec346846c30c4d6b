//! Cutting: wherever an object is cut into splits, and however its bytes come, the records are those of the whole object. Input:
//! which format; the size of blocks; how many cuts, and each in two bytes; the object.

use crate::input::Input;
use crate::{Seed, golden, seal};
use bytes::Bytes;
use kinglet_core::engine::cut::{Cuts, Cutter, Wants};
use kinglet_core::wire::items;
use kinglet_core::{
    Batches, ByteLines, Csv, CsvDialect, CsvFields, CsvRow, Extent, Fixed, Format, Framing, HeadedLines, Items,
    JsonLines, Lines, Located, Side, Words, check_format,
};
use std::sync::Arc;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (format, block_bytes) = (input.byte(), usize::from(input.byte()) + 1);
    let count = input.byte() % 8;
    let cuts: Vec<usize> = (0..count).map(|_| input.short()).collect();
    let object = input.0;
    let seen = |record: &[u8]| record.to_vec();
    match format {
        0 if std::str::from_utf8(object).is_ok() => check_format(Lines, object, &cuts, block_bytes, str::to_owned),
        0 => fed(Lines, object, &cuts, block_bytes),
        1 => check_format(ByteLines, object, &cuts, block_bytes, seen),
        2 => check_format(HeadedLines, object, &cuts, block_bytes, seen),
        3 => check_format(Words, object, &cuts, block_bytes, seen),
        4 => check_format(Fixed::<1>, object, &cuts, block_bytes, |record| *record),
        5 => check_format(Fixed::<3>, &object[..object.len() / 3 * 3], &cuts, block_bytes, |record| *record),
        6 => check_format(Fixed::<64>, &object[..object.len() / 64 * 64], &cuts, block_bytes, |record| *record),
        7 => check_format(Located(Words), object, &cuts, block_bytes, |word| (word.record.to_vec(), word.offset)),
        8 => fed(Fixed::<7>, object, &cuts, block_bytes),
        9 => fed(Batches(Lines), object, &cuts, block_bytes),
        10 => {
            // The object's bytes are values, each of as many bytes as its first one says.
            let (mut writer, mut left) = (items::Writer::new(), Input(object));
            while !left.0.is_empty() {
                let length = left.byte();
                writer.push(&left.take(length.into()).to_vec()).expect("a value");
            }
            check_format(Items::<Vec<u8>>::default(), &writer.into_bytes(), &cuts, block_bytes, |value| value);
        }
        12 => {
            let json = JsonLines::<serde_json::Value>::default;
            match is_valid(json(), object) {
                true => check_format(json(), object, &cuts, block_bytes, |value| value),
                false => fed(json(), object, &cuts, block_bytes),
            }
        }
        13..=15 => {
            let dialect = match format {
                13 => CsvDialect::new().without_head(),
                14 => CsvDialect::tsv().with_short_rows(),
                _ => CsvDialect::new().without_quoted_newlines().without_head(),
            };
            let fields = |row: CsvRow<'_>| row.fields().map(|field| field.into_owned()).collect::<Vec<_>>();
            match is_valid(CsvFields::new(dialect), object) {
                true => check_format(CsvFields::new(dialect), object, &cuts, block_bytes, fields),
                false => fed(CsvFields::new(dialect), object, &cuts, block_bytes),
            }
            if is_valid(Csv::<Vec<String>>::new(dialect), object) {
                check_format(Csv::<Vec<String>>::new(dialect), object, &cuts, block_bytes, |row| row);
            }
        }
        16 => fed(CsvFields::new(CsvDialect::new().with_escape(b'\\')), object, &[], block_bytes),
        _ => {
            let mut sealed = object.to_vec();
            seal::items(&mut sealed);
            for object in [object, &sealed] {
                fed(Items::<Vec<u8>>::default(), object, &cuts, block_bytes);
            }
        }
    }
}

/// Returns whether an object can be read in a format.
fn is_valid<F: Format>(format: F, object: &[u8]) -> bool {
    format
        .for_each(Extent { bytes: object, offset: 0, head: &[], object: "it", side: Side::Left }, |_, _| Ok(()))
        .is_ok()
}

/// Reads an object that may not be valid in its format, split by split: whatever is wrong with it, every byte is handed on at
/// most once, in order, and reading ends.
fn fed<F: Format>(format: F, object: &[u8], cuts: &[usize], block_bytes: usize) {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| (*cut).min(object.len())).chain([0, object.len()]).collect();
    ends.sort_unstable();
    ends.dedup();
    let format = Arc::new(format);
    let finds = Cuts::shared(format.clone());
    // Where a split of quoted records begins is a guess, which what is not valid proves wrong.
    let guesses = matches!(format.framing(), Framing::Quoted(_));
    let mut end = 0;
    for split in ends.windows(2) {
        let size = object.len() as u64;
        let mut cutter = Cutter::new(finds.clone(), 0, split[0] as u64, split[1] as u64, size);
        let mut wants = Wants::More;
        while wants == Wants::More {
            let at = cutter.reads_from() as usize;
            let block = &object[at..(at + block_bytes).min(object.len())];
            assert!(!block.is_empty(), "more is wanted than the object has");
            wants = cutter.feed(Bytes::copy_from_slice(block), &mut |chunk| {
                assert!(guesses || chunk.offset >= end, "bytes of the object are handed on twice");
                end = chunk.offset + chunk.bytes.len() as u64;
                assert_eq!(chunk.bytes, object[chunk.offset as usize..end as usize]);
                let extent =
                    Extent { bytes: &chunk.bytes, offset: chunk.offset, head: &[], object: "it", side: Side::Left };
                let _ = format.for_each(extent, |at, _| {
                    assert!(at < extent.bytes.len());
                    let _ = format.place(extent, at);
                    Ok(())
                });
            });
        }
    }
}

pub(crate) fn seeds() -> Vec<Seed> {
    let of = |format: u8, object: &[u8]| [&[format, 6, 2, 9, 0, 30, 0], object].concat();
    let text = b"one,two\r\nthree four\n\nfive  six\tseven\nthe last line has no end";
    let names = ["lines", "byte-lines", "headed-lines", "words", "fixed-1", "fixed-3", "fixed-64", "located"];
    let mut seeds: Vec<_> = (0..).zip(names).map(|(format, name)| Seed::new(name, of(format, text))).collect();
    seeds.push(Seed::new("not-utf8", of(0, b"ok\n\xff\xfe\nok\n")));
    seeds.push(Seed::new("fixed-7", of(8, text)));
    seeds.push(Seed::new("batches", of(9, text)));
    seeds.push(Seed::new("items", of(10, b"\x03abc\x00\x05fives\x20and what is left of the object")));
    let json = b"\xef\xbb\xbf{\"a\": [1, -2.5e3, \"b\\n\\u00e4\"]}\r\n\n \nnull\n9223372036854775808\n\"c\"";
    seeds.push(Seed::new("json-lines", of(12, json)));
    seeds.push(Seed::new("damaged-json-lines", of(12, b"{\"a\": NaN}\n{\"b\"")));
    let csv = b"\xef\xbb\xbfid,text\r\n1,\"one, \"\"two\"\"\r\nthree\"\r\n\r\n2,\"\"\r\n3,four";
    seeds.push(Seed::new("csv", of(13, csv)));
    seeds.push(Seed::new("tsv", of(14, b"a\tb\tc\n1\t\"2\n3\"\t4\n5\n\n6\t7\n")));
    seeds.push(Seed::new("csv-lines", of(15, b"a,\"b\"\nc,\"d,e\"\n")));
    seeds.push(Seed::new("csv-escaped", of(16, b"a,b\\,c\n\"d\\\"\\\n\",e\n")));
    seeds.push(Seed::new("damaged-csv", of(13, b"a,b\n1,\"2\"3\n4,5,6\n\"7")));
    seeds.push(Seed::new("damaged-items", of(11, golden!("items-v1.bin"))));
    seeds
}
