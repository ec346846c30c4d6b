//! Reads its input and does nothing with it, to measure how fast mappers read from S3, with the checksum of every input.

use kinglet_core::{Emitter, Extent, Format, Job, Sink, UserResult, Values};
use serde::{Deserialize, Serialize};

/// The job, without parameters; see the module.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct BenchRead;

/// Bytes as they arrive, cut anywhere: a record is what one read brought.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blocks;

impl Format for Blocks {
    type Record<'a> = &'a [u8];
    const NAME: &'static str = "blocks";

    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        (!bytes.is_empty()).then_some(1)
    }

    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        (!bytes.is_empty()).then_some(bytes.len())
    }

    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, &'a [u8]) -> UserResult,
    ) -> UserResult<u64> {
        each(0, extent.bytes).map(|()| 1)
    }
}

impl Job for BenchRead {
    const NAME: &'static str = "bench-read";
    type Input = Blocks;
    type Key = ();
    type Value = ();
    type Output = ();

    fn map(&self, _: &[u8], _: &mut Emitter<'_, (), ()>) -> UserResult {
        Ok(())
    }

    fn reduce(&self, (): (), _: Values<'_, ()>, _: &mut Sink<'_, ()>) -> UserResult {
        Ok(())
    }
}
