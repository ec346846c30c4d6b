//! What places in S3 have in common: objects of the work bucket that are written and read whole, runs that are sent one behind
//! the other, and ranges that are fetched while they are merged.

use super::{Open, RunStore};
use crate::beside::Beside;
use crate::objects::Objects;
use crate::upload::Upload;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::{ByteRange, Code, Error, Result};
use std::io::{self, Read};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How many bytes of a run are read and handed on at once.
const PUSH_BYTES: u64 = 4 << 20;

/// How many ranges are fetched at once where that is not the merge's to say.
const FETCHED_AT_ONCE: usize = 64;

/// How many blocks of each run's body wait for the merge.
const BLOCKS_WAITING: usize = 4;

impl RunStore<'_> {
    /// Begins an object of the work bucket.
    pub(super) fn upload(&self, key: &str) -> Upload {
        Upload::new(&self.conductor.objects, &self.conductor.stack.work_bucket, key)
    }

    /// Writes an object of the work bucket.
    pub(super) async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let mut upload = self.upload(key);
        upload.push(bytes.into()).await?;
        upload.finish().await.map(drop)
    }

    /// Reads an object of the work bucket that has at most this many bytes.
    pub(super) async fn get(&self, key: &str, bytes_max: u64) -> Result<Bytes> {
        self.conductor.objects.get_whole(&self.conductor.stack.work_bucket, key, bytes_max).await
    }
}

/// Sends a run behind what was sent of its object.
pub(super) async fn push(upload: &mut Upload, mut run: impl Read) -> Result<()> {
    loop {
        let mut bytes = Vec::new();
        let read = run.by_ref().take(PUSH_BYTES).read_to_end(&mut bytes);
        read.map_err(|e| Error::new(Code::Tmp, format!("reading a run: {e}")))?;
        if bytes.is_empty() {
            return Ok(());
        }
        upload.push(bytes.into()).await?;
    }
}

/// What it takes to fetch runs while they are merged.
pub(super) struct Bodies {
    objects: Objects,
    bucket: String,
    runtime: tokio::runtime::Handle,
    beside: Beside,
}

impl Bodies {
    /// Must be called within a Tokio runtime.
    pub(super) fn of(store: RunStore<'_>) -> Self {
        Bodies {
            objects: store.conductor.objects.clone(),
            bucket: store.conductor.stack.work_bucket.clone(),
            runtime: tokio::runtime::Handle::current(),
            beside: store.conductor.beside,
        }
    }

    /// Returns what opens ranges of objects, in the same order: each from `begin` of its bytes on or further on. Where engines run
    /// in turn with requests, they are fetched now, some at once; else when they are opened.
    pub(super) async fn openers(self: &Arc<Self>, ranges: Vec<(String, ByteRange, u64)>) -> Result<Vec<Open>> {
        let openers = ranges.into_iter().map(|(key, range, begin)| self.opener(key, range, begin));
        stream::iter(openers).buffered(FETCHED_AT_ONCE).try_collect().await
    }

    async fn opener(self: &Arc<Self>, key: String, range: ByteRange, begin: u64) -> Result<Open> {
        let ByteRange { from, to } = range;
        // What was stored is not trusted: an offset beyond the end is the end.
        let at = move |offset: u64| from.saturating_add(offset).min(to);
        if self.beside == Beside::InTurn {
            let bytes = self.objects.read(&self.bucket, &key, None, at(begin), to, &key).all().await?;
            let bytes = Bytes::from(bytes);
            let skipped = move |offset: u64| at(offset).saturating_sub(at(begin)) as usize;
            return Ok(Box::new(move |offset| {
                Box::new(io::Cursor::new(bytes.slice(skipped(offset).min(bytes.len())..)))
            }));
        }
        let bodies = self.clone();
        Ok(Box::new(move |offset| Box::new(bodies.start(&key, at(offset), to))))
    }

    /// Requests a range of an object, and hands on its blocks as they come.
    fn start(&self, key: &str, from: u64, to: u64) -> impl Read + Send + use<> {
        let shown = format!("s3://{}/{key}", self.bucket);
        let mut reader = self.objects.read(&self.bucket, key, None, from, to, &shown);
        let (sender, blocks) = mpsc::channel(BLOCKS_WAITING);
        self.runtime.spawn(async move {
            while let Some(block) = reader.next().await.transpose() {
                let failed = block.is_err();
                if sender.send(block).await.is_err() || failed {
                    return;
                }
            }
        });
        Body { blocks, block: Bytes::new() }
    }
}

/// A body that another task receives.
struct Body {
    blocks: mpsc::Receiver<Result<Bytes>>,
    block: Bytes,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.block.is_empty() {
            match self.blocks.blocking_recv() {
                Some(Ok(block)) => self.block = block,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.block.len());
        buffer[..n].copy_from_slice(&self.block.split_to(n));
        Ok(n)
    }
}
