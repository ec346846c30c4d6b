//! What may stand behind `kinglet tune`.

use crate::args::PrimeRange;
use crate::hull::PointArgs;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Tune {
    #[command(subcommand)]
    pub(crate) job: TuneJob,
}

impl Tune {
    pub(crate) fn how(&self) -> &TuneHow {
        match &self.job {
            TuneJob::WordCount { how, .. } | TuneJob::Primes { how, .. } | TuneJob::Hull { how, .. } => how,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TuneJob {
    /// Count words: maximal runs of bytes that are not ASCII white space
    WordCount {
        /// Files, directories, patterns in quotes, or s3:// URIs (an object, a prefix, a pattern)
        #[arg(required = true, value_name = "INPUT")]
        inputs: Vec<String>,
        #[command(flatten)]
        how: TuneHow,
    },
    /// Primes in a range, in one map task unless --stretches says more
    #[command(after_help = "Examples:\n  \
            kinglet tune primes --to 1e10 --svg primes.svg\n  \
            kinglet tune primes --to 1e6 --list --repeat 1000 --memory 128,256,512,1024")]
    Primes {
        #[command(flatten)]
        range: PrimeRange,
        #[command(flatten)]
        how: TuneHow,
    },
    /// The convex hull of points in the plane or in space
    Hull {
        /// Files, directories, patterns in quotes, or s3:// URIs (an object, a prefix, a pattern)
        #[arg(required = true, value_name = "INPUT")]
        inputs: Vec<String>,
        #[command(flatten)]
        points: PointArgs,
        #[command(flatten)]
        how: TuneHow,
    },
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Tuning")]
pub(crate) struct TuneHow {
    /// Memory sizes in MB, 128 to 10240
    #[arg(long, value_name = "MB,…", value_delimiter = ',', default_value = "128,256,512,1024,1769,3008",
          value_parser = clap::value_parser!(u32).range(128..=10240))]
    pub(crate) memory: Vec<u32>,

    /// Runs at each size; those far from the median are left out
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) runs: u32,

    /// Draw time against cost into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Name the cheapest size at which the job takes at most so many seconds
    #[arg(long, value_name = "S", value_parser = positive)]
    pub(crate) deadline: Option<f64>,

    /// Name the fastest size at which the job costs at most so many dollars
    #[arg(long, value_name = "USD", value_parser = positive)]
    pub(crate) budget: Option<f64>,

    /// Where the job writes, each run over the one before; on a stack it must be an s3:// prefix [default: a temporary directory]
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<String>,

    /// Print the figures as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// How many functions run at once [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) concurrency: Option<u32>,

    /// Where intermediate data goes; it is removed at the end [default: the temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("not a number above 0".to_owned()),
    }
}
