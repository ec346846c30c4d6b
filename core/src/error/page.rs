//! Tests that keep the table of codes, the sources and the reference page in agreement.

use super::codes::Again;
use super::{Code, ErrorKind};
use crate::env::UPDATE_GOLDEN;
use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The marks between which the page is generated from the table.
const MARKS: [&str; 2] = ["<!-- codes: generated -->\n", "<!-- codes: end -->\n"];

/// The kinds in the order of the page, each with its title.
const SECTIONS: [(ErrorKind, &str); 7] = [
    (ErrorKind::Input, "The user: `Input`"),
    (ErrorKind::UserCode, "The job's author: `UserCode`"),
    (ErrorKind::StaleDeployment, "Whoever deploys: `StaleDeployment`"),
    (ErrorKind::Limit, "The user, who met a limit: `Limit`"),
    (ErrorKind::Service, "Nobody, at first: `Service`"),
    (ErrorKind::Corrupt, "Nobody, at first: `Corrupt`"),
    (ErrorKind::Cancelled, "Nobody: `Cancelled`"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the workspace's sources with their paths, without those of the error module.
fn sources() -> Vec<(PathBuf, String)> {
    let (mut found, mut dirs) = (Vec::new(), vec![root()]);
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            let is_left_out = name == "target" || name.starts_with('.') || path.ends_with("core/src/error");
            if entry.file_type().unwrap().is_dir() && !is_left_out {
                dirs.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// Returns the source up to its tests, which may name the texts of codes.
fn without_tests(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(code, _)| code)
}

fn generated() -> String {
    let mut page = String::new();
    for (kind, title) in SECTIONS {
        let mut codes: Vec<_> = Code::ALL.iter().filter(|code| code.kind() == kind).collect();
        codes.sort_by_key(|code| code.as_str());
        let _ = write!(page, "\n### {title}\n\n| code | what it means | the way out |\n|---|---|---|\n");
        for code in codes {
            let _ = writeln!(page, "| `{code}` | {} | {} |", code.meaning(), code.way_out());
        }
    }
    page.push('\n');
    page
}

#[test]
fn the_reference_lists_the_table() {
    let path = root().join("docs/reference/errors.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(MARKS[0]).unwrap();
    let (_, tail) = rest.split_once(MARKS[1]).unwrap();
    let want = [head, MARKS[0], &generated(), MARKS[1], tail].concat();
    if std::env::var_os(UPDATE_GOLDEN).is_some() {
        std::fs::write(&path, &want).unwrap();
    } else {
        assert!(text == want, "{} is not what the table says: run the tests with {UPDATE_GOLDEN}=1", path.display());
    }
}

#[test]
fn every_code_is_one_of_its_own_named_as_its_text_and_explained_in_sentences() {
    let mut texts = HashSet::new();
    for &code in Code::ALL {
        let text = code.as_str();
        assert!(texts.insert(text), "{text} stands twice in the table");
        let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
        let name: String = text.split('-').map(capital).collect();
        assert_eq!(format!("{code:?}"), name);
        for said in [code.meaning(), code.way_out()] {
            let starts = said.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit() || c == '`');
            assert!(starts && said.ends_with('.') && !said.contains(['|', '\n']), "{text}: {said}");
        }
        assert!(SECTIONS.iter().any(|(kind, _)| *kind == code.kind()), "{text} has no place on the page");
    }
}

#[test]
fn only_what_may_pass_is_tried_again_as_it_is() {
    for &code in Code::ALL {
        // A byte of a run that is damaged on its way may look like another version; a request that stood still, like one that a
        // wrong clock has signed.
        let may_pass = matches!(code.kind(), ErrorKind::Service | ErrorKind::Corrupt)
            || matches!(code, Code::RunVersion | Code::Clock);
        assert!(may_pass || code.again() != Again::AsItIs, "{code}");
    }
}

#[test]
fn every_code_is_used_somewhere() {
    let named = |text: &str| -> Vec<String> {
        let names = text.split("Code::").skip(1);
        names.map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect()).collect()
    };
    let used: HashSet<String> = sources().iter().flat_map(|(_, text)| named(text)).collect();
    let unused: Vec<_> = Code::ALL.iter().filter(|code| !used.contains(&format!("{code:?}"))).collect();
    assert!(unused.is_empty(), "nothing uses {unused:?}: take them out of the table");
}

#[test]
fn no_code_is_passed_or_compared_as_a_text() {
    for (path, text) in sources() {
        let is_test = path.ends_with("tests.rs") || path.to_string_lossy().ends_with("_tests.rs");
        if is_test || path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let dense: String = without_tests(&text).split_whitespace().collect();
        for literal in [
            ".code()==\"",
            ".code()!=\"",
            ".code(),\"",
            ".code().starts_with(",
            ".code(){\"",
            "relayed(\"",
            "Fault{code",
        ] {
            let at = dense.find(literal).map(|at| dense[at..].chars().take(60).collect::<String>());
            assert!(at.is_none(), "{}: {}: name a `Code`", path.display(), at.unwrap_or_default());
        }
    }
}
