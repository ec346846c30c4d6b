//! Files of rows that a script of `python/` makes, and jobs over them.

use crate::support::{Ran, failed, nothing_published, only_part, run};
use crate::{programs, venv};
use kinglet::Manifest;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The files that a script makes, once; `None` where there is no Python for it, and `test` has to be skipped.
pub(crate) fn made(made: &'static OnceLock<TempDir>, script: &str, test: &str) -> Option<&'static Path> {
    let python = venv::python(test)?;
    let dir = made.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let ran = Command::new(python).current_dir(dir.path()).arg(venv::script(script)).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        dir
    });
    Some(dir.path())
}

/// Runs a job over files of `dir`, which stays as it is, into `out`.
pub(crate) fn job_into(dir: &Path, out: &Path, args: &[&str]) -> Ran {
    let output = ["--output", out.to_str().unwrap(), "--overwrite"];
    run(programs::kinglet().current_dir(dir).arg("run").args(args).args(output))
}

/// Runs a job that must succeed, and returns its one part and its manifest.
#[track_caller]
pub(crate) fn part(dir: &Path, args: &[&str]) -> (String, Manifest) {
    let out = tempfile::tempdir().unwrap();
    let ran = job_into(dir, &out.path().join("out"), args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    let manifest = serde_json::from_slice(&fs::read(out.path().join("out/_manifest.json")).unwrap()).unwrap();
    (String::from_utf8(only_part(&out.path().join("out"))).unwrap(), manifest)
}

/// Runs a job that must fail, and say this.
#[track_caller]
pub(crate) fn refused(dir: &Path, args: &[&str], says: &[&str]) {
    let out = tempfile::tempdir().unwrap();
    failed(&job_into(dir, &out.path().join("out"), args), says);
    nothing_published(&out.path().join("out"));
}

/// The JSON values of some lines.
pub(crate) fn parsed(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
