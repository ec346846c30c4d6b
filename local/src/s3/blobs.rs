//! A `Blobs` bucket: an index in memory over immutable pieces.
//!
//! The index learns of bytes only when they are complete, so its lock is held for a lookup or an insertion and never across
//! I/O. An insertion checks its condition under the same lock: of many racing conditional writes, exactly one wins.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, RwLock};

use s3s::S3Result;

use super::conditions::WriteCondition;
use super::content::{Payload, Piece};
use super::errors::no_such_key;
use super::info::{Attributes, Info};
use super::paging::{Entry, Page, Query, page};
use super::spool::Spool;
use super::{Now, read, write};

pub(super) struct Blobs {
    spool: Arc<Spool>,
    now: Now,
    index: RwLock<BTreeMap<String, Arc<Blob>>>,
}

struct Blob {
    info: Info,
    pieces: Vec<Piece>,
}

impl Blobs {
    pub(super) fn new(spool: Arc<Spool>, now: Now) -> Self {
        Self { spool, now, index: RwLock::default() }
    }

    pub(super) fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }

    pub(super) fn is_empty(&self) -> bool {
        read(&self.index).is_empty()
    }

    pub(super) fn info(&self, key: &str) -> S3Result<Info> {
        self.get(key).map(|blob| blob.info.clone())
    }

    pub(super) fn pieces(&self, key: &str) -> S3Result<(Info, Vec<Piece>)> {
        self.get(key).map(|blob| (blob.info.clone(), blob.pieces.clone()))
    }

    fn get(&self, key: &str) -> S3Result<Arc<Blob>> {
        read(&self.index).get(key).cloned().ok_or_else(|| no_such_key(key))
    }

    pub(super) fn put(
        &self,
        key: &str,
        payload: Payload,
        attributes: Attributes,
        condition: &WriteCondition,
    ) -> S3Result<Info> {
        let info = Info {
            bytes: payload.bytes(),
            etag: payload.etag,
            modified: (self.now)(),
            attributes: Arc::new(attributes),
        };
        let blob = Arc::new(Blob { info: info.clone(), pieces: payload.pieces });
        let replaced = {
            let mut index = write(&self.index);
            condition.check(key, index.get(key).map(|blob| blob.info.etag.as_str()))?;
            index.insert(key.to_owned(), blob)
        };
        // Dropped only after the lock is released, as this may remove a file.
        drop(replaced);
        Ok(info)
    }

    pub(super) fn delete(&self, key: &str, condition: &WriteCondition) -> S3Result<()> {
        let deleted = {
            let mut index = write(&self.index);
            condition.check(key, index.get(key).map(|blob| blob.info.etag.as_str()))?;
            index.remove(key)
        };
        drop(deleted);
        Ok(())
    }

    pub(super) fn page(&self, query: &Query) -> Page {
        let index = read(&self.index);
        page(
            query,
            |from: Bound<&str>| index.range::<str, _>((from, Bound::Unbounded)).map(|(key, blob)| (key.as_str(), blob)),
            |key, blob| Entry {
                key: key.to_owned(),
                bytes: blob.info.bytes,
                etag: blob.info.etag.clone(),
                modified: blob.info.modified,
            },
        )
    }
}
