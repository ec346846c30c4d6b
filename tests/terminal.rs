//! The command in a real terminal: what a narrow one shows, what a wider one shows, and what Ctrl-C says, once and twice.

use crate::support::nothing_published;
use crate::{programs, venv};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Counts words in a terminal of these columns until it has drawn its progress, in these and in more; then presses these keys.
/// Returns what was seen.
fn interrupted(dir: &Path, columns: &str, keys: &str) -> Option<Value> {
    let python = venv::python("interrupted")?;
    fs::write(dir.join("in.txt"), "some words of a text that is long enough\n".repeat(100_000)).unwrap();
    let kinglet = programs::kinglet();
    let mut terminal = Command::new(python);
    terminal.arg(venv::script("terminal.py")).args([columns, keys]).arg(kinglet.get_program());
    terminal.args(["run", "word-count", "in.txt", "--output", "out", "--split-bytes", "2000", "--concurrency", "1"]);
    terminal.args(["--data-dir", "data"]).current_dir(dir).env("SHOWS", r"mapping: maps \d+/\d+");
    terminal.envs(kinglet.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm-256color");
    let ran = terminal.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let seen: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(seen["code"], 130, "{seen}");
    Some(seen)
}

#[test]
fn a_narrow_terminal_shows_how_far_a_job_is_and_ctrl_c_says_what_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let Some(seen) = interrupted(dir.path(), "40", r"\x03") else { return };
    let (narrow, wide) = (seen["narrow"].as_str().unwrap(), seen["wide"].as_str().unwrap());
    assert!(narrow.contains("% mapping: maps "), "{seen}");
    // There is room for the bar.
    assert!(wide.contains("reduces 0/") && wide.contains(" ["), "{seen}");
    let end = seen["end"].as_str().unwrap();
    nothing_published(&dir.path().join("out"));
    let data: Vec<_> = fs::read_dir(dir.path().join("data")).unwrap().collect();
    assert!(data.is_empty(), "left {data:?}");
    assert!(end.contains("interrupted: cancelling what runs here; Ctrl-C again to end at once"), "{seen}");
}

#[test]
fn a_second_ctrl_c_ends_too() {
    let dir = tempfile::tempdir().unwrap();
    let Some(seen) = interrupted(dir.path(), "80", r"\x03\x03") else { return };
    assert!(seen["end"].as_str().unwrap().contains("interrupted: "), "{seen}");
}
