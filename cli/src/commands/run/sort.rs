//! `kinglet run sort`.

use super::how::finish;
use super::over_rows::{OverRows, Sorting};
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::{Code, Driver, Error, Inputs, Result, Sampling, Submit, Types};
use kinglet_jobs::Sort as Job;

/// Sort rows: all of them, in parts that are in order end to end
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run sort sales.csv --by 'price desc, town' --output sorted\n  \
    kinglet run sort 'logs/*.gz' --output sorted\n  \
    kinglet run sort 'events/**/*.parquet' --by 'time, \"user id\"' --where 'level = error' --output sorted\n  \
    kinglet run sort people.csv --by 'zip as text' --unique --partitions 1 --output one-of-each\n\n\
    --by names columns with commas between; behind one may stand `as text` or `as number`, `asc` or `desc`, `nulls first` or\n\
    `nulls last`. Rows without a value come last unless `nulls first` is said. Rows with the same values stay in the order of files\n\
    and offsets. Numbers come before dates and these before text, which is compared byte by byte; fields of CSV are numbers where\n\
    they look so. Lines have the column `line`, which is what they are sorted by if nothing else is said.\n\n\
    Where parts end follows from a sample of 256 pieces of 64 KiB, which is read beforehand; --partitions 1 needs none.")]
pub(crate) struct Sort {
    /// The columns to sort by, as in 'price desc nulls first, town' [default: of lines, the line]
    #[arg(long, value_name = "COLUMN[ desc],...")]
    by: Option<String>,

    /// Keep only the first row of those that have the same values in the columns of --by
    #[arg(long)]
    unique: bool,

    /// Parquet: the types of these columns, as in 'price decimal(12,2), day date'; of others, what a look at the input shows
    #[arg(long, help_heading = "Output", value_name = "TYPES")]
    types: Option<Types>,

    #[command(flatten)]
    rows: OverRows,
}

/// How many bounds are made for each part, so that parts are even; and for how many parts at least, as nobody knows how many there will
/// be if the user says nothing.
const BOUNDS_A_PART: usize = 8;
const BOUNDS_MIN: usize = 4_095;
const BOUNDS_MAX: usize = 40_000;

/// How many pieces are sampled for one part, which only needs to know the names of columns.
const PIECES_OF_ONE_PART: u32 = 4;

/// How many rows of a sample are asked for the names of their columns.
const ROWS_ASKED: usize = 1_000;

impl Command for Sort {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.rows.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let Sorting { driver, submit, rows, told, partitions } =
            self.rows.ordered(self.by.as_deref(), self.types, cloud).await?;
        let inputs = driver.list_inputs(&submit).await?;
        let job = Job::new(rows.with_common(inputs.common()));
        let job = if self.unique { job.unique() } else { job };
        let job = with_sample(job, &driver, (&inputs, &submit), partitions).await?;
        let handle = driver.submit(&job, submit).await?;
        finish(driver, handle, told, async |_| Ok(())).await
    }
}

/// Samples the input, for where parts end and for what is known of rows.
async fn with_sample(
    job: Job,
    driver: &Driver,
    (inputs, submit): (&Inputs, &Submit),
    partitions: Option<u32>,
) -> Result<Job> {
    let is_one = partitions == Some(1);
    let sampling = if is_one { Sampling { pieces: PIECES_OF_ONE_PART } } else { Sampling::default() };
    let sample = match driver.sample_of(inputs, &job.keys_alone(), submit, sampling).await {
        Ok(sample) => sample,
        Err(error) if error.is(Code::AccessDenied) && is_one => return Ok(job),
        Err(error) if error.is(Code::AccessDenied) => return Err(not_sampled(error)),
        Err(error) => return Err(error),
    };
    let most = partitions.map_or(BOUNDS_MIN, |parts| (parts as usize * BOUNDS_A_PART).clamp(BOUNDS_MIN, BOUNDS_MAX));
    let bounds = if is_one { Vec::new() } else { sample.bounds(most) };
    let names = match sample.columns.is_empty() {
        true => {
            let asked = sample.pairs.iter().step_by(sample.pairs.len().div_ceil(ROWS_ASKED).max(1));
            asked.map(|pair| job.names_of(&pair.key, &pair.value)).collect::<Result<Vec<_>>>()?
        }
        false => sample.columns,
    };
    if !is_one {
        eprintln!("sample: {} bytes of {} of {} files", sample.bytes, sample.sampled, sample.objects);
    }
    Ok(job.with_names(names).with_bounds(bounds))
}

fn not_sampled(error: Error) -> Error {
    error.with_hint(
        "where parts end follows from a sample, which this program reads itself: let whoever runs it read the input, or write one part \
         (--partitions 1)",
    )
}
