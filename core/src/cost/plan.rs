//! How a job is cut so that it costs little and ends soon.
//!
//! On AWS every size of splits and every number of partitions that may make sense is priced, and the shape with the least
//! product of dollars and time is taken: it is worth a tenth more to be done a tenth sooner, and no more. Ten seconds are added
//! to every time, as a second less is worth nothing to who waits for two. Smaller splits and more partitions end sooner, but a
//! GET for each mapper and partition, and finding them, cost; where there are many of both, merging the runs in between costs less. Of the shapes that keep within the job's ceiling, if there are any, the best of those is taken.
//!
//! On the embedded runtime requests cost nothing, and a rule of thumb serves: some tasks for each core.

use super::forecast::{Forecast, Shape, Stages, forecast, likely};
use super::listing::Cut;
use super::range::Range;
use crate::budget::{
    CODE_BYTES, MAPPED_PAIRS_PERCENT, PARTITION_INPUT_BYTES, PARTITIONS_CHOSEN_MAX, PARTITIONS_SPREAD_MAX,
    PROGRAM_PERCENT, READ_AHEAD_BYTES, SPLIT_BYTES_MAX, SPLIT_BYTES_MIN, UPLOAD_BYTES, WAVES, memory_bytes,
    open_runs_max,
};
use crate::error::{Code, Error, Result};
use crate::limits::{FUNCTION_TIMEOUT_MS_MAX, MAP_TASKS_MAX, PARTITIONS_MAX};
use crate::wire::cost::{Ceiling, Host, Site, Workload};
use crate::wire::spec::{Indexed, OptionsSpec, RunsMerged, Splitting};
use serde::{Deserialize, Serialize};

/// What a job reads.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The sizes of its objects, in the order of the input.
    pub sizes: &'a [u64],
}

/// What is fixed about a job's shape.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wanted {
    /// About how many bytes a map task reads, if the user says.
    pub split_bytes: Option<u64>,
    /// How many partitions there are, if the user says.
    pub partitions: Option<u32>,
    /// About how many bytes a file of the output has, if the user says that and not how many partitions there are.
    pub file_bytes: Option<u64>,
    /// How many functions can run at once.
    pub concurrency: u32,
    /// The runs of a task lie in DynamoDB up to so many bytes, if the user says.
    pub inline_bytes_max: Option<u64>,
    /// What the job may cost and take.
    pub ceiling: Ceiling,
    /// Whether the runs in S3 stay when the job has succeeded.
    pub keep_runs: bool,
    /// Whether each object is in one split.
    pub whole_objects: bool,
    /// Whether reducers find their runs by an index.
    pub indexed: Indexed,
    /// Whether the runs are merged before they are reduced.
    pub merged: RunsMerged,
}

/// A job's plan: how it is cut, and what that is predicted to take and to cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// Objects of the input.
    pub objects: u64,
    /// Bytes of the input.
    pub bytes: u64,
    /// About how many bytes a map task reads.
    pub split_bytes: u64,
    /// Map tasks.
    pub map_tasks: u64,
    /// Reduce tasks, and so parts.
    pub partitions: u32,
    /// How many functions run at once.
    pub concurrency: u32,
    /// How often all of these are busy with map tasks, the last time perhaps not all.
    pub waves: u64,
    /// In how many stages pairs travel.
    pub stages: Stages,
    /// Merge tasks, where that is in two.
    pub merge_tasks: u64,
    /// What is predicted.
    pub forecast: Forecast,
    /// What the job is unlikely to do in one function's time, if anything.
    pub doubt: Option<String>,
    /// Where the job would run, and what is charged there.
    pub site: Site,
    /// What is assumed of the job.
    pub workload: Workload,
}

/// The size of functions with which a job would do best.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Recommended {
    /// The memory of mapper and reducer, in MB.
    pub memory_mb: u32,
    /// What the job would cost then, in US dollars.
    pub usd: Range,
    /// How long it would take, in seconds.
    pub seconds: Range,
}

/// What is added to a job's time before it is compared, in seconds.
const PATIENCE_S: f64 = 10.0;

/// How much better a shuffle in two stages must be, as a factor: its tasks are more, and each is an assumption.
const SECOND_STAGE: f64 = 1.25;

/// How much longer a reduce task may take than is likely before its function runs out of time, as a factor.
const REDUCE_MARGIN: f64 = 1.5;

/// The size of `/tmp` in `template.yaml`, in bytes.
const TMP_BYTES: f64 = 2_048.0 * 1_048_576.0;

/// The sizes of functions that a plan may recommend, in MB.
const MEMORIES_MB: [u32; 4] = [512, 1_024, crate::budget::MEMORY_MB, 3_008];

