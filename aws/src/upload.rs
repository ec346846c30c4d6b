//! An object written as a stream: small ones by one PUT, large ones by a multipart upload whose parts go out in parallel.
//! Memory is bounded by the size of a part times the number under way. What is not finished is aborted.

use crate::errors::{Doing, code};
use crate::objects::{Objects, Put, Replace, is_taken};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use kinglet_core::{Error, Result, limits};
use tokio::task::JoinSet;

/// The size of a part. It grows as an upload grows, so that 10,000 parts hold 5 TB, S3's largest object.
pub const PART_BYTES: usize = 16 << 20;

/// How many parts are under way at once.
const PARALLEL: usize = 4;

/// An upload under way.
pub struct Upload {
    objects: Objects,
    bucket: String,
    key: String,
    replace: Replace,
    buffer: Vec<Bytes>,
    buffered: usize,
    id: Option<String>,
    next_part: i32,
    sending: JoinSet<Result<CompletedPart>>,
    sent: Vec<CompletedPart>,
}

impl Upload {
    /// Starts an upload. Nothing is sent until there is a part's worth.
    pub fn new(objects: &Objects, bucket: &str, key: &str, replace: Replace) -> Self {
        Upload {
            objects: objects.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            replace,
            buffer: Vec::new(),
            buffered: 0,
            id: None,
            next_part: 1,
            sending: JoinSet::new(),
            sent: Vec::new(),
        }
    }

    /// Adds bytes at the end; waits while enough parts are under way.
    ///
    /// # Errors
    /// What S3 reports of this or of an earlier part.
    pub async fn push(&mut self, bytes: Bytes) -> Result<()> {
        self.buffered += bytes.len();
        self.buffer.push(bytes);
        // Doubling every 1,000 parts keeps within 10,000 of them for any object that S3 can hold.
        let part_bytes = PART_BYTES << (self.next_part / 1_000);
        if self.buffered >= part_bytes { self.send_part().await } else { Ok(()) }
    }

    fn take_buffer(&mut self) -> Bytes {
        self.buffered = 0;
        match &mut self.buffer[..] {
            [only] => {
                let only = std::mem::take(only);
                self.buffer.clear();
                only
            }
            _ => {
                let whole = self.buffer.concat();
                self.buffer.clear();
                whole.into()
            }
        }
    }

    async fn send_part(&mut self) -> Result<()> {
        let id = match &self.id {
            Some(id) => id.clone(),
            None => {
                let doing = Doing::now(format!("starting the upload of s3://{}/{}", self.bucket, self.key));
                let request = self.objects.s3.create_multipart_upload().bucket(&self.bucket).key(&self.key);
                let created = request.send().await.map_err(|e| doing.failed(&e))?;
                self.id.insert(created.upload_id.unwrap_or_default()).clone()
            }
        };
        while self.sending.len() >= PARALLEL {
            self.receive().await?;
        }
        let body = self.take_buffer();
        let number = self.next_part;
        if number as usize > limits::UPLOAD_PARTS_MAX {
            return Err(Error::limit("too-large", format!("s3://{}/{} is too large for S3", self.bucket, self.key)));
        }
        self.next_part += 1;
        let doing = Doing::now(format!("writing part {number} of s3://{}/{}", self.bucket, self.key));
        let request = self.objects.s3.upload_part().bucket(&self.bucket).key(&self.key).upload_id(id);
        let request = request.part_number(number).body(ByteStream::from(body));
        self.sending.spawn(async move {
            let request = request.customize().disable_payload_signing();
            let done = request.send().await.map_err(|e| doing.failed(&e))?;
            Ok(CompletedPart::builder().part_number(number).set_e_tag(done.e_tag).build())
        });
        Ok(())
    }

    async fn receive(&mut self) -> Result<()> {
        if let Some(done) = self.sending.join_next().await {
            let part =
                done.map_err(|e| Error::service("upload", format!("writing s3://{}/{}: {e}", self.bucket, self.key)))?;
            self.sent.push(part?);
        }
        Ok(())
    }

    /// Makes the object appear, whole, or reports that another was there first.
    ///
    /// # Errors
    /// What S3 reports; then nothing appears.
    pub async fn finish(mut self) -> Result<Put> {
        let done = self.try_finish().await;
        if !matches!(done, Ok(Put::Written(_))) {
            self.abort().await;
        }
        done
    }

    async fn try_finish(&mut self) -> Result<Put> {
        if self.id.is_none() {
            let body = self.take_buffer();
            return self.objects.put(&self.bucket, &self.key, body, self.replace).await;
        }
        if self.buffered > 0 {
            self.send_part().await?;
        }
        while !self.sending.is_empty() {
            self.receive().await?;
        }
        self.sent.sort_by_key(|part| part.part_number);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(std::mem::take(&mut self.sent))).build();
        let doing = Doing::now(format!("finishing the upload of s3://{}/{}", self.bucket, self.key));
        let none_match = (self.replace == Replace::No).then(|| "*".to_owned());
        let request = self.objects.s3.complete_multipart_upload().bucket(&self.bucket).key(&self.key);
        let request = request.set_upload_id(self.id.clone()).multipart_upload(parts).set_if_none_match(none_match);
        match request.send().await {
            Ok(done) => {
                self.id = None;
                Ok(Put::Written(done.e_tag.unwrap_or_default()))
            }
            Err(e) if self.replace == Replace::No && is_taken(code(&e).as_deref()) => Ok(Put::Exists),
            Err(e) => Err(doing.failed(&e)),
        }
    }

    /// Gives the upload up. What S3 keeps of it all the same, the bucket's lifecycle rule removes.
    pub async fn abort(&mut self) {
        self.sending.shutdown().await;
        if let Some(id) = self.id.take() {
            let request = self.objects.s3.abort_multipart_upload().bucket(&self.bucket).key(&self.key).upload_id(id);
            if let Err(e) = request.send().await {
                tracing::warn!(
                    bucket = self.bucket,
                    key = self.key,
                    "aborting an upload: {}",
                    crate::errors::causes(&e)
                );
            }
        }
    }
}
