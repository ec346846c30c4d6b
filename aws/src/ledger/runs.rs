//! The shuffle's part of the table: small runs in items of their own, and the indexes of large runs.

use super::Ledger;
use super::commits::{Committed, RunsRecord};
use super::item::{Item, binary, read_binary, read_text};
use super::keys::{Key, RunsAttempt, group_count, index_pk, runs_pk, tasks_of};
use super::request::Keyed;
use aws_sdk_dynamodb::types::AttributeValue;
use kinglet_core::ids::{JobId, Partition, Piece, Stage, TaskIdx};
use kinglet_core::limits::ITEM_BYTES_MAX;
use kinglet_core::wire::frame;
use kinglet_core::wire::record::{MapRecord, Placement, RunIndex};
use kinglet_core::{Code, Error, Result};
use std::collections::{BTreeMap, HashMap, HashSet};

/// How many bytes of a run one item holds: DynamoDB's limit less 1 KiB for the keys.
pub(crate) const INLINE_ITEM_BYTES: usize = ITEM_BYTES_MAX - 1024;

/// A run that lies in DynamoDB.
pub struct InlineRun {
    /// Identifies the run in errors.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A committed attempt that may have runs, and where these lie.
#[derive(Clone, Copy)]
pub(crate) struct PlacedRuns {
    pub(crate) of: RunsAttempt,
    pub(crate) placement: Placement,
}

/// A committed attempt of a group that may have runs.
pub struct GroupRuns {
    /// The attempt.
    pub of: RunsAttempt,
    /// Where its runs lie in its object; `None` if they lie in DynamoDB.
    pub index: Option<RunIndex>,
}

/// One run of an attempt that lies in DynamoDB.
#[derive(Clone, Copy)]
pub(crate) struct RunOf {
    pub(crate) partition: Partition,
    pub(crate) attempt: RunsAttempt,
}

impl RunOf {
    /// Returns the key of the run's `n`th item.
    pub(crate) fn key(self, job: &JobId, n: usize) -> Key {
        Key::run(job, self.partition, self.attempt, n)
    }

    /// Returns the keys of all items of a run of so many bytes.
    fn keys(self, job: &JobId, bytes: usize) -> impl Iterator<Item = Key> {
        (0..bytes.div_ceil(INLINE_ITEM_BYTES)).map(move |n| self.key(job, n))
    }
}

impl Ledger {
    /// Writes an attempt's runs as items: one or two items a run, 25 items a request.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn put_runs(&self, job: &JobId, attempt: RunsAttempt, runs: Vec<(Partition, Vec<u8>)>) -> Result<()> {
        let mut writes = Vec::new();
        for (partition, bytes) in runs {
            for (n, part) in bytes.chunks(INLINE_ITEM_BYTES).enumerate() {
                let item: Item = HashMap::from([("run".into(), binary(part.to_vec())), ("ttl".into(), self.ttl())]);
                writes.push(Keyed { key: RunOf { partition, attempt }.key(job, n), item });
            }
        }
        self.put_all(writes).await
    }

    /// Reads inline runs by their keys, in the order of `wanted`, which says how many bytes each has. A run of which items are
    /// missing is returned short.
    pub(crate) async fn runs_by_key(&self, job: &JobId, wanted: &[(RunOf, usize)]) -> Result<Vec<bytes::Bytes>> {
        let keys = wanted.iter().flat_map(|(run, bytes)| run.keys(job, *bytes));
        let mut found: HashMap<String, Vec<u8>> = HashMap::new();
        for mut item in self.items(keys.collect()).await? {
            let sk = read_text(&item, "sk").unwrap_or_default().to_owned();
            if let Some(AttributeValue::B(bytes)) = item.remove("run") {
                found.insert(sk, bytes.into_inner());
            }
        }
        let whole = wanted.iter().map(|(run, bytes)| {
            let mut parts = run.keys(job, *bytes).filter_map(|key| found.remove(&key.sk));
            let first = parts.next().unwrap_or_default();
            let whole = parts.fold(first, |mut whole, part| {
                whole.extend(part);
                whole
            });
            whole.into()
        });
        Ok(whole.collect())
    }

