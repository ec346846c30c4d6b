//! Binary records of a fixed length, end to end.

use super::Format;
use crate::error::{Error, UserError, UserResult};

/// Records of `N` bytes. An object whose length is no multiple of that fails the job at its last, broken record.
pub struct Fixed<const N: usize>;

impl<const N: usize> Format for Fixed<N> {
    type Record<'a> = &'a [u8; N];
    const NAME: &'static str = "fixed";
    const RECORD_BYTES: Option<usize> = Some(N);

    fn for_each<'a>(
        chunk: &'a [u8],
        mut each: impl FnMut(&'a [u8; N]) -> UserResult,
    ) -> Result<u64, (usize, UserError)> {
        let (records, rest) = chunk.as_chunks::<N>();
        for (at, record) in records.iter().enumerate() {
            each(record).map_err(|error| (at * N, error))?;
        }
        if !rest.is_empty() {
            let error =
                Error::input("record-cut", format!("the object ends within a record: {} of {N} bytes", rest.len()))
                    .with_hint("the object is cut short, or its records have another length");
            return Err((chunk.len() - rest.len(), error.into()));
        }
        Ok(records.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_what_is_left_of_one() {
        let mut got = vec![];
        let all = Fixed::<2>::for_each(b"aabbcc", |record| {
            got.push(*record);
            Ok(())
        });
        assert_eq!((all.unwrap(), &got[..]), (3, &[*b"aa", *b"bb", *b"cc"][..]));
        let (at, error) = Fixed::<4>::for_each(b"aaaabb", |_| Ok(())).unwrap_err();
        assert_eq!((at, error.to_string().contains("2 of 4 bytes")), (4, true));
    }
}
