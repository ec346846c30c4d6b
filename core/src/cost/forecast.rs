//! What a job of a given shape takes and costs: one pass of arithmetic over what its functions do, in the order in which they
//! do it.

mod index;

use super::listing::Cut;
use super::range::Range;
use super::rates::{Luck, RAMP_S, Rates};
use crate::budget::{INDEXES_AT_ONCE, MERGE_BYTES_S, REDUCE_TIME_KEPT_PERCENT, UPLOAD_PART_BYTES, open_runs_max};
use crate::grid::{Grid, ledger_groups};
use crate::ids::{AttemptId, Timestamp};
use crate::ledger::HEARTBEAT_MS;
use crate::limits::{
    BATCH_GET_KEYS_MAX, BATCH_WRITE_ITEMS_MAX, FUNCTION_TIMEOUT_MS_MAX, JOB_KEPT_S, TASKS_PER_GROUP,
    UPLOADS_COMPLETED_AT_ONCE,
};
use crate::placement::place;
use crate::prices::Prices;
use crate::range::ByteRange;
use crate::wire::cost::{Site, Workload};
use crate::wire::frame;
use crate::wire::record::{MapRecord, MergeRecord, OpenUpload, Placement, ReduceRecord, Requests, Usage};
use crate::wire::spec::Indexed;
pub use index::Barrier;
use serde::{Deserialize, Serialize};

/// What a job is predicted to take and to cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Forecast {
    /// From the submission to the end, in seconds.
    pub seconds: Range,
    /// Function time times memory, in GB-seconds.
    pub gb_seconds: Range,
    /// S3: PUT, COPY, POST and LIST.
    pub s3_put: Range,
    /// S3: GET and HEAD.
    pub s3_get: Range,
    /// DynamoDB requests.
    pub dynamodb: Range,
    /// DynamoDB write units.
    pub write_units: Range,
    /// DynamoDB read units.
    pub read_units: Range,
    /// Lambda invocations.
    pub lambda: Range,
    /// Bytes of the runs, which are shuffled.
    pub run_bytes: Range,
    /// Bytes of the output.
    pub output_bytes: Range,
    /// How long a map task takes, in seconds.
    pub map_task_s: Range,
    /// How long a merge task takes, in seconds; 0 where runs are not merged before they are reduced.
    pub merge_task_s: Range,
    /// How long a reduce task takes, in seconds.
    pub reduce_task_s: Range,
    /// US dollars.
    pub usd: Usd,
}

/// A predicted bill, in US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usd {
    /// Lambda: GB-seconds and invocations.
    pub lambda: Range,
    /// DynamoDB: write and read units.
    pub dynamodb: Range,
    /// S3: requests.
    pub s3: Range,
    /// S3: the runs in the work bucket while the job runs, and, if they are kept, until they expire 7 days after it.
    pub storage: Range,
    /// The sum.
    pub total: Range,
}

/// How a job is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// What the input makes.
    pub cut: Cut,
    /// Objects of the input.
    pub objects: u64,
    /// Reduce tasks.
    pub partitions: u32,
    /// How many functions run at once.
    pub concurrency: u32,
    /// The runs of a task lie in DynamoDB up to so many bytes, if the user says.
    pub inline_bytes_max: Option<u64>,
    /// In how many stages pairs travel.
    pub stages: Stages,
    /// Whether the runs in S3 stay when the job has succeeded.
    pub keep_runs: bool,
    /// Whether reducers find their runs by an index, if the user says.
    pub indexed: Indexed,
}

/// In how many stages pairs travel from mappers to reducers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stages {
    /// Each reducer reads a run of each mapper.
    One,
    /// Merge tasks between them merge the runs of some mappers for some partitions: see [`Grid`].
    Two,
}

impl Shape {
    /// Returns how the job's runs are merged before they are reduced, if they are.
    pub(super) fn grid(&self) -> Option<Grid> {
        let map_tasks = u32::try_from(self.cut.map_tasks).ok()?;
        Grid::of(map_tasks, self.partitions).filter(|_| self.stages == Stages::Two)
    }
}

/// Requests of a job that do not grow with it: of the driver, the splitter and whoever ends the job. Counted.
const PUTS: f64 = 8.0;
const GETS: f64 = 9.0;
const WRITE_UNITS: f64 = 6.0;
const READ_UNITS: f64 = 12.0;
const DYNAMODB: f64 = 30.0;

