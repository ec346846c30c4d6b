//! The laws of a format, which Kinglet's formats keep and a user's own should: wherever an object is cut into splits, and
//! however its bytes arrive, the same records come out, once, in order, each with its place.

use super::cut::{Chunk, Cuts, Cutter, Wants};
use crate::format::{Extent, Format, Framing};
use crate::side::Side;
use bytes::Bytes;
use std::fmt::Debug;
use std::sync::Arc;

/// Checks a format's laws on one object. It reads the object as a whole, and then in the splits that `cuts` (offsets in the
/// object, in any order) make of it, in blocks of `block_bytes` as a mapper does, and compares what `see` returns for each
/// record. Records that carry their length are only ever cut where one starts, so a cut within such a record moves to its
/// start. Where a split of quoted records begins at another place than the one before it ends, which fails a job, it is read
/// again from there on.
///
/// Do not check [`Batches`](crate::Batches), whose records depend on how the bytes arrive, but the format that they hold.
///
/// ```
/// use kinglet_core::{Lines, check_format};
///
/// check_format(Lines, b"one\ntwo\n\nthree", &[2, 4, 9], 5, str::to_owned);
/// ```
///
/// # Panics
/// Panics when a law does not hold, saying which, or when the object is not valid in the format.
pub fn check_format<F: Format, T: PartialEq + Debug>(
    format: F,
    object: &[u8],
    cuts: &[usize],
    block_bytes: usize,
    mut see: impl FnMut(F::Record<'_>) -> T,
) {
    let format = Arc::new(format);
    let finds = Cuts::shared(format.clone());
    let head = match format.has_head() {
        true => &object[..finds.first(object, 0).unwrap_or(object.len())],
        false => &[],
    };
    let mut read = |bytes: &[u8], offset: usize| {
        let mut seen = Vec::new();
        let extent = Extent { bytes, offset: offset as u64, head, object: "the object", side: Side::Left };
        let count = format.for_each(extent, |at, record| {
            seen.push((offset + at, see(record)));
            Ok(())
        });
        match count {
            Ok(count) => assert_eq!(count, seen.len() as u64, "records counted and records given"),
            Err(error) => panic!("the object is not valid from byte {offset} on: {error}"),
        }
        seen
    };

    let whole = read(object, 0);
    assert!(whole.is_sorted_by(|a, b| a.0 < b.0), "each record starts behind the one before it");
    let starts: Vec<usize> = whole.iter().map(|(start, _)| *start).collect();
    for (n, record) in whole.iter().enumerate() {
        let end = starts.get(n + 1).copied().unwrap_or(object.len());
        assert!(record.0 < object.len(), "record {n} starts in the object");
        let alone = read(&object[record.0..end], record.0);
        assert_eq!(alone.first(), Some(record), "what is read from the place of record {n} on");
    }

    let prefixed = format.framing() == Framing::Prefixed;
    let place = |cut: usize| match prefixed {
        true => starts[..starts.partition_point(|start| *start <= cut)].last().copied().unwrap_or(0),
        false => cut.min(object.len()),
    };
    let mut ends: Vec<usize> = cuts.iter().map(|cut| place(*cut)).chain([0, object.len()]).collect();
    ends.sort_unstable();
    ends.dedup();
    let (mut parts, mut end) = (Vec::new(), 0);
    let guesses = matches!(format.framing(), Framing::Quoted(_));
    for split in ends.windows(2) {
        let mut read_of_split = chunks(&finds, object, split[0], split[1], block_bytes);
        if guesses && read_of_split.first().is_some_and(|first| first.offset != end) {
            // A job fails by this, as what was guessed is not what the splits before prove.
            read_of_split = proved_chunks(&finds, object, end as usize, split[1], block_bytes);
        }
        if guesses && (end as usize) < split[1] && read_of_split.is_empty() {
            read_of_split = proved_chunks(&finds, object, end as usize, split[1], block_bytes);
        }
        for chunk in read_of_split {
            assert_eq!(chunk.offset, end, "what is read of a split starts where the one before it ends");
            end += chunk.bytes.len() as u64;
            parts.extend(read(&chunk.bytes, chunk.offset as usize));
        }
    }
    assert_eq!(end, object.len() as u64, "the splits together are the object");
    assert_eq!(
        parts, whole,
        "the records of the splits {ends:?}, in blocks of {block_bytes} bytes, and those of the whole"
    );
}

/// Reads the split `from..to` as a mapper does, in blocks.
pub(super) fn chunks(finds: &Cuts, object: &[u8], from: usize, to: usize, block_bytes: usize) -> Vec<Chunk> {
    fed(Cutter::new(finds.clone(), 0, from as u64, to as u64, object.len() as u64), object, block_bytes)
}

/// Reads `from..to` as a mapper does the rest of a split, where a record is known to start at `from`.
fn proved_chunks(finds: &Cuts, object: &[u8], from: usize, to: usize, block_bytes: usize) -> Vec<Chunk> {
    match from < to {
        true => {
            let cutter = Cutter::new(finds.clone(), 0, from as u64, to as u64, object.len() as u64);
            fed(cutter.at_record(), object, block_bytes)
        }
        false => Vec::new(),
    }
}

fn fed(mut cutter: Cutter, object: &[u8], block_bytes: usize) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    loop {
        let at = cutter.reads_from() as usize;
        let block = &object[at..(at + block_bytes.max(1)).min(object.len())];
        assert!(!block.is_empty(), "a split wants more than the object has");
        if cutter.feed(Bytes::copy_from_slice(block), &mut |chunk| chunks.push(chunk)) == Wants::Nothing {
            return chunks;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::items;
    use crate::{
        ByteLines, Fixed, HeadedLines, Items, JsonLines, Lines, Located, RawRows, RowFormat, Rows, WholeObjects, Words,
    };
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn every_format_keeps_the_laws(
            text in "[ab\\r\\n ,]{0,60}", values: Vec<(u8, String)>,
            cuts in proptest::collection::vec(0usize..70, 0..6), block_bytes in 1usize..20,
        ) {
            let object = text.as_bytes();
            let bytes = |record: &[u8]| record.to_vec();
            check_format(Lines, object, &cuts, block_bytes, str::to_owned);
            check_format(ByteLines, object, &cuts, block_bytes, bytes);
            check_format(HeadedLines, object, &cuts, block_bytes, bytes);
            check_format(Words, object, &cuts, block_bytes, bytes);
            check_format(Fixed::<1>, object, &cuts, block_bytes, |record| *record);
            check_format(Fixed::<3>, &object[..object.len() / 3 * 3], &cuts, block_bytes, |record| *record);
            let records = &object[..object.len() / 3 * 3];
            let of_three = RowFormat::Fixed(std::num::NonZeroU32::new(3).unwrap());
            check_format(RawRows(of_three.clone()), records, &cuts, block_bytes, bytes);
            check_format(Rows(of_three), records, &cuts, block_bytes, |row| format!("{row:?}"));
            check_format(WholeObjects, object, &cuts, block_bytes, |object| object.bytes.to_vec());
            check_format(Rows(RowFormat::Whole), object, &cuts, block_bytes, |row| format!("{row:?}"));
            check_format(Located(Words), object, &cuts, block_bytes, |word| {
                (word.record.to_vec(), word.offset, word.object.to_owned())
            });
            let json: String = values.iter().map(|value| serde_json::to_string(value).unwrap() + "\r\n\n").collect();
            check_format(JsonLines::<(u8, String)>::default(), json.as_bytes(), &cuts, block_bytes, |value| value);
            let mut writer = items::Writer::new();
            values.iter().for_each(|value| writer.push(value).unwrap());
            check_format(Items::<(u8, String)>::default(), &writer.into_bytes(), &cuts, block_bytes, |value| value);
        }
    }

    /// A wrong format, which says that lines may also be cut at blanks.
    #[derive(Default)]
    struct Torn;

    impl Format for Torn {
        type Record<'a> = &'a str;
        const NAME: &'static str = "torn";

        fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
            Words.last_cut(bytes)
        }

        fn for_each<'a>(
            &'a self,
            extent: Extent<'a>,
            each: impl FnMut(usize, &'a str) -> crate::UserResult,
        ) -> crate::UserResult<u64> {
            Lines.for_each(Extent { bytes: extent.bytes, ..extent }, each)
        }
    }

    #[test]
    #[should_panic(expected = "and those of the whole")]
    fn a_format_that_tears_records_is_found_out() {
        check_format(Torn, b"a line\nand another\n", &[9], 4, str::to_owned);
    }
}
