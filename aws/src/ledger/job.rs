//! A job's own item: created, read, listed, and deleted with everything that belongs to the job.
//!
//! One transaction writes the item together with the job's entry in `jobs`, both when the job is created and when it ends.

use super::Ledger;
use super::item::{Item, flag, number, read_binary, read_flag, read_number, read_text, read_time, text, time};
use super::keys::{self, JOBS_PK, Key, group_count, group_pk, index_pk, runs_pk};
use super::request::{Keyed, Write};
use aws_sdk_dynamodb::types::AttributeValue;
use kinglet_core::grid::{Grid, GridSizes};
use kinglet_core::ids::{JobId, Partition, Stage, Timestamp};
use kinglet_core::ledger::{CallsView, Capped, IndexView, InputSize, JobView, Phase, Spent};
use kinglet_core::limits::{JOB_MS_MAX, MAP_TASKS_MAX, PARTITIONS_MAX};
use kinglet_core::wire::cost::Cap;
use kinglet_core::wire::frame;
use kinglet_core::wire::index::IndexAt;
use kinglet_core::wire::record::Usage;
use kinglet_core::wire::spec::{Indexed, JobSpec};
use kinglet_core::{ByteRange, Code, Error, Result};
use std::collections::HashMap;

/// The items of a new job.
pub(super) struct NewJob {
    /// The job's own.
    pub(super) own: Item,
    /// Its entry in the list of jobs.
    pub(super) entry: Item,
}

/// A job's entry in the list of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEntry {
    /// Its id.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: Phase,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// Whether the event bus was told of its end.
    pub(crate) is_told: bool,
    /// Whether a task of Step Functions waits to be told of its end.
    pub(crate) is_awaited: bool,
}

/// Reads a job's entry.
fn entry(item: &Item) -> Option<JobEntry> {
    Some(JobEntry {
        job: read_text(item, "sk")?.parse().ok()?,
        name: read_text(item, "name")?.to_owned(),
        phase: read_text(item, "phase").and_then(Phase::parse)?,
        submitted_at: read_time(item, "at0")?,
        ended_at: read_time(item, "at3"),
        is_told: read_flag(item, "told"),
        is_awaited: read_flag(item, "awaited"),
    })
}