impl Wanted {
    /// Returns what a job's options fix.
    pub fn of(options: &OptionsSpec) -> Self {
        let OptionsSpec {
            split_bytes,
            partitions,
            file_bytes,
            concurrency,
            inline_bytes_max,
            ceiling,
            keep_runs,
            splitting,
            indexed,
            merged,
            ..
        } = *options;
        let whole_objects = splitting == Splitting::Nowhere;
        Wanted {
            split_bytes,
            partitions,
            file_bytes,
            concurrency,
            inline_bytes_max,
            ceiling,
            keep_runs,
            whole_objects,
            indexed,
            merged,
        }
    }
}

impl Plan {
    /// Returns the plan of an input that is cut already.
    pub fn of_cut(cut: Cut, objects: u64, wanted: &Wanted, partitions: u32, workload: &Workload, site: &Site) -> Self {
        let split_bytes = cut.bytes.checked_div(cut.map_tasks).unwrap_or(0);
        let one = shape(cut, objects as usize, partitions, wanted);
        let choices = in_stages(&one, wanted, site).map(|shape| Choice { split_bytes, shape });
        let choice = best_of(choices, wanted, workload, site);
        Self::of(&choice.unwrap_or(Choice { split_bytes, shape: one }), workload, site)
    }

    /// Returns the plan that is best for a job.
    ///
    /// # Errors
    /// Returns `split-bytes` or `partitions` when what is wanted is impossible.
    pub fn best(input: Input<'_>, wanted: &Wanted, workload: &Workload, site: &Site) -> Result<Self> {
        let total: u64 = input.sizes.iter().sum();
        let splits = match wanted.split_bytes {
            Some(bytes) => vec![checked_split(bytes, total)?],
            None if site.host == Host::Embedded => vec![usual_split(total, wanted.concurrency)],
            None => splits_tried(total),
        };
        let partitions = match wanted.partitions {
            Some(partitions) => vec![checked_partitions(partitions)?],
            // As if what is written were as long as what is read: a partition of more becomes several files.
            None if let Some(bytes) = wanted.file_bytes => {
                vec![total.div_ceil(bytes.max(1)).clamp(1, PARTITIONS_MAX.into()) as u32]
            }
            None if site.host == Host::Embedded => vec![usual_partitions(total, wanted.concurrency)],
            None => partitions_tried(),
        };
        let mut choices = Vec::new();
        for split_bytes in splits {
            let cut = match wanted.whole_objects {
                true => Cut::of_whole(input.sizes, split_bytes),
                false => Cut::of(input.sizes, split_bytes),
            };
            for &partitions in &partitions {
                let one = shape(cut, input.sizes.len(), partitions, wanted);
                choices.extend(in_stages(&one, wanted, site).map(|shape| Choice { split_bytes, shape }));
            }
        }
        // There is always a size and a number to try.
        let choice = best_of(choices, wanted, workload, site);
        let choice = choice.ok_or_else(|| Error::new(Code::Partitions, "there is no plan"))?;
        Ok(Self::of(&choice, workload, site))
    }

    fn of(choice: &Choice, workload: &Workload, site: &Site) -> Self {
        let Choice { split_bytes, shape } = *choice;
        let forecast = forecast(&shape, workload, site);
        let grid = shape.grid();
        Plan {
            objects: shape.objects,
            bytes: shape.cut.bytes,
            split_bytes,
            map_tasks: shape.cut.map_tasks,
            partitions: shape.partitions,
            concurrency: shape.concurrency,
            waves: shape.cut.map_tasks.div_ceil(u64::from(shape.concurrency.max(1))),
            stages: if grid.is_some() { Stages::Two } else { Stages::One },
            merge_tasks: grid.map_or(0, |grid| grid.tasks().into()),
            doubt: doubt(&shape, &forecast, site),
            forecast,
            site: site.clone(),
            workload: *workload,
        }
    }

    /// Refuses a plan that exceeds the job's ceiling.
    ///
    /// # Errors
    /// Returns `over-ceiling`.
    pub fn check(&self, ceiling: Ceiling) -> Result<()> {
        let Forecast { usd, seconds, .. } = &self.forecast;
        let over = |message: String, option: &str| {
            Err(Error::new(Code::OverCeiling, message).with_hint(format!(
                "allow more ({option}), or give it less to do; `kinglet plan` says what it comes of"
            )))
        };
        match ceiling {
            Ceiling { usd: Some(most), .. } if usd.total.likely > most => {
                let (likely, high) = (usd.total.likely, usd.total.high);
                over(
                    format!("the job would cost about ${likely:.4} (up to ${high:.4}), and may cost ${most}"),
                    "--max-usd",
                )
            }
            Ceiling { seconds: Some(most), .. } if seconds.likely > most => {
                let (likely, high) = (seconds.likely, seconds.high);
                over(
                    format!("the job would take about {likely:.0} s (up to {high:.0} s), and may take {most} s"),
                    "--max-seconds",
                )
            }
            _ => Ok(()),
        }
    }
}

