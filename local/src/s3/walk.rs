//! Listing a directory tree as the keys of a bucket.
//!
//! A tree has no order of its own that pages could follow (`a.txt` sorts before `a/b`, but `readdir` promises nothing), so it
//! is walked once, sorted, and kept for the pages that follow. These then also agree with one another: a file that comes or
//! goes between two pages neither shifts nor doubles the others.
//!
//! Links are followed, because users link data into place. Each real directory is entered once, by its own name before any
//! link's: so a loop ends, and no file is counted twice because a link leads to its directory. A dangling link is skipped
//! with a warning, and so is anything that is no file: a pipe would never end.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, Metadata};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use s3s::{S3Result, s3_error};

use super::content::Identity;
use super::errors::{blocking, custom, io_error, is_absent};
use super::paging::{Entry, Page, Query, page};
use super::spool::PARTIAL_PREFIX;

/// The most walks kept for further pages. Beyond it the oldest is dropped, and its next page walks again.
const WALKS_MAX: usize = 16;
/// S3's limit of a key; a longer path could be listed but never asked for.
const KEY_BYTES_MAX: usize = 1_024;

/// Returns the relative path that `key` names, unless no file below a root can have that name.
pub(super) fn relative(key: &str) -> Option<&Path> {
    let plain =
        |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0') && !part.starts_with(PARTIAL_PREFIX);
    key.split('/').all(plain).then(|| Path::new(key))
}

/// The walks of one bucket.
#[derive(Default)]
pub(super) struct Walks {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    last_id: u64,
    walks: VecDeque<(u64, Arc<Walk>)>,
}

/// The files of one walk, sorted by key.
type Walk = Vec<(String, Identity)>;

impl Walks {
    /// Returns one page of the files that `walk` finds, or of an earlier walk that `query` continues.
    pub(super) async fn page(
        &self,
        mut query: Query,
        walk: impl FnOnce(&str) -> S3Result<Walk> + Send + 'static,
    ) -> S3Result<Page> {
        let kept = query.snapshot.and_then(|id| {
            let kept = self.lock();
            kept.walks.iter().find(|(kept, _)| *kept == id).map(|(_, walk)| walk.clone())
        });
        let found = match kept {
            Some(walk) => walk,
            None => {
                let prefix = query.prefix.clone();
                let found = Arc::new(blocking(move || walk(&prefix)).await?);
                query.snapshot = Some(self.keep(found.clone()));
                found
            }
        };
        let page = page(
            &query,
            |from: Bound<&str>| {
                let start = found.partition_point(|(key, _)| match from {
                    Bound::Included(from) => key.as_str() < from,
                    Bound::Excluded(from) => key.as_str() <= from,
                    Bound::Unbounded => false,
                });
                found[start..].iter().map(|(key, identity)| (key.as_str(), identity))
            },
            |key, identity| Entry {
                key: key.to_owned(),
                bytes: identity.bytes,
                etag: identity.etag(),
                modified: identity.modified(),
            },
        );
        if let (None, Some(done)) = (&page.next, query.snapshot) {
            self.lock().walks.retain(|(id, _)| *id != done);
        }
        Ok(page)
    }

    fn keep(&self, walk: Arc<Walk>) -> u64 {
        let mut kept = self.lock();
        kept.last_id += 1;
        let id = kept.last_id;
        kept.walks.push_back((id, walk));
        if kept.walks.len() > WALKS_MAX {
            kept.walks.pop_front();
        }
        id
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns all files below `root` whose key begins with `prefix`, and perhaps some others; `None` if `root` does not exist.
pub(super) fn walk(root: &Path, prefix: &str) -> S3Result<Option<Walk>> {
    if let Err(err) = fs::metadata(root) {
        return if is_absent(&err) { Ok(None) } else { Err(io_error("listing", root, &err)) };
    }
    // Only the directory that the prefix names in full must be entered.
    let (start, within) = match prefix.rsplit_once('/') {
        None => (root.to_owned(), ""),
        Some((dir, _)) => match relative(dir) {
            None => return Ok(Some(Walk::new())),
            Some(path) => (root.join(path), &prefix[..=dir.len()]),
        },
    };
    let mut walker = Walker { found: Walk::new(), entered: HashSet::new(), dirs: Vec::new(), linked: Vec::new() };
    walker.dirs.push((start, within.to_owned()));
    // Depth first over real directories; links to directories only when no real one is left.
    while let Some((dir, within)) = walker.dirs.pop().or_else(|| walker.linked.pop()) {
        match walker.enter(&dir, &within) {
            Ok(()) => {}
            Err(Stopped::Io(err)) if is_absent(&err) => {}
            Err(Stopped::Io(err)) => return Err(io_error("listing", &dir, &err)),
            Err(Stopped::Key(err)) => return Err(err),
        }
    }
    walker.found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Some(walker.found))
}

struct Walker {
    found: Walk,
    entered: HashSet<(u64, u64)>,
    dirs: Vec<(PathBuf, String)>,
    linked: Vec<(PathBuf, String)>,
}

enum Stopped {
    Io(io::Error),
    Key(s3s::S3Error),
}

impl From<io::Error> for Stopped {
    fn from(err: io::Error) -> Self {
        Stopped::Io(err)
    }
}

impl Walker {
    fn enter(&mut self, dir: &Path, within: &str) -> Result<(), Stopped> {
        let meta = fs::metadata(dir)?;
        if !meta.is_dir() || !self.entered.insert((meta.dev(), meta.ino())) {
            return Ok(());
        }
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(Stopped::Key(not_utf8(&entry.path())));
            };
            if name.starts_with(PARTIAL_PREFIX) {
                continue;
            }
            let key = format!("{within}{name}");
            if key.len() > KEY_BYTES_MAX {
                let message =
                    format!("listing {}: as a key it would exceed {KEY_BYTES_MAX} bytes", entry.path().display());
                return Err(Stopped::Key(s3_error!(KeyTooLongError, "{message}")));
            }
            match entry.metadata() {
                Ok(meta) if meta.is_symlink() => match fs::metadata(entry.path()) {
                    Ok(meta) if meta.is_dir() => self.linked.push((entry.path(), format!("{key}/"))),
                    Ok(meta) => self.file(key, &entry.path(), &meta),
                    Err(err) => {
                        tracing::warn!(%err, "passing over the link {}", entry.path().display())
                    }
                },
                Ok(meta) if meta.is_dir() => self.dirs.push((entry.path(), format!("{key}/"))),
                Ok(meta) => self.file(key, &entry.path(), &meta),
                // It was removed after its name was read.
                Err(err) if is_absent(&err) => {}
                Err(err) => return Err(err.into()),
            }
        }
        Ok(())
    }

    fn file(&mut self, key: String, path: &Path, meta: &Metadata) {
        if meta.is_file() {
            self.found.push((key, Identity::of(meta)));
        } else {
            tracing::warn!("passing over {}, which is neither a file nor a directory", path.display());
        }
    }
}

fn not_utf8(path: &Path) -> s3s::S3Error {
    let message = format!("listing {}: the name is not valid UTF-8, so no key can stand for it", path.display());
    custom("InvalidFileName", StatusCode::BAD_REQUEST, message)
}
