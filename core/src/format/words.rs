//! Words: the maximal runs of bytes that are not ASCII white space (space, tab, line feed, form feed, carriage return; not
//! the vertical tab). Of any bytes: text that is not UTF-8 has words too. Input may be cut at any white space, so a line of
//! any length is read in parallel and in bounded memory.

use super::Format;
use crate::error::{UserError, UserResult};

/// Words of any bytes.
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

    fn first_cut(bytes: &[u8]) -> Option<usize> {
        bytes.iter().position(|b| is_white_space(*b)).map(|at| at + 1)
    }

    fn last_cut(bytes: &[u8]) -> Option<usize> {
        bytes.iter().rposition(|b| is_white_space(*b)).map(|at| at + 1)
    }

    #[inline]
    fn for_each<'a>(chunk: &'a [u8], mut each: impl FnMut(&'a [u8]) -> UserResult) -> Result<u64, (usize, UserError)> {
        let mut count = 0;
        let mut at = 0;
        loop {
            while at < chunk.len() && is_white_space(chunk[at]) {
                at += 1;
            }
            let start = at;
            while at < chunk.len() && !is_white_space(chunk[at]) {
                at += 1;
            }
            if start == at {
                return Ok(count);
            }
            each(&chunk[start..at]).map_err(|e| (start, e))?;
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
            let count = Words::for_each(text.as_bytes(), |w| { got.push(w.to_vec()); Ok(()) }).unwrap();
            let want: Vec<_> = text.split_ascii_whitespace().map(|w| w.as_bytes().to_vec()).collect();
            prop_assert_eq!(count, want.len() as u64);
            prop_assert_eq!(got, want);
        }
    }
}
