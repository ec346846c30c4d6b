//! Items: values of one type that the driver made, not objects that were listed. [`crate::wire::items`] draws how they lie.

use super::Format;
use crate::error::{Error, UserError, UserResult};
use crate::job::Value;
use crate::wire::items;
use std::marker::PhantomData;

/// A job's input that is made, not read: values of `T`, handed to the driver, one record each. They travel in the encoding of
/// [`crate::codec`], so `T` is anything that serde can write and read.
///
/// The driver cuts them into splits, at items only; within a split each thread takes one item at a time, so one item may be
/// hours of work or a microsecond. A job with this input is started by `Driver::run_items` and `Driver::submit_items`.
///
/// ```
/// use kinglet_core::{Combiner, Emitter, Items, Job, Sink, UserResult, Values};
/// use serde::{Deserialize, Serialize};
/// use std::ops::Range;
///
/// /// Adds up the squares of some ranges of numbers.
/// #[derive(Serialize, Deserialize)]
/// struct Squares;
///
/// impl Job for Squares {
///     const NAME: &'static str = "squares";
///     type Input = Items<Range<u64>>;
///     type Key = ();
///     type Value = u64;
///     type Output = u64;
///
///     fn map(&self, range: Range<u64>, out: &mut Emitter<'_, (), u64>) -> UserResult {
///         out.emit((), range.map(|n| n * n).sum())
///     }
///     fn combiner(&self) -> Option<Combiner<u64>> {
///         Some(Combiner::sum())
///     }
///     fn reduce(&self, _: (), sums: Values<'_, u64>, out: &mut Sink<'_, u64>) -> UserResult {
///         out.push(&sums.sum())
///     }
/// }
/// ```
pub struct Items<T>(PhantomData<fn() -> T>);

impl<T: Value> Format for Items<T> {
    type Record<'a> = T;
    const NAME: &'static str = "items";
    const FRAMED: bool = true;

    fn describe() -> String {
        format!("items of {}", std::any::type_name::<T>())
    }

    fn first_cut(bytes: &[u8]) -> Option<usize> {
        items::first_end(bytes)
    }

    fn last_cut(bytes: &[u8]) -> Option<usize> {
        let mut end = 0;
        while let Some(more) = items::first_end(&bytes[end..]) {
            end += more;
        }
        (end > 0).then_some(end)
    }

    fn for_each<'a>(
        chunk: &'a [u8],
        mut each: impl FnMut(Self::Record<'a>) -> UserResult,
    ) -> Result<u64, (usize, UserError)> {
        let (mut at, mut count) = (0, 0);
        while at < chunk.len() {
            let here = |error: Error| (at, UserError::from(error));
            let item = items::read(&chunk[at..]).map_err(here)?;
            let value = crate::codec::decode_foreign::<T>(item.payload).map_err(|e| {
                // The checksum was right: the bytes are what somebody wrote, as another type.
                here(
                    Error::stale("item-type", format!("reading item {}: {e}", item.number))
                        .with_hint("driver and functions hold different versions of the item's type: deploy again"),
                )
            })?;
            each(value).map_err(|e| (at, e))?;
            at += item.bytes;
            count += 1;
        }
        Ok(count)
    }

    fn place(chunk: &[u8], offset: u64, at: usize, name: &str) -> String {
        match chunk.get(at..).and_then(items::number) {
            Some(number) => format!("item {number}"),
            None => format!("{name} at byte {}", offset + at as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(values: &[u32]) -> Vec<u8> {
        let mut writer = items::Writer::new();
        values.iter().for_each(|value| writer.push(value).unwrap());
        writer.into_bytes()
    }

    #[test]
    fn what_was_written_is_read_and_cut_at_items() {
        let bytes = encoded(&[7, 70_000, 9]);
        let mut got = vec![];
        let count = Items::<u32>::for_each(&bytes, |n| {
            got.push(n);
            Ok(())
        });
        assert_eq!((count.unwrap(), got), (3, vec![7, 70_000, 9]));
        let first = Items::<u32>::first_cut(&bytes).unwrap();
        assert_eq!(Items::<u32>::place(&bytes, 0, first, "it"), "item 1");
        assert_eq!(Items::<u32>::last_cut(&bytes), Some(bytes.len()));
        assert_eq!(Items::<u32>::last_cut(&bytes[..bytes.len() - 1]).unwrap(), {
            let rest = &bytes[first..];
            first + Items::<u32>::first_cut(rest).unwrap()
        });
        assert_eq!(Items::<u32>::first_cut(&bytes[..first - 1]), None);
    }

    #[test]
    fn another_type_is_a_stale_deployment_and_damage_is_not() {
        let bytes = encoded(&[1, 300]);
        let code = |(_, error): (usize, UserError)| error.into_error("user").code().to_owned();
        assert_eq!(code(Items::<String>::for_each(&bytes, |_| Ok(())).unwrap_err()), "item-type");
        let mut bad = bytes.clone();
        *bad.last_mut().unwrap() ^= 1;
        let (at, error) = Items::<u32>::for_each(&bad, |_| Ok(())).unwrap_err();
        assert_eq!((at, code((at, error))), (Items::<u32>::first_cut(&bytes).unwrap(), "items-corrupt".to_owned()));
    }
}
