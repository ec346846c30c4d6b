//! Every target on its corpus, and on mutations of it that are the same each time.

#![allow(clippy::unwrap_used)]

use kinglet_fuzz_targets::{TARGETS, Target};
use std::path::{Path, PathBuf};

/// How many mutations of each target's corpus are tried.
const MUTATIONS: u32 = 10_000;

/// The longest mutation, in bytes.
const BYTES_MAX: usize = 4_096;

fn corpus_of(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target.name)
}

/// Reads the corpus, in the order of the files' names.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let dir = corpus_of(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Runs a target, and says on which input it panicked.
fn run(target: &Target, what: &str, bytes: &[u8]) {
    struct Shown<'a>(&'a str, &'a str, &'a [u8]);
    impl Drop for Shown<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let hex: String = self.2.iter().map(|byte| format!("{byte:02x}")).collect();
                eprintln!("target {} panicked at {}, these bytes: {hex}", self.0, self.1);
            }
        }
    }
    let _shown = Shown(target.name, what, bytes);
    (target.run)(bytes);
}

/// SplitMix64: the same numbers each time, on every machine.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// Changes bytes in one of the ways in which lengths, counts, text and structure break.
    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        const NUMBERS: [u64; 10] = [0, 1, 127, 128, 255, 65_535, 1 << 31, u32::MAX as u64, 1 << 40, u64::MAX];
        let at = self.below(bytes.len() + 1);
        let some = 1 + self.below(16);
        match self.below(9) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            2 if at < bytes.len() => bytes[at] = self.next() as u8,
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..(at + some).min(bytes.len()))),
            5 => {
                let copied = bytes[at..(at + some).min(bytes.len())].to_vec();
                bytes.splice(at..at, copied);
            }
            6 => {
                let number = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
                let length = [1, 2, 4, 8][self.below(4)].min(bytes.len() - at);
                bytes[at..at + length].copy_from_slice(&number[..length]);
            }
            7 => {
                let from = self.below(other.len() + 1);
                let taken = other[from..(from + 4 * some).min(other.len())].to_vec();
                bytes.splice(at..at, taken);
            }
            _ => bytes.insert(at, self.next() as u8),
        }
        bytes.truncate(BYTES_MAX);
    }
}

fn check(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let corpus = corpus(target);
    for (file, bytes) in &corpus {
        run(target, file, bytes);
    }
    let mut numbers = Numbers(0x006b_696e_676c_6574);
    for n in 0..MUTATIONS {
        let mut bytes = corpus[numbers.below(corpus.len())].1.clone();
        for _ in 0..=numbers.below(6) {
            let other = numbers.below(corpus.len());
            numbers.mutate(&mut bytes, &corpus[other].1);
        }
        run(target, &format!("mutation {n}"), &bytes);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn no_target_is_left_out() {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
            for name in names {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../fuzz_targets/{name}.rs"));
                assert!(path.exists(), "{} is missing", path.display());
            }
        }
    };
}
targets! { frames runs cut manifest events keys items values index packed avro inventory }

/// The corpus begins with what our writers write today: after a change of a layout, `KINGLET_UPDATE_GOLDEN=1` writes it anew.
#[test]
fn each_corpus_has_its_seeds() {
    for target in TARGETS {
        let dir = corpus_of(target);
        for seed in (target.seeds)() {
            let path = dir.join(format!("seed-{}", seed.name));
            if std::env::var_os("KINGLET_UPDATE_GOLDEN").is_some() {
                std::fs::create_dir_all(&dir).unwrap();
                std::fs::write(&path, &seed.bytes).unwrap();
            }
            assert!(std::fs::read(&path).unwrap_or_default() == seed.bytes, "{} differs", path.display());
        }
    }
}
