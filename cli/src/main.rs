//! The `kinglet` command: the built-in jobs, run on the embedded runtime or on a stack.

mod args;
mod bench;
mod hull;
mod progress;
mod report;
mod run;
mod svg;

use clap::Parser;
use kinglet::Jobs;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kinglet::main(Jobs::of(kinglet_jobs::registry()), async || {
        let args::Cli { command, cloud } = args::Cli::parse().check().unwrap_or_else(|e| e.exit());
        match command {
            args::Command::Run(run) => run::run(run, cloud).await,
            args::Command::Bench(bench) => bench::run(*bench, cloud).await,
        }
    })
}
