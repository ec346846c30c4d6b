//! The sequence of publishing; see the [parent module](super).

use super::claim::{Claim, lost};
use crate::conductor::Conductor;
use crate::ledger::Committed;
use crate::objects::{Completed, Replace};
use crate::upload::Upload;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::ids::JobId;
use kinglet_core::ledger::Phase;
use kinglet_core::limits::UPLOADS_COMPLETED_AT_ONCE;
use kinglet_core::manifest::Manifest;
use kinglet_core::wire::files::{FileList, LeftFile};
use kinglet_core::wire::owner::{Owner, Replaced};
use kinglet_core::wire::record::{MapRecord, MergeRecord, OpenUpload, ReduceRecord, numbered};
use kinglet_core::wire::spec::{JobSpec, OutputSpec};
use kinglet_core::{Code, Error, Result};

/// How often the manifest's upload is made anew after S3 has refused to complete it.
const MANIFEST_UPLOADS_MAX: u32 = 5;

/// How often, and after what pauses, a part is looked for whose upload is gone: S3 may still be assembling it.
const COMPLETION_LOOKS: u32 = 5;
const COMPLETION_PAUSE: std::time::Duration = std::time::Duration::from_secs(2);

/// How many uploads a publisher prepares to complete, which takes some kilobytes for each.
const UPLOADS_PREPARED: usize = 16 * UPLOADS_COMPLETED_AT_ONCE;

/// What is to be published.
pub(crate) struct Publication {
    pub(crate) spec: JobSpec,
    /// What the map tasks have committed, whose runs go when it is published.
    pub(crate) maps: Committed<MapRecord>,
    /// What the merge tasks have committed, if there are any, whose runs go as well.
    pub(crate) merges: Committed<MergeRecord>,
    /// What the reduce tasks have committed, one piece after the other.
    pub(crate) reduces: Vec<ReduceRecord>,
    /// The files that those have left in folders, which have.
    pub(crate) files: Vec<FileList>,
    pub(crate) manifest: Manifest,
}

/// What a reduce task has written and is to be published.
struct Written<'a> {
    key: String,
    upload: Option<&'a OpenUpload>,
    bytes: u64,
}

/// Returns what is to be published, in the order of the manifest: the records that were left out, if there are any, and the parts.
fn written<'a>(job: &JobId, spec: &JobSpec, reduces: &'a [ReduceRecord], files: &'a [FileList]) -> Vec<Written<'a>> {
    let (mut all, mut lists) = (Vec::new(), files.iter());
    let has_folders = !spec.output.format.partition_by().is_empty();
    for of in numbered(reduces) {
        let is_quarantine = spec.is_quarantine(of.partition);
        if has_folders && !is_quarantine {
            if of.record.files > 0 {
                let list = lists.next().into_iter().flat_map(|list| &list.files);
                all.extend(list.map(|LeftFile { name, upload, bytes, .. }| Written {
                    key: format!("{}{name}", spec.output.prefix),
                    upload: Some(upload),
                    bytes: *bytes,
                }));
            }
        } else if !is_quarantine || of.record.records_out > 0 {
            let key = spec.key_of(of.partition, of.piece, job);
            all.push(Written { key, upload: of.record.upload.as_ref(), bytes: of.record.bytes_out });
        }
    }
    all
}

impl Conductor {
    /// Starts the upload that will become the manifest. It is empty.
    pub(crate) async fn begin_manifest(&self, output: &OutputSpec) -> Result<String> {
        self.objects.begin_upload(&output.bucket, &output.manifest_key()).await
    }

