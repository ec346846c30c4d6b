//! Spilling: sorted runs, one for each partition, written one after the other to an unnamed file in the function's `/tmp`.

use super::sort::{Sorted, compare, sorted};
use super::table::{Entry, Table};
use crate::error::{Code, Error, Result};
use crate::value::{Value, fold_into};
use crate::wire::run::{Compression, RunReader, RunWriter};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// How many bytes are written at once.
const WRITE_BYTES: usize = 1 << 20;

/// A spill file being written.
pub(crate) struct Spill {
    file: File,
    ends: Vec<u64>,
    at: u64,
    compression: Compression,
    tmp: std::path::PathBuf,
}

/// A spill file that is written.
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
        write_tables(vec![table], fold, &mut writer, &mut |writer| {
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
    /// Opens the run of one partition.
    pub(crate) fn open(&self, partition: usize) -> Result<RunReader<io::BufReader<FileRange>>> {
        let at = if partition == 0 { 0 } else { self.ends[partition - 1] };
        let run = FileRange { file: self.file.clone(), at, end: self.ends[partition] };
        RunReader::open(io::BufReader::with_capacity(64 << 10, run), format!("spill of partition {partition}"))
    }

    /// Returns the length of all runs, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }
}

/// A range of a file, read by position so that several threads can read one file.
pub(crate) struct FileRange {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for FileRange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let got = self.file.read_at(&mut buffer[..want], self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

/// Sorts tables and writes their pairs as one run. It combines neighbours with equal keys, which the tables of several
/// threads bring in. It calls `after` after each pair.
pub(crate) fn write_tables<V: Value>(
    tables: Vec<Table<V>>,
    fold: Option<fn(&mut V, V)>,
    writer: &mut RunWriter,
    after: &mut dyn FnMut(&mut RunWriter) -> Result<()>,
) -> Result<()> {
    let mut tables: Vec<Sorted<V>> = tables.into_iter().map(sorted).collect();
    let mut key = Vec::new();
    let mut write = |entry: &Entry<V>, arena: &[u8]| -> Result<()> {
        key.clear();
        entry.write_key(arena, &mut key);
        writer.push(&mut key, &entry.value)?;
        after(writer)
    };
    let Some((mut current, mut at)) = next(&mut tables) else {
        return Ok(());
    };
    while let Some((entry, from)) = next(&mut tables) {
        match fold {
            Some(fold) if current.same_key(&tables[at].arena, &entry, &tables[from].arena) => {
                fold_into(fold, &mut current.value, entry.value);
            }
            _ => {
                write(&current, &tables[at].arena)?;
                (current, at) = (entry, from);
            }
        }
    }
    write(&current, &tables[at].arena)
}

/// Takes the smallest pair and returns it with the number of its table. There is one table, or a handful if they could not be
/// joined, so a heap would be no faster.
#[inline]
fn next<V>(tables: &mut [Sorted<V>]) -> Option<(Entry<V>, usize)> {
    let from = if tables.len() == 1 { 0 } else { smallest(tables)? };
    tables.get_mut(from)?.entries.next().map(|entry| (entry, from))
}

fn smallest<V>(tables: &[Sorted<V>]) -> Option<usize> {
    let firsts = tables.iter().enumerate().filter_map(|(n, table)| Some((n, table.entries.as_slice().first()?)));
    let smallest = firsts.min_by(|(a, x), (b, y)| compare((x, &tables[*a].arena), (y, &tables[*b].arena)));
    smallest.map(|(n, _)| n)
}

/// Makes an error of the function's `/tmp` with a hint.
pub(crate) fn tmp_error(doing: &str, tmp: &Path, e: &io::Error) -> Error {
    let message = format!("{doing} in {}: {e}", tmp.display());
    match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::new(Code::TmpFull, message).with_hint(
                "give the functions a larger /tmp or more memory, or cut the input into smaller splits (--split-bytes)",
            )
        }
        _ => Error::new(Code::Tmp, message).with_hint("the functions need a writable temporary directory"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{ARENA_BYTES_MAX, HEAD_BYTES, Head, together};
    use super::*;
    use proptest::prelude::*;

    fn push(table: &mut Table<u32>, key: &[u8]) {
        table.push(Head::of(key), key.get(HEAD_BYTES..).unwrap_or(&[]), 1);
    }

    fn written(tables: Vec<Table<u32>>, fold: Option<fn(&mut u32, u32)>) -> Vec<(Vec<u8>, u32)> {
        let mut writer = RunWriter::new(Compression::Lz4);
        write_tables(tables, fold, &mut writer, &mut |_| Ok(())).unwrap();
        let (run, pairs) = writer.finish();
        let mut reader = RunReader::open(&run[..], "test").unwrap();
        let mut got = vec![];
        while reader.advance().unwrap() {
            got.push((reader.key().to_vec(), crate::codec::decode(reader.value()).unwrap()));
        }
        assert_eq!(got.len() as u64, pairs);
        got
    }

    #[test]
    fn keys_come_back_whole_when_the_threads_arenas_are_longer_than_offsets_reach() {
        // Nobody touches the zeros, so they take addresses but no memory.
        let sparse = |key: &[u8]| {
            let mut table = Table::new();
            table.arena = vec![0; 3 << 30];
            table.arena.truncate((3 << 30) - 4096);
            push(&mut table, key);
            table
        };
        let mut small = Table::new();
        push(&mut small, b"the key of the third thread");
        push(&mut small, b"short");
        let tables = vec![sparse(b"the key of the first thread"), sparse(b"the key of the second thread"), small];
        let tables = together(tables, ARENA_BYTES_MAX);
        assert_eq!(tables.len(), 2);
        let keys: Vec<_> = written(tables, None).into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect();
        let of = |thread: &str| format!("the key of the {thread} thread");
        assert_eq!(keys, ["short".to_owned(), of("first"), of("second"), of("third")]);
    }

    proptest! {
        #[test]
        fn tables_kept_apart_give_the_run_of_tables_brought_together(
            threads in proptest::collection::vec(proptest::collection::vec("[ab]{0,3}|[ab]{15,19}", 0..30), 0..6),
            arena_bytes_max in 0usize..100, combine: bool,
        ) {
            let tables = || threads.iter().map(|keys| {
                let mut table = Table::new();
                keys.iter().for_each(|key| push(&mut table, key.as_bytes()));
                table
            }).collect();
            let fold: Option<fn(&mut u32, u32)> = if combine { Some(|all, more| *all += more) } else { None };
            let apart = together(tables(), arena_bytes_max);
            prop_assert_eq!(written(apart, fold), written(together(tables(), ARENA_BYTES_MAX), fold));
        }
    }

    #[test]
    fn a_range_ends_where_it_ends_though_the_file_goes_on() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..200).collect();
        file.write_all(&bytes).unwrap();
        let file = Arc::new(file);
        for (at, end) in [(0, 200), (0, 0), (10, 20), (150, 200)] {
            let mut got = vec![];
            FileRange { file: file.clone(), at, end }.read_to_end(&mut got).unwrap();
            assert_eq!(got, bytes[at as usize..end as usize]);
        }
    }
}
