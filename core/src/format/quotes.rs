//! Records that end at line feeds, but not at those within quotes: where they end, and what is known of a place in the middle.
//!
//! A line feed ends a record if an even number of quotes come before it. From the start of a record on, that is counted. A
//! split in the middle of an object does not see what comes before it, so it may begin within quotes or not:
//!
//! ```text
//! object    …,1,"one line\nand another",2\n3,…
//!                         ▲ split from here on: a record, or the end of one?
//! ```
//!
//! **The guess.** In a valid object a quote that opens a field follows a delimiter, a line feed or nothing, and one that closes a
//! field comes before a delimiter, a line's end or nothing. So of a quote with another byte before it, that byte is within
//! quotes; and likewise the byte behind a quote if it is another one. The first such quote in what is read from the split's
//! start on *proves* how the split began. Most objects with quotes have one in every row. Where there is none in
//! [`GUESS_BYTES`], the split is taken to begin outside of quotes: an object without any quotes is the usual one.
//!
//! **The proof.** A guess never becomes a wrong record, whatever the object has in it:
//!
//! - A map task records where its first record starts, which is the assumed place, and where its last one ends, which is the true
//!   place if the assumed one was (`taken` of `crate::wire::record::MapRecord`).
//! - The first split begins at the object's start, which is known. If every split begins where the one before it ended, then all
//!   of them, one after the other, have read the object as one reader would from its start.
//! - Two readings of one place never agree by chance: a line feed that is within quotes for one of them is outside for the other.
//! - Once all is mapped, a split that began elsewhere is read again, from where the one before it ended (`crate::guesses`). That takes a
//!   quoted field of more than [`GUESS_BYTES`] which has line feeds and no quote next to text.
//! - Whoever ends the job checks once more that all splits meet, before anything is published (`crate::manifest::reconcile`).
//!
//! A split that began by a guess and meets what is no record does not fail the job: it commits that it has read nothing. If a record
//! starts in it, it is read again, and then an error is one of the record.
//!
//! Where a byte escapes others, as `\` does in some dialects, what stands next to a quote proves nothing, and each object is one
//! split.

use memchr::{memchr, memchr_iter, memchr3, memrchr};

/// In how many bytes a split looks for a proof of how it begins (1 MiB).
pub const GUESS_BYTES: usize = 1 << 20;

/// How quotes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotes {
    /// The byte that opens and closes a quoted field.
    pub quote: u8,
    /// The byte between two fields.
    pub delimiter: u8,
    /// The byte that makes an ordinary one of the byte behind it, if there is one.
    pub escape: Option<u8>,
}

/// Where a place lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Within {
    /// Whether it is within quotes.
    pub(crate) quotes: bool,
    /// Whether its byte is escaped.
    pub(crate) escape: bool,
}

impl Within {
    fn toggled(self, quotes: usize) -> Self {
        Within { quotes: self.quotes ^ (quotes % 2 == 1), ..self }
    }
}

impl Quotes {
    /// Returns the place behind the bytes, of which the first is `within`.
    pub(crate) fn after(self, within: Within, bytes: &[u8]) -> Within {
        match self.escape {
            None => within.toggled(count(self.quote, bytes)),
            Some(escape) => self.scan(escape, within, bytes, |_| true),
        }
    }

    /// Returns where the first record of the bytes ends: just behind its line feed.
    pub(crate) fn first_end(self, mut within: Within, bytes: &[u8]) -> Option<usize> {
        if let Some(escape) = self.escape {
            let mut first = None;
            self.scan(escape, within, bytes, |end| {
                first = Some(end);
                false
            });
            return first;
        }
        let mut from = 0;
        loop {
            let line = memchr(b'\n', &bytes[from..])?;
            within = within.toggled(count(self.quote, &bytes[from..from + line]));
            from += line + 1;
            if !within.quotes {
                return Some(from);
            }
        }
    }

    /// Returns where the last record of the bytes ends that does end in them, and the place behind the bytes.
    pub(crate) fn last_end(self, within: Within, bytes: &[u8]) -> LastEnd {
        if let Some(escape) = self.escape {
            let mut end = None;
            let within = self.scan(escape, within, bytes, |at| {
                end = Some(at);
                true
            });
            return LastEnd { end, within };
        }
        let behind = within.toggled(count(self.quote, bytes));
        let (mut here, mut to) = (behind, bytes.len());
        while let Some(at) = memrchr(b'\n', &bytes[..to]) {
            here = here.toggled(count(self.quote, &bytes[at..to]));
            if !here.quotes {
                return LastEnd { end: Some(at + 1), within: behind };
            }
            to = at;
        }
        LastEnd { end: None, within: behind }
    }

    /// Goes through the bytes one after the other, and tells `end` where each record ends until it wants no more.
    fn scan(self, escape: u8, mut within: Within, bytes: &[u8], mut end: impl FnMut(usize) -> bool) -> Within {
        let mut at = 0;
        if within.escape && !bytes.is_empty() {
            (within.escape, at) = (false, 1);
        }
        while let Some(next) = memchr3(self.quote, escape, b'\n', &bytes[at..]) {
            at += next + 1;
            match bytes[at - 1] {
                byte if byte == escape => {
                    within.escape = at == bytes.len();
                    at = (at + 1).min(bytes.len());
                }
                b'\n' if within.quotes => {}
                b'\n' if end(at) => {}
                b'\n' => return within,
                _ => within = within.toggled(1),
            }
        }
        within
    }

