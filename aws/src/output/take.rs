//! An output taken by a job, and refused if it is another's or holds what the job may not replace.

use super::claim::{CLAIMS_MAX, Claim};
use super::manifest::{exists, old, replaced};
use crate::conductor::Conductor;
use crate::objects::{Put, Replace};
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::ledger::Phase;
use kinglet_core::limits::OUTPUT_LEASE_MS;
use kinglet_core::wire::owner::{Owner, VERSION};
use kinglet_core::wire::spec::{JobSpec, OutputSpec, PART, part_job};
use kinglet_core::{Code, Error, Result};
use std::collections::HashSet;

/// The pause between two attempts.
const CLAIM_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

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

impl Conductor {
    /// Refuses an output that holds a result which may not be replaced. Where none may be replaced, it also refuses other
    /// files that readers of `part-*`, or of the output's folders, would take for parts of the new result.
    ///
    /// # Errors
    /// Returns `output-exists`; or a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached
    /// or refuses.
    pub async fn check_output(&self, output: &OutputSpec) -> Result<()> {
        let named = |e: Error| e.context(format!("output {}", output.shown));
        let prefix = format!("{}{PART}", output.prefix);
        let in_folders = async {
            match output.in_folders() {
                Some(beginning) => self.objects.list(&output.bucket, &beginning).await,
                None => Ok(vec![]),
            }
        };
        let listed = self.objects.list(&output.bucket, &prefix);
        let (manifest, parts, in_folders) =
            tokio::try_join!(self.read_manifest(output), listed, in_folders).map_err(named)?;
        if manifest.is_some() && !output.overwrite {
            return Err(exists(output, &output.manifest_key()));
        }
        if let Some(stored) = &manifest
            && stored.manifest.parts.iter().any(|part| part.etag.is_none())
        {
            return Err(old(output));
        }
        let listed: HashSet<&str> =
            manifest.iter().flat_map(|stored| &stored.manifest.parts).map(|part| &*part.name).collect();
        let name = |key: &str| key.strip_prefix(&output.prefix).unwrap_or(key).to_owned();
        let beside = parts.into_iter().filter(|part| !name(&part.key).contains('/'));
        let mut strange: Vec<_> = beside.chain(in_folders).collect();
        strange.retain(|part| !listed.contains(&*name(&part.key)));
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
                    "{shown} is no part of a result and stays; readers of part-* and of folders will take it for one"
                );
                Ok(())
            }
            Some(part) => Err(exists(output, &part.key)),
            None => Ok(()),
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
