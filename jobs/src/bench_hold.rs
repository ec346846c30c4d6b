//! Keeps a function for a while for each of its items, so that others have to begin in environments of their own. `kinglet
//! bench` sees by it how fast Lambda starts them.

use kinglet_core::{Emitter, Items, Job, Sink, UserResult, Values};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The job; see the module.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct BenchHold {
    /// How long each item keeps its function, in milliseconds.
    pub ms: u32,
}

impl Job for BenchHold {
    const NAME: &'static str = "bench-hold";
    type Input = Items<Vec<u8>>;
    type Key = ();
    type Value = ();
    type Output = ();

    fn map(&self, _: Vec<u8>, _: &mut Emitter<'_, (), ()>) -> UserResult {
        std::thread::sleep(Duration::from_millis(self.ms.into()));
        Ok(())
    }

    fn reduce(&self, (): (), _: Values<'_, ()>, _: &mut Sink<'_, ()>) -> UserResult {
        Ok(())
    }
}
