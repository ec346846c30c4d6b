//! Tries: claimed before they are sent, started by one execution, kept alive by it, and failed by it or on its behalf.

use super::Ledger;
use super::item::{Item, binary, flag, number, read_binary, read_flag, read_number, read_text, read_time, text, time};
use super::keys::{self, Key, SPLIT_TRIES, TRIES};
use super::request::Updated;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kinglet_core::ids::{JobId, Piece, Stage, TaskIdx, Timestamp, TryKey};
use kinglet_core::ledger::{Failure, JobView, SILENCE_MS, SPLIT_SILENCE_MS, TaskView, TryView};
use kinglet_core::wire::frame;
use kinglet_core::wire::record::Usage;
use kinglet_core::{Error, Result};

/// How many groups of a large job are queried at once.
const QUERIES_AT_ONCE: usize = 16;

/// One execution of a try: what runs it, and for which event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// A random number that tells two executions of one try apart, as when Lambda delivers an event twice.
    pub nonce: u32,
    /// Lambda's id of the invocation, the same for all deliveries of an event.
    pub request_id: String,
    /// The function's memory in MB.
    pub memory_mb: u32,
    /// Whether the function is the larger mapper.
    pub larger: bool,
    /// For a batch of calls, the most calls that this execution makes.
    pub calls_max: Option<u32>,
}

/// The result of starting a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// This execution does the work, and is the first to.
    First,
    /// This execution does the work again: another has fallen silent, or did it long ago.
    Again,
    /// Another execution does the work, or has failed at it.
    Elsewhere,
}

/// Who reports that a try has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says<'a> {
    /// Its own execution.
    Run(u32),
    /// Lambda, for the invocation with this id.
    Lambda(&'a str),
}

/// A try of a task, read from its group's items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupTry {
    /// The task.
    pub task: TaskIdx,
    /// The piece of it.
    pub piece: Piece,
    /// What became of the try.
    pub view: TryView,
}

impl GroupTry {
    /// Returns how long the try ran, and on how many MB, as far as the ledger knows: until it failed or was over, and without a word
    /// of that until the job's end, its function's timeout, or as long after its last sign of life as it counts as living. `None` of
    /// one that nobody has started.
    pub fn usage(&self, job: &JobView) -> Option<Usage> {
        let TryView { started_at: Some(started_at), alive_at, memory_mb, .. } = &self.view else { return None };
        let silent_at = Timestamp(alive_at.unwrap_or(*started_at).0.saturating_add(SILENCE_MS));
        let until = self.view.ended_at().unwrap_or(job.phase_at.ended.map_or(silent_at, |ended| ended.min(silent_at)));
        let ran_ms = until.since_ms(*started_at).min(job.timeout_ms);
        Some(Usage { started_at: *started_at, ran_ms, memory_mb: memory_mb.unwrap_or(0), ..Usage::default() })
    }
}

