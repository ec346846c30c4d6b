//! A job's report: what it did, how long it took and what it would cost on AWS. Plain fields, which `--json` prints as they
//! are.

mod attempts;
mod gather;

pub(crate) use attempts::attempts;
pub use attempts::{Attempt, Outcome};
pub(crate) use gather::report;

use crate::{Forecast, Phase};
use kinglet_core::bill::Bill;
use kinglet_core::ids::JobId;
use kinglet_core::prices::Prices;
use kinglet_core::wire::record;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::AddAssign;

/// What a job that succeeded did, how long it took and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The job's id.
    pub job: JobId,
    /// The job's name.
    pub name: String,
    /// How it ended.
    pub phase: Phase,
    /// Where the output is.
    pub output: String,
    /// Wall time by phase.
    pub wall: Wall,
    /// Objects read.
    pub objects: u64,
    /// Objects found and left out, as they are hidden or no data.
    #[serde(default)]
    pub skipped: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Records read.
    pub records_in: u64,
    /// Records left out because they are not valid.
    pub rejected: u64,
    /// The object in which these lie, if there are any.
    #[serde(default)]
    pub quarantine: Option<String>,
    /// Pairs that `map` emitted.
    pub pairs_emitted: u64,
    /// Pairs after combining, which were shuffled.
    pub pairs_shuffled: u64,
    /// Pairs that reducers read: fewer where merge tasks have combined some in between.
    #[serde(default)]
    pub pairs_reduced: u64,
    /// Bytes of the runs, which were shuffled.
    pub shuffle_bytes: u64,
    /// The partition with the most pairs; `None` if there were none.
    #[serde(default)]
    pub hottest: Option<Hottest>,
    /// Where the runs of the map attempts lay.
    #[serde(rename = "runs_inline_object_empty")]
    pub runs: RunPlaces,
    /// Bytes of the runs that lay in S3 and are removed as the job ends; none if they are kept.
    #[serde(default)]
    pub removed_bytes: u64,
    /// How often a mapper's tables were full and were spilled.
    pub spills: u64,
    /// Records written.
    pub records_out: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Parts written.
    pub parts: u64,
    /// Committed map tasks; each piece of a split counts.
    pub map_tasks: u64,
    /// Committed merge tasks, of a job whose runs were merged before they were reduced; each piece of a task counts.
    #[serde(default)]
    pub merge_tasks: u64,
    /// Bytes of the runs that these wrote, which reducers read in place of those of the mappers.
    #[serde(default)]
    pub merged_bytes: u64,
    /// Committed reduce tasks; each piece of a partition counts.
    pub reduce_tasks: u64,
    /// Attempts beyond the first of each task.
    pub retries: u64,
    /// How many of the committed attempts and the splitter were the first invocation of their environment.
    pub cold_starts: u64,
    /// How long these environments took to start, in total, in milliseconds.
    pub init_ms: u64,
    /// How long the committed map attempts ran, in milliseconds.
    pub map_ms: Spread,
    /// How long the committed merge attempts ran, in milliseconds.
    #[serde(default)]
    pub merge_ms: Spread,
    /// How long the committed reduce attempts ran, in milliseconds.
    pub reduce_ms: Spread,
    /// Requests of the splitter, of the committed attempts with their commits, of the processes that moved the job from
    /// phase to phase and published it, and of this driver since the submission. Of failed attempts only the invocations are
    /// counted, and of the schedule's checks each minute nothing.
    pub requests: Requests,
    /// Function time times memory, in GB-seconds: of the splitter, of the committed attempts, and of those that started and did
    /// not commit, as they failed, were lost, or were overtaken by another.
    pub gb_seconds: f64,
    /// What that costs on AWS, in US dollars: by the prices of the stack's region and architecture, as far as they are known,
    /// or else of us-east-1 and x86_64.
    pub cost: Cost,
    /// What the plan predicted, for the job as it was cut; `None` if the plan is not there any more.
    #[serde(default)]
    pub predicted: Option<Forecast>,
}

