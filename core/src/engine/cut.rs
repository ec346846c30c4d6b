//! Cuts a stream of blocks into chunks of whole records.
//!
//! A record belongs to the split in which its first byte lies. For the split `from..to` of an object, the reader fetches from
//! one byte *before* `from` (that byte tells whether a record starts at `from`) and feeds the blocks in order. The cutter asks
//! for more bytes until the record that crosses `to` has ended. Blocks may have any size, and so may records.
//!
//! ```text
//!            from-1 from                         to
//!   … record a …│…│ record b │ record c │ record d … │ record e
//!               └┬┘└──────────── this split's ──────┘
//!                skipped up to the first cut
//! ```
//!
//! Records that carry their length can only be found from the start of one. Their splits start and end at records, and
//! nothing is read before or after them. Each record is a chunk of its own, as one may take hours while another thread takes
//! the next.
//!
//! Where records are quoted, a split first guesses how it begins (`crate::format::quotes`); from there on the quotes are counted.
//!
//! Most chunks are slices of a block and cost no copy; only a record that crosses blocks is copied together.

use crate::format::quotes::{LastEnd, Within};
use crate::format::{Format, Frame, Framing, GUESS_BYTES, Quotes, RowGroup, Selection};
use crate::range::ByteRange;
use crate::side::Side;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Some whole records, as one thread is given them.
#[derive(Clone)]
pub struct Chunk {
    /// The records.
    pub bytes: Bytes,
    /// The position of its object in the split's list of ranges.
    pub range_idx: u32,
    /// The offset in the object of the first byte.
    pub offset: u64,
    /// The object's first record, if the format wants it with every chunk; the cutter leaves it empty.
    pub head: Bytes,
    /// The records, where they lie in columns. There are no bytes then, and the offset is the number of the first row.
    pub rows: Option<Arc<dyn RowGroup>>,
}

/// Finds the cuts of a [`Format`] whose type is hidden. It is called once for each block.
#[derive(Clone)]
pub struct Cuts {
    separators: Arc<dyn Finds>,
    framed: bool,
    record_bytes: Option<u64>,
    quotes: Option<Quotes>,
    head: bool,
    columns: Option<Arc<Selection>>,
    in_blocks: bool,
}

/// Finds the separators of one side.
trait Finds: Send + Sync {
    fn first(&self, bytes: &[u8]) -> Option<usize>;
    fn last(&self, bytes: &[u8]) -> Option<usize>;
}

/// A format, and the side of a join whose separators are to be found.
struct SideOf<F> {
    format: Arc<F>,
    side: Side,
}

impl<F: Format> Finds for SideOf<F> {
    fn first(&self, bytes: &[u8]) -> Option<usize> {
        self.format.of_side(self.side).first(bytes)
    }

    fn last(&self, bytes: &[u8]) -> Option<usize> {
        self.format.of_side(self.side).last(bytes)
    }
}

impl Cuts {
    /// Makes the cuts of a format.
    pub fn of<F: Format>(format: F) -> Self {
        Self::shared(Arc::new(format))
    }

    /// Makes the cuts of a format that is used elsewhere, too.
    pub fn shared<F: Format>(format: Arc<F>) -> Self {
        Self::of_side(format, Side::Left)
    }

    /// Makes the cuts of one side of a join.
    pub fn of_side<F: Format>(format: Arc<F>, side: Side) -> Self {
        let Frame { framing, has_head: head, selection, .. } = format.of_side(side).frame();
        let record_bytes = match framing {
            Framing::Fixed { bytes } => Some(bytes.max(1) as u64),
            Framing::Separated | Framing::Prefixed | Framing::Quoted(_) | Framing::Whole => None,
            Framing::RowGroups | Framing::Blocks => None,
        };
        let quotes = match framing {
            Framing::Quoted(quotes) => Some(quotes),
            _ => None,
        };
        let columns = framing.is_in_columns().then(|| Arc::new(selection));
        let separators = Arc::new(SideOf { format, side });
        let (framed, in_blocks) = (framing == Framing::Prefixed, framing == Framing::Blocks);
        Cuts { separators, framed, record_bytes, quotes, head, columns, in_blocks }
    }

    /// Returns whether records carry their length; see [`Framing::Prefixed`].
    pub fn framed(&self) -> bool {
        self.framed
    }

    /// Returns what is read of objects whose rows lie in columns; `None` of all others. See [`Framing::is_in_columns`].
    pub fn columns(&self) -> Option<&Selection> {
        self.columns.as_deref()
    }

