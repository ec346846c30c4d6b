//! The lock on a local output, which tells other programs of this machine that the job that has claimed it is alive.
//!
//! A claim ([`kinglet_core::wire::owner`]) says which job has the output. On AWS the ledger tells whether that job is alive,
//! but an embedded runtime's ledger is gone with its program. So the driver also locks the output's directory (`flock`), for
//! as long as the job runs. The system releases the lock when the program ends, in whichever way: a program that gets the
//! lock knows that a claim it finds there is a dead job's.
//!
//! On a file system that other machines use too, such as NFS, the locks of directories are kept on each machine. There, and
//! where there are no locks, a claim that was not renewed for an hour is taken for a dead job's, as in S3.

use crate::output::Directories;
use crate::{Code, Error, PathPart, Result};
use kinglet_core::ids::JobId;
use kinglet_core::manifest::Manifest;
use kinglet_core::wire::owner::{OWNER, Owner};
use kinglet_core::wire::spec::{MANIFEST, is_written_name, part_job};
use kinglet_local::s3::PARTIAL_PREFIX;
use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How often a directory may be removed by another program while it is being locked.
const TRIES_MAX: u32 = 16;

/// A lock on the directory of an output.
pub(crate) struct Hold {
    dir: File,
    path: PathBuf,
    made: Option<Directories>,
    /// Whether the lock counts: the file system has locks, and every program that uses the file system sees them.
    locked: bool,
}

impl Hold {
    /// Makes the directory if it is missing, and locks it. May wait for a second, to name the job that has it.
    ///
    /// # Errors
    /// `output-taken` when a job of this machine has it.
    pub(crate) fn take(path: &Path, shown: &str) -> Result<Self> {
        let unwritable = |e: std::io::Error| {
            crate::output::check_permissions(Error::new(Code::OutputUnwritable, format!("writing {shown}: {e}")))
        };
        let made = Directories::missing(path);
        for _ in 0..TRIES_MAX {
            std::fs::create_dir_all(path).map_err(unwritable)?;
            let dir = match File::open(path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                opened => opened.map_err(unwritable)?,
            };
            let locked = match dir.try_lock() {
                Ok(()) => !is_shared(&dir),
                Err(TryLockError::WouldBlock) => return Err(taken(path, shown)),
                // Not every file system has locks.
                Err(TryLockError::Error(error)) => {
                    tracing::debug!(%error, shown, "locking the output");
                    false
                }
            };
            let hold = Hold { dir, path: path.to_owned(), made: None, locked };
            if hold.is_current() {
                if locked {
                    hold.remove_partial();
                }
                return Ok(Hold { made, ..hold });
            }
        }
        Err(Error::new(Code::OutputContended, format!("the output {shown} is made and removed by others all the time"))
            .with_hint("choose another output"))
    }

    /// Returns whether nobody else can hold the output.
    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }

    /// Returns whether the locked directory is still the one at this path: another may have been made in its place.
    fn is_current(&self) -> bool {
        let id = |meta: &std::fs::Metadata| (meta.dev(), meta.ino());
        match (self.dir.metadata(), std::fs::metadata(&self.path)) {
            (Ok(held), Ok(there)) => id(&held) == id(&there),
            _ => false,
        }
    }

    /// Removes the hidden files of uploads whose runtime was killed. Nobody else writes here now.
    fn remove_partial(&self) {
        let is_partial = |name: &str| name.rsplit('/').next().is_some_and(|name| name.starts_with(PARTIAL_PREFIX));
        remove_files(&self.path, &is_partial, "removing what a killed runtime left");
    }

    /// Removes the directories that were made for the output, as far as they are empty.
    pub(crate) fn remove_made(&self) {
        if let Some(made) = self.made.as_ref().filter(|_| self.is_current() || !self.path.exists()) {
            made.remove_empty();
        }
    }
}

/// The file systems whose locks of directories other machines may not see, or which may stand for one of these, by their
/// numbers in Linux (`linux/magic.h` and the file systems' own headers): NFS, SMB (three of them), FUSE, Ceph, 9P, AFS,
/// Coda, Lustre, GPFS.
const SHARED: [u32; 11] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x00c3_6400,
    0x0102_1997,
    0x5346_414f,
    0x7375_7245,
    0x0bd0_0bd0,
    0x4750_4653,
];

/// Returns whether a file system is one of [`SHARED`], or cannot be told.
fn is_shared(dir: &File) -> bool {
    rustix::fs::fstatfs(dir).map_or(true, |found| SHARED.contains(&(found.f_type as u32)))
}

/// Removes the files of an output whose names are such: those in it, and those in its folders that say values. A folder that is empty
/// then goes with them. No link is followed.
fn remove_files(output: &Path, is_such: &dyn Fn(&str) -> bool, doing: &str) {
    remove_within(output, "", is_such, doing);
}

/// Returns whether something was removed.
fn remove_within(dir: &Path, name: &str, is_such: &dyn Fn(&str) -> bool, doing: &str) -> bool {
    let mut removed = false;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (Ok(kind), Ok(own)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
        let (path, inner) = (entry.path(), format!("{name}{own}"));
        let gone = match kind.is_dir() {
            true if PathPart::of(&own).is_none() || !remove_within(&path, &format!("{inner}/"), is_such, doing) => {
                continue;
            }
            // It stays if something else is in it.
            true => match std::fs::remove_dir(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(()),
                gone => gone,
            },
            false if !is_such(&inner) => continue,
            false => std::fs::remove_file(&path),
        };
        removed = true;
        if let Err(error) = gone {
            tracing::warn!(path = %path.display(), %error, "{doing}");
        }
    }
    removed
}

