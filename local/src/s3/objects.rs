//! Operations on one object, in terms of S3's requests and responses.

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::bucket::Bucket;
use super::checksums::Claims;
use super::conditions::{ReadCondition, WriteCondition};
use super::content::Payload;
use super::errors::invalid_range;
use super::info::{Attributes, Info};
use super::receive::{Announced, discard};
use super::service::Service;
use super::stream::body;

const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// Takes the parts of `$input` that are an object's attributes.
macro_rules! attributes {
    ($input:expr) => {
        Attributes {
            content_type: $input.content_type.take(),
            content_encoding: $input.content_encoding.take(),
            content_language: $input.content_language.take(),
            content_disposition: $input.content_disposition.take(),
            cache_control: $input.cache_control.take(),
            expires: $input.expires.take(),
            user: $input.metadata.take(),
            checksum: Checksum::default(),
        }
    };
}

/// Returns `$output` with the fields that GET and HEAD share filled in.
macro_rules! described {
    ($output:ident, $info:expr, $checksum:expr) => {{
        let (info, checksum): (&Info, Checksum) = ($info, $checksum);
        let known = &info.attributes;
        $output {
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(ETag::Strong(info.etag.clone())),
            last_modified: Some(info.modified.into()),
            content_type: known.content_type.clone().or_else(|| Some(DEFAULT_CONTENT_TYPE.to_owned())),
            content_encoding: known.content_encoding.clone(),
            content_language: known.content_language.clone(),
            content_disposition: known.content_disposition.clone(),
            cache_control: known.cache_control.clone(),
            expires: known.expires.clone(),
            metadata: known.user.clone(),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..Default::default()
        }
    }};
}

/// The requested bytes, and what the reply says of them.
pub(super) struct Asked {
    pub(super) start: u64,
    pub(super) end: u64,
    content_range: Option<String>,
}

impl Asked {
    pub(super) fn of(range: Option<Range>, size: u64) -> S3Result<Self> {
        let Some(range) = range else {
            return Ok(Self { start: 0, end: size, content_range: None });
        };
        // On S3 a suffix of zero bytes is as unsatisfiable as any other empty range.
        let range = range.check(size).ok().filter(|range| !range.is_empty()).ok_or_else(|| invalid_range(size))?;
        let content_range = Some(format!("bytes {}-{}/{size}", range.start, range.end - 1));
        Ok(Self { start: range.start, end: range.end, content_range })
    }

    /// Returns the checksums of the whole object, which are of use only for a reply with the whole.
    fn checksum(&self, mode: Option<&ChecksumMode>, info: &Info) -> Checksum {
        let wanted = mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED) && self.content_range.is_none();
        if wanted { info.attributes.checksum.clone() } else { Checksum::default() }
    }

    fn bytes(&self) -> Option<i64> {
        i64::try_from(self.end - self.start).ok()
    }
}

