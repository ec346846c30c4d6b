//! Reads its input and does nothing with it: how fast mappers read from S3, with the checksum that every input gets.

use kinglet_core::{Emitter, Format, Job, Sink, UserError, UserResult, Values};
use serde::{Deserialize, Serialize};

/// See the module. Without parameters.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct BenchRead;

/// Bytes as they come, cut anywhere: a record is what one read brought.
pub struct Blocks;

impl Format for Blocks {
    type Record<'a> = &'a [u8];
    const NAME: &'static str = "blocks";

    fn first_cut(bytes: &[u8]) -> Option<usize> {
        (!bytes.is_empty()).then_some(1)
    }

    fn last_cut(bytes: &[u8]) -> Option<usize> {
        (!bytes.is_empty()).then_some(bytes.len())
    }

    fn for_each<'a>(chunk: &'a [u8], mut each: impl FnMut(&'a [u8]) -> UserResult) -> Result<u64, (usize, UserError)> {
        each(chunk).map(|()| 1).map_err(|e| (0, e))
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
