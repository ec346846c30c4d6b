//! The `kinglet` command: the built-in jobs, run on the embedded runtime or on a stack.

mod args;
mod bench;
mod desk;
mod doctor;
mod hull;
mod look;
mod progress;
mod report;
mod run;
mod svg;
mod tune;

use clap::Parser;
use kinglet::Registry;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kinglet::main(Registry::of(kinglet_jobs::registry()), async || {
        let args::Cli { command, cloud } = args::Cli::parse().check().unwrap_or_else(|e| e.exit());
        match command {
            args::Command::Run(run) => run::run(*run, cloud).await,
            args::Command::Bench(bench) => bench::run(*bench, cloud).await,
            args::Command::Tune(tune) => tune::tune(*tune, cloud).await,
            args::Command::Jobs { json } => look::jobs(json, &cloud).await,
            args::Command::Status(one) => look::status(one, &cloud).await,
            args::Command::Attach(one) => look::attach(one, &cloud).await,
            args::Command::Cancel { job } => look::cancel(&job, &cloud).await,
            args::Command::Logs(logs) => look::logs(logs, &cloud).await,
            args::Command::Clean(clean) => look::clean(clean, &cloud).await,
            args::Command::Doctor { json } => doctor::run(json, &cloud).await,
        }
    })
}
