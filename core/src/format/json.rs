//! JSON lines: one JSON value a line, read through serde.
//!
//! | what | rule |
//! |---|---|
//! | end of a line | `\n` or `\r\n`; the last line needs none |
//! | line of white space | no record |
//! | byte order mark | skipped at the start of an object; anywhere else it is not JSON |
//! | line of two values, or of half a value | fails the job with `record-invalid`, which names the object and the offset, unless such lines may be left out |
//! | not UTF-8, `NaN`, `Infinity`, a number beyond `f64` | likewise: JSON has none of them |
//! | number that its field's type cannot hold, such as 2^63 for an `i64` | likewise: nothing is rounded or cut off |
//! | field that the type does not have | ignored, unless the type says `#[serde(deny_unknown_fields)]` |
//! | same field twice, or one that is missing | as serde's derive has it: an error, and an error or the default |

use super::lines::{for_each_line, not_valid};
use super::{Extent, Format, Shape};
use crate::error::{Code, Error, UserError, UserResult};
use std::marker::PhantomData;

/// JSON lines whose values are of the type `T`; see [`Shape`] for values that borrow from the input.
///
/// ```
/// use kinglet_core::{Combiner, Emitter, Job, JsonLines, Sink, UserResult, Values};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Sale {
///     shop: String,
///     cents: u64,
/// }
///
/// /// Adds up what each shop has sold.
/// #[derive(Serialize, Deserialize)]
/// struct Sales;
///
/// impl Job for Sales {
///     const NAME: &'static str = "sales";
///     type Input = JsonLines<Sale>;
///     type Key = String;
///     type Value = u64;
///     type Output = (String, u64);
///
///     fn map(&self, sale: Sale, out: &mut Emitter<'_, String, u64>) -> UserResult {
///         out.emit(sale.shop, sale.cents)
///     }
///     fn combiner(&self) -> Option<Combiner<u64>> {
///         Some(Combiner::sum())
///     }
///     fn reduce(&self, shop: String, cents: Values<'_, u64>, out: &mut Sink<'_, (String, u64)>) -> UserResult {
///         out.push(&(shop, cents.sum()))
///     }
/// }
/// ```
///
/// `JsonLines<serde_json::Value>` reads any JSON.
pub struct JsonLines<T>(PhantomData<fn() -> T>);

impl<T> Default for JsonLines<T> {
    fn default() -> Self {
        JsonLines(PhantomData)
    }
}

/// The byte order mark that some programs write before UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl<T: Shape> Format for JsonLines<T> {
    type Record<'a> = T::Of<'a>;
    const NAME: &'static str = "json-lines";

    fn describe() -> String {
        format!("json-lines of {}", std::any::type_name::<T>())
    }

    #[inline]
    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, T::Of<'a>) -> UserResult,
    ) -> UserResult<u64> {
        let mut blank = 0;
        let lines = for_each_line(extent.bytes, 0, |at, line| {
            let starts_object = extent.offset == 0 && at == 0;
            let json = if starts_object { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
            if json.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
                blank += 1;
                return Ok(());
            }
            let value = serde_json::from_slice(json);
            each(at, value.map_err(|e| not_valid(invalid(&e, line.len() - json.len()), extent, at))?)
        })?;
        Ok(lines - blank)
    }
}

