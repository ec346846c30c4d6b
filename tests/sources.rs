//! Which module of a crate names which other, read from its sources.
//!
//! Modules are the files below `src`, and those that stand in braces; code behind `#[cfg(test)]` is left out.
//! Sources are read as tokens, so paths in attributes and in the arguments of macros count. A path is followed through `use` and
//! `pub use` to the module that has the item, so a name that a parent hands on is its child's.
//! What is not seen: methods, whose types are named anyway, and names that only a macro puts together.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The names from the crate's root down to a module; none for the root.
pub(crate) type ModulePath = Vec<String>;

/// One place at which a module names what another has.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) from: ModulePath,
    pub(crate) to: ModulePath,
    /// The path as it stands there.
    pub(crate) text: String,
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
}

/// Finds every use of one module's items by another in the crate whose sources lie in `src`.
pub(crate) fn uses(src: &Path) -> Vec<Use> {
    let root = if src.join("lib.rs").exists() { "lib.rs" } else { "main.rs" };
    let mut modules = Modules::default();
    modules.read_file(&src.join(root), &[]);
    modules.read_children(src, &[]);
    modules.uses()
}

#[derive(Default)]
struct Module {
    file: PathBuf,
    /// Paths of two names or more, and the lines on which they stand.
    paths: Vec<(Vec<String>, usize)>,
    /// What `use` calls by which name here.
    bound: BTreeMap<String, Vec<String>>,
    /// What `use …::*` takes in.
    globs: Vec<Vec<String>>,
    /// What is defined here.
    items: BTreeSet<String>,
    /// Children that only tests have.
    tests: BTreeSet<String>,
}

#[derive(Default)]
struct Modules(BTreeMap<ModulePath, Module>);

/// What a path leads to: a module, or something that a module defines.
enum Found {
    Module(ModulePath),
    Item(ModulePath),
}

impl Modules {
    fn read_file(&mut self, file: &Path, at: &[String]) {
        let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("reading {}: {e}", file.display()));
        let tokens: TokenStream = text.parse().unwrap_or_else(|e| panic!("parsing {}: {e}", file.display()));
        self.read_module(tokens, file, at);
    }

    /// Reads the files and directories beside a root or a `mod.rs`, but those that only tests have.
    fn read_children(&mut self, dir: &Path, at: &[String]) {
        let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        // Files first: `name.rs` says which modules below `name/` only tests have.
        entries.sort_by_key(|path| (path.is_dir(), path.clone()));
        for path in entries {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let test = self.0.get(at).is_some_and(|module| module.tests.contains(&name));
            if test || (at.is_empty() && ["lib", "main", "bin"].contains(&name.as_str())) || name == "mod" {
                continue;
            }
            let child = [at, &[name]].concat();
            if path.is_dir() {
                let file = path.join("mod.rs");
                if file.exists() {
                    self.read_file(&file, &child);
                }
                self.read_children(&path, &child);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                self.read_file(&path, &child);
            }
        }
    }

    fn read_module(&mut self, tokens: TokenStream, file: &Path, at: &[String]) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut inner = Vec::new();
        module.read(tokens, &mut inner);
        self.0.insert(at.to_vec(), module);
        for (name, tokens) in inner {
            self.read_module(tokens, file, &[at, &[name]].concat());
        }
    }

    fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for (from, module) in &self.0 {
            for (path, line) in &module.paths {
                let (to, text) = match self.find(from, path, 0) {
                    Some(Found::Module(to) | Found::Item(to)) if to != *from => (to, path.join("::")),
                    _ => continue,
                };
                uses.push(Use { from: from.clone(), to, text, file: module.file.clone(), line: *line });
            }
        }
        uses
    }

    /// Follows `path` as it stands in the module `from`; `None` where it leads out of the crate.
    fn find(&self, from: &[String], path: &[String], depth: usize) -> Option<Found> {
        // A name that is bound by way of itself leads nowhere.
        const DEPTH_MAX: usize = 16;
        if depth > DEPTH_MAX {
            return None;
        }
        let mut found = match path[0].as_str() {
            "crate" => Found::Module(Vec::new()),
            "self" => Found::Module(from.to_vec()),
            "super" => Found::Module(from[..from.len().checked_sub(1)?].to_vec()),
            name => self.within(from, name, depth)?,
        };
        for name in &path[1..] {
            found = match found {
                Found::Module(at) if name == "super" => Found::Module(at[..at.len().checked_sub(1)?].to_vec()),
                Found::Module(at) => match self.within(&at, name, depth) {
                    Some(found) => found,
                    // Defined by it, or taken by it from another crate.
                    None => Found::Item(at),
                },
                item => item,
            };
        }
        Some(found)
    }

    /// What the module `at` calls `name`, where it is not its own.
    fn within(&self, at: &[String], name: &str, depth: usize) -> Option<Found> {
        let child = [at, &[name.to_owned()]].concat();
        if self.0.contains_key(&child) {
            return Some(Found::Module(child));
        }
        let module = self.0.get(at)?;
        if let Some(path) = module.bound.get(name) {
            return self.find(at, path, depth + 1);
        }
        if module.items.contains(name) {
            return Some(Found::Item(at.to_vec()));
        }
        let mut taken = module.globs.iter().filter_map(|glob| match self.find(at, glob, depth + 1)? {
            Found::Module(of) if of != at => self.within(&of, name, depth + 1),
            _ => None,
        });
        taken.next()
    }
}