/// The bytes of an item besides what it holds: keys, names, the time to live. And of a record's attribute besides the record.
const ITEM_BYTES: f64 = 110.0;
const NAME_BYTES: f64 = 10.0;

/// The splitter's memory in `template.yaml`, in GB.
const SPLITTER_GB: f64 = 0.5;

/// How often a worker looks whether its job goes on, in seconds, and what that takes: half a read unit.
const LOOK_S: f64 = 1.5;

/// How many events are sent at once, as `aws/src/functions.rs` does.
const SENT_AT_ONCE: f64 = 64.0;

/// Keys in one page of a listing.
const PAGE_KEYS: f64 = 1_000.0;

/// An hour and a month, in seconds.
const HOUR_S: f64 = 3_600.0;
const MONTH_S: f64 = 30.0 * 24.0 * 3_600.0;

/// Predicts what a job of this shape takes and costs.
pub fn forecast(shape: &Shape, workload: &Workload, site: &Site) -> Forecast {
    let points = Luck::ALL.map(|luck| Point::of(shape, workload, site, luck));
    let range = |of: fn(&Point) -> f64| Range::of([of(&points[0]), of(&points[1]), of(&points[2])]);
    let bills = points.map(|point| point.usd(&site.prices));
    let dollars = |of: fn(&Bill) -> f64| Range::of([of(&bills[0]), of(&bills[1]), of(&bills[2])]);
    Forecast {
        seconds: range(|p| p.seconds),
        gb_seconds: range(|p| p.gb_seconds),
        s3_put: range(|p| p.s3_put),
        s3_get: range(|p| p.s3_get),
        dynamodb: range(|p| p.dynamodb),
        write_units: range(|p| p.write_units),
        read_units: range(|p| p.read_units),
        lambda: range(|p| p.lambda),
        run_bytes: range(|p| p.run_bytes),
        output_bytes: range(|p| p.output_bytes),
        map_task_s: range(|p| p.map_task_s),
        merge_task_s: range(|p| p.merge_task_s),
        reduce_task_s: range(|p| p.reduce_task_s),
        usd: Usd {
            lambda: dollars(|bill| bill.lambda),
            dynamodb: dollars(|bill| bill.dynamodb),
            s3: dollars(|bill| bill.s3),
            storage: dollars(|bill| bill.storage),
            total: dollars(|bill| bill.total),
        },
    }
}

/// What is likely of a shape, as far as shapes are compared by it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Likely {
    pub(super) seconds: f64,
    pub(super) usd: f64,
    pub(super) run_bytes: f64,
    pub(super) reduce_task_s: f64,
}

/// Predicts what is likely of a shape, in a third of the time of [`forecast`].
pub(super) fn likely(shape: &Shape, workload: &Workload, site: &Site) -> Likely {
    let point = Point::of(shape, workload, site, Luck::Likely);
    let Point { seconds, run_bytes, reduce_task_s, .. } = point;
    Likely { seconds, usd: point.usd(&site.prices).total, run_bytes, reduce_task_s }
}

/// What comes out with one kind of luck.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    seconds: f64,
    gb_seconds: f64,
    s3_put: f64,
    s3_get: f64,
    dynamodb: f64,
    write_units: f64,
    read_units: f64,
    lambda: f64,
    run_bytes: f64,
    /// Of these, and of what merge tasks make of them, what lies in S3, and for how long.
    stored_bytes: f64,
    stored_s: f64,
    output_bytes: f64,
    map_task_s: f64,
    merge_task_s: f64,
    reduce_task_s: f64,
}

/// The bill of a point, in US dollars.
struct Bill {
    lambda: f64,
    dynamodb: f64,
    s3: f64,
    storage: f64,
    total: f64,
}

/// The tasks of one stage.
struct Tasks {
    count: f64,
    /// How long one takes.
    task_s: f64,
    memory_mb: u32,
    /// The least time that the stage takes by what the services let through, in seconds.
    service_s: f64,
}

impl Point {
    fn usd(&self, prices: &Prices) -> Bill {
        let lambda = self.gb_seconds * prices.lambda_gb_second + self.lambda * prices.lambda_request;
        let dynamodb = self.write_units * prices.dynamodb_write_unit + self.read_units * prices.dynamodb_read_unit;
        let s3 = self.s3_put * prices.s3_put + self.s3_get * prices.s3_get;
        let storage = self.stored_bytes / 1e9 * prices.s3_gb_month * self.stored_s / MONTH_S;
        Bill { lambda, dynamodb, s3, storage, total: lambda + dynamodb + s3 + storage }
    }

