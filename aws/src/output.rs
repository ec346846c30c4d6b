//! A job's output: claimed before the job works, published in one sequence when it succeeds, and left as it was when it does
//! not.
//!
//! What lies in an output, and who writes and removes it:
//!
//! | object | what it is | who writes it | who removes it |
//! |---|---|---|---|
//! | `_owner.json` | the claim of the job at work ([`kinglet_core::wire::owner`]) | the job's driver or splitter, where there is no claim, or in place of a dead job's, by its ETag | the process that ends that job, by the claim's ETag; an heir |
//! | `part-<partition>-<job>` | a part | the process that ends that job, by completing the upload that a reducer has left open | by its ETag: a job that replaces the result, as the manifest lists it; the process that ends the same job without success; an heir of it |
//! | `_manifest.json` | what the result is | the process that ends the job, by completing the upload in the ledger, on the condition that there is still what the job found | a user |
//! | anything else | the user's | the user | the user |
//!
//! An *heir* is a job that takes the output in place of a dead job's claim.
//!
//! **Publishing** is a sequence that any process can continue from any step, as each step can be done twice:
//!
//! 1. The ledger says *publishing*. From here on nobody can cancel the job, and only a stranger in its output, or an output
//!    that cannot be written any more, makes it fail.
//! 2. The claim is checked, and the parts' uploads are completed.
//! 3. The manifest's upload is completed, with `If-Match` of the manifest that it replaces or `If-None-Match`: **now the
//!    result is the new one**.
//! 4. The parts of the replaced result are removed, and the uploads that attempts have left are aborted.
//! 5. The ledger notes that the result is visible, the claim is removed, and the ledger says *succeeded*. The note precedes
//!    the removal of the claim because another job may replace the result afterwards, which a late process must not take for
//!    a loss.
//!
//! **Undoing** is the other sequence: uploads are aborted, published parts are removed, then the claim; the ledger says
//! *failed* or *cancelled*.
//!
//! **Zombies.** An upload can be completed once or aborted once. A process that wakes up late, at any step of either
//! sequence, finds its uploads used up and the ETags that it demands gone. A reducer's late upload is no object. So nothing
//! late changes what a reader sees.

use crate::conductor::Conductor;
use crate::ledger::Committed;
use crate::objects::{Completed, LeftUpload, Put, Replace, Version};
use crate::upload::Upload;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::ids::{JobId, Partition, Timestamp};
use kinglet_core::ledger::{JobView, Phase};
use kinglet_core::limits::{OUTPUT_LEASE_MS, UPLOADS_COMPLETED_AT_ONCE};
use kinglet_core::manifest::Manifest;
use kinglet_core::wire::owner::{Heritage, Owner, Replaced, ReplacedPart, VERSION};
use kinglet_core::wire::record::{MapRecord, OpenUpload, ReduceRecord};
use kinglet_core::wire::spec::{JobSpec, OutputSpec, PART, part_job};
use kinglet_core::{Code, Error, Result};

/// The most attempts to write a claim while another's claim is being given up.
const CLAIMS_MAX: u32 = 20;

/// The pause between two attempts.
const CLAIM_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// How often the manifest's upload is made anew after S3 has refused to complete it.
const MANIFEST_UPLOADS_MAX: u32 = 5;

/// How often, and after what pauses, a part is looked for whose upload is gone: S3 may still be assembling it.
const COMPLETION_LOOKS: u32 = 5;
const COMPLETION_PAUSE: std::time::Duration = std::time::Duration::from_secs(2);

/// How a job stands whose claim is in the way.
enum Standing {
    /// It goes on.
    Alive(String),
    /// It is of a ledger that cannot be asked, and counts as dead after `left_min` more minutes.
    Stranger {
        /// Of which ledger, and how long ago it claimed the output.
        how: String,
        left_min: u64,
    },
    /// It is ending, or this call has started to end it.
    Ending,
    /// It will never do anything again.
    Dead,
}

