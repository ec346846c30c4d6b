//! Records of the jobs on embedded runtimes, which tell other programs of the same user about them.

pub(crate) mod files;
mod keeper;
mod neighbour;
mod record;

pub(crate) use keeper::Keeper;
pub(crate) use neighbour::Neighbour;
pub(crate) use record::{Record, RuntimeAddress};

use kinglet_core::env;
use std::path::PathBuf;

/// Returns where programs keep the records of their jobs: `KINGLET_STATE_DIR`, else a directory of the user's. `None` where
/// the variable is empty, or the user has no home.
pub(crate) fn state_dir() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    match named(env::STATE_DIR) {
        Some(dir) => Some(dir),
        // The XDG Base Directory Specification says that a path that is not absolute is ignored.
        None => named("XDG_STATE_HOME")
            .filter(|dir| dir.is_absolute())
            .or_else(|| named("HOME").filter(|home| home.is_absolute()).map(|home| home.join(".local/state")))
            .map(|dir| dir.join("kinglet")),
    }
    .filter(|dir| !dir.as_os_str().is_empty())
}
