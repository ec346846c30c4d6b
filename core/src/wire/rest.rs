//! What a piece of a reduce task leaves to the next one, which begins where it has stopped. It is stored in a frame, version 1, as
//! an object of its own (`jobs/<job>/rest/<task>.<piece>/<attempt>`): it names each run that is not read to its end, and a key,
//! which may be long.
//!
//! Runs are named as [`super::index`] and the ledger name them, so the next piece reads neither.

use super::frame::{Framed, Kind};
use super::index::RunAt;
use super::run::RunPlace;
use crate::ids::{AttemptId, Piece, TaskIdx};
use crate::range::ByteRange;
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReduceRest {
    /// The last key that was reduced, encoded. Pairs of keys up to it are to be skipped.
    pub after: Vec<u8>,
    /// The runs that are not read to their ends, in the order in which they are merged.
    pub runs: Vec<RunLeft>,
}

/// A run that is not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLeft {
    /// The map task that wrote it.
    pub task: TaskIdx,
    /// The piece of its split.
    pub piece: Piece,
    /// The attempt.
    pub attempt: AttemptId,
    /// Where the run lies in the attempt's object; `None` if the attempt's runs lie in DynamoDB.
    pub range: Option<ByteRange>,
    /// Where reading of the run goes on.
    pub place: RunPlace,
}

impl RunLeft {
    /// Returns what is left of a run from this place on.
    pub fn of(run: &RunAt, place: RunPlace) -> Self {
        let RunAt { task, piece, attempt, range } = *run;
        RunLeft { task, piece, attempt, range, place }
    }

    /// Returns the whole run.
    pub fn run(&self) -> RunAt {
        let RunLeft { task, piece, attempt, range, .. } = *self;
        RunAt { task, piece, attempt, range }
    }
}

impl Framed for ReduceRest {
    const KIND: Kind = Kind::ReduceRest;
    const VERSION: u8 = 1;

    fn check(&self) -> std::result::Result<(), &'static str> {
        match self.runs.iter().all(|run| run.place.is_within(run.range.map(ByteRange::bytes))) {
            true => Ok(()),
            false => Err("a place that a run does not have"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame;

    fn rest() -> ReduceRest {
        let run = RunAt {
            task: TaskIdx(3),
            piece: Piece(1),
            attempt: AttemptId { number: 2, nonce: 4 },
            range: Some((100, 1_000).into()),
        };
        let further = RunLeft::of(&run, RunPlace { offset: 300, pairs: 20, taken: 25 });
        let inline = RunLeft::of(&RunAt { range: None, task: TaskIdx(9), ..run }, RunPlace::default());
        ReduceRest { after: b"key".to_vec(), runs: vec![further, inline] }
    }

    #[test]
    fn golden_and_back() {
        let bytes = frame::write(&rest()).unwrap();
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/rest-v1.bin"), &bytes);
        assert_eq!(frame::read::<ReduceRest>(&bytes, "it").unwrap(), rest());
        assert_eq!(rest().runs[0].run().range, Some((100, 1_000).into()));
    }

    #[test]
    fn places_that_no_reader_has_told_are_refused() {
        for place in [
            RunPlace { offset: 901, pairs: 20, taken: 25 },
            RunPlace { offset: 7, pairs: 0, taken: 0 },
            RunPlace { offset: 0, pairs: 1, taken: 1 },
            RunPlace { offset: 300, pairs: 20, taken: 19 },
        ] {
            let mut wrong = rest();
            wrong.runs[0].place = place;
            let error = frame::read::<ReduceRest>(&frame::write(&wrong).unwrap(), "it").unwrap_err();
            assert_eq!(error.code(), "frame-corrupt", "{place:?}");
        }
    }
}