/// A shape, and the size of splits that it comes of.
#[derive(Clone, Copy)]
struct Choice {
    split_bytes: u64,
    shape: Shape,
}

/// How good a shape is.
struct Score {
    /// Whether each task is likely to be done in one function's time.
    works: bool,
    /// Whether it keeps within the ceiling.
    fits: bool,
    /// [`product`].
    product: f64,
    /// How long a reduce task takes: the shorter, the fewer pieces there are of one that takes longer.
    reduce_task_s: f64,
}

impl Score {
    fn of(shape: &Shape, ceiling: Ceiling, workload: &Workload, site: &Site) -> Self {
        let likely = likely(shape, workload, site);
        let within = |value: f64, most: Option<f64>| most.is_none_or(|most| value <= most);
        Score {
            works: reduces(shape, likely.reduce_task_s, likely.run_bytes, site),
            fits: within(likely.usd, ceiling.usd) && within(likely.seconds, ceiling.seconds),
            product: product(likely.usd, likely.seconds) * if shape.grid().is_some() { SECOND_STAGE } else { 1.0 },
            reduce_task_s: likely.reduce_task_s,
        }
    }

    fn is_better_than(&self, other: &Score) -> bool {
        match (self.works, other.works) {
            (true, true) if self.fits != other.fits => self.fits,
            (true, true) => self.product < other.product,
            (false, false) => self.reduce_task_s < other.reduce_task_s,
            (works, _) => works,
        }
    }
}

/// Returns the best choice; of several that are as good, the first.
fn best_of(
    choices: impl IntoIterator<Item = Choice>,
    wanted: &Wanted,
    workload: &Workload,
    site: &Site,
) -> Option<Choice> {
    let scored = choices.into_iter().map(|choice| (Score::of(&choice.shape, wanted.ceiling, workload, site), choice));
    scored.reduce(|best, next| if next.0.is_better_than(&best.0) { next } else { best }).map(|(_, choice)| choice)
}

/// Returns what is to be as small as possible.
fn product(usd: f64, seconds: f64) -> f64 {
    usd * (seconds + PATIENCE_S)
}

fn shape(cut: Cut, objects: usize, partitions: u32, wanted: &Wanted) -> Shape {
    let Wanted { concurrency, inline_bytes_max, keep_runs, indexed, .. } = *wanted;
    let (objects, concurrency) = (objects as u64, concurrency.max(1));
    Shape { cut, objects, partitions, concurrency, inline_bytes_max, stages: Stages::One, keep_runs, indexed }
}

/// Returns whether each reducer comes to an end in one function's time, and with what it merges in several passes within `/tmp`.
/// Others come to it too, but in pieces, and open their runs again.
fn reduces(shape: &Shape, reduce_task_s: f64, run_bytes: f64, site: &Site) -> bool {
    let partition_bytes = run_bytes / f64::from(shape.partitions.max(1));
    let runs = shape.grid().map_or(shape.cut.map_tasks, |grid| grid.groups().into());
    let merges_twice = runs > open_runs_max(site.reducer_mb) as u64 && partition_bytes > TMP_BYTES;
    reduce_task_s * REDUCE_MARGIN <= FUNCTION_TIMEOUT_MS_MAX as f64 / 1e3 && !merges_twice
}

fn doubt(shape: &Shape, forecast: &Forecast, site: &Site) -> Option<String> {
    if site.host == Host::Embedded || reduces(shape, forecast.reduce_task_s.likely, forecast.run_bytes.likely, site) {
        return None;
    }
    let (gb, seconds) =
        (forecast.run_bytes.likely / f64::from(shape.partitions.max(1)) / 1e9, forecast.reduce_task_s.likely);
    Some(format!(
        "a partition has about {gb:.1} GB and takes {seconds:.0} s, for which a function may have too little time or room: then its \
         reducer opens runs again, and goes on in pieces"
    ))
}

fn checked_split(bytes: u64, total: u64) -> Result<u64> {
    if bytes == 0 {
        return Err(Error::new(Code::SplitBytes, "a split of 0 bytes holds nothing")
            .with_hint("give a split some bytes (--split-bytes), or leave the choice to Kinglet"));
    }
    if total / bytes > MAP_TASKS_MAX {
        let message = format!("splits of {bytes} bytes make more than {MAP_TASKS_MAX} tasks of {total} bytes");
        return Err(Error::new(Code::SplitBytes, message).with_hint("choose larger splits"));
    }
    Ok(bytes)
}

