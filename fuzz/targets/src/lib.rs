//! What is fuzzed: for each kind of bytes that Kinglet reads from S3, DynamoDB, Lambda or a user's file, a function that takes
//! any bytes and panics where reading them breaks a promise.
//!
//! ```text
//! fuzz/fuzz_targets/<target>.rs ──libFuzzer──▶┐
//!                                             ├─▶ this crate ──▶ kinglet-core, kinglet-formats
//! fuzz/targets/tests/corpus.rs ──seeded──────▶┘
//! ```
//!
//! libFuzzer looks for such bytes for as long as it is let; the test runs the same functions on every file of `fuzz/corpus/` and
//! on a few thousand mutations of them, which are the same each time. A file that once broke a target stays in the corpus.
//!
//! Checksums would keep a fuzzer out, as nearly all that it makes has a wrong one. So a target that reads such bytes reads them
//! twice: as they are, and *sealed*, with the checksums made right (`seal`).

mod avro;
mod cut;
mod events;
mod frames;
mod index;
mod input;
mod inventory;
mod items;
mod keys;
mod manifest;
mod packed;
mod runs;
mod seal;
mod values;

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its directory in `fuzz/corpus/`.
    pub name: &'static str,
    /// Reads any bytes.
    pub run: fn(&[u8]),
    /// Returns where its corpus begins.
    pub seeds: fn() -> Vec<Seed>,
}

/// An input that a corpus begins with, made of golden files and of what our own writers write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The name of its file, after `seed-`.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Seed {
    fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Seed { name: name.into(), bytes: bytes.into() }
    }
}

/// All targets, in the order in which `fuzz/README.md` describes them.
pub const TARGETS: &[Target] = &[
    Target { name: "frames", run: frames::run, seeds: frames::seeds },
    Target { name: "runs", run: runs::run, seeds: runs::seeds },
    Target { name: "cut", run: cut::run, seeds: cut::seeds },
    Target { name: "manifest", run: manifest::run, seeds: manifest::seeds },
    Target { name: "events", run: events::run, seeds: events::seeds },
    Target { name: "keys", run: keys::run, seeds: keys::seeds },
    Target { name: "items", run: items::run, seeds: items::seeds },
    Target { name: "values", run: values::run, seeds: values::seeds },
    Target { name: "index", run: index::run, seeds: index::seeds },
    Target { name: "packed", run: packed::run, seeds: packed::seeds },
    Target { name: "avro", run: avro::run, seeds: avro::seeds },
    Target { name: "inventory", run: inventory::run, seeds: inventory::seeds },
];

/// Runs the target of this name.
///
/// # Panics
/// Panics when there is no such target, or when the target finds a promise broken.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("there is no target {name}"));
    (target.run)(bytes);
}

/// A golden file of `core`.
macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../core/tests/golden/", $name))
    };
}
use golden;
