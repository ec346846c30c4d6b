//! Where the objects come from that a function is called for.

use crate::connection::Connection;
use crate::inputs::s3_uri;
use crate::submission::Places;
use crate::{Code, Error, PathCondition, Result, S3Object, Submit, inventory};
use kinglet_core::inventory::InventoryRow;
use kinglet_core::wire::spec::{InputSpec, Objects as Which};
use kinglet_splitter::inventory::{Rows, find, manifest_rows, rows};
use kinglet_splitter::list;
use std::collections::HashMap;

/// What a user names.
#[derive(Clone, Debug)]
pub(super) enum ObjectsOf {
    Inputs { inputs: Vec<String>, conditions: Vec<PathCondition> },
    Manifest(String),
    Inventory(String),
}

/// Objects that come lot by lot.
pub(super) struct Source {
    left: Left,
    /// What the user calls buckets that are directories of this machine.
    called: HashMap<String, String>,
    shown: String,
}

enum Left {
    Listed(std::vec::IntoIter<S3Object>),
    Rows { rows: Rows, here: std::vec::IntoIter<InventoryRow> },
}

impl Source {
    pub(super) async fn open(shared: &Connection, from: ObjectsOf) -> Result<Self> {
        let objects = &shared.conductor.objects;
        let of_rows = |rows, shown| Source {
            left: Left::Rows { rows, here: Vec::new().into_iter() },
            called: HashMap::new(),
            shown,
        };
        match from {
            ObjectsOf::Inputs { inputs, conditions } => {
                let shown = inputs.join(", ");
                if inputs.is_empty() {
                    return Err(Error::new(Code::InputMissing, "no objects are named").with_hint("name at least one"));
                }
                let inputs = Places::inputs(shared, &Submit::new(inputs, "")).await?;
                let listed = list::objects_of(objects, &inputs, &conditions).await?;
                let listed: Vec<S3Object> = listed
                    .into_iter()
                    .map(|(input_idx, found)| {
                        let mut object = S3Object::new(&inputs[input_idx as usize].bucket, found.key);
                        (object.etag, object.size) = (Some(found.etag), Some(found.size));
                        object
                    })
                    .collect();
                let root = |input: InputSpec| Some((input.bucket, input.root?));
                let called = inputs.into_iter().filter_map(root).collect();
                Ok(Source { left: Left::Listed(listed.into_iter()), called, shown })
            }
            ObjectsOf::Manifest(manifest) => {
                let (bucket, key) = match s3_uri(&manifest) {
                    Some(parsed) => parsed?,
                    None => local(shared, &manifest).await?,
                };
                Ok(of_rows(manifest_rows(objects, &bucket, &key).await?, manifest))
            }
            ObjectsOf::Inventory(manifest) => {
                let (bucket, key) = inventory::place(&manifest)?;
                let found = find(objects, &bucket, &key).await?;
                Ok(of_rows(rows(objects, found).await?, manifest))
            }
        }
    }

    /// Returns up to `most` further objects; none behind the last.
    pub(super) async fn next(&mut self, most: usize) -> Result<Vec<S3Object>> {
        let (rows, here) = match &mut self.left {
            Left::Listed(listed) => return Ok(listed.take(most).collect()),
            Left::Rows { rows, here } => (rows, here),
        };
        let mut lot = Vec::new();
        while lot.len() < most {
            match here.next() {
                // It marks that an object was removed.
                Some(row) if row.is_delete_marker => {}
                Some(row) => {
                    let mut object = S3Object::new(row.bucket, row.key);
                    (object.version_id, object.etag, object.size) = (row.version_id, row.etag, row.size);
                    lot.push(object);
                }
                None => match rows.next().await? {
                    Some(further) => *here = further.into_iter(),
                    None => break,
                },
            }
        }
        Ok(lot)
    }

    /// Returns what the user calls a bucket.
    pub(super) fn called<'a>(&'a self, bucket: &'a str) -> &'a str {
        self.called.get(bucket).map_or(bucket, String::as_str)
    }

    /// Returns the error of there being no object.
    pub(super) fn nothing(&self) -> Error {
        Error::new(Code::InputMissing, format!("{} names no object", self.shown))
            .with_hint("take a newer inventory, or name what has objects")
    }
}

/// Makes a bucket of a file of this machine.
async fn local(shared: &Connection, path: &str) -> Result<(String, String)> {
    let inputs = Places::inputs(shared, &Submit::new([path], "")).await?;
    match inputs.into_iter().next() {
        Some(InputSpec { bucket, objects: Which::One(key), .. }) => Ok((bucket, key)),
        _ => Err(Error::new(Code::InputKind, format!("{path} is no file")).with_hint("name a manifest: a file of CSV")),
    }
}
