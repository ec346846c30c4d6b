//! The sequence of undoing, and an output put in order when a job's attempts ran on after its end; see the [parent
//! module](super).

use super::claim::Claim;
use crate::conductor::Conductor;
use crate::runs::ReduceAttempt;
use kinglet_core::Result;
use kinglet_core::ids::{JobId, Partition, Piece, TaskIdx};
use kinglet_core::ledger::JobView;
use kinglet_core::wire::record::ReduceRecord;
use kinglet_core::wire::spec::{JobSpec, OutputSpec};

impl Conductor {
    /// Goes through the sequence of undoing, from any step; see the module.
    ///
    /// # Errors
    /// Returns a service error when a service cannot be reached or refuses and a retry may help; another process then goes
    /// on.
    pub(crate) async fn undo_output(&self, job: &JobId, spec: &JobSpec, view: &JobView) -> Result<()> {
        let output = &spec.output;
        let claim = match self.claim_of(job, output).await {
            Err(error) if self.decides(&error) => {
                tracing::warn!(%job, %error, "looking at the claim to an output");
                None
            }
            claim => claim?,
        };
        // The uploads of committed attempts are known without a listing, which may not be permitted.
        let partitions = if view.phase_at.reducing.is_some() { view.partitions } else { 0 };
        let reduces = self.ledger.committed::<ReduceRecord>(job, partitions).await?;
        for (pieces, partition) in reduces.into_iter().zip((0..).map(Partition)) {
            for (record, piece) in pieces.into_iter().zip((0..).map(Piece)) {
                if let Some(upload) = &record.upload {
                    let key = spec.key_of(partition, piece, job);
                    let aborted = self.objects.abort_upload(&output.bucket, &key, &upload.id).await;
                    self.tolerate(job, "aborting an upload", aborted)?;
                }
                let of = ReduceAttempt { task: TaskIdx(partition.0), piece, attempt: record.attempt };
                self.tolerate(job, "aborting files in folders", self.abort_files(job, output, of, &record).await)?;
            }
        }
        if view.phase_at.reducing.is_some() {
            let aborted = self.abort_uploads(output, job, claim.is_some()).await.map(drop);
            self.tolerate(job, "aborting what attempts have left", aborted)?;
        }
        if let Some(upload) = &view.manifest_upload {
            let aborted = self.objects.abort_upload(&output.bucket, &output.manifest_key(), upload).await;
            self.tolerate(job, "aborting the manifest's upload", aborted)?;
            self.tolerate(job, "removing parts", self.remove_parts(output, job, &output.written()).await)?;
        }
        match claim {
            Some(claim) => self.give_back(job, output, claim).await,
            None => Ok(()),
        }
    }

    /// Aborts the uploads of the files that an attempt has left in folders.
    ///
    /// # Errors
    /// Returns `object-missing` or `frame-corrupt` when the list of them is not what was written; or a service error of S3.
    pub async fn abort_files(
        &self,
        job: &JobId,
        output: &OutputSpec,
        of: ReduceAttempt,
        record: &ReduceRecord,
    ) -> Result<()> {
        let list = self.runs(job).files(of, record).await?;
        let uploads = list.files.into_iter().map(|file| (format!("{}{}", output.prefix, file.name), file.upload.id));
        self.objects.abort_uploads(&output.bucket, uploads.collect()).await
    }

    /// Releases the output of a job that publishes nothing, after cleaning up what the job has inherited there.
    async fn give_back(&self, job: &JobId, output: &OutputSpec, Claim { owner, etag, .. }: Claim) -> Result<()> {
        if !owner.inherits.is_empty() {
            for heritage in &owner.inherits {
                let aborted = self.abort_uploads(output, &heritage.job, true).await.map(drop);
                self.tolerate(job, "aborting what a dead job has left", aborted)?;
            }
            let manifest = match self.read_manifest(output).await {
                Err(error) if !self.decides(&error) => return Err(error),
                read => read.ok().flatten().map(|stored| stored.manifest),
            };
            for heritage in &owner.inherits {
                let cleared = self.clear_after(output, heritage, manifest.as_ref()).await;
                self.tolerate(job, "putting in order what a dead job has left", cleared)?;
            }
        }
        self.tolerate(job, "giving the output free", self.release(job, output, etag).await)
    }

    /// Removes from an output what attempts of a job have left there that ran on after its end: uploads of its parts, a claim
    /// that came late, and uploads of a manifest.
    ///
    /// An upload of a manifest does not say whose it is. But a job begins one only while it has the claim, so those that were
    /// there before nobody had a claim belong to nobody, and nobody knows their ids any more.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn clear_late(&self, job: &JobId, output: &OutputSpec) -> Result<()> {
        let listed = self.objects.uploads(&output.bucket, &output.prefix).await?;
        let is_free = self.claim(output).await?.is_none_or(|claim| claim.is_of(job));
        self.abort_listed(output, job, listed, is_free).await?;
        self.drop_late_claim(job, output).await
    }

    /// Releases an output that was claimed for a job which had ended by then.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn drop_late_claim(&self, job: &JobId, output: &OutputSpec) -> Result<()> {
        match self.claim_of(job, output).await? {
            Some(claim) => self.give_back(job, output, claim).await,
            None => Ok(()),
        }
    }
}
