//! Intermediate results in S3. The runs of an attempt lie in one object, one behind the other by partition; the ledger says
//! where each begins, by group of tasks ([`RunIndex`]). The results of a batch, and what a reduce function returned, are an
//! object each.

use super::{Batch, Found, MapAttempt, MapRuns, Place, RunStore, unreadable};
use crate::ledger::Committed;
use crate::objects::Objects;
use crate::upload::Upload;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::ids::{AttemptId, JobId, Partition};
use kinglet_core::wire::record::{MapRecord, Placement, RunIndex};
use kinglet_core::{ByteRange, Code, Error, Result};
use std::io::{self, Read};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How many bytes of a run are read and handed on at once.
const PUSH_BYTES: u64 = 4 << 20;

/// How many blocks of each run's body wait for the merge.
const BLOCKS_WAITING: usize = 4;

/// How many GETs of results are under way at once.
const PARALLEL: usize = 16;

/// See [`Placement::Object`].
pub(super) struct Object;

/// Returns the key of a map attempt's runs, or of a batch's results, in the work bucket.
fn runs_key(job: &JobId, of: MapAttempt) -> String {
    format!("jobs/{job}/runs/{:06}.{}/{}", of.task.0, of.piece.0, of.attempt)
}

/// Returns the key of what a reduce function returned.
fn reduced_key(job: &JobId, attempt: AttemptId) -> String {
    format!("jobs/{job}/result/{attempt}")
}

impl Place for Object {
    fn placement(&self) -> Placement {
        Placement::Object
    }

    fn write<'a>(&'a self, store: RunStore<'a>, of: MapAttempt, runs: MapRuns<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut upload = store.upload(&runs_key(store.job, of));
            let mut index = RunIndex { ends: Vec::with_capacity(runs.runs.len()) };
            let mut end = 0;
            for run in runs.runs {
                if run.pairs > 0 {
                    end += run.bytes;
                    push(&mut upload, run.into_reader().map_err(|e| unreadable(runs.tmp, &e))?).await?;
                }
                index.ends.push(end);
            }
            upload.finish().await?;
            store.conductor.ledger.put_index(store.job, of.task, of.piece, of.attempt, &index).await
        })
    }

    fn find<'a>(
        &'a self,
        store: RunStore<'a>,
        partition: Partition,
        committed: &'a Committed<MapRecord>,
    ) -> BoxFuture<'a, Result<Vec<Found>>> {
        Box::pin(async move {
            let objects = store.conductor.ledger.object_runs(store.job, committed).await?;
            let bodies = Arc::new(Bodies {
                objects: store.conductor.objects.clone(),
                bucket: store.conductor.stack.work_bucket.clone(),
                runtime: tokio::runtime::Handle::current(),
            });
            let found = objects.iter().filter_map(|runs| {
                let ByteRange { from, to } = runs.index.range(partition.0).filter(|range| range.from < range.to)?;
                let of = MapAttempt { task: runs.task, piece: runs.piece, attempt: runs.attempt };
                let (key, bodies) = (runs_key(store.job, of), bodies.clone());
                let name = key.clone();
                Some(Found {
                    name,
                    open: Box::new(move || Box::new(bodies.start(&key, from, to)) as Box<dyn Read + Send>),
                })
            });
            Ok(found.collect())
        })
    }

    fn write_results<'a>(&'a self, store: RunStore<'a>, of: MapAttempt, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { store.put(&runs_key(store.job, of), bytes).await })
    }

    fn read_results<'a>(&'a self, store: RunStore<'a>, batches: &'a [&'a Batch]) -> BoxFuture<'a, Result<Vec<Bytes>>> {
        let keys: Vec<String> = batches.iter().map(|batch| runs_key(store.job, batch.attempt())).collect();
        Box::pin(async move {
            stream::iter(keys.into_iter().map(Ok::<_, Error>))
                .map(|key| async move { store.get(&key?).await })
                .buffered(PARALLEL)
                .try_collect()
                .await
        })
    }

    fn write_reduced<'a>(
        &'a self,
        store: RunStore<'a>,
        attempt: AttemptId,
        bytes: Vec<u8>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { store.put(&reduced_key(store.job, attempt), bytes).await })
    }

    fn read_reduced<'a>(&'a self, store: RunStore<'a>, attempt: AttemptId) -> BoxFuture<'a, Result<Option<Bytes>>> {
        Box::pin(async move { store.get(&reduced_key(store.job, attempt)).await.map(Some) })
    }
}

impl RunStore<'_> {
    fn upload(&self, key: &str) -> Upload {
        Upload::new(&self.conductor.objects, &self.conductor.stack.work_bucket, key)
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let mut upload = self.upload(key);
        upload.push(bytes.into()).await?;
        upload.finish().await.map(drop)
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.conductor.objects.get(&self.conductor.stack.work_bucket, key, None).await
    }
}

async fn push(upload: &mut Upload, mut run: impl Read) -> Result<()> {
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
struct Bodies {
    objects: Objects,
    bucket: String,
    runtime: tokio::runtime::Handle,
}

impl Bodies {
    /// Requests a range of an object, and hands on its blocks as they come.
    fn start(&self, key: &str, from: u64, to: u64) -> Body {
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
