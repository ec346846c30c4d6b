//! Does nothing with its items, so that only the cost of the tasks themselves is left to measure. `kinglet bench` gives it a
//! thousand empty items, each in a split of its own.

use kinglet_core::{Emitter, Items, Job, Sink, UserResult, Values};
use serde::{Deserialize, Serialize};

/// The job, without parameters; see the module.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct BenchEmpty;

impl Job for BenchEmpty {
    const NAME: &'static str = "bench-empty";
    type Input = Items<Vec<u8>>;
    type Key = ();
    type Value = ();
    type Output = ();

    fn map(&self, _: Vec<u8>, _: &mut Emitter<'_, (), ()>) -> UserResult {
        Ok(())
    }

    fn reduce(&self, (): (), _: Values<'_, ()>, _: &mut Sink<'_, ()>) -> UserResult {
        Ok(())
    }
}
