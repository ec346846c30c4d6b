//! Events, with which functions are invoked: a JSON object with one key, which says what to do.
//!
//! ```json
//! {"split": {"job": "0193…", "number": 0}}
//! {"map": {"job": "0193…", "task": 3, "piece": 0, "number": 0, "plan": [1040, 1187]}}
//! {"map": {"job": "0193…", "task": 3, "piece": 0, "number": 2, "plan": [1040, 1187], "bytes_max": 1048576, "larger": true}}
//! {"map": {"job": "0193…", "task": 3, "piece": 0, "number": 2, "plan": [1040, 1187], "calls_max": 8}}
//! {"merge": {"job": "0193…", "task": 3, "number": 0}}
//! {"merge": {"job": "0193…", "task": 3, "piece": 1, "number": 1, "start": 300, "early": true, "died": 2}}
//! {"reduce": {"job": "0193…", "task": 3, "number": 1}}
//! {"reduce": {"job": "0193…", "task": 3, "number": 1, "index": {"number": 1, "rows": [[8, 4711]]}}}
//! {"reduce": {"job": "0193…", "task": 3, "piece": 2, "number": 0}}
//! {"reduce": {"job": "0193…", "task": 3, "number": 1, "early": true}}
//! {"start": {"stored": "daily-count", "once": "2026-11-23T02:00:00Z", "at": "2026-11-23T02:00:00Z"}}
//! {"start": {"stored": "daily-count", "token": "AQCEAAAAKgAAAAMAAA…"}}
//! {"changed": {"stored": "daily-count", "bucket": "logs", "key": "2026/11/23/a.gz"}}
//! {"sweep": {}}
//! {"tell": {}}
//! {"ping": {}}
//! ```
//!
//! `start` and `changed` come from outside: from schedules, rules of EventBridge and Step Functions, as the guide sets them up.
//!
//! Events for tasks of a job with a shipped program also have its id: `"program": "9f86d0…"`.
//!
//! Lambda itself invokes the splitter with the record of an asynchronous invocation that failed. It has the keys
//! `requestContext`, `requestPayload` and `responsePayload`.

use super::index::RowsAt;
use super::record::Position;
use super::stored::StoredName;
use crate::ids::{JobId, Piece, ProgramId, TaskIdx};
use crate::range::ByteRange;
use serde::{Deserialize, Serialize};

/// What a function is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// Cut the input of a job and start its mappers.
    Split(SplitEvent),
    /// Run a map task.
    Map(MapEvent),
    /// Merge runs of some map tasks for some partitions.
    Merge(MergeEvent),
    /// Run a reduce task.
    Reduce(ReduceEvent),
    /// Start a stored job.
    Start(StartEvent),
    /// Start a stored job soon, as there is an object that it may read.
    Changed(ChangedEvent),
    /// Go on with jobs that nobody else takes care of.
    Sweep(SweepEvent),
    /// Tell of the jobs that have ended.
    Tell(TellEvent),
    /// Answer that the function works, and with its version.
    Ping(PingEvent),
}

impl Event {
    /// Returns the job that the event is about, if any.
    pub fn job(&self) -> Option<&JobId> {
        match self {
            Event::Split(event) => Some(&event.job),
            Event::Map(event) => Some(&event.job),
            Event::Merge(event) => Some(&event.job),
            Event::Reduce(event) => Some(&event.job),
            Event::Start(_) | Event::Changed(_) | Event::Sweep(_) | Event::Tell(_) | Event::Ping(_) => None,
        }
    }
}

/// See [`Event::Split`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitEvent {
    /// The job.
    pub job: JobId,
    /// Which try this is.
    pub number: u16,
}

