//! Programs that a driver ships to the functions: it chooses one, checks that it fits, and makes sure that it is in S3.

mod elf;
mod fit;

pub(crate) use fit::Architecture;

use crate::{Code, Error, Result};
use kinglet_aws::Conductor;
use kinglet_aws::program::{Published, publish};
use kinglet_core::ids::ProgramId;
use kinglet_core::limits::PROGRAM_BYTES_MAX;
use kinglet_core::wire::program::pack;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Mutex;

/// Where the functions get the job's code from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Program {
    /// The functions were built and deployed with the code. Nothing is shipped.
    #[default]
    Linked,
    /// This very program is shipped: uploaded once, fetched and run by the functions. It must be built for the functions'
    /// system. The driver checks that, and says what to do if it is not.
    Itself,
    /// This executable is shipped: the same program, built for the functions' system where that differs from the driver's.
    File(PathBuf),
}

/// What a driver ships to one stack's functions.
pub(crate) struct Shipping {
    /// The program of jobs that name no other.
    program: Program,
    /// The functions' architecture.
    architecture: Result<Architecture>,
    /// Whether the functions run shipped programs.
    allowed: bool,
    /// What has been checked and uploaded already, and when.
    shipped: Mutex<HashMap<Executable, (ProgramId, Instant)>>,
}

/// How long a driver assumes that a program it has uploaded is in S3. S3 keeps a program for days longer than any job lives.
const SHIPPED_FOR: Duration = Duration::from_secs(3600);

/// What is shipped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Executable {
    /// The running program, which stays the same when its file is built anew.
    Running,
    /// A file as it was. One that was built anew meanwhile is another program.
    File { path: PathBuf, bytes: u64, modified: Option<SystemTime> },
}

impl Shipping {
    pub(crate) fn new(program: Program, architecture: Result<Architecture>, allowed: bool) -> Self {
        Shipping { program, architecture, allowed, shipped: Mutex::default() }
    }

    /// Ships a job's program and returns the id under which the functions find it; `None` if nothing is to be shipped.
    ///
    /// # Errors
    /// `shipping-forbidden`; `program-…` when the program does not fit the functions; an error of reading or uploading it.
    pub(crate) async fn ship(&self, of_job: Option<&Program>, conductor: &Conductor) -> Result<Option<ProgramId>> {
        self.ship_at(Instant::now(), of_job, conductor).await
    }

    async fn ship_at(
        &self,
        now: Instant,
        of_job: Option<&Program>,
        conductor: &Conductor,
    ) -> Result<Option<ProgramId>> {
        let executable = match of_job.unwrap_or(&self.program) {
            Program::Linked => return Ok(None),
            Program::Itself => None,
            Program::File(path) => Some(path),
        };
        if !self.allowed {
            return Err(Error::new(Code::ShippingForbidden, "the stack runs no shipped programs").with_hint(
                "deploy it with ShippedPrograms=allow, or with functions that hold the jobs (and use Program::Linked)",
            ));
        }
        let architecture = self.architecture.clone()?;
        let executable = executable.map_or(Ok(Executable::Running), |path| Executable::of_file(path))?;
        // Held until the program is uploaded: of several jobs submitted at once, one uploads it.
        let mut shipped = self.shipped.lock().await;
        if let Some((program, at)) = shipped.get(&executable)
            && now.saturating_duration_since(*at) < SHIPPED_FOR
        {
            return Ok(Some(*program));
        }
        let program = publish_file(executable.clone(), architecture, conductor).await?;
        shipped.insert(executable, (program, now));
        Ok(Some(program))
    }
}

impl Executable {
    fn of_file(path: &Path) -> Result<Self> {
        let found = std::fs::metadata(path).map_err(|e| unreadable(&format!("program {}", path.display()), &e))?;
        Ok(Executable::File { path: path.to_owned(), bytes: found.len(), modified: found.modified().ok() })
    }

    fn path(&self) -> Result<PathBuf> {
        match self {
            Executable::File { path, .. } => Ok(path.clone()),
            // This is the file that runs, even if it was removed and another file has its path.
            Executable::Running if cfg!(target_os = "linux") => Ok("/proc/self/exe".into()),
            Executable::Running => std::env::current_exe()
                .map_err(|e| Error::new(Code::Program, format!("finding this program's own file: {e}"))),
        }
    }
}

impl fmt::Display for Executable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Executable::File { path, .. } => write!(f, "program {}", path.display()),
            Executable::Running => f.write_str("this program"),
        }
    }
}

fn unreadable(shown: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::new(Code::ProgramMissing, format!("{shown} is not there"))
            .with_hint("name the executable to ship (Program::File)"),
        _ => Error::new(Code::Program, format!("reading {shown}: {error}")),
    }
}

async fn publish_file(executable: Executable, architecture: Architecture, conductor: &Conductor) -> Result<ProgramId> {
    let (path, shown) = (executable.path()?, executable.to_string());
    let (executable, program) = aside(move || {
        let executable = read(&path, &shown, architecture)?;
        let program = ProgramId::of(&executable);
        Ok((executable, program))
    })
    .await?;
    let packed = aside(move || Ok(pack(architecture.machine(), &executable, program)));
    match publish(conductor, program, packed).await? {
        Published::Kept => tracing::debug!(%program, "the program is in S3"),
        Published::Uploaded(bytes) => tracing::info!(%program, bytes, "uploaded the program"),
    }
    Ok(program)
}

/// Runs work of a tenth of a second or more outside the async threads.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::new(Code::Program, format!("reading the program to ship: {e}")))?
}

