//! What the decoder reads of a row group: the chunks of the columns that are read, each through a window.
//!
//! ```text
//! chunk    ├──── window ────┼──── ahead ─────┼ ─ ─ ─ ─ ─ ─ ─ ─ ┤
//!             ▲ the decoder    being fetched
//! ```
//!
//! A decoder reads each column from its start to its end, but all of them at once, some pages of one and some of the next. So
//! every column has a window, and the one behind it is fetched meanwhile. Small chunks that lie side by side are fetched
//! together. Nothing is fetched but the chunks, and no byte twice.

use super::file::chunk;
use bytes::{Buf, Bytes};
use kinglet_core::budget::GET_BYTES;
use kinglet_core::{ByteRange, Error, Fetched, RangedObject, Result};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{ChunkReader, Length};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The smallest window, in bytes (64 KiB): with more columns than fit, more is held than there is room for.
const WINDOW_BYTES_MIN: u64 = 64 << 10;

/// The chunks of a row group's columns.
#[derive(Clone)]
pub(super) struct Windows(Arc<Inner>);

struct Inner {
    object: Arc<dyn RangedObject>,
    size: u64,
    /// By offset.
    columns: Vec<Mutex<Column>>,
    starts: Vec<u64>,
    together: Vec<Mutex<Together>>,
    window_bytes: u64,
    /// Why the object could not be read: the decoder knows errors of its own alone.
    failed: Mutex<Option<Error>>,
}

/// The chunk of a column.
struct Column {
    lies: ByteRange,
    /// Where the window starts, and what it has.
    at: u64,
    window: Bytes,
    /// What is fetched behind the window.
    ahead: Option<Ahead>,
    /// With which others it is fetched, if it was not yet.
    together: Option<usize>,
}

struct Ahead {
    range: ByteRange,
    fetched: Box<dyn Fetched>,
}

/// Small chunks that lie side by side.
struct Together {
    range: ByteRange,
    fetched: Option<Box<dyn Fetched>>,
    bytes: Bytes,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Windows {
    /// Makes the windows of some columns, by their positions. About `room_bytes` are held at once.
    pub(super) fn new(
        object: Arc<dyn RangedObject>,
        group: &RowGroupMetaData,
        leaves: impl Iterator<Item = usize>,
        room_bytes: u64,
    ) -> Self {
        Self::of(object, leaves.filter_map(|leaf| chunk(group.column(leaf))).collect(), room_bytes)
    }

    /// Makes the windows of some ranges, each of which is read from its start to its end, as a column is.
    pub(super) fn of(object: Arc<dyn RangedObject>, mut ranges: Vec<ByteRange>, room_bytes: u64) -> Self {
        ranges.sort_by_key(|range| range.from);
        let fit = ranges.iter().map(|range| range.bytes()).sum::<u64>() <= room_bytes;
        let two_each = room_bytes / (2 * ranges.len().max(1) as u64);
        let window_bytes = two_each.clamp(WINDOW_BYTES_MIN, GET_BYTES);
        let mut together: Vec<Together> = Vec::new();
        let mut columns = Vec::with_capacity(ranges.len());
        for lies in &ranges {
            let last = together
                .last_mut()
                .filter(|last| fit && last.range.to == lies.from && lies.to - last.range.from <= GET_BYTES);
            match last {
                Some(last) => last.range.to = lies.to,
                None if fit && lies.bytes() <= GET_BYTES => {
                    together.push(Together { range: *lies, fetched: None, bytes: Bytes::new() });
                }
                None => {}
            }
            let is_in = together.last().is_some_and(|last| last.range.to == lies.to);
            let together = is_in.then(|| together.len() - 1);
            columns.push(Mutex::new(Column {
                lies: *lies,
                at: lies.from,
                window: Bytes::new(),
                ahead: None,
                together,
            }));
        }
        Windows(Arc::new(Inner {
            object,
            size: ranges.iter().map(|range| range.to).max().unwrap_or(0),
            columns,
            starts: ranges.iter().map(|range| range.from).collect(),
            together: together.into_iter().map(Mutex::new).collect(),
            window_bytes,
            failed: Mutex::default(),
        }))
    }

    /// Starts to fetch what is read first.
    pub(super) fn ahead(&self) {
        for together in &self.0.together {
            let mut together = lock(together);
            if together.fetched.is_none() && together.bytes.is_empty() {
                together.fetched = Some(self.0.object.fetch(together.range));
            }
        }
        for column in &self.0.columns {
            let mut column = lock(column);
            if column.together.is_none() && column.ahead.is_none() && column.window.is_empty() {
                column.ahead = self.0.fetch_from(&column, column.lies.from);
            }
        }
    }

    /// Returns why the object could not be read, if it could not.
    pub(super) fn failed(&self) -> Option<Error> {
        lock(&self.0.failed).take()
    }
}

impl Inner {
    /// Starts to fetch a window of a column.
    fn fetch_from(&self, column: &Column, from: u64) -> Option<Ahead> {
        let range = ByteRange { from, to: column.lies.to.min(from + self.window_bytes) };
        (range.from < range.to).then(|| Ahead { range, fetched: self.object.fetch(range) })
    }