    fn of(shape: &Shape, workload: &Workload, site: &Site, luck: Luck) -> Self {
        let rates = Rates::of(site.host, luck);
        let mut point = Point::default();
        point.begin(shape, &rates);
        let Some(mapped) = Mapped::of(shape, workload, luck) else {
            return point;
        };
        let partitions = f64::from(shape.partitions);
        point.run_bytes = mapped.runs_bytes * mapped.tasks;
        point.output_bytes = workload.output.of(shape.cut.bytes as f64) * luck.factor(workload.uncertainty);
        point.map(shape, &mapped, workload, site, (&rates, luck));
        // What the reducers find: the runs of the mappers, or of merge tasks between.
        let (found, finding) = match shape.grid() {
            None => {
                let barrier = mapped.barrier(shape.partitions);
                let is_indexed = barrier.is_indexed(shape.indexed);
                if is_indexed {
                    point.index(&barrier, site, &rates);
                }
                (mapped, if is_indexed { Finding::Index(barrier) } else { Finding::Ledger(barrier) })
            }
            Some(grid) => {
                let merged = point.merge(shape, &grid, &mapped, workload, site, (&rates, luck));
                // A reducer reads what the merge tasks of its band have written into the ledger, and no other's.
                let barrier = merged.barrier(grid.sizes().band_partitions);
                (
                    merged,
                    Finding::Band { barrier, groups: mean_groups((0..grid.bands()).map(|band| grid.merges(band))) },
                )
            }
        };
        point.reduce(shape, &found, finding, workload, site, (&rates, luck));
        // Whoever ends the job reads all records, and completes the parts' uploads.
        let (map_groups, reduce_groups) = (groups(mapped.tasks), groups(partitions));
        let merge_groups = groups(shape.grid().map_or(0.0, |grid| grid.tasks().into()));
        let records = map_groups * units(map_group_bytes(), 4_096.0)
            + merge_groups * units(merge_group_bytes(), 4_096.0)
            + reduce_groups * units(reduce_group_bytes(), 4_096.0);
        point.read_units += 2.0 * records;
        point.s3_put += partitions;
        let kept_s = if shape.keep_runs { JOB_KEPT_S as f64 } else { 0.0 };
        point.seconds += (partitions / UPLOADS_COMPLETED_AT_ONCE as f64).ceil() * 2.0 * rates.s3_s + 8.0 * rates.s3_s;
        // Storage is billed by the hour; removing the runs takes requests that are free.
        point.stored_s = ((point.seconds + kept_s) / HOUR_S).ceil() * HOUR_S;
        // The driver that waits for all this. It reads a group again only while one of its tasks is open: on the average, half of them.
        let counted = map_groups * units(map_group_bytes(), 4_096.0) / 2.0;
        point.read_units += point.seconds * (rates.polls_a_second + rates.counts_a_second * counted);
        point.dynamodb += point.seconds * (rates.polls_a_second + rates.counts_a_second);
        point
    }

    /// Submitting and splitting.
    fn begin(&mut self, shape: &Shape, rates: &Rates) {
        let pages = (shape.objects as f64 / PAGE_KEYS).ceil().max(1.0);
        self.s3_put = PUTS + pages;
        self.s3_get = GETS;
        self.write_units = WRITE_UNITS;
        self.read_units = READ_UNITS;
        self.dynamodb = DYNAMODB;
        self.lambda = 1.0;
        let splitting_s = (pages + 4.0) * rates.s3_s + 4.0 * rates.dynamodb_s;
        self.seconds = 5.0 * rates.s3_s + rates.invoke_s + rates.init_s + splitting_s;
        self.gb_seconds = SPLITTER_GB * (rates.init_s + splitting_s);
    }

