//! The example project's program does what the README says, and is as short as it says. `.ci/run` builds the project itself.

use crate::programs;
use crate::support::{failed, naive_count, read_output, run};
use std::fs;
use std::path::Path;

const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/word-count");

#[test]
fn it_is_short() {
    let source = fs::read_to_string(Path::new(PROJECT).join("src/main.rs")).unwrap();
    let code = source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    let lines = code.count();
    assert!(lines <= 25, "{lines} lines of code");
}

#[test]
fn it_counts_the_words_of_the_readme_where_it_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let readme = b"# A project\n\nIt counts words, and it counts them well: words, words.\n";
    fs::write(dir.path().join("README.md"), readme).unwrap();
    let ran = run(programs::example().current_dir(dir.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with("job        words ") && ran.out.contains("counts in 1 parts"), "{}", ran.out);
    let out = read_output(&dir.path().join("counts"));
    assert_eq!(out.counts, naive_count([&readme[..]]));

    // A second run finds the output taken, which is the program's error.
    let again = run(programs::example().current_dir(dir.path()));
    failed(&again, &["the output counts is taken"]);
}
