//! The results of a map as they come in, and the task that fetches them.
//!
//! The task holds the driver only while it asks. A driver that is closed or dropped ends the task, and the calls that are
//! still open end with an error that says so. The longer a map has run, the less often the task asks, so that a long map
//! costs few requests: one each time, on AWS 40 of them in the first two seconds and about 90 each time the map has run ten
//! times as long.

use super::stats::{CallStats, CallsReport};
use crate::connection::Connection;
use crate::handle::passes;
use crate::report::{Cost, Requests};
use crate::{Code, Error, Phase, Result};
use bytes::Bytes;
use kinglet_aws::Conductor;
use kinglet_aws::ledger::{Look, TaskPieces};
use kinglet_aws::runs::Batch;
use kinglet_core::ids::{JobId, Piece, Timestamp};
use kinglet_core::ledger::JobView;
use kinglet_core::limits::TASKS_PER_GROUP;
use kinglet_core::prices::Prices;
use kinglet_core::wire::calls;
use kinglet_core::wire::record::{self, MapRecord, ReduceRecord};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often a map's results are looked for.
struct Pace {
    /// The shortest and the longest pause between two looks. Between them the pause is [`PAUSE_SHARE`].
    pause_min: Duration,
    pause_max: Duration,
    /// How often the ledger is asked what is to be done, in case a worker died before it could ask.
    conduct_every: Duration,
    /// How long looks may fail before the map is given up: enough time to be connected, or signed in, again.
    failing_max: Duration,
}

/// The pause between two looks is the time since the map began, divided by this.
const PAUSE_SHARE: u32 = 40;

const LOCAL: Pace = Pace {
    pause_min: Duration::from_millis(1),
    pause_max: Duration::from_millis(50),
    conduct_every: Duration::from_secs(1),
    failing_max: Duration::from_secs(10),
};

const AWS: Pace = Pace {
    pause_min: Duration::from_millis(50),
    pause_max: Duration::from_secs(60),
    conduct_every: Duration::from_secs(15),
    failing_max: Duration::from_secs(300),
};

/// How a call ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) value: Result<Bytes>,
    pub(super) stats: CallStats,
    pub(super) log: Vec<String>,
}

/// One job of a map: which calls it makes, and which results are still to come.
struct Wave {
    job: JobId,
    /// Its calls, by their numbers in the map.
    calls: Range<usize>,
    sent_at: Timestamp,
    /// How many pieces of each task have been read.
    read: Vec<u16>,
    open_groups: Vec<u32>,
    ended: bool,
}

#[derive(Default)]
struct Inner {
    ended: Vec<Option<Ended>>,
    done: usize,
    failed: u64,
    /// The calls in the order in which they ended.
    order: Vec<usize>,
    /// The first of these that failed.
    first_failed: Option<usize>,
    report: CallsReport,
    waves: Vec<Wave>,
}

/// The results of one map.
pub(super) struct State {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
    function: String,
    shared: Weak<Connection>,
    before: record::Requests,
    /// Whether the calls are reduced; then the only result is the reduce call's.
    reduced: bool,
}

