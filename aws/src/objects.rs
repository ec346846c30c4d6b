//! Objects in S3: ranged reads of one version, conditional writes, paged listing, deletion.

use crate::clients::{Clients, patience_for};
use crate::errors::{Doing, causes, code};
use crate::pace::Pace;
use crate::replies::{Pause, Refusal, of_read, of_write};
use crate::request::{Answer, Reply, Request};
use crate::second::SecondReads;
use aws_sdk_s3::operation::create_multipart_upload::builders::CreateMultipartUploadFluentBuilder;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use aws_sdk_s3::types::{Delete, EncodingType, ObjectIdentifier};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::ids::Timestamp;
use kinglet_core::wire::record::OpenUpload;
use kinglet_core::{Code, Error, Result, limits};
use percent_encoding::NON_ALPHANUMERIC;
use std::collections::HashMap;
use std::fmt;

/// A client of S3's objects.
#[derive(Clone)]
pub struct Objects {
    pub(crate) s3: aws_sdk_s3::Client,
    reads: Reads,
}

/// How reads are sent: not too many at once, and again where no answer comes.
#[derive(Clone)]
struct Reads {
    pace: Pace,
    second: SecondReads,
}

impl Reads {
    async fn reply<T, E>(&self, send: impl Fn() -> Reply<T, E>) -> Answer<T, E> {
        let _slot = self.pace.slot().await;
        self.second.reply(send).await
    }
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its ETag, with the quotes.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, by S3's clock.
    pub modified: Timestamp,
}

/// The address of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// Its bucket.
    pub bucket: &'a str,
    /// Its key in the bucket.
    pub key: &'a str,
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// An object as somebody found it, to be read as it was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned<'a> {
    /// Its bucket and its key.
    pub at: Address<'a>,
    /// The version to be read, of a bucket that keeps versions; otherwise the current one.
    pub version_id: Option<&'a str>,
    /// The ETag that it must have.
    pub etag: Option<&'a str>,
}

/// A folder of a bucket: what lies directly in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// The objects.
    pub objects: Vec<Listed>,
    /// The folders, each as the prefix of its keys, which ends in `/`.
    pub folders: Vec<String>,
}

/// A page of a bucket's objects, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The objects.
    pub objects: Vec<Listed>,
    /// The token of the next page; `None` after the last.
    pub next: Option<String>,
}

/// An object that could not be deleted.
struct Undeleted {
    key: String,
    error: Error,
}

/// A small object, read as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its ETag, with the quotes.
    pub etag: String,
    /// When it was written, by S3's clock.
    pub modified: Timestamp,
}

/// The result of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was written; the ETag.
    Written(String),
    /// The condition does not hold; nothing was written.
    Refused,
}

/// Whether a write may replace what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Write whatever is there.
    Yes,
    /// Write only where nothing is: of several that race, one wins.
    No,
    /// Write only in place of the version that has this ETag.
    Only(String),
}

impl Replace {
    /// Returns the headers `If-None-Match` and `If-Match`.
    pub(crate) fn headers(&self) -> (Option<String>, Option<String>) {
        match self {
            Replace::Yes => (None, None),
            Replace::No => (Some("*".to_owned()), None),
            Replace::Only(etag) => (None, Some(etag.clone())),
        }
    }
}

/// The result of completing an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completed {
    /// The object is there; its ETag.
    Done(String),
    /// The condition does not hold; the upload is as it was.
    Refused,
    /// The upload is gone. What is there, if anything, may or may not have come of it.
    Gone,
}

/// A refused conditional write of at most this size is read back, to see whether it was done before and its reply was lost. A
/// larger object has a key that no one else writes to.
const READ_BACK_BYTES_MAX: usize = 4 << 20;

/// The most bytes of a claim or a manifest (1 GiB), which are read whole: anybody may have put something else in their place.
pub const SMALL_BYTES_MAX: u64 = 1 << 30;

