//! S3: the embedded server's buckets behind a model of what S3 refuses.

use super::rates::Rates;
use super::{ACCESS_KEY, Asked, Parts, SECRET_KEY, plain};
use crate::chance::Chance;
use crate::machine::Reply;
use bytes::Bytes;
use http_body_util::BodyExt;
use kinglet_core::model;
use kinglet_local::s3::{BucketKind, Keys, Now, Signed, Store, service};
use s3s::service::S3Service;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The buckets of the region.
pub const BUCKETS: [&str; 3] = ["kinglet-work", "input", "output"];

/// S3 in the region.
pub struct S3 {
    service: S3Service,
    /// What completing an upload was answered, by the request's path and query.
    completed: Mutex<HashMap<String, Reply>>,
    writes: Rates,
    reads: Rates,
}

/// Returns the operation and the object of a request.
pub fn name(parts: &Parts) -> (String, String) {
    let query = parts.uri.query().unwrap_or_default();
    let mut names: Vec<&str> =
        query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty()).collect();
    names.retain(|name| *name != "x-id");
    names.sort_unstable();
    let names = names.join("&");
    let path = parts.uri.path().trim_start_matches('/');
    let operation = if names.is_empty() { parts.method.to_string() } else { format!("{}?{names}", parts.method) };
    (operation, plain(path))
}

impl S3 {
    /// Returns S3 with its buckets. It counts a prefix's rates by bucket and first folders.
    pub fn open(dir: &Path, now: Now, scarcity: u64) -> std::io::Result<Self> {
        let store = Store::simulated(dir, now)?;
        for bucket in BUCKETS {
            store.create_bucket(bucket, BucketKind::Blobs).map_err(std::io::Error::other)?;
        }
        let keys = Keys { access_key: ACCESS_KEY.to_owned(), secret_key: SECRET_KEY.to_owned() };
        Ok(S3 {
            service: service(store, keys, Signed::Ever),
            completed: Mutex::default(),
            writes: Rates::new(u64::from(model::s3::WRITES_PER_PREFIX_PER_S) / scarcity, 1.0),
            reads: Rates::new(u64::from(model::s3::READS_PER_PREFIX_PER_S) / scarcity, 1.0),
        })
    }

    /// Serves a request.
    pub async fn serve(&self, asked: &Asked, chance: &Chance) -> Reply {
        let rates = if asked.parts.method == http::Method::GET || asked.parts.method == http::Method::HEAD {
            &self.reads
        } else {
            &self.writes
        };
        if !rates.take(prefix(asked.parts.uri.path()), 1.0) {
            return refusal(503, "SlowDown", "Please reduce your request rate.");
        }
        let completes = asked.operation == "POST?uploadId";
        let name = asked.parts.uri.to_string();
        // An upload that is completed once more: either answer may come, see the model of AWS.
        if completes
            && let Some(before) = self.lock().get(&name).cloned()
            && chance.hits(500_000)
        {
            return before;
        }
        let mut request = http::Request::new(s3s::Body::from(asked.body.clone()));
        *request.method_mut() = asked.parts.method.clone();
        *request.uri_mut() = asked.parts.uri.clone();
        *request.headers_mut() = asked.parts.headers.clone();
        let answered = match self.service.call(request).await {
            Ok(answered) => answered,
            Err(error) => return refusal(500, "InternalError", &format!("{error:?}")),
        };
        let (parts, body) = answered.into_parts();
        let reply = match body.collect().await {
            Ok(body) => Reply { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes() },
            Err(error) => return refusal(500, "InternalError", &error.to_string()),
        };
        // The status comes first, and an error may follow in the body.
        if completes && reply.status == 200 && String::from_utf8_lossy(&reply.body).contains("<ETag>") {
            self.lock().insert(name, reply.clone());
        }
        reply
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Reply>> {
        self.completed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what S3 counts requests by: here, the bucket and the first two folders of a key.
fn prefix(path: &str) -> &str {
    let ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).take(4).collect();
    ends.get(3).map_or(path, |end| &path[..*end])
}

/// Returns an error of S3.
pub fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("application/xml"));
    Reply { status, headers, body: Bytes::from(body) }
}