impl Ledger {
    /// Writes the item of a new job with this spec.
    ///
    /// # Errors
    /// Returns `job-exists` when the ledger has a job of this id already; or a service error (`access-denied`, `throttled`,
    /// `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn create_job(&self, job: &JobId, spec: &JobSpec, timeout_ms: u64) -> Result<()> {
        let NewJob { own, entry } = self.new_job(spec, timeout_ms)?;
        let own = Write::New(Keyed { key: Key::job(job), item: own });
        let entry = Write::New(Keyed { key: Key::entry(job), item: entry });
        if self.transact(self.creating(job), own, [entry]).await? {
            Ok(())
        } else {
            let table = self.table_name();
            Err(Error::new(Code::JobExists, format!("there is a job {job} in table {table} already")))
        }
    }

    pub(super) fn creating(&self, job: &JobId) -> String {
        format!("creating job {job} in table {}", self.table_name())
    }

    /// Makes the items of a new job.
    pub(super) fn new_job(&self, spec: &JobSpec, timeout_ms: u64) -> Result<NewJob> {
        let now = time(self.clock.now());
        let entry: Item = HashMap::from([
            ("name".into(), text(&spec.job)),
            ("phase".into(), text(Phase::Splitting.as_str())),
            ("at0".into(), now.clone()),
            ("ttl".into(), self.ttl()),
        ]);
        let mut own = entry.clone();
        let options = &spec.options;
        own.extend([
            ("turn".into(), number(0)),
            ("turn_at".into(), now),
            ("tries_max".into(), number(options.tries_max)),
            ("ms_max".into(), number(options.ms_max.unwrap_or(JOB_MS_MAX))),
            ("timeout_ms".into(), number(timeout_ms)),
            ("writes_output".into(), flag(spec.writes_output())),
        ]);
        if let Some(cap) = Cap::of(options.ceiling, &options.site) {
            own.insert("cap".into(), text(cap.write()?));
        }
        if options.indexed != Indexed::default() {
            own.insert("indexed".into(), text(options.indexed.as_str()));
        }
        if let Some(program) = &spec.program {
            own.insert("program".into(), text(program.to_string()));
        }
        Ok(NewJob { own, entry })
    }

    /// Reads the job's own item.
    ///
    /// # Errors
    /// Returns `job-missing` when there is no such job; or a service error (`access-denied`, `throttled`, `unreachable`, …)
    /// when DynamoDB cannot be reached or refuses.
    pub async fn job(&self, job: &JobId) -> Result<JobView> {
        view(job, &self.own_item(job).await?)
    }

    /// Reads the job's own item as it was a moment ago, for half the price: enough to see whether the job goes on.
    ///
    /// # Errors
    /// Returns the errors of [`Self::job`].
    pub async fn job_lately(&self, job: &JobId) -> Result<JobView> {
        let item = self.item_lately(self.reading(job), Key::job(job)).await?;
        view(job, &item.ok_or_else(|| self.job_missing(job))?)
    }

    /// Reads how far the publishing of a job is.
    pub(crate) async fn publishing(&self, job: &JobId) -> Result<Publishing> {
        let item = self.own_item(job).await?;
        Ok(Publishing { phase: view(job, &item)?.phase, is_noted: read_flag(&item, "published") })
    }

    async fn own_item(&self, job: &JobId) -> Result<Item> {
        self.item(self.reading(job), Key::job(job)).await?.ok_or_else(|| self.job_missing(job))
    }

    fn reading(&self, job: &JobId) -> String {
        format!("reading job {job} in table {}", self.table_name())
    }

    pub(super) fn job_missing(&self, job: &JobId) -> Error {
        Error::new(Code::JobMissing, format!("there is no job {job} in table {}", self.table_name()))
            .with_hint("jobs are kept for 7 days")
    }

    /// Lists all jobs that the ledger keeps, oldest first.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn jobs(&self) -> Result<Vec<JobEntry>> {
        Ok(self.query(JOBS_PK, "").await?.iter().filter_map(entry).collect())
    }

    /// Notes that a job's end was told.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn told(&self, job: &JobId) -> Result<()> {
        let noting = self.update(format!("noting that the end of job {job} was told"), Key::entry(job));
        // One that was deleted meanwhile stays so. This write is idempotent.
        noting.set("told", flag(true)).when("attribute_exists(pk)").done().await.map(drop)
    }

    /// Notes that nobody waits for a job's end any more.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn answered(&self, job: &JobId) -> Result<()> {
        let noting = self.update(format!("noting that the end of job {job} was answered"), Key::entry(job));
        // As above.
        noting.set("awaited", flag(false)).when("attribute_exists(pk)").done().await.map(drop)
    }

    /// Reads the token of the task of Step Functions that waits for a job.
    ///
    /// # Errors
    /// Returns the errors of [`Self::job`].
    pub(crate) async fn token(&self, job: &JobId) -> Result<Option<String>> {
        Ok(read_text(&self.own_item(job).await?, "token").map(str::to_owned))
    }

    /// Deletes everything that the ledger holds of a job, its entry in the list last. Returns the number of deleted items.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn forget(&self, job: &JobId) -> Result<u64> {
        let (maps, merges, partitions) = match self.job(job).await {
            Ok(view) => (view.map_tasks, view.tasks_of(Stage::Merge), view.partitions),
            Err(e) if e.is(Code::JobMissing) => (0, 0, 0),
            Err(e) => return Err(e),
        };
        let stage = |stage, tasks| (0..group_count(tasks)).map(move |group| group_pk(job, stage, group));
        let pks = stage(Stage::Map, maps)
            .chain(stage(Stage::Merge, merges))
            .chain(stage(Stage::Reduce, partitions))
            .chain((0..group_count(maps)).map(|group| index_pk(job, Stage::Map, group)))
            .chain((0..group_count(merges)).map(|group| index_pk(job, Stage::Merge, group)))
            // The results of calls lie by group, not by partition.
            .chain((0..partitions.max(group_count(maps))).map(|partition| runs_pk(job, Partition(partition))))
            .chain([keys::result_pk(job), keys::progress_pk(job), keys::job_pk(job)]);
        let mut deleted = 0;
        for pk in pks {
            let found = self.keys_of(&pk).await?;
            deleted += found.len() as u64;
            self.delete_all(found).await?;
        }
        self.delete_all([Key::entry(job)]).await?;
        Ok(deleted)
    }
}

