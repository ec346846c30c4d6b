//! A `Directory` bucket: objects become files under the user's output directory, each all at once or not at all.
//!
//! A body is received into a hidden file next to its target, and renamed when it is complete. So is a part of a multipart
//! upload, and an upload of one part is completed by that rename alone. For `If-None-Match: *`, the kernel refuses the rename
//! if the name is taken, so that one writer wins even among processes. Conditions on an ETag are checked and acted upon under
//! a lock of ours, which excludes other requests only.
//!
//! Nothing is written or removed outside of the directory: keys cannot name what lies above it, and a link in it to a directory
//! elsewhere is not followed. A link in the place of an object is itself replaced or removed, not what it leads to.
//!
//! A file has no room for a content type, metadata or checksums. They are remembered for as long as the store lives and
//! the file is the one they came with.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use s3s::{S3Result, s3_error};

use super::conditions::WriteCondition;
use super::content::{Identity, Payload, Piece, Reader};
use super::errors::{blocking, io_error, no_such_key};
use super::files::{open, stat};
use super::info::{Attributes, Info};
use super::paging::{Page, Query};
use super::receive::Place;
use super::spool::{PARTIAL_PREFIX, SpoolFile, prune};
use super::walk::{Walks, relative, walk};
use super::{read, write};

/// The number of locks: writes to different keys rarely wait for one another.
const STRIPES: usize = 16;
/// The most objects whose attributes are remembered; those of later objects are not.
const REMEMBERED_MAX: usize = 100_000;
/// How often a directory may be removed meanwhile, by the deletion of its last object, before that is an error.
const CREATE_ATTEMPTS: usize = 16;
/// The most bytes that most file systems allow in a name.
const NAME_BYTES_MAX: usize = 255;

pub(super) struct Directory {
    root: PathBuf,
    walks: Walks,
    stripes: [Mutex<()>; STRIPES],
    hasher: RandomState,
    remembered: RwLock<HashMap<String, (String, Arc<Attributes>)>>,
}