/// The claim that lies in an output.
struct Claim {
    owner: Owner,
    etag: String,
    /// When the claim was written or renewed, by S3's clock.
    since: Timestamp,
}

impl Claim {
    fn is_of(&self, job: &JobId) -> bool {
        self.owner.job == *job
    }
}

/// The manifest that lies in an output.
pub struct StoredManifest {
    /// The manifest.
    pub manifest: Manifest,
    /// Its ETag.
    pub etag: String,
}

impl Conductor {
    /// Returns the name of this stack's ledger in claims. On AWS the name of the work bucket identifies the stack, as it is
    /// unique; for a server elsewhere, its URL does.
    fn ledger_name(&self) -> String {
        // An endpoint of AWS's own, as in a VPC, leads to the same table.
        let is_aws = |url: &String| url.trim_end_matches('/').ends_with(".amazonaws.com");
        match self.clients.dynamodb_url.as_ref().filter(|url| !is_aws(url)) {
            Some(url) => format!("{}/{}", url.trim_end_matches('/'), self.stack.table),
            None => format!("{}/{}", self.objects.region().unwrap_or_default(), self.stack.work_bucket),
        }
    }

    /// Takes the output for a job, unless it has it already, and cleans up what a dead job has left there. A caller that is
    /// `alone` knows that no job of an unknown ledger is at work there.
    ///
    /// # Errors
    /// Returns `output-taken` when another job at work has the output, which the message names; `output-exists` when there is
    /// a result and it may not be replaced; `output-contended` when the claim changes hands all the time; or a service error
    /// of S3 or DynamoDB.
    pub async fn take_output(&self, job: &JobId, spec: &JobSpec, alone: bool) -> Result<()> {
        let output = &spec.output;
        let (bucket, key) = (&output.bucket, output.owner_key());
        let named = |e: Error| e.context(format!("output {}", output.shown));
        let (mut inherits, mut replace, mut ending) = (vec![], Replace::No, None);
        for _ in 0..CLAIMS_MAX {
            let (job, name) = (job.clone(), spec.job.clone());
            let owner = Owner { version: VERSION, job, name, ledger: self.ledger_name(), replaces: None, inherits };
            let bytes = owner.to_bytes()?;
            if let Put::Written(etag) = self.objects.put(bucket, &key, bytes.into(), replace).await.map_err(named)? {
                return self.settle_claim(spec, owner, etag).await.map_err(named);
            }
            (inherits, replace) = match self.claim(output).await.map_err(named)? {
                Some(claim) if claim.is_of(&owner.job) => {
                    return self.settle_claim(spec, claim.owner, claim.etag).await.map_err(named);
                }
                None => (vec![], Replace::No),
                Some(Claim { owner: there, etag, since }) => match self.standing(&there, since, alone).await? {
                    Standing::Alive(how) => return Err(taken(output, &there, &how)),
                    Standing::Stranger { how, left_min } => {
                        return Err(taken_by_stranger(output, &there, &how, left_min));
                    }
                    Standing::Ending => {
                        ending = Some(there);
                        tokio::time::sleep(CLAIM_PAUSE).await;
                        (vec![], Replace::No)
                    }
                    Standing::Dead => (there.heritage(), Replace::Only(etag)),
                },
            };
        }
        if let Some(there) = ending {
            return Err(taken(output, &there, "it ends just now"));
        }
        let message = format!("the output {} changes hands all the time", output.shown);
        Err(Error::new(Code::OutputContended, message)
            .with_hint("several jobs are started on it at once: choose others"))
    }

    /// Takes the output like [`Self::take_output`], for a job whose driver has most likely taken it.
    ///
    /// # Errors
    /// Returns the errors of [`Self::take_output`].
    pub async fn keep_output(&self, job: &JobId, spec: &JobSpec) -> Result<()> {
        let named = |e: Error| e.context(format!("output {}", spec.output.shown));
        match self.claim(&spec.output).await.map_err(named)? {
            Some(claim) if claim.is_of(job) => self.settle_claim(spec, claim.owner, claim.etag).await.map_err(named),
            _ => self.take_output(job, spec, false).await,
        }
    }