/// The partition of a job with the most pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hottest {
    /// The partition.
    pub partition: u32,
    /// How many pairs it had.
    pub pairs: u64,
    /// In how many pieces it was reduced: more than one where that took longer than a function lives.
    pub pieces: u64,
}

/// Wall time by phase, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Wall {
    /// From submission to the plan.
    pub split_ms: u64,
    /// From the plan to the last map commit.
    pub map_ms: u64,
    /// From the last map commit to the last merge commit; 0 where runs are not merged before they are reduced.
    #[serde(default)]
    pub merge_ms: u64,
    /// From the last map commit, or merge commit, to the job's end, when its result is published.
    pub reduce_ms: u64,
    /// From submission to the job's end.
    pub total_ms: u64,
}

/// A summary of several numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spread {
    /// The smallest.
    pub min: u64,
    /// The median.
    pub median: u64,
    /// The largest.
    pub max: u64,
    /// The sum.
    pub sum: u64,
}

/// Map attempts by where their runs lay. In JSON, a list of the three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u64)", into = "(u64, u64, u64)")]
#[non_exhaustive]
pub struct RunPlaces {
    /// In DynamoDB.
    pub inline: u64,
    /// In S3.
    pub object: u64,
    /// Nowhere, as there was no pair.
    pub empty: u64,
}

impl From<(u64, u64, u64)> for RunPlaces {
    fn from((inline, object, empty): (u64, u64, u64)) -> Self {
        RunPlaces { inline, object, empty }
    }
}

impl From<RunPlaces> for (u64, u64, u64) {
    fn from(RunPlaces { inline, object, empty }: RunPlaces) -> Self {
        (inline, object, empty)
    }
}

/// Requests, by how they are billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Requests {
    /// S3: PUT, COPY, POST and LIST.
    pub s3_put: u64,
    /// S3: GET and HEAD.
    pub s3_get: u64,
    /// S3: DELETE and abort, which are free.
    pub s3_delete: u64,
    /// DynamoDB requests.
    pub dynamodb: u64,
    /// DynamoDB write units, in thousandths.
    pub write_milliunits: u64,
    /// DynamoDB read units, in thousandths.
    pub read_milliunits: u64,
    /// Lambda invocations.
    pub lambda: u64,
    /// How many of all these requests were retries by the SDK.
    pub again: u64,
}

impl AddAssign for Requests {
    fn add_assign(&mut self, other: Self) {
        self.s3_put += other.s3_put;
        self.s3_get += other.s3_get;
        self.s3_delete += other.s3_delete;
        self.dynamodb += other.dynamodb;
        self.write_milliunits += other.write_milliunits;
        self.read_milliunits += other.read_milliunits;
        self.lambda += other.lambda;
        self.again += other.again;
    }
}

impl Requests {
    /// Converts the counts of attempts and drivers: their type is the wire's, which changes only with a version.
    pub(crate) fn counted(counted: record::Requests) -> Self {
        let record::Requests { s3_put, s3_get, s3_delete, dynamodb, write_milliunits, read_milliunits, lambda, again } =
            counted;
        Requests { s3_put, s3_get, s3_delete, dynamodb, write_milliunits, read_milliunits, lambda, again }
    }

    fn as_counted(self) -> record::Requests {
        let Requests { s3_put, s3_get, s3_delete, dynamodb, write_milliunits, read_milliunits, lambda, again } = self;
        record::Requests { s3_put, s3_get, s3_delete, dynamodb, write_milliunits, read_milliunits, lambda, again }
    }
}

impl Spread {
    /// Summarises these numbers; all zero if there are none.
    pub(crate) fn of(numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut numbers: Vec<_> = numbers.into_iter().collect();
        numbers.sort_unstable();
        let (Some(&min), Some(&max)) = (numbers.first(), numbers.last()) else { return Spread::default() };
        Spread { min, median: numbers[numbers.len() / 2], max, sum: numbers.iter().sum() }
    }
}

