//! What is left of a text that says columns, while it is read from left to right: `price desc, "unit price" as number`.

use super::name::take_name;
use kinglet_core::{Error, Result};

/// What is left to be read.
pub(super) struct Left<'a> {
    all: &'a str,
    pub(super) rest: &'a str,
    /// Makes the error of a whole text, in which something is wrong somewhere.
    refuse: fn(all: &str, why: &str) -> Error,
}

impl<'a> Left<'a> {
    /// Begins to read a text.
    pub(super) fn new(all: &'a str, refuse: fn(&str, &str) -> Error) -> Self {
        Left { all, rest: all.trim(), refuse }
    }

    /// Makes the error of what comes next.
    pub(super) fn wrong(&self, why: &str) -> Error {
        let place = if self.rest.is_empty() { "its end".to_owned() } else { format!("{:?}", self.rest) };
        (self.refuse)(self.all, &format!("{why} at {place}"))
    }

    /// Reads all that there is, with commas between: one at least.
    pub(super) fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut all = vec![one(self)?];
        while !self.rest.is_empty() {
            self.expect(',')?;
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// Takes a name.
    pub(super) fn name(&mut self) -> Result<String> {
        let (name, rest) = take_name(self.rest).map_err(|why| self.wrong(why))?;
        self.rest = rest;
        Ok(name)
    }

    /// Takes a sign, which must come next.
    pub(super) fn expect(&mut self, sign: char) -> Result<()> {
        let rest = self.rest.strip_prefix(sign).ok_or_else(|| self.wrong(&format!("a {sign} is missing")))?;
        self.rest = rest.trim_start();
        Ok(())
    }

    /// Takes a word, in whatever case, if it comes next.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let end = self.rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(self.rest.len());
        let is_next = self.rest[..end].eq_ignore_ascii_case(word);
        if is_next {
            self.rest = self.rest[end..].trim_start();
        }
        is_next
    }

    /// Takes one of two words, and returns what it says.
    pub(super) fn either<T: Copy>(&mut self, words: [(&str, T); 2]) -> Result<T> {
        let found = words.iter().find(|(word, _)| self.word(word)).map(|(_, is)| *is);
        found.ok_or_else(|| self.wrong(&format!("{} or {} is missing", words[0].0, words[1].0)))
    }
}