/// How far the publishing of a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Publishing {
    /// The job's phase.
    pub(crate) phase: Phase,
    /// Whether [`Ledger::published`] has been called.
    pub(crate) is_noted: bool,
}

/// Returns the job's own item as [`kinglet_core::ledger::advance`] sees it.
pub(super) fn view(job: &JobId, item: &Item) -> Result<JobView> {
    let phase = read_text(item, "phase").and_then(Phase::parse);
    let phase = phase.ok_or_else(|| Error::new(Code::JobPhase, format!("job {job} is in a phase unknown here")))?;
    let error = read_binary(item, "error").map(|bytes| frame::read(bytes, &format!("the error of job {job}")));
    let rereads = read_binary(item, "rereads").map(|bytes| frame::read(bytes, &format!("the rereads of job {job}")));
    let count = |name| read_number(item, name).unwrap_or(0);
    let small = |name| u32::try_from(count(name)).unwrap_or(u32::MAX);
    let mut beside = Vec::new();
    for name in ["usage1", "usage_merge", "usage2", "usage3", "usage4"] {
        if let Some(bytes) = read_binary(item, name) {
            beside.push(frame::read(bytes, &format!("{name} of job {job}"))?);
        }
    }
    let (map_tasks, partitions) = (small("map_tasks"), small("partitions"));
    // One more may be for the records that were left out.
    if u64::from(map_tasks) > MAP_TASKS_MAX || partitions > PARTITIONS_MAX + 1 {
        // Whoever reads its tasks would ask for as many items.
        let message = format!("reading job {job}: {map_tasks} map tasks and {partitions} partitions, which no job has");
        return Err(Error::new(Code::FrameCorrupt, message));
    }
    Ok(JobView {
        grid: grid(job, item, map_tasks, partitions)?,
        phase,
        capped: capped(job, item, &beside)?,
        phase_at: ["at0", "at1", "at_merging", "at2", "at3"].map(|name| read_time(item, name)).into(),
        map_tasks,
        partitions,
        input: InputSize { objects: count("objects"), bytes: count("bytes"), skipped: count("skipped") },
        calls: read_number(item, "calls").map(|count| CallsView { count, per_task: small("calls_per_task").max(1) }),
        cancelled: match item.get("cancelled") {
            Some(AttributeValue::Ns(calls)) => calls.iter().filter_map(|call| call.parse().ok()).collect(),
            _ => vec![],
        },
        tries_max: u16::try_from(count("tries_max")).unwrap_or(1),
        timeout_ms: count("timeout_ms"),
        ms_max: read_number(item, "ms_max").unwrap_or(JOB_MS_MAX),
        rereads: rereads.transpose()?.unwrap_or_default(),
        plan: read_text(item, "plan").map(str::to_owned),
        writes_output: read_flag(item, "writes_output"),
        is_awaited: item.contains_key("token"),
        turn: count("turn"),
        turn_at: read_time(item, "turn_at").unwrap_or_default(),
        sent: small("sent"),
        index: index(item),
        manifest_upload: read_text(item, "manifest_upload").map(str::to_owned),
        ending: read_text(item, "ending").and_then(Phase::parse),
        // An id that cannot be read must not count as no program: the functions' own jobs would run instead.
        program: read_text(item, "program").map(str::parse).transpose()?,
        error: error.transpose()?,
        beside,
    })
}

/// Returns how a job's runs are merged before they are reduced, if they are.
fn grid(job: &JobId, item: &Item, map_tasks: u32, partitions: u32) -> Result<Option<Grid>> {
    if !item.contains_key("group_tasks") || map_tasks == 0 {
        return Ok(None);
    }
    let small = |name| read_number(item, name).and_then(|n| u32::try_from(n).ok());
    let sizes = || Some(GridSizes { group_tasks: small("group_tasks")?, band_partitions: small("band_partitions")? });
    match sizes().and_then(|sizes| Grid::new(map_tasks, partitions, sizes)) {
        Some(grid) => Ok(Some(grid)),
        None => Err(Error::new(Code::FrameCorrupt, format!("reading job {job}: a grid that no job has"))),
    }
}