    /// Goes through the sequence of publishing, from any step; see the module.
    ///
    /// # Errors
    /// Returns a service error when a service cannot be reached or refuses; another process then goes on. `output-taken` and
    /// `output-changed` say that the output is not the job's any more; `turn-taken`, that another process has ended the job.
    pub(crate) async fn publish_output(
        &self,
        job: &JobId,
        publication: Publication,
        upload: Option<String>,
    ) -> Result<()> {
        let Publication { spec, reduces, files, mut manifest, .. } = publication;
        let written = written(job, &spec, &reduces, &files);
        let output = &spec.output;
        let key = output.manifest_key();
        let (mut claim, there) = tokio::try_join!(self.claim_of(job, output), self.objects.head(&output.bucket, &key))?;
        let replaced = |owner: &Owner| owner.replaces.as_ref().map(|replaces| replaces.etag.clone());
        let there = there.map(|there| there.etag);
        if let Some(claim) = claim.as_mut().filter(|claim| replaced(&claim.owner) == there) {
            // From here on, another stack takes the claim for dead only after an hour.
            claim.etag = self.renew_if_old(output, claim).await?;
            let etags = self.complete_all(output, &written).await?;
            for (entry, etag) in manifest.written_mut().zip(etags) {
                entry.etag = Some(etag);
            }
            self.complete_manifest(job, output, &manifest, claim.owner.replaces.as_ref(), upload).await?;
        } else if !self.is_published(job, output).await? {
            return Err(if claim.is_none() { lost(output) } else { changed(output) });
        }
        self.clean_published(job, output, claim).await
    }

