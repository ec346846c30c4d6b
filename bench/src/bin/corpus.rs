//! Writes the word-count corpus: natural-like text, the same bytes for the same seed on every machine.
//!
//! Word frequencies follow Zipf–Mandelbrot, `f(rank) ∝ (rank + 2.7)^-1.05`, as words of natural languages do; the
//! vocabulary is large enough that 1.2 GB hold more than ten million distinct words. A word is a function of its rank
//! alone: frequent words are short, rare ones run to some twenty letters. Nothing here knows the programs measured.
//!
//! The file is made of blocks, each from its own stream of one ChaCha8 key, so the cores share the work and the bytes do
//! not depend on how many there are. The floating-point functions are `libm`'s in Rust, not the platform's, for the same
//! reason.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

#[derive(Parser)]
#[command(about = "write a seeded, natural-like text file")]
struct Arguments {
    /// Where to write the text.
    output: PathBuf,
    /// How long the file is to be; it ends with the line that reaches this.
    #[arg(long, default_value_t = 1_200_000_000)]
    bytes: u64,
    /// Another seed gives another text over the same vocabulary.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many words the language has; rare ones may not occur.
    #[arg(long, default_value_t = 30_000_000)]
    vocabulary: u64,
}

const EXPONENT: f64 = 1.05;
const SHIFT: f64 = 2.7;
const LINE_WORDS_MIN: u32 = 5;
const LINE_WORDS_MAX: u32 = 20;
const BLOCK_BYTES: u64 = 4 << 20;
/// Blocks made at a time; bounds the memory.
const BATCH_BLOCKS: u64 = 16;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let ranks = ZipfMandelbrot::new(arguments.vocabulary, EXPONENT, SHIFT);
    let seen = RankSet::new(arguments.vocabulary);
    let mut file = BufWriter::new(File::create(&arguments.output)?);

    let blocks_max = arguments.bytes.div_ceil(BLOCK_BYTES);
    let (mut bytes, mut words) = (0, 0);
    let mut first = 0;
    while first < blocks_max {
        let batch: Vec<Block> = (first..blocks_max.min(first + BATCH_BLOCKS))
            .into_par_iter()
            .map(|block_idx| {
                let wanted = BLOCK_BYTES.min(arguments.bytes - block_idx * BLOCK_BYTES);
                let mut rng = ChaCha8Rng::seed_from_u64(arguments.seed);
                rng.set_stream(block_idx);
                Block::generate(&mut rng, &ranks, &seen, wanted as usize)
            })
            .collect();
        for block in &batch {
            file.write_all(&block.text)?;
            bytes += block.text.len() as u64;
            words += block.words;
        }
        first += BATCH_BLOCKS;
    }
    file.flush()?;
    println!("{bytes} bytes, {words} words, {} distinct", seen.len());
    Ok(())
}

struct Block {
    text: Vec<u8>,
    words: u64,
}

impl Block {
    /// Whole lines, until at least `bytes_wanted` bytes are there.
    fn generate(rng: &mut impl Rng, ranks: &ZipfMandelbrot, seen: &RankSet, bytes_wanted: usize) -> Self {
        let mut block = Self { text: Vec::with_capacity(bytes_wanted + 1024), words: 0 };
        while block.text.len() < bytes_wanted {
            let line_words = rng.random_range(LINE_WORDS_MIN..=LINE_WORDS_MAX);
            for _ in 0..line_words {
                let rank = ranks.sample(rng);
                seen.insert(rank);
                push_word(rank, &mut block.text);
                block.text.push(b' ');
            }
            block.text.pop();
            block.text.push(b'\n');
            block.words += u64::from(line_words);
        }
        block
    }
}

/// Ranks from 1 with probability in proportion to `(rank + shift)^-exponent`.
///
/// Rejection-inversion, after W. Hörmann and G. Derflinger, "Rejection-inversion to generate variates from monotone
/// discrete distributions", ACM TOMACS 6(3), 1996: no table, and fewer than 1.1 draws a sample.
struct ZipfMandelbrot {
    count: f64,
    exponent: f64,
    shift: f64,
    area_first: f64,
    area_last: f64,
    accept_below: f64,
}

impl ZipfMandelbrot {
    fn new(count: u64, exponent: f64, shift: f64) -> Self {
        assert!(count > 0 && exponent > 1.0 && shift >= 0.0);
        let mut zipf =
            Self { count: count as f64, exponent, shift, area_first: 0.0, area_last: 0.0, accept_below: 0.0 };
        zipf.area_first = zipf.area(1.5) - zipf.weight(1.0);
        zipf.area_last = zipf.area(zipf.count + 0.5);
        zipf.accept_below = 2.0 - zipf.area_inverse(zipf.area(2.5) - zipf.weight(2.0));
        zipf
    }