/// Removes what a dead job has left in its output, if nobody has the output now: its claim, and parts of a result that was
/// not whole.
pub(crate) fn clear_after(path: &Path, job: &JobId) {
    let owner = |path: &Path| Owner::read(&std::fs::read(path.join(OWNER)).ok()?, "").ok();
    if owner(path).is_none_or(|owner| owner.job != *job) {
        return;
    }
    let Some(_hold) = Hold::take(path, &path.display().to_string()).ok().filter(Hold::is_locked) else { return };
    let whole: Option<String> = match std::fs::read(path.join(MANIFEST)) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        read => match read.ok().and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok()) {
            Some(manifest) => Some(manifest.job),
            // It cannot be told whose result this is: the next job in the output will say so.
            None => return,
        },
    };
    let is_of_whole = |of: &JobId| whole.as_deref() == Some(of.as_str());
    let is_whole = is_of_whole(job);
    let Some(owner) = owner(path).filter(|owner| owner.job == *job) else { return };
    // If the job's result had replaced another before its program died, that other result is still to be removed.
    let replaced = owner.replaces.filter(|_| is_whole).into_iter().flat_map(|replaced| replaced.parts);
    let replaced: HashSet<_> = replaced.map(|part| part.name).filter(|name| is_written_name(name)).collect();
    let dead: Vec<JobId> = owner.inherits.into_iter().map(|heritage| heritage.job).collect();
    let is_left = |name: &str| match part_job(name) {
        Some(of) if of == *job || dead.contains(&of) => !is_of_whole(&of),
        _ => name == OWNER || replaced.contains(name),
    };
    remove_files(path, &is_left, "removing what a killed job left");
}

/// How often the claim is looked for: a program that locks an output normally claims it within this time, a second in all.
const LOOKS_MAX: u32 = 50;
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(20);

/// Names the job that has the output. Waits a little for its claim to be written.
fn taken(path: &Path, shown: &str) -> Error {
    let look = |n: u32| {
        if n > 0 {
            std::thread::sleep(LOOK_EVERY);
        }
        let claim = std::fs::read(path.join(OWNER)).ok();
        claim.and_then(|bytes| Owner::read(&bytes, shown).ok())
    };
    let owner = (0..LOOKS_MAX).find_map(look);
    let (who, attach) = match &owner {
        Some(Owner { job, name, .. }) => (
            format!("job {job} ({name})"),
            format!("wait for it (`kinglet attach {job}`), end it (`kinglet cancel {job}`)"),
        ),
        None => (
            "a job that is just being started, or has just ended".to_owned(),
            "try again when it is over (`kinglet jobs`)".to_owned(),
        ),
    };
    Error::new(Code::OutputTaken, format!("the output {shown} is taken by {who}, which is at work"))
        .with_hint(format!("{attach}, or choose another output"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_holds_an_output_and_gives_it_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a/b");
        let hold = Hold::take(&out, "a/b").unwrap();
        let error = Hold::take(&out, "a/b").err().unwrap();
        assert_eq!(error.code(), "output-taken");
        assert!(error.to_string().contains("just being started"), "{error}");
        hold.remove_made();
        assert!(!dir.path().join("a").exists());
        // The locked directory is gone, so its lock hinders nobody.
        let next = Hold::take(&out, "a/b").unwrap();
        drop(hold);
        assert!(Hold::take(&out, "a/b").is_err());
        std::fs::write(out.join("mine"), "kept").unwrap();
        std::fs::write(out.join(format!("{PARTIAL_PREFIX}7-0")), "half").unwrap();
        next.remove_made();
        drop(next);
        let _hold = Hold::take(&out, "a/b").unwrap();
        let names: Vec<_> = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["mine"]);
    }

    #[test]
    fn only_folders_that_say_values_are_looked_into_and_only_what_is_such_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (out, elsewhere) = (dir.path().join("out"), dir.path().join("elsewhere"));
        let partial = format!("{PARTIAL_PREFIX}7-0");
        for folder in ["out/y=1/m=1", "out/y=1/m=2", "out/y=2/m=1", "out/plain/m=1", "elsewhere"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            std::fs::write(dir.path().join(folder).join(&partial), "half").unwrap();
        }
        std::fs::write(out.join("y=1/m=2/mine"), "kept").unwrap();
        std::fs::create_dir(out.join("y=3")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, out.join("y=4")).unwrap();
        let hold = Hold::take(&out, "out").unwrap();
        let there = |name: &str| out.join(name).exists();
        assert!(!there("y=1/m=1") && !there("y=2") && !there(&format!("y=1/m=2/{partial}")));
        assert!(there("y=1/m=2/mine") && there(&format!("plain/m=1/{partial}")), "what is not the job's stays");
        assert!(
            there("y=3") && there(&format!("y=4/{partial}")),
            "an empty folder of the user's, and what a link leads to"
        );
        drop(hold);
    }
}
