//! Python for the tests that need it: a venv under the target directory, made by whichever test comes first.
//!
//! Its name holds a hash of `python/requirements.txt` and of the Python it is made with, so a change of either makes a new
//! one. A test process that finds none waits for a lock, as `cargo test` may run twice at once. The venv is made under its
//! final name, which the scripts in it hold; the file `complete` is written last, and what lacks it is made anew.
//!
//! Where Python or a package cannot be had, the tests that need it are skipped, and say so; where `CI` is set they fail.

use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const REQUIREMENTS: &str = include_str!("python/requirements.txt");

/// A Python interpreter with the packages of `python/requirements.txt`, or `None`, where `test` has to be skipped.
pub(crate) fn python(test: &str) -> Option<&'static Path> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match MADE.get_or_init(make) {
        Ok(python) => Some(python),
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "{test} cannot run: {why}");
            // Not `eprintln!`, which the test harness keeps to itself when a test passes.
            let _ = writeln!(std::io::stderr(), "skipped {test}: {why}");
            None
        }
    }
}

/// A script of `tests/python/`.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

/// Runs a script of `tests/python/` with this variable, and nothing else, in its environment. Returns the JSON of each line that it prints.
pub(crate) async fn said(python: &Path, name: &str, args: &[&str], variable: (&str, &str)) -> Vec<Value> {
    let mut command = Command::new(python);
    command.env_clear().arg(script(name)).args(args).env(variable.0, variable.1);
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn make() -> Result<PathBuf, String> {
    // Path and version: a venv points to the interpreter that made it.
    let about = "import sys; assert sys.version_info >= (3, 10), 'Python 3.10 or later is needed'; \
                 print(sys.executable, sys.version)";
    let base = output(Command::new("python3").args(["-c", about]))?;
    let hash = crc32fast::hash(format!("{base}{REQUIREMENTS}").as_bytes());
    // The test binary lies in `target/PROFILE/deps`.
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let target = own.ancestors().nth(3).ok_or("the test binary lies in no target directory")?;
    let venv = target.join(format!("python-venv-{hash:08x}"));
    let python = venv.join("bin").join("python");
    let complete = venv.join("complete");

    let lock = File::create(venv.with_extension("lock")).map_err(|e| format!("making a lock file: {e}"))?;
    lock.lock().map_err(|e| format!("locking {}: {e}", venv.display()))?;
    if complete.is_file() {
        return Ok(python);
    }
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    output(Command::new(&python).args(install).arg(script("requirements.txt")))?;
    fs::write(&complete, "").map_err(|e| format!("writing {}: {e}", complete.display()))?;
    Ok(python)
}

/// What a command prints; or, when it fails, that and why.
fn output(command: &mut Command) -> Result<String, String> {
    let shown = format!("{command:?}");
    let done = command.output().map_err(|e| format!("{shown}: {e}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(format!("{shown}: {}: {}", done.status, String::from_utf8_lossy(&done.stderr).trim()))
}
