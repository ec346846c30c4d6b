//! Batches of calls in the ledger: their results, written and read; a call that failed for its worker; cancelling; progress.

use crate::conduct::Conductor;
use crate::ledger::{
    Commit, INLINE_ITEM_BYTES, Key, Ledger, Updated, binary, number, progress_pk, read_binary, read_text, result_pk,
    run_key,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::ids::{AttemptId, JobId, Partition, Piece, TaskIdx};
use kinglet_core::ledger::{JobView, calls_after};
use kinglet_core::limits::{CALLS_CANCELLED_MAX, TASKS_PER_GROUP};
use kinglet_core::placement::place;
use kinglet_core::wire::calls::{self, CallHead};
use kinglet_core::wire::event::{Event, MapEvent};
use kinglet_core::wire::items;
use kinglet_core::wire::record::{MapRecord, Placement, Position, Usage};
use kinglet_core::{Error, Result, codec};

/// A number that no try has: of the attempt that stands for a worker that died.
const SETTLED: u16 = u16::MAX;

/// Where a reduce function's result lies, if in S3.
fn result_key(job: &JobId, attempt: AttemptId) -> String {
    format!("jobs/{job}/result/{attempt}")
}

/// The results of a group of batches share a partition key: a key takes 1,000 KB a second.
fn results_partition(task: TaskIdx) -> Partition {
    Partition(task.0 / TASKS_PER_GROUP)
}

/// How many GETs of results are under way at once.
const PARALLEL: usize = 16;

impl Conductor {
    /// Writes the results of a batch's attempt, to DynamoDB where that is cheaper, else to an S3 object.
    ///
    /// # Errors
    /// What the services report.
    pub async fn put_results(
        &self,
        job: &JobId,
        (task, piece): (TaskIdx, Piece),
        attempt: AttemptId,
        results: Vec<u8>,
        inline_bytes_max: Option<u64>,
    ) -> Result<Placement> {
        let placement = place(&[results.len() as u64], inline_bytes_max);
        match placement {
            Placement::Nowhere => {}
            Placement::Inline => {
                let runs = vec![(results_partition(task), results)];
                self.ledger.put_runs(job, task, piece, attempt, runs).await?;
            }
            Placement::Object => {
                let key = Self::runs_key(job, task, piece, attempt);
                self.put_object(&key, results.into()).await?;
            }
        }
        Ok(placement)
    }

    async fn put_object(&self, key: &str, body: Bytes) -> Result<()> {
        let mut upload = crate::upload::Upload::new(&self.objects, &self.stack.work_bucket, key);
        upload.push(body).await?;
        upload.finish().await.map(drop)
    }

    /// The results of committed batches, in the same order.
    ///
    /// # Errors
    /// What the services report; [`Error::Corrupt`] when committed results are not there.
    pub async fn results(&self, job: &JobId, wanted: &[(TaskIdx, Piece, MapRecord)]) -> Result<Vec<Bytes>> {
        let inline = wanted.iter().filter(|(_, _, record)| record.placement == Placement::Inline);
        let inline = inline.map(|(task, piece, record)| {
            (results_partition(*task), *task, *piece, record.attempt, record.run_bytes as usize)
        });
        let mut inline = self.ledger.runs_by_key(job, inline.collect()).await?.into_iter();
        let mut found = Vec::with_capacity(wanted.len());
        for (task, piece, record) in wanted {
            found.push(match record.placement {
                Placement::Inline => Some(inline.next().unwrap_or_default()),
                Placement::Nowhere => Some(Bytes::new()),
                Placement::Object => None,
            });
            if let Some(Some(bytes)) = found.last()
                && bytes.len() as u64 != record.run_bytes
            {
                let message = format!("job {job}: the results of batch {}.{} are missing", task.0, piece.0);
                return Err(Error::corrupt("results-missing", message));
            }
        }
        let objects = wanted.iter().enumerate().filter(|(at, _)| found[*at].is_none());
        let keys: Vec<(usize, String)> = objects
            .map(|(at, (task, piece, record))| (at, Self::runs_key(job, *task, *piece, record.attempt)))
            .collect();
        let bucket = &self.stack.work_bucket;
        let got: Vec<(usize, Bytes)> = stream::iter(keys.into_iter().map(Ok::<_, Error>))
            .map(|wanted| async move {
                let (at, key) = wanted?;
                Ok::<_, Error>((at, self.objects.get(bucket, &key, None).await?))
            })
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await?;
        for (at, bytes) in got {
            found[at] = Some(bytes);
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Writes what a reduce function returned.
    ///
    /// # Errors
    /// What the services report.
    pub async fn put_reduced(&self, job: &JobId, attempt: AttemptId, result: Vec<u8>) -> Result<Placement> {
        let placement = place(&[result.len() as u64], None);
        match placement {
            Placement::Inline => self.ledger.put_result(job, attempt, result).await?,
            _ => self.put_object(&result_key(job, attempt), result.into()).await?,
        }
        Ok(placement)
    }

    /// What a reduce function returned.
    ///
    /// # Errors
    /// What the services report.
    pub async fn reduced(&self, job: &JobId, attempt: AttemptId) -> Result<Bytes> {
        match self.ledger.result(job, attempt).await? {
            Some(bytes) => Ok(bytes),
            None => self.objects.get(&self.stack.work_bucket, &result_key(job, attempt), None).await,
        }
    }

    /// Invokes the rest of a piece that was committed short of its end.
    ///
    /// # Errors
    /// What Lambda reports.
    pub async fn start_rest(&self, event: MapEvent, start: Position) -> Result<()> {
        let piece = Piece(event.piece.0 + 1);
        let calls_max = event.calls_max.map(|most| calls_after(event.number, most));
        let rest =
            MapEvent { piece, number: 0, start: Some(start), bytes_max: None, calls_max, larger: false, ..event };
        self.functions.start(&Event::Map(rest)).await
    }

    /// Commits in the name of a piece's first call that it failed, and invokes the rest. Returns whether the stage is complete.
    pub(crate) async fn settle(
        &self,
        job: &JobId,
        view: &JobView,
        (task, piece, start): (TaskIdx, Piece, Option<Position>),
        error: &Error,
    ) -> Result<bool> {
        let plan = self.plan_at(job, view, task).await?;
        let split = self.split(job, view.plan.as_deref().unwrap_or_default(), plan).await?;
        let corrupt = || Error::corrupt("plan-corrupt", format!("job {job}: task {} has no calls", task.0));
        let range = split.ranges.first().ok_or_else(corrupt)?;
        let from = start.map_or(range.from, |start| start.offset);
        let to = range.to.min(from + items::HEADER_BYTES as u64);
        let header = self.objects.get(&self.stack.work_bucket, &range.key, Some((from, to))).await?;
        let (bytes, call) = items::header(&header).ok_or_else(corrupt)?;
        let end = from + bytes as u64;

        let now = self.now();
        let failed = Some(error.clone());
        let mut results = Vec::new();
        calls::write(call, &CallHead { failed, started_at: now, ran_us: 0, log: vec![] }, &[], &mut results)?;
        let attempt = AttemptId { number: SETTLED, nonce: crate::nonce() };
        let run_bytes = results.len() as u64;
        // An error's words, which fit into an item.
        let key = run_key(job, results_partition(task), task, piece, attempt);
        let doing = format!("writing the result of call {call} of job {job}");
        self.ledger.put_bytes(doing, key, "run", results).await?;
        let placement = Placement::Inline;
        let remainder = (end < range.to).then_some(Position { range_idx: 0, offset: end });
        let record = MapRecord {
            attempt,
            bytes_assigned: end - from,
            taken: Some((from, end)),
            bytes_read: end - from,
            crc32: 0,
            records: 1,
            rejected: 0,
            pairs_emitted: 0,
            pairs_out: 0,
            run_bytes,
            placement,
            spills: 0,
            remainder,
            usage: Usage { started_at: now, ..Usage::default() },
        };
        match self.ledger.commit(job, task, piece, &record, view.map_tasks).await? {
            Commit::Lost(_) => Ok(false),
            Commit::Won { stage_complete } => {
                if let Some(start) = remainder {
                    let first = MapEvent::first(job.clone(), task, plan, view.program);
                    let event = MapEvent { piece, calls_max: Some(1), ..first };
                    self.start_rest(event, start).await?;
                }
                Ok(stage_complete)
            }
        }
    }
}

impl Ledger {
    /// Records that nobody waits for some calls any more.
    ///
    /// # Errors
    /// [`Error::Limit`] with `calls-cancelled` beyond [`CALLS_CANCELLED_MAX`]; what DynamoDB reports.
    pub async fn cancel_calls(&self, job: &JobId, calls: &[u32]) -> Result<()> {
        let cancelling = self
            .update(format!("cancelling {} calls of job {job}", calls.len()), Key::job(job))
            .add("cancelled", calls.iter().copied())
            .when("attribute_exists(pk)")
            .when("attribute_not_exists(cancelled) OR size(cancelled) < :most")
            .value("most", number(CALLS_CANCELLED_MAX))
            .returning_refused();
        match cancelling.send().await? {
            Updated::Done(_) => Ok(()),
            Updated::Unmet { item: None, error } => Err(error),
            Updated::Unmet { item: Some(_), .. } | Updated::TooLarge(_) => {
                let message =
                    format!("job {job}: more than {CALLS_CANCELLED_MAX} calls are to be cancelled one by one");
                Err(Error::limit("calls-cancelled", message).with_hint("cancel the whole map (`Calls::cancel`)"))
            }
        }
    }

    /// Writes one attribute of an item. By an update, which all functions may do; they may not replace items.
    async fn put_bytes(&self, doing: String, key: Key, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.update(doing, key).set(name, binary(bytes)).ttl().done().await.map(drop)
    }

    /// Records how far the calls of a batch are, from 0 to 1.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn put_progress(&self, job: &JobId, task: TaskIdx, progress: &[(u32, f32)]) -> Result<()> {
        let doing = format!("recording the progress of job {job}");
        self.put_bytes(doing, Key::progress(job, task), "progress", codec::encode(&progress)?).await
    }

    /// How far the calls are that have said so.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn progress(&self, job: &JobId) -> Result<Vec<(u32, f32)>> {
        let mut all = Vec::new();
        for item in self.query(&progress_pk(job), "").await? {
            if let Some(bytes) = read_binary(&item, "progress") {
                all.extend(codec::decode::<Vec<(u32, f32)>>(bytes)?);
            }
        }
        Ok(all)
    }

    async fn put_result(&self, job: &JobId, attempt: AttemptId, result: Vec<u8>) -> Result<()> {
        for (n, part) in result.chunks(INLINE_ITEM_BYTES).enumerate() {
            let key = Key::result(job, attempt, n);
            self.put_bytes(format!("writing the result of job {job}"), key, "result", part.to_vec()).await?;
        }
        Ok(())
    }

    async fn result(&self, job: &JobId, attempt: AttemptId) -> Result<Option<Bytes>> {
        let mut items = self.query(&result_pk(job), &format!("{attempt}#")).await?;
        items.sort_by_key(|item| read_text(item, "sk").unwrap_or_default().to_owned());
        let mut whole = Vec::new();
        for item in &items {
            if let Some(bytes) = read_binary(item, "result") {
                whole.extend_from_slice(bytes);
            }
        }
        Ok((!items.is_empty()).then(|| whole.into()))
    }
}
