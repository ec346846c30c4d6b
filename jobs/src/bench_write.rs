//! Writes made-up text, to measure how fast reducers write to S3, and to make a corpus for the benchmarks that read. For each
//! number of its input a reducer writes one stretch of words, always the same for the same number.
//!
//! The words are `a`, `b`, … `z`, `ba`, `bb`, … up to the 50,000th. As in real text, how often a word comes is about
//! proportional to *1/r*, where *r* is its rank.

use kinglet_core::{Emitter, Items, Job, Sink, UserError, UserResult, Values};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// The job; see the module.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct BenchWrite {
    /// How many bytes are written for each number, including the line feed at the end.
    pub bytes: u32,
}

impl Job for BenchWrite {
    const NAME: &'static str = "bench-write";
    type Input = Items<u64>;
    type Key = u64;
    type Value = ();
    type Output = Vec<u8>;

    fn map(&self, number: u64, out: &mut Emitter<'_, u64, ()>) -> UserResult {
        if self.bytes == 0 {
            return Err(UserError::new("a stretch has at least one byte, its line feed"));
        }
        out.emit(number, ())
    }

    fn reduce(&self, number: u64, _: Values<'_, ()>, out: &mut Sink<'_, Vec<u8>>) -> UserResult {
        out.push(&text(number, self.bytes as usize - 1))
    }
}

/// How many words there are.
const WORDS: usize = 50_000;

/// The size of the table from which ranks are drawn, in which each stands as often as it should come: large enough that the
/// rarest word has an entry.
const DRAWN: usize = 1 << 20;

/// The words one after the other, each followed by a blank, and where a drawn word lies among them.
struct Words {
    letters: Vec<u8>,
    drawn: Vec<(u32, u32)>,
}

impl Words {
    fn new() -> Self {
        let mut letters = Vec::new();
        let mut places = Vec::with_capacity(WORDS);
        for word in 0..WORDS {
            let from = letters.len();
            let mut rest = word;
            loop {
                letters.push(b'a' + (rest % 26) as u8);
                rest /= 26;
                if rest == 0 {
                    break;
                }
            }
            letters[from..].reverse();
            letters.push(b' ');
            places.push((from as u32, letters.len() as u32));
        }
        // If u is uniform, the whole part of W^u is r with a probability of ln((r + 1) / r) / ln W, about 1 / (r ln W).
        let rank = |n: usize| (WORDS as f64 + 1.0).powf(n as f64 / DRAWN as f64) as usize;
        let drawn = (0..DRAWN).map(|n| places[(rank(n) - 1).min(WORDS - 1)]).collect();
        Words { letters, drawn }
    }
}

/// Returns `bytes` bytes of text, the same for the same seed.
fn text(seed: u64, bytes: usize) -> Vec<u8> {
    static ALL: OnceLock<Words> = OnceLock::new();
    let words = ALL.get_or_init(Words::new);
    // splitmix64 (Steele, Lea and Flood, 2014); each of its numbers draws two words.
    let mut state = seed;
    let mut out = Vec::with_capacity(bytes + 16);
    while out.len() < bytes {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let z = z ^ (z >> 31);
        for draw in [z as u32, (z >> 32) as u32] {
            let (from, to) = words.drawn[draw as usize % DRAWN];
            out.extend_from_slice(&words.letters[from as usize..to as usize]);
        }
    }
    out.truncate(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn the_text_is_as_long_as_asked_the_same_each_time_and_like_text() {
        let made = text(1, 1_000_000);
        assert_eq!(made.len(), 1_000_000);
        assert!(made == text(1, 1_000_000) && made != text(2, 1_000_000));
        let mut counts: HashMap<&[u8], u64> = HashMap::new();
        made.split(|byte| *byte == b' ').for_each(|word| *counts.entry(word).or_default() += 1);
        let words: u64 = counts.values().sum();
        // ln 2 / ln 50,001 is 6.4 %, and ln 1.5 / ln 50,001 is 3.7 %.
        let percent = |word: &[u8]| counts[word] as f64 / words as f64 * 100.0;
        assert!((6.0..7.0).contains(&percent(b"a")), "{}", percent(b"a"));
        assert!((3.2..4.4).contains(&percent(b"b")), "{}", percent(b"b"));
        assert!(counts.len() > 20_000, "{}", counts.len());
    }

    #[test]
    fn every_word_can_be_drawn() {
        let words = Words::new();
        let mut drawn: Vec<_> = words.drawn.clone();
        drawn.dedup();
        assert_eq!(drawn.len(), WORDS);
    }
}
