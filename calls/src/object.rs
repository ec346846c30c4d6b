//! An object of S3 as the input of a call.

use crate::context::Context;
use bytes::Bytes;
use kinglet_aws::objects::{Address, Pinned};
use kinglet_core::Result;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An object of S3 that a function is called for, as a listing, a manifest or an inventory has named it.
///
/// [`Context::read`] reads it: the version that is named, and only if it still has the ETag that is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct S3Object {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its version, where one is named; otherwise the current one is meant.
    pub version_id: Option<String>,
    /// Its ETag, with the quotes, where one is known.
    pub etag: Option<String>,
    /// Its size in bytes, where that is known. An inventory may say what was so a day ago.
    pub size: Option<u64>,
}

impl S3Object {
    /// Names the current version of an object.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Self {
        S3Object { bucket: bucket.into(), key: key.into(), version_id: None, etag: None, size: None }
    }

    /// Returns its URI, `s3://BUCKET/KEY`, which names no version.
    pub fn uri(&self) -> String {
        self.to_string()
    }

    fn pinned(&self) -> Pinned<'_> {
        let at = Address { bucket: &self.bucket, key: &self.key };
        Pinned { at, version_id: self.version_id.as_deref(), etag: self.etag.as_deref() }
    }
}

impl fmt::Display for S3Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pinned().at.fmt(f)
    }
}

impl Context {
    /// Reads an object into memory as it was found: the version that is named, with the ETag that is named.
    ///
    /// # Errors
    /// Returns [`Error::Input`](kinglet_core::Error::Input) when there is no such object or version (`object-missing`), when it has
    /// changed since it was found (`object-changed`), when its bucket is missing (`bucket-missing`) or the function's role may not read
    /// it (`access-denied`). Otherwise returns a service error (`throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn read(&self, object: &S3Object) -> Result<Bytes> {
        self.objects().get_pinned(object.pinned(), None).await
    }

    /// Reads the bytes `from..to` of an object, as [`Context::read`] reads all of them. What lies behind its end is left out.
    ///
    /// # Errors
    /// As [`Context::read`]; `range` when it begins behind the object's end.
    pub async fn read_range(&self, object: &S3Object, from: u64, to: u64) -> Result<Bytes> {
        self.objects().get_pinned(object.pinned(), Some((from, to))).await
    }

    /// Does what [`Context::read`] does, for plain functions.
    ///
    /// # Errors
    /// As [`Context::read`].
    pub fn blocking_read(&self, object: &S3Object) -> Result<Bytes> {
        self.wait(self.read(object))
    }

    /// Does what [`Context::read_range`] does, for plain functions.
    ///
    /// # Errors
    /// As [`Context::read_range`].
    pub fn blocking_read_range(&self, object: &S3Object, from: u64, to: u64) -> Result<Bytes> {
        self.wait(self.read_range(object, from, to))
    }
}
