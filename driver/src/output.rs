//! Turns what a user calls an output into a place in a bucket, with the checks before anything is written.

use crate::inputs::{self, Resolved};
use crate::{Code, Error, OutputFormat, Result};
use kinglet_core::wire::spec::{Objects as Which, OutputSpec};
use std::path::{Component, Path, PathBuf};

/// An output and, if it is local, its absolute path.
pub(crate) struct Output {
    pub(crate) spec: OutputSpec,
    pub(crate) path: Option<PathBuf>,
}

/// Resolves an output. `mounted` is the name of the bucket that a local output gets.
pub(crate) fn resolve(shown: &str, mounted: &str, overwrite: bool, format: OutputFormat) -> Result<Output> {
    if let Some(parsed) = inputs::s3_uri(shown) {
        let (bucket, mut prefix) = parsed?;
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        return Ok(Output {
            spec: OutputSpec { bucket, prefix, shown: shown.to_owned(), overwrite, format, success_marker: false },
            path: None,
        });
    }
    if shown.is_empty() {
        return Err(
            Error::new(Code::Output, "the output has no name").with_hint("name a directory or s3://BUCKET/PREFIX")
        );
    }
    let path = absolute(Path::new(shown))?;
    if path.exists() && !path.is_dir() {
        return Err(Error::new(Code::OutputKind, format!("{shown} is not a directory")).with_hint("name a directory"));
    }
    check_writable(&path, shown)?;
    let (bucket, prefix) = (mounted.to_owned(), String::new());
    let spec = OutputSpec { bucket, prefix, shown: shown.to_owned(), overwrite, format, success_marker: false };
    Ok(Output { spec, path: Some(path) })
}

/// Refuses a directory in which nothing can be made, before a job works in vain.
fn check_writable(path: &Path, shown: &str) -> Result<()> {
    let Some(there) = path.ancestors().find(|path| path.exists()) else { return Ok(()) };
    rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).map_err(|e| {
        let e = std::io::Error::from(e);
        check_permissions(Error::new(Code::OutputUnwritable, format!("writing {shown}: {e} ({})", there.display())))
    })
}

/// Adds the hint for an error where the file system is what refuses.
pub(crate) fn check_permissions(error: Error) -> Error {
    error.with_hint("check the permissions of the file or directory, or name another")
}

/// The directories that a job makes for its output: from the first missing one to the output itself.
pub(crate) struct Directories {
    output: PathBuf,
    first: PathBuf,
}

impl Directories {
    /// Returns `None` when the output exists.
    pub(crate) fn missing(output: &Path) -> Option<Self> {
        let first = output.ancestors().take_while(|path| !path.exists()).last()?.to_owned();
        Some(Directories { output: output.to_owned(), first })
    }

    /// Removes the directories as far as they are empty, after a job that failed.
    pub(crate) fn remove_empty(&self) {
        for dir in self.output.ancestors().take_while(|dir| dir.starts_with(&self.first)) {
            match std::fs::remove_dir(dir) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(_) => return,
            }
        }
    }
}

/// Resolves an output that must be in S3.
pub(crate) fn in_s3(shown: &str) -> Result<OutputSpec> {
    let output = resolve(shown, "", false, OutputFormat::default())?;
    match output.path {
        None => Ok(output.spec),
        Some(_) => Err(Error::new(Code::Output, format!("{shown} is on this machine, not in S3"))
            .with_hint("name s3://BUCKET/PREFIX")),
    }
}

/// Returns the absolute path of something that may not exist yet, with links resolved as far as it does.
fn absolute(path: &Path) -> Result<PathBuf> {
    let bad = |e: std::io::Error| {
        Error::new(Code::Output, format!("resolving {}: {e}", path.display()))
            .with_hint("check the path and its permissions")
    };
    let mut whole = std::path::absolute(path).map_err(bad)?;
    let mut missing = Vec::new();
    while !whole.exists() {
        match (whole.file_name(), whole.parent()) {
            (Some(name), Some(parent)) => {
                missing.push(name.to_owned());
                whole = parent.to_owned();
            }
            _ => break,
        }
    }
    if !missing.is_empty() && !whole.is_dir() {
        let message = format!("{} cannot be made: {} is not a directory", path.display(), whole.display());
        return Err(Error::new(Code::OutputKind, message).with_hint("name a directory"));
    }
    let mut whole = whole.canonicalize().map_err(bad)?;
    for name in missing.into_iter().rev() {
        match Path::new(&name).components().next() {
            Some(Component::ParentDir) => {
                whole.pop();
            }
            _ => whole.push(name),
        }
    }
    Ok(whole)
}

/// Refuses an output that lies in an input, and an input that lies in the output: the job would read what it writes, or
/// remove what it reads.
pub(crate) fn check_apart(output: &Output, inputs: &[Resolved]) -> Result<()> {
    for input in inputs {
        let within = match (&output.path, &input.path) {
            (Some(output), Some(input)) => output.starts_with(input) || input.starts_with(output),
            (None, None) if output.spec.bucket == input.spec.bucket => match &input.spec.objects {
                Which::Prefix(prefix) => output.spec.prefix.starts_with(prefix.as_str()),
                Which::OneOrFolder(key) => output.spec.prefix.starts_with(&format!("{key}/")),
                // Single objects that the job would write over are told by the splitter.
                Which::One(_) | Which::Many(_) | Which::Glob(_) | Which::Items(_) | Which::Inventory(_) => false,
            },
            _ => false,
        };
        if within {
            let message =
                format!("the output {} and the input {} lie in each other", output.spec.shown, input.spec.shown);
            return Err(Error::new(Code::OutputInsideInput, message).with_hint("choose an output outside the input"));
        }
    }
    Ok(())
}
