//! Programs that a driver ships to the functions: which one, whether it fits, and that it is in S3.

mod elf;
mod fit;

pub(crate) use fit::Architecture;

use crate::{Error, Result};
use kinglet_aws::Conductor;
use kinglet_aws::program::{Published, publish};
use kinglet_core::ids::ProgramId;
use kinglet_core::limits::PROGRAM_BYTES_MAX;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tokio::sync::Mutex;

/// Where the functions have the job's code from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// They were built and deployed with it. Nothing is shipped.
    #[default]
    Linked,
    /// This very program is shipped: uploaded once, fetched and run by the functions. It must be built for their system; the
    /// driver checks that, and says what to do when it is not.
    Itself,
    /// This executable is shipped: the same program, built for the functions' system where that is not the driver's.
    File(PathBuf),
}

/// What a driver ships to one stack's functions.
pub(crate) struct Shipping {
    /// What jobs run that say nothing else.
    program: Program,
    /// The functions' own.
    architecture: Result<Architecture>,
    /// Whether the functions run shipped programs.
    allowed: bool,
    /// What was looked at and uploaded already.
    shipped: Mutex<HashMap<FileState, ProgramId>>,
}

/// A file as it was: one that was built anew meanwhile is another program.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FileState {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Shipping {
    pub(crate) fn new(program: Program, architecture: Result<Architecture>, allowed: bool) -> Self {
        Shipping { program, architecture, allowed, shipped: Mutex::default() }
    }

    /// The id under which the functions find a job's program, if it is to be shipped.
    ///
    /// # Errors
    /// Why it is not: forbidden by the stack, not fit for the functions, not uploaded.
    pub(crate) async fn ship(&self, of_job: Option<&Program>, conductor: &Conductor) -> Result<Option<ProgramId>> {
        let path = match of_job.unwrap_or(&self.program) {
            Program::Linked => return Ok(None),
            Program::Itself => std::env::current_exe()
                .map_err(|e| Error::input("program", format!("finding this program's own file: {e}")))?,
            Program::File(path) => path.clone(),
        };
        if !self.allowed {
            return Err(Error::input("shipping-forbidden", "the stack runs no shipped programs").with_hint(
                "deploy it with ShippedPrograms=allow, or with functions that hold the jobs (and use Program::Linked)",
            ));
        }
        let architecture = self.architecture.clone()?;
        let state = state(&path)?;
        // Held until it is uploaded: of jobs that are submitted at once, one uploads.
        let mut shipped = self.shipped.lock().await;
        if let Some(program) = shipped.get(&state) {
            return Ok(Some(*program));
        }
        let program = publish_file(&path, architecture, conductor).await?;
        shipped.insert(state, program);
        Ok(Some(program))
    }
}

fn state(path: &Path) -> Result<FileState> {
    let found = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    Ok(FileState { path: path.to_owned(), bytes: found.len(), modified: found.modified().ok() })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let shown = path.display();
    if error.kind() != std::io::ErrorKind::NotFound {
        return Error::input("program", format!("reading program {shown}: {error}"));
    }
    // The kernel says "(deleted)" of a running program whose file was replaced.
    Error::input("program-missing", format!("program {shown} is not there")).with_hint(
        "it may have been built anew meanwhile: start it again; or name the executable to ship (Program::File)",
    )
}

async fn publish_file(path: &Path, architecture: Architecture, conductor: &Conductor) -> Result<ProgramId> {
    let read = {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || read(&path, architecture)).await
    };
    let executable = read.map_err(|e| Error::input("program", format!("reading {}: {e}", path.display())))??;
    let program = ProgramId::of(&executable);
    match publish(conductor, architecture.machine(), &executable, program).await? {
        Published::Kept => tracing::debug!(%program, "the program is in S3"),
        Published::Uploaded(bytes) => tracing::info!(%program, bytes, "uploaded the program"),
    }
    Ok(program)
}

/// The executable without what is only for debuggers and linkers, if it fits the functions.
fn read(path: &Path, architecture: Architecture) -> Result<Vec<u8>> {
    let shown = path.display();
    let file = std::fs::read(path).map_err(|e| unreadable(path, &e))?;
    let about = |e: Error| e.context(format!("program {shown} does not fit the functions"));
    let executable = elf::Executable::parse(&file).map_err(|e| fit::refusal(&e, architecture)).map_err(about)?;
    fit::check(&executable, architecture).map_err(about)?;
    let stripped = elf::strip(&file, &executable);
    if stripped.len() as u64 > PROGRAM_BYTES_MAX {
        let mb = stripped.len() >> 20;
        return Err(Error::limit(
            "program-too-large",
            format!("program {shown} has {mb} MB; the most is {} MB", PROGRAM_BYTES_MAX >> 20),
        )
        .with_hint("build it with `--release`; put what is data and not code into S3"));
    }
    Ok(stripped)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test's own executable, which runs here and so is a real one.
    fn own() -> (PathBuf, Vec<u8>) {
        let path = std::env::current_exe().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    }

    #[test]
    fn a_stripped_program_is_smaller_and_runs() {
        let (path, whole) = own();
        let stripped = read(&path, Architecture::here().unwrap()).unwrap();
        assert!(stripped.len() < whole.len() * 9 / 10, "{} of {} bytes", stripped.len(), whole.len());
        assert!(elf::Executable::parse(&stripped).unwrap() == elf::Executable::parse(&whole).unwrap());

        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("stripped");
        std::fs::write(&copy, &stripped).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o700)).unwrap();
        let listed = std::process::Command::new(&copy).arg("--list").output().unwrap();
        assert!(String::from_utf8(listed.stdout).unwrap().contains("a_stripped_program_is_smaller_and_runs"));
        // Stripped again it is the same: its name does not depend on how often that was done.
        assert_eq!(read(&copy, Architecture::here().unwrap()).unwrap(), stripped);
    }

    #[test]
    fn data_behind_the_executable_stays() {
        let (path, whole) = own();
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("with-data");
        std::fs::write(&copy, [&whole[..], b"data of its own"].concat()).unwrap();
        let read = |path: &Path| read(path, Architecture::here().unwrap()).unwrap();
        assert!(read(&copy).ends_with(b"data of its own"));
        assert!(read(&path).len() < whole.len());
    }

    #[test]
    fn a_program_that_is_gone_says_so() {
        let error = read(Path::new("/nowhere/program (deleted)"), Architecture::X86_64).unwrap_err();
        assert_eq!(error.code(), "program-missing");
        assert!(error.hint().unwrap().contains("Program::File"));
    }
}
