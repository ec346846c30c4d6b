//! The runs of a partition, wherever they lie, as readers for the merge.

use bytes::Bytes;
use kinglet_aws::Conductor;
use kinglet_aws::ledger::{InlineRun, ObjectRuns};
use kinglet_core::Result;
use kinglet_core::engine::reduce::{AnyRun, Runs};
use kinglet_core::ids::{JobId, Partition};
use kinglet_core::wire::run::RunReader;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use tokio::sync::mpsc;

/// How many blocks of a body wait for the merge, for each run.
const BLOCKS_WAITING: usize = 4;

/// What an open run holds at most, about: its block, raw and stored, and the blocks that wait.
const RUN_MEMORY_BYTES: usize = 1 << 20;

/// How many runs may be open at once in so much memory.
pub(crate) fn fan_in_max(memory_mb: u32) -> usize {
    ((memory_mb as usize) << 20) / 2 / RUN_MEMORY_BYTES
}

enum Source {
    Inline(InlineRun),
    Object { key: String, from: u64, to: u64 },
    Opened,
}

/// See [`Runs`].
pub(crate) struct PartitionRuns {
    conductor: Conductor,
    sources: Vec<Source>,
    runtime: tokio::runtime::Handle,
}

impl PartitionRuns {
    pub(crate) fn new(
        conductor: &Conductor,
        job: &JobId,
        partition: Partition,
        inline: Vec<InlineRun>,
        objects: &[ObjectRuns],
    ) -> Self {
        let in_objects = objects.iter().filter_map(|runs| {
            let (from, to) = runs.index.range(partition.0)?;
            let key = Conductor::runs_key(job, runs.task, runs.piece, runs.attempt);
            (from < to).then_some(Source::Object { key, from, to })
        });
        let sources = inline.into_iter().map(Source::Inline).chain(in_objects).collect();
        PartitionRuns { conductor: conductor.clone(), sources, runtime: tokio::runtime::Handle::current() }
    }
}

impl Runs for PartitionRuns {
    fn count(&self) -> usize {
        self.sources.len()
    }

    fn open(&mut self, which: Range<usize>) -> Result<Vec<AnyRun>> {
        // All are asked for before the first is waited for.
        let readers: Vec<(String, Box<dyn Read + Send>)> = self.sources[which]
            .iter_mut()
            .map(|source| match std::mem::replace(source, Source::Opened) {
                Source::Inline(run) => (run.name, Box::new(Cursor::new(run.bytes)) as Box<dyn Read + Send>),
                Source::Object { key, from, to } => {
                    let body = Body::start(&self.conductor, &self.runtime, &key, from, to);
                    (key, Box::new(body) as Box<dyn Read + Send>)
                }
                Source::Opened => ("opened twice".to_owned(), Box::new(io::empty()) as Box<dyn Read + Send>),
            })
            .collect();
        readers.into_iter().map(|(name, reader)| RunReader::open(reader, name)).collect()
    }
}

/// A body that another task receives.
struct Body {
    blocks: mpsc::Receiver<Result<Bytes>>,
    block: Bytes,
}

impl Body {
    fn start(conductor: &Conductor, runtime: &tokio::runtime::Handle, key: &str, from: u64, to: u64) -> Self {
        let bucket = &conductor.stack.work_bucket;
        let mut reader = conductor.objects.read(bucket, key, None, from, to, &format!("s3://{bucket}/{key}"));
        let (sender, blocks) = mpsc::channel(BLOCKS_WAITING);
        runtime.spawn(async move {
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
