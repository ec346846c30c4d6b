//! The `kinglet` command: the built-in jobs, run on the embedded runtime.

mod args;
mod bench;
mod progress;
mod report;
mod run;

use clap::Parser;
use kinglet::Jobs;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kinglet::main(Jobs::of(kinglet_jobs::registry()), async || match args::Cli::parse().command {
        args::Command::Run(run) => run::run(run).await,
        args::Command::Bench(bench) => bench::run(*bench).await,
    })
}