    /// The map stage.
    fn map(&mut self, shape: &Shape, mapped: &Mapped, workload: &Workload, site: &Site, at: (&Rates, Luck)) {
        let (rates, luck) = at;
        let (tasks, partitions) = (mapped.tasks, f64::from(shape.partitions));
        let cut = &shape.cut;
        let split_bytes = cut.bytes as f64 / tasks;
        let gets = cut.gets as f64 / tasks;
        // The spec and the split, and the input; the start is written meanwhile.
        self.s3_get += tasks * 2.0 + cut.gets as f64;
        let factor = luck.factor(workload.uncertainty);
        let cpu_s = (split_bytes / 1e9 * workload.map_s_per_gb + workload.map_s / tasks) * factor;
        let computing_s = (cpu_s + gets * rates.get_cpu_s) / rates.vcpus(site.mapper_mb);
        let streams = 3.0; // READ_AHEAD_BYTES of GET_BYTES each: their waits overlap.
        let reading_s = split_bytes / rates.net_bytes_s + (gets / streams).ceil() * rates.s3_s / streams;
        // The index of a map attempt says where its runs lie, or its bundles.
        let partitions = shape.grid().map_or(partitions, |grid| grid.bands().into());
        let writing_s = mapped.write_s(partitions, rates);
        self.write_units += mapped.write_units(partitions);
        self.dynamodb += mapped.write_requests(partitions);
        if mapped.placement == Placement::Object {
            self.s3_put += tasks * puts(mapped.runs_bytes);
            self.stored_bytes += mapped.runs_bytes * tasks;
        }
        let task_s = begin_s(rates) + rates.s3_s + reading_s.max(computing_s) + writing_s + rates.dynamodb_s;
        self.map_task_s = task_s;
        let record_bytes = map_record_of(split_bytes as u64, mapped.runs_bytes as u64);
        self.commits(tasks, ITEM_BYTES + f64::from(TASKS_PER_GROUP) * record_bytes, record_bytes);
        let service_s = mapped.write_units(partitions) / rates.writes_a_second;
        self.run(&Tasks { count: tasks, task_s, memory_mb: site.mapper_mb, service_s }, shape, rates);
    }

    /// The stage of merge tasks. Returns what the reducers find after it.
    fn merge(
        &mut self,
        shape: &Shape,
        grid: &Grid,
        mapped: &Mapped,
        workload: &Workload,
        site: &Site,
        at: (&Rates, Luck),
    ) -> Mapped {
        let (rates, luck) = at;
        let (tasks, height) = (f64::from(grid.tasks()), f64::from(grid.groups()));
        let (bands, band_partitions) = (f64::from(grid.bands()), grid.sizes().band_partitions);
        // Each fetches the bundles of its group's map attempts for its band, and writes an object.
        let gets = mapped.tasks / height;
        let bytes_in = mapped.runs_bytes * mapped.tasks / tasks;
        // What a group's map tasks have in common is combined, as it would be within one that reads as much.
        let group_bytes = shape.cut.bytes as f64 / height;
        let combined =
            (workload.runs.of(group_bytes) + workload.map_run_bytes / height) * luck.factor(workload.uncertainty);
        let group_runs = (mapped.runs_bytes * gets).min(combined);
        let bytes = group_runs / bands;
        // The spec, and the bundles.
        self.s3_get += tasks * (1.0 + gets);
        self.s3_put += tasks * puts(bytes);
        self.stored_bytes += bytes * tasks;
        // What says where the bundles lie: records and indexes of the group.
        let asked = mean_groups((0..grid.groups()).map(|group| grid.maps(group)));
        // All indexes of a group of the ledger are read together.
        let indexes = mapped.tasks.min(f64::from(TASKS_PER_GROUP));
        let index_units = units(indexes * index_bytes(grid.bands(), mapped.runs_bytes), 4_096.0);
        self.read_units += tasks * asked * (units(map_group_bytes(), 4_096.0) + index_units);
        let batches = (asked / BATCH_GET_KEYS_MAX as f64).ceil();
        self.dynamodb += tasks * (batches + asked);
        let told_s = (batches + (asked / INDEXES_AT_ONCE as f64).ceil()) * rates.dynamodb_s;
        // Its own index.
        self.write_units += tasks * units(index_bytes(band_partitions, bytes), 1_024.0);
        self.dynamodb += tasks;
        let merging_s = (bytes_in / 1e9 * MERGE_S_PER_GB + gets * rates.get_cpu_s) / rates.vcpus(site.reducer_mb);
        // It fetches, merges and sends all at once.
        let slowest_s = merging_s.max(bytes_in.max(bytes) / rates.net_bytes_s);
        let task_s = begin_s(rates) + told_s + 3.0 * rates.s3_s + slowest_s + 2.0 * rates.dynamodb_s;
        self.merge_task_s = task_s;
        self.commits(tasks, merge_group_bytes(), merge_record_bytes());
        // One that has more bundles than can be open at once, or more bytes than there is time for, does them in pieces, each of which
        // writes an object of its own.
        let time_s = FUNCTION_TIMEOUT_MS_MAX as f64 / 1e3 * f64::from(100 - REDUCE_TIME_KEPT_PERCENT) / 100.0;
        let of_time = bytes_in / (time_s * MERGE_BYTES_S as f64);
        let pieces = (gets / open_runs_max(site.reducer_mb) as f64).max(of_time).ceil().max(1.0);
        let further = tasks * (pieces - 1.0);
        self.lambda += further;
        self.s3_get += further;
        self.s3_put += further;
        self.write_units += further * 3.0;
        self.read_units += further * (1.0 + asked * (units(map_group_bytes(), 4_096.0) + index_units));
        self.dynamodb += further * (4.0 + batches + asked);
        let service_s = (tasks * gets / rates.gets_a_second).max(2.0 * tasks / rates.writes_a_second);
        self.run(&Tasks { count: tasks, task_s, memory_mb: site.reducer_mb, service_s }, shape, rates);
        // A partition's runs are in the objects of one band.
        Mapped { tasks: height * pieces, runs_bytes: group_runs / pieces, placement: Placement::Object }
    }

