//! Turns what a user calls an input into objects of a bucket: `s3://` URIs, and local paths that are served in place.

use crate::{Code, Error, Result};
use kinglet_core::wire::spec::{InputSpec, Objects};
use kinglet_local::s3::BucketKind;
use std::fs::File;
use std::path::{Path, PathBuf};

/// An input and, if it is local, the bucket that must be made for it.
pub(crate) struct Resolved {
    pub(crate) spec: InputSpec,
    pub(crate) mount: Option<BucketKind>,
    /// The absolute path, if it is local.
    pub(crate) path: Option<PathBuf>,
}

/// The characters that make a name a pattern.
const WILD: [char; 4] = ['*', '?', '[', '{'];

/// Returns the bucket and the key of an `s3://` URI; `None` for anything else.
pub(crate) fn s3_uri(uri: &str) -> Option<Result<(String, String)>> {
    let rest = uri.strip_prefix("s3://")?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() || bucket.contains(WILD) {
        return Some(Err(Error::new(Code::Uri, format!("{uri} names no bucket")).with_hint("write s3://BUCKET/KEY")));
    }
    Some(Ok((bucket.to_owned(), key.to_owned())))
}

/// Resolves one input. `mounted` is the name of the bucket that a local input gets.
pub(crate) fn resolve(shown: &str, mounted: &str) -> Result<Resolved> {
    if let Some(parsed) = s3_uri(shown) {
        let (bucket, key) = parsed?;
        let objects = if key.contains(WILD) {
            Objects::Glob(key)
        } else if key.is_empty() || key.ends_with('/') {
            Objects::Prefix(key)
        } else {
            Objects::OneOrFolder(key)
        };
        let spec = InputSpec { bucket, objects, shown: shown.to_owned(), root: None };
        return Ok(Resolved { spec, mount: None, path: None });
    }
    let path = Path::new(shown);
    let spec = |objects, root: &Path| InputSpec {
        bucket: mounted.to_owned(),
        objects,
        shown: shown.to_owned(),
        root: Some(root.to_string_lossy().trim_end_matches('/').to_owned()),
    };
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            std::fs::read_dir(path).map_err(|e| unreadable(path, &e))?;
            let root = absolute(path)?;
            let mount = BucketKind::Files { root: root.clone(), only: None };
            Ok(Resolved { spec: spec(Objects::Prefix(String::new()), &root), mount: Some(mount), path: Some(root) })
        }
        Ok(found) if found.is_file() => {
            File::open(path).map_err(|e| unreadable(path, &e))?;
            let whole = absolute(path)?;
            let (Some(root), Some(name)) = (whole.parent(), whole.file_name().and_then(|name| name.to_str())) else {
                return Err(
                    Error::new(Code::InputName, format!("the name of {shown} is not UTF-8")).with_hint("rename it")
                );
            };
            let mount = BucketKind::Files { root: root.to_owned(), only: Some(name.to_owned()) };
            let spec = spec(Objects::One(name.to_owned()), root);
            Ok(Resolved { spec, mount: Some(mount), path: Some(whole) })
        }
        Ok(_) => Err(Error::new(Code::InputKind, format!("{shown} is neither a file nor a directory"))
            .with_hint("write what comes through a pipe to a file first")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && shown.contains(WILD) => {
            let literal = &shown[..shown.find(WILD).unwrap_or(0)];
            let (base, pattern) = match literal.rfind('/') {
                Some(at) => (&shown[..at + 1], &shown[at + 1..]),
                None => ("./", shown),
            };
            let root = absolute(Path::new(base))?;
            std::fs::read_dir(&root).map_err(|e| unreadable(Path::new(base), &e))?;
            let mount = BucketKind::Files { root: root.clone(), only: None };
            Ok(Resolved { spec: spec(Objects::Glob(pattern.to_owned()), &root), mount: Some(mount), path: Some(root) })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::new(Code::InputMissing, format!("there is no {shown}"))
                .with_hint("name a file, a directory, a pattern in quotes, or s3://BUCKET/KEY"))
        }
        Err(e) => Err(unreadable(path, &e)),
    }
}

pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|e| unreadable(path, &e))
}

pub(crate) fn unreadable(path: &Path, e: &std::io::Error) -> Error {
    Error::new(Code::InputUnreadable, format!("reading {}: {e}", path.display()))
        .with_hint("check the path and its permissions")
}
