//! The shuffle's share of the table: small runs in items of their own, and the indexes of large ones.

use super::{Committed, Item, Ledger, Record, binary, doing_too_long, group_count, group_of, group_pk, job_pk, text};
use crate::errors::Doing;
use crate::replies::Pause;
use aws_sdk_dynamodb::types::{DeleteRequest, PutRequest, ReturnConsumedCapacity, WriteRequest};
use kinglet_core::ids::{AttemptId, JobId, Partition, Piece, Stage, TaskIdx};
use kinglet_core::limits::{BATCH_WRITE_ITEMS_MAX, ITEM_BYTES_MAX};
use kinglet_core::wire::frame;
use kinglet_core::wire::record::{MapRecord, Placement, RunIndex};
use kinglet_core::{Error, Result};
use std::collections::{BTreeMap, HashMap, HashSet};

/// How much of a run one item holds: DynamoDB's limit, less room for the keys.
pub(crate) const INLINE_ITEM_BYTES: usize = ITEM_BYTES_MAX - 1024;

/// A run that lies in DynamoDB.
pub struct InlineRun {
    /// Says in errors which one.
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

fn output_sk(task: TaskIdx, piece: Piece, attempt: AttemptId) -> String {
    format!("{:06}#{:05}#{attempt}", task.0, piece.0)
}

fn runs_pk(job: &JobId, partition: Partition) -> String {
    format!("job#{job}#runs#{:05}", partition.0)
}

fn index_pk(job: &JobId, group: u32) -> String {
    format!("job#{job}#index#{group:05}")
}

/// The keys of the first item of an inline run.
pub(crate) fn run_key(
    job: &JobId,
    partition: Partition,
    task: TaskIdx,
    piece: Piece,
    attempt: AttemptId,
) -> (String, String) {
    (runs_pk(job, partition), item_sk(&output_sk(task, piece, attempt), 0))
}

/// The sort key of an output's `n`th item. Items come in the order of these: the numbers have the same length.
pub(crate) fn item_sk(output: &str, n: usize) -> String {
    format!("{output}#{n:05}")
}

impl Ledger {
    /// Writes an attempt's runs as items, one or two each, 25 a request.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn put_runs(
        &self,
        job: &JobId,
        task: TaskIdx,
        piece: Piece,
        attempt: AttemptId,
        runs: Vec<(Partition, Vec<u8>)>,
    ) -> Result<()> {
        let mut writes = Vec::new();
        for (partition, bytes) in runs {
            for (n, part) in bytes.chunks(INLINE_ITEM_BYTES).enumerate() {
                let item: Item = HashMap::from([
                    ("pk".into(), text(runs_pk(job, partition))),
                    ("sk".into(), text(item_sk(&output_sk(task, piece, attempt), n))),
                    ("run".into(), binary(part.to_vec())),
                    ("ttl".into(), self.ttl()),
                ]);
                writes.push(item);
            }
        }
        self.write_all(writes).await
    }

    async fn write_all(&self, items: Vec<Item>) -> Result<()> {
        let put = |item| {
            let put = PutRequest::builder().set_item(Some(item)).build();
            put.map(|put| WriteRequest::builder().put_request(put).build())
        };
        let writes = items.into_iter().map(put).collect::<Result<Vec<_>, _>>();
        self.batch("writing", writes.map_err(|e| Error::input("rejected", e.to_string()))?).await
    }

    /// Deletes items, given by their keys.
    async fn delete_all(&self, keys: Vec<(String, String)>) -> Result<()> {
        let delete = |(pk, sk)| {
            let delete = DeleteRequest::builder().key("pk", text(pk)).key("sk", text(sk)).build();
            delete.map(|delete| WriteRequest::builder().delete_request(delete).build())
        };
        let writes = keys.into_iter().map(delete).collect::<Result<Vec<_>, _>>();
        self.batch("deleting", writes.map_err(|e| Error::input("rejected", e.to_string()))?).await
    }

    async fn batch(&self, what: &str, writes: Vec<WriteRequest>) -> Result<()> {
        let doing = Doing::now(format!("{what} {} items of table {}", writes.len(), self.table));
        for chunk in writes.chunks(BATCH_WRITE_ITEMS_MAX) {
            let mut left = chunk.to_vec();
            let mut pause = Pause::default();
            while !left.is_empty() {
                let request = self.dynamodb.batch_write_item().request_items(&self.table, left);
                let done = request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
                let done = done.map_err(|e| doing.failed(&e))?;
                self.meter
                    .wrote(done.consumed_capacity.as_ref().map(|c| c.iter().filter_map(|c| c.capacity_units).sum()));
                left = done.unprocessed_items.and_then(|mut all| all.remove(&self.table)).unwrap_or_default();
                if !left.is_empty() {
                    pause.wait(&doing_too_long(&self.table)).await?;
                }
            }
        }
        Ok(())
    }

