//! The record that a program leaves on disk of a job on its embedded runtime: `kinglet jobs` lists the job when the program
//! is gone, and other programs can reach it while it runs. Each job has a directory below `jobs/` of the state directory,
//! which only its owner can read:
//!
//! | file | holds |
//! |---|---|
//! | `record.json` | one JSON object, [`Record`], version 1; replaced whole |
//! | `running` | nothing; the program holds an exclusive lock on it until the job has ended, and the system lets it go with the program |
//! | `attempts.json` | once the job has ended: its attempts, as `kinglet report --json` prints them |
//! | `log.jsonl` | once the job has ended: its lines, `{"function": …, "text": …}`, of which the newest [`LOCAL_LOG_BYTES_MAX`] bytes; with `at` and `about` (stage, task, attempt) where the text is not JSON that says so |

use crate::logs::LogLine;
use crate::report::Attempt;
use crate::status::JobStatus;
use kinglet_aws::FunctionNames;
use kinglet_aws::Stack;
use kinglet_core::ids::Timestamp;
use kinglet_core::limits::LOCAL_LOG_BYTES_MAX;
use kinglet_core::{Code, Error, Result};
use kinglet_local::Runtime;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const VERSION: u32 = 1;

/// A job's record; the module's header says how it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// The program's process.
    pub(crate) pid: u32,
    /// The job as the program last saw it.
    pub(crate) status: JobStatus,
    /// How to reach the job while it runs.
    pub(crate) servers: Option<RuntimeAddress>,
}

/// How to reach the embedded runtime of a running program.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RuntimeAddress {
    /// The URLs of S3, DynamoDB and Lambda.
    pub(crate) urls: [String; 3],
    /// The access key id and the secret key.
    pub(crate) keys: (String, String),
    /// The ledger's table and the work bucket.
    pub(crate) table: String,
    pub(crate) work_bucket: String,
    /// The names of splitter, mapper, larger mapper and reducer.
    pub(crate) functions: [String; 4],
    /// The functions' timeout.
    pub(crate) timeout_ms: u64,
    /// The directory of the functions' log files.
    pub(crate) logs: PathBuf,
    /// The job's output, if it is a directory: cleaning removes what the job left there if its program was killed.
    #[serde(default)]
    pub(crate) output: Option<PathBuf>,
}

/// Without the keys, as what is printed is often kept.
impl fmt::Debug for RuntimeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeAddress").field("urls", &self.urls).field("logs", &self.logs).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct StoredLine {
    function: String,
    text: String,
    /// When the line was written and what it is about, where the text does not say so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    about: Map<String, Value>,
}

const RECORD: &str = "record.json";
const RUNNING: &str = "running";
const LOG: &str = "log.jsonl";
const ATTEMPTS: &str = "attempts.json";

impl RuntimeAddress {
    /// Returns how other programs reach `runtime`, which is this program's.
    pub(crate) fn of(runtime: &Runtime, stack: &Stack, output: Option<PathBuf>) -> Self {
        let (id, secret) = runtime.keys();
        let FunctionNames { splitter, mapper, mapper_large, reducer } = stack.functions.clone();
        RuntimeAddress {
            urls: runtime.urls().map(str::to_owned),
            keys: (id.to_owned(), secret.to_owned()),
            table: stack.table.clone(),
            work_bucket: stack.work_bucket.clone(),
            functions: [splitter, mapper, mapper_large.unwrap_or_default(), reducer],
            timeout_ms: stack.timeout_ms,
            logs: runtime.dir().join("lambda").join("logs"),
            output,
        }
    }
}

impl Record {
    pub(crate) fn new(status: JobStatus, servers: RuntimeAddress) -> Self {
        Record { version: VERSION, pid: std::process::id(), status, servers: Some(servers) }
    }

