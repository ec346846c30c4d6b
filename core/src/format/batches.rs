//! Many records at once, for jobs that compute on slices: a kernel is called once for some hundred kilobytes of input, not
//! once for each record.

use super::{Format, Stretch};
use crate::error::{UserError, UserResult};
use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;

/// `map` is given whole stretches of the records of `F`: a [`Batch`] at a time, each record in one batch, batches of about
/// the size of a network read.
///
/// ```
/// use kinglet_core::{Batch, Batches, Combiner, Emitter, Job, Lines, Sink, UserResult, Values};
///
/// /// The largest number of all lines.
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
pub struct Batches<F>(PhantomData<fn() -> F>);

/// A stretch of whole records of the format `F`.
pub struct Batch<'a, F> {
    stretch: Stretch<'a>,
    read: Rc<Cell<u64>>,
    format: PhantomData<fn() -> F>,
}

impl<'a, F: Format> Batch<'a, F> {
    /// Its bytes, where they lie in the object, and the object's head where the format has one.
    pub fn stretch(&self) -> Stretch<'a> {
        self.stretch
    }

    /// Calls `each` for every record. What the job's report counts as records are those that were read here.
    ///
    /// # Errors
    /// The error of `each`, or of a record that is not valid; passed on with `?` it names the record's place.
    pub fn for_each(&self, each: impl FnMut(F::Record<'a>) -> UserResult) -> UserResult {
        self.for_each_as::<F>(each)
    }

    /// The same with the records of another format, for a job whose parameters choose it; see [`Job::cuts`](crate::Job::cuts).
    ///
    /// # Errors
    /// As [`Batch::for_each`].
    pub fn for_each_as<G: Format>(&self, each: impl FnMut(G::Record<'a>) -> UserResult) -> UserResult {
        let count = G::for_each_in(self.stretch, each).map_err(|(at, error)| error.at(at))?;
        self.read.set(self.read.get() + count);
        Ok(())
    }
}

impl<F: Format> Format for Batches<F> {
    type Record<'a> = Batch<'a, F>;
    const NAME: &'static str = F::NAME;
    const RECORD_BYTES: Option<usize> = F::RECORD_BYTES;
    const HEAD: bool = F::HEAD;
    const FRAMED: bool = F::FRAMED;

    fn describe() -> String {
        format!("batches of {}", F::describe())
    }

    fn place(chunk: &[u8], offset: u64, at: usize, name: &str) -> String {
        F::place(chunk, offset, at, name)
    }

    fn first_cut(bytes: &[u8]) -> Option<usize> {
        F::first_cut(bytes)
    }

    fn last_cut(bytes: &[u8]) -> Option<usize> {
        F::last_cut(bytes)
    }

    fn for_each<'a>(chunk: &'a [u8], each: impl FnMut(Batch<'a, F>) -> UserResult) -> Result<u64, (usize, UserError)> {
        Self::for_each_in(Stretch { bytes: chunk, offset: 0, head: &[] }, each)
    }

    fn for_each_in<'a>(
        stretch: Stretch<'a>,
        mut each: impl FnMut(Batch<'a, F>) -> UserResult,
    ) -> Result<u64, (usize, UserError)> {
        let read = Rc::new(Cell::new(0));
        each(Batch { stretch, read: read.clone(), format: PhantomData }).map_err(UserError::take_place)?;
        Ok(read.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{ByteLines, Fixed, Lines};

    #[test]
    fn a_batch_counts_its_records_and_places_their_errors() {
        let mut lines = vec![];
        let count = Batches::<Lines>::for_each(b"a\nbc\nd", |batch| {
            batch.for_each(|line| {
                lines.push(line.to_owned());
                Ok(())
            })
        });
        assert_eq!((count.unwrap(), lines.concat()), (3, "abcd".to_owned()));
        let refuse = |line: &[u8]| if line == b"d" { Err(UserError::new("no d")) } else { Ok(()) };
        let (at, error) = Batches::<ByteLines>::for_each(b"a\nbc\nd", |batch| batch.for_each(refuse)).unwrap_err();
        assert_eq!((at, error.to_string().as_str()), (5, "no d"));
        let as_fixed = Batches::<ByteLines>::for_each(b"abcdef", |batch| batch.for_each_as::<Fixed<2>>(|_| Ok(())));
        assert_eq!(as_fixed.unwrap(), 3);
        let (at, _) = Batches::<ByteLines>::for_each(b"abc", |_| Err(UserError::new("of the whole"))).unwrap_err();
        assert_eq!(at, 0);
    }
}
