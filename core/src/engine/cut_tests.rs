//! What a reader asks a cutter between two blocks, and what a cutter asks of a format.

use super::cut::{Cuts, Cutter, Wants};
use crate::format::{CsvDialect, Fixed, HeadedLines, Items, Lines, RowFormat, Rows, Words};
use bytes::Bytes;

/// Feeds one block, and gives what the cutter wants and what its chunks hold.
fn feed(cutter: &mut Cutter, block: &'static [u8]) -> (Wants, Vec<String>) {
    let mut chunks = vec![];
    let wants =
        cutter.feed(Bytes::from_static(block), &mut |chunk| chunks.push(String::from_utf8_lossy(&chunk.bytes).into()));
    (wants, chunks)
}

#[test]
fn a_reader_learns_of_a_format_what_it_must_fetch_besides() {
    let asks = |cuts: Cuts| (cuts.framed(), cuts.head());
    assert_eq!(asks(Cuts::of(Lines)), (false, false));
    assert_eq!(asks(Cuts::of(HeadedLines)), (false, true));
    assert_eq!(asks(Cuts::of(Items::<u8>::default())), (true, false));
}

#[test]
fn a_block_within_a_record_of_fixed_length_has_no_cut() {
    let cuts = Cuts::of(Fixed::<4>);
    for (offset, bytes, first, last) in [
        (0, 3, None, None),
        (0, 4, Some(4), Some(4)),
        (0, 5, Some(4), Some(4)),
        (1, 2, None, None),
        (1, 3, Some(3), Some(3)),
        (5, 9, Some(3), Some(7)),
    ] {
        let block = vec![0; bytes];
        assert_eq!((cuts.first(&block, offset), cuts.last(&block, offset)), (first, last), "{bytes} from {offset}");
    }
}

#[test]
fn the_tail_begins_at_the_splits_end_and_ends_with_its_last_record() {
    // The split is `0..4` of "ab cdef gh", so its last record ends beyond it.
    let mut cutter = Cutter::new(Cuts::of(Words), 0, 0, 4, 10);
    assert!(!cutter.in_tail());
    assert_eq!(feed(&mut cutter, b"ab "), (Wants::More, vec!["ab ".to_owned()]));
    assert!(!cutter.in_tail(), "the split has a byte more");
    assert_eq!(feed(&mut cutter, b"c"), (Wants::More, vec![]));
    assert!(cutter.in_tail());
    assert_eq!(cutter.reads_from(), 4);
    assert_eq!(feed(&mut cutter, b"def gh"), (Wants::Nothing, vec!["cdef ".to_owned()]));
    assert!(!cutter.in_tail(), "nothing is wanted any more");
    assert_eq!(cutter.taken(), Some((0, 8).into()));
}

#[test]
fn a_split_that_ends_with_a_record_asks_for_nothing_beyond() {
    let mut cutter = Cutter::new(Cuts::of(Words), 0, 0, 3, 10);
    assert_eq!(feed(&mut cutter, b"ab "), (Wants::Nothing, vec!["ab ".to_owned()]));
    assert!(!cutter.in_tail());
}

#[test]
fn an_empty_split_wants_nothing() {
    let mut cutter = Cutter::new(Cuts::of(Words), 0, 3, 3, 10);
    assert_eq!(feed(&mut cutter, b"ab cd"), (Wants::Nothing, vec![]));
    assert_eq!(cutter.taken(), None);
}

/// Two items, and where the first ends.
fn two_items() -> (&'static [u8], usize) {
    let mut writer = crate::wire::items::Writer::new();
    writer.push(&[1u8; 20]).unwrap();
    writer.push(&[2u8; 20]).unwrap();
    let end = writer.ends()[0] as usize;
    (writer.into_bytes().leak(), end)
}

#[test]
fn an_item_is_given_with_the_block_that_completes_it() {
    let (object, end) = two_items();
    let size = object.len() as u64;
    let mut cutter = Cutter::new(Cuts::of(Items::<[u8; 20]>::default()), 0, 0, size, size);
    let mut counts = vec![];
    for block in [&object[..5], &object[5..end], &object[end..end + 5], &object[end + 5..]] {
        let (wants, chunks) = feed(&mut cutter, block);
        counts.push((wants, chunks.len()));
    }
    assert_eq!(counts, [(Wants::More, 0), (Wants::More, 1), (Wants::More, 0), (Wants::Nothing, 1)]);
    assert_eq!(cutter.taken(), Some((0, size).into()));
}

#[test]
fn a_split_that_ends_within_an_item_hands_on_what_it_has_of_it() {
    let (object, end) = two_items();
    for blocks in [vec![end + 5], vec![end, 5], vec![3, end, 2]] {
        let mut cutter = Cutter::new(Cuts::of(Items::<[u8; 20]>::default()), 0, 0, end as u64 + 5, object.len() as u64);
        let (mut at, mut count, mut last) = (0, 0, Wants::More);
        for block in blocks {
            let (wants, chunks) = feed(&mut cutter, &object[at..at + block]);
            count += chunks.len();
            (at, last) = (at + block, wants);
        }
        assert_eq!((last, count), (Wants::Nothing, 2), "the item, and what is left");
    }
}

#[test]
fn no_chunk_is_empty() {
    // Every block of these ends with a record, and the next one's first cut is its last.
    for blocks in [[&b"a b"[..], b"c ", b"d "], [b"a", b" ", b"b "], [b"a ", b"b ", b"c "]] {
        let mut cutter = Cutter::new(Cuts::of(Words), 0, 0, 100, 100);
        for block in blocks {
            let (_, chunks) = feed(&mut cutter, block);
            assert!(chunks.iter().all(|chunk| !chunk.is_empty()), "{chunks:?}");
        }
    }
}

#[test]
fn whole_records_are_found_in_pieces_from_the_middle() {
    let lines = Cuts::of(Lines);
    assert_eq!(lines.whole(b"ab\ncd\ne", 0, false), Some(0..6));
    assert_eq!(lines.whole(b"ab\ncd\ne", 0, true), Some(0..7));
    assert_eq!(lines.whole(b"ab\ncd\ne", 9, false), Some(3..6));
    assert_eq!(lines.whole(b"ab\ncd\ne", 9, true), Some(3..7));
    for none in [&b"abc"[..], b"ab\n", b""] {
        assert_eq!(lines.whole(none, 9, false), None);
    }
    let fixed = Cuts::of(Fixed::<4>);
    assert_eq!((fixed.whole(b"0123456789ab", 6, false), fixed.whole(b"0123", 5, false)), (Some(2..10), None));
    let csv = Cuts::of(Rows(RowFormat::Csv(CsvDialect::new())));
    // The first quote has text behind it, so it opens a field.
    assert_eq!(csv.whole(b"b\n1,\"x\ny\"\n2,z\n3", 40, false), Some(2..14));
    // Here it has text before it.
    assert_eq!(csv.whole(b"x\ny\"\n2,z\n3", 40, false), Some(5..9));
}