    /// Writes the index of an attempt's object: where the runs lie in it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn put_index(&self, job: &JobId, stage: Stage, attempt: RunsAttempt, index: &RunIndex) -> Result<()> {
        let item: Item = HashMap::from([("index".into(), binary(frame::write(index)?)), ("ttl".into(), self.ttl())]);
        self.put_all([Keyed { key: Key::index(job, stage, attempt), item }]).await
    }

    /// Reads the runs of one partition that lie in DynamoDB and that these attempts wrote.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn inline_runs(
        &self,
        job: &JobId,
        partition: Partition,
        attempts: impl Iterator<Item = RunsAttempt>,
    ) -> Result<Vec<InlineRun>> {
        let wanted: HashSet<String> = attempts.map(|attempt| attempt.to_string()).collect();
        if wanted.is_empty() {
            return Ok(vec![]);
        }
        let mut runs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for item in self.query(&runs_pk(job, partition), "").await? {
            let sk = read_text(&item, "sk").unwrap_or_default();
            // A query returns items in the order of their sort keys, so the items of each run come in order.
            let Some((output, _)) = sk.rsplit_once('#') else {
                continue;
            };
            if let Some(output) = wanted.get(output).cloned()
                && let Some(bytes) = read_binary(&item, "run")
            {
                runs.entry(output).or_default().extend_from_slice(bytes);
            }
        }
        Ok(runs.into_iter().map(|(name, bytes)| InlineRun { name, bytes }).collect())
    }

    /// Returns these committed attempts of a group's tasks, in order, with the indexes of those whose runs lie in S3. Sends no request
    /// where there are none of these.
    ///
    /// # Errors
    /// Returns `index-missing` when a committed attempt has no index; or a service error (`access-denied`, `throttled`,
    /// `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn group_runs(
        &self,
        job: &JobId,
        stage: Stage,
        group: u32,
        placed: Vec<PlacedRuns>,
    ) -> Result<Vec<GroupRuns>> {
        let mut indexes: HashMap<String, RunIndex> = HashMap::new();
        if placed.iter().any(|one| one.placement == Placement::Object) {
            for item in self.query(&index_pk(job, stage, group), "").await? {
                if let (Some(sk), Some(bytes)) = (read_text(&item, "sk"), read_binary(&item, "index")) {
                    indexes.insert(sk.to_owned(), frame::read(bytes, "the index of an attempt's runs")?);
                }
            }
        }
        let found = placed.into_iter().map(|PlacedRuns { of, placement }| {
            let index = match placement {
                Placement::Object => {
                    let missing = || format!("job {job}: the index of {stage} output {of} is missing");
                    let index = indexes.remove(&of.to_string());
                    Some(index.ok_or_else(|| Error::new(Code::IndexMissing, missing()))?)
                }
                _ => None,
            };
            Ok(GroupRuns { of, index })
        });
        found.collect()
    }
}

/// Returns how many groups the map tasks of these pieces have.
pub(crate) fn groups_of(committed: &Committed<MapRecord>) -> u32 {
    group_count(committed.len() as u32)
}

/// Returns the attempts of a group's tasks that may have runs, in order, and where these lie.
pub(crate) fn placed_in(group: u32, committed: &Committed<MapRecord>) -> Vec<PlacedRuns> {
    placed(tasks_of(group, committed.len() as u32).map(|task| (TaskIdx(task), &committed[task as usize][..])))
}

/// Returns the attempts of some tasks, given with their committed pieces, that may have runs.
pub(crate) fn placed<'a, R: RunsRecord + 'a>(tasks: impl Iterator<Item = (TaskIdx, &'a [R])>) -> Vec<PlacedRuns> {
    let mut placed = Vec::new();
    for (task, pieces) in tasks {
        for (record, piece) in pieces.iter().zip(0..) {
            if record.placement() != Placement::Nowhere {
                let of = RunsAttempt { task, piece: Piece(piece), attempt: record.attempt() };
                placed.push(PlacedRuns { of, placement: record.placement() });
            }
        }
    }
    placed
}
