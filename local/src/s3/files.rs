//! A `Files` bucket: a directory of the user's, or one file of it, served in place and never written.
//!
//! An object's ETag is the file's [`Identity`], so that pinning an input costs a `stat` and no read. The identity is taken
//! from the open descriptor, and `If-Match` is checked against that: between the check and the read no path can be swapped.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use s3s::{S3Result, s3_error};

use super::content::{Identity, Reader};
use super::errors::{blocking, io_error, is_absent, no_such_key};
use super::info::{Attributes, Info};
use super::paging::{Page, Query};
use super::walk::{Walks, relative, walk};

pub(super) struct Files {
    root: PathBuf,
    only: Option<String>,
    walks: Walks,
}

impl Files {
    pub(super) fn new(root: PathBuf, only: Option<String>) -> Self {
        Self { root, only, walks: Walks::default() }
    }

    fn path(&self, key: &str) -> S3Result<PathBuf> {
        let served = self.only.as_deref().is_none_or(|only| only == key);
        relative(key).filter(|_| served).map(|path| self.root.join(path)).ok_or_else(|| no_such_key(key))
    }

    pub(super) async fn info(&self, key: &str) -> S3Result<Info> {
        let (path, key) = (self.path(key)?, key.to_owned());
        blocking(move || Ok(info(&stat(&path, &key)?))).await
    }

    pub(super) async fn open(&self, key: &str) -> S3Result<(Info, Reader)> {
        let (path, key) = (self.path(key)?, key.to_owned());
        blocking(move || {
            let (identity, reader) = open(path, &key)?;
            Ok((info(&identity), reader))
        })
        .await
    }

    pub(super) async fn page(&self, query: Query) -> S3Result<Page> {
        let (root, only) = (self.root.clone(), self.only.clone());
        let list = move |prefix: &str| match only {
            Some(only) => {
                let path = relative(&only).map(|path| root.join(path)).ok_or_else(|| no_such_key(&only))?;
                let identity = stat(&path, &only)?;
                Ok(vec![(only, identity)])
            }
            None => walk(&root, prefix)?
                .ok_or_else(|| s3_error!(NoSuchBucket, "listing {}: there is no such directory", root.display())),
        };
        self.walks.page(query, list).await
    }
}

fn info(identity: &Identity) -> Info {
    Info {
        bytes: identity.bytes,
        etag: identity.etag(),
        modified: identity.modified(),
        attributes: Arc::new(Attributes::default()),
    }
}

/// Returns the identity of the regular file at `path`.
pub(super) fn stat(path: &Path, key: &str) -> S3Result<Identity> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(Identity::of(&meta)),
        Ok(_) => Err(no_such_key(key)),
        Err(err) if is_absent(&err) => Err(no_such_key(key)),
        Err(err) => Err(io_error("looking up", path, &err)),
    }
}

/// Opens the regular file at `path`.
pub(super) fn open(path: PathBuf, key: &str) -> S3Result<(Identity, Reader)> {
    stat(&path, key)?;
    match open_regular(&path) {
        Ok(Some((file, identity))) => Ok((identity, Reader::in_place(file, path, identity))),
        Ok(None) => Err(no_such_key(key)),
        Err(err) if is_absent(&err) => Err(no_such_key(key)),
        Err(err) => Err(io_error("opening", &path, &err)),
    }
}

fn open_regular(path: &Path) -> io::Result<Option<(File, Identity)>> {
    // Does not wait if the file has become a pipe since it was looked up.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    Ok(meta.is_file().then(|| (file, Identity::of(&meta))))
}