/// Returns a number of partitions that the user has fixed.
///
/// # Errors
/// Returns `partitions` when a job cannot have so many.
pub fn checked_partitions(partitions: u32) -> Result<u32> {
    match partitions {
        0 => Err(Error::new(Code::Partitions, "a job needs at least one partition")
            .with_hint("ask for one or more (--partitions), or leave the choice to Kinglet")),
        n if n > PARTITIONS_MAX => {
            Err(Error::new(Code::Partitions, format!("{n} partitions; the most is {PARTITIONS_MAX}"))
                .with_hint("ask for fewer (--partitions)"))
        }
        n => Ok(n),
    }
}

/// The size of splits on the embedded runtime: some for each function that runs at once.
fn usual_split(total: u64, concurrency: u32) -> u64 {
    let chosen = total / (u64::from(concurrency.max(1)) * u64::from(WAVES));
    chosen.clamp(SPLIT_BYTES_MIN, SPLIT_BYTES_MAX).max(total.div_ceil(MAP_TASKS_MAX))
}

/// The partitions on the embedded runtime. Reducing should use as many functions as mapping did, unless there is next to
/// nothing to reduce.
fn usual_partitions(total: u64, concurrency: u32) -> u32 {
    let least = if total > SPLIT_BYTES_MIN { concurrency.clamp(1, PARTITIONS_SPREAD_MAX) } else { 1 };
    total.div_ceil(PARTITION_INPUT_BYTES).clamp(least.into(), PARTITIONS_CHOSEN_MAX.into()) as u32
}

/// Returns a shape in as many stages as pairs may travel in. On the embedded runtime requests cost nothing, and there are never so many.
fn in_stages(shape: &Shape, wanted: &Wanted, site: &Site) -> impl Iterator<Item = Shape> {
    let tried: &[Stages] = match (wanted.merged, site.host) {
        (RunsMerged::Always, _) => &[Stages::Two],
        (RunsMerged::Never, _) | (RunsMerged::WhereBetter, Host::Embedded) => &[Stages::One],
        (RunsMerged::WhereBetter, Host::Lambda) => &[Stages::One, Stages::Two],
    };
    let shape = *shape;
    tried.iter().map(move |stages| Shape { stages: *stages, ..shape })
}

/// The sizes of splits that are tried: each about 1.4 times the one before.
fn splits_tried(total: u64) -> Vec<u64> {
    let least = SPLIT_BYTES_MIN.max(total.div_ceil(MAP_TASKS_MAX));
    let most = SPLIT_BYTES_MAX.max(least);
    let mut tried = Vec::new();
    let mut next = least;
    while next < most {
        tried.push(next);
        next += next * 2 / 5;
    }
    tried.push(most);
    tried
}

/// The numbers of partitions that are tried: 1, 2, 3, 4, 6, 8, 12, 16 and so on.
fn partitions_tried() -> Vec<u32> {
    let powers = (0..).map(|n| 1u32 << n).take_while(|n| *n <= PARTITIONS_MAX);
    let between = powers.clone().skip(1).map(|n| n + n / 2).filter(|n| *n <= PARTITIONS_MAX);
    let mut tried: Vec<u32> = powers.chain(between).chain([PARTITIONS_MAX]).collect();
    tried.sort_unstable();
    tried
}

/// Returns the size of functions with which a job would do best, with the best plan for each size.
///
/// # Errors
/// As [`Plan::best`].
pub fn recommend(input: Input<'_>, wanted: &Wanted, workload: &Workload, site: &Site) -> Result<Option<Recommended>> {
    let mut best: Option<Plan> = None;
    let product = |plan: &Plan| product(plan.forecast.usd.total.likely, plan.forecast.seconds.likely);
    for memory_mb in MEMORIES_MB.into_iter().filter(|mb| holds_a_map_task(*mb)) {
        let site = Site { mapper_mb: memory_mb, reducer_mb: memory_mb, ..site.clone() };
        let plan = Plan::best(input, wanted, workload, &site)?;
        let is_better = |least: &Plan| match (plan.doubt.is_none(), least.doubt.is_none()) {
            (works, other) if works != other => works,
            _ => product(&plan) < product(least),
        };
        if best.as_ref().is_none_or(is_better) {
            best = Some(plan);
        }
    }
    Ok(best.map(|plan| Recommended {
        memory_mb: plan.site.mapper_mb,
        usd: plan.forecast.usd.total,
        seconds: plan.forecast.seconds,
    }))
}

/// Whether a function of so much memory holds what a map task of a job holds at once.
fn holds_a_map_task(memory_mb: u32) -> bool {
    let held = memory_bytes(memory_mb, MAPPED_PAIRS_PERCENT) + READ_AHEAD_BYTES + UPLOAD_BYTES + CODE_BYTES;
    held <= memory_bytes(memory_mb, PROGRAM_PERCENT)
}