/// See [`Event::Map`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapEvent {
    /// The job.
    pub job: JobId,
    /// The task.
    pub task: TaskIdx,
    /// Which piece of its split.
    pub piece: Piece,
    /// Which try this is.
    pub number: u16,
    /// Where the split lies in the plan.
    pub plan: ByteRange,
    /// Where the piece starts, if it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Position>,
    /// How many bytes to take at most before handing back the rest: set after an attempt died of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u64>,
    /// How many calls to make at most before handing back the rest: set after an attempt at a batch of calls died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_max: Option<u32>,
    /// Whether the larger mapper runs it: set after attempts died of memory on the other one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub larger: bool,
    /// The shipped program that is to run it; without one, the function itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<ProgramId>,
}

impl MapEvent {
    /// Makes the event of a task's first try: from the start of its split, with nothing limited.
    pub fn first(job: JobId, task: TaskIdx, plan: ByteRange, program: Option<ProgramId>) -> Self {
        MapEvent {
            job,
            task,
            piece: Piece(0),
            number: 0,
            plan,
            start: None,
            bytes_max: None,
            calls_max: None,
            larger: false,
            program,
        }
    }
}

/// See [`Event::Merge`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeEvent {
    /// The job.
    pub job: JobId,
    /// The task, which says whose runs of which partitions: see [`crate::grid::Grid`].
    pub task: TaskIdx,
    /// Which piece of the task.
    #[serde(default, skip_serializing_if = "is_first")]
    pub piece: Piece,
    /// Which try this is.
    pub number: u16,
    /// How many of its map attempts were merged by the pieces before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start: u32,
    /// Whether it is to take fewer map attempts and leave the rest: set after an attempt ran out of time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub early: bool,
    /// How many attempts have died of memory: each halves how many map attempts are merged at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub died: u16,
    /// The shipped program that is to run it; without one, the function itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<ProgramId>,
}

impl MergeEvent {
    /// Makes the event of a task's first try.
    pub fn first(job: JobId, task: TaskIdx, program: Option<ProgramId>) -> Self {
        MergeEvent { job, task, piece: Piece(0), number: 0, start: 0, early: false, died: 0, program }
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// See [`Event::Reduce`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReduceEvent {
    /// The job.
    pub job: JobId,
    /// The task, which is the partition.
    pub task: TaskIdx,
    /// Which piece of the task. What was committed of the piece before says where it begins.
    #[serde(default, skip_serializing_if = "is_first")]
    pub piece: Piece,
    /// Which try this is.
    pub number: u16,
    /// Whether it is to hand on early: set after an attempt ran out of time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub early: bool,
    /// Where the job's index says where the task's runs lie, if the job has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<RowsAt>,
    /// The shipped program that is to run it; without one, the function itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<ProgramId>,
}

impl ReduceEvent {
    /// Makes the event of a task's first try, of a job without an index.
    pub fn first(job: JobId, task: TaskIdx, program: Option<ProgramId>) -> Self {
        ReduceEvent { job, task, piece: Piece(0), number: 0, early: false, index: None, program }
    }
}

fn is_first(piece: &Piece) -> bool {
    *piece == Piece(0)
}

/// See [`Event::Start`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartEvent {
    /// The stored job.
    pub stored: StoredName,
    /// What tells this start from all others: however often an event with it comes, one job is started. Without it, that is the
    /// token, or else the invocation's request id, which all deliveries of one event share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<String>,
    /// When the job was to start, as in `2026-11-23T02:00:00Z` (RFC 3339); otherwise now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The token of the task of Step Functions that waits for the job's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// See [`Event::Changed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedEvent {
    /// The stored job.
    pub stored: StoredName,
    /// The object's bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
}

/// See [`Event::Sweep`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepEvent {}

/// See [`Event::Tell`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TellEvent {}

/// See [`Event::Ping`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingEvent {}

