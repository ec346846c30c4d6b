//! One bucket, of any kind.
//!
//! The kinds differ only in where bytes lie and in what makes a write atomic. So this is an enum that dispatches, not a
//! trait: the set is closed, and each method shows all three answers side by side.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use s3s::dto::Checksum;
use s3s::{S3Result, s3_error};

use super::Now;
use super::blobs::Blobs;
use super::conditions::WriteCondition;
use super::content::{Payload, Piece, Reader};
use super::directory::Directory;
use super::errors::read_only;
use super::files::Files;
use super::info::{Attributes, Info};
use super::paging::{Page, Query};
use super::receive::{Announced, receive};
use super::spool::Spool;

pub(super) struct Bucket {
    pub(super) created: SystemTime,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Blobs(Blobs),
    Files(Files),
    Directory(Arc<Directory>),
}

impl Kind {
    pub(super) fn blobs(spool: &Arc<Spool>, now: &Now) -> Self {
        Kind::Blobs(Blobs::new(spool.clone(), now.clone()))
    }

    pub(super) fn files(root: PathBuf, only: Option<String>) -> Self {
        Kind::Files(Files::new(root, only))
    }

    pub(super) fn directory(root: PathBuf) -> Self {
        Kind::Directory(Arc::new(Directory::new(root)))
    }
}

impl Bucket {
    /// Returns the object as it is now, or `NoSuchKey`.
    pub(super) async fn info(&self, key: &str) -> S3Result<Info> {
        match &self.kind {
            Kind::Blobs(blobs) => blobs.info(key),
            Kind::Files(files) => files.info(key).await,
            Kind::Directory(directory) => directory.info(key).await,
        }
    }

    /// Opens the object. Its bytes stay as they are or fail to be read, whatever happens to the object.
    pub(super) async fn open(&self, key: &str) -> S3Result<(Info, Reader)> {
        match &self.kind {
            Kind::Blobs(blobs) => blobs.pieces(key).map(|(info, pieces)| (info, Reader::of_pieces(&pieces))),
            Kind::Files(files) => files.open(key).await,
            Kind::Directory(directory) => directory.open(key).await,
        }
    }

    /// Returns the object's pieces, if another object can share them.
    pub(super) fn pieces(&self, key: &str) -> Option<S3Result<(Info, Vec<Piece>)>> {
        match &self.kind {
            Kind::Blobs(blobs) => Some(blobs.pieces(key)),
            Kind::Files(_) | Kind::Directory(_) => None,
        }
    }

    /// Fails early if `key` cannot be written, or not under `condition`.
    pub(super) async fn check_write(&self, key: &str, condition: &WriteCondition) -> S3Result<()> {
        let current = match &self.kind {
            Kind::Files(_) => return Err(read_only(key)),
            Kind::Blobs(blobs) => blobs.info(key),
            Kind::Directory(directory) => {
                directory.check_key(key)?;
                if condition.if_match.is_none() && condition.if_none_match.is_none() {
                    return Ok(());
                }
                directory.info(key).await
            }
        };
        condition.check(key, current.ok().map(|info| info.etag).as_deref())
    }

    /// Receives bytes that are to become `key`.
    pub(super) async fn receive(
        &self,
        key: &str,
        body: Option<s3s::dto::StreamingBlob>,
        announced: Announced,
    ) -> S3Result<(Payload, Checksum)> {
        match &self.kind {
            Kind::Blobs(blobs) => receive(blobs.spool().clone(), body, announced).await,
            Kind::Files(_) => Err(read_only(key)),
            Kind::Directory(directory) => receive(directory.place(key)?, body, announced).await,
        }
    }

    /// Makes `payload` the object `key`, if `condition` still holds at that instant.
    pub(super) async fn put(
        &self,
        key: &str,
        payload: Payload,
        attributes: Attributes,
        condition: WriteCondition,
    ) -> S3Result<Info> {
        match &self.kind {
            Kind::Blobs(blobs) => blobs.put(key, payload, attributes, &condition),
            Kind::Files(_) => Err(read_only(key)),
            Kind::Directory(directory) => directory.put(key, payload, attributes, condition).await,
        }
    }

    /// Deletes the object, if there is one.
    pub(super) async fn delete(&self, key: &str, condition: WriteCondition) -> S3Result<()> {
        match &self.kind {
            Kind::Blobs(blobs) => blobs.delete(key, &condition),
            Kind::Files(_) => Err(read_only(key)),
            Kind::Directory(directory) => directory.delete(key, condition).await,
        }
    }

    /// Returns one page of the listing.
    pub(super) async fn page(&self, query: Query) -> S3Result<Page> {
        match &self.kind {
            Kind::Blobs(blobs) => Ok(blobs.page(&query)),
            Kind::Files(files) => files.page(query).await,
            Kind::Directory(directory) => directory.page(query).await,
        }
    }

    /// Checks that the bucket itself may be removed: it must be empty, and must not show a directory of the user's.
    pub(super) fn check_removable(&self) -> S3Result<()> {
        match &self.kind {
            Kind::Blobs(blobs) if blobs.is_empty() => Ok(()),
            Kind::Blobs(_) => Err(s3_error!(BucketNotEmpty)),
            Kind::Files(_) | Kind::Directory(_) => {
                Err(s3_error!(AccessDenied, "the bucket shows a local directory and cannot be deleted"))
            }
        }
    }
}
