//! What jobs leave behind: found, counted and removed.
//!
//! A job that has ended needs nothing any more of what it kept in the work bucket and in the ledger; both forget it by
//! themselves after [`JOB_KEPT_S`]. Whoever does not want to wait so long, or to pay for it,
//! cleans.
//!
//! Whose is an object of which the ledger knows no job? A driver's that submits one just now and writes its input first, for at
//! most [`SUBMIT_MS_MAX`]; or that of calls to which a value was given ([`SHARED`]), for as long as the stack keeps it. Neither is
//! removed. How old it is, S3 says.

use crate::conduct::Conductor;
use crate::ledger::JobEntry;
use crate::objects::{LeftUpload, Page};
use kinglet_core::Result;
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::limits::JOB_KEPT_S;
use std::collections::BTreeMap;

/// The longest that a driver may take from the first object of a job to its entry in the ledger, in milliseconds (a day).
pub const SUBMIT_MS_MAX: u64 = 24 * 3_600_000;

/// The last part of the key of a value that calls share: it belongs to no job, and is kept as long as one.
pub const SHARED: &str = "shared";

/// What is left of one job in the work bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftover {
    /// Keys of its objects.
    pub keys: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
    /// Multipart uploads that were not finished.
    pub uploads: Vec<LeftUpload>,
    /// When the last of these was written or begun, by S3's clock.
    pub written_at: Timestamp,
    /// The ledger's entry of it, where it has one.
    pub entry: Option<JobEntry>,
}

impl Leftover {
    /// Whether nobody needs it any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let is_shared = self.keys.iter().any(|key| key.rsplit('/').next() == Some(SHARED));
        let needed_ms = if is_shared { JOB_KEPT_S * 1_000 } else { SUBMIT_MS_MAX };
        match &self.entry {
            Some(entry) => entry.phase.is_final(),
            None => now.since_ms(self.written_at) > needed_ms,
        }
    }

    /// The last that is known to have happened to it.
    pub fn last_at(&self) -> Timestamp {
        self.entry.as_ref().map_or(self.written_at, |entry| entry.ended_at.unwrap_or(entry.submitted_at))
    }
}

impl Conductor {
    /// What the work bucket and the ledger hold of jobs, by job.
    ///
    /// # Errors
    /// What S3 and DynamoDB report.
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
        // Read last: a job whose objects were listed above, and which is at work, has its entry by now, unless a driver is just
        // submitting it.
        for entry in self.ledger.jobs().await? {
            let leftover = found.entry(entry.job.clone()).or_default();
            leftover.entry = Some(entry);
        }
        Ok(found)
    }

    /// Removes what is left of a job that is over, the ledger's entry last. Returns how many items of the ledger it had.
    ///
    /// # Errors
    /// What S3 and DynamoDB report; then what is left can be cleaned again.
    pub async fn forget(&self, job: &JobId, leftover: &Leftover) -> Result<u64> {
        let bucket = &self.stack.work_bucket;
        // While its spec still says where: what attempts have left in its output that ran on after the job had ended.
        match self.spec(job).await {
            Ok(spec) if spec.writes_output() => {
                let late = async {
                    self.abort_uploads(&spec.output, job, false).await?;
                    self.drop_late_claim(job, &spec.output).await
                };
                if let Err(error) = late.await {
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

/// What the keys of all jobs start with.
const JOBS: &str = "jobs/";
