//! Lines, ended by a line feed. A carriage return before it is part of the line ending for [`Lines`] and part of the line for
//! [`ByteLines`]. The last line need not be ended. An empty line is a record.

use super::{Format, Stretch};
use crate::error::{UserError, UserResult};

/// Lines of UTF-8 text, without their `\n` or `\r\n`. A line that is not UTF-8 fails the job by its place; where that may
/// happen, use [`ByteLines`].
pub struct Lines;

impl Format for Lines {
    type Record<'a> = &'a str;
    const NAME: &'static str = "lines";

    fn for_each<'a>(chunk: &'a [u8], mut each: impl FnMut(&'a str) -> UserResult) -> Result<u64, (usize, UserError)> {
        for_each_line(chunk, |line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let text = std::str::from_utf8(line).map_err(|e| {
                UserError::new(format!("the line is not UTF-8 ({e}); read it as bytes with `type Input = ByteLines`"))
            })?;
            each(text)
        })
    }
}

/// Lines of any bytes, without their `\n`.
pub struct ByteLines;

impl Format for ByteLines {
    type Record<'a> = &'a [u8];
    const NAME: &'static str = "byte-lines";

    fn for_each<'a>(chunk: &'a [u8], each: impl FnMut(&'a [u8]) -> UserResult) -> Result<u64, (usize, UserError)> {
        for_each_line(chunk, each)
    }
}

/// Lines of any bytes, of which the first of each object is a head that speaks of the others, such as the names of columns:
/// it is no record, and every [`Stretch`] comes with it. Meant for [`Batches`](super::Batches), which hand it to the job.
pub struct HeadedLines;

impl Format for HeadedLines {
    type Record<'a> = &'a [u8];
    const NAME: &'static str = "headed-lines";
    const HEAD: bool = true;

    fn for_each<'a>(chunk: &'a [u8], each: impl FnMut(&'a [u8]) -> UserResult) -> Result<u64, (usize, UserError)> {
        for_each_line(chunk, each)
    }

    fn for_each_in<'a>(
        stretch: Stretch<'a>,
        each: impl FnMut(&'a [u8]) -> UserResult,
    ) -> Result<u64, (usize, UserError)> {
        let skip = if stretch.offset == 0 { stretch.head.len().min(stretch.bytes.len()) } else { 0 };
        for_each_line(&stretch.bytes[skip..], each).map_err(|(at, error)| (at + skip, error))
    }
}

fn for_each_line<'a>(chunk: &'a [u8], mut each: impl FnMut(&'a [u8]) -> UserResult) -> Result<u64, (usize, UserError)> {
    let (mut start, mut count) = (0, 0);
    for end in memchr::memchr_iter(b'\n', chunk) {
        each(&chunk[start..end]).map_err(|e| (start, e))?;
        start = end + 1;
        count += 1;
    }
    if start < chunk.len() {
        each(&chunk[start..]).map_err(|e| (start, e))?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunk: &[u8]) -> Vec<String> {
        let mut got = vec![];
        Lines::for_each(chunk, |line| {
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
        let of = |bytes: &'static [u8], offset| Stretch { bytes, offset, head: b"x,y\n" };
        let count = |stretch| HeadedLines::for_each_in(stretch, |_| Ok(())).unwrap();
        assert_eq!((count(of(b"x,y\n1,2\n3,4", 0)), count(of(b"1,2\n", 9)), count(of(b"x,y\n", 0))), (2, 1, 0));
        let refuse = |line: &[u8]| if line == b"3,4" { Err(UserError::new("no")) } else { Ok(()) };
        assert_eq!(HeadedLines::for_each_in(of(b"x,y\n1,2\n3,4", 0), refuse).unwrap_err().0, 8);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_named_by_its_offset() {
        let (at, error) = Lines::for_each(b"ok\n\xff\n", |_| Ok(())).unwrap_err();
        assert_eq!(at, 3);
        assert!(error.to_string().contains("ByteLines"), "{error}");
    }
}
