//! Records with the place where they lie, for jobs that index or report places.

use super::{BlockExtent, Extent, Format, Framing, Selection};
use crate::error::UserResult;

/// A format that gives `map` each record of `F` with the object it comes from and its offset there.
///
/// ```
/// use kinglet_core::{Emitter, Job, Lines, Located, LocatedRecord, Sink, UserResult, Values};
///
/// /// Finds the lines that contain a word.
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Find { word: String }
///
/// impl Job for Find {
///     const NAME: &'static str = "find";
///     type Input = Located<Lines>;
///     type Key = (String, u64);
///     type Value = String;
///     type Output = (String, u64, String);
///
///     fn map(&self, line: LocatedRecord<'_, &str>, out: &mut Emitter<'_, (String, u64), String>) -> UserResult {
///         if line.record.contains(&self.word) {
///             out.emit((line.object.to_owned(), line.offset), line.record.to_owned())?;
///         }
///         Ok(())
///     }
///     fn reduce(
///         &self,
///         (object, offset): (String, u64),
///         lines: Values<'_, String>,
///         out: &mut Sink<'_, (String, u64, String)>,
///     ) -> UserResult {
///         lines.into_iter().try_for_each(|line| out.push(&(object.clone(), offset, line)))
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Located<F>(
    /// The format of the records.
    pub F,
);

/// A record and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocatedRecord<'a, R> {
    /// The record.
    pub record: R,
    /// The name of the object that it comes from: `s3://bucket/key`.
    pub object: &'a str,
    /// The offset in the object at which it starts, in bytes. If the object is compressed, in what it unpacks to. Where rows lie
    /// in columns, the number of the row, from 0; of Avro, [`Framing::place_in_block`](super::Framing::place_in_block).
    pub offset: u64,
}

impl<F: Format> Format for Located<F> {
    type Record<'a> = LocatedRecord<'a, F::Record<'a>>;
    const NAME: &'static str = F::NAME;
    /// Each side says for itself whether its records are located.
    const TWO_SIDES: bool = {
        assert!(!F::TWO_SIDES, "put located records into sides, and do not locate sides");
        false
    };

    fn describe() -> String {
        format!("located {}", F::describe())
    }

    fn framing(&self) -> Framing {
        self.0.framing()
    }

    fn has_head(&self) -> bool {
        self.0.has_head()
    }

    fn needs_offsets(&self) -> bool {
        true
    }

    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.0.first_cut(bytes)
    }

    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.0.last_cut(bytes)
    }

    #[inline]
    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, Self::Record<'a>) -> UserResult,
    ) -> UserResult<u64> {
        let Extent { object, offset, .. } = extent;
        self.0.for_each(extent, |at, record| each(at, LocatedRecord { record, object, offset: offset + at as u64 }))
    }

    fn check(&self, extent: Extent<'_>) -> UserResult {
        self.0.check(extent)
    }

    fn check_rows(&self, rows: BlockExtent<'_>) -> UserResult {
        self.0.check_rows(rows)
    }

    fn selection(&self) -> Selection {
        self.0.selection()
    }

    fn for_each_row<'a>(
        &'a self,
        rows: BlockExtent<'a>,
        mut each: impl FnMut(usize, Self::Record<'a>) -> UserResult,
    ) -> UserResult<u64> {
        let BlockExtent { object, first_row, .. } = rows;
        self.0
            .for_each_row(rows, |at, record| each(at, LocatedRecord { record, object, offset: first_row + at as u64 }))
    }

    fn place(&self, extent: Extent<'_>, at: usize) -> String {
        self.0.place(extent, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{HeadedLines, extent};

    #[test]
    fn records_know_their_object_and_offset() {
        let mut got = vec![];
        let located = Located(HeadedLines);
        assert!(located.has_head());
        let tail = Extent { offset: 100, head: b"x,y\n", object: "s3://b/k", ..extent(b"1,2\n3,4\n") };
        let count = located.for_each(tail, |at, line| {
            got.push((at, line.record, line.object, line.offset));
            Ok(())
        });
        assert_eq!(count.unwrap(), 2);
        assert_eq!(got, [(0, &b"1,2"[..], "s3://b/k", 100), (4, &b"3,4"[..], "s3://b/k", 104)]);
    }
}
