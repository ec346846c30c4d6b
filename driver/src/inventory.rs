//! S3 Inventory reports as inputs: whoever submits reads the manifest, by which a job has the bucket of the objects. All else is read
//! where the objects are listed.

use crate::connection::Connection;
use crate::inputs::{Resolved, s3_uri};
use crate::{Code, Error, Result};
use kinglet_core::wire::spec::{InputSpec, Objects};

/// Returns the bucket and the key of a manifest.
pub(crate) fn place(manifest: &str) -> Result<(String, String)> {
    let named = s3_uri(manifest).transpose()?.filter(|(_, key)| !key.is_empty() && !key.ends_with('/'));
    named.ok_or_else(|| {
        Error::new(Code::Uri, format!("{manifest:?} names no manifest of an inventory"))
            .with_hint("write s3://BUCKET/…/manifest.json")
    })
}

/// Reads the manifest of an inventory, and returns its objects as an input.
pub(crate) async fn resolve(shared: &Connection, manifest: &str) -> Result<Resolved> {
    let (bucket, key) = place(manifest)?;
    let found = kinglet_splitter::inventory::find(&shared.conductor.objects, &bucket, &key).await?;
    let bucket = found.inventory.source_bucket;
    let spec = InputSpec { bucket, objects: Objects::Inventory(found.spec), shown: manifest.to_owned(), root: None };
    Ok(Resolved { spec, mount: None, path: None })
}
