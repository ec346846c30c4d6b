//! What the tests share: the command run to its end, outputs read and checked, an independent count, and a driver in this
//! process.

use crate::{embedded, programs};
use kinglet::{Driver, Local, LocalFunctions, Registry, Report};
use kinglet_aws::{Clock, Conductor, Endpoints};
use kinglet_core::ids::{JobId, ProgramId, Timestamp};
use kinglet_core::manifest::Manifest;
use kinglet_core::wire::spec::{JobSpec, OptionsSpec, OutputSpec};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Words and how often each stands in the input, sorted by word.
pub(crate) type Counts = BTreeMap<Vec<u8>, u64>;

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// `kinglet run word-count` with paths below `dir`, where it runs.
pub(crate) fn word_count(dir: &Path, args: &[&str]) -> Command {
    let mut command = programs::kinglet();
    command.current_dir(dir).args(["run", "word-count"]).args(args);
    command
}

/// Runs `kinglet run word-count … --json`, which must succeed.
pub(crate) fn count(dir: &Path, args: &[&str]) -> Report {
    let ran = run(word_count(dir, args).arg("--json"));
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

/// Runs `kinglet run` with paths below `dir`, into `out` there.
pub(crate) fn job(dir: &Path, args: &[&str]) -> Ran {
    run(programs::kinglet().current_dir(dir).arg("run").args(args).args(["--output", "out", "--overwrite"]))
}

/// The same of a job that must succeed. Returns its parts in order.
#[track_caller]
pub(crate) fn parts(dir: &Path, args: &[&str]) -> Vec<String> {
    let ran = job(dir, args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    read_parts(&dir.join("out"))
}

/// The parts of a result, in order.
pub(crate) fn read_parts(out: &Path) -> Vec<String> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(out.join("_manifest.json")).unwrap()).unwrap();
    manifest.parts.iter().map(|part| fs::read_to_string(out.join(&part.name)).unwrap()).collect()
}

/// Asserts that a command failed as it should: with this exit code, an `error:` line with all of `says`, a `hint:` line, and
/// nothing on standard output.
#[track_caller]
pub(crate) fn failed(ran: &Ran, says: &[&str]) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let line = |start: &str| ran.err.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
    let error = line("error: ");
    assert!(says.iter().all(|said| error.contains(said)), "{says:?} is not said in: {}", ran.err);
    assert!(line("hint: ").len() > "hint: ".len(), "there is no hint in: {}", ran.err);
    assert_eq!(ran.out, "", "a job that failed prints no report");
}

/// Asserts that nothing in an output could be taken for a result.
#[track_caller]
pub(crate) fn nothing_published(output: &Path) {
    let Ok(entries) = fs::read_dir(output) else { return };
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.is_empty(), "{} holds {names:?}", output.display());
}

/// The words of some bytes, counted without any of the code under test.
pub(crate) fn naive_count<'a>(inputs: impl IntoIterator<Item = &'a [u8]>) -> Counts {
    let mut counts: HashMap<&[u8], u64> = HashMap::new();
    for bytes in inputs {
        for word in bytes.split(|byte| [b' ', b'\t', b'\n', b'\x0c', b'\r'].contains(byte)) {
            if !word.is_empty() {
                *counts.entry(word).or_default() += 1;
            }
        }
    }
    counts.into_iter().map(|(word, count)| (word.to_owned(), count)).collect()
}

/// An output directory that looks whole, after these checks: the manifest lists exactly the parts that are there, with their
/// lengths, records and checksums; each part is sorted, and no word stands in two.
pub(crate) struct Checked {
    pub(crate) counts: Counts,
    pub(crate) manifest: Manifest,
    pub(crate) parts: Vec<Vec<u8>>,
}

/// Reads an output and checks it; see [`Checked`].
#[track_caller]
pub(crate) fn read_output(output: &Path) -> Checked {
    let checked = read_listed(output);
    let mut listed: BTreeSet<String> = checked.manifest.parts.iter().map(|part| part.name.clone()).collect();
    listed.insert("_manifest.json".to_owned());
    let there: BTreeSet<String> =
        fs::read_dir(output).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, listed);
    checked
}

/// The same of what the manifest lists, whatever else lies there.
#[track_caller]
pub(crate) fn read_listed(output: &Path) -> Checked {
    let manifest: Manifest = serde_json::from_slice(&fs::read(output.join("_manifest.json")).unwrap()).unwrap();
    let names: BTreeSet<&str> = manifest.parts.iter().map(|part| &part.name[..]).collect();
    assert_eq!(names.len(), manifest.parts.len());

    let mut counts = Counts::new();
    let mut parts = Vec::new();
    for part in &manifest.parts {
        let bytes = fs::read(output.join(&part.name)).unwrap();
        assert_eq!((bytes.len() as u64, crc32fast::hash(&bytes)), (part.bytes, part.crc32), "{}", part.name);
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len() as u64, part.records, "{}", part.name);
        let mut last: Option<&[u8]> = None;
        for line in lines {
            let line = line.strip_suffix(b"\n").expect("every line ends");
            let tab = line.iter().position(|byte| *byte == b'\t').expect("every line has a tab");
            let (word, count) = (&line[..tab], std::str::from_utf8(&line[tab + 1..]).unwrap().parse().unwrap());
            assert!(last.is_none_or(|last| last < word), "{} is not sorted", part.name);
            assert!(counts.insert(word.to_owned(), count).is_none(), "a word stands in two parts");
            last = Some(word);
        }
        parts.push(bytes);
    }
    assert_eq!(manifest.records_out, counts.len() as u64);
    assert_eq!(manifest.bytes_out, parts.iter().map(|part| part.len() as u64).sum::<u64>());
    Checked { counts, manifest, parts }
}

