//! Reads lines and does nothing with them: what is left is the cost of the tasks themselves. `kinglet bench` gives it an input
//! of a thousand line feeds, cut at each.

use kinglet_core::{ByteLines, Emitter, Job, Sink, UserResult, Values};
use serde::{Deserialize, Serialize};

/// See the module. Without parameters.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct BenchEmpty;

impl Job for BenchEmpty {
    const NAME: &'static str = "bench-empty";
    type Input = ByteLines;
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