    /// Returns whether these lie in blocks; see [`Framing::Blocks`].
    pub fn in_blocks(&self) -> bool {
        self.in_blocks
    }

    /// Returns whether every chunk needs its object's first record.
    pub fn head(&self) -> bool {
        self.head
    }

    /// Returns where the whole records lie among bytes of an object, if there are any: those from `offset` on, up to the object's end
    /// if it `ends` there. Whether quotes are open at an offset in the middle is guessed as a split does it, and nobody proves it, so
    /// what is found may be no records. Of records that carry their length, nothing is found in the middle.
    pub fn whole(&self, bytes: &[u8], offset: u64, ends: bool) -> Option<Range<usize>> {
        let start = match self.quotes {
            _ if offset == 0 => 0,
            _ if self.framed => return None,
            Some(quotes) => quotes.first_end(quotes.begins(bytes, offset, 0).unwrap_or_default(), bytes)?,
            None => self.first(bytes, offset)?,
        };
        let rest = &bytes[start..];
        let end = match self.quotes {
            _ if ends => rest.len(),
            _ if self.framed => {
                let next = |at: &usize| Some(at + self.separators.first(rest.get(*at..)?)?);
                std::iter::successors(Some(0), next).take_while(|at| *at <= rest.len()).last()?
            }
            Some(quotes) => quotes.last_end(Within::default(), rest).end?,
            None => self.last(rest, offset + start as u64)?,
        };
        Some(start..start + end).filter(|records| !records.is_empty())
    }

    /// Returns the first cut in the bytes that start at `offset` of their object.
    pub fn first(&self, bytes: &[u8], offset: u64) -> Option<usize> {
        match self.record_bytes {
            Some(each) => Some((each - offset % each) as usize).filter(|at| *at <= bytes.len()),
            None => self.separators.first(bytes),
        }
    }

    /// Returns the last cut in the bytes that start at `offset` of their object.
    pub fn last(&self, bytes: &[u8], offset: u64) -> Option<usize> {
        match self.record_bytes {
            Some(each) => {
                let beyond = (offset + bytes.len() as u64) % each;
                (bytes.len() as u64).checked_sub(beyond).filter(|at| *at > 0).map(|at| at as usize)
            }
            None => self.separators.last(bytes),
        }
    }
}

/// What a cutter wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// The bytes that follow.
    More,
    /// Nothing: the split is done.
    Nothing,
}

/// Whether the next byte to feed is within quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    Known(Within),
    /// A proof is looked for in the bytes that are kept, of which so many were looked at.
    Unknown(usize),
}

/// Cuts one range of an object into chunks.
pub struct Cutter {
    cuts: Cuts,
    range_idx: u32,
    /// The end of the split in the object.
    to: u64,
    /// The size of the object.
    size: u64,
    /// Where the next block starts.
    at: u64,
    skipping: bool,
    carry: Vec<u8>,
    carry_at: u64,
    /// Where records are quoted: what is known of the next byte.
    begins: Begins,
    /// Whether that was guessed of its first byte, without a proof.
    guessed: bool,
    /// The range of this split's whole records so far.
    taken: Option<ByteRange>,
    done: bool,
}

impl Cutter {
    /// Makes a cutter of the range `from..to` of an object of `size` bytes, where `from < to <= size`. Feed it the object's
    /// bytes from [`Cutter::reads_from`] on.
    pub fn new(cuts: Cuts, range_idx: u32, from: u64, to: u64, size: u64) -> Self {
        let at = if cuts.framed { from } else { from.saturating_sub(1) };
        Cutter {
            range_idx,
            to,
            size,
            at,
            skipping: from > 0 && !cuts.framed,
            begins: if at > 0 { Begins::Unknown(0) } else { Begins::Known(Within::default()) },
            cuts,
            guessed: false,
            carry: Vec::new(),
            carry_at: at,
            taken: None,
            done: from >= to,
        }
    }

    /// Says that a record starts where the range does, as the piece before this one has read up to there.
    #[must_use]
    pub fn at_record(mut self) -> Self {
        if self.cuts.quotes.is_some() {
            // The byte before is the line feed of the last record.
            self.begins = Begins::Known(Within::default());
        }
        self
    }