fn is(token: Option<&TokenTree>, punct: char) -> bool {
    matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == punct)
}

/// Whether `::` stands at `i`.
fn colons(tokens: &[TokenTree], i: usize) -> bool {
    is(tokens.get(i), ':') && is(tokens.get(i + 1), ':')
}

fn ident(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

/// The path that begins at `i`, and where it ends.
fn path_at(tokens: &[TokenTree], i: usize) -> (Vec<String>, usize) {
    let (mut path, mut i) = (Vec::from_iter(ident(tokens.get(i))), i + 1);
    while let (true, Some(name)) = (colons(tokens, i), ident(tokens.get(i + 2))) {
        path.push(name);
        i += 3;
    }
    (path, i)
}

impl Module {
    /// Reads code, and hands the modules within it to `inner`.
    fn read(&mut self, tokens: TokenStream, inner: &mut Vec<(String, TokenStream)>) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut i = 0;
        while i < tokens.len() {
            match &tokens[i] {
                TokenTree::Group(group) if is(tokens.get(i.wrapping_sub(1)), '#') && is_cfg_test(group.stream()) => {
                    i = self.skip_item(&tokens, i + 1);
                    continue;
                }
                TokenTree::Group(group) => self.read(group.stream(), inner),
                TokenTree::Ident(word) => {
                    let (word, line) = (word.to_string(), word.span().start().line);
                    let name = ident(tokens.get(i + 1));
                    match (word.as_str(), name, tokens.get(i + 2)) {
                        // `use<'a>` is a bound.
                        ("use", _, _) if !is(tokens.get(i + 1), '<') => {
                            let end = (i..tokens.len()).find(|at| is(tokens.get(*at), ';')).unwrap_or(tokens.len());
                            self.read_use(&[], &tokens[i + 1..end], line);
                            i = end;
                            continue;
                        }
                        ("mod", Some(name), Some(TokenTree::Group(group))) => {
                            inner.push((name, group.stream()));
                            i += 3;
                            continue;
                        }
                        ("fn" | "struct" | "enum" | "trait" | "type" | "const" | "static", Some(name), _) => {
                            self.items.insert(name);
                        }
                        _ => {}
                    }
                    let (path, end) = path_at(&tokens, i);
                    // `::std::…` is another crate's.
                    if path.len() > 1 && !(i >= 2 && colons(&tokens, i - 2)) {
                        self.paths.push((path, line));
                    }
                    i = end;
                    continue;
                }
                _ => {}
            }
            i += 1;
        }
    }

    /// Where the item ends that begins at `i`, attributes included; a module that is skipped is one of the tests'.
    fn skip_item(&mut self, tokens: &[TokenTree], mut i: usize) -> usize {
        while let Some(token) = tokens.get(i) {
            let braces = matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
            if ident(Some(token)).is_some_and(|word| word == "mod") {
                self.tests.extend(ident(tokens.get(i + 1)));
            }
            i += 1;
            if braces || is(Some(token), ';') {
                break;
            }
        }
        i
    }

    /// Reads what stands between `use` and `;`, or a part of it in braces.
    fn read_use(&mut self, prefix: &[String], tokens: &[TokenTree], line: usize) {
        for tree in tokens.split(|token| is(Some(token), ',')).filter(|tree| !tree.is_empty()) {
            let line = if prefix.is_empty() { line } else { tree[0].span().start().line };
            // `use ::name` is another crate's.
            if colons(tree, 0) {
                continue;
            }
            let (own, end) = if ident(tree.first()).is_some() { path_at(tree, 0) } else { (Vec::new(), 0) };
            let mut path = [prefix, &own].concat();
            let at = if colons(tree, end) { end + 2 } else { end };
            if let Some(TokenTree::Group(group)) = tree.get(at) {
                self.read_use(&path, &Vec::from_iter(group.stream()), line);
                continue;
            }
            if is(tree.get(at), '*') {
                self.globs.push(path.clone());
            } else {
                if path.len() > 1 && path.last().is_some_and(|name| name == "self") {
                    path.pop();
                }
                let renamed = ident(tree.get(at)).filter(|word| word == "as").and_then(|_| ident(tree.get(at + 1)));
                let name = renamed.or_else(|| path.last().cloned());
                self.bound.extend(name.filter(|name| name != "_").map(|name| (name, path.clone())));
            }
            self.paths.push((path, line));
        }
    }
}

fn is_cfg_test(attribute: TokenStream) -> bool {
    let text: String = attribute.to_string().split_whitespace().collect();
    text == "cfg(test)"
}
