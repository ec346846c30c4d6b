//! What may stand on the command line.

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

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
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) cloud: Cloud,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "AWS")]
pub(crate) struct Cloud {
    /// The stack that `sam deploy` made; without it, the embedded runtime
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) stack: Option<String>,

    /// The stack's region [default: as every AWS tool finds it]
    #[arg(long, global = true, value_name = "REGION")]
    pub(crate) region: Option<String>,

    /// The profile of ~/.aws/config to sign in by [default: as every AWS tool finds it]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a job to its end
    Run(Box<Run>),
    /// Measure: word counts, reading, writing and empty tasks
    #[command(after_help = "Examples:\n  \
            kinglet bench\n  \
            kinglet bench --quick --json > bench.json\n  \
            kinglet bench --sizes 1MB,10GB --repeat 5\n  \
            kinglet --stack kinglet bench")]
    Bench(Box<crate::bench::Bench>),
    /// Run a job over memory sizes and say which is the cheapest, the fastest and the balanced
    Tune(Box<crate::tune::Tune>),

    /// List jobs: on the stack that is named, or of this machine
    #[command(after_help = "Examples:\n  kinglet jobs\n  kinglet --stack kinglet jobs --json")]
    Jobs {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Show how a job stands, and its report when it has succeeded
    #[command(
        after_help = "Examples:\n  kinglet status last\n  kinglet --stack kinglet status 19aa5440eb0-f0a9c3d5e7ab --json"
    )]
    Status(OneJob),

    /// Follow a job that runs to its end, whoever submitted it, and print its report
    #[command(after_help = "Examples:\n  kinglet --stack kinglet attach last\n\n\
        Ctrl-C ends this command and not the job; on this machine, too.")]
    Attach(OneJob),

    /// Cancel a job: nothing of it is published
    #[command(after_help = "Examples:\n  kinglet --stack kinglet cancel f0a9")]
    Cancel {
        /// The job: its id, the start of one of the id's halves, or `last`
        #[arg(value_name = "JOB")]
        job: String,
    },

    /// Show what the functions wrote of a job: from CloudWatch Logs on a stack, else from files
    #[command(after_help = "Examples:\n  kinglet logs last\n  kinglet --stack kinglet logs last --follow\n  \
        kinglet --stack kinglet logs f0a9 --task 17 --stage map --json")]
    Logs(Logs),

    /// Remove what jobs that are over left: intermediate data and the ledger's items on a stack, records on this machine
    #[command(
        after_help = "Examples:\n  kinglet --stack kinglet clean --dry-run\n  kinglet --stack kinglet clean --older-than 12h\n\n\
        Outputs stay, and so does everything of jobs that run. Without it, all is gone after 7 days on a stack;\n\
        on this machine the newest 200 jobs are kept."
    )]
    Clean(Clean),

    /// Check everything that jobs need, by trying it, and say what to do
    #[command(after_help = "Examples:\n  kinglet doctor\n  kinglet --stack kinglet doctor --json\n\n\
        With --stack: credentials, the stack, permissions, functions, quotas, settings, the clock, leftovers.\n\
        Without it: what the embedded runtime needs of this machine. The exit code is 1 when there is a problem.")]
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct OneJob {
    /// The job: its id, the start of one of the id's halves, or `last`
    #[arg(value_name = "JOB")]
    pub(crate) job: String,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The job: its id, the start of one of the id's halves, or `last`
    #[arg(value_name = "JOB")]
    pub(crate) job: String,

    /// Only lines of this task
    #[arg(long, value_name = "N")]
    pub(crate) task: Option<u32>,

    /// Only lines of this stage
    #[arg(long, value_enum)]
    pub(crate) stage: Option<StageArg>,

    /// Only lines of the last so many days, hours, minutes or seconds, as 12h [default: since the job began]
    #[arg(long, value_name = "AGO", value_parser = crate::look::duration)]
    pub(crate) since: Option<Duration>,

    /// Go on until the job ends
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// Print one JSON object a line, as the functions wrote it
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StageArg {
    /// Map tasks
    Map,
    /// Reduce tasks
    Reduce,
}

impl From<StageArg> for kinglet::Stage {
    fn from(stage: StageArg) -> Self {
        match stage {
            StageArg::Map => kinglet::Stage::Map,
            StageArg::Reduce => kinglet::Stage::Reduce,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Clean {
    /// Only of jobs that were over so many days, hours, minutes or seconds ago
    #[arg(long, value_name = "AGE", default_value = "1h", value_parser = crate::look::duration)]
    pub(crate) older_than: Duration,

    /// Only say what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
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
            The output is parts, part-00000-<job>, …, with lines WORD<TAB>COUNT sorted by word within a part, and\n\
            _manifest.json, which is written last: an output without it is not whole.")]
    WordCount(Common),

    /// Primes in a range: how many, their sum, or all of them
    #[command(after_help = "Examples:\n  \
            kinglet run primes --to 10^12 --output count\n  \
            kinglet run primes --from 2^64-10^10 --to 2^64-1 --sum --output sum\n  \
            kinglet run primes --to 1e9 --list --output primes\n\n\
            Both ends are in the range. A count or a sum is one line in the only part; a list is one prime a line, in order\n\
            within a part and from part to part.")]
    Primes(Primes),

    /// Find the convex hull of points in the plane or in space
    #[command(after_help = "Examples:\n  \
            kinglet run hull cities.csv --x lon --y lat --output hull --svg hull.svg\n  \
            kinglet run hull 'scans/*.jsonl' --x x --y y --z height --output body\n  \
            kinglet run hull points.f64 --output hull\n\n\
            The output is one part: in the plane the vertices counter-clockwise as lines X<TAB>Y, from the one with\n\
            the lowest x; in space an OFF file with the vertices and the triangles of the surface.")]
    Hull(Box<crate::hull::HullArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct Primes {
    #[command(flatten)]
    pub(crate) range: PrimeRange,

    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Args)]
pub(crate) struct PrimeRange {
    /// The first number: 1000000, 1_000_000, 1e12, 10^12, 2^64-1
    #[arg(long, value_name = "A", default_value = "0", allow_hyphen_values = true, help_heading = "Range")]
    pub(crate) from: String,

    /// The last number, itself in the range
    #[arg(long, value_name = "B", allow_hyphen_values = true, help_heading = "Range")]
    pub(crate) to: String,

    /// Their sum, not their number
    #[arg(long, conflicts_with = "list", help_heading = "Range")]
    pub(crate) sum: bool,

    /// All of them, not their number
    #[arg(long, help_heading = "Range")]
    pub(crate) list: bool,

    /// Into how many map tasks the range is cut, at about equal cost [default: four for each function that can run at once]
    #[arg(long, value_name = "N", help_heading = "Range", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) stretches: Option<u32>,

    /// Compute each stretch so many times, to measure functions
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Range", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Files, directories, patterns in quotes, or s3:// URIs (an object, a prefix, a pattern)
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<String>,

    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Args)]
pub(crate) struct How {
    /// Where the parts go: a directory or an s3:// prefix
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: String,

    /// Replace the result that the output holds already; it stays until the new one is whole
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

    /// How many functions run at once; on AWS, how many to plan for [default: the number of cores; on AWS, what the stack
    /// reserves or the account has]
    #[arg(long, value_name = "N", help_heading = "Job", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) concurrency: Option<u32>,

    /// How long the job may take in all, in seconds, waiting for functions included; then it fails [default: 86400, a day]
    #[arg(long, value_name = "S", help_heading = "Job", value_parser = clap::value_parser!(u64).range(1..=518_400))]
    pub(crate) job_timeout: Option<u64>,

    #[command(flatten)]
    pub(crate) embedded: Embedded,
}

/// What only the embedded runtime can be told: on AWS, the parameters of `template.yaml` say it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Embedded runtime")]
pub(crate) struct Embedded {
    /// Memory of each function in MB, 128 to 10240; 1769 MB bring one thread [default: 1769]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(128..=10240))]
    pub(crate) memory_mb: Option<u32>,

    /// Memory of the larger mapper in MB, for map tasks that died of memory [default: four times --memory-mb]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(128..=10240))]
    pub(crate) mapper_large_memory_mb: Option<u32>,

    /// Kill functions that use more than their memory, as Lambda does
    #[arg(long)]
    pub(crate) enforce_memory: bool,

    /// Give each function the part of a CPU that Lambda gives for its memory
    #[arg(long)]
    pub(crate) cpu_share: bool,

    /// Timeout of a function in seconds, at most 900 [default: 900]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=900))]
    pub(crate) timeout: Option<u64>,

    /// Where intermediate data goes; it is removed at the end [default: the temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Run the built functions in this directory instead of this program itself
    #[arg(long, value_name = "DIR")]
    pub(crate) functions: Option<PathBuf>,
}

impl Cli {
    /// Checks what options demand of one another; clap cannot, as a global option may stand before the command or behind it.
    pub(crate) fn check(self) -> Result<Self, clap::Error> {
        let refuse = |kind, message: String| Err(<Cli as clap::CommandFactory>::command().error(kind, message));
        let Cloud { stack, region, profile } = &self.cloud;
        if stack.is_none() && (region.is_some() || profile.is_some()) {
            let message = "--region and --profile say how to reach a stack: add --stack NAME".to_owned();
            return refuse(ErrorKind::MissingRequiredArgument, message);
        }
        let given = match &self.command {
            Command::Run(run) => match &run.job {
                Job::WordCount(common) => common.how.embedded.given(),
                Job::Primes(primes) => primes.how.embedded.given(),
                Job::Hull(hull) => hull.common.how.embedded.given(),
            },
            Command::Tune(tune) => tune.how().data_dir.as_ref().map(|_| DATA_DIR),
            Command::Bench(bench) => bench.embedded.given(),
            _ => None,
        };
        if let (Some(stack), Some((option, parameter))) = (stack, given) {
            let message = format!("{option} is for the embedded runtime: {parameter} of stack {stack}");
            return refuse(ErrorKind::ArgumentConflict, message);
        }
        Ok(self)
    }
}

/// The option, and what to do instead on AWS.
const DATA_DIR: (&str, &str) = ("--data-dir", "leave it out, as intermediate data goes to the work bucket");

impl Embedded {
    /// The first of these options that is given, and what says the same on AWS.
    fn given(&self) -> Option<(&'static str, &'static str)> {
        let options = [
            (self.memory_mb.is_some(), "--memory-mb", "set MapperMemory and ReducerMemory"),
            (self.mapper_large_memory_mb.is_some(), "--mapper-large-memory-mb", "set MapperLargeMemory"),
            (
                self.enforce_memory,
                "--enforce-memory",
                "leave it out, as Lambda does so in any case, with the functions",
            ),
            (self.cpu_share, "--cpu-share", "leave it out, as Lambda does so in any case, with the functions"),
            (self.timeout.is_some(), "--timeout", "set Timeout"),
            (self.data_dir.is_some(), DATA_DIR.0, DATA_DIR.1),
            (self.functions.is_some(), "--functions", "leave it out, as jobs run on the functions"),
        ];
        options.into_iter().find(|(given, ..)| *given).map(|(_, option, parameter)| (option, parameter))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionArg {
    /// As they are
    None,
    /// LZ4
    #[default]
    Lz4,
}
