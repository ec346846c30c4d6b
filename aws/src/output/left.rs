//! What jobs have left in an output: parts and records left out, and uploads of these and of manifests.

use crate::conductor::Conductor;
use crate::objects::{LeftUpload, Page, Version};
use kinglet_core::Result;
use kinglet_core::ids::JobId;
use kinglet_core::manifest::Manifest;
use kinglet_core::wire::owner::{Heritage, Replaced, ReplacedPart};
use kinglet_core::wire::spec::{OutputSpec, is_written_name, part_job};

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
            // Nobody knows any more in which folders its parts may lie.
            _ => self.remove_parts(output, &dead.job, std::slice::from_ref(&output.prefix)).await,
        }
    }

    /// Removes the published parts of a job, and the records that it has left out, among the objects whose keys begin so.
    pub(super) async fn remove_parts(&self, output: &OutputSpec, job: &JobId, beginnings: &[String]) -> Result<()> {
        let mut versions = Vec::new();
        for beginning in beginnings {
            let mut page = None;
            loop {
                let Page { objects, next } = self.objects.list_page(&output.bucket, beginning, page).await?;
                let its = objects.into_iter().filter(|object| is_part_of(output, job, &object.key));
                versions.extend(its.map(|object| Version { key: object.key, etag: Some(object.etag) }));
                page = next;
                if page.is_none() {
                    break;
                }
            }
        }
        self.objects.delete_versions(&output.bucket, versions).await
    }

    /// Removes the parts of a result that was replaced.
    pub(super) async fn remove_replaced(&self, output: &OutputSpec, replaced: Option<&Replaced>) -> Result<()> {
        let parts = replaced.iter().flat_map(|replaced| &replaced.parts);
        // Anyone can write a manifest: what it names must at least be a part, and lie in this output.
        let parts = parts.filter(|part| is_written_name(&part.name));
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
        for beginning in if of_manifest { vec![output.prefix.clone()] } else { output.written() } {
            listed.extend(self.objects.uploads(&output.bucket, &beginning).await?);
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
        let is_its = |left: &LeftUpload| is_part_of(output, job, &left.key) || of_manifest && left.key == manifest;
        let its: Vec<_> = listed.into_iter().filter(is_its).map(|left| (left.key, left.id)).collect();
        let aborted = its.len() as u64;
        self.objects.abort_uploads(&output.bucket, its).await?;
        Ok(aborted)
    }
}

/// Returns whether a key is that of a part of a job.
fn is_part_of(output: &OutputSpec, job: &JobId, key: &str) -> bool {
    key.strip_prefix(&output.prefix).and_then(part_job).is_some_and(|of| of == *job)
}