    /// The index of all runs, written by the function that takes the job to reducing.
    fn index(&mut self, barrier: &Barrier, site: &Site, rates: &Rates) {
        let (requests, batches) = (groups(barrier.in_s3 as f64), groups(barrier.map_tasks as f64));
        let batches = (batches / BATCH_GET_KEYS_MAX as f64).ceil();
        let bytes = barrier.index_bytes();
        self.read_units += barrier.record_units() + barrier.attempt_units();
        // It takes the turn, and keeps it.
        self.write_units += 1.0;
        self.dynamodb += requests + batches + 1.0;
        self.s3_put += puts(bytes);
        // The table, by whoever sends the reducers' events.
        self.s3_get += 1.0;
        let reading_s = batches * rates.dynamodb_s + (requests / INDEXES_AT_ONCE as f64).ceil() * rates.dynamodb_s;
        let read_bytes = (barrier.record_units() + barrier.attempt_units()) * 4_096.0;
        let seconds = reading_s + read_bytes.max(bytes) / rates.net_bytes_s + 3.0 * rates.s3_s + rates.dynamodb_s;
        self.seconds += seconds;
        self.gb_seconds += seconds * f64::from(site.mapper_mb) / 1_024.0;
    }

    /// The reduce stage, over the runs of so many tasks.
    fn reduce(
        &mut self,
        shape: &Shape,
        found: &Mapped,
        finding: Finding,
        workload: &Workload,
        site: &Site,
        at: (&Rates, Luck),
    ) {
        let (rates, luck) = at;
        let count = f64::from(shape.partitions);
        if count == 0.0 {
            return;
        }
        let bytes = found.runs_bytes * found.tasks / count;
        let part_bytes = self.output_bytes / count;
        // The spec; the job's item once more after the commit.
        self.s3_get += count;
        self.read_units += count;
        self.dynamodb += count;
        // What says where the runs lie: records and indexes by groups, some at once; or an index's rows.
        let told_s = match finding {
            Finding::Ledger(barrier) => {
                self.read_units += count * (barrier.record_units() + barrier.attempt_units());
                let (batches, asked) = (groups(found.tasks) / BATCH_GET_KEYS_MAX as f64, groups(barrier.in_s3 as f64));
                self.dynamodb += count * (batches.ceil() + asked);
                (batches.ceil() + (asked / INDEXES_AT_ONCE as f64).ceil()) * rates.dynamodb_s
            }
            Finding::Band { barrier, groups } => {
                let (records, indexes) = (barrier.record_units(), barrier.attempt_units());
                // By the groups that are asked, which need not begin where the band does.
                let asked = groups / self::groups(found.tasks);
                self.read_units += count * (records + indexes) * asked;
                let batches = (groups / BATCH_GET_KEYS_MAX as f64).ceil();
                self.dynamodb += count * (batches + groups);
                (batches + (groups / INDEXES_AT_ONCE as f64).ceil()) * rates.dynamodb_s
            }
            Finding::Index(barrier) => {
                self.s3_get += count * barrier.stripes();
                barrier.stripes().log2().max(1.0) * rates.s3_s
            }
        };
        let run_bytes = bytes / found.tasks;
        let (finding_s, gets) = match found.placement {
            Placement::Nowhere => (0.0, 0.0),
            Placement::Inline => {
                let held = found.tasks * (run_bytes + ITEM_BYTES);
                self.read_units += count * units(held, 4_096.0);
                let pages = units(held, 1_048_576.0);
                self.dynamodb += count * pages;
                (pages * 2.0 * rates.dynamodb_s, 0.0)
            }
            Placement::Object => (0.0, found.tasks),
        };
        self.s3_get += count * gets;
        self.s3_put += count * (1.0 + units(part_bytes, UPLOAD_PART_BYTES as f64));
        let cpu_s = bytes / 1e9 * workload.reduce_s_per_gb * luck.factor(workload.uncertainty);
        let computing_s = (cpu_s + gets * rates.get_cpu_s) / rates.vcpus(site.reducer_mb);
        // Where more runs are there than can be open at once, they are merged in several passes through /tmp.
        let passes = if gets > 0.0 { (gets / open_runs_max(site.reducer_mb) as f64).ceil() } else { 0.0 };
        let reading_s = bytes / rates.net_bytes_s + passes * rates.s3_s;
        let writing_s = part_bytes / rates.net_bytes_s + 2.0 * rates.s3_s;
        let task_s =
            begin_s(rates) + told_s + finding_s + reading_s.max(computing_s) + writing_s + 2.0 * rates.dynamodb_s;
        self.reduce_task_s = task_s;
        self.commits(count, reduce_group_bytes(), reduce_record_bytes());
        // A further piece is started and committed, reads what the one before it left, opens the runs again, and has a part.
        let further = count * (reduce_pieces(task_s) - 1.0);
        self.lambda += further;
        self.s3_get += further * (2.0 + gets);
        self.s3_put += further * 4.0;
        self.write_units += further * 2.0;
        self.read_units += further * 3.0;
        self.dynamodb += further * 5.0;
        let service_s = count * gets / rates.gets_a_second;
        self.run(&Tasks { count, task_s, memory_mb: site.reducer_mb, service_s }, shape, rates);
    }