impl State {
    pub(super) fn new(shared: &Arc<Connection>, function: &str, calls: usize, reduced: bool) -> Arc<Self> {
        let mut ended = Vec::new();
        ended.resize_with(calls, || None);
        let report = CallsReport { calls: calls as u64, ..CallsReport::default() };
        Arc::new(State {
            inner: Mutex::new(Inner { ended, report, ..Inner::default() }),
            changed: watch::Sender::new(0),
            function: function.to_owned(),
            shared: Arc::downgrade(shared),
            before: shared.conductor.clients.meter.totals(),
            reduced,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn function(&self) -> &str {
        &self.function
    }

    pub(super) fn shared(&self) -> Option<Arc<Connection>> {
        self.shared.upgrade()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().ended.len()
    }

    pub(super) fn done(&self) -> usize {
        self.lock().done
    }

    pub(super) fn is_done(&self, call: usize) -> bool {
        self.lock().ended.get(call).is_some_and(Option::is_some)
    }

    pub(super) fn ended(&self, call: usize) -> Option<Ended> {
        self.lock().ended.get(call).cloned().flatten()
    }

    /// Returns the call that ended as the `nth`.
    pub(super) fn nth_ended(&self, nth: usize) -> Option<usize> {
        self.lock().order.get(nth).copied()
    }

    pub(super) fn first_failed(&self) -> Option<usize> {
        self.lock().first_failed
    }

    pub(super) fn jobs(&self) -> Vec<JobId> {
        self.lock().waves.iter().map(|wave| wave.job.clone()).collect()
    }

    pub(super) fn is_reduced(&self) -> bool {
        self.reduced
    }

    /// Ends all calls that have not ended, even if only some were sent.
    pub(super) async fn cancel(&self) -> Result<()> {
        let Some(shared) = self.shared() else { return Ok(()) };
        for job in self.jobs() {
            let error = Error::new(Code::Cancelled, format!("the calls of {} were cancelled", self.function));
            shared.conductor.fail(&job, Phase::Cancelled, &error).await?;
        }
        self.end_open(0..self.len(), |call| Error::new(Code::Cancelled, format!("call {call} was cancelled")));
        Ok(())
    }

    fn open_jobs(&self) -> Vec<JobId> {
        self.lock().waves.iter().filter(|wave| !wave.ended).map(|wave| wave.job.clone()).collect()
    }

    /// Returns the job that makes a call, and the call's number there.
    pub(super) fn place_of(&self, call: usize) -> Option<(JobId, u32)> {
        let inner = self.lock();
        let wave = inner.waves.iter().find(|wave| wave.calls.contains(&call))?;
        Some((wave.job.clone(), (call - wave.calls.start) as u32))
    }

    /// Returns the map's number of a job's call.
    pub(super) fn call_of(&self, job: &JobId, number: u32) -> Option<usize> {
        let inner = self.lock();
        inner.waves.iter().find(|wave| wave.job == *job).map(|wave| wave.calls.start + number as usize)
    }

    pub(super) fn report(&self) -> CallsReport {
        let inner = self.lock();
        let mut report = CallsReport { done: inner.done as u64, failed: inner.failed, ..inner.report.clone() };
        report.jobs = inner.waves.iter().map(|wave| wave.job.clone()).collect();
        if let Some(shared) = self.shared.upgrade() {
            let lambda = report.requests.lambda;
            report.requests += Requests::counted(shared.conductor.clients.meter.since(&self.before));
            report.requests.lambda = lambda;
        }
        report.cost = Cost::of(report.gb_seconds, &report.requests, &Prices::of_us_east_1("x86_64"));
        report
    }

    /// Ends a call, unless it has ended.
    pub(super) fn end(&self, call: usize, ended: Ended) {
        self.end_all(vec![(call, ended)]);
    }

    fn end_all(&self, all: Vec<(usize, Ended)>) {
        let mut inner = self.lock();
        for (call, ended) in all {
            let Some(slot) = inner.ended.get_mut(call).filter(|slot| slot.is_none()) else { continue };
            let failed = ended.value.is_err();
            *slot = Some(ended);
            if failed {
                inner.failed += 1;
                inner.first_failed.get_or_insert(call);
            }
            inner.done += 1;
            inner.order.push(call);
        }
        drop(inner);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Ends with this error all of these calls that have not ended.
    pub(super) fn end_open(&self, calls: Range<usize>, error: impl Fn(usize) -> Error) {
        let open: Vec<usize> = {
            let inner = self.lock();
            calls.filter(|call| inner.ended.get(*call).is_some_and(Option::is_none)).collect()
        };
        let ended = |call| Ended { value: Err(error(call)), stats: CallStats::default(), log: vec![] };
        self.end_all(open.into_iter().map(|call| (call, ended(call))).collect());
    }

    /// Waits until `until`, called after each call that ends, returns a value.
    pub(super) async fn wait<T>(&self, mut until: impl FnMut(&Self) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(found) = until(self) {
                return found;
            }
            // The sender is this state's own, so it cannot be gone.
            let _ = changed.changed().await;
        }
    }

    /// Adds a job that makes further calls.
    pub(super) fn add_wave(&self, job: JobId, calls: Range<usize>, tasks: usize, sent_at: Timestamp) {
        let open_groups = (0..(tasks as u32).div_ceil(TASKS_PER_GROUP)).collect();
        let read = vec![0; tasks];
        self.lock().waves.push(Wave { job, calls, sent_at, read, open_groups, ended: false });
    }

    /// Fetches the results of all waves that are there.
    pub(super) async fn look(&self, conductor: &Conductor) -> Result<()> {
        let open: Vec<(usize, JobId, Vec<u32>, usize)> = {
            let inner = self.lock();
            let open = inner.waves.iter().enumerate().filter(|(_, wave)| !wave.ended);
            open.map(|(n, wave)| (n, wave.job.clone(), wave.open_groups.clone(), wave.read.len())).collect()
        };
        for (wave, job, groups, tasks) in open {
            let view = if self.reduced {
                let view = conductor.ledger.job(&job).await?;
                self.look_at_reduce(conductor, wave, &job, &view).await?;
                view
            } else {
                let Look { view, tasks } = conductor.ledger.look::<MapRecord>(&job, &groups, tasks as u32).await?;
                self.take(conductor, wave, &job, &groups, tasks).await?;
                view
            };
            if view.phase.is_final() {
                self.shared().iter().for_each(|shared| shared.ends(&job));
                let error =
                    view.error.unwrap_or_else(|| Error::new(Code::ResultsMissing, format!("job {job} has ended")));
                self.end_wave(wave, &error);
            }
        }
        Ok(())
    }

    /// Fetches the committed results that were not read before.
    async fn take(
        &self,
        conductor: &Conductor,
        wave: usize,
        job: &JobId,
        groups: &[u32],
        committed: Vec<TaskPieces<MapRecord>>,
    ) -> Result<()> {
        let mut wanted = Vec::new();
        let mut open: BTreeMap<u32, bool> = groups.iter().map(|group| (*group, false)).collect();
        {
            let inner = self.lock();
            for TaskPieces { task, pieces } in committed {
                let read = inner.waves[wave].read[task.0 as usize];
                if pieces.last().is_none_or(|last| last.remainder.is_some()) {
                    open.insert(task.0 / TASKS_PER_GROUP, true);
                }
                let fresh = (0..).zip(pieces).skip(read.into());
                wanted.extend(fresh.map(|(piece, record)| Batch { task, piece: Piece(piece), record }));
            }
        }
        if !wanted.is_empty() {
            let results = conductor.runs(job).results(&wanted).await?;
            let mut ended = Vec::new();
            for (Batch { task, record, .. }, bytes) in wanted.iter().zip(&results) {
                self.read_batch(wave, job, record, bytes, &mut ended)
                    .map_err(|e| e.context(format!("task {}", task.0)))?;
            }
            let mut inner = self.lock();
            for Batch { task, piece, record } in &wanted {
                inner.waves[wave].read[task.0 as usize] = piece.0 + 1;
                inner.report.add(record);
            }
            drop(inner);
            self.end_all(ended);
        }
        let still = open.into_iter().filter(|(_, open)| *open).map(|(group, _)| group).collect();
        self.lock().waves[wave].open_groups = still;
        Ok(())
    }

    fn read_batch(
        &self,
        wave: usize,
        job: &JobId,
        record: &MapRecord,
        bytes: &Bytes,
        ended: &mut Vec<(usize, Ended)>,
    ) -> Result<()> {
        let (of_wave, sent_at) = {
            let inner = self.lock();
            (inner.waves[wave].calls.clone(), inner.waves[wave].sent_at)
        };
        for result in calls::read(bytes, &format!("results of job {job}"))? {
            let call = of_wave.start + result.number as usize;
            if !of_wave.contains(&call) {
                // It would end a call of another job.
                let message = format!("reading results of job {job}: it has no call {}", result.number);
                return Err(Error::new(Code::ItemsCorrupt, message));
            }
            let value = match result.head.failed {
                Some(error) => Err(error.context(format!("call {call}"))),
                None => Ok(bytes.slice_ref(result.value)),
            };
            let stats = CallStats::of(sent_at, result.head.started_at, result.head.ran_us, record);
            ended.push((call, Ended { value, stats, log: result.head.log }));
        }
        Ok(())
    }

    async fn look_at_reduce(&self, conductor: &Conductor, wave: usize, job: &JobId, view: &JobView) -> Result<()> {
        if view.phase != Phase::Succeeded {
            return Ok(());
        }
        let reduces = conductor.ledger.committed::<ReduceRecord>(job, 1).await?;
        let Some(record) = reduces.into_iter().flatten().next() else { return Ok(()) };
        let maps: Vec<MapRecord> =
            conductor.ledger.committed(job, view.map_tasks).await?.into_iter().flatten().collect();
        let bytes = conductor.runs(job).reduced(record.attempt).await?;
        let result = calls::read(&bytes, &format!("the result of job {job}"))?.into_iter().next();
        let result = result.ok_or_else(|| Error::new(Code::ResultsMissing, format!("job {job} has no result")))?;
        let sent_at = {
            let mut inner = self.lock();
            maps.iter().for_each(|record| inner.report.add(record));
            inner.waves[wave].sent_at
        };
        let (head, usage) = (result.head, record.usage);
        let stats = CallStats {
            sent_at,
            queued_ms: head.started_at.since_ms(sent_at),
            started_at: head.started_at,
            ran: Duration::from_micros(head.ran_us),
            billed: Duration::from_millis(usage.ran_ms + usage.init_ms),
            cold: usage.init_ms > 0,
            calls_in_batch: 1,
            memory_mb: usage.memory_mb,
            retries: record.attempt.number,
        };
        let value = head.failed.map_or_else(|| Ok(bytes.slice_ref(result.value)), Err);
        self.end(0, Ended { value, stats, log: head.log });
        Ok(())
    }

    /// Ends the open calls of a wave whose job has ended: their results will never come.
    fn end_wave(&self, wave: usize, error: &Error) {
        let calls = {
            let mut inner = self.lock();
            inner.waves[wave].ended = true;
            inner.waves[wave].calls.clone()
        };
        self.end_open(calls, |_| error.clone());
    }

    fn is_over(&self) -> bool {
        let inner = self.lock();
        inner.done == inner.ended.len()
    }
}

/// Starts to fetch a map's results. The task ends with its driver.
pub(super) fn follow(shared: &Connection, state: &Arc<State>) {
    let weak = Arc::downgrade(state);
    let task = tokio::spawn(fetch(weak.clone(), shared.is_local()));
    shared.end_at_close(task, move || {
        if let Some(state) = weak.upgrade() {
            state.end_open(0..state.len(), |call| driver_gone(&state, call));
        }
    });
}

fn driver_gone(state: &State, call: usize) -> Error {
    let jobs: Vec<_> = state.jobs().iter().map(JobId::to_string).collect();
    let message =
        format!("call {call} of {} had not ended when its driver did (job {})", state.function, jobs.join(", "));
    Error::new(Code::DriverClosed, message).with_hint("wait for the calls before the driver is closed or dropped")
}

async fn fetch(state: Weak<State>, local: bool) {
    let pace = if local { LOCAL } else { AWS };
    let began = Instant::now();
    let (mut conducted, mut failing) = (Instant::now(), None);
    loop {
        tokio::time::sleep((began.elapsed() / PAUSE_SHARE).clamp(pace.pause_min, pace.pause_max)).await;
        // Nobody can ask any more when all futures are gone; the calls go on.
        let Some(state) = state.upgrade() else { return };
        let Some(shared) = state.shared.upgrade() else {
            return state.end_open(0..state.len(), |call| driver_gone(&state, call));
        };
        match state.look(&shared.conductor).await {
            Ok(()) => failing = None,
            Err(error) => {
                tracing::warn!(%error, "fetching results");
                if !passes(&error) || failing.get_or_insert_with(Instant::now).elapsed() > pace.failing_max {
                    return state.end_open(0..state.len(), |call| error.clone().context(format!("call {call}")));
                }
            }
        }
        if state.is_over() {
            return;
        }
        if conducted.elapsed() > pace.conduct_every {
            for job in state.open_jobs() {
                if let Err(error) = shared.conductor.conduct(&job).await {
                    tracing::warn!(%job, %error, "looking after the calls");
                }
            }
            conducted = Instant::now();
        }
    }
}