    fn sample(&self, rng: &mut impl Rng) -> u64 {
        loop {
            let area = self.area_last + rng.random::<f64>() * (self.area_first - self.area_last);
            let x = self.area_inverse(area);
            let rank = libm::round(x).clamp(1.0, self.count);
            if rank - x <= self.accept_below || area >= self.area(rank + 0.5) - self.weight(rank) {
                return rank as u64;
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        libm::pow(x + self.shift, -self.exponent)
    }

    /// The antiderivative of `weight`.
    fn area(&self, x: f64) -> f64 {
        libm::pow(x + self.shift, 1.0 - self.exponent) / (1.0 - self.exponent)
    }

    fn area_inverse(&self, area: f64) -> f64 {
        libm::pow(area * (1.0 - self.exponent), 1.0 / (1.0 - self.exponent)) - self.shift
    }
}

const CONSONANTS: [u8; 17] = *b"bcdfghklmnprstvwz";
const VOWELS: [u8; 5] = *b"aeiou";
const SYLLABLES: u64 = (CONSONANTS.len() * VOWELS.len()) as u64;
/// No ending can be taken for a syllable: it has no vowel, or begins with a letter that no syllable has.
const ENDINGS: [&str; 32] = [
    "",
    "n",
    "s",
    "t",
    "r",
    "",
    "m",
    "l",
    "nd",
    "st",
    "ng",
    "rs",
    "nt",
    "ns",
    "ts",
    "",
    "yed",
    "yer",
    "ying",
    "yal",
    "yly",
    "xis",
    "xum",
    "jor",
    "yous",
    "yent",
    "yness",
    "yation",
    "xical",
    "yment",
    "jaments",
    "ylessness",
];
/// The commonest words have only the short ones.
const ENDINGS_SHORT: u64 = 8;

/// The word of a rank, and of no other: the rank in bijective base 85, a digit a syllable, and an ending.
///
/// The words of one length are shuffled, so that ranks side by side do not look alike.
fn push_word(rank: u64, text: &mut Vec<u8>) {
    let (mut idx, mut syllables, mut class) = (rank - 1, 1, SYLLABLES);
    while idx >= class {
        idx -= class;
        class *= SYLLABLES;
        syllables += 1;
    }
    // A prime that does not divide a power of 85 permutes the class.
    let mut digits = idx.wrapping_mul(2_654_435_761) % class;
    for _ in 0..syllables {
        let syllable = (digits % SYLLABLES) as usize;
        digits /= SYLLABLES;
        text.push(CONSONANTS[syllable / VOWELS.len()]);
        text.push(VOWELS[syllable % VOWELS.len()]);
    }
    let endings = if syllables == 1 { ENDINGS_SHORT } else { ENDINGS.len() as u64 };
    let scattered = rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    text.extend_from_slice(ENDINGS[(scattered % endings) as usize].as_bytes());
}

/// Which ranks have occurred: a bit each.
struct RankSet(Vec<AtomicU64>);

impl RankSet {
    fn new(count: u64) -> Self {
        Self((0..=count / 64).map(|_| AtomicU64::new(0)).collect())
    }

    fn insert(&self, rank: u64) {
        let (word, bit) = (&self.0[(rank / 64) as usize], 1 << (rank % 64));
        // Most words have been seen; a load does not take the cache line from the other cores.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.load(Ordering::Relaxed).count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_has_its_own_word() {
        let ranks = (1..=700_000).chain(29_000_000..29_200_000);
        let mut words: Vec<Vec<u8>> = ranks
            .map(|rank| {
                let mut word = Vec::new();
                push_word(rank, &mut word);
                word
            })
            .collect();
        let ranks_count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ranks_count);
    }

    #[test]
    fn frequencies_follow_the_law() {
        const SAMPLES: usize = 2_000_000;
        let (count, exponent, shift) = (1000, EXPONENT, SHIFT);
        let zipf = ZipfMandelbrot::new(count, exponent, shift);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut seen = vec![0_u64; count as usize + 1];
        for _ in 0..SAMPLES {
            seen[zipf.sample(&mut rng) as usize] += 1;
        }
        let sum: f64 = (1..=count).map(|rank| zipf.weight(rank as f64)).sum();
        for rank in 1..=count {
            let expected = SAMPLES as f64 * zipf.weight(rank as f64) / sum;
            let deviation = (seen[rank as usize] as f64 - expected).abs() / expected.sqrt();
            assert!(deviation < 5.0, "rank {rank}: {} seen, {expected:.0} expected", seen[rank as usize]);
        }
    }
}