    /// The start and the commit of each task of a stage.
    fn commits(&mut self, tasks: f64, group_bytes: f64, record_bytes: f64) {
        let groups = groups(tasks);
        // An item that has grown is written as a whole: its records come one after the other.
        let of_group = |records: u64| (1..=records).map(|n| units(ITEM_BYTES + n as f64 * record_bytes, 1_024.0)).sum();
        let whole = (tasks / f64::from(TASKS_PER_GROUP)).floor();
        let full: f64 = of_group(TASKS_PER_GROUP.into());
        let rest: f64 = of_group((tasks - whole * f64::from(TASKS_PER_GROUP)) as u64);
        debug_assert!(group_bytes > record_bytes);
        self.write_units += tasks + whole * full + rest;
        // The job's item is read, the start is written, and the record.
        self.read_units += tasks;
        self.dynamodb += 3.0 * tasks;
        if groups > 1.0 {
            self.write_units += groups;
            self.dynamodb += groups;
        }
    }

    /// The time of a stage, and what its functions are billed.
    fn run(&mut self, tasks: &Tasks, shape: &Shape, rates: &Rates) {
        let Tasks { count, task_s, memory_mb, service_s } = *tasks;
        let at_once = count.min(f64::from(shape.concurrency.max(1)));
        let waves = (count / at_once).ceil();
        let ramp_s = if rates.ramp.is_finite() { ((at_once / rates.ramp).ceil() - 1.0) * RAMP_S } else { 0.0 };
        let sending_s = (count / SENT_AT_ONCE).ceil() * rates.invoke_s;
        // A service that lets less through keeps all functions that run waiting.
        let waited_s = (service_s / waves).max(task_s);
        self.lambda += count;
        self.gb_seconds += (count * waited_s + at_once * rates.init_s) * f64::from(memory_mb) / 1_024.0;
        self.seconds += sending_s + ramp_s + rates.init_s + waited_s * (waves - 1.0 + rates.slowest);
        let beats = (waited_s * 1e3 / HEARTBEAT_MS as f64).floor();
        self.write_units += count * beats;
        self.read_units += count * 0.5 * (waited_s / LOOK_S).floor();
        self.dynamodb += count * (beats + (waited_s / LOOK_S).floor());
    }
}

