//! Batches of calls in the ledger: the failure of a call whose worker died; cancelling; progress; the result of a reduce
//! function.

use crate::conductor::Conductor;
use crate::ledger::{
    Commit, INLINE_ITEM_BYTES, Key, Ledger, SETTLED, Updated, binary, number, progress_pk, read_binary, read_text,
    result_pk,
};
use crate::runs::{Placed, RunsAttempt};
use bytes::Bytes;
use kinglet_core::ids::{AttemptId, JobId, TaskIdx};
use kinglet_core::ledger::{JobView, PieceAt, calls_after};
use kinglet_core::limits::CALLS_CANCELLED_MAX;
use kinglet_core::wire::calls::{self, CallHead};
use kinglet_core::wire::event::{Event, MapEvent};
use kinglet_core::wire::items;
use kinglet_core::wire::record::{MapRecord, Position, Usage};
use kinglet_core::{ByteRange, Code, Error, Result, codec};

impl Conductor {
    /// Invokes the mapper for the rest of a piece that was committed short of its end.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when Lambda cannot be reached or refuses.
    pub async fn start_rest(&self, event: MapEvent, start: Position) -> Result<()> {
        let piece = event.piece.next()?;
        let calls_max = event.calls_max.map(|most| calls_after(event.number, most));
        let rest =
            MapEvent { piece, number: 0, start: Some(start), bytes_max: None, calls_max, larger: false, ..event };
        self.functions.start(&Event::Map(rest)).await
    }

    /// Commits the failure of a piece's first call on behalf of its dead worker, and invokes the mapper for the rest. Returns
    /// whether the stage is complete.
    pub(crate) async fn settle(
        &self,
        job: &JobId,
        view: &JobView,
        PieceAt { task, piece, start }: PieceAt,
        error: &Error,
    ) -> Result<bool> {
        let plan = self.plan_at(job, view, task).await?;
        let split = self.split(job, view.plan.as_deref().unwrap_or_default(), plan).await?;
        let corrupt = || Error::new(Code::PlanCorrupt, format!("job {job}: task {} has no calls", task.0));
        let range = split.ranges.first().ok_or_else(corrupt)?;
        let from = start.map_or(range.from, |start| start.offset).max(range.from);
        let to = range.to.min(from + items::HEADER_BYTES as u64);
        let header = self.objects.get(&self.stack.work_bucket, &range.key, Some((from, to))).await?;
        let items::Header { bytes, number: call } = items::header(&header).ok_or_else(corrupt)?;
        let end = from.checked_add(bytes as u64).filter(|end| *end <= range.to).ok_or_else(corrupt)?;

        let now = self.now();
        let failed = Some(error.clone());
        let mut results = Vec::new();
        calls::write(call, &CallHead { failed, started_at: now, ran_us: 0, log: vec![] }, &[], &mut results)?;
        let attempt = AttemptId { number: SETTLED, nonce: crate::nonce() };
        let doing = format!("writing the result of call {call} of job {job}");
        let of = RunsAttempt { task, piece, attempt };
        let Placed { placement, bytes: run_bytes } = self.runs(job).write_settled(of, doing, results).await?;
        let remainder = (end < range.to).then_some(Position::at(0, end));
        let record = MapRecord {
            attempt,
            bytes_assigned: end - from,
            taken: Some(ByteRange { from, to: end }),
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
    /// Records that some calls are cancelled.
    ///
    /// # Errors
    /// Returns `calls-cancelled` beyond [`CALLS_CANCELLED_MAX`] calls; or a service error (`access-denied`, `throttled`,
    /// `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn cancel_calls(&self, job: &JobId, calls: &[u32]) -> Result<()> {
        let cancelling = self
            .update(format!("cancelling {} calls of job {job}", calls.len()), Key::job(job))
            .add("cancelled", calls.iter().copied())
            .when("attribute_exists(pk)")
            .when("attribute_not_exists(cancelled) OR size(cancelled) < :most")
            .value("most", number(CALLS_CANCELLED_MAX))
            .returning_refused();
        match cancelling.write().await? {
            Updated::Done(_) => Ok(()),
            Updated::Unmet { item: None, error } => Err(error),
            Updated::Unmet { item: Some(_), .. } | Updated::TooLarge(_) => {
                let message =
                    format!("job {job}: more than {CALLS_CANCELLED_MAX} calls are to be cancelled one by one");
                Err(Error::new(Code::CallsCancelled, message).with_hint("cancel the whole map (`Calls::cancel`)"))
            }
        }
    }

    /// Writes one attribute of an item by an update: all functions may update items, but they may not replace them.
    pub(crate) async fn put_bytes(&self, doing: String, key: Key, name: &str, bytes: Vec<u8>) -> Result<()> {
        match self.update(doing, key).set(name, binary(bytes)).ttl().write().await? {
            Updated::Done(_) => Ok(()),
            // It has no condition: whoever refuses it, as a proxy with a bare 404, has not written it.
            Updated::Unmet { error, .. } | Updated::TooLarge(error) => Err(error),
        }
    }

    /// Records how far the calls of a batch are, from 0 to 1.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn put_progress(&self, job: &JobId, task: TaskIdx, progress: &[(u32, f32)]) -> Result<()> {
        let doing = format!("recording the progress of job {job}");
        self.put_bytes(doing, Key::progress(job, task), "progress", codec::encode(&progress)?).await
    }

    /// Reads the progress of all calls that have reported any.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn progress(&self, job: &JobId) -> Result<Vec<(u32, f32)>> {
        let mut all = Vec::new();
        for item in self.query(&progress_pk(job), "").await? {
            if let Some(bytes) = read_binary(&item, "progress") {
                all.extend(codec::decode::<Vec<(u32, f32)>>(bytes)?);
            }
        }
        Ok(all)
    }

    /// Writes what a reduce function returned.
    pub(crate) async fn put_result(&self, job: &JobId, attempt: AttemptId, result: Vec<u8>) -> Result<()> {
        for (n, part) in result.chunks(INLINE_ITEM_BYTES).enumerate() {
            let key = Key::result(job, attempt, n);
            self.put_bytes(format!("writing the result of job {job}"), key, "result", part.to_vec()).await?;
        }
        Ok(())
    }

    /// Reads what a reduce function returned, if it lies in DynamoDB.
    pub(crate) async fn result(&self, job: &JobId, attempt: AttemptId) -> Result<Option<Bytes>> {
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
