//! Operations on multipart uploads, in terms of S3's requests and responses.

use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::checksums::Claims;
use super::conditions::{ReadCondition, WriteCondition};
use super::errors::blocking;
use super::info::Attributes;
use super::multipart::{Part, Upload, check_number};
use super::objects::{Asked, attributes};
use super::paging::PAGE_KEYS_MAX;
use super::receive::{Announced, discard};
use super::service::Service;
use super::stream::body;

impl Service {
    pub(super) async fn begin_upload(
        &self,
        mut input: CreateMultipartUploadInput,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.bucket(&input.bucket)?.check_write(&input.key, &WriteCondition::default()).await?;
        let attributes = attributes!(input);
        let (bucket, key, checksum) = (input.bucket.clone(), input.key.clone(), input.checksum_algorithm.clone());
        let id = self.store.uploads.begin(bucket, key, attributes, checksum, self.store.now())?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            ..Default::default()
        }))
    }

    pub(super) async fn put_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let mut input = req.input;
        let begun = check_number(input.part_number)
            .and_then(|()| self.store.uploads.get(&input.upload_id, &input.bucket, &input.key))
            .and_then(|upload| upload.check_checksum(&req.headers))
            .and_then(|()| self.bucket(&input.bucket));
        let bucket = match begun {
            Ok(bucket) => bucket,
            Err(err) => {
                if let Some(body) = input.body.take() {
                    discard(body).await;
                }
                return Err(err);
            }
        };
        let announced = Announced {
            bytes: input.content_length.and_then(|bytes| u64::try_from(bytes).ok()),
            claims: Claims::new(req.headers, input.content_md5.take(), req.trailing_headers),
        };
        let (payload, checksum) = bucket.receive(&input.key, input.body.take(), announced).await?;
        let output = UploadPartOutput {
            e_tag: Some(ETag::Strong(payload.etag.clone())),
            checksum_crc32: checksum.checksum_crc32.clone(),
            checksum_crc32c: checksum.checksum_crc32c.clone(),
            checksum_crc64nvme: checksum.checksum_crc64nvme.clone(),
            checksum_sha1: checksum.checksum_sha1.clone(),
            checksum_sha256: checksum.checksum_sha256.clone(),
            ..Default::default()
        };
        let part = Part { payload, modified: self.store.now(), checksum };
        self.store.uploads.add(&input.upload_id, input.part_number, part)?;
        Ok(S3Response::new(output))
    }

    pub(super) async fn copy_part(&self, input: UploadPartCopyInput) -> S3Result<S3Response<UploadPartCopyOutput>> {
        check_number(input.part_number)?;
        self.store.uploads.get(&input.upload_id, &input.bucket, &input.key)?;
        let target = self.bucket(&input.bucket)?;
        let (bucket, source) = self.source(&input.copy_source)?;
        let condition = ReadCondition {
            if_match: input.copy_source_if_match,
            if_none_match: input.copy_source_if_none_match,
            modified_since: input.copy_source_if_modified_since,
            unmodified_since: input.copy_source_if_unmodified_since,
        };
        let range = match &input.copy_source_range {
            Some(range) => Some(Range::parse(range).map_err(|err| s3_error!(err, InvalidArgument))?),
            None => None,
        };
        let (info, reader) = bucket.open(source).await?;
        condition.check(source, &info)?;
        let asked = Asked::of(range, reader.bytes())?;
        let announced = Announced { bytes: Some(asked.end - asked.start), claims: Claims::default() };
        let bytes = body(reader, asked.start, asked.end);
        let (payload, checksum) = target.receive(&input.key, Some(bytes), announced).await?;
        let (etag, modified) = (payload.etag.clone(), self.store.now());
        self.store.uploads.add(&input.upload_id, input.part_number, Part { payload, modified, checksum })?;
        let result = CopyPartResult {
            e_tag: Some(ETag::Strong(etag)),
            last_modified: Some(modified.into()),
            ..Default::default()
        };
        Ok(S3Response::new(UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() }))
    }

    /// Completes an upload in a task of its own: a client that hangs up must not end this between the object's appearance and
    /// the upload's end, nor give the turn away while a thread still writes.
    pub(super) async fn complete_upload(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let service = Service::new(self.store.clone());
        let completed = tokio::spawn(async move { service.complete(input).await }).await;
        completed.unwrap_or_else(|err| Err(s3_error!(InternalError, "completing an upload failed: {err}")))
    }

    async fn complete(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let CompleteMultipartUploadInput { bucket: name, key, upload_id, .. } = input;
        let bucket = self.bucket(&name)?;
        let turn = self.store.uploads.turn(&upload_id, &name, &key).await?;
        let condition = WriteCondition { if_match: input.if_match, if_none_match: input.if_none_match };
        bucket.check_write(&key, &condition).await?;
        let listed = input.multipart_upload.and_then(|listed| listed.parts).unwrap_or_default();
        let payload = turn.upload.assemble(&listed)?;
        let bytes = payload.bytes();
        if let Some(said) =
            input.mpu_object_size.and_then(|said| u64::try_from(said).ok()).filter(|&said| said != bytes)
        {
            return Err(s3_error!(InvalidRequest, "the parts have {bytes} bytes and not the {said} announced"));
        }
        let info = bucket.put(&key, payload, turn.upload.attributes.clone(), condition).await?;
        // Parts that were not listed are dropped with the upload.
        drop(self.store.uploads.end(turn));
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            location: Some(format!("/{name}/{key}")),
            bucket: Some(name),
            key: Some(key),
            e_tag: Some(ETag::Strong(info.etag)),
            ..Default::default()
        }))
    }

    pub(super) async fn abort_upload(
        &self,
        input: AbortMultipartUploadInput,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let turn = self.store.uploads.turn(&input.upload_id, &input.bucket, &input.key).await?;
        if let Some(upload) = self.store.uploads.end(turn).filter(Upload::has_files) {
            blocking(move || {
                upload.remove_parts();
                Ok(())
            })
            .await?;
        }
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    pub(super) fn parts(&self, input: ListPartsInput) -> S3Result<S3Response<ListPartsOutput>> {
        let Upload { parts, .. } = self.store.uploads.get(&input.upload_id, &input.bucket, &input.key)?;
        let max = page_size(input.max_parts);
        let marker = input.part_number_marker.unwrap_or(0);
        let mut later = parts.range(marker.saturating_add(1)..);
        let page: Vec<_> = later
            .by_ref()
            .take(max)
            .map(|(number, part)| s3s::dto::Part {
                part_number: Some(*number),
                e_tag: Some(ETag::Strong(part.payload.etag.clone())),
                size: i64::try_from(part.payload.bytes()).ok(),
                last_modified: Some(part.modified.into()),
                checksum_crc32: part.checksum.checksum_crc32.clone(),
                checksum_crc32c: part.checksum.checksum_crc32c.clone(),
                checksum_crc64nvme: part.checksum.checksum_crc64nvme.clone(),
                checksum_sha1: part.checksum.checksum_sha1.clone(),
                checksum_sha256: part.checksum.checksum_sha256.clone(),
            })
            .collect();
        let truncated = later.next().is_some();
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            max_parts: i32::try_from(max).ok(),
            part_number_marker: Some(marker),
            next_part_number_marker: page.last().and_then(|part| part.part_number),
            is_truncated: Some(truncated),
            parts: Some(page),
            ..Default::default()
        }))
    }

    pub(super) fn uploads(&self, input: ListMultipartUploadsInput) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        self.bucket(&input.bucket)?;
        if input.delimiter.is_some() {
            return Err(s3_error!(NotImplemented, "listing multipart uploads by a delimiter"));
        }
        let max = page_size(input.max_uploads);
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = (input.key_marker.clone().unwrap_or_default(), input.upload_id_marker.clone());
        let mut later = self.store.uploads.list(&input.bucket, &prefix).into_iter().filter(|(key, id, _)| {
            // Without an upload id, the marker stands for all uploads to its key.
            *key > after.0 || (*key == after.0 && after.1.as_ref().is_some_and(|after| id > after))
        });
        let page: Vec<_> = later
            .by_ref()
            .take(max)
            .map(|(key, id, begun)| MultipartUpload {
                key: Some(key),
                upload_id: Some(id),
                initiated: Some(begun.into()),
                ..Default::default()
            })
            .collect();
        let truncated = later.next().is_some();
        let last = page.last().filter(|_| truncated);
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: input.prefix,
            key_marker: input.key_marker,
            upload_id_marker: input.upload_id_marker,
            max_uploads: i32::try_from(max).ok(),
            next_key_marker: last.and_then(|last| last.key.clone()),
            next_upload_id_marker: last.and_then(|last| last.upload_id.clone()),
            is_truncated: Some(truncated),
            uploads: Some(page),
            ..Default::default()
        }))
    }
}

fn page_size(asked: Option<i32>) -> usize {
    asked.and_then(|asked| usize::try_from(asked).ok()).map_or(PAGE_KEYS_MAX, |asked| asked.min(PAGE_KEYS_MAX))
}