    /// Makes a job's directory with this record in it. The job counts as running until the returned file is dropped.
    pub(crate) fn create(&self, dir: &Path) -> io::Result<File> {
        DirBuilder::new().mode(0o700).recursive(true).create(dir)?;
        let running = private().create(true).truncate(true).open(dir.join(RUNNING))?;
        running.lock()?;
        self.write(dir)?;
        Ok(running)
    }

    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec(self).map_err(io::Error::other)?;
        text.push(b'\n');
        let new = dir.join("record.new");
        private().create(true).truncate(true).open(&new)?.write_all(&text)?;
        std::fs::rename(new, dir.join(RECORD))
    }

    pub(crate) fn write_log(dir: &Path, lines: &[LogLine]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            let itself = line.text.starts_with('{');
            let line = StoredLine {
                function: line.function.clone(),
                text: line.text.clone(),
                at: line.at.filter(|_| !itself),
                about: if itself { Map::new() } else { line.members.clone() },
            };
            serde_json::to_writer(&mut text, &line).map_err(io::Error::other)?;
            text.push(b'\n');
        }
        let mut newest = &text[text.len().saturating_sub(LOCAL_LOG_BYTES_MAX)..];
        if newest.len() < text.len() {
            // The first line is cut off somewhere, so it is dropped.
            let cut = newest.iter().position(|byte| *byte == b'\n').map_or(newest.len(), |at| at + 1);
            newest = &newest[cut..];
        }
        private().create(true).truncate(true).open(dir.join(LOG))?.write_all(newest)
    }

    pub(crate) fn write_attempts(dir: &Path, attempts: &[Attempt]) -> io::Result<()> {
        let text = serde_json::to_vec(attempts).map_err(io::Error::other)?;
        private().create(true).truncate(true).open(dir.join(ATTEMPTS))?.write_all(&text)
    }

    /// Reads the attempts of a job; none if its program was killed, or if an earlier version recorded it.
    pub(crate) fn read_attempts(dir: &Path) -> Vec<Attempt> {
        let text = std::fs::read(dir.join(ATTEMPTS)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Reads a job's record; `None` if there is none.
    ///
    /// # Errors
    /// `record-unreadable` when the record cannot be read, or is of another version.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(RECORD);
        let unreadable = |why: String| {
            Error::new(Code::RecordUnreadable, format!("reading {}: {why}", path.display()))
                .with_hint("remove it, or use the version of Kinglet that wrote it")
        };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unreadable(e.to_string())),
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))?;
        if record.version != VERSION {
            return Err(unreadable(format!("it has version {}, not {VERSION}", record.version)));
        }
        Ok(Some(record))
    }

    pub(crate) fn read_log(dir: &Path) -> Vec<LogLine> {
        let text = std::fs::read(dir.join(LOG)).unwrap_or_default();
        let lines =
            text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<StoredLine>(line).ok());
        let read = |line: StoredLine| {
            let mut read = LogLine::parse(&line.function, line.at, &line.text);
            read.members.extend(line.about);
            read
        };
        lines.map(read).collect()
    }

    /// Returns whether the program that runs the job lives and has not seen the job's end.
    pub(crate) fn is_running(dir: &Path) -> bool {
        let Ok(running) = File::open(dir.join(RUNNING)) else { return false };
        matches!(running.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
    }
}

/// Opens a file that only its owner can read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Phase;
    use crate::status::{Progress, Tally};

    fn record() -> Record {
        let tally = |done, all| Tally { done, all };
        let (phase, maps, reduces, bytes) = (Phase::Mapping, tally(1, 8), tally(0, 2), tally(10, 80));
        let status = JobStatus {
            job: "19aa5440eb0-f0a9c3d5e7ab".parse().unwrap(),
            name: "word-count".into(),
            phase: Phase::Mapping,
            inputs: vec!["books/".into()],
            output: "counts".into(),
            times: [Some(Timestamp(5)), Some(Timestamp(7)), None, None, None].into(),
            progress: Progress { phase, maps, merges: tally(0, 4), reduces, bytes },
            error: serde_json::from_str(r#"{"Input":{"code":"code","message":"message","hint":"hint"}}"#).unwrap(),
            report: None,
        };
        let servers = RuntimeAddress {
            urls: ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"].map(str::to_owned),
            keys: ("id".into(), "secret".into()),
            table: "kinglet".into(),
            work_bucket: "kinglet-work".into(),
            functions: ["s", "m", "l", "r"].map(str::to_owned),
            timeout_ms: 900_000,
            logs: "/tmp/kinglet-x/lambda/logs".into(),
            output: Some("/tmp/out".into()),
        };
        Record { pid: 7, ..Record::new(status, servers) }
    }

    #[test]
    fn golden() {
        let dir = tempfile::tempdir().unwrap();
        let running = record().create(&dir.path().join("job")).unwrap();
        let dir = dir.path().join("job");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/record-v1.json");
        let text = std::fs::read_to_string(dir.join(RECORD)).unwrap();
        if std::env::var_os(kinglet_core::env::UPDATE_GOLDEN).is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let want = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(text, want, "{path} differs: raise the record's version");
        assert_eq!(Record::read(&dir).unwrap(), Some(record()));
        assert!(Record::is_running(&dir));
        drop(running);
        assert!(!Record::is_running(&dir));
        std::fs::write(dir.join(RECORD), text.replace("\"version\":1", "\"version\":2")).unwrap();
        assert_eq!(Record::read(&dir).unwrap_err().code(), "record-unreadable");
        let foreign = text.replace("19aa5440eb0-f0a9c3d5e7ab", "../../19aa5440eb0");
        std::fs::write(dir.join(RECORD), foreign).unwrap();
        assert_eq!(Record::read(&dir).unwrap_err().code(), "record-unreadable", "a job's id names its directory");
        let shown = format!("{:?}", record());
        assert!(!shown.contains("\"secret\""), "{shown}");
        std::fs::write(dir.join(RECORD), "{").unwrap();
        assert_eq!(Record::read(&dir).unwrap_err().code(), "record-unreadable");
        assert_eq!(Record::read(&dir.join("none")).unwrap(), None);
    }

    #[test]
    fn of_a_long_log_the_end_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let line = |n: usize| LogLine::parse("f", Some(Timestamp(n as u64)), &format!("{n} {}", "x".repeat(1_000)));
        let lines: Vec<_> = (0..2_000).map(line).collect();
        Record::write_log(dir.path(), &lines).unwrap();
        assert!(std::fs::metadata(dir.path().join(LOG)).unwrap().len() <= LOCAL_LOG_BYTES_MAX as u64);
        let read = Record::read_log(dir.path());
        assert!(read.len() > 900 && read == lines[2_000 - read.len()..], "{} lines", read.len());
    }
}
