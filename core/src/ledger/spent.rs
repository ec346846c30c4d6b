//! What a job with a ceiling has spent, as far as the ledger tells, and whether it may start another try.
//!
//! | what | how it is counted | what it costs to know |
//! |---|---|---|
//! | attempts that committed | function time and requests, by their records, and the commits themselves | nothing: [`super::advance`] sees all records of the stage anyway, and those of the stage before are summed up once, as the job moves on |
//! | tries of pieces that are not committed | their time until now, until they failed, or until their function's timeout | nothing: `advance` sees them anyway |
//! | tries of committed pieces that did not commit: lost, failed, or overtaken | likewise, or until they said that they were overtaken; where the stage is over, until they have noticed that | nothing in a group of tasks that is open. Of a group that is complete, only how many there are, which is a write for each further try as it is claimed. They are read, one query a group, when what they may cost at most could pass the ceiling |
//! | who splits and moves the job on | by the job's own item | nothing |
//!
//! **What it does not know**: requests of tries that did not commit, tries of splitting before the one whose plan counts, the first
//! run of a try that Lambda delivered twice, cold starts of tries that did not commit, what the driver asks, and the sweeper.
//!
//! **What "could" means.** A further try is taken to cost as much as the dearest of its stage so far. That is a full timeout where a
//! try has run into it, and little where tries end soon: a job whose tries last a second is not ended because its functions may
//! run for fifteen minutes.

use super::view::{Capped, LedgerView, Spent, TaskView, TryView};
use crate::bill::Bill;
use crate::error::{Code, Error};
use crate::ids::Timestamp;
use crate::limits::FUNCTION_MEMORY_MB_MAX;
use crate::wire::cost::Cap;
use crate::wire::record::Usage;

/// How long a worker may go on when nobody wants its work any more, in milliseconds (35 s): it sees that within 1.75 s, its job's own
/// code has 30 s to come to an end, and at the next look the process is ended.
pub const STOPPED_MS: u64 = 35_000;

impl Spent {
    /// Adds what an attempt or another process used.
    pub fn add(&mut self, usage: &Usage) {
        self.gb_seconds += usage.gb_seconds();
        self.requests += usage.requests;
    }

    /// Adds what an attempt of the job's stage used that committed.
    pub fn add_committed(&mut self, usage: &Usage) {
        self.add(usage);
        self.requests.lambda += 1;
        self.dearest_gb_s = self.dearest_gb_s.max(usage.gb_seconds());
    }
}

impl Capped {
    /// Returns what the job has spent until now, in US dollars: at most, where tries were not read.
    pub fn usd(&self, tasks: &[TaskView], timeout_ms: u64, now: Timestamp) -> f64 {
        let tries = tasks.iter().flat_map(|task| &task.tries).chain(&self.spent.overtaken);
        let started = tries.filter(|t| t.started_at.is_some());
        let (mut gb_seconds, mut invocations) = (self.spent.gb_seconds, f64::from(self.spent.unread));
        for t in started {
            gb_seconds += gb_seconds_of(t, ran_ms(t, timeout_ms, now));
            invocations += 1.0;
        }
        gb_seconds += f64::from(self.spent.unread) * gb_seconds_max(timeout_ms);
        let Cap { prices, .. } = &self.cap;
        Bill::of(prices, gb_seconds, &self.spent.requests).total() + invocations * prices.lambda_request
    }

    /// Returns whether tries that were not read could make out that the ceiling is passed.
    pub fn must_read(&self, tasks: &[TaskView], timeout_ms: u64, now: Timestamp) -> bool {
        let is_over = || {
            let dearest = self.cap.prices.lambda_gb_second * gb_seconds_max(timeout_ms);
            let at_most = self.usd(tasks, timeout_ms, now) + dearest;
            self.cap.ceiling.usd.is_some_and(|most| at_most >= most)
        };
        self.spent.unread > 0 && (tasks.iter().all(|task| task.done) || is_over())
    }

    /// Returns what was spent on the stages up to this one, all of whose tasks are committed, as the use of a function of 1 GB:
    /// tries that still run are counted until they must have stopped.
    pub fn until_here(&self, timeout_ms: u64, now: Timestamp) -> Usage {
        let overtaken = self.spent.overtaken.iter().filter(|t| t.started_at.is_some());
        let stopped = Timestamp(now.0.saturating_add(STOPPED_MS));
        let tries: f64 = overtaken.clone().map(|t| gb_seconds_of(t, ran_ms(t, timeout_ms, stopped))).sum();
        let unread = f64::from(self.spent.unread) * gb_seconds_max(timeout_ms);
        let mut requests = self.spent.requests;
        requests.lambda += overtaken.count() as u64 + u64::from(self.spent.unread);
        let ran_ms = ((self.spent.gb_seconds + tries + unread) * 1e3).ceil() as u64;
        Usage { ran_ms, memory_mb: 1_024, requests, ..Usage::default() }
    }
}

