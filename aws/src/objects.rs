//! Objects in S3: pinned ranged reads, conditional writes, paged listing, deletion.

use crate::errors::{Doing, causes, code};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, EncodingType, ObjectIdentifier};
use bytes::Bytes;
use kinglet_core::{Error, Result, limits};
use percent_encoding::NON_ALPHANUMERIC;

/// A bucket's objects.
#[derive(Clone)]
pub struct Objects {
    pub(crate) s3: aws_sdk_s3::Client,
}

/// An object as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// With its quotes.
    pub etag: String,
    /// In bytes.
    pub size: u64,
}

/// What became of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was written; the ETag.
    Written(String),
    /// Something is there already; nothing was written.
    Exists,
}

/// Whether a write may replace what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Write whatever is there.
    Yes,
    /// Write only where nothing is: of several that race, one wins.
    No,
}

/// How often one range is asked for again when its body breaks off.
const BODY_TRIES: u32 = 4;

impl Objects {
    /// Objects through this client.
    pub fn new(s3: aws_sdk_s3::Client) -> Self {
        Objects { s3 }
    }

    pub(crate) fn doing(&self, what: String) -> Doing<String> {
        Doing::now(what).in_region(self.s3.config().region().map(ToString::to_string))
    }

    /// Creates a bucket, where `template.yaml` does not. One of one's own that is there already is left as it is.
    ///
    /// # Errors
    /// What S3 reports.
    pub async fn create_bucket(&self, bucket: &str) -> Result<()> {
        let doing = self.doing(format!("creating bucket {bucket}"));
        match self.s3.create_bucket().bucket(bucket).send().await {
            Ok(_) => Ok(()),
            // In us-east-1 this is no error. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>
            Err(e) if code(&e).as_deref() == Some("BucketAlreadyOwnedByYou") => Ok(()),
            Err(e) => Err(doing.failed(&e)),
        }
    }

    /// Reads a whole object, or `from..to` of it, into memory.
    ///
    /// # Errors
    /// [`Error::Input`] with `object-missing` when there is none.
    pub async fn get(&self, bucket: &str, key: &str, range: Option<(u64, u64)>) -> Result<Bytes> {
        let doing = self.doing(format!("reading s3://{bucket}/{key}"));
        let mut tries = 0;
        loop {
            tries += 1;
            let range = range.map(|(from, to)| format!("bytes={from}-{}", to - 1));
            let got = self.s3.get_object().bucket(bucket).key(key).set_range(range).send().await;
            match got.map_err(|e| doing.failed(&e))?.body.collect().await {
                Ok(body) => return Ok(body.into_bytes()),
                Err(e) if tries == BODY_TRIES => {
                    return Err(Error::service("body", format!("reading s3://{bucket}/{key}: {}", causes(&e))));
                }
                Err(_) => {}
            }
        }
    }

    /// Reads `from..to` of an object as a stream: of the version that has this ETag, where one is given. `shown` is what
    /// errors call it.
    pub fn read(&self, bucket: &str, key: &str, etag: Option<&str>, from: u64, to: u64, shown: &str) -> RangeReader {
        RangeReader {
            s3: self.s3.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            etag: etag.map(str::to_owned),
            shown: shown.to_owned(),
            at: from,
            to,
            body: None,
            tries: 0,
        }
    }

    /// Writes an object.
    ///
    /// # Errors
    /// What S3 reports.
    pub async fn put(&self, bucket: &str, key: &str, body: Bytes, replace: Replace) -> Result<Put> {
        self.put_with(bucket, key, body, replace, None).await
    }

    /// [`Self::put`] of an object with metadata: a name and a value.
    pub(crate) async fn put_with(
        &self,
        bucket: &str,
        key: &str,
        body: Bytes,
        replace: Replace,
        metadata: Option<(&str, String)>,
    ) -> Result<Put> {
        let doing = self.doing(format!("writing s3://{bucket}/{key} ({} bytes)", body.len()));
        let none_match = (replace == Replace::No).then(|| "*".to_owned());
        let put = self.s3.put_object().bucket(bucket).key(key).set_if_none_match(none_match);
        let put = metadata.into_iter().fold(put, |put, (name, value)| put.metadata(name, value));
        // The body goes out with a CRC-32 that S3 checks; a SHA-256 in the signature as well would cost more than the rest.
        match put.body(ByteStream::from(body)).customize().disable_payload_signing().send().await {
            Ok(put) => Ok(Put::Written(put.e_tag.unwrap_or_default())),
            Err(e) if replace == Replace::No && is_taken(code(&e).as_deref()) => Ok(Put::Exists),
            Err(e) => Err(doing.failed(&e)),
        }
    }

    /// The size and ETag of an object, if it is there.
    ///
    /// # Errors
    /// What S3 reports, but for its absence.
    pub async fn head(&self, bucket: &str, key: &str) -> Result<Option<Listed>> {
        let doing = self.doing(format!("looking at s3://{bucket}/{key}"));
        match self.s3.head_object().bucket(bucket).key(key).send().await {
            Ok(head) => Ok(Some(Listed {
                key: key.to_owned(),
                etag: head.e_tag.unwrap_or_default(),
                size: head.content_length.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            })),
            Err(e) if matches!(code(&e).as_deref(), Some("NotFound" | "NoSuchKey")) => Ok(None),
            Err(e) => Err(doing.failed(&e)),
        }
    }

