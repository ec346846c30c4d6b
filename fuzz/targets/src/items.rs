//! Items, the results of calls, and shipped programs. Input: which of them; the bytes, of which the first say how they come.

use crate::input::Input;
use crate::{Seed, golden, seal};
use kinglet_core::ids::ProgramId;
use kinglet_core::wire::program::{Unpacker, pack};
use kinglet_core::wire::{calls, items};

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    match input.byte() {
        0 => {
            let mut sealed = input.0.to_vec();
            seal::items(&mut sealed);
            for bytes in [input.0, &sealed] {
                each_item(bytes);
            }
        }
        1 => {
            let items_bytes = input.short() as u64;
            let mut sealed = input.0.to_vec();
            seal::trailer(&mut sealed);
            for bytes in [input.0, &sealed] {
                if let Ok(ends) = items::read_index(bytes, items_bytes) {
                    assert!(ends.is_sorted() && ends.last().copied().unwrap_or(0) == items_bytes);
                    assert_eq!(items::index_bytes(ends.len() as u32), bytes.len() as u64);
                }
            }
        }
        2 => {
            let mut sealed = input.0.to_vec();
            seal::items(&mut sealed);
            for bytes in [input.0, &sealed] {
                let Ok(results) = calls::read(bytes, "it") else { continue };
                let mut again = Vec::new();
                for result in &results {
                    calls::write(result.number, &result.head, result.value, &mut again).expect("it can be written");
                }
                assert_eq!(calls::read(&again, "it again").expect("it can be read"), results);
            }
        }
        3 => program(usize::from(input.byte()) + 1, input.0),
        _ => {
            let id = ProgramId::of(input.0);
            let packed = pack(62, input.0, id);
            let mut unpacked = Vec::new();
            let mut unpacker = Unpacker::new(id);
            let mut write = |bytes: &[u8]| {
                unpacked.extend_from_slice(bytes);
                Ok(())
            };
            packed.chunks(7).for_each(|bytes| unpacker.push(bytes, &mut write).expect("what was packed"));
            assert_eq!(unpacker.finish().expect("the whole").program, id);
            assert_eq!(unpacked, input.0);
        }
    }
}

fn each_item(bytes: &[u8]) {
    let mut at = 0;
    while let Ok(item) = items::read(&bytes[at..]) {
        let rest = &bytes[at..];
        let header = items::header(rest).expect("an item has a header");
        assert_eq!((header.bytes, header.number), (item.bytes, item.number));
        assert_eq!((items::first_end(rest), items::number(rest)), (Some(item.bytes), Some(item.number)));
        assert_eq!(item.bytes, items::HEADER_BYTES + item.payload.len());
        at += item.bytes;
    }
    let _ = (items::header(&bytes[at..]), items::first_end(&bytes[at..]));
}

/// Unpacks what is no program, or one that was changed, in steps of this many bytes.
fn program(step: usize, bytes: &[u8]) {
    // The header's checksum and id are made right, as nothing else would be read.
    let mut bytes = bytes.to_vec();
    let mut id = ProgramId::from_bytes([7; 32]);
    if bytes.len() >= 56 {
        bytes[..6].copy_from_slice(b"KPGM\x01\0");
        let crc = crc32fast::hash(&bytes[..48]).to_le_bytes();
        bytes[48..52].copy_from_slice(&crc);
        id = ProgramId::from_bytes(*bytes[16..].first_chunk().expect("32 bytes"));
    }
    let mut unpacker = Unpacker::new(id);
    let mut unpacked = Vec::new();
    for bytes in bytes.chunks(step) {
        let mut write = |bytes: &[u8]| {
            unpacked.extend_from_slice(bytes);
            Ok(())
        };
        if unpacker.push(bytes, &mut write).is_err() {
            return;
        }
    }
    let said = unpacker.header().map(|header| header.bytes);
    assert!(said.is_none_or(|said| unpacked.len() as u64 <= said), "more than the header says");
    if unpacker.finish().is_ok() {
        assert_eq!(ProgramId::of(&unpacked), id);
    }
}

pub(crate) fn seeds() -> Vec<Seed> {
    let of = |which: u8, bytes: &[u8]| [&[which], bytes].concat();
    let items = golden!("items-v1.bin");
    let index = items.windows(4).position(|bytes| bytes == b"KITM").expect("an index");
    let items_bytes = (index as u16).to_le_bytes();
    vec![
        Seed::new("items", of(0, items)),
        Seed::new("index", of(1, &[&items_bytes[..], &items[index..]].concat())),
        Seed::new("calls", of(2, golden!("calls-v1.bin"))),
        Seed::new("program", of(3, &[&[6], &golden!("program-v1.bin")[..]].concat())),
        Seed::new("packed", of(4, &b"an executable ".repeat(20))),
    ]
}