/// An estimate of the cost, in US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cost {
    /// Lambda: GB-seconds and invocations.
    pub lambda: f64,
    /// DynamoDB: write and read units.
    pub dynamodb: f64,
    /// S3: requests.
    pub s3: f64,
    /// The sum.
    pub total: f64,
}

impl Cost {
    /// Returns the cost of this function time and these requests.
    pub(crate) fn of(gb_seconds: f64, requests: &Requests, prices: &Prices) -> Self {
        let bill = Bill::of(prices, gb_seconds, &requests.as_counted());
        Cost { lambda: bill.lambda, dynamodb: bill.dynamodb, s3: bill.s3, total: bill.total() }
    }
}

impl fmt::Display for Report {
    /// Writes the report for people, one fact a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wall, requests, cost) = (&self.wall, &self.requests, &self.cost);
        let seconds = |ms: u64| format!("{:.2} s", ms as f64 / 1e3);
        let RunPlaces { inline, object, empty } = self.runs;
        writeln!(f, "job        {} {}", self.name, self.job)?;
        writeln!(f, "output     {} in {} parts", self.output, count(self.parts))?;
        let merge = (self.merge_tasks > 0).then_some(("merge", wall.merge_ms));
        let phases = [("split", wall.split_ms), ("map", wall.map_ms)].into_iter().chain(merge);
        let phases = phases.chain([("reduce", wall.reduce_ms)]).map(|(name, ms)| format!("{name} {}", seconds(ms)));
        let phases = phases.collect::<Vec<_>>().join(", ");
        writeln!(f, "wall time  {} ({phases})", seconds(wall.total_ms))?;
        let read = bytes(self.bytes_in);
        write!(f, "read       {} records, {read} in {} objects", count(self.records_in), count(self.objects))?;
        match self.skipped {
            0 => writeln!(f)?,
            skipped => writeln!(f, "; {} hidden were left out", count(skipped))?,
        }
        if let Some(quarantine) = &self.quarantine {
            writeln!(f, "left out   {} records that are not valid, in {quarantine}", count(self.rejected))?;
        }
        let (shuffled, emitted) = (count(self.pairs_shuffled), count(self.pairs_emitted));
        let held = bytes(self.shuffle_bytes);
        writeln!(f, "shuffled   {shuffled} pairs of {emitted} emitted, {held}")?;
        let spills = self.spills;
        writeln!(f, "           map outputs: {inline} in DynamoDB, {object} in S3, {empty} empty; {spills} spills")?;
        if self.merge_tasks > 0 {
            let (tasks, merged) = (count(self.merge_tasks), bytes(self.merged_bytes));
            writeln!(f, "           merged by {tasks} tasks to {merged} before they were reduced")?;
        }
        if let Some(Hottest { partition, pairs, pieces }) = self.hottest.filter(|_| self.reduce_tasks > 1) {
            let share = 100.0 * pairs as f64 / self.pairs_reduced.max(1) as f64;
            writeln!(
                f,
                "           most in partition {partition}: {share:.0} % of the pairs, reduced in {pieces} pieces"
            )?;
        }
        if self.removed_bytes > 0 {
            writeln!(f, "           those in S3, {}, are removed", bytes(self.removed_bytes))?;
        }
        writeln!(f, "written    {} records, {}", count(self.records_out), bytes(self.bytes_out))?;
        let merges = if self.merge_tasks > 0 { format!("{} merge, ", self.merge_tasks) } else { String::new() };
        writeln!(
            f,
            "tasks      {} map, {merges}{} reduce, {} retries",
            self.map_tasks, self.reduce_tasks, self.retries
        )?;
        let (put, get, dynamodb) = (count(requests.s3_put), count(requests.s3_get), count(requests.dynamodb));
        let (lambda, again) = (requests.lambda, requests.again);
        writeln!(f, "requests   S3 {put} put, {get} get; DynamoDB {dynamodb}; Lambda {lambda}; {again} sent again")?;
        writeln!(f, "functions  {:.1} GB-seconds, {} cold starts", self.gb_seconds, self.cold_starts)?;
        let Cost { lambda, dynamodb, s3, total } = cost;
        write!(f, "on AWS     about ${total:.6} (Lambda ${lambda:.6}, DynamoDB ${dynamodb:.6}, S3 ${s3:.6})")?;
        let Some(predicted) = &self.predicted else { return Ok(()) };
        let Forecast { seconds, gb_seconds, s3_put, s3_get, write_units, read_units, run_bytes, usd, .. } = predicted;
        let [put, get, written, read] =
            [s3_put, s3_get, write_units, read_units].map(|n| count(n.likely.round() as u64));
        // The report's own cost has no storage.
        let usd = usd.total.likely - usd.storage.likely;
        write!(
            f,
            "\npredicted  {:.2} s ({:.2} to {:.2}), {:.1} GB-seconds, {} shuffled, ${usd:.6}",
            seconds.likely,
            seconds.low,
            seconds.high,
            gb_seconds.likely,
            bytes(run_bytes.likely as u64)
        )?;
        write!(f, "\n           S3 {put} put, {get} get; {written} write units, {read} read units")?;
        let [written, read] = [requests.write_milliunits, requests.read_milliunits].map(|n| count(n.div_ceil(1_000)));
        write!(
            f,
            "\nbeside     {}, {:.1} GB-seconds, {held} shuffled, ${total:.6}",
            seconds_of(wall),
            self.gb_seconds
        )?;
        let (put, get) = (count(requests.s3_put), count(requests.s3_get));
        write!(f, "\n           S3 {put} put, {get} get; {written} write units, {read} read units")
    }
}

