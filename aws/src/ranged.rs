//! An object as a decoder reads it that asks for ranges: from a thread that computes and waits for them.

use crate::objects::Objects;
use bytes::Bytes;
use kinglet_core::{ByteRange, Code, Error, Fetched, RangedObject, Result};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// One version of an object of S3.
#[derive(Clone)]
pub struct Ranged {
    objects: Objects,
    bucket: String,
    key: String,
    etag: String,
    shown: String,
    /// Sends the requests.
    runtime: Handle,
}

impl Objects {
    /// Returns the version of an object that has this ETag, for reading by ranges. Errors call it `shown`. To be called where
    /// Tokio runs; ranges may then be asked for anywhere.
    pub fn ranged(&self, bucket: &str, key: &str, etag: &str, shown: &str) -> Ranged {
        Ranged {
            objects: self.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            etag: etag.to_owned(),
            shown: shown.to_owned(),
            runtime: Handle::current(),
        }
    }
}

impl RangedObject for Ranged {
    fn name(&self) -> &str {
        &self.shown
    }

    fn fetch(&self, range: ByteRange) -> Box<dyn Fetched> {
        let Ranged { objects, bucket, key, etag, shown, runtime } = self;
        let (sender, receiver) = oneshot::channel();
        let mut reader = objects.read(bucket, key, Some(etag), range.from, range.to, shown);
        runtime.spawn(async move {
            // Whoever wanted it may have stopped.
            let _ = sender.send(reader.all().await.map(Bytes::from));
        });
        Box::new(Fetching(receiver))
    }
}

struct Fetching(oneshot::Receiver<Result<Bytes>>);

impl Fetched for Fetching {
    fn wait(self: Box<Self>) -> Result<Bytes> {
        let stopped = |_| Error::new(Code::Engine, "the program's requests have stopped");
        self.0.blocking_recv().map_err(stopped)?
    }
}
