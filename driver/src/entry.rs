//! How a program starts: as the driver, or, where a Lambda host started it, as a worker.

use crate::{Code, Error, Result};
use kinglet_aws::on_heap;
use kinglet_calls::{Function, Functions as FunctionRegistry};
use kinglet_core::{Job, Registry as JobRegistry, env};
use kinglet_worker::{Worker, serve, start_function_log, start_log};
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

/// The jobs and the functions of this process, for the drivers that are made in it.
static JOBS: OnceLock<Arc<JobRegistry>> = OnceLock::new();
static FUNCTIONS: OnceLock<Arc<FunctionRegistry>> = OnceLock::new();

/// The jobs and the functions of a program, which its workers can run.
#[derive(Default)]
#[must_use = "hand them to `kinglet::main`"]
pub struct Registry {
    jobs: JobRegistry,
    functions: FunctionRegistry,
}

impl Registry {
    /// Makes an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the built-in jobs, whose crate knows no driver and therefore not this type.
    #[doc(hidden)]
    pub fn of(registry: JobRegistry) -> Self {
        Registry { jobs: registry, ..Self::default() }
    }

    /// Adds a job.
    pub fn job<J: Job>(self) -> Self {
        Registry { jobs: self.jobs.job::<J>(), ..self }
    }

    /// Adds a function for [`crate::Driver::map`] and the like: a `fn` or `async fn`, see [`Function`]. Its name is its path
    /// in the program without the crate's name, such as `tiles::render`. Driver and worker must agree on the name, as they
    /// do when they are the same program.
    pub fn function<M, F: Function<M>>(self, function: F) -> Self {
        Registry { functions: self.functions.function(function), ..self }
    }

    /// Adds a function under a name of its own: for closures, for several functions with one path, and for functions that
    /// are deployed in another program than the driver's.
    pub fn named_function<M, F: Function<M>>(self, name: &str, function: F) -> Self {
        Registry { functions: self.functions.named(name, function), ..self }
    }
}

/// Registers a program's jobs and functions, and nothing else: for programs with a `main` of their own, whose functions are
/// built separately ([`crate::LocalFunctions::Directory`], or deployed). The first call counts, for the whole process.
///
/// # Errors
/// `job-name-taken` or `function-name-taken` when two jobs or two functions have one name.
pub fn register(jobs: Registry) -> Result<()> {
    let (jobs, functions) = (Arc::new(jobs.jobs), Arc::new(jobs.functions));
    let (jobs, functions) = (JOBS.get_or_init(|| jobs), FUNCTIONS.get_or_init(|| functions));
    jobs.check().and_then(|()| functions.check())
}

/// Starts a program: registers its jobs and functions, then runs `program` when a person started it, or a worker when a
/// Lambda host did. Call it first thing in `main`: what stands before it also runs in every worker.
///
/// An error is printed with its hint, and the exit code is 1. Ctrl-C ends the program with 130. Its jobs on the embedded
/// runtime are then cancelled and leave nothing behind, except that a job that publishes already is published; a second Ctrl-C
/// does not wait for that. Its jobs on AWS go on, and are named.
pub fn main<F>(jobs: Registry, program: F) -> ExitCode
where
    F: AsyncFnOnce() -> Result<()>,
{
    let (jobs, functions) = (Arc::new(jobs.jobs), Arc::new(jobs.functions));
    let (jobs, functions) = (JOBS.get_or_init(|| jobs).clone(), FUNCTIONS.get_or_init(|| functions).clone());
    let role = std::env::var_os(env::RUNTIME_API).and_then(|_| std::env::var(env::ROLE).ok());
    let threads = if role.is_some() { 1 } else { std::thread::available_parallelism().map_or(2, |n| n.get()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => return fail(&Error::new(Code::Threads, format!("starting {threads} threads: {e}"))),
    };
    let done = runtime.block_on(async {
        match role {
            Some(role) => {
                start_function_log();
                on_heap(|| work(&role, jobs, functions)).await.map(|()| ExitCode::SUCCESS)
            }
            None => {
                start_log();
                on_heap(|| drive(jobs, program)).await
            }
        }
    });
    // A thread that is stuck in a read must not keep the program from ending.
    runtime.shutdown_background();
    done.unwrap_or_else(|error| fail(&error))
}

async fn drive<F>(jobs: Arc<JobRegistry>, program: F) -> Result<ExitCode>
where
    F: AsyncFnOnce() -> Result<()>,
{
    jobs.check().and_then(|()| functions().check())?;
    let mut program = Box::pin(program());
    tokio::select! {
        done = &mut program => done.map(|()| ExitCode::SUCCESS),
        () = interrupted() => {
            // The program does not go on from here; its embedded servers run until it is dropped.
            let ending = async {
                crate::connection::cancel_local_jobs().await;
                crate::measure::restore_interrupted().await;
            };
            if crate::connection::has_local_jobs() {
                say("interrupted: cancelling what runs here; Ctrl-C again to end at once");
            }
            if !unless(ending, interrupted()).await {
                say("ended at once: what is left is removed by the next job with that output, or by `kinglet clean`");
            }
            crate::connection::name_jobs_that_go_on();
            Ok(ExitCode::from(130))
        }
    }
}

/// Waits until something is done, unless something else comes first. Returns whether it was done.
async fn unless(done: impl Future<Output = ()>, other: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        () = done => true,
        () = other => false,
    }
}