    /// Makes a cutter of a split of bytes whose end, and whose object's end, show only on the way, as those of a compressed
    /// object do. Feed it from `at` on. Unless a record `starts` there, which is so at the object's start and where another
    /// piece stopped, the bytes up to the first cut are the end of the last split's record.
    ///
    /// A record is then the split's in which the byte *before* its first one lies: what comes before a split is compressed in
    /// a block of its own, and need not be unpacked only to see whether a record ends there.
    pub fn unbounded(cuts: Cuts, range_idx: u32, at: u64, starts: bool) -> Self {
        let begins = if starts { Begins::Known(Within::default()) } else { Begins::Unknown(0) };
        Cutter { at, carry_at: at, begins, skipping: !starts, ..Cutter::new(cuts, range_idx, 0, u64::MAX, u64::MAX) }
    }

    /// Says that the split of an [unbounded](Self::unbounded) cutter ends here: all that starts behind the next byte is the next
    /// split's.
    pub fn end_split(&mut self) {
        self.to = self.to.min(self.at + 1);
    }

    /// Says that the object of an [unbounded](Self::unbounded) cutter ends here.
    pub fn end(&mut self, out: &mut impl FnMut(Chunk)) {
        if !self.done {
            self.size = self.at;
            self.end_of_object(out);
        }
    }

    /// Returns how many bytes are kept until the record that they are of is whole.
    pub fn kept(&self) -> usize {
        self.carry.len()
    }

    /// Returns the offset in the object of the next byte to feed.
    pub fn reads_from(&self) -> u64 {
        self.at
    }

    /// Returns whether bytes beyond the split's end are wanted, to finish its last record.
    pub fn in_tail(&self) -> bool {
        !self.done && self.at >= self.to
    }

    /// Returns whether the first record was found by a guess of which nothing shows that it is right.
    pub fn is_guessed(&self) -> bool {
        self.guessed
    }

    /// Returns the bytes of the object that this split's records fill, or `None` if no record starts in the split.
    pub fn taken(&self) -> Option<ByteRange> {
        self.taken
    }

    /// Takes the next block and gives its chunks to `out` in order.
    pub fn feed(&mut self, mut block: Bytes, out: &mut impl FnMut(Chunk)) -> Wants {
        while !self.done && !block.is_empty() {
            // A block is handled in two parts: up to the byte that decides where the split ends, and the rest.
            let head = if self.at < self.to { block.len().min((self.to - self.at) as usize) } else { block.len() };
            let part = block.split_to(head);
            self.part(part, out);
        }
        if !self.done && self.at >= self.size {
            self.end_of_object(out);
        }
        if self.done { Wants::Nothing } else { Wants::More }
    }

    /// Cuts records that carry their length, one to a chunk. What is left at the split's end is handed on as it is, so that
    /// the format reports that it is cut short.
    fn framed(&mut self, part: Bytes, start: u64, out: &mut impl FnMut(Chunk)) {
        let (mut left, mut start) = match self.carry.is_empty() {
            true => (part, start),
            false => {
                let mut whole = std::mem::take(&mut self.carry);
                whole.extend_from_slice(&part);
                // A long record comes in many parts: it is handed on once it is whole.
                if self.cuts.first(&whole, self.carry_at).is_none() && self.at < self.to {
                    self.carry = whole;
                    return;
                }
                (Bytes::from(whole), self.carry_at)
            }
        };
        while let Some(end) = self.cuts.first(&left, start) {
            self.send(left.split_to(end), start, out);
            start += end as u64;
        }
        self.keep(&left, start);
        self.done = self.at >= self.to;
        if self.done {
            self.finish_carry(&[], out);
        }
    }

    fn part(&mut self, part: Bytes, out: &mut impl FnMut(Chunk)) {
        let start = self.at;
        self.at += part.len() as u64;
        if self.cuts.framed {
            return self.framed(part, start, out);
        }
        if let Begins::Unknown(looked_at) = self.begins
            && let Some(quotes) = self.cuts.quotes
        {
            return self.guess(quotes, looked_at, &part, out);
        }
        self.cut(part, start, out);
    }

    /// Keeps the first bytes of a split until it is proved, or must be guessed, whether the first of them is within quotes.
    fn guess(&mut self, quotes: Quotes, looked_at: usize, part: &Bytes, out: &mut impl FnMut(Chunk)) {
        self.carry.extend_from_slice(part);
        // Not in more, of which there may be some by chance: a split begins the same way each time.
        let looked_in = &self.carry[..self.carry.len().min(GUESS_BYTES)];
        let proved = quotes.begins(looked_in, self.carry_at, looked_at);
        if proved.is_none() && self.carry.len() < GUESS_BYTES && self.at < self.size {
            // The last byte is looked at again with the one behind it.
            self.begins = Begins::Unknown(self.carry.len() - 1);
            return;
        }
        self.guessed = proved.is_none();
        self.begins = Begins::Known(proved.unwrap_or_default());
        let (mut kept, mut start) = (Bytes::from(std::mem::take(&mut self.carry)), self.carry_at);
        while !self.done && !kept.is_empty() {
            let head = if start < self.to { kept.len().min((self.to - start) as usize) } else { kept.len() };
            let part = kept.split_to(head);
            let end = start + head as u64;
            self.cut(part, start, out);
            start = end;
        }
    }