/// The record that Lambda sends to an on-failure destination.
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureRecord {
    /// The event that was sent.
    pub request_payload: serde_json::Value,
    /// What the function answered: `errorType` and `errorMessage`.
    #[serde(default)]
    pub response_payload: serde_json::Value,
    /// Why Lambda counts it as failed.
    #[serde(default)]
    pub request_context: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let job: JobId = "0193-ab".parse().unwrap();
        let program = Some(ProgramId::of(b"abc"));
        let map = MapEvent {
            job: job.clone(),
            task: TaskIdx(3),
            piece: Piece(1),
            number: 2,
            plan: ByteRange { from: 1040, to: 1187 },
            start: Some(Position::at(0, 9)),
            bytes_max: None,
            calls_max: None,
            larger: false,
            program: None,
        };
        let index = RowsAt { number: 2, rows: vec![(8, 4_711).into(), (9_000, 9_001).into()] };
        let stored: StoredName = "daily-count".parse().unwrap();
        let events = [
            Event::Split(SplitEvent { job: job.clone(), number: 1 }),
            Event::Map(map.clone()),
            Event::Map(MapEvent { bytes_max: Some(1 << 20), larger: true, ..map.clone() }),
            Event::Map(MapEvent { calls_max: Some(8), ..map.clone() }),
            Event::Map(MapEvent { program, ..map }),
            Event::Merge(MergeEvent::first(job.clone(), TaskIdx(3), program)),
            Event::Merge(MergeEvent {
                piece: Piece(1),
                number: 1,
                start: 300,
                early: true,
                died: 2,
                ..MergeEvent::first(job.clone(), TaskIdx(3), None)
            }),
            Event::Reduce(ReduceEvent { number: 1, ..ReduceEvent::first(job.clone(), TaskIdx(3), None) }),
            Event::Reduce(ReduceEvent {
                number: 1,
                index: Some(index),
                ..ReduceEvent::first(job.clone(), TaskIdx(3), program)
            }),
            Event::Reduce(ReduceEvent { piece: Piece(2), ..ReduceEvent::first(job.clone(), TaskIdx(3), None) }),
            Event::Reduce(ReduceEvent { number: 1, early: true, ..ReduceEvent::first(job, TaskIdx(3), None) }),
            Event::Start(StartEvent { stored: stored.clone(), once: None, at: None, token: None }),
            Event::Start(StartEvent {
                stored: stored.clone(),
                once: Some("a".into()),
                at: Some("2026-11-23T02:00:00Z".into()),
                token: Some("b".into()),
            }),
            Event::Changed(ChangedEvent { stored, bucket: "b".into(), key: "k".into() }),
            Event::Sweep(SweepEvent {}),
            Event::Tell(TellEvent {}),
            Event::Ping(PingEvent {}),
        ];
        let text = events.clone().map(|e| serde_json::to_string(&e).unwrap()).join("\n");
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/events.jsonl"), text.as_bytes());
        for (line, event) in text.lines().zip(events) {
            assert_eq!(serde_json::from_str::<Event>(line).unwrap(), event);
        }
    }

    #[test]
    fn the_event_of_a_task_names_its_job_and_others_name_none() {
        let job: JobId = "0193-ab".parse().unwrap();
        let of_job = [
            Event::Split(SplitEvent { job: job.clone(), number: 0 }),
            Event::Map(MapEvent::first(job.clone(), TaskIdx(0), (0, 1).into(), None)),
            Event::Merge(MergeEvent::first(job.clone(), TaskIdx(0), None)),
            Event::Reduce(ReduceEvent::first(job.clone(), TaskIdx(0), None)),
        ];
        assert!(of_job.iter().all(|event| event.job() == Some(&job)));
        assert_eq!(
            [Event::Sweep(SweepEvent {}), Event::Ping(PingEvent {})].map(|event| event.job().cloned()),
            [None, None]
        );
    }

    #[test]
    fn a_first_try_starts_with_its_split_and_takes_all_of_it() {
        let job: JobId = "0193-ab".parse().unwrap();
        let program = Some(ProgramId::of(b"abc"));
        let first = MapEvent::first(job.clone(), TaskIdx(3), (4, 9).into(), program);
        let want = MapEvent {
            job,
            task: TaskIdx(3),
            piece: Piece(0),
            number: 0,
            plan: (4, 9).into(),
            start: None,
            bytes_max: None,
            calls_max: None,
            larger: false,
            program,
        };
        assert_eq!(first, want);
    }
}