    /// Completes the uploads of all that was written. Returns their ETags, in order.
    async fn complete_all(&self, output: &OutputSpec, written: &[Written<'_>]) -> Result<Vec<String>> {
        let mut etags = Vec::with_capacity(written.len());
        for some in written.chunks(UPLOADS_PREPARED) {
            // The futures are made before the stream: otherwise the compiler does not see that it is `Send`.
            let parts: Vec<_> = some.iter().map(|written| self.complete_one(output, written)).collect();
            let mut completed = stream::iter(parts).buffered(UPLOADS_COMPLETED_AT_ONCE);
            while let Some(etag) = completed.try_next().await? {
                etags.push(etag);
            }
        }
        Ok(etags)
    }

    async fn complete_one(&self, output: &OutputSpec, written: &Written<'_>) -> Result<String> {
        let Written { key, upload, bytes } = written;
        let missing = |what: &str| {
            let message = format!("publishing {}: {what}", output.shown_key(key));
            Error::new(Code::OutputChanged, message)
                .with_hint("something else removed it, as a lifecycle rule of the bucket may: run the job again")
        };
        let upload = upload.ok_or_else(|| missing("its attempt has left no upload"))?;
        match self.objects.complete(&output.bucket, key, upload, &Replace::Yes).await? {
            Completed::Done(etag) => Ok(etag),
            // It was completed before: by this request, its reply lost, or by the previous holder of the turn.
            Completed::Gone | Completed::Refused => {
                for look in 0..COMPLETION_LOOKS {
                    if look > 0 {
                        // S3 may still be completing it for another process.
                        tokio::time::sleep(COMPLETION_PAUSE).await;
                    }
                    match self.objects.head(&output.bucket, key).await? {
                        Some(there) if there.size == *bytes => return Ok(there.etag),
                        Some(_) => return Err(missing("something else is there")),
                        None => {}
                    }
                }
                Err(missing("its upload is gone"))
            }
        }
    }

    /// Completes the manifest's upload: the moment in which the new result becomes visible.
    async fn complete_manifest(
        &self,
        job: &JobId,
        output: &OutputSpec,
        manifest: &Manifest,
        replaces: Option<&Replaced>,
        mut upload: Option<String>,
    ) -> Result<()> {
        let key = output.manifest_key();
        let mut text = serde_json::to_vec_pretty(manifest)
            .map_err(|e| Error::new(Code::Manifest, format!("writing the manifest of job {job}: {e}")))?;
        text.push(b'\n');
        let replace = replaces.map_or(Replace::No, |replaces| Replace::Only(replaces.etag.clone()));
        for round in 0..MANIFEST_UPLOADS_MAX {
            // In the first round, the caller has just read the ledger.
            if round > 0 || upload.is_none() {
                let view = self.ledger.job(job).await?;
                upload = view.manifest_upload.filter(|_| view.phase == Phase::Publishing);
            }
            let Some(id) = upload.clone() else {
                return Err(over(job)); // Another process has ended the job, one way or the other.
            };
            if round > 0 && self.claim_of(job, output).await?.is_none() {
                return Err(lost(output));
            }
            let sent = Upload::resume(&self.objects, &output.bucket, &key, &id).send_all(text.clone().into()).await?;
            let done = match sent {
                Some(etags) => {
                    let upload = OpenUpload { id: id.clone(), etags };
                    self.objects.complete(&output.bucket, &key, &upload, &replace).await?
                }
                None => Completed::Gone,
            };
            match done {
                Completed::Done(_) => return Ok(()),
                Completed::Refused | Completed::Gone => {}
            }
            if self.is_published(job, output).await? {
                return Ok(()); // By this request, its reply lost, or by another process.
            }
            if done == Completed::Refused {
                return Err(changed(output));
            }
            // Nobody has completed the upload, and it is gone: S3 may give an upload up after a conflict, and so may a
            // lifecycle rule. Or an heir, to whom the output belongs now, has aborted it; the next round sees that. An heir
            // takes the output before it aborts, and a process that begins an upload looks at the claim before it completes
            // it, so one of them sees the other. S3 also answers so when a part was sent again. The abort covers that too: of
            // two uploads, the old one could otherwise be completed later.
            self.objects.abort_upload(&output.bucket, &key, &id).await?;
            let again = self.begin_manifest(output).await?;
            if !self.ledger.replace_manifest_upload(job, &id, &again).await? {
                self.objects.abort_upload(&output.bucket, &key, &again).await?;
            }
        }
        Err(Error::new(Code::Upload, format!("the upload of {} is gone again and again", output.shown_key(&key))))
    }

    /// Returns whether a job's result is visible, or was before another job took the output.
    async fn is_published(&self, job: &JobId, output: &OutputSpec) -> Result<bool> {
        let manifest = match self.read_manifest(output).await {
            // Something else is there.
            Err(error) if error.is(Code::OutputExists) => None,
            read => read?,
        };
        if manifest.is_some_and(|stored| stored.manifest.job == job.as_str()) {
            return Ok(true);
        }
        // The claim is removed only after the ledger has noted the result. So another job may have the output by now, and its
        // result be there.
        let publishing = self.ledger.publishing(job).await?;
        if publishing.phase == Phase::Publishing { Ok(publishing.is_noted) } else { Err(over(job)) }
    }

    /// Continues publishing after the result is visible. Returns whether it is visible.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses;
    /// another process then goes on. Returns `turn-taken` when the job is not publishing any more.
    pub(crate) async fn publish_rest(&self, job: &JobId, output: &OutputSpec) -> Result<bool> {
        if !self.is_published(job, output).await? {
            return Ok(false);
        }
        let claim = self.claim_of(job, output).await?;
        self.clean_published(job, output, claim).await.map(|()| true)
    }

    /// Does steps 4 and 5. The result is visible, so what cannot be removed any more must not keep the job from its end.
    async fn clean_published(&self, job: &JobId, output: &OutputSpec, claim: Option<Claim>) -> Result<()> {
        let replaces = claim.as_ref().and_then(|claim| claim.owner.replaces.as_ref());
        self.tolerate(job, "removing what was replaced", self.remove_replaced(output, replaces).await)?;
        if output.success_marker {
            // It says only that a whole result is there, which stays so: a late process may write it again.
            let marked = self.objects.put(&output.bucket, &output.success_key(), Bytes::new(), Replace::Yes).await;
            self.tolerate(job, "writing the marker of success", marked.map(drop))?;
        }
        let (aborted, noted) =
            tokio::join!(self.abort_uploads(output, job, claim.is_some()), self.ledger.published(job));
        self.tolerate(job, "aborting what attempts have left", aborted.map(drop))?;
        noted?;
        match claim {
            Some(claim) => self.tolerate(job, "giving the output free", self.release(job, output, claim.etag).await),
            None => Ok(()),
        }
    }

    /// Stops the publishing of a job for good: aborts its manifest's upload, so that nobody can complete it any more. Returns
    /// the id of that upload.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses.
    pub(crate) async fn stop_publishing(&self, job: &JobId, output: &OutputSpec) -> Result<Option<String>> {
        let upload = self.ledger.job(job).await?.manifest_upload;
        if let Some(id) = &upload {
            self.objects.abort_upload(&output.bucket, &output.manifest_key(), id).await?;
        }
        Ok(upload)
    }
}

/// Returns the error that another process has ended the job meanwhile, so that nothing is left to do.
fn over(job: &JobId) -> Error {
    Error::new(Code::TurnTaken, format!("another has taken job {job} to its end"))
}

fn changed(output: &OutputSpec) -> Error {
    let shown = output.shown_key(&output.manifest_key());
    Error::new(Code::OutputChanged, format!("{shown} was changed by something else while the job ran"))
        .with_hint("run the job again, or choose another output")
}
