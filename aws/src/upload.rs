//! An object written as a stream: a small one by one PUT, a large one by a multipart upload whose parts are sent in parallel.
//! Memory is bounded by the size of a part times the number under way. An upload that is not finished is aborted.
//!
//! An upload may also be left open ([`Upload::leave_open`]): all bytes are with S3, and a process that knows its id can make
//! the object appear, once. An output's parts are published this way.

use crate::clients::patience_for;
use crate::errors::{Doing, code};
use crate::objects::{Completed, Objects, Put, Replace};
use crate::replies::{Pause, Refusal, of_write};
use crate::request::Request;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use kinglet_core::budget::{UPLOAD_PART_BYTES, UPLOAD_PARTS_AT_ONCE};
use kinglet_core::wire::record::OpenUpload;
use kinglet_core::{Code, Error, Result, limits};
use tokio::task::JoinSet;

/// An upload under way.
pub struct Upload {
    objects: Objects,
    bucket: String,
    key: String,
    buffer: Vec<Bytes>,
    buffered: usize,
    id: Option<String>,
    next_part: i32,
    sending: JoinSet<Result<(i32, String)>>,
    sent: Vec<(i32, String)>,
}

impl Upload {
    /// Starts an upload to a key that nobody else writes to. Nothing is sent until a part is full.
    pub fn new(objects: &Objects, bucket: &str, key: &str) -> Self {
        Upload {
            objects: objects.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            buffer: Vec::new(),
            buffered: 0,
            id: None,
            next_part: 1,
            sending: JoinSet::new(),
            sent: Vec::new(),
        }
    }

    /// Resumes an upload that another process has begun, none of whose parts matter.
    pub(crate) fn resume(objects: &Objects, bucket: &str, key: &str, id: &str) -> Self {
        Upload { id: Some(id.to_owned()), ..Self::new(objects, bucket, key) }
    }

    /// Sends these bytes as the whole of an upload, and leaves it open. Returns the ETags of its parts; `None` when the
    /// upload is gone.
    pub(crate) async fn send_all(mut self, bytes: Bytes) -> Result<Option<Vec<String>>> {
        self.buffered = bytes.len();
        self.buffer.push(bytes);
        match self.send_rest().await {
            Ok(upload) => Ok(Some(upload.etags)),
            Err(error) if error.is(Code::UploadGone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Appends bytes; waits while the most parts are under way.
    ///
    /// # Errors
    /// Returns S3's error for this or an earlier part; `too-large` when the object has too many parts.
    pub async fn push(&mut self, bytes: Bytes) -> Result<()> {
        self.buffered += bytes.len();
        self.buffer.push(bytes);
        // Doubling the size every 1,000 parts stays within 10,000 parts for all that one function can send.
        let part_bytes = (UPLOAD_PART_BYTES << (self.next_part / 1_000)).min(limits::UPLOAD_PART_BYTES_MAX);
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
                let id = self.objects.begin_upload(&self.bucket, &self.key).await?;
                self.id.insert(id).clone()
            }
        };
        while self.sending.len() >= UPLOAD_PARTS_AT_ONCE {
            self.receive().await?;
        }
        let body = self.take_buffer();
        let number = self.next_part;
        if number as usize > limits::UPLOAD_PARTS_MAX {
            return Err(Error::new(Code::TooLarge, format!("s3://{}/{} is too large for S3", self.bucket, self.key)));
        }
        self.next_part += 1;
        let what = format!("writing part {number} of s3://{}/{}", self.bucket, self.key);
        let doing = Doing::now(what.clone());
        let (s3, bucket, key) = (self.objects.s3.clone(), self.bucket.clone(), self.key.clone());
        self.sending.spawn(async move {
            let mut pause = Pause::default();
            loop {
                let request = s3.upload_part().bucket(&bucket).key(&key).upload_id(&id).part_number(number);
                let request = request.body(ByteStream::from(body.clone())).customize();
                let request = request.config_override(patience_for(body.len())).disable_payload_signing();
                match request.reply().await {
                    Ok(done) => return Ok((number, done.e_tag.unwrap_or_default())),
                    Err(e) if of_write(code(&e).as_deref()) == Refusal::Conflict => pause.wait(&what).await?,
                    Err(e) => return Err(doing.failed(&e)),
                }
            }
        });
        Ok(())
    }

    async fn receive(&mut self) -> Result<()> {
        if let Some(done) = self.sending.join_next().await {
            let part =
                done.map_err(|e| Error::new(Code::Upload, format!("writing s3://{}/{}: {e}", self.bucket, self.key)))?;
            self.sent.push(part?);
        }
        Ok(())
    }

    /// Completes the upload: the whole object appears. Returns its ETag.
    ///
    /// # Errors
    /// Returns S3's error; the upload is aborted then.
    pub async fn finish(mut self) -> Result<String> {
        let done = self.try_finish().await;
        if done.is_err() {
            self.abort().await;
        }
        done
    }

    async fn try_finish(&mut self) -> Result<String> {
        if self.id.is_none() {
            let body = self.take_buffer();
            return match self.objects.put(&self.bucket, &self.key, body, Replace::Yes).await? {
                Put::Written(etag) => Ok(etag),
                Put::Refused => Err(self.gone()),
            };
        }
        let upload = self.send_rest().await?;
        match self.objects.complete(&self.bucket, &self.key, &upload, &Replace::Yes).await? {
            Completed::Done(etag) => {
                self.id = None;
                Ok(etag)
            }
            // The SDK may have sent the request again after a lost reply: then the object is there.
            Completed::Gone => match self.objects.head(&self.bucket, &self.key).await? {
                Some(there) => {
                    self.id = None;
                    Ok(there.etag)
                }
                None => Err(self.gone()),
            },
            Completed::Refused => Err(self.gone()),
        }
    }

    fn gone(&self) -> Error {
        Error::new(Code::Upload, format!("the upload of s3://{}/{} is gone", self.bucket, self.key))
    }

    /// Sends all bytes and leaves it to another process to complete the upload ([`Objects::complete`]) or to abort it.
    ///
    /// # Errors
    /// Returns S3's error; the upload is aborted then.
    pub async fn leave_open(mut self) -> Result<OpenUpload> {
        let left = self.send_rest().await;
        match &left {
            Ok(_) => self.id = None,
            Err(_) => self.abort().await,
        }
        left.map(OpenUpload::bounded)
    }

    /// Sends what is left. For an empty object that is one part without bytes, as an upload needs a part. Returns the upload
    /// with the ETags of all parts, however many they are.
    async fn send_rest(&mut self) -> Result<OpenUpload> {
        if self.buffered > 0 || self.next_part == 1 {
            self.send_part().await?;
        }
        while !self.sending.is_empty() {
            self.receive().await?;
        }
        self.sent.sort_unstable();
        let id = self.id.clone().unwrap_or_default();
        Ok(OpenUpload { id, etags: self.sent.iter().map(|(_, etag)| etag.clone()).collect() })
    }

    /// Aborts the upload. What S3 keeps of it all the same, the bucket's lifecycle rule removes.
    pub async fn abort(&mut self) {
        self.sending.shutdown().await;
        if let Some(id) = self.id.take()
            && let Err(error) = self.objects.abort_upload(&self.bucket, &self.key, &id).await
        {
            tracing::warn!(bucket = self.bucket, key = self.key, %error, "aborting an upload");
        }
    }
}
