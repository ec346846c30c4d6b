//! Spilling: sorted runs, one a partition, written behind one another to an unnamed file in the function's `/tmp`.

use super::table::{Entry, Table};
use crate::error::{Error, Result};
use crate::job::Value;
use crate::wire::run::{Compression, RunReader, RunWriter};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// How much is written at once.
const WRITE_BYTES: usize = 1 << 20;

/// A spill file being written.
pub(crate) struct Spill {
    file: File,
    ends: Vec<u64>,
    at: u64,
    compression: Compression,
    tmp: std::path::PathBuf,
}

/// A spill file, written.
pub(crate) struct Spilled {
    file: Arc<File>,
    ends: Vec<u64>,
}

impl Spill {
    pub(crate) fn create(tmp: &Path, compression: Compression) -> Result<Self> {
        let file = tempfile::tempfile_in(tmp).map_err(|e| tmp_error("creating a spill file", tmp, &e))?;
        Ok(Spill { file, ends: Vec::new(), at: 0, compression, tmp: tmp.to_owned() })
    }

    /// Writes the next partition's pairs, as a sorted run.
    pub(crate) fn partition<V: Value>(&mut self, table: Table<V>, fold: Option<fn(&mut V, V)>) -> Result<()> {
        let mut writer = RunWriter::new(self.compression);
        write_table(table, fold, &mut writer, &mut |writer| {
            if writer.out.len() >= WRITE_BYTES {
                self.write(&mut writer.out)?;
            }
            Ok(())
        })?;
        let (mut rest, _) = writer.finish();
        self.write(&mut rest)?;
        self.ends.push(self.at);
        Ok(())
    }

    fn write(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| tmp_error("spilling", &self.tmp, &e))?;
        self.at += bytes.len() as u64;
        bytes.clear();
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Spilled> {
        Ok(Spilled { file: Arc::new(self.file), ends: self.ends })
    }
}

impl Spilled {
    /// The run of one partition.
    pub(crate) fn open(&self, partition: usize) -> Result<RunReader<io::BufReader<Stretch>>> {
        let at = if partition == 0 { 0 } else { self.ends[partition - 1] };
        let stretch = Stretch { file: self.file.clone(), at, end: self.ends[partition] };
        RunReader::open(io::BufReader::with_capacity(64 << 10, stretch), format!("spill of partition {partition}"))
    }

    /// The bytes of all runs.
    pub(crate) fn bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }
}

/// A stretch of a file, read by position, so that several threads may read one file.
pub(crate) struct Stretch {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Stretch {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let got = self.file.read_at(&mut buffer[..want], self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

/// Sorts a table and writes it as a run, combining equal neighbours, which stand there when the tables of several threads
/// were brought together. `after` is called after each pair.
pub(crate) fn write_table<V: Value>(
    mut table: Table<V>,
    fold: Option<fn(&mut V, V)>,
    writer: &mut RunWriter,
    after: &mut dyn FnMut(&mut RunWriter) -> Result<()>,
) -> Result<()> {
    table.sort();
    let Table { entries, arena, .. } = table;
    let mut key = Vec::new();
    let mut write = |entry: &Entry<V>| -> Result<()> {
        key.clear();
        entry.write_key(&arena, &mut key);
        writer.push(&mut key, &entry.value)?;
        after(writer)
    };
    let mut entries = entries.into_iter();
    let Some(mut current) = entries.next() else {
        return Ok(());
    };
    for entry in entries {
        match fold {
            Some(fold) if current.same_key(&entry, &arena) => fold(&mut current.value, entry.value),
            _ => {
                write(&current)?;
                current = entry;
            }
        }
    }
    write(&current)
}

/// An error of the function's `/tmp`, with the way out.
pub(crate) fn tmp_error(doing: &str, tmp: &Path, e: &io::Error) -> Error {
    let message = format!("{doing} in {}: {e}", tmp.display());
    match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::limit("tmp-full", message).with_hint(
                "give the functions a larger /tmp or more memory, or cut the input into smaller splits (--split-bytes)",
            )
        }
        _ => Error::limit("tmp", message).with_hint("the functions need a writable temporary directory"),
    }
}
