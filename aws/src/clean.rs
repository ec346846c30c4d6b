//! What jobs leave behind: found, counted and removed.
//!
//! A job that has ended needs nothing any more of what it kept in the work bucket and in the ledger; both forget it by
//! themselves after [`JOB_KEPT_S`](kinglet_core::limits::JOB_KEPT_S). Whoever does not want to wait so long, or to pay for it,
//! cleans.

use crate::conduct::Conductor;
use crate::errors::Doing;
use crate::ledger::JobEntry;
use kinglet_core::Result;
use kinglet_core::ids::{JobId, Timestamp};
use std::collections::BTreeMap;

/// What is left of one job in the work bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftover {
    /// Keys of its objects.
    pub keys: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
    /// Multipart uploads that were not finished: key and id.
    pub uploads: Vec<(String, String)>,
    /// The ledger's entry of it, where it has one.
    pub entry: Option<JobEntry>,
}

impl Leftover {
    /// Whether the job is over: it has ended, or the ledger does not know it any more.
    pub fn is_over(&self) -> bool {
        self.entry.as_ref().is_none_or(|entry| entry.phase.is_final())
    }

    /// The last that is known to have happened to it.
    pub fn last_at(&self, job: &JobId) -> Timestamp {
        let of_entry = self.entry.as_ref().map(|entry| entry.ended_at.unwrap_or(entry.submitted_at));
        of_entry.or(job.created_at()).unwrap_or_default()
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
            let (listed, more) = self.objects.list_page(bucket, JOBS, page).await?;
            for object in listed {
                let Some(job) = job_of(&object.key) else { continue };
                let leftover = found.entry(job).or_default();
                leftover.bytes += object.size;
                leftover.keys.push(object.key);
            }
            page = more;
            if page.is_none() {
                break;
            }
        }
        for (key, id) in self.objects.uploads(bucket, JOBS).await? {
            let Some(job) = job_of(&key) else { continue };
            found.entry(job).or_default().uploads.push((key, id));
        }
        // Read last: a job whose objects were listed above, and which is at work, has its entry by now; but for the moment
        // between the two in which a driver submits it, which its id tells.
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
        for (key, id) in &leftover.uploads {
            self.objects.abort_upload(bucket, key, id).await?;
        }
        self.objects.delete(bucket, &leftover.keys).await?;
        self.ledger.forget(job).await
    }
}

/// What the keys of all jobs start with.
const JOBS: &str = "jobs/";

impl crate::Objects {
    /// The multipart uploads that are under way or were left, as key and id.
    ///
    /// # Errors
    /// What S3 reports.
    pub async fn uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<(String, String)>> {
        let doing = Doing::now(format!("listing the uploads of s3://{bucket}/{prefix}"));
        let (mut found, mut from) = (Vec::new(), (None, None));
        loop {
            let request = self.s3.list_multipart_uploads().bucket(bucket).prefix(prefix);
            let request = request.set_key_marker(from.0).set_upload_id_marker(from.1);
            let got = request.send().await.map_err(|e| doing.failed(&e))?;
            let pairs = got.uploads.unwrap_or_default().into_iter();
            found.extend(pairs.filter_map(|upload| Some((upload.key?, upload.upload_id?))));
            if !got.is_truncated.unwrap_or(false) {
                return Ok(found);
            }
            from = (got.next_key_marker, got.next_upload_id_marker);
        }
    }

    /// Gives up an upload that somebody left.
    ///
    /// # Errors
    /// What S3 reports, but for its absence.
    pub async fn abort_upload(&self, bucket: &str, key: &str, id: &str) -> Result<()> {
        let doing = Doing::now(format!("aborting an upload of s3://{bucket}/{key}"));
        match self.s3.abort_multipart_upload().bucket(bucket).key(key).upload_id(id).send().await {
            Ok(_) => Ok(()),
            Err(e) if crate::errors::code(&e).as_deref() == Some("NoSuchUpload") => Ok(()),
            Err(e) => Err(doing.failed(&e)),
        }
    }
}
