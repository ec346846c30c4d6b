//! Items: values of one type that the driver made, in place of objects that were listed. [`crate::wire::items`] draws their
//! layout.

use super::{Extent, Format, Framing};
use crate::error::{Code, Error, UserError, UserResult};
use crate::value::Value;
use crate::wire::items;
use std::marker::PhantomData;

/// A format for input that the program hands to the driver instead of naming objects: values of `T`, one record each. They
/// travel in the encoding of [`crate::codec`], so `T` is anything that serde can write and read.
///
/// The driver cuts the items into splits. Within a split each thread takes one item at a time, so an item may be hours of work
/// or a microsecond. `Driver::run_items` and `Driver::submit_items` start a job with this input.
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

impl<T> Default for Items<T> {
    fn default() -> Self {
        Items(PhantomData)
    }
}

impl<T: Value> Format for Items<T> {
    type Record<'a> = T;
    const NAME: &'static str = "items";

    fn describe() -> String {
        format!("items of {}", std::any::type_name::<T>())
    }

    fn framing(&self) -> Framing {
        Framing::Prefixed
    }

    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        items::first_end(bytes)
    }

    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        let mut end = 0;
        while let Some(more) = items::first_end(&bytes[end..]) {
            end += more;
        }
        (end > 0).then_some(end)
    }

    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, Self::Record<'a>) -> UserResult,
    ) -> UserResult<u64> {
        let (mut at, mut count) = (0, 0);
        while at < extent.bytes.len() {
            let here = |error: Error| UserError::from(error).at(at);
            let item = items::read(&extent.bytes[at..]).map_err(here)?;
            let value = crate::codec::decode::<T>(item.payload).map_err(|e| {
                // The checksum is right, so the bytes are as they were written, but as another type.
                here(
                    Error::new(Code::ItemType, format!("reading item {}: {e}", item.number))
                        .with_hint("driver and functions hold different versions of the item's type: deploy again"),
                )
            })?;
            each(at, value)?;
            at += item.bytes;
            count += 1;
        }
        Ok(count)
    }

    fn place(&self, extent: Extent<'_>, at: usize) -> String {
        match extent.bytes.get(at..).and_then(items::number) {
            Some(number) => format!("item {number}"),
            None => format!("{} at byte {}", extent.object, extent.offset + at as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::extent;

    fn encoded(values: &[u32]) -> Vec<u8> {
        let mut writer = crate::wire::items::Writer::new();
        values.iter().for_each(|value| writer.push(value).unwrap());
        writer.into_bytes()
    }

    fn items<T: Value>() -> Items<T> {
        Items::default()
    }

    #[test]
    fn what_was_written_is_read_and_cut_at_items() {
        let bytes = encoded(&[7, 70_000, 9]);
        let mut got = vec![];
        let items = items::<u32>();
        let count = items.for_each(extent(&bytes), |_, n| {
            got.push(n);
            Ok(())
        });
        assert_eq!((count.unwrap(), got), (3, vec![7, 70_000, 9]));
        let first = items.first_cut(&bytes).unwrap();
        assert_eq!(items.place(extent(&bytes), first), "item 1");
        assert_eq!(items.last_cut(&bytes), Some(bytes.len()));
        assert_eq!(items.last_cut(&bytes[..bytes.len() - 1]).unwrap(), {
            let rest = &bytes[first..];
            first + items.first_cut(rest).unwrap()
        });
        assert_eq!(items.first_cut(&bytes[..first - 1]), None);
    }

    #[test]
    fn another_type_is_a_stale_deployment_and_damage_is_not() {
        let bytes = encoded(&[1, 300]);
        let code = |error: UserError| error.take_place().1.into_error(crate::Code::MapFailed).code().to_owned();
        assert_eq!(code(items::<String>().for_each(extent(&bytes), |_, _| Ok(())).unwrap_err()), "item-type");
        let mut bad = bytes.clone();
        *bad.last_mut().unwrap() ^= 1;
        let (at, error) = items::<u32>().for_each(extent(&bad), |_, _| Ok(())).unwrap_err().take_place();
        assert_eq!((at, code(error)), (items::<u32>().first_cut(&bytes).unwrap(), "items-corrupt".to_owned()));
    }
}
