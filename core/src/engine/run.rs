//! The finished runs of a map task: in memory while there is room, then in `/tmp`.
//!
//! Runs are written when the pairs are all mapped, partition by partition, and lie there until they are uploaded. What a
//! partition's tables held is given back as its run is written, so runs take the place of tables: together they hold no more
//! than the tables may ([`MapOptions::memory_bytes`](super::map::MapOptions)), and a little beside them.

use crate::budget::RUN_MEMORY_BYTES;
use crate::error::Result;
use crate::pairs::{ARENA_BYTES_MAX, Table, tmp_error, together, write_merged, write_tables};
use crate::value::Value;
use crate::wire::run::{AnyRun, Compression, RunWriter};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes are gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// How much runs may hold beside the tables: [`RUN_MEMORY_BYTES`], and in a small function a quarter of what the tables may.
fn beside_bytes(memory_bytes: usize) -> usize {
    RUN_MEMORY_BYTES.min(memory_bytes / 4)
}

/// The memory that is left for the runs of a task, in bytes.
pub(super) struct Room(AtomicUsize);

impl Room {
    /// Returns the room beside tables that hold so much of what they may hold.
    pub(super) fn beside(held: usize, memory_bytes: usize) -> Self {
        Room(AtomicUsize::new(memory_bytes.saturating_sub(held) + beside_bytes(memory_bytes)))
    }

    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    /// Adds what is held no longer.
    pub(super) fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// One finished run.
pub struct Run {
    /// Its start, in the blocks in which it was written.
    blocks: VecDeque<Vec<u8>>,
    /// The rest, if there was no room for it.
    file: Option<File>,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many pairs it has.
    pub pairs: u64,
}

impl Run {
    /// Returns how many bytes are stored of it: none of a run without pairs, which is not written.
    pub fn stored_bytes(&self) -> u64 {
        if self.pairs == 0 { 0 } else { self.bytes }
    }

    /// Returns how many bytes of it lie in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum()
    }

    /// Reads the whole run and appends it to `out`.
    ///
    /// # Errors
    /// Returns the I/O error when `/tmp` cannot be read.
    pub fn read_to(self, out: &mut Vec<u8>) -> std::io::Result<()> {
        self.into_reader()?.read_to_end(out).map(|_| ())
    }

    /// Turns the run into a reader that stands at its start.
    ///
    /// # Errors
    /// Returns the I/O error when `/tmp` cannot be read.
    pub fn into_reader(mut self) -> std::io::Result<impl Read + Send + 'static> {
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(0))?;
        }
        Ok(Reader { blocks: self.blocks, at: 0, file: self.file })
    }
}

/// Reads a run, and drops each block as it is read.
struct Reader {
    blocks: VecDeque<Vec<u8>>,
    /// How much of the first block is read.
    at: usize,
    file: Option<File>,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while let Some(block) = self.blocks.front() {
            let read = (&block[self.at..]).read(buffer)?;
            if read > 0 || buffer.is_empty() {
                self.at += read;
                return Ok(read);
            }
            self.blocks.pop_front();
            self.at = 0;
        }
        self.file.as_mut().map_or(Ok(0), |file| file.read(buffer))
    }
}

/// A run being written.
pub(super) struct RunFile<'a> {
    run: Run,
    writer: RunWriter,
    room: &'a Room,
    tmp: &'a Path,
}

impl<'a> RunFile<'a> {
    pub(super) fn new(room: &'a Room, tmp: &'a Path, compression: Compression) -> Self {
        let run = Run { blocks: VecDeque::new(), file: None, bytes: 0, pairs: 0 };
        RunFile { run, writer: RunWriter::new(compression), room, tmp }
    }

    pub(super) fn take_tables<V: Value>(&mut self, tables: Vec<Table<V>>, fold: Option<fn(&mut V, V)>) -> Result<()> {
        let tables = together(tables, ARENA_BYTES_MAX);
        let RunFile { run, writer, room, tmp } = self;
        write_tables(tables, fold, writer, &mut |writer| run.drain(writer, room, tmp))
    }