impl Directory {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            walks: Walks::default(),
            stripes: Default::default(),
            hasher: RandomState::new(),
            remembered: RwLock::default(),
        }
    }

    /// Checks that a file can have this name.
    pub(super) fn check_key(&self, key: &str) -> S3Result<()> {
        if relative(key).is_none() {
            return Err(s3_error!(
                InvalidArgument,
                "the key {key:?} cannot be a file below {}: a part of it is empty, '.', '..', reserved or holds a NUL",
                self.root.display()
            ));
        }
        if key.split('/').any(|part| part.len() > NAME_BYTES_MAX) {
            return Err(s3_error!(KeyTooLongError, "a part of the key {key:?} is longer than a file's name can be"));
        }
        Ok(())
    }

    pub(super) fn place(&self, key: &str) -> S3Result<Beside> {
        self.check_key(key)?;
        Ok(Beside { root: self.root.clone(), target: self.root.join(key) })
    }

    pub(super) async fn info(self: &Arc<Self>, key: &str) -> S3Result<Info> {
        let (this, key) = (self.clone(), key.to_owned());
        blocking(move || {
            let path = relative(&key).map(|path| this.root.join(path)).ok_or_else(|| no_such_key(&key))?;
            Ok(this.describe(&key, &stat(&path, &key)?))
        })
        .await
    }

    pub(super) async fn open(self: &Arc<Self>, key: &str) -> S3Result<(Info, Reader)> {
        let (this, key) = (self.clone(), key.to_owned());
        blocking(move || {
            let path = relative(&key).map(|path| this.root.join(path)).ok_or_else(|| no_such_key(&key))?;
            let (identity, reader) = open(path, &key)?;
            Ok((this.describe(&key, &identity), reader))
        })
        .await
    }

    fn describe(&self, key: &str, identity: &Identity) -> Info {
        let etag = identity.etag();
        let remembered = read(&self.remembered).get(key).filter(|(of, _)| *of == etag).map(|(_, known)| known.clone());
        Info { bytes: identity.bytes, etag, modified: identity.modified(), attributes: remembered.unwrap_or_default() }
    }

    pub(super) async fn put(
        self: &Arc<Self>,
        key: &str,
        payload: Payload,
        attributes: Attributes,
        condition: WriteCondition,
    ) -> S3Result<Info> {
        let (this, key, place) = (self.clone(), key.to_owned(), self.place(key)?);
        blocking(move || {
            let written = place.file_of(&payload).map_err(|err| io_error("writing", &place.target, &err))?;
            let identity = this.publish(&key, &written, &place.target, &condition)?;
            // Concatenated parts are of no use any more, whoever still holds them. A part that was renamed is gone already.
            for piece in &payload.pieces {
                if let Piece::File(part) = piece {
                    part.remove();
                }
            }
            let mut remembered = write(&this.remembered);
            if remembered.len() < REMEMBERED_MAX || remembered.contains_key(&key) {
                remembered.insert(key.clone(), (identity.etag(), Arc::new(attributes)));
            }
            drop(remembered);
            Ok(this.describe(&key, &identity))
        })
        .await
    }

    /// Renames `written` to `target`, or leaves it as it is.
    fn publish(&self, key: &str, written: &SpoolFile, target: &Path, condition: &WriteCondition) -> S3Result<Identity> {
        let failed = |err: &io::Error| io_error("writing", target, err);
        // Kept open, so that it is this file that is described in the end, whatever happens to its name.
        let file = File::open(written.path()).map_err(|err| failed(&err))?;
        let _stripe = self.lock(key);
        let current = stat(target, key).ok().map(|identity| identity.etag());
        condition.check(key, current.as_deref())?;
        if condition.creates() {
            match link_new(written, target) {
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists && !target.is_dir() => {
                    return Err(s3_error!(PreconditionFailed, "If-None-Match: {key:?} exists"));
                }
                done => done.map_err(|err| failed(&err))?,
            }
        } else {
            fs::rename(written.path(), target).map_err(|err| failed(&err))?;
            written.keep();
        }
        file.metadata().map(|meta| Identity::of(&meta)).map_err(|err| failed(&err))
    }

    pub(super) async fn delete(self: &Arc<Self>, key: &str, condition: WriteCondition) -> S3Result<()> {
        let (this, key) = (self.clone(), key.to_owned());
        blocking(move || {
            let Some(path) = relative(&key).map(|path| this.root.join(path)) else {
                return Ok(());
            };
            check_within(&this.root, &path).map_err(|err| io_error("deleting", &path, &err))?;
            let _stripe = this.lock(&key);
            let current = match stat(&path, &key) {
                Ok(identity) => Some(identity.etag()),
                Err(err) if *err.code() == s3s::S3ErrorCode::NoSuchKey => None,
                Err(err) => return Err(err),
            };
            condition.check(&key, current.as_deref())?;
            if current.is_some() {
                match fs::remove_file(&path) {
                    Err(err) if err.kind() != io::ErrorKind::NotFound => {
                        return Err(io_error("deleting", &path, &err));
                    }
                    _ => {}
                }
                write(&this.remembered).remove(&key);
                if let Some(parent) = path.parent() {
                    prune(parent, &this.root);
                }
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn page(&self, query: Query) -> S3Result<Page> {
        let root = self.root.clone();
        self.walks.page(query, move |prefix| Ok(walk(&root, prefix)?.unwrap_or_default())).await
    }

    fn lock(&self, key: &str) -> std::sync::MutexGuard<'_, ()> {
        let idx = usize::try_from(self.hasher.hash_one(key) % STRIPES as u64).unwrap_or(0);
        self.stripes[idx].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses a file whose directory lies outside of `root`, as a link in a user's directory may lead anywhere.
fn check_within(root: &Path, file: &Path) -> io::Result<()> {
    let there = file.ancestors().skip(1).find(|dir| dir.exists());
    // Above the root there is only what the user has named.
    let Some(dir) = there.filter(|dir| dir.starts_with(root)) else { return Ok(()) };
    if dir.canonicalize()?.starts_with(root.canonicalize()?) {
        return Ok(());
    }
    let message = format!("{} leads out of {}", dir.display(), root.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

/// Gives `written` the name `target`, which must be free.
fn link_new(written: &SpoolFile, target: &Path) -> io::Result<()> {
    use rustix::io::Errno;
    match renameat_with(CWD, written.path(), CWD, target, RenameFlags::NOREPLACE) {
        Ok(()) => {
            written.keep();
            Ok(())
        }
        // Not every file system can do this; a hard link is refused as surely. The link's other name is removed now: removing
        // it later would change the file's change time, and the ETag with it.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(written.path(), target).inspect(|()| written.remove())
        }
        Err(err) => Err(err.into()),
    }
}

/// A hidden file in the directory of its target, so that renaming it crosses no file system.
pub(super) struct Beside {
    root: PathBuf,
    target: PathBuf,
}

impl Place for Beside {
    fn hold_bytes_max(&self) -> usize {
        0
    }

    fn hold(&self, _: &Bytes) -> Option<Piece> {
        None
    }

    fn create(&self) -> io::Result<(SpoolFile, File)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        check_within(&self.root, &self.target)?;
        let dir = self.target.parent().unwrap_or(&self.root);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let name = format!("{PARTIAL_PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let created =
                fs::create_dir_all(dir).and_then(|()| SpoolFile::create(dir.join(name), Some(self.root.clone())));
            match created {
                Err(err) if err.kind() == io::ErrorKind::NotFound && attempts < CREATE_ATTEMPTS => {}
                created => return created,
            }
        }
    }

    fn path(&self) -> &Path {
        &self.target
    }
}

impl Beside {
    /// Returns the payload as one file next to the target: mostly the very file it was received into. Several parts are
    /// concatenated into a new file, as the upload must keep its parts as they are until the object exists.
    fn file_of(&self, payload: &Payload) -> io::Result<Arc<SpoolFile>> {
        if let [Piece::File(file)] = payload.pieces.as_slice()
            && file.path().parent() == self.target.parent()
        {
            return Ok(file.clone());
        }
        let (mut spooled, mut file) = self.create()?;
        for piece in &payload.pieces {
            match piece {
                Piece::Memory(held) => file.write_all(held.bytes())?,
                Piece::File(part) => drop(io::copy(&mut File::open(part.path())?, &mut file)?),
            }
            spooled.grow(piece.bytes());
        }
        Ok(Arc::new(spooled))
    }
}