    /// Looks for a proof of whether the first of the bytes, which is that at `offset` of its object, is within quotes. The quotes
    /// in `bytes[..from]` were looked at before, with fewer bytes behind them.
    pub(crate) fn begins(self, bytes: &[u8], offset: u64, from: usize) -> Option<Within> {
        let is_text = |byte: &u8| ![self.quote, self.delimiter, b'\n', b'\r'].contains(byte);
        for at in memchr_iter(self.quote, &bytes[from..]) {
            let at = from + at;
            // A byte order mark is no text.
            let text_before = at > 0 && offset + at as u64 > MARK_BYTES && is_text(&bytes[at - 1]);
            if text_before {
                return Some(Within { quotes: true, escape: false }.toggled(count(self.quote, &bytes[..at])));
            }
            if bytes.get(at + 1).is_some_and(is_text) {
                return Some(Within { quotes: true, escape: false }.toggled(count(self.quote, &bytes[..=at])));
            }
        }
        None
    }
}

/// The length of a byte order mark.
const MARK_BYTES: u64 = 3;

/// Where the last record ends of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastEnd {
    /// Just behind its line feed, if there is one.
    pub(crate) end: Option<usize>,
    /// The place behind all the bytes.
    pub(crate) within: Within,
}

fn count(byte: u8, bytes: &[u8]) -> usize {
    memchr_iter(byte, bytes).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Quotes = Quotes { quote: b'"', delimiter: b',', escape: None };
    const ESCAPED: Quotes = Quotes { escape: Some(b'\\'), ..PLAIN };

    /// The places of all bytes and that behind them, and the ends of records, byte by byte.
    fn by_bytes(quotes: Quotes, mut within: Within, bytes: &[u8]) -> (Vec<Within>, Vec<usize>) {
        let (mut all, mut ends) = (vec![within], vec![]);
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                _ if within.escape => within.escape = false,
                byte if Some(*byte) == quotes.escape => within.escape = true,
                b'"' => within.quotes = !within.quotes,
                b'\n' if !within.quotes => ends.push(at + 1),
                _ => {}
            }
            all.push(within);
        }
        (all, ends)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn ends_are_those_that_are_found_byte_by_byte(
            text in "[ab,\"\\\\\n]{0,40}", in_quotes: bool, escape: bool, cut in 0usize..40,
        ) {
            let bytes = text.as_bytes();
            for quotes in [PLAIN, ESCAPED] {
                let within = Within { quotes: in_quotes, escape: escape && quotes.escape.is_some() };
                let (places, ends) = by_bytes(quotes, within, bytes);
                let behind = *places.last().unwrap();
                prop_assert_eq!(quotes.after(within, bytes), behind);
                prop_assert_eq!(quotes.first_end(within, bytes), ends.first().copied());
                let last = LastEnd { end: ends.last().copied(), within: behind };
                prop_assert_eq!(quotes.last_end(within, bytes), last);
                let (head, tail) = bytes.split_at(cut.min(bytes.len()));
                prop_assert_eq!(quotes.after(quotes.after(within, head), tail), behind);
            }
        }

        #[test]
        fn what_is_proved_is_true_in_a_valid_object(
            rows in proptest::collection::vec(proptest::collection::vec("[a \",\n\r]{0,4}", 1..4), 1..6), plain: bool, mark: bool,
        ) {
            let field = |text: &String| match plain && !text.contains(['"', ',', '\n', '\r']) {
                true => text.clone(),
                false => format!("\"{}\"", text.replace('"', "\"\"")),
            };
            let line = |row: &Vec<String>| row.iter().map(field).collect::<Vec<_>>().join(",") + "\r\n";
            let text: String = rows.iter().map(line).collect();
            let object = format!("{}{text}", if mark { "\u{feff}" } else { "" });
            let (places, _) = by_bytes(PLAIN, Within::default(), object.as_bytes());
            for (from, place) in places.iter().enumerate().take(object.len()) {
                let bytes = &object.as_bytes()[from..];
                for to in [bytes.len(), bytes.len() / 2] {
                    if let Some(proved) = PLAIN.begins(&bytes[..to], from as u64, 0) {
                        prop_assert_eq!(proved, *place, "from {} to {} of {:?}", from, to, object);
                    }
                }
            }
        }
    }

    #[test]
    fn a_quote_next_to_text_proves_how_the_bytes_begin() {
        let quotes = |bytes: &[u8]| PLAIN.begins(bytes, 100, 0).map(|within| within.quotes);
        assert_eq!(quotes(b"a\nb\",c"), Some(true));
        assert_eq!(quotes(b"a\n\"b\nc"), Some(false));
        assert_eq!(quotes(b"\",\"a"), Some(true));
        assert_eq!(quotes(b"\",\",\"\n"), None);
        assert_eq!(quotes(b"a,b\nc,d\n"), None);
        // Behind a mark at the object's start, a quote opens a field.
        assert_eq!(PLAIN.begins(b"\xbf\",\"", 2, 0), None);
    }
}