/// How long a try has run until now at most, in milliseconds.
fn ran_ms(t: &TryView, timeout_ms: u64, now: Timestamp) -> u64 {
    let until = t.ended_at().unwrap_or(now);
    t.started_at.map_or(0, |at| until.since_ms(at)).min(timeout_ms)
}

fn gb_seconds_of(t: &TryView, ran_ms: u64) -> f64 {
    Usage { ran_ms, memory_mb: t.memory_mb.unwrap_or(FUNCTION_MEMORY_MB_MAX), ..Usage::default() }.gb_seconds()
}

/// What a try takes that nothing is known of, at most.
fn gb_seconds_max(timeout_ms: u64) -> f64 {
    Usage { ran_ms: timeout_ms, memory_mb: FUNCTION_MEMORY_MB_MAX, ..Usage::default() }.gb_seconds()
}

/// What a job may still spend on further tries.
pub(super) struct Room<'a> {
    capped: Option<&'a Capped>,
    /// What it has spent, and what the further tries that are under way are taken to cost.
    spent_usd: f64,
    begun_usd: f64,
    /// What a further try is taken to cost.
    next_usd: f64,
}

impl<'a> Room<'a> {
    /// Looks what is left below the job's ceiling.
    pub(super) fn of(view: &'a LedgerView, now: Timestamp) -> Self {
        let mut room = Room { capped: view.job.capped.as_ref(), spent_usd: 0.0, begun_usd: 0.0, next_usd: 0.0 };
        let Some(capped) = room.capped else { return room };
        let (timeout_ms, price) = (view.job.timeout_ms, capped.cap.prices.lambda_gb_second);
        let usd_of = |t: &TryView| price * gb_seconds_of(t, ran_ms(t, timeout_ms, now));
        let open = || view.tasks.iter().flat_map(|task| &task.tries);
        let started = open().chain(&capped.spent.overtaken).filter(|t| t.started_at.is_some());
        room.spent_usd = capped.usd(&view.tasks, timeout_ms, now);
        room.next_usd = started.map(usd_of).fold(price * capped.spent.dearest_gb_s, f64::max);
        let further = open().filter(|t| t.number > 0 && t.failed.is_none());
        room.begun_usd = further.map(|t| room.next_usd - usd_of(t)).sum();
        room
    }

    /// Takes what a further try may cost. Returns whether there was enough.
    pub(super) fn take(&mut self) -> bool {
        let Some(most) = self.capped.and_then(|capped| capped.cap.ceiling.usd) else { return true };
        let is_enough = self.spent_usd + self.begun_usd + self.next_usd < most;
        self.begun_usd += if is_enough { self.next_usd } else { 0.0 };
        is_enough
    }

    /// Returns why the job must end now, if it has spent what it may, or taken as long as it may.
    pub(super) fn passed(&self, taken_ms: u64) -> Option<Error> {
        let ceiling = &self.capped?.cap.ceiling;
        let spent = self.spent_usd;
        if let Some(most) = ceiling.usd.filter(|most| spent >= *most) {
            let message = format!("the job has spent ${spent:.6} of the ${most} that it may cost, and is not done");
            return Some(passed(message, "usd"));
        }
        let most = ceiling.seconds.filter(|most| taken_ms as f64 / 1e3 > *most)?;
        let message = format!("the job has taken longer than the {most} s that it may, and has spent ${spent:.6}");
        Some(passed(message, "seconds"))
    }

    /// Returns why the job must end now when a task needs a further try for which there is not enough.
    pub(super) fn too_little(&self) -> Error {
        let most = self.capped.and_then(|capped| capped.cap.ceiling.usd).unwrap_or_default();
        let (spent, next) = (self.spent_usd, self.next_usd);
        let begun = match self.begun_usd {
            begun if begun > 0.0 => format!(", ${begun:.6} of tries that were begun"),
            _ => String::new(),
        };
        let message = format!(
            "the job has spent ${spent:.6} of the ${most} that it may cost, and a task needs a further try: with what the \
             dearest has cost so far, ${next:.6}{begun}, that could be more"
        );
        passed(message, "usd")
    }
}

fn passed(message: String, which: &str) -> Error {
    let hint = format!("allow more (`--max-{which}`; `with_max_{which}`), or give it less to do");
    Error::new(Code::CeilingPassed, message).with_hint(hint)
}