    pub(super) fn take_merged<V: Value>(&mut self, runs: Vec<AnyRun>, fold: Option<fn(&mut V, V)>) -> Result<()> {
        let RunFile { run, writer, room, tmp } = self;
        write_merged(runs, fold, writer, &mut |writer| run.drain(writer, room, tmp)).map(drop)
    }

    pub(super) fn finish(self) -> Result<Run> {
        let RunFile { mut run, writer, room, tmp } = self;
        let (rest, pairs) = writer.finish();
        run.pairs = pairs;
        run.keep(rest, room, tmp)?;
        Ok(run)
    }
}

impl Run {
    /// Keeps what was written, once it is worth it.
    fn drain(&mut self, writer: &mut RunWriter, room: &Room, tmp: &Path) -> Result<()> {
        if writer.out.len() >= WRITE_BYTES { self.keep(std::mem::take(&mut writer.out), room, tmp) } else { Ok(()) }
    }

    fn keep(&mut self, mut block: Vec<u8>, room: &Room, tmp: &Path) -> Result<()> {
        self.bytes += block.len() as u64;
        if self.file.is_none() {
            block.shrink_to_fit();
            if room.take(block.capacity()) {
                self.blocks.push_back(block);
                return Ok(());
            }
        }
        let unwritten = |e: std::io::Error| tmp_error("writing a run", tmp, &e);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(tmp).map_err(unwritten)?),
        };
        file.write_all(&block).map_err(unwritten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::run::RunReader;

    /// The keys of a run, and how much of it lies in memory.
    fn written(room: &Room, keys: u32) -> (Vec<u32>, usize, bool) {
        let tmp = std::env::temp_dir();
        let mut file = RunFile::new(room, &tmp, Compression::None);
        for key in 0..keys {
            file.writer.push(&mut key.to_be_bytes().to_vec(), &vec![7u8; 1_000]).unwrap();
            file.run.drain(&mut file.writer, room, &tmp).unwrap();
        }
        let run = file.finish().unwrap();
        let (bytes, in_memory, in_tmp) = (run.bytes, run.memory_bytes(), run.file.is_some());
        let mut whole = vec![];
        run.read_to(&mut whole).unwrap();
        assert_eq!(whole.len() as u64, bytes);
        let mut reader = RunReader::open(&whole[..], "run").unwrap();
        let mut got = vec![];
        while reader.advance().unwrap() {
            got.push(u32::from_be_bytes(reader.key().try_into().unwrap()));
        }
        (got, in_memory, in_tmp)
    }

    #[test]
    fn a_run_comes_back_whole_from_memory_from_tmp_and_from_both() {
        let all: Vec<u32> = (0..5_000).collect();
        for (room_bytes, in_memory) in [(0, 0..1), (2_500_000, 1_000_000..2_500_001), (1 << 30, 5_000_000..5_500_000)] {
            let (got, held, in_tmp) = written(&Room(AtomicUsize::new(room_bytes)), 5_000);
            assert_eq!(got, all);
            assert!(in_memory.contains(&held), "{held} bytes of {room_bytes} are in memory");
            assert_eq!(in_tmp, room_bytes < 5_000_000);
        }
    }

    #[test]
    fn runs_share_the_room_and_have_as_much_more_as_tables_give_back() {
        let room = Room::beside(6 << 20, 8 << 20);
        assert_eq!(room.0.load(Ordering::Relaxed), 4 << 20, "2 MiB free, and a quarter of 8 MiB");
        let first = written(&room, 3_000).1;
        assert!(first > 2 << 20, "{first}");
        let second = written(&room, 3_000).1;
        assert!(first + second <= 4 << 20, "{first} and {second}");
        room.give(6 << 20);
        let third = written(&room, 3_000).1;
        assert!(third > 2 << 20, "{third}");
        // Of a function with the default memory, the share beside the tables is the whole of it.
        assert_eq!(beside_bytes(800 << 20), RUN_MEMORY_BYTES);
        assert_eq!(Room::beside(10, 8).0.load(Ordering::Relaxed), 2, "tables may hold a little more than they may");
    }
}