/// Refuses an object that is larger than it can be, before it is read. S3 always says how long a body is.
fn check_size(at: Address<'_>, bytes: Option<i64>, bytes_max: u64) -> Result<()> {
    match bytes.and_then(|bytes| u64::try_from(bytes).ok()) {
        Some(bytes) if bytes > bytes_max => {
            let message = format!("reading {at}: it has {bytes} bytes, where at most {bytes_max} were expected");
            Err(Error::new(Code::ObjectTooLarge, message))
        }
        _ => Ok(()),
    }
}

/// An object and the metadata that it was written with.
pub(crate) struct Head {
    pub(crate) object: Listed,
    pub(crate) metadata: HashMap<String, String>,
}

/// Returns S3's time in milliseconds.
fn modified(at: Option<&DateTime>) -> Timestamp {
    Timestamp(at.and_then(|at| u64::try_from(at.secs()).ok()).unwrap_or(0) * 1_000)
}

/// How often an object is requested when its body breaks off, and a range in a row when its bodies bring not a byte.
const BODY_TRIES: u32 = 4;

/// How often one range is requested in all when its bodies break off, however far each of them came.
const BODIES_MAX: u32 = 100;

fn listed(object: aws_sdk_s3::types::Object) -> Listed {
    Listed {
        key: decode(&object.key.unwrap_or_default()),
        etag: object.e_tag.unwrap_or_default(),
        size: object.size.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        modified: modified(object.last_modified.as_ref()),
    }
}

/// Returns the request that begins an upload. It names the checksum that the SDK sends with each part, as S3 may refuse parts
/// with a checksum that the upload does not name. The one of the whole object follows from the parts', so that
/// `CompleteMultipartUpload` need not repeat these.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>
pub(crate) fn create_upload(s3: &aws_sdk_s3::Client, bucket: &str, key: &str) -> CreateMultipartUploadFluentBuilder {
    let request = s3.create_multipart_upload().bucket(bucket).key(key);
    request.checksum_algorithm(ChecksumAlgorithm::Crc32).checksum_type(ChecksumType::FullObject)
}

impl Objects {
    /// Returns the objects that this client reaches.
    pub fn new(clients: &Clients) -> Self {
        Objects {
            s3: clients.s3.clone(),
            reads: Reads { pace: clients.pace.clone(), second: clients.second_reads.clone() },
        }
    }

    /// Returns the region that requests go to.
    pub(crate) fn region(&self) -> Option<String> {
        self.s3.config().region().map(ToString::to_string)
    }