    /// Cleans up after the jobs that had the output before, and records in the claim what the job's result will replace. This
    /// must follow the claim: only then does nobody else change the output.
    async fn settle_claim(&self, spec: &JobSpec, owner: Owner, etag: String) -> Result<()> {
        let output = &spec.output;
        // The order matters: what is not completed by now never will be, so the manifest that is read next is the one that
        // stays.
        for heritage in &owner.inherits {
            tracing::info!(job = %heritage.job, output = output.shown, "putting in order what a dead job has left");
            self.abort_uploads(output, &heritage.job, true).await?;
        }
        let manifest = self.read_manifest(output).await?;
        for heritage in &owner.inherits {
            self.clear_after(output, heritage, manifest.as_ref().map(|stored| &stored.manifest)).await?;
        }
        let replaces = manifest.map(replaced);
        if replaces.as_ref().is_some_and(|replaces| replaces.job == owner.job.as_str()) {
            return Ok(()); // It is the job's own: this process is late.
        }
        if replaces.is_some() && !output.overwrite {
            // The claim is given back: it has changed nothing.
            self.objects.delete_version(&output.bucket, &output.owner_key(), &etag).await?;
            return Err(exists(output, &output.manifest_key()));
        }
        if owner.replaces == replaces && owner.inherits.is_empty() {
            return Ok(());
        }
        let (settled, mut etag) = (Owner { replaces, inherits: vec![], ..owner }, etag);
        for _ in 0..CLAIMS_MAX {
            let bytes = settled.to_bytes()?.into();
            let replace = Replace::Only(etag);
            if let Put::Written(_) = self.objects.put(&output.bucket, &output.owner_key(), bytes, replace).await? {
                return Ok(());
            }
            // Another process of this job has settled or renewed the claim; or an heir has it, which the job will see when it
            // publishes.
            match self.claim(output).await? {
                Some(claim) if claim.is_of(&settled.job) && claim.owner != settled => etag = claim.etag,
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Reads the claim that lies in an output.
    async fn claim(&self, output: &OutputSpec) -> Result<Option<Claim>> {
        let key = output.owner_key();
        let Some(there) = self.objects.read_small(&output.bucket, &key).await? else { return Ok(None) };
        let owner = Owner::read(&there.bytes, &output.shown_key(&key))?;
        Ok(Some(Claim { owner, etag: there.etag, since: there.modified }))
    }

    /// Reads the claim that lies in an output, if it is this job's.
    async fn claim_of(&self, job: &JobId, output: &OutputSpec) -> Result<Option<Claim>> {
        Ok(self.claim(output).await?.filter(|claim| claim.is_of(job)))
    }

    /// Returns how the job stands that has claimed an output. A job of this ledger that only needs to be ended is ended.
    async fn standing(&self, owner: &Owner, since: Timestamp, alone: bool) -> Result<Standing> {
        if owner.ledger != self.ledger_name() {
            if alone {
                return Ok(Standing::Dead);
            }
            // That ledger cannot be asked; its stack renews the claims of its jobs every ten minutes. Both times are S3's.
            let age_ms = self.now().since_ms(since);
            if age_ms > OUTPUT_LEASE_MS {
                return Ok(Standing::Dead);
            }
            let left_min = (OUTPUT_LEASE_MS - age_ms).div_ceil(60_000);
            let how = format!("for {}, {} s ago", owner.ledger, age_ms / 1_000);
            return Ok(Standing::Stranger { how, left_min });
        }
        let view = match self.ledger.job(&owner.job).await {
            Ok(view) => view,
            Err(error) if error.is(Code::JobMissing) => return Ok(Standing::Dead),
            Err(error) => return Err(error),
        };
        let ends = matches!(view.phase, Phase::Publishing | Phase::Undoing);
        let has_outlived = view.phase_at.splitting.is_some_and(|at| self.now().since_ms(at) > view.ms_max);
        match view.phase {
            phase if phase.is_final() => Ok(Standing::Dead),
            // The job waits for somebody to end it.
            _ if ends || has_outlived => {
                self.conduct(&owner.job).await?;
                Ok(Standing::Ending)
            }
            phase => Ok(Standing::Alive(phase.as_str().to_owned())),
        }
    }

    /// Reads the manifest that lies in an output.
    ///
    /// # Errors
    /// Returns `output-exists` when the object of this name is no manifest: nobody can tell what may be replaced. Or a
    /// service error of S3.
    pub async fn read_manifest(&self, output: &OutputSpec) -> Result<Option<StoredManifest>> {
        let key = output.manifest_key();
        let Some(there) = self.objects.read_small(&output.bucket, &key).await? else { return Ok(None) };
        let manifest = serde_json::from_slice(&there.bytes).map_err(|_| {
            Error::new(
                Code::OutputExists,
                format!("{} is there, and is no manifest of Kinglet's", output.shown_key(&key)),
            )
            .with_hint("choose another output, or remove that file if nobody needs it")
        })?;
        Ok(Some(StoredManifest { manifest, etag: there.etag }))
    }

    /// Refuses an output that holds a result which may not be replaced. Where none may be replaced, it also refuses other
    /// files that readers of `part-*` would take for parts of the new result.
    ///
    /// # Errors
    /// Returns `output-exists`; or a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached
    /// or refuses.
    pub async fn check_output(&self, output: &OutputSpec) -> Result<()> {
        let named = |e: Error| e.context(format!("output {}", output.shown));
        let prefix = format!("{}{PART}", output.prefix);
        let (manifest, parts) =
            tokio::try_join!(self.read_manifest(output), self.objects.list(&output.bucket, &prefix)).map_err(named)?;
        if manifest.is_some() && !output.overwrite {
            return Err(exists(output, &output.manifest_key()));
        }
        if let Some(stored) = &manifest
            && stored.manifest.parts.iter().any(|part| part.etag.is_none())
        {
            return Err(old(output));
        }
        let listed =
            |name: &str| manifest.iter().flat_map(|stored| &stored.manifest.parts).any(|part| part.name == name);
        let name = |key: &str| key.strip_prefix(&output.prefix).unwrap_or(key).to_owned();
        let is_strange = |name: &str| !name.contains('/') && !listed(name);
        let mut strange: Vec<_> = parts.into_iter().filter(|part| is_strange(&name(&part.key))).collect();
        if !strange.is_empty() {
            // Parts of a job at work, or of one that died, belong to its claim: the job that takes the output cleans them up.
            let heritage =
                self.claim(output).await.map_err(named)?.map(|claim| claim.owner.heritage()).unwrap_or_default();
            let is_claimed = |job: &JobId| heritage.iter().any(|claimed| claimed.job == *job);
            strange.retain(|part| !part_job(&name(&part.key)).is_some_and(|job| is_claimed(&job)));
        }
        match strange.first() {
            Some(part) if output.overwrite => {
                let (shown, count) = (output.shown_key(&part.key), strange.len());
                tracing::warn!(
                    count,
                    "{shown} is no part of a result and stays; readers of part-* will take it for one"
                );
                Ok(())
            }
            Some(part) => Err(exists(output, &part.key)),
            None => Ok(()),
        }
    }

    /// Removes a result: its manifest and the parts that the manifest lists.
    ///
    /// # Errors
    /// Returns `output-exists` when the object of a manifest's name is none; or a service error of S3.
    pub async fn remove_result(&self, output: &OutputSpec) -> Result<()> {
        let Some(stored) = self.read_manifest(output).await? else { return Ok(()) };
        // The manifest goes first: if this is interrupted, the rest does not look whole.
        if self.objects.delete_version(&output.bucket, &output.manifest_key(), &stored.etag).await? {
            self.remove_replaced(output, Some(&replaced(stored))).await?;
        }
        Ok(())
    }

    /// Renews a claim that is ten minutes old or more. Returns the claim's ETag.
    async fn renew_if_old(&self, output: &OutputSpec, claim: &Claim) -> Result<String> {
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

    /// Removes what a dead job has left: if its result was published, the parts of the result that it replaced; else its own
    /// parts.
    async fn clear_after(&self, output: &OutputSpec, dead: &Heritage, manifest: Option<&Manifest>) -> Result<()> {
        match manifest {
            Some(manifest) if manifest.job == dead.job.as_str() => {
                self.remove_replaced(output, dead.replaces.as_ref()).await
            }
            _ => self.remove_parts(output, &dead.job).await,
        }
    }

    /// Removes the published parts of a job.
    async fn remove_parts(&self, output: &OutputSpec, job: &JobId) -> Result<()> {
        let listed = self.objects.list(&output.bucket, &format!("{}{PART}", output.prefix)).await?;
        let its = listed.into_iter().filter(|object| is_part_of(output, job, &object.key));
        let versions = its.map(|object| Version { key: object.key, etag: Some(object.etag) }).collect();
        self.objects.delete_versions(&output.bucket, versions).await
    }

    /// Removes the parts of a result that was replaced.
    async fn remove_replaced(&self, output: &OutputSpec, replaced: Option<&Replaced>) -> Result<()> {
        let parts = replaced.iter().flat_map(|replaced| &replaced.parts);
        // Anyone can write a manifest: what it names must at least be a part, and lie in this output.
        let parts = parts.filter(|part| part.name.starts_with(PART) && !part.name.contains('/'));
        let Some(job) = replaced.map(|replaced| &replaced.job) else { return Ok(()) };
        let version = |part: &ReplacedPart| {
            // A job's id in the name identifies the part, even if copying or restoring has changed its ETag; else the ETag
            // must.
            let is_its = part_job(&part.name).is_some_and(|of| of.as_str() == job);
            let etag = part.etag.clone().filter(|_| !is_its);
            (is_its || etag.is_some()).then(|| Version { key: format!("{}{}", output.prefix, part.name), etag })
        };
        self.objects.delete_versions(&output.bucket, parts.filter_map(version).collect()).await
    }

    /// Aborts the uploads that a job has left. Those of its parts are known by their keys, which carry the job's id. With
    /// `of_manifest`, which needs the claim to the output, also those of the manifest: if one is the caller's own, it is used
    /// up already. Returns how many were aborted.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn abort_uploads(&self, output: &OutputSpec, job: &JobId, of_manifest: bool) -> Result<u64> {
        let prefix = if of_manifest { output.prefix.clone() } else { format!("{}{PART}", output.prefix) };
        let listed = self.objects.uploads(&output.bucket, &prefix).await?;
        self.abort_listed(output, job, listed, of_manifest).await
    }

    /// Aborts those of the listed uploads that are of a job's parts and, if told so, of the manifest. Returns how many were.
    async fn abort_listed(
        &self,
        output: &OutputSpec,
        job: &JobId,
        listed: Vec<LeftUpload>,
        of_manifest: bool,
    ) -> Result<u64> {
        let manifest = output.manifest_key();
        let mut aborted = 0;
        for left in listed {
            if is_part_of(output, job, &left.key) || of_manifest && left.key == manifest {
                self.objects.abort_upload(&output.bucket, &left.key, &left.id).await?;
                aborted += 1;
            }
        }
        Ok(aborted)
    }

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
        let Publication { spec, reduces, mut manifest, .. } = publication;
        let output = &spec.output;
        let key = output.manifest_key();
        let (mut claim, there) = tokio::try_join!(self.claim_of(job, output), self.objects.head(&output.bucket, &key))?;
        let replaced = |owner: &Owner| owner.replaces.as_ref().map(|replaces| replaces.etag.clone());
        let there = there.map(|there| there.etag);
        if let Some(claim) = claim.as_mut().filter(|claim| replaced(&claim.owner) == there) {
            // From here on, another stack takes the claim for dead only after an hour.
            claim.etag = self.renew_if_old(output, claim).await?;
            let parts = self.complete_parts(job, output, &reduces).await?;
            for (entry, etag) in manifest.parts.iter_mut().zip(parts) {
                entry.etag = Some(etag);
            }
            self.complete_manifest(job, output, &manifest, claim.owner.replaces.as_ref(), upload).await?;
        } else if !self.is_published(job, output).await? {
            return Err(if claim.is_none() { lost(output) } else { changed(output) });
        }
        self.clean_published(job, output, claim).await
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

    /// Does steps 4 and 5. The result is visible, so what cannot be removed any more must not keep the job from its end.
    async fn clean_published(&self, job: &JobId, output: &OutputSpec, claim: Option<Claim>) -> Result<()> {
        let replaces = claim.as_ref().and_then(|claim| claim.owner.replaces.as_ref());
        self.tolerate(job, "removing what was replaced", self.remove_replaced(output, replaces).await)?;
        let (aborted, noted) =
            tokio::join!(self.abort_uploads(output, job, claim.is_some()), self.ledger.published(job));
        self.tolerate(job, "aborting what attempts have left", aborted.map(drop))?;
        noted?;
        match claim {
            Some(claim) => self.tolerate(job, "giving the output free", self.release(job, output, claim.etag).await),
            None => Ok(()),
        }
    }

    /// Logs an error that no process can mend by trying again, and goes on without that step.
    fn tolerate(&self, job: &JobId, doing: &str, done: Result<()>) -> Result<()> {
        match done {
            Err(error) if self.decides(&error) => {
                tracing::warn!(%job, code = error.code(), %error, hint = error.hint(), "{doing}");
                Ok(())
            }
            done => done,
        }
    }

    /// Removes a job's claim, which had this ETag a moment ago and may have been renewed since.
    async fn release(&self, job: &JobId, output: &OutputSpec, mut etag: String) -> Result<()> {
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

    /// Completes the uploads of all parts. Returns their ETags, in order.
    async fn complete_parts(&self, job: &JobId, output: &OutputSpec, reduces: &[ReduceRecord]) -> Result<Vec<String>> {
        // The futures are made before the stream: otherwise the compiler does not see that it is `Send`.
        let parts = reduces
            .iter()
            .zip(0..)
            .map(|(record, partition)| self.complete_part(job, output, Partition(partition), record));
        let parts: Vec<_> = parts.collect();
        stream::iter(parts).buffered(UPLOADS_COMPLETED_AT_ONCE).try_collect().await
    }

    async fn complete_part(
        &self,
        job: &JobId,
        output: &OutputSpec,
        partition: Partition,
        record: &ReduceRecord,
    ) -> Result<String> {
        let key = output.part_key(partition.0, job);
        let missing = |what: &str| {
            let message = format!("publishing {}: {what}", output.shown_key(&key));
            Error::new(Code::OutputChanged, message)
                .with_hint("something else removed it, as a lifecycle rule of the bucket may: run the job again")
        };
        let upload = record.upload.as_ref().ok_or_else(|| missing("its attempt has left no upload"))?;
        match self.objects.complete(&output.bucket, &key, upload, &Replace::Yes).await? {
            Completed::Done(etag) => Ok(etag),
            // It was completed before: by this request, its reply lost, or by the previous holder of the turn.
            Completed::Gone | Completed::Refused => {
                for look in 0..COMPLETION_LOOKS {
                    if look > 0 {
                        // S3 may still be completing it for another process.
                        tokio::time::sleep(COMPLETION_PAUSE).await;
                    }
                    match self.objects.head(&output.bucket, &key).await? {
                        Some(there) if there.size == record.bytes_out => return Ok(there.etag),
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
        for (pieces, partition) in reduces.into_iter().zip(0..) {
            for upload in pieces.into_iter().filter_map(|record| record.upload) {
                let key = output.part_key(partition, job);
                self.tolerate(
                    job,
                    "aborting an upload",
                    self.objects.abort_upload(&output.bucket, &key, &upload.id).await,
                )?;
            }
        }
        if view.phase_at.reducing.is_some() {
            let aborted = self.abort_uploads(output, job, claim.is_some()).await.map(drop);
            self.tolerate(job, "aborting what attempts have left", aborted)?;
        }
        if let Some(upload) = &view.manifest_upload {
            let aborted = self.objects.abort_upload(&output.bucket, &output.manifest_key(), upload).await;
            self.tolerate(job, "aborting the manifest's upload", aborted)?;
            self.tolerate(job, "removing parts", self.remove_parts(output, job).await)?;
        }
        match claim {
            Some(claim) => self.give_back(job, output, claim).await,
            None => Ok(()),
        }
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

/// Returns whether a key is that of a part of a job.
fn is_part_of(output: &OutputSpec, job: &JobId, key: &str) -> bool {
    key.strip_prefix(&output.prefix).and_then(part_job).is_some_and(|of| of == *job)
}

/// What is to be published.
pub(crate) struct Publication {
    pub(crate) spec: JobSpec,
    /// What the map tasks have committed, whose runs go when it is published.
    pub(crate) maps: Committed<MapRecord>,
    pub(crate) reduces: Vec<ReduceRecord>,
    pub(crate) manifest: Manifest,
}

/// Returns the error that another process has ended the job meanwhile, so that nothing is left to do.
fn over(job: &JobId) -> Error {
    Error::new(Code::TurnTaken, format!("another has taken job {job} to its end"))
}

fn replaced(StoredManifest { manifest, etag }: StoredManifest) -> Replaced {
    let parts = manifest.parts.into_iter().map(|part| ReplacedPart { name: part.name, etag: part.etag });
    Replaced { job: manifest.job, etag, parts: parts.collect() }
}

fn taken(output: &OutputSpec, owner: &Owner, how: &str) -> Error {
    let Owner { job, name, .. } = owner;
    let message = format!("the output {} is taken by job {job} ({name}), which is at work ({how})", output.shown);
    Error::new(Code::OutputTaken, message).with_hint(format!(
        "wait for it (`kinglet attach {job}`), end it (`kinglet cancel {job}`), or choose another output"
    ))
}

fn taken_by_stranger(output: &OutputSpec, owner: &Owner, how: &str, left_min: u64) -> Error {
    let Owner { job, name, .. } = owner;
    let message =
        format!("the output {} is taken by job {job} ({name}) of another stack (claimed {how})", output.shown);
    Error::new(Code::OutputTaken, message).with_hint(format!(
        "choose another output; if that job is dead, its claim lapses in {left_min} min, or remove {}",
        output.shown_key(&output.owner_key())
    ))
}

fn exists(output: &OutputSpec, key: &str) -> Error {
    let message = format!("the output {} is taken: {} is there", output.shown, output.shown_key(key));
    Error::new(Code::OutputExists, message).with_hint(
        "choose another output, or pass --overwrite, which replaces a result of Kinglet's and leaves all other files",
    )
}

/// Returns the error for a manifest of version 1, which says neither whose its parts are nor what is in them: nobody can tell
/// whether they are still the same.
fn old(output: &OutputSpec) -> Error {
    let message =
        format!("the output {} holds a result of an earlier version, which cannot be replaced safely", output.shown);
    Error::new(Code::OutputExists, message).with_hint("choose another output, or remove that result first")
}

fn lost(output: &OutputSpec) -> Error {
    Error::new(Code::OutputTaken, format!("the output {} is not the job's any more", output.shown))
        .with_hint("somebody removed its `_owner.json`, or another job has taken it: run the job again")
}

fn changed(output: &OutputSpec) -> Error {
    let shown = output.shown_key(&output.manifest_key());
    Error::new(Code::OutputChanged, format!("{shown} was changed by something else while the job ran"))
        .with_hint("run the job again, or choose another output")
}
