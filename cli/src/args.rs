//! What may stand on the command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(
    name = "kinglet",
    version,
    about = "Serverless MapReduce: on AWS Lambda, S3 and DynamoDB, or on this machine without any of them",
    after_help = "Examples:\n  \
        kinglet run word-count books/ --output counts\n  \
        kinglet run word-count 'logs/**/*.txt' more.txt --output counts --overwrite\n  \
        kinglet run word-count big.txt --output counts --json > report.json"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a job to its end
    Run(Run),
    /// Measure: word counts, reading, writing and empty tasks
    #[command(after_help = "Examples:\n  \
            kinglet bench\n  \
            kinglet bench --quick --json > bench.json\n  \
            kinglet bench --sizes 1MB,10GB --repeat 5")]
    Bench(Box<crate::bench::Bench>),
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(subcommand)]
    pub(crate) job: Job,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// Count words: maximal runs of bytes that are not ASCII white space
    #[command(after_help = "Examples:\n  \
            kinglet run word-count books/ --output counts\n  \
            kinglet run word-count 'logs/**/*.txt' more.txt --output counts --overwrite\n\n\
            The output is part-00000, part-00001, …, with lines WORD<TAB>COUNT sorted by word within a part, and\n\
            _manifest.json, which is written last: an output without it is not whole.")]
    WordCount(Common),
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Files, directories, patterns in quotes, or s3:// URIs (an object, a prefix, a pattern)
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<String>,

    /// Where the parts go: a directory or an s3:// prefix
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: String,

    /// Remove the parts and the manifest that the output holds already
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// About how many bytes a map task reads [default: by the input's size]
    #[arg(long, value_name = "N", help_heading = "Job")]
    pub(crate) split_bytes: Option<u64>,

    /// How many partitions, and so parts, there are [default: by the input's size]
    #[arg(long, value_name = "N", help_heading = "Job")]
    pub(crate) partitions: Option<u32>,

    /// How pairs are stored on their way from mappers to reducers
    #[arg(long, value_enum, default_value_t, help_heading = "Job")]
    pub(crate) compression: CompressionArg,

    /// Pairs of a map task lie in DynamoDB up to so many bytes, else in S3 [default: where it is cheaper]
    #[arg(long, value_name = "N", help_heading = "Job")]
    pub(crate) inline_bytes: Option<u64>,

    /// How many functions run at once [default: the number of cores]
    #[arg(long, value_name = "N", help_heading = "Embedded runtime")]
    pub(crate) concurrency: Option<u32>,

    /// Memory of each function in MB, 128 to 10240; 1769 MB bring one thread
    #[arg(long, value_name = "MB", default_value_t = 1769, help_heading = "Embedded runtime",
          value_parser = clap::value_parser!(u32).range(128..=10240))]
    pub(crate) memory_mb: u32,

    /// Memory of the larger mapper in MB, for map tasks that died of memory [default: four times --memory-mb]
    #[arg(long, value_name = "MB", help_heading = "Embedded runtime",
          value_parser = clap::value_parser!(u32).range(128..=10240))]
    pub(crate) mapper_large_memory_mb: Option<u32>,

    /// Kill functions that use more than their memory, as Lambda does
    #[arg(long, help_heading = "Embedded runtime")]
    pub(crate) enforce_memory: bool,

    /// Give each function the part of a CPU that Lambda gives for its memory
    #[arg(long, help_heading = "Embedded runtime")]
    pub(crate) cpu_share: bool,

    /// Timeout of a function in seconds, at most 900
    #[arg(long, value_name = "S", default_value_t = 900, help_heading = "Embedded runtime",
          value_parser = clap::value_parser!(u64).range(1..=900))]
    pub(crate) timeout: u64,

    /// Where intermediate data goes; it is removed at the end [default: the temporary directory]
    #[arg(long, value_name = "DIR", help_heading = "Embedded runtime")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Run the built functions in this directory instead of this program itself
    #[arg(long, value_name = "DIR", help_heading = "Embedded runtime")]
    pub(crate) functions: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionArg {
    /// As they are
    None,
    /// LZ4
    #[default]
    Lz4,
}
