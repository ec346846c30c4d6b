//! The claim of a job to its output.

use crate::conductor::Conductor;
use crate::objects::{Put, Replace};
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::limits::OUTPUT_LEASE_MS;
use kinglet_core::wire::owner::Owner;
use kinglet_core::wire::spec::OutputSpec;
use kinglet_core::{Code, Error, Result};

/// The most attempts to write a claim while another's claim is being given up.
pub(super) const CLAIMS_MAX: u32 = 20;

/// The claim that lies in an output.
pub(super) struct Claim {
    pub(super) owner: Owner,
    pub(super) etag: String,
    /// When the claim was written or renewed, by S3's clock.
    pub(super) since: Timestamp,
}

impl Claim {
    pub(super) fn is_of(&self, job: &JobId) -> bool {
        self.owner.job == *job
    }
}

impl Conductor {
    /// Reads the claim that lies in an output.
    pub(super) async fn claim(&self, output: &OutputSpec) -> Result<Option<Claim>> {
        let key = output.owner_key();
        let Some(there) = self.objects.read_small(&output.bucket, &key).await? else { return Ok(None) };
        let owner = Owner::read(&there.bytes, &output.shown_key(&key))?;
        Ok(Some(Claim { owner, etag: there.etag, since: there.modified }))
    }

    /// Reads the claim that lies in an output, if it is this job's.
    pub(super) async fn claim_of(&self, job: &JobId, output: &OutputSpec) -> Result<Option<Claim>> {
        Ok(self.claim(output).await?.filter(|claim| claim.is_of(job)))
    }

    /// Renews a claim that is ten minutes old or more. Returns the claim's ETag.
    pub(super) async fn renew_if_old(&self, output: &OutputSpec, claim: &Claim) -> Result<String> {
        if self.clients.clock.now().since_ms(claim.since) < OUTPUT_LEASE_MS / 6 {
            return Ok(claim.etag.clone());
        }
        let (bytes, replace) = (claim.owner.to_bytes()?, Replace::Only(claim.etag.clone()));
        match self.objects.put(&output.bucket, &output.owner_key(), bytes.into(), replace).await? {
            Put::Written(etag) => Ok(etag),
            // Another process of this job may have renewed it at the same time.
            Put::Refused => match self.claim(output).await? {
                Some(there) if there.is_of(&claim.owner.job) => Ok(there.etag),
                _ => Err(lost(output)),
            },
        }
    }

    /// Renews the claim of a job at work if it is ten minutes old or more, so that other stacks see that the job is alive.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn renew_output(&self, job: &JobId) -> Result<()> {
        let view = self.ledger.job(job).await?;
        if !view.writes_output || view.phase.is_final() {
            return Ok(());
        }
        let output = self.spec(job).await?.output;
        match self.claim_of(job, &output).await? {
            Some(claim) => self.renew_if_old(&output, &claim).await.map(drop),
            None => Ok(()),
        }
    }

    /// Removes a job's claim, which had this ETag a moment ago and may have been renewed since.
    pub(super) async fn release(&self, job: &JobId, output: &OutputSpec, mut etag: String) -> Result<()> {
        for _ in 0..CLAIMS_MAX {
            if self.objects.delete_version(&output.bucket, &output.owner_key(), &etag).await? {
                return Ok(());
            }
            match self.claim_of(job, output).await? {
                Some(renewed) => etag = renewed.etag,
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

pub(super) fn lost(output: &OutputSpec) -> Error {
    Error::new(Code::OutputTaken, format!("the output {} is not the job's any more", output.shown))
        .with_hint("somebody removed its `_owner.json`, or another job has taken it: run the job again")
}