/// Returns in how many pieces a reduce task is done that takes so long, in seconds: a reducer hands on near the end of its time.
pub(super) fn reduce_pieces(task_s: f64) -> f64 {
    let piece_s = FUNCTION_TIMEOUT_MS_MAX as f64 / 1e3 * f64::from(100 - REDUCE_TIME_KEPT_PERCENT) / 100.0;
    (task_s / piece_s).ceil().max(1.0)
}

/// What merging takes on one vCPU, in seconds for a GB of runs, when nothing is reduced: an assumption, half of what word count
/// takes to merge and reduce.
const MERGE_S_PER_GB: f64 = 10.0;

/// How reducers find their runs.
#[derive(Clone, Copy, Debug)]
enum Finding {
    /// Each reads what all map attempts have written into the ledger.
    Ledger(Barrier),
    /// Each reads its rows of an index.
    Index(Barrier),
    /// Each reads what the merge tasks of its band have, in so many groups of the ledger.
    Band { barrier: Barrier, groups: f64 },
}

/// What tasks hand to the stage after them.
#[derive(Clone, Copy, Debug)]
struct Mapped {
    tasks: f64,
    /// The runs of one task.
    runs_bytes: f64,
    placement: Placement,
}

impl Mapped {
    /// Returns `None` if there is no task.
    fn of(shape: &Shape, workload: &Workload, luck: Luck) -> Option<Self> {
        let tasks = shape.cut.map_tasks as f64;
        if tasks == 0.0 {
            return None;
        }
        let split_bytes = shape.cut.bytes as f64 / tasks;
        let runs = workload.runs.of(split_bytes) + workload.map_run_bytes / tasks;
        let runs_bytes = runs * luck.factor(workload.uncertainty);
        // Good luck with the bytes must not change where the runs lie: what is placed is what is likely.
        let likely = runs / f64::from(shape.partitions.max(1));
        let placement = match shape.grid() {
            None => place(&vec![likely.ceil() as u64; shape.partitions as usize], shape.inline_bytes_max),
            Some(_) if runs == 0.0 => Placement::Nowhere,
            Some(_) => Placement::Object,
        };
        Some(Mapped { tasks, runs_bytes, placement })
    }

    /// What is known of it when all its tasks are committed.
    fn barrier(&self, partitions: u32) -> Barrier {
        let map_tasks = self.tasks as u64;
        let (inline, in_s3) = match self.placement {
            Placement::Nowhere => (0, 0),
            Placement::Inline => (map_tasks, 0),
            Placement::Object => (0, map_tasks),
        };
        Barrier { map_tasks, inline, in_s3, runs_bytes: self.runs_bytes, partitions }
    }

    fn run_bytes(&self, partitions: f64) -> f64 {
        self.runs_bytes / partitions.max(1.0)
    }

    /// The write units of all tasks' runs, or of their indexes.
    fn write_units(&self, partitions: f64) -> f64 {
        self.tasks
            * match self.placement {
                Placement::Nowhere => 0.0,
                Placement::Inline => partitions * units(self.run_bytes(partitions) + ITEM_BYTES, 1_024.0),
                Placement::Object => units(index_bytes(partitions as u32, self.runs_bytes), 1_024.0),
            }
    }

    fn write_requests(&self, partitions: f64) -> f64 {
        self.tasks
            * match self.placement {
                Placement::Nowhere => 0.0,
                Placement::Inline => (partitions / BATCH_WRITE_ITEMS_MAX as f64).ceil(),
                Placement::Object => 1.0,
            }
    }

    /// How long one task takes to write them.
    fn write_s(&self, partitions: f64, rates: &Rates) -> f64 {
        match self.placement {
            Placement::Nowhere => 0.0,
            Placement::Inline => (partitions / BATCH_WRITE_ITEMS_MAX as f64).ceil() * rates.dynamodb_s,
            Placement::Object => self.runs_bytes / rates.net_bytes_s + rates.s3_s + rates.dynamodb_s,
        }
    }
}

/// The requests by which an object of so many bytes is written: one PUT, or an upload in parts.
fn puts(bytes: f64) -> f64 {
    if bytes < UPLOAD_PART_BYTES as f64 { 1.0 } else { 2.0 + units(bytes, UPLOAD_PART_BYTES as f64) }
}

/// How long a task takes to learn what it is to do.
fn begin_s(rates: &Rates) -> f64 {
    rates.dynamodb_s + rates.s3_s.max(rates.dynamodb_s)
}

