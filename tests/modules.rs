//! No module of a crate depends on another in a circle, so that each can be read, tested and moved without the other.
//!
//! Looked at are siblings, each with all that is below it: a folder counts as one module beside its siblings, and its own modules
//! among each other. A parent and its child may use each other: they are one thing, told in two files.

use crate::sources::{ModulePath, Use, uses};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The crates, by their directories.
fn crates() -> Vec<&'static str> {
    let manifest = include_str!("../Cargo.toml");
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
    // `tests` and `bench` are programs of single files.
    members.split('"').skip(1).step_by(2).filter(|name| !["tests", "bench"].contains(name)).collect()
}

/// Which sibling uses which, and the uses that make it so.
type Arrows = BTreeMap<String, BTreeMap<String, Vec<Use>>>;

/// Modules of one parent that all depend on each other.
struct Circle {
    parent: ModulePath,
    modules: BTreeSet<String>,
    arrows: Arrows,
}

/// The arrows between the children of `parent`.
fn arrows_below(parent: &[String], uses: &[Use]) -> Arrows {
    let mut arrows = Arrows::new();
    for one in uses {
        if let (Some([from, ..]), Some([to, ..])) = (one.from.strip_prefix(parent), one.to.strip_prefix(parent))
            && from != to
        {
            arrows.entry(from.clone()).or_default().entry(to.clone()).or_default().push(one.clone());
        }
    }
    arrows
}

/// The shortest way from `from` to `to` by at least one arrow, both ends included.
fn way(arrows: &Arrows, from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![from.to_owned()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in arrows.get(way.last()?).into_iter().flat_map(BTreeMap::keys) {
            let way = [way.as_slice(), std::slice::from_ref(next)].concat();
            if next == to {
                return Some(way);
            }
            if seen.insert(next) {
                ways.push_back(way);
            }
        }
    }
    None
}

fn circles(uses: &[Use]) -> Vec<Circle> {
    let modules = uses.iter().flat_map(|one| [&one.from, &one.to]);
    let parents: BTreeSet<&[String]> = modules.flat_map(|path| (0..path.len()).map(|n| &path[..n])).collect();
    let mut circles = Vec::new();
    for parent in parents {
        let arrows = arrows_below(parent, uses);
        let mut left: BTreeSet<&String> = arrows.keys().collect();
        while let Some(first) = left.pop_first() {
            let tied = |other: &&&String| way(&arrows, first, other).is_some() && way(&arrows, other, first).is_some();
            let others: Vec<&String> = left.iter().filter(tied).copied().collect();
            left.retain(|name| !others.contains(name));
            if !others.is_empty() {
                let modules = others.into_iter().chain([first]).cloned().collect();
                circles.push(Circle { parent: parent.to_vec(), modules, arrows: arrows.clone() });
            }
        }
    }
    circles
}

/// Says what is wrong with a crate: its circles, the shortest way around each, and one use for each of its arrows.
fn complaint(src: &Path) -> String {
    let mut text = String::new();
    for Circle { parent, modules, arrows } in circles(&uses(src)) {
        let shortest = modules.iter().filter_map(|name| way(&arrows, name, name)).min_by_key(Vec::len);
        let names = Vec::from_iter(modules.iter().map(String::as_str));
        let above = [&["crate".to_owned()], parent.as_slice()].concat().join("::");
        let round = shortest.unwrap_or_default().join(" -> ");
        let _ = writeln!(text, "in {above}, {} depend on each other; the shortest circle is {round}", names.join(", "));
        for (from, to, uses) in
            modules.iter().flat_map(|from| arrows[from].iter().map(move |(to, uses)| (from, to, uses)))
        {
            if modules.contains(to) {
                let Use { file, line, text: path, .. } = &uses[0];
                let file = file.strip_prefix(src).unwrap_or(file).display();
                let more = if uses.len() > 1 { format!(", and {} more", uses.len() - 1) } else { String::new() };
                let _ = writeln!(text, "    {from} -> {to}: src/{file}:{line} names {path}{more}");
            }
        }
    }
    text
}

fn complaint_about(name: &str) -> String {
    complaint(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src"))
}

#[test]
fn no_modules_depend_on_each_other_in_a_circle() {
    let crates = crates();
    assert!(crates.contains(&"core") && crates.contains(&"cli"), "{crates:?}");
    let complaints: String = crates.into_iter().map(complaint_about).collect();
    assert!(complaints.is_empty(), "\n{complaints}");
}

/// A crate of these files, and what is wrong with it.
fn made(files: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    complaint(dir.path())
}

#[test]
fn a_circle_is_found_with_its_places() {
    let root = ("lib.rs", "mod a; mod b; mod c;");
    let back = ("c.rs", "pub fn c() {\n    println!(\"{}\", crate::a::X)\n}");
    let text =
        made(&[root, ("a.rs", "use crate::b::Y;\npub const X: u8 = 1;"), ("b.rs", "pub use super::c::c as Y;"), back]);
    // `a` names what `b` hands on, which is `c`'s.
    assert_eq!(
        text,
        "in crate, a, c depend on each other; the shortest circle is a -> c -> a\n    \
        a -> c: src/a.rs:1 names crate::b::Y\n    c -> a: src/c.rs:2 names crate::a::X\n"
    );
    let longer = [
        root,
        ("a.rs", "use crate::b::{self, Y};"),
        ("b.rs", "pub struct Y(super::c::Z);"),
        ("c.rs", "use crate::a as d;"),
    ];
    assert!(made(&longer).contains("a, b, c depend on each other; the shortest circle is a -> b -> c -> a\n"));
}

#[test]
fn a_circle_is_found_between_folders_and_within_one() {
    let folders = [
        ("main.rs", "mod a; mod b;"),
        ("a/mod.rs", "mod one; mod two;"),
        ("a/one.rs", "use crate::b::three;"),
        ("a/two.rs", "pub struct Two;"),
        ("b/mod.rs", "pub mod three; pub mod four { use crate::a::two::Two; }"),
        ("b/three.rs", ""),
    ];
    let text = made(&folders);
    assert!(text.contains("in crate, a, b depend on each other") && text.contains("b -> a: src/b/mod.rs:1"), "{text}");
    let within = [
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod one; mod two; pub use two::Two; const N: u8 = one::N;"),
        ("a/one.rs", "use super::Two; pub const N: u8 = super::N;"),
        ("a/two.rs", "#[arg(default = super::one::N)]\npub struct Two;"),
    ];
    assert!(made(&within).starts_with("in crate::a, one, two depend on each other"), "{}", made(&within));
}

#[test]
fn what_is_no_circle_is_not_reported() {
    let files = [
        ("lib.rs", "mod a; mod b; pub use b::B; use ::std::fmt as c;"),
        // A parent and its child use each other.
        ("a/mod.rs", "mod child; use child::Child; pub struct A(Child);"),
        ("a/child.rs", "pub struct Child; impl super::A {} use crate::B;"),
        // Only a comment, a string and the tests name `a`: crate::a::A.
        (
            "b.rs",
            "/// crate::a::A\npub struct B(&'static str);\nconst S: &str = \"crate::a::A\";\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nuse crate::a::A;",
        ),
        ("b/tests.rs", "use crate::a::A;"),
    ];
    assert_eq!(made(&files), "");
}
