//! The bytes of an object, at rest ([`Piece`]) and opened ([`Reader`]).
//!
//! An object is a sequence of pieces, so that completing a multipart upload copies nothing. Reading is positional: one
//! descriptor serves any range, and has no position to share.
//!
//! The owner of a file that is served in place may change it at any moment. A reader therefore remembers the file's
//! [`Identity`] from when it was opened, and checks it after *every* read: bytes are handed out only if the file was still
//! the same after they were read.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::spool::{HeldBytes, SpoolFile};

/// A stretch of an object's bytes.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Memory(Arc<HeldBytes>),
    File(Arc<SpoolFile>),
}

impl Piece {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Piece::Memory(held) => held.bytes().len() as u64,
            Piece::File(file) => file.bytes(),
        }
    }
}

/// A received body that is not an object yet.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) pieces: Vec<Piece>,
    pub(super) etag: String,
}

impl Payload {
    pub(super) fn bytes(&self) -> u64 {
        self.pieces.iter().map(Piece::bytes).sum()
    }
}

/// Identifies a file and its version, without reading the file.
///
/// The change time is part of it because the modification time can be set: `cp -p` or `touch -r` over an input would
/// otherwise go unseen. The price is that a `chmod` under a running job counts as a change. File systems stamp times with the
/// kernel's tick, so two writes of equal length within a few milliseconds of each other cannot be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    pub(super) bytes: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Identity {
    pub(super) fn of(meta: &Metadata) -> Self {
        let ns = |secs: i64, ns: i64| i128::from(secs) * 1_000_000_000 + i128::from(ns);
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified_ns: ns(meta.mtime(), meta.mtime_nsec()),
            changed_ns: ns(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Returns whether the bytes of an open file are as they were. Losing its last name changes a file's change time and none
    /// of its bytes, so that a reader outlives the object's replacement or deletion.
    fn holds(&self, file: &File) -> io::Result<bool> {
        let meta = file.metadata()?;
        let now = Self::of(&meta);
        let changed_ns = if meta.nlink() == 0 { self.changed_ns } else { now.changed_ns };
        Ok(Self { changed_ns, ..now } == *self)
    }

    pub(super) fn etag(&self) -> String {
        let Self { device, inode, bytes, modified_ns, changed_ns } = self;
        format!("{device:x}-{inode:x}-{bytes:x}-{modified_ns:x}-{changed_ns:x}")
    }

    pub(super) fn modified(&self) -> SystemTime {
        // A time before 1970 is shown as 1970; the ETag still has the real one.
        UNIX_EPOCH + Duration::from_nanos(u64::try_from(self.modified_ns).unwrap_or(0))
    }
}

/// Whether a read may wait for a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// It may not: only what the page cache holds is read.
    Never,
    /// It may, until the bytes are there.
    Allowed,
}

enum Open {
    Memory(Arc<HeldBytes>),
    /// Opened by the first read: most reads of an object of many parts are of ranges.
    Spooled {
        spooled: Arc<SpoolFile>,
        file: Option<File>,
    },
    InPlace {
        file: File,
        path: PathBuf,
        identity: Identity,
    },
}

/// An object opened for reading.
pub(super) struct Reader {
    /// The pieces, each with the offset at which it starts; ascending.
    pieces: Vec<(u64, Open)>,
    bytes: u64,
}

impl Reader {
    pub(super) fn of_pieces(pieces: &[Piece]) -> Self {
        let mut bytes = 0;
        let pieces = pieces
            .iter()
            .filter(|piece| piece.bytes() > 0)
            .map(|piece| {
                let start = bytes;
                bytes += piece.bytes();
                let open = match piece {
                    Piece::Memory(held) => Open::Memory(held.clone()),
                    Piece::File(spooled) => Open::Spooled { spooled: spooled.clone(), file: None },
                };
                (start, open)
            })
            .collect();
        Self { pieces, bytes }
    }

    pub(super) fn in_place(file: File, path: PathBuf, identity: Identity) -> Self {
        let bytes = identity.bytes;
        Self { pieces: vec![(0, Open::InPlace { file, path, identity })], bytes }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the bytes from `start` to `end`, if they lie in memory in one piece.
    pub(super) fn in_memory(&self, start: u64, end: u64) -> Option<Bytes> {
        let (first, Open::Memory(held)) = &self.pieces[self.piece_at(start)?] else {
            return None;
        };
        let (start, end) = (usize::try_from(start - first).ok()?, usize::try_from(end - first).ok()?);
        (end <= held.bytes().len()).then(|| held.bytes().slice(start..end))
    }

    /// Fills `buf` with the bytes from `pos` on, which must exist. Returns how many could be read without waiting; with
    /// [`Wait::Allowed`], all of them.
    pub(super) fn fill(&mut self, pos: u64, buf: &mut [u8], wait: Wait) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            let at = pos + filled as u64;
            let idx = self.piece_at(at).ok_or(io::ErrorKind::UnexpectedEof)?;
            let end = self.pieces.get(idx + 1).map_or(self.bytes, |(start, _)| *start);
            let (start, piece) = &mut self.pieces[idx];
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(buf.len() - filled);
            let into = &mut buf[filled..filled + len];
            let got = match piece {
                Open::Memory(held) => {
                    let from = usize::try_from(at - *start).map_err(io::Error::other)?;
                    into.copy_from_slice(&held.bytes()[from..from + len]);
                    len
                }
                Open::Spooled { spooled, file } => {
                    let file = match file {
                        Some(file) => file,
                        none => none.insert(File::open(spooled.path())?),
                    };
                    read_at(file, into, at - *start, wait)?
                }
                Open::InPlace { file, path, identity } => {
                    let got = read_at(file, into, at, wait);
                    if !identity.holds(file)? {
                        let message = format!("{} changed while it was read", path.display());
                        return Err(io::Error::other(message));
                    }
                    got?
                }
            };
            filled += got;
            if got < len && wait == Wait::Never {
                break;
            }
        }
        Ok(filled)
    }

    fn piece_at(&self, pos: u64) -> Option<usize> {
        self.pieces.partition_point(|(start, _)| *start <= pos).checked_sub(1)
    }
}

/// Reads all of `buf`, or what can be had without waiting.
fn read_at(file: &File, buf: &mut [u8], pos: u64, wait: Wait) -> io::Result<usize> {
    if wait == Wait::Allowed {
        file.read_exact_at(buf, pos)?;
        return Ok(buf.len());
    }
    read_cached(file, buf, pos)
}

#[cfg(target_os = "linux")]
fn read_cached(file: &File, buf: &mut [u8], pos: u64) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    let mut filled = 0;
    while filled < buf.len() {
        let mut into = [io::IoSliceMut::new(&mut buf[filled..])];
        match preadv2(file, &mut into, pos + filled as u64, ReadWriteFlags::NOWAIT) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(Errno::INTR) => {}
            // The bytes are not cached, or the file system cannot tell: a read that may wait will read them, and report any
            // error.
            Err(_) => break,
        }
    }
    Ok(filled)
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Ok(0)
}
