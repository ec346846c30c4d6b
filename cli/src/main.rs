//! The `kinglet` command: the built-in jobs, run on the embedded runtime or on a stack.

#[macro_use]
mod stdout;

mod command;
mod commands;
mod desk;
mod options;
mod pages;
mod progress;
mod report;
mod times;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use commands::Commands;
use kinglet::Registry;
use options::{Cloud, EmbeddedOnly};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kinglet::main(Registry::of(kinglet_jobs::registry()), async || {
        let Cli { command, cloud } = Cli::parse().check().unwrap_or_else(|e| e.exit());
        command.run(&cloud).await.and_then(|()| stdout::end())
    })
}

#[derive(Debug, Parser)]
#[command(
    name = "kinglet",
    version,
    about = "Serverless MapReduce: on AWS Lambda, S3 and DynamoDB, or on this machine without any of them",
    after_help = "Examples:\n  \
        kinglet run word-count books/ --output counts\n  \
        kinglet run word-count 'logs/**/*.txt' more.txt --output counts --overwrite\n  \
        kinglet run word-count big.txt --output counts --json > report.json\n  \
        kinglet run primes --to 10^12 --output count\n  \
        kinglet --stack kinglet run word-count s3://BUCKET/books/ --output s3://BUCKET/counts"
)]
struct Cli {
    #[command(subcommand)]
    command: Commands,

    #[command(flatten)]
    cloud: Cloud,
}

/// Returns the whole command line: all commands, with their arguments.
fn whole() -> clap::Command {
    Cli::command()
}

impl Cli {
    /// Checks what options demand of one another; clap cannot, as a global option may stand before the command or behind it.
    fn check(self) -> Result<Self, clap::Error> {
        let refuse = |kind, message: String| Err(Cli::command().error(kind, message));
        let Cloud { stack, region, profile } = &self.cloud;
        if stack.is_none() && (region.is_some() || profile.is_some()) {
            let message = "--region and --profile say how to reach a stack: add --stack NAME".to_owned();
            return refuse(ErrorKind::MissingRequiredArgument, message);
        }
        if let (Some(stack), Some(EmbeddedOnly { option, instead })) = (stack, self.command.embedded_only()) {
            let message = format!("{option} is for the embedded runtime: {instead} of stack {stack}");
            return refuse(ErrorKind::ArgumentConflict, message);
        }
        Ok(self)
    }
}