/// Writes a line to standard error. Nobody can be told that it is closed.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Waits for Ctrl-C, or for the signal by which service managers end a program.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

async fn work(role: &str, jobs: Arc<JobRegistry>, functions: Arc<FunctionRegistry>) -> Result<()> {
    let worker = on_heap(Worker::from_env).await?;
    let done = match role {
        "splitter" => serve(worker, kinglet_splitter::handle).await,
        "mapper" => {
            serve(worker, move |worker, call| {
                kinglet_mapper::handle_with(worker, jobs.clone(), functions.clone(), call)
            })
            .await
        }
        "reducer" => {
            serve(worker, move |worker, call| {
                kinglet_reducer::handle_with(worker, jobs.clone(), functions.clone(), call)
            })
            .await
        }
        other => return Err(Error::new(Code::Role, format!("{}={other} is no role of a worker", env::ROLE))),
    };
    done.map_err(|e| Error::new(Code::RuntimeApi, format!("taking events: {e}")))
}

fn fail(error: &Error) -> ExitCode {
    let hint = error.hint().map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
    // Nobody can be told that standard error is closed.
    let _ = write!(std::io::stderr(), "error: {error}\n{hint}");
    ExitCode::FAILURE
}

/// Returns the functions of this process.
pub(crate) fn functions() -> Arc<FunctionRegistry> {
    FUNCTIONS.get().cloned().unwrap_or_default()
}

/// Refuses to start a driver in a worker: it would start workers that start drivers.
///
/// # Errors
/// `driver-in-worker` in a worker.
pub(crate) fn refuse_in_worker() -> Result<()> {
    // A function of the user's own, which has no role, may start a driver.
    if std::env::var_os(env::RUNTIME_API).is_none() || std::env::var_os(env::ROLE).is_none() {
        return Ok(());
    }
    Err(Error::new(Code::DriverInWorker, "a driver was started inside a function")
        .with_hint("start drivers in the closure that `kinglet::main` is given: it does not run in functions"))
}

/// Returns the jobs of this process.
pub(crate) fn registry() -> Result<Arc<JobRegistry>> {
    JOBS.get().cloned().ok_or_else(|| {
        Error::new(Code::NoJobs, "this program has registered no jobs")
            .with_hint("start it with `kinglet::main(Registry::new().job::<YourJob>(), …)`, first thing in `main`")
    })
}

#[cfg(test)]
mod tests {
    use super::unless;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn a_second_interrupt_does_not_wait() {
        assert!(unless(ready(()), pending()).await);
        assert!(!unless(pending(), ready(())).await);
        assert!(unless(ready(()), ready(())).await);
    }
}
