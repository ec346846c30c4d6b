//! What a program gets wrong about its jobs is said clearly: two of one name, one that is not registered, one with other
//! types than the functions know, none at all.

use crate::support::{driver, nothing_published, shown};
use kinglet::{Combiner, Driver, Emitter, Job, Lines, Registry, Sink, UserResult, Values};
use serde::{Deserialize, Serialize};
use std::fs;
use std::process::{Command, ExitCode};

/// Makes a job of a name and a type of its values, which counts lines.
macro_rules! job {
    ($job:ident, $name:literal, $value:ty) => {
        #[derive(Serialize, Deserialize)]
        struct $job;

        impl Job for $job {
            const NAME: &'static str = $name;
            type Input = Lines;
            type Key = String;
            type Value = $value;
            type Output = (String, $value);

            fn map(&self, line: &str, out: &mut Emitter<'_, String, $value>) -> UserResult {
                out.emit(line, 1)
            }
            fn combiner(&self) -> Option<Combiner<$value>> {
                Some(Combiner::sum())
            }
            fn reduce(
                &self,
                line: String,
                counts: Values<'_, $value>,
                out: &mut Sink<'_, (String, $value)>,
            ) -> UserResult {
                out.push(&(line, counts.sum()))
            }
        }
    };
}

job!(Unregistered, "nobody-knows", u64);
job!(OtherTypes, "word-count", u32);
job!(First, "same-name", u64);
job!(Second, "same-name", u64);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_not_registered_or_has_other_types_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in"), "a\n").unwrap();
    let (input, output) = (shown(&dir.path().join("in")), dir.path().join("out"));
    let driver = driver(|local| local).await;

    let error = driver.run(&Unregistered, [&input[..]], shown(&output)).await.unwrap_err();
    assert_eq!(error.code(), "job-not-registered");
    assert!(error.to_string().contains("\"nobody-knows\"") && error.to_string().contains("word-count"), "{error}");
    assert!(error.hint().unwrap().contains(".job::<YourJob>()"));

    let error = driver.run(&OtherTypes, [&input[..]], shown(&output)).await.unwrap_err();
    assert_eq!(error.code(), "job-types");
    assert!(error.to_string().contains("word-count") && error.hint().is_some(), "{error}");

    let host = driver.runtime().unwrap().host();
    assert!(host.reports().is_empty() && host.worker_pids().is_empty());
    nothing_published(&output);
    driver.close().await;
}

/// Runs [`program`] in a process of its own, as jobs are registered once for each: what it printed.
fn program_says(case: &str) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "jobs_api::program", "--ignored", "--nocapture"]).env(CASE, case);
    let output = command.output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    text
}

const CASE: &str = "KINGLET_TESTS_CASE";

#[test]
#[ignore = "the tests below run it, each in a process of its own"]
fn program() {
    let case = std::env::var(CASE).unwrap();
    let never = async || -> kinglet::Result<()> { panic!("the program is not to start") };
    let failed = match &case[..] {
        "two jobs of one name" => kinglet::main(Registry::new().job::<First>().job::<Second>(), never),
        "one job twice" => kinglet::main(Registry::new().job::<First>().job::<First>(), async || {
            println!("started");
            Err(kinglet::Error::new(kinglet::Code::ProgramFailed, "the program's own error")
                .with_hint("the program's own hint"))
        }),
        "no jobs" => {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let error = runtime.block_on(Driver::local()).err().unwrap();
            println!("{}: {error}; {}", error.code(), error.hint().unwrap());
            ExitCode::FAILURE
        }
        "registered twice" => {
            let error = kinglet::register(Registry::new().job::<First>().job::<Second>()).unwrap_err();
            println!("{}: {error}", error.code());
            ExitCode::FAILURE
        }
        other => panic!("{other} is no case"),
    };
    assert_eq!(failed, ExitCode::FAILURE);
}

#[test]
fn two_jobs_of_one_name_stop_a_program_before_it_starts() {
    let said = program_says("two jobs of one name");
    assert!(said.contains("error: two jobs are registered under the name \"same-name\""), "{said}");
    assert!(said.contains("hint: give one of them another `const NAME`"), "{said}");
    assert!(program_says("registered twice").contains("job-name-taken: two jobs"));
}

#[test]
fn a_job_may_be_registered_twice_and_a_programs_own_error_is_printed_with_its_hint() {
    let said = program_says("one job twice");
    for line in ["started", "error: the program's own error", "hint: the program's own hint"] {
        assert!(said.lines().any(|said| said.ends_with(line)), "{line} is not in: {said}");
    }
}

#[test]
fn a_driver_without_jobs_says_how_to_register_them() {
    let said = program_says("no jobs");
    assert!(said.contains("no-jobs: this program has registered no jobs; start it with `kinglet::main("), "{said}");
}
