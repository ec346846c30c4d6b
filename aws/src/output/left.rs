//! What jobs have left in an output: parts and records left out, and uploads of these and of manifests.

use crate::conductor::Conductor;
use crate::objects::{LeftUpload, Version};
use kinglet_core::Result;
use kinglet_core::ids::JobId;
use kinglet_core::manifest::Manifest;
use kinglet_core::wire::owner::{Heritage, Replaced, ReplacedPart};
use kinglet_core::wire::spec::{OutputSpec, WRITTEN, part_job};

impl Conductor {
    /// Removes what a dead job has left: if its result was published, the parts of the result that it replaced; else its own
    /// parts.
    pub(super) async fn clear_after(
        &self,
        output: &OutputSpec,
        dead: &Heritage,
        manifest: Option<&Manifest>,
    ) -> Result<()> {
        match manifest {
            Some(manifest) if manifest.job == dead.job.as_str() => {
                self.remove_replaced(output, dead.replaces.as_ref()).await
            }
            _ => self.remove_parts(output, &dead.job).await,
        }
    }

    /// Removes the published parts of a job, and the records that it has left out.
    pub(super) async fn remove_parts(&self, output: &OutputSpec, job: &JobId) -> Result<()> {
        let [parts, left_out] = WRITTEN.map(|name| format!("{}{name}", output.prefix));
        let (parts, left_out) =
            tokio::try_join!(self.objects.list(&output.bucket, &parts), self.objects.list(&output.bucket, &left_out))?;
        let its = parts.into_iter().chain(left_out).filter(|object| is_part_of(output, job, &object.key));
        let versions = its.map(|object| Version { key: object.key, etag: Some(object.etag) }).collect();
        self.objects.delete_versions(&output.bucket, versions).await
    }

    /// Removes the parts of a result that was replaced.
    pub(super) async fn remove_replaced(&self, output: &OutputSpec, replaced: Option<&Replaced>) -> Result<()> {
        let parts = replaced.iter().flat_map(|replaced| &replaced.parts);
        // Anyone can write a manifest: what it names must at least be a part, and lie in this output.
        let is_written = |name: &str| WRITTEN.iter().any(|prefix| name.starts_with(prefix)) && !name.contains('/');
        let parts = parts.filter(|part| is_written(&part.name));
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
        let mut listed = Vec::new();
        for name in if of_manifest { &[""][..] } else { &WRITTEN } {
            listed.extend(self.objects.uploads(&output.bucket, &format!("{}{name}", output.prefix)).await?);
        }
        self.abort_listed(output, job, listed, of_manifest).await
    }

    /// Aborts those of the listed uploads that are of a job's parts and, if told so, of the manifest. Returns how many were.
    pub(super) async fn abort_listed(
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
}

/// Returns whether a key is that of a part of a job.
fn is_part_of(output: &OutputSpec, job: &JobId, key: &str) -> bool {
    key.strip_prefix(&output.prefix).and_then(part_job).is_some_and(|of| of == *job)
}