    /// Starts a multipart upload. Returns its upload id.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub(crate) async fn begin_upload(&self, bucket: &str, key: &str) -> Result<String> {
        let what = format!("starting the upload of s3://{bucket}/{key}");
        let (doing, mut pause) = (self.doing(what.clone()), Pause::default());
        loop {
            match create_upload(&self.s3, bucket, key).reply().await {
                Ok(begun) => return Ok(begun.upload_id.unwrap_or_default()),
                Err(e) if of_write(code(&e).as_deref()) == Refusal::Conflict => pause.wait(&what).await?,
                Err(e) => return Err(doing.failed(&e)),
            }
        }
    }

    pub(crate) fn doing(&self, what: String) -> Doing<String> {
        Doing::now(what).in_region(self.s3.config().region().map(ToString::to_string))
    }

    /// Creates a bucket where `template.yaml` does not. A bucket that the account owns already is left as it is.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn create_bucket(&self, bucket: &str) -> Result<()> {
        let doing = self.doing(format!("creating bucket {bucket}"));
        match self.s3.create_bucket().bucket(bucket).reply().await {
            Ok(_) => Ok(()),
            // In us-east-1 this is no error. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>
            Err(e) if code(&e).as_deref() == Some("BucketAlreadyOwnedByYou") => Ok(()),
            Err(e) => Err(doing.failed(&e)),
        }
    }

    /// Reads a whole object, or its bytes `from..to`, into memory.
    ///
    /// # Errors
    /// Returns `object-missing` when there is no such object; `object-too-large` when more comes than was asked for; or a service
    /// error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn get(&self, bucket: &str, key: &str, range: Option<(u64, u64)>) -> Result<Bytes> {
        let bytes_max = range.map_or(u64::MAX, |(from, to)| to.saturating_sub(from));
        if bytes_max == 0 {
            return Ok(Bytes::new()); // There is no way to ask for nothing.
        }
        self.get_up_to(bucket, key, range, bytes_max).await
    }

    /// Reads a whole object of which we know that it cannot be larger than `bytes_max`.
    ///
    /// # Errors
    /// As [`Self::get`]; `object-too-large` is returned before the object is read.
    pub(crate) async fn get_whole(&self, bucket: &str, key: &str, bytes_max: u64) -> Result<Bytes> {
        self.get_up_to(bucket, key, None, bytes_max).await
    }

    async fn get_up_to(&self, bucket: &str, key: &str, range: Option<(u64, u64)>, bytes_max: u64) -> Result<Bytes> {
        let doing = self.doing(format!("reading s3://{bucket}/{key}"));
        let mut tries = 0;
        loop {
            tries += 1;
            let range = range.map(|(from, to)| format!("bytes={from}-{}", to - 1));
            let request = self.s3.get_object().bucket(bucket).key(key).set_range(range);
            let got = self.reads.reply(|| request.clone().reply()).await;
            let got = got.map_err(|e| doing.failed(&e))?;
            check_size(Address { bucket, key }, got.content_length, bytes_max)?;
            match got.body.collect().await {
                Ok(body) => return Ok(body.into_bytes()),
                Err(e) if tries == BODY_TRIES => {
                    return Err(Error::new(Code::Body, format!("reading s3://{bucket}/{key}: {}", causes(&e))));
                }
                Err(_) => {}
            }
        }
    }

    /// Reads an object as it was found, or its bytes `from..to`, into memory.
    ///
    /// # Errors
    /// Returns `object-missing` when there is no such object or no such version; `object-changed` when it has another ETag; or a service
    /// error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn get_pinned(&self, object: Pinned<'_>, range: Option<(u64, u64)>) -> Result<Bytes> {
        let Pinned { at: Address { bucket, key }, version_id, etag } = object;
        if range.is_some_and(|(from, to)| from >= to) {
            return Ok(Bytes::new()); // There is no way to ask for nothing.
        }
        let doing = self.doing(match version_id {
            Some(version) => format!("reading s3://{bucket}/{key}, version {version}"),
            None => format!("reading s3://{bucket}/{key}"),
        });
        let mut tries = 0;
        loop {
            tries += 1;
            let range = range.map(|(from, to)| format!("bytes={from}-{}", to - 1));
            let request = self.s3.get_object().bucket(bucket).key(key).set_range(range);
            let request = request.set_version_id(version_id.map(str::to_owned)).set_if_match(etag.map(str::to_owned));
            let got = self.reads.reply(|| request.clone().reply()).await.map_err(|e| match code(&e).as_deref() {
                Some("PreconditionFailed") => Error::new(
                    Code::ObjectChanged,
                    format!("reading s3://{bucket}/{key}: it has changed since it was listed"),
                )
                .with_hint("list it again; take a newer inventory if it came from one"),
                _ => doing.failed(&e),
            })?;
            match got.body.collect().await {
                Ok(body) => return Ok(body.into_bytes()),
                Err(e) if tries == BODY_TRIES => {
                    return Err(Error::new(Code::Body, format!("reading s3://{bucket}/{key}: {}", causes(&e))));
                }
                Err(_) => {}
            }
        }
    }

    /// Returns a reader of the bytes `from..to` of an object: of the version with this ETag, if one is given. Errors call the
    /// object `shown`.
    pub fn read(&self, bucket: &str, key: &str, etag: Option<&str>, from: u64, to: u64, shown: &str) -> RangeReader {
        RangeReader {
            s3: self.s3.clone(),
            reads: self.reads.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            etag: etag.map(str::to_owned),
            shown: shown.to_owned(),
            at: from,
            to,
            body: None,
            body_at: from,
            tries: 0,
            broken: 0,
        }
    }

    /// Writes an object.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn put(&self, bucket: &str, key: &str, body: Bytes, replace: Replace) -> Result<Put> {
        self.put_with(bucket, key, body, replace, None).await
    }

    /// Writes an object like [`Self::put`], with metadata: a name and a value.
    pub(crate) async fn put_with(
        &self,
        bucket: &str,
        key: &str,
        body: Bytes,
        replace: Replace,
        metadata: Option<(&str, String)>,
    ) -> Result<Put> {
        let doing = self.doing(format!("writing s3://{bucket}/{key} ({} bytes)", body.len()));
        let (none_match, only_match) = replace.headers();
        let mut pause = Pause::default();
        loop {
            let put = self.s3.put_object().bucket(bucket).key(key);
            let put = put.set_if_none_match(none_match.clone()).set_if_match(only_match.clone());
            let put = metadata.iter().fold(put, |put, (name, value)| put.metadata(*name, value));
            // S3 checks the body by its CRC-32. A SHA-256 in the signature as well would cost more than all the rest.
            let put = put.body(ByteStream::from(body.clone())).customize();
            let put = put.config_override(patience_for(body.len())).disable_payload_signing();
            let refused = match put.reply().await {
                Ok(put) => return Ok(Put::Written(put.e_tag.unwrap_or_default())),
                Err(e) => e,
            };
            match of_write(code(&refused).as_deref()) {
                Refusal::Conflict => pause.wait(&format!("writing s3://{bucket}/{key}: it is being written")).await?,
                Refusal::Unmet if replace != Replace::Yes => break,
                _ => return Err(doing.failed(&refused)),
            }
        }
        // The SDK may have sent the write again after a lost reply.
        if body.len() <= READ_BACK_BYTES_MAX
            && let Some(there) = self.read_small(bucket, key).await?
            && there.bytes == body
        {
            return Ok(Put::Written(there.etag));
        }
        Ok(Put::Refused)
    }

    /// Reads a small object with its ETag; `None` if there is none.
    ///
    /// # Errors
    /// Returns `object-too-large` when it has more than [`SMALL_BYTES_MAX`]; or a service error (`access-denied`, `throttled`,
    /// `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn read_small(&self, bucket: &str, key: &str) -> Result<Option<Read>> {
        let doing = self.doing(format!("reading s3://{bucket}/{key}"));
        let mut tries = 0;
        loop {
            tries += 1;
            let got = match self.s3.get_object().bucket(bucket).key(key).reply().await {
                Ok(got) => got,
                Err(e) if matches!(code(&e).as_deref(), Some("NotFound" | "NoSuchKey")) => return Ok(None),
                Err(e) => return Err(doing.failed(&e)),
            };
            check_size(Address { bucket, key }, got.content_length, SMALL_BYTES_MAX)?;
            let (etag, modified) = (got.e_tag.unwrap_or_default(), modified(got.last_modified.as_ref()));
            match got.body.collect().await {
                Ok(body) => return Ok(Some(Read { bytes: body.into_bytes(), etag, modified })),
                Err(e) if tries == BODY_TRIES => {
                    return Err(Error::new(Code::Body, format!("reading s3://{bucket}/{key}: {}", causes(&e))));
                }
                Err(_) => {}
            }
        }
    }

    /// Completes an upload: its object appears.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses; the
    /// object may then have appeared or not.
    pub async fn complete(&self, bucket: &str, key: &str, upload: &OpenUpload, replace: &Replace) -> Result<Completed> {
        let doing = self.doing(format!("finishing the upload of s3://{bucket}/{key}"));
        let etags = match &upload.etags[..] {
            [] => match self.upload_parts(bucket, key, &upload.id).await? {
                Some(etags) => etags,
                None => return Ok(Completed::Gone),
            },
            known => known.to_vec(),
        };
        let part = |(number, etag)| CompletedPart::builder().part_number(number).e_tag(etag).build();
        let parts: Vec<_> = (1..).zip(etags).map(part).collect();
        let (none_match, only_match) = replace.headers();
        let mut pause = Pause::default();
        loop {
            let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.clone())).build();
            let request = self.s3.complete_multipart_upload().bucket(bucket).key(key).upload_id(&upload.id);
            let request = request.multipart_upload(parts);
            let request = request.set_if_none_match(none_match.clone()).set_if_match(only_match.clone());
            let refused = match request.reply().await {
                Ok(done) => return Ok(Completed::Done(done.e_tag.unwrap_or_default())),
                Err(e) => e,
            };
            match of_write(code(&refused).as_deref()) {
                Refusal::Conflict => {
                    pause.wait(&format!("completing s3://{bucket}/{key}: it is being written")).await?
                }
                Refusal::UploadGone => return Ok(Completed::Gone),
                Refusal::Unmet if *replace != Replace::Yes => return Ok(Completed::Refused),
                _ => return Err(doing.failed(&refused)),
            }
        }
    }

    /// Lists the ETags of an upload's parts, in order; `None` when the upload is gone.
    async fn upload_parts(&self, bucket: &str, key: &str, id: &str) -> Result<Option<Vec<String>>> {
        let doing = self.doing(format!("listing the parts of an upload of s3://{bucket}/{key}"));
        let (mut etags, mut from) = (Vec::new(), None);
        loop {
            let request = self.s3.list_parts().bucket(bucket).key(key).upload_id(id).set_part_number_marker(from);
            let got = match request.reply().await {
                Ok(got) => got,
                Err(e) if of_write(code(&e).as_deref()) == Refusal::UploadGone => return Ok(None),
                Err(e) => return Err(doing.failed(&e)),
            };
            etags.extend(got.parts.unwrap_or_default().into_iter().filter_map(|part| part.e_tag));
            from = got.next_part_number_marker.filter(|_| got.is_truncated.unwrap_or(false));
            if from.is_none() {
                return Ok(Some(etags));
            }
        }
    }

    /// Lists the multipart uploads that are open, by key.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<LeftUpload>> {
        let doing = self.doing(format!("listing the uploads of s3://{bucket}/{prefix}"));
        let (mut found, mut from) = (Vec::new(), (None, None));
        loop {
            let request = self.s3.list_multipart_uploads().bucket(bucket).prefix(prefix);
            let request = request.set_key_marker(from.0).set_upload_id_marker(from.1);
            let got = request.reply().await.map_err(|e| doing.failed(&e))?;
            found.extend(got.uploads.unwrap_or_default().into_iter().filter_map(|upload| {
                let begun_at = modified(upload.initiated.as_ref());
                Some(LeftUpload { key: upload.key?, id: upload.upload_id?, begun_at })
            }));
            if !got.is_truncated.unwrap_or(false) {
                return Ok(found);
            }
            from = (got.next_key_marker, got.next_upload_id_marker);
        }
    }

    /// Aborts an open upload. One that is gone counts as aborted.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn abort_upload(&self, bucket: &str, key: &str, id: &str) -> Result<()> {
        let doing = self.doing(format!("aborting an upload of s3://{bucket}/{key}"));
        match self.s3.abort_multipart_upload().bucket(bucket).key(key).upload_id(id).reply().await {
            Ok(_) => Ok(()),
            Err(e) if of_write(code(&e).as_deref()) == Refusal::UploadGone => Ok(()),
            Err(e) => Err(doing.failed(&e)),
        }
    }

    /// Aborts open uploads, each of a key and an id, some at once. Those that are gone count as aborted.
    ///
    /// # Errors
    /// Returns the first error of [`Self::abort_upload`]; some may be open then.
    pub async fn abort_uploads(&self, bucket: &str, uploads: Vec<(String, String)>) -> Result<()> {
        for some in uploads.chunks(16 * limits::UPLOADS_COMPLETED_AT_ONCE) {
            // The futures are made before the stream: otherwise the compiler does not see that it is `Send`.
            let aborts: Vec<_> = some.iter().map(|(key, id)| self.abort_upload(bucket, key, id)).collect();
            let mut aborted = stream::iter(aborts).buffer_unordered(limits::UPLOADS_COMPLETED_AT_ONCE);
            while aborted.try_next().await?.is_some() {}
        }
        Ok(())
    }

    /// Aborts open uploads as far as that can be done now. What S3 keeps of them all the same goes with its job's end, or by the
    /// bucket's rules.
    pub async fn give_up_uploads(&self, bucket: &str, uploads: Vec<(String, String)>) {
        if let Err(error) = self.abort_uploads(bucket, uploads).await {
            tracing::warn!(bucket, %error, "aborting uploads");
        }
    }

    /// Reads the size and ETag of an object; `None` if there is none.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn head(&self, bucket: &str, key: &str) -> Result<Option<Listed>> {
        Ok(self.head_whole(bucket, key).await?.map(|head| head.object))
    }

    /// Reads the same with the metadata that whoever wrote the object gave it.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub(crate) async fn head_whole(&self, bucket: &str, key: &str) -> Result<Option<Head>> {
        let doing = self.doing(format!("looking at s3://{bucket}/{key}"));
        match self.s3.head_object().bucket(bucket).key(key).reply().await {
            Ok(head) => Ok(Some(Head {
                object: Listed {
                    key: key.to_owned(),
                    etag: head.e_tag.unwrap_or_default(),
                    size: head.content_length.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
                    modified: modified(head.last_modified.as_ref()),
                },
                metadata: head.metadata.unwrap_or_default(),
            })),
            Err(e) if matches!(code(&e).as_deref(), Some("NotFound" | "NoSuchKey")) => Ok(None),
            Err(e) => Err(doing.failed(&e)),
        }
    }

    /// Lists a page of the objects whose keys start with `prefix`: the first page, or the one with the token `page`.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn list_page(&self, bucket: &str, prefix: &str, page: Option<String>) -> Result<Page> {
        let doing = self.doing(format!("listing s3://{bucket}/{prefix}"));
        // A key may hold characters that XML cannot: listings return keys percent-encoded.
        let request = self.s3.list_objects_v2().bucket(bucket).prefix(prefix).encoding_type(EncodingType::Url);
        let request = request.set_continuation_token(page);
        let got = request.reply().await.map_err(|e| doing.failed(&e))?;
        let next = if got.is_truncated.unwrap_or(false) { got.next_continuation_token } else { None };
        Ok(Page { objects: got.contents.unwrap_or_default().into_iter().map(listed).collect(), next })
    }

    /// Lists what lies directly below `prefix`, which ends in `/` or is empty, or starts with it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn list_level(&self, bucket: &str, prefix: &str) -> Result<Level> {
        let doing = self.doing(format!("listing s3://{bucket}/{prefix}"));
        let (mut level, mut page) = (Level::default(), None);
        loop {
            let request = self.s3.list_objects_v2().bucket(bucket).prefix(prefix).delimiter("/");
            let request = request.encoding_type(EncodingType::Url).set_continuation_token(page);
            let got = request.reply().await.map_err(|e| doing.failed(&e))?;
            page = if got.is_truncated.unwrap_or(false) { got.next_continuation_token } else { None };
            level.objects.extend(got.contents.unwrap_or_default().into_iter().map(listed));
            let folders = got.common_prefixes.unwrap_or_default().into_iter().filter_map(|folder| folder.prefix);
            level.folders.extend(folders.map(|folder| decode(&folder)));
            if page.is_none() {
                return Ok(level);
            }
        }
    }

    /// Lists all objects whose keys start with `prefix`.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<Listed>> {
        let (mut all, mut page) = (Vec::new(), None);
        loop {
            let Page { objects, next } = self.list_page(bucket, prefix, page).await?;
            all.extend(objects);
            page = next;
            if page.is_none() {
                return Ok(all);
            }
        }
    }

    /// Copies an object of at most 5 GB, S3's limit for one request, within S3.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn copy(&self, from: Address<'_>, to: Address<'_>) -> Result<()> {
        let doing = self.doing(format!("copying {from} to {to}"));
        let source = format!("{}/{}", from.bucket, percent_encoding::utf8_percent_encode(from.key, NON_ALPHANUMERIC));
        let request = self.s3.copy_object().bucket(to.bucket).key(to.key).copy_source(source);
        request.reply().await.map(|_| ()).map_err(|e| doing.failed(&e))
    }

    /// Deletes objects. Missing objects count as deleted.
    ///
    /// # Errors
    /// Returns S3's error for the first key that it could not delete; all other keys are deleted all the same.
    pub async fn delete(&self, bucket: &str, keys: &[String]) -> Result<()> {
        let versions: Vec<_> = keys.iter().map(|key| Version { key: key.clone(), etag: None }).collect();
        self.delete_versions(bucket, versions).await
    }

    /// Deletes objects, each only if it has its ETag where one is given. Missing objects, and those that are another version
    /// by now, count as deleted: the version that was to go is gone.
    ///
    /// # Errors
    /// Returns the errors of [`Self::delete`].
    pub async fn delete_versions(&self, bucket: &str, versions: Vec<Version>) -> Result<()> {
        let mut first_failed = None;
        for chunk in versions.chunks(limits::DELETE_OBJECTS_MAX) {
            let mut left = chunk.to_vec();
            let mut pause = Pause::default();
            while !left.is_empty() {
                let failed = self.delete_some(bucket, &left).await?;
                let (again, failed): (Vec<_>, Vec<_>) = failed.into_iter().partition(|one| one.error.is_retryable());
                first_failed = first_failed.or(failed.into_iter().next().map(|one| one.error));
                let Some(one) = again.first() else { break };
                pause.wait(&one.error.to_string()).await?;
                left.retain(|version| again.iter().any(|one| one.key == version.key));
            }
        }
        first_failed.map_or(Ok(()), Err)
    }

    /// Sends one request. Returns the keys that were not deleted, and why.
    async fn delete_some(&self, bucket: &str, versions: &[Version]) -> Result<Vec<Undeleted>> {
        let what = format!("deleting {} objects of s3://{bucket}, {} first", versions.len(), versions[0].key);
        let doing = self.doing(what);
        let id =
            |version: &Version| ObjectIdentifier::builder().key(&version.key).set_e_tag(version.etag.clone()).build();
        let ids = versions.iter().map(id).collect::<Result<Vec<_>, _>>();
        let ids = ids.map_err(|e| Error::new(Code::Rejected, causes(&e)))?;
        let delete = Delete::builder().set_objects(Some(ids)).quiet(true).build();
        let delete = delete.map_err(|e| Error::new(Code::Rejected, causes(&e)))?;
        let done =
            self.s3.delete_objects().bucket(bucket).delete(delete).reply().await.map_err(|e| doing.failed(&e))?;
        let failed = done.errors().iter().filter_map(|failed| {
            let (key, said) = (failed.key().unwrap_or("?"), failed.message().unwrap_or("no message"));
            match of_write(failed.code()) {
                Refusal::Unmet => None,
                Refusal::Conflict => {
                    let message = format!("deleting s3://{bucket}/{key}: it is being written");
                    Some(Undeleted { key: key.to_owned(), error: Error::new(Code::Throttled, message) })
                }
                _ => {
                    let error = crate::errors::of_code(&format!("deleting s3://{bucket}/{key}"), failed.code(), said);
                    Some(Undeleted { key: key.to_owned(), error })
                }
            }
        });
        Ok(failed.collect())
    }

    /// Deletes an object if it still is this version. Returns whether it is gone; if not, another version is there and stays.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn delete_version(&self, bucket: &str, key: &str, etag: &str) -> Result<bool> {
        let doing = self.doing(format!("deleting s3://{bucket}/{key}"));
        let mut pause = Pause::default();
        loop {
            let refused = match self.s3.delete_object().bucket(bucket).key(key).if_match(etag).reply().await {
                Ok(_) => return Ok(true),
                Err(e) => e,
            };
            match (of_write(code(&refused).as_deref()), code(&refused).as_deref()) {
                (Refusal::Unmet, Some("PreconditionFailed")) => return Ok(false),
                (Refusal::Unmet, _) => return Ok(true),
                (Refusal::Conflict, _) => {
                    pause.wait(&format!("deleting s3://{bucket}/{key}: it is being written")).await?;
                }
                _ => return Err(doing.failed(&refused)),
            }
        }
    }
}

