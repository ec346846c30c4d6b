//! The shuffle's part of the table: small runs in items of their own, and the indexes of large runs.

use super::Ledger;
use super::commits::{Committed, Record};
use super::item::{Item, binary, read_binary, read_text};
use super::keys::{Key, Output, group_count, group_of, index_pk, runs_pk};
use super::request::Keyed;
use aws_sdk_dynamodb::types::AttributeValue;
use kinglet_core::ids::{AttemptId, JobId, Partition, Piece, TaskIdx};
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

/// A map attempt's object and where the runs lie in it.
pub struct ObjectRuns {
    /// The task.
    pub task: TaskIdx,
    /// The piece.
    pub piece: Piece,
    /// The attempt that was committed.
    pub attempt: AttemptId,
    /// Where its runs lie.
    pub index: RunIndex,
}

/// Returns the key of the first item of an inline run.
pub(crate) fn run_key(job: &JobId, partition: Partition, task: TaskIdx, piece: Piece, attempt: AttemptId) -> Key {
    Key::run(job, partition, Output { task, piece, attempt }, 0)
}

impl Ledger {
    /// Writes an attempt's runs as items: one or two items a run, 25 items a request.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn put_runs(
        &self,
        job: &JobId,
        task: TaskIdx,
        piece: Piece,
        attempt: AttemptId,
        runs: Vec<(Partition, Vec<u8>)>,
    ) -> Result<()> {
        let output = Output { task, piece, attempt };
        let mut writes = Vec::new();
        for (partition, bytes) in runs {
            for (n, part) in bytes.chunks(INLINE_ITEM_BYTES).enumerate() {
                let item: Item = HashMap::from([("run".into(), binary(part.to_vec())), ("ttl".into(), self.ttl())]);
                writes.push(Keyed { key: Key::run(job, partition, output, n), item });
            }
        }
        self.put_all(writes).await
    }

    /// Reads inline runs of known length by their keys, in the order of `wanted`. A run of which items are missing is
    /// returned short.
    pub(crate) async fn runs_by_key(
        &self,
        job: &JobId,
        wanted: Vec<(Partition, TaskIdx, Piece, AttemptId, usize)>,
    ) -> Result<Vec<bytes::Bytes>> {
        let keys = wanted.iter().flat_map(|(partition, task, piece, attempt, bytes)| {
            let output = Output { task: *task, piece: *piece, attempt: *attempt };
            (0..bytes.div_ceil(INLINE_ITEM_BYTES)).map(move |n| Key::run(job, *partition, output, n))
        });
        let mut found: HashMap<String, Vec<u8>> = HashMap::new();
        for mut item in self.items(keys.collect()).await? {
            let sk = read_text(&item, "sk").unwrap_or_default().to_owned();
            if let Some(AttributeValue::B(bytes)) = item.remove("run") {
                found.insert(sk, bytes.into_inner());
            }
        }
        let whole = wanted.iter().map(|(partition, task, piece, attempt, bytes)| {
            let output = Output { task: *task, piece: *piece, attempt: *attempt };
            let keys = (0..bytes.div_ceil(INLINE_ITEM_BYTES)).map(|n| Key::run(job, *partition, output, n));
            let mut parts = keys.filter_map(|key| found.remove(&key.sk));
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
    pub async fn put_index(
        &self,
        job: &JobId,
        task: TaskIdx,
        piece: Piece,
        attempt: AttemptId,
        index: &RunIndex,
    ) -> Result<()> {
        let item: Item = HashMap::from([("index".into(), binary(frame::write(index)?)), ("ttl".into(), self.ttl())]);
        self.put_all([Keyed { key: Key::index(job, Output { task, piece, attempt }), item }]).await
    }

    /// Reads the committed runs of one partition that lie in DynamoDB.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn inline_runs(
        &self,
        job: &JobId,
        partition: Partition,
        committed: &Committed<MapRecord>,
    ) -> Result<Vec<InlineRun>> {
        let wanted = outputs(committed, Placement::Inline);
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

    /// Reads the indexes of a job's committed map objects.
    ///
    /// # Errors
    /// Returns `index-missing` when a committed attempt has no index; or a service error (`access-denied`, `throttled`,
    /// `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn object_runs(&self, job: &JobId, committed: &Committed<MapRecord>) -> Result<Vec<ObjectRuns>> {
        let wanted = outputs(committed, Placement::Object);
        let mut indexes: HashMap<String, RunIndex> = HashMap::new();
        let groups: HashSet<u32> = placed(committed, Placement::Object).map(|output| group_of(output.task)).collect();
        debug_assert!(groups.iter().all(|g| *g < group_count(committed.len() as u32)));
        for group in groups {
            for item in self.query(&index_pk(job, group), "").await? {
                let sk = read_text(&item, "sk").unwrap_or_default().to_owned();
                if let (true, Some(bytes)) = (wanted.contains(&sk), read_binary(&item, "index")) {
                    indexes.insert(sk, frame::read(bytes, "the index of a map attempt")?);
                }
            }
        }
        let mut found = Vec::new();
        for output in placed(committed, Placement::Object) {
            let sk = output.to_string();
            let Some(index) = indexes.remove(&sk) else {
                return Err(Error::new(
                    Code::IndexMissing,
                    format!("job {job}: the index of map output {sk} is missing"),
                ));
            };
            let Output { task, piece, attempt } = output;
            found.push(ObjectRuns { task, piece, attempt, index });
        }
        Ok(found)
    }
}

fn placed(committed: &Committed<MapRecord>, placement: Placement) -> impl Iterator<Item = Output> + '_ {
    (0..).zip(committed).flat_map(move |(task, pieces)| {
        (0..).zip(pieces).filter(move |(_, record)| record.placement == placement).map(move |(piece, record)| Output {
            task: TaskIdx(task),
            piece: Piece(piece),
            attempt: record.attempt(),
        })
    })
}

fn outputs(committed: &Committed<MapRecord>, placement: Placement) -> HashSet<String> {
    placed(committed, placement).map(|output| output.to_string()).collect()
}
