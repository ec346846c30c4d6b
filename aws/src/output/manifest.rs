//! The result that lies in an output, as its manifest says.

use crate::conductor::Conductor;
use kinglet_core::manifest::{Manifest, PartEntry};
use kinglet_core::wire::owner::{Replaced, ReplacedPart};
use kinglet_core::wire::spec::OutputSpec;
use kinglet_core::{Code, Error, Result};

/// The manifest that lies in an output.
pub struct StoredManifest {
    /// The manifest.
    pub manifest: Manifest,
    /// Its ETag.
    pub etag: String,
}

impl Conductor {
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

    /// Removes a result: its manifest, the marker of its success, and the parts that the manifest lists.
    ///
    /// # Errors
    /// Returns `output-exists` when the object of a manifest's name is none; or a service error of S3.
    pub async fn remove_result(&self, output: &OutputSpec) -> Result<()> {
        let Some(stored) = self.read_manifest(output).await? else { return Ok(()) };
        // The manifest goes first: if this is interrupted, the rest does not look whole.
        if self.objects.delete_version(&output.bucket, &output.manifest_key(), &stored.etag).await? {
            self.objects.delete(&output.bucket, &[output.success_key()]).await?;
            self.remove_replaced(output, Some(&replaced(stored))).await?;
        }
        Ok(())
    }
}

pub(super) fn replaced(StoredManifest { manifest, etag }: StoredManifest) -> Replaced {
    let part = |part: &PartEntry| ReplacedPart { name: part.name.clone(), etag: part.etag.clone() };
    let parts = manifest.written().map(part).collect();
    Replaced { job: manifest.job, etag, parts }
}

pub(super) fn exists(output: &OutputSpec, key: &str) -> Error {
    let message = format!("the output {} is taken: {} is there", output.shown, output.shown_key(key));
    Error::new(Code::OutputExists, message).with_hint(
        "choose another output, or pass --overwrite, which replaces a result of Kinglet's and leaves all other files",
    )
}

/// Returns the error for a manifest of version 1, which says neither whose its parts are nor what is in them: nobody can tell
/// whether they are still the same.
pub(super) fn old(output: &OutputSpec) -> Error {
    let message =
        format!("the output {} holds a result of an earlier version, which cannot be replaced safely", output.shown);
    Error::new(Code::OutputExists, message).with_hint("choose another output, or remove that result first")
}
