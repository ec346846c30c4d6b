//! Where bytes lie that have no path of the user's: blobs, parts, and uploads in progress.
//!
//! A file is named by a counter, never by its key, so that no key is too odd for the file system. Each file belongs to one
//! value that removes it when dropped: what a failed upload, a lost race or an overwritten object leaves behind is removed by
//! itself, and a reader keeps its bytes alive for as long as it reads.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use tempfile::TempDir;

/// What may stay in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Objects of up to this size stay in memory: no file is opened for the many small ones.
    object_bytes_max: usize,
    /// The most bytes of all objects in memory together; beyond it, small objects become files too.
    bytes_max: u64,
}

impl Room {
    /// What a driver's process can spare.
    pub(super) const SOME: Room = Room { object_bytes_max: 64 << 10, bytes_max: 256 << 20 };
    /// Everything, so that no request waits for a disk.
    pub(super) const ALL: Room = Room { object_bytes_max: usize::MAX, bytes_max: u64::MAX / 2 };
}

/// Removing a file larger than this can take long enough to be left to another thread.
const REMOVE_INLINE_BYTES_MAX: u64 = 4 << 20;

/// The prefix of a file that is being written in a `Directory` bucket. Listings skip such names.
pub const PARTIAL_PREFIX: &str = ".kinglet-partial-";

/// The directory of one store's blobs.
pub(super) struct Spool {
    dir: TempDir,
    room: Room,
    next: AtomicU64,
    memory_bytes: Arc<AtomicU64>,
}

impl Spool {
    pub(super) fn open(dir: &Path, room: Room) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self {
            dir: tempfile::Builder::new().prefix("s3-").tempdir_in(dir)?,
            room,
            next: AtomicU64::new(0),
            memory_bytes: Arc::default(),
        })
    }

    /// Creates a new, empty file.
    pub(super) fn create(&self) -> io::Result<(SpoolFile, File)> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        SpoolFile::create(self.dir.path().join(name), None)
    }

    /// Returns the most bytes of an object that stays in memory.
    pub(super) fn memory_bytes_max(&self) -> usize {
        self.room.object_bytes_max
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Keeps `bytes` in memory if they are few and there is room.
    pub(super) fn hold(&self, bytes: &Bytes) -> Option<HeldBytes> {
        let len = bytes.len() as u64;
        if bytes.len() > self.room.object_bytes_max {
            return None;
        }
        // Concurrent additions may exceed the bound a little, which is harmless.
        if self.memory_bytes.load(Ordering::Relaxed) + len > self.room.bytes_max {
            return None;
        }
        self.memory_bytes.fetch_add(len, Ordering::Relaxed);
        Some(HeldBytes { bytes: bytes.clone(), memory_bytes: self.memory_bytes.clone() })
    }
}

/// A file that is removed when this is dropped, unless it was given its final name before.
#[derive(Debug)]
pub(super) struct SpoolFile {
    path: PathBuf,
    bytes: u64,
    /// Whether the file was renamed or removed, so that nothing is left to remove.
    gone: AtomicBool,
    /// Directories made for this file lie below this one; those left empty are removed with it.
    made_below: Option<PathBuf>,
}

impl SpoolFile {
    pub(super) fn create(path: PathBuf, made_below: Option<PathBuf>) -> io::Result<(Self, File)> {
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok((Self { path, bytes: 0, gone: AtomicBool::new(false), made_below }, file))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts appended bytes.
    pub(super) fn grow(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Notes that the file was renamed: there is nothing to remove.
    pub(super) fn keep(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Removes the file on this thread now, and not when its last owner is dropped.
    pub(super) fn remove(&self) {
        if !self.gone.swap(true, Ordering::Relaxed) {
            remove(&self.path, self.made_below.as_deref());
        }
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        if *self.gone.get_mut() {
            return;
        }
        let (path, below) = (std::mem::take(&mut self.path), self.made_below.take());
        let remove = move || remove(&path, below.as_deref());
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if self.bytes > REMOVE_INLINE_BYTES_MAX => drop(runtime.spawn_blocking(remove)),
            _ => remove(),
        }
    }
}

fn remove(path: &Path, made_below: Option<&Path>) {
    // A missing file is as good; after any other error, the end of the store removes the file.
    let _ = fs::remove_file(path);
    if let (Some(below), Some(parent)) = (made_below, path.parent()) {
        prune(parent, below);
    }
}

/// Removes `dir` and its parents below `root` while they are empty: S3 has no directories that outlive their objects.
pub(super) fn prune(dir: &Path, root: &Path) {
    let mut dir = dir;
    while dir != root && dir.starts_with(root) && fs::remove_dir(dir).is_ok() {
        let Some(parent) = dir.parent() else { return };
        dir = parent;
    }
}

/// Bytes in memory, counted against the store's bound.
#[derive(Debug)]
pub(super) struct HeldBytes {
    bytes: Bytes,
    memory_bytes: Arc<AtomicU64>,
}

impl HeldBytes {
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.memory_bytes.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
    }
}