/// Makes the error of a line that is not what it should be, `skipped` bytes of which were not read as JSON.
fn invalid(error: &serde_json::Error, skipped: usize) -> UserError {
    let says = error.to_string();
    // The line's number is always 1.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let (says, column) = (says.strip_suffix(&place).unwrap_or(&says), error.column() + skipped);
    Error::new(Code::RecordInvalid, format!("the line is not the JSON that is expected: {says} (at its byte {column})"))
        .with_hint("mend or remove the line, let the job's type take it, or leave some out (--max-rejected)")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check_format;
    use crate::format::extent;
    use serde::Deserialize;
    use std::borrow::Cow;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Owned {
        id: i64,
        #[serde(default)]
        text: String,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Event<'a> {
        id: i64,
        #[serde(borrow)]
        text: Cow<'a, str>,
    }

    struct Events;

    impl Shape for Events {
        type Of<'a> = Event<'a>;
    }

    fn read<T: Shape>(object: &[u8], mut see: impl FnMut(usize, T::Of<'_>)) -> Result<u64, (usize, Error)> {
        let format = JsonLines::<T>::default();
        let read = format.for_each(extent(object), |at, value| {
            see(at, value);
            Ok(())
        });
        read.map_err(|error| {
            let (at, error) = error.take_place();
            (at, error.into_error(Code::MapFailed))
        })
    }

    #[test]
    fn blank_lines_carriage_returns_and_a_byte_order_mark_are_no_records() {
        let object = b"\xef\xbb\xbf{\"id\": 1}\r\n\r\n  \t\n{\"id\": -2, \"text\": \"\xc3\xa4\\n\", \"more\": []}\n\n";
        let mut seen = vec![];
        let count = read::<Owned>(object, |at, value| seen.push((at, value.id, value.text))).unwrap();
        assert_eq!(count, 2);
        assert_eq!(seen, [(0, 1, String::new()), (20, -2, "ä\n".to_owned())]);
        assert_eq!(read::<Owned>(b"\xef\xbb\xbf", |_, _| ()).unwrap(), 0);
        assert_eq!(read::<Owned>(b"", |_, _| ()).unwrap(), 0);
    }

    #[test]
    fn what_need_not_be_copied_is_borrowed() {
        let object = b"{\"id\": 1, \"text\": \"plain\"}\n{\"id\": 2, \"text\": \"with \\\"quotes\\\"\"}";
        let mut borrowed = vec![];
        read::<Events>(object, |_, event| {
            borrowed.push((matches!(event.text, Cow::Borrowed(_)), event.text.into_owned()));
        })
        .unwrap();
        assert_eq!(borrowed, [(true, "plain".to_owned()), (false, "with \"quotes\"".to_owned())]);
    }

    #[test]
    fn a_faulty_line_names_its_place() {
        for (line, says) in [
            (&b"{\"id\": NaN}"[..], "expected value"),
            (b"{\"id\": Infinity}", "expected value"),
            (b"{\"id\": 9223372036854775808}", "9223372036854775808"),
            (b"{\"id\": 1e3}", "floating point"),
            (b"{\"id\": 1} {\"id\": 2}", "trailing characters"),
            (b"{\"id\": 1", "EOF"),
            (b"{\"id\": 1, \"id\": 2}", "duplicate field"),
            (b"{\"text\": \"\"}", "missing field `id`"),
            (b"{\"id\": 1, \"text\": \"\xff\"}", "unicode"),
            (b"\xef\xbb\xbf{\"id\": 1}", "expected value"),
            (b"{'id': 1}", "key must be a string"),
            (b"[1, 2, 3]", "expected a string"),
            (b"7", "expected struct Owned"),
        ] {
            let object = [b"{\"id\": 0}\n\n", line, b"\n{\"id\": 3}\n"].concat();
            let (at, error) = read::<Owned>(&object, |_, _| ()).unwrap_err();
            assert_eq!((at, error.code()), (11, "record-invalid"), "{error}");
            assert!(error.to_string().contains(says), "{error}");
            assert!(!error.to_string().contains("line 1"), "{error}");
        }
        let deep = [&b"["[..]; 200].concat();
        assert!(read::<serde_json::Value>(&deep, |_, _| ()).unwrap_err().1.to_string().contains("recursion limit"));
        let beyond = read::<f64>(b"1e400", |_, _| ()).unwrap_err().1;
        assert!(beyond.to_string().contains("out of range"), "{beyond}");
    }

    #[test]
    fn numbers_are_what_their_digits_say() {
        let mut seen = vec![];
        read::<u64>(b"9223372036854775808\n18446744073709551615", |_, n| seen.push(n)).unwrap();
        assert_eq!(seen, [1 << 63, u64::MAX]);
        // The last bit of this one is another where a parser takes the short way.
        let mut floats = vec![];
        read::<f64>(b"2.638344616030823e-256\n-0.0", |_, n| floats.push(n)).unwrap();
        assert_eq!(floats, ["2.638344616030823e-256".parse().unwrap(), -0.0]);
    }

    #[test]
    fn lines_of_json_keep_the_laws_of_formats_cut_at_every_byte() {
        let object =
            "\u{feff}{\"id\":1,\"text\":\"a,\\\"\\n\"}\r\n\n{\"id\":-7,\"text\":\"ä\"}\n \n{\"id\":3,\"text\":\"\"}";
        for cut in 0..=object.len() {
            for block_bytes in [1, 7, 64] {
                check_format(JsonLines::<Owned>::default(), object.as_bytes(), &[cut], block_bytes, |value| value);
                check_format(JsonLines::<Events>::default(), object.as_bytes(), &[cut, 20], block_bytes, |event| {
                    (event.id, event.text.into_owned())
                });
            }
        }
    }
}
