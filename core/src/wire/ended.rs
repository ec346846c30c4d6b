//! What is told of a job's end: the detail of an event on EventBridge, whose source is [`SOURCE`] and whose type is [`KIND`]. JSON,
//! version 1:
//!
//! ```json
//! {"version": 1, "stack": "kinglet", "job": "19aa…-0123…", "name": "word-count", "state": "succeeded",
//!  "submittedAt": 1793926800000, "endedAt": 1793926812345, "output": "s3://results/counts/",
//!  "sums": {"objects": 2, "bytes": 4096, "records": 9, "rejected": 0, "pairs": 9, "recordsOut": 7, "bytesOut": 80, "parts": 1},
//!  "error": null}
//! {"version": 1, "stack": "kinglet", "job": "19ab…-0123…", "name": "word-count", "state": "failed",
//!  "submittedAt": 1793926800000, "endedAt": 1793926812345, "output": "s3://results/counts/",
//!  "error": {"code": "record-invalid", "message": "reading s3://logs/a: …"}}
//! ```
//!
//! Times are in milliseconds since 1970-01-01 UTC. A member may be added without another version.

use crate::error::Error;
use crate::ids::{JobId, Timestamp};
use serde::{Deserialize, Serialize};

/// The version of the layout.
pub const VERSION: u32 = 1;

/// The source of the event.
pub const SOURCE: &str = "kinglet";

/// The type of the event's detail.
pub const KIND: &str = "Kinglet Job Ended";

/// What is told of a job's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobEnded {
    /// [`VERSION`].
    pub version: u32,
    /// The stack that ran it.
    pub stack: String,
    /// The job.
    pub job: JobId,
    /// The job's name, or the function's of a map of calls.
    pub name: String,
    /// How it ended: `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Where its result lies if it succeeded; `None` of a map of calls, and where that is no longer known.
    pub output: Option<String>,
    /// What the manifest of its result says it read and wrote; left out where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sums: Option<EndSums>,
    /// Why it did not succeed.
    pub error: Option<EndError>,
}

/// What a job has read and written: the sums of its [manifest](crate::manifest::Manifest).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndSums {
    /// Objects of the input, empty ones included.
    pub objects: u64,
    /// Bytes of the input.
    pub bytes: u64,
    /// Records given to `map`.
    pub records: u64,
    /// Records that were not valid and were left out.
    pub rejected: u64,
    /// Pairs shuffled.
    pub pairs: u64,
    /// Records written.
    pub records_out: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Files written.
    pub parts: u64,
}

/// Why a job did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndError {
    /// The error's code.
    pub code: String,
    /// What it says.
    pub message: String,
}

impl From<&Error> for EndError {
    fn from(error: &Error) -> Self {
        EndError { code: error.code().to_owned(), message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn golden() {
        let mut ended = JobEnded {
            version: VERSION,
            stack: "kinglet".into(),
            job: "19aa5440eb0-f0a9c3d5e7ab".parse().unwrap(),
            name: "word-count".into(),
            state: "succeeded".into(),
            submitted_at: Timestamp(7),
            ended_at: Timestamp(8),
            output: Some("s3://results/counts/".into()),
            sums: None,
            error: None,
        };
        let sums = EndSums {
            objects: 2,
            bytes: 4_096,
            records: 9,
            rejected: 0,
            pairs: 9,
            records_out: 7,
            bytes_out: 80,
            parts: 1,
        };
        let with_sums = JobEnded { sums: Some(sums), ..ended.clone() };
        let mut lines = vec![serde_json::to_string(&with_sums).unwrap() + "\n"];
        assert_eq!(serde_json::from_str::<JobEnded>(&lines[0]).unwrap(), with_sums);
        for error in [None, Some(Error::new(Code::RecordInvalid, "reading s3://logs/a: it is \"none\""))] {
            if let Some(error) = error {
                (ended.state, ended.output, ended.error) = ("failed".into(), None, Some(EndError::from(&error)));
            }
            let line = serde_json::to_string(&ended).unwrap();
            assert_eq!(serde_json::from_str::<JobEnded>(&line).unwrap(), ended);
            lines.push(line + "\n");
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ended-v1.jsonl");
        crate::wire::golden(path, lines.concat().as_bytes());
    }
}