/// The one part of an output.
#[track_caller]
pub(crate) fn only_part(output: &Path) -> Vec<u8> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(output.join("_manifest.json")).unwrap()).unwrap();
    let [part] = &manifest.parts[..] else { panic!("{} parts", manifest.parts.len()) };
    fs::read(output.join(&part.name)).unwrap()
}

/// Asserts that the manifest accounts for every byte of the input, given as names and sizes, and for every word.
#[track_caller]
pub(crate) fn reconciles(checked: &Checked, input: &[(String, u64)]) {
    let manifest = &checked.manifest;
    let words: u64 = checked.counts.values().sum();
    assert_eq!((manifest.records, manifest.rejected), (words, 0));
    assert_eq!(manifest.splits.iter().map(|split| split.records).sum::<u64>(), words);
    assert_eq!(manifest.bytes, input.iter().map(|(_, size)| size).sum::<u64>());
    assert_eq!(manifest.splits.iter().map(|split| split.bytes).sum::<u64>(), manifest.bytes);
    assert_eq!(manifest.objects, input.len() as u64);

    let mut ranges: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for (name, from, to) in manifest.splits.iter().flat_map(|split| &split.ranges) {
        ranges.entry(name).or_default().push((*from, *to));
    }
    for (name, size) in input {
        if *size == 0 {
            assert!(manifest.empty.contains(name), "{name} is empty and not listed so");
            continue;
        }
        let ranges = ranges.remove(name.as_str()).unwrap_or_else(|| panic!("{name} is not in the manifest"));
        let end = ranges.iter().fold(0, |at, (from, to)| {
            assert!(*from == at && to >= from, "{name}: {ranges:?} has a gap or an overlap at {at}");
            *to
        });
        assert_eq!(end, *size, "{name}: {ranges:?}");
    }
    assert!(ranges.is_empty(), "the manifest has {:?}, which are no input", ranges.keys());
}

/// A driver in this process, with the built functions: a test binary cannot start itself as a worker.
pub(crate) async fn driver(choices: impl FnOnce(Local) -> Local) -> Driver {
    kinglet::register(Registry::of(kinglet_jobs::registry())).unwrap();
    let functions = LocalFunctions::Directory(programs::directory().clone());
    choices(Local::new().with_functions(functions).with_state_dir(programs::state_dir())).start().await.unwrap()
}

/// The servers of a driver's embedded runtime, as functions reach them.
pub(crate) fn endpoints(driver: &Driver) -> Endpoints {
    embedded::endpoints(driver).unwrap()
}

/// What the functions do their work with, on a driver's embedded runtime.
pub(crate) fn conductor(driver: &Driver) -> Conductor {
    conductor_on(driver, Clock::default())
}

/// The same on a machine with this clock.
pub(crate) fn conductor_on(driver: &Driver, clock: Clock) -> Conductor {
    embedded::conductor(driver, clock, 60_000).unwrap()
}

/// A job as a driver creates it in the ledger; nothing is started.
pub(crate) async fn create_job(conductor: &Conductor, name: &str, program: Option<ProgramId>) -> JobId {
    let job = JobId::new(Timestamp::now(), 1);
    conductor.ledger.create_job(&job, &spec(name, program), 60_000).await.unwrap();
    job
}

/// The spec of a job without inputs.
pub(crate) fn spec(name: &str, program: Option<ProgramId>) -> JobSpec {
    let output = OutputSpec {
        bucket: "nowhere".into(),
        prefix: String::new(),
        shown: "nowhere".into(),
        overwrite: false,
        format: Default::default(),
        success_marker: false,
    };
    let (job, options, submitted_at) = (name.to_owned(), OptionsSpec::for_concurrency(1_000), Timestamp::now());
    let (signature, params, inputs) = (String::new(), vec![], vec![]);
    JobSpec { job, signature, params, inputs, output, options, program, submitted_at, calls: None }
}

/// A path as an input or an output is given.
pub(crate) fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Text with a few common words and many rare ones, the same for the same seed.
pub(crate) fn text(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut random = move || {
        // Knuth's MMIX generator; its high bits are good enough for text.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut text = Vec::with_capacity(bytes + 16);
    while text.len() < bytes {
        let n = random();
        match n % 4 {
            0 => text.extend_from_slice(b"the"),
            1 => text.extend_from_slice(format!("w{}", n % 97).as_bytes()),
            _ => text.extend_from_slice(format!("{:x}", random() % 1_000_000).as_bytes()),
        }
        text.push(if n % 11 == 0 { b'\n' } else { b' ' });
    }
    text.truncate(bytes);
    text
}

/// The sources of this repository, as a small real corpus: paths below the root, and contents.
pub(crate) fn sources() -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut found = Vec::new();
    let crates = ["core", "splitter", "mapper", "reducer", "aws", "local", "driver", "jobs", "cli"];
    let mut left: Vec<PathBuf> = crates.map(|name| root.join(name)).into();
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push((path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 50, "{} sources", found.len());
    found
}
