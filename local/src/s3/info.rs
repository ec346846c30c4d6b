//! What is known of an object besides its bytes, in a bucket of any kind.

use std::sync::Arc;
use std::time::SystemTime;

use s3s::dto::{Checksum, Metadata, Timestamp};

/// The attributes that a client gives an object and gets back with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) expires: Option<Timestamp>,
    pub(super) user: Option<Metadata>,
    /// The checksums that came with the upload and were verified.
    pub(super) checksum: Checksum,
}

/// An object without its bytes.
#[derive(Debug, Clone)]
pub(super) struct Info {
    pub(super) bytes: u64,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) modified: SystemTime,
    pub(super) attributes: Arc<Attributes>,
}