/// Reads an executable, checks that it fits the functions, and returns it without what only debuggers and linkers need.
fn read(path: &Path, shown: &str, architecture: Architecture) -> Result<Vec<u8>> {
    let file = std::fs::read(path).map_err(|e| unreadable(shown, &e))?;
    let about = |e: Error| e.context(format!("{shown} does not fit the functions"));
    let executable = elf::Executable::parse(&file).map_err(|e| fit::refusal(&e, architecture)).map_err(about)?;
    fit::check(&executable, architecture).map_err(about)?;
    let stripped = elf::strip(&file, &executable);
    if stripped.len() as u64 > PROGRAM_BYTES_MAX {
        let mb = stripped.len() >> 20;
        return Err(Error::new(
            Code::ProgramTooLarge,
            format!("{shown} has {mb} MB; the most is {} MB", PROGRAM_BYTES_MAX >> 20),
        )
        .with_hint("build it with `--release`; put what is data and not code into S3"));
    }
    Ok(stripped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_aws::Stack;
    use kinglet_aws::objects::Replace;
    use kinglet_aws::{Clients, Endpoints, FunctionNames};
    use kinglet_local::lambda::CpuShare;
    use kinglet_local::s3::BucketKind;
    use kinglet_local::{Options, Runtime};

    /// This test's own executable, which runs here and so is a real one.
    fn own() -> (PathBuf, Vec<u8>) {
        let path = std::env::current_exe().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    }

    #[test]
    fn a_stripped_program_is_smaller_and_runs() {
        let (path, whole) = own();
        let stripped = read(&path, "it", Architecture::here().unwrap()).unwrap();
        assert!(stripped.len() < whole.len() * 9 / 10, "{} of {} bytes", stripped.len(), whole.len());
        assert!(elf::Executable::parse(&stripped).unwrap() == elf::Executable::parse(&whole).unwrap());

        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("stripped");
        std::fs::write(&copy, &stripped).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o700)).unwrap();
        let listed = std::process::Command::new(&copy).arg("--list").output().unwrap();
        assert!(String::from_utf8(listed.stdout).unwrap().contains("a_stripped_program_is_smaller_and_runs"));
        // Stripping it again changes nothing, so its name does not depend on how often that was done.
        assert_eq!(read(&copy, "it", Architecture::here().unwrap()).unwrap(), stripped);
    }

    #[test]
    fn data_behind_the_executable_stays() {
        let (path, whole) = own();
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("with-data");
        std::fs::write(&copy, [&whole[..], b"data of its own"].concat()).unwrap();
        let read = |path: &Path| read(path, "it", Architecture::here().unwrap()).unwrap();
        assert!(read(&copy).ends_with(b"data of its own"));
        assert!(read(&path).len() < whole.len());
    }

    /// The embedded S3, and what ships this test's own executable.
    async fn embedded() -> (Runtime, Conductor, Shipping) {
        let options = Options {
            data_dir: None,
            concurrency: 1,
            cpu: CpuShare::Whole,
            enforce_memory: false,
            servers: None,
            gates: false,
        };
        let runtime = Runtime::start(options, vec![]).await.unwrap();
        runtime.create_bucket("work", BucketKind::Blobs).unwrap();
        let [s3, dynamodb, lambda] = runtime.urls().map(str::to_owned);
        let keys = (runtime.keys().0.to_owned(), runtime.keys().1.to_owned());
        let clients = Clients::at(&Endpoints { s3, dynamodb, lambda, region: "us-east-1".into(), keys });
        let none = String::new;
        let functions = FunctionNames { splitter: none(), mapper: none(), mapper_large: None, reducer: none() };
        let stack = Stack { table: none(), work_bucket: "work".into(), functions, timeout_ms: 60_000 };
        (runtime, Conductor::new(clients, stack), Shipping::new(Program::Itself, Architecture::here(), true))
    }

    #[tokio::test]
    async fn a_program_is_uploaded_again_when_s3_has_it_no_more_or_damaged() {
        let (runtime, conductor, shipping) = embedded().await;
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let ship = async |at: Duration| shipping.ship_at(start + at, None, &conductor).await.unwrap().unwrap();
        let program = ship(Duration::ZERO).await;
        let key = kinglet_core::wire::program::key(&program);
        let whole = conductor.objects.get("work", &key, None).await.unwrap();
        let is_there = async || conductor.objects.head("work", &key).await.unwrap().is_some();

        conductor.objects.delete("work", std::slice::from_ref(&key)).await.unwrap();
        assert_eq!((ship(59 * minute).await, is_there().await), (program, false), "S3 was asked within the hour");
        assert_eq!((ship(61 * minute).await, is_there().await), (program, true));

        // Damaged, as by another program: once with another size, once with the same.
        for damaged in [whole.slice(..whole.len() / 2), vec![0; whole.len()].into()] {
            conductor.objects.put("work", &key, damaged, Replace::Yes).await.unwrap();
            assert_eq!(ship(200 * minute).await, program);
            let shipping = Shipping::new(Program::Itself, Architecture::here(), true);
            assert_eq!(shipping.ship(None, &conductor).await.unwrap(), Some(program));
            assert!(conductor.objects.get("work", &key, None).await.unwrap() == whole);
        }
        let etag = async || conductor.objects.head("work", &key).await.unwrap().unwrap().etag;
        let before = (etag().await, ship(500 * minute).await);
        assert_eq!(before, (etag().await, program), "what was whole was uploaded again");
        runtime.stop().await;
    }

    #[test]
    fn a_program_that_is_gone_says_so() {
        let error = Executable::of_file(Path::new("/nowhere/program")).unwrap_err();
        assert_eq!(
            (error.code(), &error.to_string()[..]),
            ("program-missing", "program /nowhere/program is not there")
        );
        assert!(error.hint().unwrap().contains("Program::File"));
    }
}
