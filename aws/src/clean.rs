//! What jobs leave behind: finding, counting and removing it.
//!
//! A job that has ended needs nothing any more of what it kept in the work bucket and in the ledger. Both forget it by
//! themselves after [`JOB_KEPT_S`]; cleaning removes it sooner, and saves its storage.
//!
//! An object whose job the ledger does not know may belong to a driver that is just submitting it and writes its input first,
//! for at most [`SUBMIT_MS_MAX`]; or to calls that share a value ([`SHARED`]), for as long as the stack keeps it. Neither is
//! removed. S3 says how old an object is.

use crate::conductor::Conductor;
use crate::ledger::JobEntry;
use crate::objects::{LeftUpload, Page};
use kinglet_core::Result;
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::limits::JOB_KEPT_S;
use std::collections::BTreeMap;

/// The longest that a driver may take from the first object of a job to the job's ledger entry, in milliseconds (a day).
pub const SUBMIT_MS_MAX: u64 = 24 * 3_600_000;

/// The last part of the key of a value that calls share. It belongs to no job, and is kept as long as a job.
pub const SHARED: &str = "shared";

/// What is left of one job in the work bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftover {
    /// The keys of its objects.
    pub keys: Vec<String>,
    /// Their size in bytes.
    pub bytes: u64,
    /// The multipart uploads that are open.
    pub uploads: Vec<LeftUpload>,
    /// When the newest of these objects and uploads was written or begun, by S3's clock.
    pub written_at: Timestamp,
    /// The job's entry in the ledger, if there is one.
    pub entry: Option<JobEntry>,
}

impl Leftover {
    /// Returns whether nobody needs it any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let is_shared = self.keys.iter().any(|key| key.rsplit('/').next() == Some(SHARED));
        let needed_ms = if is_shared { JOB_KEPT_S * 1_000 } else { SUBMIT_MS_MAX };
        match &self.entry {
            Some(entry) => entry.phase.is_final(),
            None => now.since_ms(self.written_at) > needed_ms,
        }
    }

    /// Returns the latest time at which something is known to have happened to the job.
    pub fn last_at(&self) -> Timestamp {
        self.entry.as_ref().map_or(self.written_at, |entry| entry.ended_at.unwrap_or(entry.submitted_at))
    }
}

impl Conductor {
    /// Collects what the work bucket and the ledger hold of jobs, by job.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 or DynamoDB cannot be reached or
    /// refuses.
    pub async fn leftovers(&self) -> Result<BTreeMap<JobId, Leftover>> {
        let (bucket, mut found) = (&self.stack.work_bucket, BTreeMap::<JobId, Leftover>::new());
        let job_of = |key: &str| key.strip_prefix(JOBS)?.split('/').next()?.parse::<JobId>().ok();
        let mut page = None;
        loop {
            let Page { objects, next } = self.objects.list_page(bucket, JOBS, page).await?;
            for object in objects {
                let Some(job) = job_of(&object.key) else { continue };
                let leftover = found.entry(job).or_default();
                leftover.bytes += object.size;
                leftover.written_at = leftover.written_at.max(object.modified);
                leftover.keys.push(object.key);
            }
            page = next;
            if page.is_none() {
                break;
            }
        }
        for left in self.objects.uploads(bucket, JOBS).await? {
            let Some(job) = job_of(&left.key) else { continue };
            let leftover = found.entry(job).or_default();
            leftover.written_at = leftover.written_at.max(left.begun_at);
            leftover.uploads.push(left);
        }
        // The ledger is read last: a running job whose objects were listed above has its entry by now, unless a driver is
        // just submitting it.
        for entry in self.ledger.jobs().await? {
            let leftover = found.entry(entry.job.clone()).or_default();
            leftover.entry = Some(entry);
        }
        Ok(found)
    }

    /// Removes all that there is of a job that is over, whatever it is.
    ///
    /// # Errors
    /// Returns a service error when S3 or DynamoDB cannot be reached or refuses; it can be called again then.
    pub async fn forget_all(&self, job: &JobId) -> Result<()> {
        let (bucket, prefix) = (&self.stack.work_bucket, Self::prefix(job));
        let keys = self.objects.list(bucket, &prefix).await?.into_iter().map(|object| object.key).collect();
        let uploads = self.objects.uploads(bucket, &prefix).await?;
        self.forget(job, &Leftover { keys, uploads, ..Leftover::default() }).await.map(drop)
    }

    /// Removes what is left of a job that is over, its ledger entry last. Returns the number of ledger items removed.
    ///
    /// # Errors
    /// Returns a service error when S3 or DynamoDB cannot be reached or refuses; what is left can be cleaned again.
    pub async fn forget(&self, job: &JobId, leftover: &Leftover) -> Result<u64> {
        let bucket = &self.stack.work_bucket;
        // Attempts that ran on after the job had ended may have left something in its output. This comes before the spec is
        // deleted, which alone says where that is.
        match self.spec(job).await {
            Ok(spec) if spec.writes_output() => {
                if let Err(error) = self.clear_late(job, &spec.output).await {
                    tracing::warn!(%job, output = spec.output.shown, %error, "looking for what was left in an output");
                }
            }
            _ => {}
        }
        for LeftUpload { key, id, .. } in &leftover.uploads {
            self.objects.abort_upload(bucket, key, id).await?;
        }
        self.objects.delete(bucket, &leftover.keys).await?;
        self.ledger.forget(job).await
    }
}

/// The prefix of all jobs' keys.
const JOBS: &str = "jobs/";