fn seconds_of(wall: &Wall) -> String {
    format!("{:.2} s", wall.total_ms as f64 / 1e3)
}

/// Formats a number with a comma between thousands.
fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number of bytes in the largest unit in which it is at least one. A KB is 1,000 bytes.
fn bytes(n: u64) -> String {
    let mut scaled = n as f64;
    for unit in ["B", "KB", "MB", "GB", "TB"] {
        if scaled < 1000.0 {
            return if unit == "B" { format!("{n} B") } else { format!("{scaled:.2} {unit}") };
        }
        scaled /= 1000.0;
    }
    format!("{scaled:.2} PB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1_000, 12_345_678].map(count), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!([0, 999, 1_500, 1_200_000_000].map(bytes), ["0 B", "999 B", "1.50 KB", "1.20 GB"]);
    }

    #[test]
    fn a_spread_of_none_one_and_many() {
        assert_eq!(Spread::of([]), Spread::default());
        assert_eq!(Spread::of([7]), Spread { min: 7, median: 7, max: 7, sum: 7 });
        assert_eq!(Spread::of([4, 1, 9, 2]), Spread { min: 1, median: 4, max: 9, sum: 16 });
    }

    #[test]
    fn a_million_of_each_costs_what_the_price_lists_say() {
        let requests = Requests {
            s3_put: 1_000_000,
            s3_get: 1_000_000,
            write_milliunits: 1_000_000_000,
            read_milliunits: 1_000_000_000,
            lambda: 1_000_000,
            ..Requests::default()
        };
        let cost = Cost::of(1_000_000.0, &requests, &Prices::of_us_east_1("x86_64"));
        assert!((cost.lambda - 16.8667).abs() < 1e-3, "{cost:?}");
        assert!((cost.dynamodb - 0.75).abs() < 1e-9, "{cost:?}");
        assert!((cost.s3 - 5.4).abs() < 1e-9, "{cost:?}");
    }
}
