//! `docs/cookbook.md`: every command on the page is run, and prints what stands below it.
//!
//! A section's commands run one after the other in a directory of their own, by `sh`, with the `kinglet` command in the path. What
//! the page shows is what a command writes to standard output and, if it fails, then to standard error; it fails if the page shows a
//! line that starts with `error: `. On the page `…` stands for what differs each time: in a line any text, alone in a line any lines.

use crate::programs;
use crate::support::{Ran, run};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// A command of the page, and what it prints by the page.
struct Shown {
    command: String,
    prints: Vec<String>,
}

/// The commands of each section, below its title.
fn sections(page: &str) -> Vec<(&str, Vec<Shown>)> {
    let sections = page.split("\n## ").skip(1).map(|section| {
        let (title, body) = section.split_once('\n').unwrap();
        let blocks = body.split("\n```console\n").skip(1).map(|block| block.split("\n```").next().unwrap());
        (title, blocks.flat_map(shown).collect())
    });
    sections.collect()
}

/// The commands of a block: what stands behind `$ `, with the lines that a `\` continues, and then what they print.
fn shown(block: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), all.last_mut()) {
            (Some(command), _) => all.push(Shown { command: command.to_owned(), prints: Vec::new() }),
            (None, Some(last)) if last.command.ends_with('\\') => last.command += &format!("\n{line}"),
            (None, Some(last)) => last.prints.push(line.to_owned()),
            (None, None) => panic!("{line:?} stands before the block's first command"),
        }
    }
    all
}

/// Whether lines are those of the page.
fn matches(shown: &[&str], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], []) => true,
        (["…", rest @ ..], _) => (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..])),
        ([line, rest @ ..], [first, others @ ..]) => line_matches(line, first) && matches(rest, others),
        _ => false,
    }
}

/// Whether a line is that of the page.
fn line_matches(shown: &str, printed: &str) -> bool {
    let Some((before, behind)) = shown.split_once('…') else { return shown == printed };
    let Some(rest) = printed.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| line_matches(behind, &rest[at..]))
}

/// Runs a command of a section, in the section's directory.
fn run_there(command: &str, dir: &Path) -> Ran {
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(dir.join("here")).stdin(Stdio::null());
    shell.env("PATH", format!("{}:{path}", programs::directory().display()));
    shell.env(kinglet_core::env::STATE_DIR, dir.join("state")).env("LC_ALL", "C").env_remove("COLUMNS");
    run(&mut shell)
}

/// The commands of a section that print something else than the page shows, with what they print.
fn other_than_shown((title, commands): &(&str, Vec<Shown>)) -> Vec<String> {
    assert!(commands.iter().any(|shown| shown.command.starts_with("kinglet ")), "{title}");
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("here")).unwrap();
    let mut others = Vec::new();
    for Shown { command, prints } in commands {
        let ran = run_there(command, dir.path());
        let fails = prints.iter().any(|line| line.starts_with("error: "));
        let printed = if ran.code == Some(0) { ran.out } else { ran.out + &ran.err };
        let prints: Vec<&str> = prints.iter().map(String::as_str).collect();
        if (ran.code != Some(0)) != fails || !matches(&prints, &printed.lines().collect::<Vec<_>>()) {
            others.push(format!("-- {title}\n$ {command}\n{printed}(exit code {:?})\n", ran.code));
        }
    }
    others
}

#[test]
fn every_command_of_the_cookbook_prints_what_the_page_shows() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cookbook.md")).unwrap();
    let sections = sections(&page);
    assert_eq!(sections.len(), 12, "sections");
    // A job waits most of its time, so sections run at the same time.
    let others: Vec<String> = std::thread::scope(|scope| {
        let sections: Vec<_> = sections.iter().map(|section| scope.spawn(|| other_than_shown(section))).collect();
        sections.into_iter().flat_map(|section| section.join().unwrap()).collect()
    });
    assert!(others.is_empty(), "these print something else than the page shows:\n{}", others.join("\n"));
}

#[test]
fn what_differs_each_time_matches_anything_and_all_else_itself() {
    let matches =
        |shown: &str, printed: &str| matches(&shown.lines().collect::<Vec<_>>(), &printed.lines().collect::<Vec<_>>());
    assert!(matches("job … took … s\nb", "job 19aa took 0.5 s\nb"));
    assert!(!matches("job … took … s\nb", "job 19aa took 0.5\nb"));
    assert!(matches("a\n…\nd", "a\nb\nc\nd") && matches("a\n…\nd", "a\nd") && matches("…", ""));
    assert!(!matches("a\n…\nd", "a\nb\nc") && !matches("a", "a\nb") && !matches("a\nb", "a") && !matches("a", "ab"));
}