    /// Deletes everything that the ledger holds of a job, what lists it last. Returns how many items that were.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn forget(&self, job: &JobId) -> Result<u64> {
        let (maps, partitions) = match self.job(job).await {
            Ok(view) => (view.map_tasks, view.partitions),
            Err(e) if e.code() == "job-missing" => (0, 0),
            Err(e) => return Err(e),
        };
        let stage = |stage, tasks| (0..group_count(tasks)).map(move |group| group_pk(job, stage, group));
        let pks = stage(Stage::Map, maps)
            .chain(stage(Stage::Reduce, partitions))
            .chain((0..group_count(maps)).map(|group| index_pk(job, group)))
            // Of calls, results lie by group.
            .chain((0..partitions.max(group_count(maps))).map(|partition| runs_pk(job, Partition(partition))))
            .chain([format!("job#{job}#result"), format!("job#{job}#progress"), job_pk(job)]);
        let mut deleted = 0;
        for pk in pks {
            let sks: Vec<_> = self
                .query(&pk, "")
                .await?
                .iter()
                .filter_map(|item| Some(super::read_text(item, "sk")?.to_owned()))
                .collect();
            deleted += sks.len() as u64;
            self.delete_all(sks.into_iter().map(|sk| (pk.clone(), sk)).collect()).await?;
        }
        self.delete_all(vec![("jobs".to_owned(), job.to_string())]).await?;
        Ok(deleted)
    }

    /// Inline runs of known length by their keys, in the same order; what is not there is left short.
    pub(crate) async fn runs_by_key(
        &self,
        job: &JobId,
        wanted: Vec<(Partition, TaskIdx, Piece, AttemptId, usize)>,
    ) -> Result<Vec<bytes::Bytes>> {
        let sks = |task, piece, attempt, bytes: usize| {
            let output = output_sk(task, piece, attempt);
            (0..bytes.div_ceil(INLINE_ITEM_BYTES)).map(move |n| item_sk(&output, n))
        };
        let keys = wanted.iter().flat_map(|(partition, task, piece, attempt, bytes)| {
            sks(*task, *piece, *attempt, *bytes).map(|sk| (runs_pk(job, *partition), sk))
        });
        let mut found: HashMap<String, Vec<u8>> = HashMap::new();
        for (_, mut item) in self.items(keys.collect()).await? {
            let sk = super::read_text(&item, "sk").unwrap_or_default().to_owned();
            if let Some(aws_sdk_dynamodb::types::AttributeValue::B(bytes)) = item.remove("run") {
                found.insert(sk, bytes.into_inner());
            }
        }
        let whole = wanted.iter().map(|(_, task, piece, attempt, bytes)| {
            let mut parts = sks(*task, *piece, *attempt, *bytes).filter_map(|sk| found.remove(&sk));
            let first = parts.next().unwrap_or_default();
            let whole = parts.fold(first, |mut whole, part| {
                whole.extend(part);
                whole
            });
            whole.into()
        });
        Ok(whole.collect())
    }

    /// Writes where the runs lie in an attempt's object.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn put_index(
        &self,
        job: &JobId,
        task: TaskIdx,
        piece: Piece,
        attempt: AttemptId,
        index: &RunIndex,
    ) -> Result<()> {
        let item: Item = HashMap::from([
            ("pk".into(), text(index_pk(job, group_of(task)))),
            ("sk".into(), text(output_sk(task, piece, attempt))),
            ("index".into(), binary(frame::write(index)?)),
            ("ttl".into(), self.ttl()),
        ]);
        self.write_all(vec![item]).await
    }

    /// The committed runs of one partition that lie in DynamoDB.
    ///
    /// # Errors
    /// What DynamoDB reports.
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
        for mut item in self.query(&runs_pk(job, partition), "").await? {
            let sk = super::read_text(&item, "sk").unwrap_or_default();
            // Items come in the order of their sort keys, and so the items of a run in theirs.
            let Some((output, _)) = sk.rsplit_once('#') else {
                continue;
            };
            if let Some(output) = wanted.get(output).cloned()
                && let Some(aws_sdk_dynamodb::types::AttributeValue::B(bytes)) = item.remove("run")
            {
                runs.entry(output).or_default().extend_from_slice(bytes.as_ref());
            }
        }
        Ok(runs.into_iter().map(|(name, bytes)| InlineRun { name, bytes }).collect())
    }

    /// The committed map objects of a job, with their indexes.
    ///
    /// # Errors
    /// What DynamoDB reports; [`Error::Corrupt`] when a committed attempt has no index.
    pub async fn object_runs(&self, job: &JobId, committed: &Committed<MapRecord>) -> Result<Vec<ObjectRuns>> {
        let wanted = outputs(committed, Placement::Object);
        let mut indexes: HashMap<String, RunIndex> = HashMap::new();
        let groups: HashSet<u32> = placed(committed, Placement::Object).map(|(task, _, _)| group_of(task)).collect();
        debug_assert!(groups.iter().all(|g| *g < group_count(committed.len() as u32)));
        for group in groups {
            for item in self.query(&index_pk(job, group), "").await? {
                let sk = super::read_text(&item, "sk").unwrap_or_default().to_owned();
                if let (true, Some(aws_sdk_dynamodb::types::AttributeValue::B(bytes))) =
                    (wanted.contains(&sk), item.get("index"))
                {
                    indexes.insert(sk, frame::read(bytes.as_ref(), "the index of a map attempt")?);
                }
            }
        }
        let mut found = Vec::new();
        for (task, piece, attempt) in placed(committed, Placement::Object) {
            let sk = output_sk(task, piece, attempt);
            let Some(index) = indexes.remove(&sk) else {
                return Err(Error::corrupt(
                    "index-missing",
                    format!("job {job}: the index of map output {sk} is missing"),
                ));
            };
            found.push(ObjectRuns { task, piece, attempt, index });
        }
        Ok(found)
    }
}

fn placed(
    committed: &Committed<MapRecord>,
    placement: Placement,
) -> impl Iterator<Item = (TaskIdx, Piece, AttemptId)> + '_ {
    (0..).zip(committed).flat_map(move |(task, pieces)| {
        (0..)
            .zip(pieces)
            .filter(move |(_, record)| record.placement == placement)
            .map(move |(piece, record)| (TaskIdx(task), Piece(piece), record.attempt()))
    })
}

fn outputs(committed: &Committed<MapRecord>, placement: Placement) -> HashSet<String> {
    placed(committed, placement).map(|(task, piece, attempt)| output_sk(task, piece, attempt)).collect()
}
