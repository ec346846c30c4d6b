//! How an invocation ended: the function's answer, and the word for it in the journal.
//!
//! ```json
//! {"committed": "0-0000002a"}     the attempt, whose output counts
//! {"lost": "1-0000002b"}          the attempt that was first
//! {"skipped": "runs elsewhere"}   why there was nothing to do
//! {"failed": "out-of-memory"}     the code of the error, which the ledger has
//! {"pong": 12}                    the version of the wire format
//! {"started": "19aa…-0123…"}      the job that a start of a stored job has begun
//! {"jobs": 3}                     how many jobs were looked after
//! {}
//! ```

use kinglet_core::ids::{AttemptId, JobId};
use kinglet_core::ledger::Phase;
use kinglet_core::wire;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// How an invocation ended, unless by an error that was not recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A task was committed, and its output counts.
    Committed {
        /// The attempt that committed.
        attempt: AttemptId,
    },
    /// Another attempt of the task committed first.
    Lost {
        /// That attempt.
        winner: AttemptId,
    },
    /// There was nothing to do, or nobody wants the result.
    Skipped {
        /// The reason.
        why: Skip,
    },
    /// A task failed, and the ledger has its failure.
    Failed {
        /// The error's code.
        code: String,
    },
    /// The invocation was a ping.
    Pong,
    /// The invocation was a sweep.
    Swept {
        /// How many jobs it looked after.
        jobs: usize,
    },
    /// A stored job was started, now or by an earlier delivery of the same event.
    Started {
        /// The job.
        job: JobId,
    },
    /// The work is done, and there is nothing to report.
    Nothing,
    /// A shipped program has handled the event.
    Program {
        /// The program's answer, unchanged.
        answer: Value,
    },
}

/// Why there is nothing to do for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Its job is in another phase.
    Phase(Phase),
    /// Another execution runs the same try.
    Elsewhere,
    /// The task is committed already.
    Committed,
    /// The job went on without the task, or ended, while it ran.
    Unwanted,
}

impl Skip {
    fn as_str(self) -> &'static str {
        match self {
            Skip::Phase(phase) => phase.as_str(),
            Skip::Elsewhere => "runs elsewhere",
            Skip::Committed => "committed",
            Skip::Unwanted => "unwanted",
        }
    }
}

impl Outcome {
    /// Returns the outcome for this reason.
    pub fn skipped(why: Skip) -> Self {
        Outcome::Skipped { why }
    }

    /// Returns the journal's word for how a task ended.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Outcome::Committed { .. } => "committed",
            Outcome::Lost { .. } => "lost",
            Outcome::Skipped { .. } => "skipped",
            Outcome::Failed { .. } => "failed",
            Outcome::Pong => "pong",
            Outcome::Swept { .. } => "jobs",
            Outcome::Started { .. } => "started",
            Outcome::Nothing | Outcome::Program { .. } => "done",
        }
    }

    fn answer(&self) -> Value {
        match self {
            Outcome::Committed { attempt } => json!({ "committed": attempt.to_string() }),
            Outcome::Lost { winner } => json!({ "lost": winner.to_string() }),
            Outcome::Skipped { why } => json!({ "skipped": why.as_str() }),
            Outcome::Failed { code } => json!({ "failed": code }),
            Outcome::Pong => json!({ "pong": wire::VERSION }),
            Outcome::Swept { jobs } => json!({ "jobs": jobs }),
            Outcome::Started { job } => json!({ "started": job }),
            Outcome::Nothing => json!({}),
            Outcome::Program { answer } => answer.clone(),
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.answer().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_these_texts() {
        let attempt = AttemptId { number: 1, nonce: 42 };
        let pong = format!(r#"{{"pong":{}}}"#, wire::VERSION);
        for (outcome, text, word) in [
            (Outcome::Committed { attempt }, r#"{"committed":"1-0000002a"}"#, "committed"),
            (Outcome::Lost { winner: attempt }, r#"{"lost":"1-0000002a"}"#, "lost"),
            (Outcome::skipped(Skip::Phase(Phase::Reducing)), r#"{"skipped":"reducing"}"#, "skipped"),
            (Outcome::skipped(Skip::Elsewhere), r#"{"skipped":"runs elsewhere"}"#, "skipped"),
            (Outcome::skipped(Skip::Committed), r#"{"skipped":"committed"}"#, "skipped"),
            (Outcome::skipped(Skip::Unwanted), r#"{"skipped":"unwanted"}"#, "skipped"),
            (Outcome::Failed { code: "out-of-memory".to_owned() }, r#"{"failed":"out-of-memory"}"#, "failed"),
            (Outcome::Pong, &pong, "pong"),
            (Outcome::Swept { jobs: 3 }, r#"{"jobs":3}"#, "jobs"),
            (Outcome::Started { job: "19aa-01".parse().unwrap() }, r#"{"started":"19aa-01"}"#, "started"),
            (Outcome::Nothing, "{}", "done"),
            (Outcome::Program { answer: json!({ "committed": "0-1" }) }, r#"{"committed":"0-1"}"#, "done"),
        ] {
            assert_eq!(serde_json::to_string(&outcome).unwrap(), text);
            assert_eq!(outcome.word(), word);
        }
    }
}