fn groups(tasks: f64) -> f64 {
    (tasks / f64::from(TASKS_PER_GROUP)).ceil()
}

/// Returns the units that so many bytes are charged as; at least one.
fn units(bytes: f64, unit: f64) -> f64 {
    (bytes / unit).ceil().max(1.0)
}

/// The bytes of an index's item: numbers are stored in 1, 3 or 5 bytes each, as they need.
fn index_bytes(partitions: u32, runs_bytes: f64) -> f64 {
    let number = if runs_bytes < 251.0 {
        1.0
    } else if runs_bytes < 65_536.0 {
        3.0
    } else if runs_bytes < 4_294_967_296.0 {
        5.0
    } else {
        9.0
    };
    ITEM_BYTES + 15.0 + number * f64::from(partitions)
}

fn map_group_bytes() -> f64 {
    ITEM_BYTES + f64::from(TASKS_PER_GROUP) * map_record_bytes()
}

fn reduce_group_bytes() -> f64 {
    ITEM_BYTES + f64::from(TASKS_PER_GROUP) * reduce_record_bytes()
}

fn merge_group_bytes() -> f64 {
    ITEM_BYTES + f64::from(TASKS_PER_GROUP) * merge_record_bytes()
}

/// The bytes of a merge record in its group's item: of one that is typical, encoded.
fn merge_record_bytes() -> f64 {
    let record = MergeRecord {
        attempt: attempt(),
        runs: 1_000,
        bytes_in: 1 << 24,
        pairs_in: 1 << 20,
        pairs_out: 1 << 20,
        run_bytes: 1 << 24,
        placement: Placement::Object,
        merged: None,
        usage: usage(),
    };
    record_bytes(frame::write(&record))
}

/// Returns in how many groups of the ledger some tasks stand, in the mean.
fn mean_groups(tasks: impl ExactSizeIterator<Item = std::ops::Range<u32>>) -> f64 {
    let count = tasks.len().max(1);
    tasks.map(|tasks| ledger_groups(&tasks).len()).sum::<usize>() as f64 / count as f64
}

/// The bytes of a map record in its group's item: of one that is typical, encoded.
fn map_record_bytes() -> f64 {
    map_record_of(1 << 24, 1 << 20)
}

/// The bytes of the record of a map task that reads so many bytes and makes runs of so many: small numbers take fewer bytes.
fn map_record_of(split_bytes: u64, runs_bytes: u64) -> f64 {
    let record = MapRecord {
        attempt: attempt(),
        bytes_assigned: split_bytes,
        taken: Some(ByteRange { from: split_bytes, to: 2 * split_bytes }),
        bytes_read: split_bytes,
        crc32: u32::MAX,
        records: split_bytes / 16,
        rejected: 0,
        pairs_emitted: split_bytes / 16,
        pairs_out: runs_bytes / 8,
        run_bytes: runs_bytes,
        placement: Placement::Object,
        spills: 0,
        remainder: None,
        usage: usage(),
    };
    record_bytes(frame::write(&record))
}

/// The bytes of a reduce record in its group's item: of one that is typical, encoded.
fn reduce_record_bytes() -> f64 {
    let record = ReduceRecord {
        attempt: attempt(),
        runs: 1_000,
        pairs_in: 1 << 20,
        keys: 1 << 20,
        records_out: 1 << 20,
        bytes_out: 1 << 24,
        crc32: u32::MAX,
        // S3's ids of uploads have 128 characters and more, the embedded runtime's 32.
        upload: Some(OpenUpload { id: "u".repeat(100), etags: vec!["e".repeat(34)] }),
        files: 0,
        hands_on: false,
        usage: usage(),
    };
    record_bytes(frame::write(&record))
}

fn record_bytes(written: crate::Result<Vec<u8>>) -> f64 {
    // Such records have nothing that could not be encoded.
    written.map_or(0.0, |bytes| bytes.len() as f64) + NAME_BYTES
}

fn attempt() -> AttemptId {
    AttemptId { number: 0, nonce: u32::MAX }
}

fn usage() -> Usage {
    let requests =
        Requests { s3_get: 5, dynamodb: 3, write_milliunits: 2_000, read_milliunits: 1_000, ..Requests::default() };
    Usage { started_at: Timestamp(1 << 40), ran_ms: 1_000, init_ms: 0, memory_mb: 1_769, requests }
}
