//! Words: the maximal runs of bytes that are not ASCII white space (space, tab, line feed, form feed, carriage return, but
//! not the vertical tab). A word may have any bytes, so text that is not UTF-8 has words too. The input may be cut at any
//! white space, so a line of any length is read in parallel and in bounded memory.

use super::{Extent, Format};
use crate::error::UserResult;

/// Words of any bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words;

const fn white_space() -> [bool; 256] {
    let mut table = [false; 256];
    table[b' ' as usize] = true;
    table[b'\t' as usize] = true;
    table[b'\n' as usize] = true;
    table[0x0c] = true;
    table[b'\r' as usize] = true;
    table
}
static WHITE_SPACE: [bool; 256] = white_space();

#[inline(always)]
fn is_white_space(byte: u8) -> bool {
    WHITE_SPACE[byte as usize]
}

impl Format for Words {
    type Record<'a> = &'a [u8];
    const NAME: &'static str = "words";

    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        bytes.iter().position(|b| is_white_space(*b)).map(|at| at + 1)
    }

    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        bytes.iter().rposition(|b| is_white_space(*b)).map(|at| at + 1)
    }

    #[inline]
    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, &'a [u8]) -> UserResult,
    ) -> UserResult<u64> {
        let bytes = extent.bytes;
        let mut count = 0;
        let mut at = 0;
        loop {
            while at < bytes.len() && is_white_space(bytes[at]) {
                at += 1;
            }
            let start = at;
            while at < bytes.len() && !is_white_space(bytes[at]) {
                at += 1;
            }
            if start == at {
                return Ok(count);
            }
            each(start, &bytes[start..at])?;
            count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_what_split_ascii_whitespace_finds(text in "[a-c \\t\\n\\r\\x0b\\x0c\u{e9}]{0,40}") {
            let mut got = vec![];
            let count = Words.for_each(crate::format::extent(text.as_bytes()), |_, w| { got.push(w.to_vec()); Ok(()) }).unwrap();
            let want: Vec<_> = text.split_ascii_whitespace().map(|w| w.as_bytes().to_vec()).collect();
            prop_assert_eq!(count, want.len() as u64);
            prop_assert_eq!(got, want);
        }
    }
}