/// Returns how far the index of a job's runs is. Reducers do without one that is not named as it should be.
fn index(item: &Item) -> IndexView {
    let number = |name| read_number(item, name);
    let at = || {
        let table = ByteRange { from: number("index_from")?, to: number("index_to")? };
        Some(IndexAt { number: u16::try_from(number("index")?).ok()?, table }).filter(|at| at.table.from <= at.table.to)
    };
    let tries = number("index_tries").map_or(0, |tries| u16::try_from(tries).unwrap_or(u16::MAX));
    IndexView { wanted: read_text(item, "indexed").and_then(Indexed::parse).unwrap_or_default(), tries, at: at() }
}

/// Returns the ceiling of a job that has one, with what was spent before its stage and beside its tasks.
fn capped(job: &JobId, item: &Item, beside: &[Usage]) -> Result<Option<Capped>> {
    let Some(json) = item.get("cap") else { return Ok(None) };
    let json = json.as_s().map_or("", String::as_str);
    let cap = Cap::read(json, &format!("the ceiling of job {job}"))?;
    let mut spent = Spent::default();
    let known = match read_binary(item, "spent") {
        Some(bytes) => {
            spent.add(&frame::read(bytes, &format!("what job {job} has spent"))?);
            // It has what splitting took, and, when that is over, what lies between mapping and merging.
            let is_reducing = item.contains_key("at2");
            usize::from(item.contains_key("usage1")) + usize::from(is_reducing && item.contains_key("usage_merge"))
        }
        None => {
            spent.requests.lambda += 1; // The splitter.
            0
        }
    };
    beside.iter().skip(known).for_each(|usage| spent.add(usage));
    Ok(Some(Capped { cap, spent }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(attributes: &[(&str, AttributeValue)]) -> Item {
        let phase = ("phase".to_owned(), text(Phase::Mapping.as_str()));
        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).chain([phase]).collect()
    }

    /// Every attribute as something else than what was written: an error or a default, and nothing of its size.
    #[test]
    fn an_item_that_was_damaged_is_read_or_refused() {
        let job: JobId = "j-1".parse().unwrap();
        let names = [
            "phase",
            "at0",
            "at3",
            "map_tasks",
            "partitions",
            "group_tasks",
            "objects",
            "skipped",
            "calls",
            "calls_per_task",
            "cancelled",
            "tries_max",
            "timeout_ms",
            "ms_max",
            "plan",
            "turn",
            "turn_at",
            "sent",
            "indexed",
            "rereads",
            "index_tries",
            "index",
            "manifest_upload",
            "ending",
            "program",
            "error",
            "usage1",
            "usage4",
            "published",
            "writes_output",
            "cap",
            "spent",
        ];
        let values = [
            text(""),
            text("../../x"),
            AttributeValue::N("18446744073709551616".to_owned()),
            AttributeValue::N("-1".to_owned()),
            AttributeValue::N("1e3".to_owned()),
            AttributeValue::Ns(vec!["4294967296".to_owned(), "x".to_owned()]),
            AttributeValue::Null(true),
            flag(true),
            crate::ledger::binary(vec![]),
            crate::ledger::binary(b"KNGL".to_vec()),
            number(u64::MAX),
        ];
        for name in names {
            for value in &values {
                if let Ok(view) = view(&job, &item(&[(name, value.clone())])) {
                    assert!(
                        u64::from(view.map_tasks) <= MAP_TASKS_MAX && view.partitions <= PARTITIONS_MAX + 1,
                        "{name}"
                    );
                    assert!(view.cancelled.is_empty() && view.error.is_none() && view.program.is_none(), "{name}");
                }
            }
        }
    }

    #[test]
    fn a_job_of_more_tasks_than_any_has_is_refused() {
        let job: JobId = "j-1".parse().unwrap();
        let of = |maps: u64, partitions: u32| {
            view(&job, &item(&[("map_tasks", number(maps)), ("partitions", number(partitions))]))
        };
        assert_eq!(of(MAP_TASKS_MAX, PARTITIONS_MAX + 1).unwrap().map_tasks, 100_000);
        for damaged in [of(MAP_TASKS_MAX + 1, 1), of(1, PARTITIONS_MAX + 2), of(u64::MAX, 1)] {
            let error = damaged.unwrap_err();
            assert!(error.is(Code::FrameCorrupt) && error.to_string().contains("job j-1"), "{error}");
        }
    }
}
