//! Many records at once, for jobs that compute on slices: a kernel is called once for some hundred kilobytes of input
//! instead of once for each record.

use super::{BlockExtent, Extent, Format, Framing, Selection};
use crate::error::UserResult;
use std::cell::Cell;
use std::rc::Rc;

/// A format that gives `map` many records of `F` at once, as a [`Batch`]. Each record is in exactly one batch, and a batch
/// is about as large as a network read. Of a job that may leave out records that are not valid, all records of a batch are, and
/// are read twice.
///
/// ```
/// use kinglet_core::{Batch, Batches, Combiner, Emitter, Job, Lines, Sink, UserResult, Values};
///
/// /// Finds the largest number of all lines.
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Largest;
///
/// impl Job for Largest {
///     const NAME: &'static str = "largest";
///     type Input = Batches<Lines>;
///     type Key = ();
///     type Value = u64;
///     type Output = u64;
///
///     fn map(&self, batch: Batch<'_, Lines>, out: &mut Emitter<'_, (), u64>) -> UserResult {
///         let mut numbers = Vec::new();
///         batch.for_each(|line| {
///             numbers.push(line.parse::<u64>()?);
///             Ok(())
///         })?;
///         match numbers.iter().max() {
///             Some(largest) => out.emit((), *largest),
///             None => Ok(()),
///         }
///     }
///     fn combiner(&self) -> Option<Combiner<u64>> {
///         Some(Combiner::max())
///     }
///     fn reduce(&self, _: (), largest: Values<'_, u64>, out: &mut Sink<'_, u64>) -> UserResult {
///         out.push(&largest.max().unwrap_or(0))
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Batches<F>(
    /// The format of the records.
    pub F,
);

/// Many whole records of the format `F`.
pub struct Batch<'a, F> {
    extent: Extent<'a>,
    /// The records, where they lie in columns.
    rows: Option<BlockExtent<'a>>,
    read: Rc<Cell<u64>>,
    format: &'a F,
}

impl<'a, F: Format> Batch<'a, F> {
    /// Returns the batch's bytes, where they lie in the object, and the object's head if the format has one. Where rows lie in
    /// columns there are no bytes, and the offset is the number of the first row.
    pub fn extent(&self) -> Extent<'a> {
        self.extent
    }

    /// Calls `each` for every record. The job's report counts as records those that are read here.
    ///
    /// # Errors
    /// Returns the error of `each`, or one for a record that is not valid. Passed on with `?`, it names the record's place.
    pub fn for_each(&self, mut each: impl FnMut(F::Record<'a>) -> UserResult) -> UserResult {
        let each = |at: usize, record: F::Record<'a>| each(record).map_err(|error| error.at(at));
        let count = match self.rows {
            Some(rows) => self.format.for_each_row(rows, each)?,
            None => self.format.for_each(self.extent, each)?,
        };
        self.read.set(self.read.get() + count);
        Ok(())
    }
}

impl<F: Format> Format for Batches<F> {
    type Record<'a> = Batch<'a, F>;
    const NAME: &'static str = F::NAME;
    /// Each side has batches of its own: what is in batches has one side.
    const TWO_SIDES: bool = {
        assert!(!F::TWO_SIDES, "put batches into sides, and not sides into batches");
        false
    };

    fn describe() -> String {
        format!("batches of {}", F::describe())
    }

    fn framing(&self) -> Framing {
        self.0.framing()
    }

    fn has_head(&self) -> bool {
        self.0.has_head()
    }

    fn needs_offsets(&self) -> bool {
        self.0.needs_offsets()
    }

    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.0.first_cut(bytes)
    }

    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.0.last_cut(bytes)
    }

    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, Batch<'a, F>) -> UserResult,
    ) -> UserResult<u64> {
        let read = Rc::new(Cell::new(0));
        each(0, Batch { extent, rows: None, read: read.clone(), format: &self.0 })?;
        Ok(read.get())
    }

    fn check(&self, extent: Extent<'_>) -> UserResult {
        let found = self.0.check(extent);
        let valid = match &found {
            Ok(()) => extent.bytes,
            Err(error) => error.invalid().and_then(|at| extent.bytes.get(..at.record.start)).unwrap_or_default(),
        };
        self.0.for_each(Extent { bytes: valid, ..extent }, |_, _| Ok(()))?;
        found
    }

    fn selection(&self) -> Selection {
        self.0.selection()
    }

    fn check_rows(&self, rows: BlockExtent<'_>) -> UserResult {
        self.0.check_rows(rows)?;
        self.0.for_each_row(rows, |_, _| Ok(())).map(|_| ())
    }

    fn for_each_row<'a>(
        &'a self,
        rows: BlockExtent<'a>,
        mut each: impl FnMut(usize, Batch<'a, F>) -> UserResult,
    ) -> UserResult<u64> {
        let read = Rc::new(Cell::new(0));
        let BlockExtent { first_row, object, side, .. } = rows;
        let extent = Extent { bytes: &[], offset: first_row, head: &[], object, side };
        each(0, Batch { extent, rows: Some(rows), read: read.clone(), format: &self.0 })?;
        Ok(read.get())
    }

    fn place(&self, extent: Extent<'_>, at: usize) -> String {
        self.0.place(extent, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserError;
    use crate::format::{ByteLines, Lines, extent};

    #[test]
    fn a_batch_counts_its_records_and_places_their_errors() {
        let mut lines = vec![];
        let batches = Batches(Lines);
        let count = batches.for_each(extent(b"a\nbc\nd"), |_, batch| {
            batch.for_each(|line| {
                lines.push(line.to_owned());
                Ok(())
            })
        });
        assert_eq!((count.unwrap(), lines.concat()), (3, "abcd".to_owned()));
        let refuse = |line: &[u8]| if line == b"d" { Err(UserError::new("no d")) } else { Ok(()) };
        let batches = Batches(ByteLines);
        let failed = batches.for_each(extent(b"a\nbc\nd"), |_, batch| batch.for_each(refuse)).unwrap_err();
        let (at, error) = failed.take_place();
        assert_eq!((at, error.to_string().as_str()), (5, "no d"));
        let of_the_whole = batches.for_each(extent(b"abc"), |_, _| Err(UserError::new("of the whole")));
        assert_eq!(of_the_whole.unwrap_err().take_place().0, 0);
    }
}