    /// Returns where the first record ends of the bytes that start at `start`.
    fn first(&self, bytes: &[u8], start: u64) -> Option<usize> {
        match (self.cuts.quotes, self.begins) {
            (Some(quotes), Begins::Known(within)) => quotes.first_end(within, bytes),
            _ => self.cuts.first(bytes, start),
        }
    }

    /// Returns where the last record ends of the bytes that start at `start`, and goes behind them.
    fn last(&mut self, bytes: &[u8], start: u64) -> Option<usize> {
        match (self.cuts.quotes, self.begins) {
            (Some(quotes), Begins::Known(within)) => {
                let LastEnd { end, within } = quotes.last_end(within, bytes);
                self.begins = Begins::Known(within);
                end
            }
            _ => self.cuts.last(bytes, start),
        }
    }

    /// Goes behind the bytes without looking for the end of a record.
    fn pass(&mut self, bytes: &[u8]) {
        if let (Some(quotes), Begins::Known(within)) = (self.cuts.quotes, self.begins) {
            self.begins = Begins::Known(quotes.after(within, bytes));
        }
    }

    /// Cuts bytes that lie before the split's end, or behind it.
    fn cut(&mut self, mut part: Bytes, mut start: u64, out: &mut impl FnMut(Chunk)) {
        let ends = start + part.len() as u64;
        if self.skipping {
            match self.first(&part, start) {
                // A record that starts at `to` is the next split's.
                Some(cut) if start + (cut as u64) < self.to => {
                    self.skipping = false;
                    self.pass(&part[..cut]);
                    start += cut as u64;
                    part = part.slice(cut..);
                    self.carry_at = start;
                }
                Some(_) => self.done = true,
                None => {
                    self.pass(&part);
                    self.done = ends >= self.to;
                }
            }
            if self.skipping {
                return;
            }
        }
        if start >= self.to {
            // The tail: this split's last record ends at the first cut.
            match self.first(&part, start) {
                Some(cut) => {
                    self.finish_carry(&part[..cut], out);
                    self.done = true;
                }
                None => {
                    self.pass(&part);
                    self.keep(&part, start);
                }
            }
            return;
        }
        let first = if self.carry.is_empty() { None } else { self.first(&part, start) };
        let Some(last) = self.last(&part, start) else {
            return self.keep(&part, start);
        };
        let mut body = 0;
        if !self.carry.is_empty() {
            body = first.unwrap_or(last);
            self.finish_carry(&part[..body], out);
        }
        if body < last {
            self.send(part.slice(body..last), start + body as u64, out);
        }
        self.keep(&part[last..], start + last as u64);
        self.done = ends >= self.to && last == part.len();
    }

    fn keep(&mut self, bytes: &[u8], at: u64) {
        if self.carry.is_empty() {
            self.carry_at = at;
        }
        self.carry.extend_from_slice(bytes);
    }

    fn finish_carry(&mut self, rest: &[u8], out: &mut impl FnMut(Chunk)) {
        let mut whole = std::mem::take(&mut self.carry);
        whole.extend_from_slice(rest);
        if !whole.is_empty() {
            self.send(Bytes::from(whole), self.carry_at, out);
        }
    }

    fn send(&mut self, bytes: Bytes, offset: u64, out: &mut impl FnMut(Chunk)) {
        let end = offset + bytes.len() as u64;
        self.taken = Some(ByteRange { from: self.taken.map_or(offset, |taken| taken.from), to: end });
        out(Chunk { bytes, range_idx: self.range_idx, offset, head: Bytes::new(), rows: None });
    }

