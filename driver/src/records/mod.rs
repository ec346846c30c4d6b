//! The records that programs keep of the jobs on their embedded runtimes, by which other programs of the same user know of them.

pub(crate) mod files;
mod keeper;
mod neighbour;
mod record;

pub(crate) use keeper::Keeper;
pub(crate) use neighbour::Neighbour;
pub(crate) use record::{Record, RuntimeAddress};

use kinglet_core::env;
use std::path::PathBuf;

/// Where programs keep the records of their jobs: what `KINGLET_STATE_DIR` says, else a directory below the user's. `None`
/// where that is the empty string, or the user has no home.
pub(crate) fn state_dir() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    match named(env::STATE_DIR) {
        Some(dir) => Some(dir),
        // By the XDG Base Directory Specification, a path that is not absolute is ignored.
        None => named("XDG_STATE_HOME")
            .filter(|dir| dir.is_absolute())
            .or_else(|| named("HOME").filter(|home| home.is_absolute()).map(|home| home.join(".local/state")))
            .map(|dir| dir.join("kinglet")),
    }
    .filter(|dir| !dir.as_os_str().is_empty())
}
