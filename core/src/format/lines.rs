//! Lines, each ended by a line feed. A carriage return before it is part of the line ending for [`Lines`], and part of the
//! line for [`ByteLines`]. The last line needs no line feed. An empty line is a record.

use super::{Extent, Format};
use crate::error::{UserError, UserResult};

/// Lines of UTF-8 text, without their `\n` or `\r\n`. A line that is not UTF-8 fails the job with an error that names its
/// place, unless such lines may be left out; use [`ByteLines`] where that may happen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines;

impl Format for Lines {
    type Record<'a> = &'a str;
    const NAME: &'static str = "lines";

    #[inline]
    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, &'a str) -> UserResult,
    ) -> UserResult<u64> {
        for_each_line(extent.bytes, 0, |at, line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let text = std::str::from_utf8(line).map_err(|e| {
                let says = format!("the line is not UTF-8 ({e}); read it as bytes with `type Input = ByteLines`");
                not_valid(UserError::new(says), extent, at)
            })?;
            each(at, text)
        })
    }
}

/// Lines of any bytes, without their `\n`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByteLines;

impl Format for ByteLines {
    type Record<'a> = &'a [u8];
    const NAME: &'static str = "byte-lines";

    #[inline]
    fn for_each<'a>(&'a self, extent: Extent<'a>, each: impl FnMut(usize, &'a [u8]) -> UserResult) -> UserResult<u64> {
        for_each_line(extent.bytes, 0, each)
    }
}

/// Lines of any bytes, where the first line of each object is a head that describes the others, such as the names of columns.
/// The head is not a record; every [`Extent`] carries it. Use it with [`Batches`](super::Batches), which give the head to the
/// job.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadedLines;

impl Format for HeadedLines {
    type Record<'a> = &'a [u8];
    const NAME: &'static str = "headed-lines";

    fn has_head(&self) -> bool {
        true
    }

    #[inline]
    fn for_each<'a>(&'a self, extent: Extent<'a>, each: impl FnMut(usize, &'a [u8]) -> UserResult) -> UserResult<u64> {
        let first = if extent.offset == 0 { extent.head.len().min(extent.bytes.len()) } else { 0 };
        for_each_line(extent.bytes, first, each)
    }
}

/// Calls `each` for every line from the offset `first` on.
#[inline]
pub(super) fn for_each_line<'a>(
    bytes: &'a [u8],
    first: usize,
    mut each: impl FnMut(usize, &'a [u8]) -> UserResult,
) -> UserResult<u64> {
    let (mut start, mut count) = (first, 0);
    for end in memchr::memchr_iter(b'\n', &bytes[first..]) {
        let end = first + end;
        each(start, &bytes[start..end])?;
        start = end + 1;
        count += 1;
    }
    if start < bytes.len() {
        each(start, &bytes[start..])?;
        count += 1;
    }
    Ok(count)
}

/// Says that the line is not valid that starts at the offset `at` of an extent.
pub(super) fn not_valid(error: UserError, extent: Extent<'_>, at: usize) -> UserError {
    let rest = &extent.bytes[at..];
    let line = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    let text = rest[..line].strip_suffix(b"\r").unwrap_or(&rest[..line]);
    error.of_record(at..at + text.len(), (at + line + 1).min(extent.bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::extent;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut got = vec![];
        Lines
            .for_each(extent(bytes), |_, line| {
                got.push(line.to_owned());
                Ok(())
            })
            .unwrap();
        got
    }

    #[test]
    fn endings() {
        assert_eq!(lines(b"a\r\nb\n\nc"), ["a", "b", "", "c"]);
        assert_eq!(lines(b""), Vec::<String>::new());
        assert_eq!(lines(b"\n"), [""]);
    }

    #[test]
    fn a_head_is_no_record_and_places_count_it() {
        let of = |bytes: &'static [u8], offset| Extent { offset, head: b"x,y\n", ..extent(bytes) };
        let places = |extent| {
            let mut places = vec![];
            let count = HeadedLines.for_each(extent, |at, _| {
                places.push(at);
                Ok(())
            });
            assert_eq!(count.unwrap(), places.len() as u64);
            places
        };
        assert_eq!(places(of(b"x,y\n1,2\n3,4", 0)), [4, 8]);
        assert_eq!(places(of(b"1,2\n", 9)), [0]);
        assert_eq!(places(of(b"x,y\n", 0)), [0; 0]);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_named_by_its_offset() {
        let (at, error) = Lines.for_each(extent(b"ok\n\xff\n"), |_, _| Ok(())).unwrap_err().take_place();
        assert_eq!(at, 3);
        assert!(error.to_string().contains("ByteLines"), "{error}");
    }
}