    fn end_of_object(&mut self, out: &mut impl FnMut(Chunk)) {
        self.done = true;
        if !self.skipping {
            self.finish_carry(&[], out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Fixed, Items, Lines, Words};
    use proptest::prelude::*;

    /// Reads `from..to` of `object` as a reader would, in blocks of `block` bytes.
    fn read(object: &[u8], cuts: Cuts, from: usize, to: usize, block: usize) -> (Vec<Chunk>, Option<ByteRange>) {
        let mut cutter = Cutter::new(cuts, 0, from as u64, to as u64, object.len() as u64);
        let mut chunks = vec![];
        loop {
            let at = cutter.reads_from() as usize;
            let end = (at + block).min(object.len());
            if cutter.feed(Bytes::copy_from_slice(&object[at..end]), &mut |c| chunks.push(c)) == Wants::Nothing {
                return (chunks, cutter.taken());
            }
        }
    }

    fn law<F: Format>(format: F, object: &[u8], mut points: Vec<usize>, block: usize) {
        let cuts = Cuts::of(format);
        points.extend([0, object.len()]);
        points.sort();
        points.dedup();
        let (mut got, mut next) = (vec![], 0);
        for pair in points.windows(2) {
            let (chunks, taken) = read(object, cuts.clone(), pair[0], pair[1], block);
            for chunk in &chunks {
                assert_eq!(chunk.offset as usize, got.len(), "chunks tile the object");
                got.extend_from_slice(&chunk.bytes);
                let first = chunk.offset as usize;
                assert!(first == 0 || cuts.last(&object[..first], 0) == Some(first), "a chunk starts at a cut");
                let end = got.len();
                assert!(end == object.len() || cuts.last(&object[..end], 0) == Some(end), "a chunk ends at a cut");
            }
            if let Some(ByteRange { from, to }) = taken {
                assert_eq!(from, next, "splits tile the object");
                assert!((from as usize) < pair[1], "a split's first record starts in it");
                next = to;
            }
        }
        assert_eq!(got, object);
        assert_eq!(next as usize, object.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn every_cut_gives_the_same_records_once(
            object in "[ab\\n ]{1,60}", points in proptest::collection::vec(0usize..60, 0..6), block in 1usize..20,
        ) {
            let object = object.as_bytes();
            let points: Vec<_> = points.into_iter().map(|p| p % (object.len() + 1)).collect();
            law(Lines, object, points.clone(), block);
            law(Words, object, points.clone(), block);
            law(Fixed::<1>, object, points.clone(), block);
            law(Fixed::<3>, object, points.clone(), block);
            law(Fixed::<16>, object, points, block);
        }
    }

    fn items(values: &[Vec<u8>]) -> (Vec<u8>, Vec<u64>) {
        let mut writer = crate::wire::items::Writer::new();
        values.iter().for_each(|value| writer.push(value).unwrap());
        let ends = writer.ends().to_vec();
        (writer.into_bytes(), ends)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn every_split_of_items_gives_one_chunk_an_item(
            values in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..40), 1..12),
            splits in proptest::collection::vec(0usize..12, 0..4), block in 1usize..60,
        ) {
            let (object, ends) = items(&values);
            let mut points: Vec<u64> = splits.iter().map(|at| ends[at % ends.len()]).chain([0, object.len() as u64]).collect();
            points.sort();
            points.dedup();
            let mut got = vec![];
            for pair in points.windows(2) {
                let (from, to) = (pair[0] as usize, pair[1] as usize);
                let (chunks, taken) = read(&object, Cuts::of(Items::<Vec<u8>>::default()), from, to, block);
                prop_assert_eq!(taken, Some(ByteRange { from: pair[0], to: pair[1] }));
                got.extend(chunks);
            }
            prop_assert_eq!(got.len(), values.len());
            for (n, chunk) in got.iter().enumerate() {
                let item = crate::wire::items::read(&chunk.bytes).unwrap();
                let value: Vec<u8> = crate::codec::decode(item.payload).unwrap();
                prop_assert_eq!((item.number as usize, item.bytes, &value), (n, chunk.bytes.len(), &values[n]));
                prop_assert_eq!(chunk.offset + chunk.bytes.len() as u64, ends[n]);
            }
        }
    }

    #[test]
    fn items_that_end_early_are_handed_on_to_be_found_out() {
        let (object, _) = items(&[vec![1; 20], vec![2; 20]]);
        let cut = &object[..object.len() - 3];
        let (chunks, _) = read(cut, Cuts::of(Items::<Vec<u8>>::default()), 0, cut.len(), 7);
        assert_eq!(chunks.len(), 2);
        assert!(crate::wire::items::read(&chunks[0].bytes).is_ok());
        assert_eq!(crate::wire::items::read(&chunks[1].bytes).unwrap_err().code(), "items-corrupt");
    }

    #[test]
    fn a_record_longer_than_many_splits_is_read_once() {
        let mut object = vec![b'x'; 10_000];
        object.extend(b"\nshort\n");
        law(Lines, &object, (0..10_000).step_by(100).collect(), 64);
    }
}
