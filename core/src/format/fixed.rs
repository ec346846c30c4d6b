//! Binary records of a fixed length, end to end.

use super::{Extent, Format, Framing};
use crate::error::{Code, Error, UserError, UserResult};

/// Records of `N` bytes. An object whose length is not a multiple of `N` fails the job at its last, incomplete record
/// (`record-cut`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixed<const N: usize>;

impl<const N: usize> Format for Fixed<N> {
    type Record<'a> = &'a [u8; N];
    const NAME: &'static str = "fixed";

    fn framing(&self) -> Framing {
        Framing::Fixed { bytes: N }
    }

    #[inline]
    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, &'a [u8; N]) -> UserResult,
    ) -> UserResult<u64> {
        let (records, rest) = extent.bytes.as_chunks::<N>();
        for (n, record) in records.iter().enumerate() {
            each(n * N, record)?;
        }
        no_rest(extent, rest.len(), N)?;
        Ok(records.len() as u64)
    }
}

/// Calls `each` for every record of an extent, of a length that is known when the program runs.
pub(super) fn for_each_fixed<'a>(
    bytes: usize,
    extent: Extent<'a>,
    mut each: impl FnMut(usize, &'a [u8]) -> UserResult,
) -> UserResult<u64> {
    let records = extent.bytes.chunks_exact(bytes.max(1));
    let (count, rest) = (records.len(), records.remainder().len());
    for (n, record) in records.enumerate() {
        each(n * bytes, record)?;
    }
    no_rest(extent, rest, bytes)?;
    Ok(count as u64)
}

/// Refuses an extent behind whose records some bytes are left.
fn no_rest(extent: Extent<'_>, rest: usize, bytes: usize) -> UserResult {
    if rest == 0 {
        return Ok(());
    }
    let error = Error::new(Code::RecordCut, format!("the object ends within a record: {rest} of {bytes} bytes"))
        .with_hint("the object is cut short, or its records have another length");
    Err(UserError::from(error).at(extent.bytes.len() - rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::extent;

    #[test]
    fn records_and_what_is_left_of_one() {
        let mut got = vec![];
        let all = Fixed::<2>.for_each(extent(b"aabbcc"), |at, record| {
            got.push((at, *record));
            Ok(())
        });
        assert_eq!((all.unwrap(), &got[..]), (3, &[(0, *b"aa"), (2, *b"bb"), (4, *b"cc")][..]));
        let (at, error) = Fixed::<4>.for_each(extent(b"aaaabb"), |_, _| Ok(())).unwrap_err().take_place();
        assert_eq!((at, error.to_string().contains("2 of 4 bytes")), (4, true));
    }
}
