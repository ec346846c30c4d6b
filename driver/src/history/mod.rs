//! What is known of a job and of each attempt at its tasks, and a page of it.

mod page;

use crate::{Attempt, JobStatus};
use serde::{Deserialize, Serialize};

/// What is known of a job, and each attempt at its tasks. [`History::to_html`] makes a page of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// The job.
    pub status: JobStatus,
    /// The attempts, in the order in which they began. Where a program of this machine was killed, none are known.
    pub attempts: Vec<Attempt>,
}
