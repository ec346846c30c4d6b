//! The trace of a run: a line for each thing that happens, in order, and a hash over all of them. The same seed gives the same
//! trace, byte for byte.

use crate::chance::{extend, hash};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The trace of one run.
#[derive(Default)]
pub struct Trace {
    state: Mutex<State>,
    /// Whether lines are kept, and not only hashed.
    keep: bool,
}

#[derive(Default)]
struct State {
    hash: u64,
    lines: Vec<String>,
    requests: BTreeMap<String, u64>,
}

impl Trace {
    /// Returns an empty trace.
    pub fn new(keep: bool) -> Self {
        Trace { keep, ..Trace::default() }
    }

    /// Adds a line about something that happened so long after the start.
    pub fn add(&self, at: Duration, line: &str) {
        let mut state = self.lock();
        let line = format!("{:>13.6} {line}", at.as_secs_f64());
        state.hash = extend(state.hash, line.as_bytes());
        if self.keep {
            state.lines.push(line);
        }
    }

    /// Counts a request of this service and operation.
    pub fn count(&self, what: &str) {
        let mut state = self.lock();
        match state.requests.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(state.requests.insert(what.to_owned(), 1)),
        }
    }

    /// Returns the hash of all lines so far.
    pub fn hash(&self) -> u64 {
        self.lock().hash
    }

    /// Returns the lines, if they were kept.
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Returns how many requests were served, by service and operation.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.lock().requests.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the hash of a body. The members of JSON objects are taken in order of their names, as the SDK writes them in that
/// of a hash table.
pub fn body_hash(body: &[u8]) -> u64 {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(json) => hash(json.to_string().as_bytes()),
        Err(_) => hash(body),
    }
}