/// A multipart upload that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftUpload {
    /// The key of its object.
    pub key: String,
    /// Its upload id.
    pub id: String,
    /// When it began, by S3's clock.
    pub begun_at: Timestamp,
}

/// An object to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its key.
    pub key: String,
    /// Its ETag, if only that version is to be deleted.
    pub etag: Option<String>,
}

/// Decodes a key from a listing: percent-encoded, a space as `+`.
fn decode(key: &str) -> String {
    let spaced = key.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// A reader of a range. When its body breaks off, the rest is requested again, of the same version.
pub struct RangeReader {
    s3: aws_sdk_s3::Client,
    reads: Reads,
    bucket: String,
    key: String,
    etag: Option<String>,
    shown: String,
    at: u64,
    to: u64,
    body: Option<ByteStream>,
    /// Where the body starts.
    body_at: u64,
    /// How many bodies in a row broke off without a byte.
    tries: u32,
    /// How many bodies broke off.
    broken: u32,
}

impl RangeReader {
    /// Reads the next bytes; `None` at the end of the range.
    ///
    /// # Errors
    /// Returns `object-changed` when the object is no longer the requested version; `body` when its body broke off four
    /// times in a row without a byte, or a hundred times in all; or a service error (`access-denied`, `throttled`,
    /// `unreachable`, …).
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.at < self.to {
            let Some(body) = &mut self.body else {
                (self.body, self.body_at) = (Some(self.open().await?), self.at);
                continue;
            };
            let Some(block) = self.reads.second.block(body.next()).await else {
                self.body = None;
                continue;
            };
            let broken = match block {
                Some(Ok(bytes)) if bytes.is_empty() => continue,
                Some(Ok(bytes)) => {
                    self.at += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Some(Err(e)) => causes(&e),
                None => "the body ended early".to_owned(),
            };
            self.body = None;
            self.tries = if self.at > self.body_at { 0 } else { self.tries + 1 };
            self.broken += 1;
            if self.tries == BODY_TRIES || self.broken == BODIES_MAX {
                let message = format!("reading {} at byte {}: {broken} (attempt {})", self.shown, self.at, self.broken);
                return Err(Error::new(Code::Body, message));
            }
        }
        Ok(None)
    }

    /// Reads all that is left of the range.
    ///
    /// # Errors
    /// Returns the errors of [`Self::next`].
    pub async fn all(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.to.saturating_sub(self.at) as usize);
        while let Some(block) = self.next().await? {
            bytes.extend_from_slice(&block);
        }
        Ok(bytes)
    }

    async fn open(&self) -> Result<ByteStream> {
        let doing = Doing::now(format!("reading {} bytes {}..{}", self.shown, self.at, self.to))
            .in_region(self.s3.config().region().map(ToString::to_string));
        let request = self.s3.get_object().bucket(&self.bucket).key(&self.key);
        let request = request.range(format!("bytes={}-{}", self.at, self.to - 1)).set_if_match(self.etag.clone());
        match self.reads.reply(|| request.clone().reply()).await {
            Ok(got) => Ok(got.body),
            Err(e) if self.etag.is_some() && of_read(code(&e).as_deref()) == Refusal::OtherVersion => Err(Error::new(
                Code::ObjectChanged,
                format!("reading {}: it has changed since it was listed", self.shown),
            )
            .with_hint(
                "run the job again when nothing writes to its input; take a newer inventory if it came from one",
            )),
            Err(e) => Err(doing.failed(&e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::config::BehaviorVersion;

    #[test]
    fn an_upload_names_the_checksum_of_its_parts() {
        let config = aws_sdk_s3::Config::builder().behavior_version(BehaviorVersion::latest()).build();
        let request = create_upload(&aws_sdk_s3::Client::from_conf(config), "b", "k");
        assert_eq!(request.get_checksum_algorithm(), &Some(ChecksumAlgorithm::Crc32));
        assert_eq!(request.get_checksum_type(), &Some(ChecksumType::FullObject));
    }
}