    /// The next page of the objects whose keys start with `prefix`; `None` for the first, and `None` back after the last.
    ///
    /// # Errors
    /// What S3 reports.
    pub async fn list_page(
        &self,
        bucket: &str,
        prefix: &str,
        page: Option<String>,
    ) -> Result<(Vec<Listed>, Option<String>)> {
        let doing = self.doing(format!("listing s3://{bucket}/{prefix}"));
        // A key may hold characters that XML cannot: they come percent-encoded.
        let request = self.s3.list_objects_v2().bucket(bucket).prefix(prefix).encoding_type(EncodingType::Url);
        let request = request.set_continuation_token(page);
        let got = request.send().await.map_err(|e| doing.failed(&e))?;
        let more = if got.is_truncated.unwrap_or(false) { got.next_continuation_token } else { None };
        let listed = got.contents.unwrap_or_default().into_iter().map(|object| Listed {
            key: decode(&object.key.unwrap_or_default()),
            etag: object.e_tag.unwrap_or_default(),
            size: object.size.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        });
        Ok((listed.collect(), more))
    }

    /// All objects whose keys start with `prefix`.
    ///
    /// # Errors
    /// What S3 reports.
    pub async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<Listed>> {
        let (mut all, mut page) = (Vec::new(), None);
        loop {
            let (listed, more) = self.list_page(bucket, prefix, page).await?;
            all.extend(listed);
            page = more;
            if page.is_none() {
                return Ok(all);
            }
        }
    }

    /// Copies an object of at most 5 GB, S3's limit for one request, within S3; both are given as bucket and key.
    ///
    /// # Errors
    /// What S3 reports.
    pub async fn copy(&self, from: (&str, &str), to: (&str, &str)) -> Result<()> {
        let doing = self.doing(format!("copying s3://{}/{} to s3://{}/{}", from.0, from.1, to.0, to.1));
        let source = format!("{}/{}", from.0, percent_encoding::utf8_percent_encode(from.1, NON_ALPHANUMERIC));
        let request = self.s3.copy_object().bucket(to.0).key(to.1).copy_source(source);
        request.send().await.map(|_| ()).map_err(|e| doing.failed(&e))
    }

    /// Deletes objects; those that are not there count as deleted.
    ///
    /// # Errors
    /// What S3 reports, of the first key that it could not delete.
    pub async fn delete(&self, bucket: &str, keys: &[String]) -> Result<()> {
        for keys in keys.chunks(limits::DELETE_OBJECTS_MAX) {
            let doing = self.doing(format!("deleting {} objects of s3://{bucket}, {} first", keys.len(), keys[0]));
            let ids = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build());
            let ids = ids.collect::<Result<Vec<_>, _>>().map_err(|e| Error::input("rejected", causes(&e)))?;
            let delete = Delete::builder().set_objects(Some(ids)).quiet(true).build();
            let delete = delete.map_err(|e| Error::input("rejected", causes(&e)))?;
            let done =
                self.s3.delete_objects().bucket(bucket).delete(delete).send().await.map_err(|e| doing.failed(&e))?;
            if let Some(failed) = done.errors().first() {
                let (key, said) = (failed.key().unwrap_or("?"), failed.message().unwrap_or("no message"));
                return Err(Error::input("access-denied", format!("deleting s3://{bucket}/{key}: {said}")));
            }
        }
        Ok(())
    }
}

/// A key as S3 encodes it in listings: percent-encoded, a space as `+`.
fn decode(key: &str) -> String {
    let spaced = key.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// Whether a conditional write lost: to what is there, or to another that is being written right now.
pub(crate) fn is_taken(code: Option<&str>) -> bool {
    matches!(code, Some("PreconditionFailed" | "ConditionalRequestConflict"))
}

/// Whether a pinned read found another version, or none.
fn is_another_version(code: Option<&str>) -> bool {
    matches!(code, Some("PreconditionFailed" | "NoSuchKey" | "NotFound" | "InvalidRange"))
}

/// A range being read. When its body breaks off, the rest is asked for again, of the same version.
pub struct RangeReader {
    s3: aws_sdk_s3::Client,
    bucket: String,
    key: String,
    etag: Option<String>,
    shown: String,
    at: u64,
    to: u64,
    body: Option<ByteStream>,
    tries: u32,
}

impl RangeReader {
    /// The next bytes; `None` at the end of the range.
    ///
    /// # Errors
    /// [`Error::Input`] with `object-changed` when the object is no longer the version that was asked for.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.at < self.to {
            let broken = match &mut self.body {
                None => {
                    self.body = Some(self.open().await?);
                    continue;
                }
                Some(body) => match body.next().await {
                    Some(Ok(bytes)) if bytes.is_empty() => continue,
                    Some(Ok(bytes)) => {
                        self.at += bytes.len() as u64;
                        return Ok(Some(bytes));
                    }
                    Some(Err(e)) => causes(&e),
                    None => "the body ended early".to_owned(),
                },
            };
            self.body = None;
            self.tries += 1;
            if self.tries == BODY_TRIES {
                let message = format!("reading {} at byte {}: {broken} (attempt {})", self.shown, self.at, self.tries);
                return Err(Error::service("body", message));
            }
        }
        Ok(None)
    }

    async fn open(&self) -> Result<ByteStream> {
        let doing = Doing::now(format!("reading {} bytes {}..{}", self.shown, self.at, self.to))
            .in_region(self.s3.config().region().map(ToString::to_string));
        let request = self.s3.get_object().bucket(&self.bucket).key(&self.key);
        let request = request.range(format!("bytes={}-{}", self.at, self.to - 1)).set_if_match(self.etag.clone());
        match request.send().await {
            Ok(got) => Ok(got.body),
            Err(e) if self.etag.is_some() && is_another_version(code(&e).as_deref()) => {
                Err(Error::input("object-changed", format!("reading {}: it changed while the job ran", self.shown))
                    .with_hint("run the job again when nothing writes to its input"))
            }
            Err(e) => Err(doing.failed(&e)),
        }
    }
}