impl Service {
    pub(super) async fn get(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        refuse_part_number(input.part_number)?;
        let condition = ReadCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            modified_since: input.if_modified_since,
            unmodified_since: input.if_unmodified_since,
        };
        let (info, reader) = self.bucket(&input.bucket)?.open(&input.key).await?;
        refuse_version(input.version_id.as_deref())?;
        condition.check(&input.key, &info)?;
        let asked = Asked::of(input.range, reader.bytes())?;
        let checksum = asked.checksum(input.checksum_mode.as_ref(), &info);
        let mut output = described!(GetObjectOutput, &info, checksum);
        output.content_length = asked.bytes();
        output.body = Some(body(reader, asked.start, asked.end));
        output.content_range = asked.content_range;
        Ok(S3Response::new(output))
    }

    pub(super) async fn head(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        refuse_part_number(input.part_number)?;
        let condition = ReadCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            modified_since: input.if_modified_since,
            unmodified_since: input.if_unmodified_since,
        };
        let info = self.bucket(&input.bucket)?.info(&input.key).await?;
        refuse_version(input.version_id.as_deref())?;
        condition.check(&input.key, &info)?;
        let asked = Asked::of(input.range, info.bytes)?;
        let checksum = asked.checksum(input.checksum_mode.as_ref(), &info);
        let mut output = described!(HeadObjectOutput, &info, checksum);
        output.content_length = asked.bytes();
        let partial = asked.content_range.is_some();
        output.content_range = asked.content_range;
        let mut response = S3Response::new(output);
        response.status = partial.then_some(http::StatusCode::PARTIAL_CONTENT);
        Ok(response)
    }

    pub(super) async fn put(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let mut input = req.input;
        let condition = WriteCondition { if_match: input.if_match.take(), if_none_match: input.if_none_match.take() };
        let target = async {
            let bucket = self.bucket(&input.bucket)?;
            bucket.check_write(&input.key, &condition).await?;
            Ok(bucket)
        };
        let bucket = match target.await {
            Ok(bucket) => bucket,
            Err(err) => {
                // A client that still sends would see its connection break instead of this error.
                if let Some(body) = input.body.take() {
                    discard(body).await;
                }
                return Err(err);
            }
        };
        let mut attributes = attributes!(input);
        let announced = Announced {
            bytes: input.content_length.and_then(|bytes| u64::try_from(bytes).ok()),
            claims: Claims::new(req.headers, input.content_md5.take(), req.trailing_headers),
        };
        let (payload, checksum) = bucket.receive(&input.key, input.body.take(), announced).await?;
        attributes.checksum = checksum.clone();
        let info = bucket.put(&input.key, payload, attributes, condition).await?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(info.etag)),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..Default::default()
        }))
    }

    pub(super) async fn delete(&self, input: DeleteObjectInput) -> S3Result<S3Response<DeleteObjectOutput>> {
        let condition = WriteCondition { if_match: input.if_match, if_none_match: None };
        self.bucket(&input.bucket)?.delete(&input.key, condition).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    pub(super) async fn delete_many(&self, input: DeleteObjectsInput) -> S3Result<S3Response<DeleteObjectsOutput>> {
        /// The most keys of one request. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>
        const KEYS_MAX: usize = 1_000;
        let bucket = self.bucket(&input.bucket)?;
        if input.delete.objects.len() > KEYS_MAX {
            return Err(s3_error!(MalformedXML, "one request deletes up to {KEYS_MAX} objects"));
        }
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            let condition = WriteCondition { if_match: object.e_tag.map(ETagCondition::ETag), if_none_match: None };
            match bucket.delete(&object.key, condition).await {
                Ok(()) if input.delete.quiet == Some(true) => {}
                Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..Default::default() }),
                Err(err) => errors.push(Error {
                    code: Some(err.code().as_str().to_owned()),
                    key: Some(object.key),
                    message: err.message().map(str::to_owned),
                    version_id: None,
                }),
            }
        }
        let output = DeleteObjectsOutput { deleted: Some(deleted), errors: Some(errors), request_charged: None };
        Ok(S3Response::new(output))
    }

    pub(super) async fn copy(&self, mut input: CopyObjectInput) -> S3Result<S3Response<CopyObjectOutput>> {
        let target = self.bucket(&input.bucket)?;
        target.check_write(&input.key, &WriteCondition::default()).await?;
        let (bucket, source) = self.source(&input.copy_source)?;
        let condition = ReadCondition {
            if_match: input.copy_source_if_match.take(),
            if_none_match: input.copy_source_if_none_match.take(),
            modified_since: input.copy_source_if_modified_since.take(),
            unmodified_since: input.copy_source_if_unmodified_since.take(),
        };
        let replaces = input.metadata_directive.as_ref().is_some_and(|is| is.as_str() == MetadataDirective::REPLACE);
        let itself = Arc::ptr_eq(&bucket, &target) && *source == input.key;
        if itself && !replaces {
            return Err(s3_error!(InvalidRequest, "an object is copied to itself only to change its metadata"));
        }
        let (of, payload) = duplicate(&bucket, source, &condition, &target, &input.key).await?;
        let mut attributes = if replaces { attributes!(input) } else { (*of.attributes).clone() };
        attributes.checksum = of.attributes.checksum.clone();
        let info = target.put(&input.key, payload, attributes, WriteCondition::default()).await?;
        let result = CopyObjectResult {
            e_tag: Some(ETag::Strong(info.etag)),
            last_modified: Some(info.modified.into()),
            ..Default::default()
        };
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() }))
    }

    pub(super) fn source<'a>(&self, source: &'a CopySource) -> S3Result<(Arc<Bucket>, &'a str)> {
        match source {
            CopySource::Bucket { bucket, key, .. } => Ok((self.bucket(bucket)?, key)),
            _ => Err(s3_error!(NotImplemented, "copying from an access point")),
        }
    }
}

pub(super) use attributes;

/// Returns the bytes of `source` as a payload for `key` of `target`; blob buckets share them.
async fn duplicate(
    bucket: &Bucket,
    source: &str,
    condition: &ReadCondition,
    target: &Bucket,
    key: &str,
) -> S3Result<(Info, Payload)> {
    if let (Some(found), true) = (bucket.pieces(source), target.pieces(key).is_some()) {
        let (info, pieces) = found?;
        condition.check(source, &info)?;
        let etag = info.etag.clone();
        return Ok((info, Payload { pieces, etag }));
    }
    let (info, reader) = bucket.open(source).await?;
    condition.check(source, &info)?;
    let bytes = reader.bytes();
    let announced = Announced { bytes: Some(bytes), claims: Claims::default() };
    let (payload, _) = target.receive(key, Some(body(reader, 0, bytes)), announced).await?;
    Ok((info, payload))
}

/// Refuses every version but the one that an object has in a bucket that keeps none, which is called `null`.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html>
fn refuse_version(id: Option<&str>) -> S3Result<()> {
    match id {
        None | Some("" | "null") => Ok(()),
        Some(id) => Err(s3_error!(NoSuchVersion, "the bucket keeps no versions, and so none that is called {id}")),
    }
}

fn refuse_part_number(number: Option<i32>) -> S3Result<()> {
    match number {
        None => Ok(()),
        Some(_) => Err(s3_error!(NotImplemented, "reading one part of an object; ask for a range")),
    }
}
