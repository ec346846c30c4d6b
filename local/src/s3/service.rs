//! What every operation works on: the store, and the bucket that a request names.

use std::sync::Arc;

use s3s::S3Result;

use super::bucket::Bucket;
use super::errors::no_such_bucket;
use super::{Store, read};

pub(super) struct Service {
    pub(super) store: Arc<Store>,
}

impl Service {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    pub(super) fn bucket(&self, name: &str) -> S3Result<Arc<Bucket>> {
        read(&self.store.buckets).get(name).cloned().ok_or_else(|| no_such_bucket(name))
    }
}