impl Ledger {
    /// Claims the next sending of a try that was claimed `sends` times before, so that of several deciders only one invokes
    /// it. Returns whether this call did.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn claim(&self, job: &JobId, key: TryKey, sends: u16) -> Result<bool> {
        let claiming = self
            .update(format!("claiming try {} of {key}", key.number), Key::of_try(job, key))
            .set("sends", number(sends + 1))
            .set("sent_at", time(self.clock.now()))
            .set("accepted", flag(false))
            .ttl()
            .when("attribute_not_exists(started_at) AND attribute_not_exists(failed_at)");
        match sends {
            0 => claiming.when("attribute_not_exists(sends)"),
            _ => claiming.when("sends = :before").value("before", number(sends)),
        }
        .signed()
        .await
    }

    /// Records that Lambda has accepted a claimed try.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn accepted(&self, job: &JobId, key: TryKey) -> Result<()> {
        let doing = format!("recording that try {} of {key} was sent", key.number);
        let accepting = self.update(doing, Key::of_try(job, key)).set("accepted", flag(true));
        // If the job was cleaned up meanwhile, this must not create an item.
        accepting.when("attribute_exists(sends)").done().await.map(drop)
    }

    /// Records that an execution begins a try, unless another has begun it and is alive.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn start(&self, job: &JobId, key: TryKey, run: &Run) -> Result<Started> {
        let silence_ms = if key.stage == Stage::Split { SPLIT_SILENCE_MS } else { SILENCE_MS };
        let doing = format!("starting try {} of {key}", key.number);
        let (now, place) = (self.clock.now(), Key::of_try(job, key));
        let starting = self
            .update(doing.clone(), place.clone())
            .set("started_at", time(now))
            .set("run", number(run.nonce))
            .set("request_id", text(&run.request_id))
            .set("memory_mb", number(run.memory_mb))
            .set("larger", flag(run.larger))
            .set("calls_max", run.calls_max.map_or(AttributeValue::Null(true), number))
            .ttl()
            .remove("alive_at")
            .remove("over_at")
            .when(
                "attribute_not_exists(failed_at) AND (attribute_not_exists(started_at) OR alive_at < :silent OR \
                 (attribute_not_exists(alive_at) AND started_at < :silent))",
            )
            .value("silent", number(now.0.saturating_sub(silence_ms)))
            .returning(ReturnValue::AllOld);
        match starting.write().await? {
            Updated::Done(before) => {
                let was_started = before.is_some_and(|item| item.contains_key("started_at"));
                Ok(if was_started { Started::Again } else { Started::First })
            }
            Updated::Unmet { .. } => {
                let item = self.item(doing, place).await?;
                // This very write may have been done and its reply lost. Whether another execution had started before is then
                // unknown, so the answer is `Again`.
                let mine = item.is_some_and(|item| read_number(&item, "run") == Some(run.nonce.into()));
                Ok(if mine { Started::Again } else { Started::Elsewhere })
            }
            Updated::TooLarge(error) => Err(error),
        }
    }

    /// Gives a sign of life for an execution.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn beat(&self, job: &JobId, key: TryKey, nonce: u32) -> Result<()> {
        let beating = self
            .update(format!("giving a sign of life of {key}"), Key::of_try(job, key))
            .set("alive_at", time(self.clock.now()))
            .when("#run = :run")
            .value("run", number(nonce));
        beating.done().await.map(drop)
    }

    /// Records that a try failed, if the report is of the execution that runs it, and not of another delivery.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn fail(&self, job: &JobId, key: TryKey, says: Says<'_>, error: &Error) -> Result<()> {
        let failing = self
            .update(format!("recording the failure of {key}"), Key::of_try(job, key))
            .set("failed_at", time(self.clock.now()))
            .set("error", binary(frame::write(&error.clone().shortened())?))
            .ttl()
            .when("attribute_not_exists(failed_at)");
        match says {
            Says::Run(nonce) => {
                failing.when("attribute_not_exists(started_at) OR #run = :run").value("run", number(nonce))
            }
            Says::Lambda(request_id) => failing
                .when("attribute_not_exists(started_at) OR request_id = :request")
                .value("request", text(request_id)),
        }
        .done()
        .await
        .map(drop)
    }

    /// Records that an execution of a try has ended without a result, though it did not fail: for bills alone, as no decision depends
    /// on it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn over(&self, job: &JobId, key: TryKey, nonce: u32) -> Result<()> {
        let ending = self
            .update(format!("recording that try {} of {key} is over", key.number), Key::of_try(job, key))
            .set("over_at", time(self.clock.now()))
            .when("#run = :run")
            .value("run", number(nonce));
        ending.done().await.map(drop)
    }

    /// Reads the one task of splitting, with its tries, as [`kinglet_core::ledger::advance`] sees it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn splitting(&self, job: &JobId, since: Timestamp) -> Result<TaskView> {
        let mut tries = Vec::new();
        for item in self.query(&keys::job_pk(job), SPLIT_TRIES).await? {
            let number = read_text(&item, "sk").and_then(|sk| sk.strip_prefix(SPLIT_TRIES)?.parse().ok());
            tries.extend(number.map(|number| view(&item, number)).transpose()?);
        }
        Ok(TaskView { since, tries, ..TaskView::default() })
    }

    /// Reads all tries of a stage of so many tasks, in the order of the tasks: a query for each 32 of them.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn tries_of(&self, job: &JobId, stage: Stage, tasks: u32) -> Result<Vec<GroupTry>> {
        let groups = (0..keys::group_count(tasks)).map(|group| self.tries(job, stage, group));
        let found: Vec<_> = stream::iter(groups).buffered(QUERIES_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Reads the tries of all tasks of a group.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(super) async fn tries(&self, job: &JobId, stage: Stage, group: u32) -> Result<Vec<GroupTry>> {
        let items = self.query(&keys::group_pk(job, stage, group), TRIES).await?;
        items.iter().filter_map(|item| read_try(item).transpose()).collect()
    }
}

/// Parses a try from its key and attributes. Returns `None` if the key is not a try's.
fn read_try(item: &Item) -> Result<Option<GroupTry>> {
    let mut parts = read_text(item, "sk").unwrap_or_default().split('#').skip(1);
    let mut part = || parts.next();
    let (Some(task), Some(piece), Some(number)) = (part(), part(), part()) else { return Ok(None) };
    let (Ok(task), Ok(piece), Ok(number)) = (task.parse(), piece.parse(), number.parse()) else { return Ok(None) };
    Ok(Some(GroupTry { task: TaskIdx(task), piece: Piece(piece), view: view(item, number)? }))
}

fn view(item: &Item, number: u16) -> Result<TryView> {
    let failed = match (read_binary(item, "error"), read_time(item, "failed_at")) {
        (Some(bytes), Some(at)) => Some(Failure { error: frame::read(bytes, "the error of a try")?, at }),
        _ => None,
    };
    Ok(TryView {
        number,
        sends: read_number(item, "sends").and_then(|sends| u16::try_from(sends).ok()).unwrap_or(0),
        sent_at: read_time(item, "sent_at"),
        accepted: read_flag(item, "accepted"),
        started_at: read_time(item, "started_at"),
        alive_at: read_time(item, "alive_at"),
        memory_mb: read_number(item, "memory_mb").and_then(|mb| u32::try_from(mb).ok()),
        calls_max: read_number(item, "calls_max").and_then(|calls| u32::try_from(calls).ok()),
        larger: read_flag(item, "larger"),
        failed,
        over_at: read_time(item, "over_at"),
    })
}
