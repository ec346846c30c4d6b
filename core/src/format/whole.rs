//! Whole objects: each is one record.

use super::{Extent, Format, Framing};
use crate::error::UserResult;

/// An object: its name and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeObject<'a> {
    /// The object's name: `s3://bucket/key`, or a path.
    pub name: &'a str,
    /// What it holds; of a compressed object, what that unpacks to.
    pub bytes: &'a [u8],
}

/// Each object as one record, whatever is in it. An object is read by one task, which holds all of it. One without a byte is no record.
///
/// ```
/// use kinglet_core::{Emitter, Job, Sink, UserResult, Values, WholeObject, WholeObjects};
///
/// /// Counts objects by the first byte that they have.
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Kinds;
///
/// impl Job for Kinds {
///     const NAME: &'static str = "kinds";
///     type Input = WholeObjects;
///     type Key = u8;
///     type Value = u64;
///     type Output = (u8, u64);
///
///     fn map(&self, object: WholeObject<'_>, out: &mut Emitter<'_, u8, u64>) -> UserResult {
///         out.emit(object.bytes[0], 1)
///     }
///     fn reduce(&self, first: u8, counts: Values<'_, u64>, out: &mut Sink<'_, (u8, u64)>) -> UserResult {
///         out.push(&(first, counts.sum()))
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct WholeObjects;

impl Format for WholeObjects {
    type Record<'a> = WholeObject<'a>;
    const NAME: &'static str = "whole-objects";

    fn framing(&self) -> Framing {
        Framing::Whole
    }

    fn first_cut(&self, _: &[u8]) -> Option<usize> {
        None
    }

    fn last_cut(&self, _: &[u8]) -> Option<usize> {
        None
    }

    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, WholeObject<'a>) -> UserResult,
    ) -> UserResult<u64> {
        if extent.bytes.is_empty() {
            return Ok(0);
        }
        each(0, WholeObject { name: extent.object, bytes: extent.bytes })?;
        Ok(1)
    }
}