    /// Returns what a column's window has from an offset on, at least one byte; the window moves there.
    fn from(&self, at: u64) -> parquet::errors::Result<Bytes> {
        let n = self.starts.partition_point(|start| *start <= at).checked_sub(1);
        let beyond = || ParquetError::EOF(format!("a page at byte {at} lies outside of its column"));
        let mut column = lock(n.and_then(|n| self.columns.get(n)).ok_or_else(beyond)?);
        if at >= column.lies.to {
            return Err(beyond());
        }
        self.move_to(&mut column, at).map_err(|error| {
            let says = ParquetError::General(error.to_string());
            lock(&self.failed).get_or_insert(error);
            says
        })?;
        Ok(column.window.slice((at - column.at) as usize..))
    }

    fn move_to(&self, column: &mut Column, at: u64) -> Result<()> {
        if let Some(together) = column.together.take() {
            let mut together = lock(&self.together[together]);
            if together.bytes.is_empty() {
                let fetched = together.fetched.take().unwrap_or_else(|| self.object.fetch(together.range));
                together.bytes = fetched.wait()?;
            }
            let from = (column.lies.from - together.range.from) as usize;
            column.window = together.bytes.slice(from..from + column.lies.bytes() as usize);
        }
        while !(column.at..column.at + column.window.len() as u64).contains(&at) {
            let ahead = match column.ahead.take().filter(|ahead| ahead.range.to > at && ahead.range.from <= at) {
                Some(ahead) => Some(ahead),
                None => self.fetch_from(column, at),
            };
            let Some(Ahead { range, fetched }) = ahead else { return Ok(()) };
            column.at = range.from;
            // The memory of the last window is free before the next is waited for, unless a page is still read from it.
            column.window = Bytes::new();
            column.window = fetched.wait()?;
            column.ahead = self.fetch_from(column, range.to);
        }
        Ok(())
    }
}

impl Length for Windows {
    fn len(&self) -> u64 {
        self.0.size
    }
}

impl ChunkReader for Windows {
    type T = WindowRead;

    fn get_read(&self, start: u64) -> parquet::errors::Result<WindowRead> {
        Ok(WindowRead { windows: self.clone(), at: start, here: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let here = self.0.from(start)?;
        if here.len() >= length {
            return Ok(here.slice(..length));
        }
        // The decoder has checked that the page lies in its chunk.
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&here);
        drop(here);
        while bytes.len() < length {
            let more = self.0.from(start + bytes.len() as u64)?;
            bytes.extend_from_slice(&more[..more.len().min(length - bytes.len())]);
        }
        Ok(bytes.into())
    }
}

/// Reads from an offset on.
pub(super) struct WindowRead {
    windows: Windows,
    at: u64,
    here: Bytes,
}

impl Read for WindowRead {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.here.is_empty() && !into.is_empty() {
            self.here = self.windows.0.from(self.at).map_err(std::io::Error::other)?;
        }
        let bytes = into.len().min(self.here.len());
        self.here.copy_to_slice(&mut into[..bytes]);
        self.at += bytes as u64;
        Ok(bytes)
    }
}
