//! An S3 server inside the driver's process, on loopback.
//!
//! Nothing in Kinglet has a local twin of its storage code: locally the real SDK sends real, signed requests, and this
//! module answers them. The protocol (routing, XML, signatures, `aws-chunked`) is the `s3s` crate's; what a bucket
//! *is* stands here, because that is where a conditional write is won or lost:
//!
//! | kind        | where the bytes lie                         | written by                              |
//! |-------------|---------------------------------------------|-----------------------------------------|
//! | `Blobs`     | counter-named files, small objects in memory | everyone; any key S3 allows             |
//! | `Files`     | the user's own files, in place               | nobody: an input is never copied        |
//! | `Directory` | `root/key`, in place                         | everyone; each object appears atomically |
//!
//! In reading order: `server` accepts connections; `operations` maps S3's to what `objects`, `listing` and `uploads` add to
//! `service`; `multipart` keeps uploads that are open; `bucket` chooses among `blobs`, `files` and `directory`; `info` is
//! what they know of an object; `receive` and `content` move bytes in and out; `conditions`, `checksums` and `errors` say
//! what S3 would.
//!
//! **Absent on purpose:** versions, ACLs, encryption, tags, lifecycle, virtual-hosted addressing. The index of a `Blobs`
//! bucket lives and dies with the [`Store`].

mod blobs;
mod bucket;
mod checksums;
mod conditions;
mod content;
mod directory;
mod errors;
mod files;
mod info;
mod listing;
mod multipart;
mod objects;
mod operations;
mod paging;
mod receive;
mod server;
mod service;
mod spool;
mod stream;
mod uploads;
mod walk;

#[cfg(test)]
mod tests;

pub use server::{Keys, Signed, serve, service};
pub use spool::PARTIAL_PREFIX;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use bucket::{Bucket, Kind};
use multipart::Uploads;
use spool::{Room, Spool};

/// What a bucket serves.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BucketKind {
    /// An ordinary bucket. Its objects are gone when the [`Store`] is dropped.
    Blobs,
    /// A local directory, read-only and in place; with `only`, a single file of it.
    Files {
        /// The directory whose files are the objects.
        root: PathBuf,
        /// The name of the one file to serve, where not all of them are wanted.
        only: Option<String>,
    },
    /// A local directory that objects are written to; it is created by the first write.
    Directory {
        /// The object `a/b` becomes the file `root/a/b`.
        root: PathBuf,
    },
}

/// Why a bucket could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateBucketError {
    /// S3's naming rules forbid the name.
    #[error("creating bucket {0:?}: the name breaks S3's rules (3 to 63 of a-z, 0-9, '-' and '.')")]
    InvalidName(String),
    /// There is a bucket of that name.
    #[error("creating bucket {0:?}: it exists already")]
    Exists(String),
}

/// The buckets of one embedded server.
pub struct Store {
    buckets: RwLock<BTreeMap<String, Arc<Bucket>>>,
    uploads: Uploads,
    spool: Arc<Spool>,
    now: Now,
}

/// The server's wall clock.
pub type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

impl Store {
    /// Aborts all multipart uploads, which removes their hidden files from a user's directory. Dropping the store does so
    /// too, but requests in progress may hold the store for a while.
    pub fn abort_uploads(&self) {
        self.uploads.abandon();
    }

    /// Returns a store without buckets. It keeps its blobs in a new directory under `dir`, which is removed when the store is
    /// dropped.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be created.
    pub fn open(dir: &Path) -> io::Result<Arc<Store>> {
        Self::with(dir, Room::SOME, Arc::new(SystemTime::now))
    }

    /// Returns a store that keeps everything in memory and goes by this clock, for simulations: none of its requests waits
    /// for a disk or another thread.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be created.
    pub fn simulated(dir: &Path, now: Now) -> io::Result<Arc<Store>> {
        Self::with(dir, Room::ALL, now)
    }

    fn with(dir: &Path, room: Room, now: Now) -> io::Result<Arc<Store>> {
        let spool = Arc::new(Spool::open(dir, room)?);
        Ok(Arc::new(Store { buckets: RwLock::default(), uploads: Uploads::default(), spool, now }))
    }

    /// Returns the time.
    fn now(&self) -> SystemTime {
        (self.now)()
    }

    /// Adds a bucket.
    ///
    /// # Errors
    /// Returns an error if the name breaks S3's rules or is taken.
    pub fn create_bucket(&self, name: &str, kind: BucketKind) -> Result<(), CreateBucketError> {
        if !s3s::path::check_bucket_name(name) {
            return Err(CreateBucketError::InvalidName(name.to_owned()));
        }
        let mut buckets = write(&self.buckets);
        if buckets.contains_key(name) {
            return Err(CreateBucketError::Exists(name.to_owned()));
        }
        let bucket = Bucket {
            created: self.now(),
            kind: match kind {
                BucketKind::Blobs => Kind::blobs(&self.spool, &self.now),
                BucketKind::Files { root, only } => Kind::files(root, only),
                BucketKind::Directory { root } => Kind::directory(root),
            },
        };
        buckets.insert(name.to_owned(), Arc::new(bucket));
        Ok(())
    }
}

/// A panic while a lock was held is a bug of ours; it should fail its own request and not every later one.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
