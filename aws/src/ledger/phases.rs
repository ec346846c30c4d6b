//! How a job moves from phase to phase, and who has the turn within one.
//!
//! The process that moves a job into a phase has the first turn in it, and keeps it by signs of life. When these end, another
//! process takes the next turn. Each of these writes is conditional: of all processes that try, exactly one succeeds.

use super::Ledger;
use super::item::{binary, flag, number, read_text, text, time};
use super::keys::Key;
use super::request::{Update, Write};
use aws_sdk_dynamodb::types::AttributeValue;
use kinglet_core::grid::GridSizes;
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::ledger::{CallsView, InputSize, JobView, Phase};
use kinglet_core::wire::frame;
use kinglet_core::wire::index::IndexAt;
use kinglet_core::wire::record::Usage;
use kinglet_core::wire::reread::Rereads;
use kinglet_core::{Error, Result};

/// A plan as the ledger records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned<'a> {
    /// The id of the plan. Several splitters may each have written one.
    pub id: &'a str,
    /// The number of map tasks.
    pub map_tasks: u32,
    /// The number of reduce tasks.
    pub partitions: u32,
    /// How its runs are merged before they are reduced, if they are.
    pub merging: Option<GridSizes>,
    /// The size of the input.
    pub input: InputSize,
    /// The calls, where tasks are batches of them.
    pub calls: Option<CallsView>,
    /// What a function spent on planning.
    pub usage: Option<Usage>,
}

/// How a job goes on to reducing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reduced {
    /// By which index reducers find their runs; without one, they read the ledger.
    pub index: Option<IndexAt>,
    /// What a function spent on it outside of its own task.
    pub usage: Option<Usage>,
    /// What a job with a ceiling has spent.
    pub spent: Option<Usage>,
}

/// A move of a job into a phase. It may set more than what every such move sets.
#[must_use = "a move is made by `done`"]
struct Move<'a> {
    ledger: &'a Ledger,
    doing: String,
    job: &'a JobId,
    to: Phase,
    now: Timestamp,
    update: Update<'a>,
}

impl Move<'_> {
    fn set(self, name: &str, value: AttributeValue) -> Self {
        Move { update: self.update.set(name, value), ..self }
    }

    /// Records what a function spent outside of its own task.
    fn spent(self, name: &str, usage: Option<&Usage>) -> Result<Self> {
        let usage = usage.map(frame::write).transpose()?.map(binary);
        Ok(Move { update: self.update.set_some(name, usage), ..self })
    }

    /// Moves the job. Returns whether this call did it.
    async fn done(self) -> Result<bool> {
        let Move { ledger, doing, job, to, now, update } = self;
        if !to.is_final() {
            return update.signed().await;
        }
        let entry = ledger.update(doing.clone(), Key::entry(job)).set("phase", text(to.as_str())).set("at3", time(now));
        ledger.transact(doing, Write::Update(Box::new(update)), [Write::Update(Box::new(entry))]).await
    }
}

impl Ledger {
    /// Records the plan and goes on to mapping. Returns whether this call did it; another splitter may have been first.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn plan(&self, job: &JobId, planned: &Planned<'_>) -> Result<bool> {
        let planning = self
            .moving(job, &[Phase::Splitting], Phase::Mapping)
            .set("plan", text(planned.id))
            .set("map_tasks", number(planned.map_tasks))
            .set("partitions", number(planned.partitions))
            .set("objects", number(planned.input.objects))
            .set("bytes", number(planned.input.bytes))
            .set("skipped", number(planned.input.skipped))
            .spent("usage1", planned.usage.as_ref())?;
        let planning = match planned.calls {
            Some(calls) => planning.set("calls", number(calls.count)).set("calls_per_task", number(calls.per_task)),
            None => planning,
        };
        let planning = match planned.merging {
            Some(GridSizes { group_tasks, band_partitions }) => {
                planning.set("group_tasks", number(group_tasks)).set("band_partitions", number(band_partitions))
            }
            None => planning,
        };
        planning.done().await
    }

    /// Adds tasks to a job that is mapping, which read splits again, and takes the turn in which they are sent: `rereads` has these and
    /// those that were added before. Returns whether this call did it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn reread(&self, job: &JobId, view: &JobView, map_tasks: u32, rereads: &Rereads) -> Result<bool> {
        let next = view.turn + 1;
        self.of_turn(format!("adding tasks to job {job} that read splits again"), job, Phase::Mapping, view.turn)
            .set("turn", number(next))
            .set("map_tasks", number(map_tasks))
            .set("rereads", binary(frame::write(rereads)?))
            .set("sent", number(view.map_tasks))
            .when("map_tasks = :seen AND attribute_not_exists(index_tries)")
            .value("seen", number(view.map_tasks))
            .signed()
            .await
    }

    /// Moves a job from mapping to merging. Records what a function spent on that outside of its own task, and, for a job with a ceiling,
    /// what the job has spent. Returns whether this call did it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn merge(&self, job: &JobId, usage: Option<&Usage>, spent: Option<&Usage>) -> Result<bool> {
        let to = Phase::Merging;
        self.moving(job, &[Phase::Mapping], to).spent(usage_beside(to), usage)?.spent("spent", spent)?.done().await
    }

    /// Moves a job to reducing from the phase before, which is mapping or merging. Records what a function spent on that outside of its own task, and, for a job with
    /// a ceiling, what the job has spent; and by which index reducers find their runs, if there is one. Returns whether this
    /// call did it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn reduce(&self, job: &JobId, from: Phase, reduced: &Reduced) -> Result<bool> {
        let (to, Reduced { index, usage, spent }) = (Phase::Reducing, reduced);
        let moving = self.moving(job, &[from], to).spent(usage_beside(to), usage.as_ref())?;
        let moving = match index {
            Some(IndexAt { number: n, table }) => {
                moving.set("index", number(n)).set("index_from", number(table.from)).set("index_to", number(table.to))
            }
            None => moving,
        };
        moving.spent("spent", spent.as_ref())?.done().await
    }

    /// Takes the turn in which the index of a job's runs is written, as the first to do so. Returns whether this call did it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn begin_index(&self, job: &JobId, view: &JobView) -> Result<bool> {
        let next = view.turn + 1;
        self.of_turn(format!("taking turn {next} of job {job}"), job, Phase::Mapping, view.turn)
            .set("turn", number(next))
            .set("index_tries", number(1))
            .when("attribute_not_exists(#index_tries)")
            .signed()
            .await
    }

    /// Moves a job that writes no output from its last stage to success. Records what a function spent on that outside of its
    /// own task. Returns whether this call did it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn succeed(&self, job: &JobId, from: Phase, usage: Option<&Usage>) -> Result<bool> {
        let to = Phase::Succeeded;
        self.moving(job, &[from], to).spent(usage_beside(to), usage)?.done().await
    }

    /// Moves a job from reducing to publishing, with the upload that will become the manifest. Returns whether this call did
    /// it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn publish(&self, job: &JobId, manifest_upload: &str, usage: Option<&Usage>) -> Result<bool> {
        let to = Phase::Publishing;
        let publishing = self.moving(job, &[Phase::Reducing], to).spent(usage_beside(to), usage)?;
        publishing.set("manifest_upload", text(manifest_upload)).done().await
    }

    /// Replaces the manifest's upload, which is gone, by another. Returns whether this call did it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn replace_manifest_upload(&self, job: &JobId, gone: &str, upload: &str) -> Result<bool> {
        self.update(format!("replacing the manifest's upload of job {job}"), Key::job(job))
            .set("manifest_upload", text(upload))
            .when("phase = :publishing AND manifest_upload = :gone")
            .value("publishing", text(Phase::Publishing.as_str()))
            .value("gone", text(gone))
            .done_or(|item| read_text(item, "manifest_upload") == Some(upload))
            .await
    }

    /// Notes that a job's result is visible, so that its claim to the output may be removed.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn published(&self, job: &JobId) -> Result<()> {
        let noting = self
            .update(format!("noting that job {job} is published"), Key::job(job))
            .set("published", flag(true))
            .when("phase = :publishing")
            .value("publishing", text(Phase::Publishing.as_str()));
        noting.done().await.map(drop)
    }

    /// Ends the job without success if it is in one of the phases `from`. A job that writes an output is first undone; any
    /// other has failed or is cancelled at once. Returns whether this call did it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn end(&self, job: &JobId, view: &JobView, from: &[Phase], ending: Phase, error: &Error) -> Result<bool> {
        self.ending(job, view, from, ending, error)?.done().await
    }

    /// Ends a job that cannot be published. The caller has aborted `upload`, the manifest's upload.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn end_publishing(
        &self,
        job: &JobId,
        view: &JobView,
        upload: Option<&str>,
        error: &Error,
    ) -> Result<bool> {
        let ending = self.ending(job, view, &[Phase::Publishing], Phase::Failed, error)?;
        let update = ending
            .update
            .when("manifest_upload = :aborted AND attribute_not_exists(published)")
            .value("aborted", text(upload.unwrap_or_default()));
        Move { update, ..ending }.done().await
    }

    fn ending<'a>(
        &'a self,
        job: &'a JobId,
        view: &JobView,
        from: &[Phase],
        ending: Phase,
        error: &Error,
    ) -> Result<Move<'a>> {
        let error = binary(frame::write(&error.clone().shortened())?);
        Ok(match view.writes_output {
            true => self.moving(job, from, Phase::Undoing).set("ending", text(ending.as_str())),
            false => self.moving(job, from, ending),
        }
        .set("error", error))
    }

    /// Ends a job whose output is published or undone. Returns whether this call did it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn settle(&self, job: &JobId, from: Phase, to: Phase, usage: Option<&Usage>) -> Result<bool> {
        self.moving(job, &[from], to).spent("usage4", usage)?.done().await
    }

    /// Begins the move of a job from one of these phases into another.
    fn moving<'a>(&'a self, job: &'a JobId, from: &[Phase], to: Phase) -> Move<'a> {
        let were: Vec<_> = from.iter().map(|phase| phase.as_str()).collect();
        let doing = format!("moving job {job} from {} to {}", were.join(" or "), to.as_str());
        let now = self.clock.now();
        let at = match to {
            Phase::Splitting => Some("at0"),
            Phase::Mapping => Some("at1"),
            Phase::Merging => Some("at_merging"),
            Phase::Reducing => Some("at2"),
            Phase::Publishing | Phase::Undoing => None,
            Phase::Succeeded | Phase::Failed | Phase::Cancelled => Some("at3"),
        };
        let is_there: Vec<_> = (0..from.len()).map(|n| format!("phase = :from{n}")).collect();
        let mut update = self
            .update(doing.clone(), Key::job(job))
            .set("phase", text(to.as_str()))
            .set("turn", number(1))
            .set("turn_at", time(now))
            .set("sent", number(0))
            .when(is_there.join(" OR "));
        for (n, phase) in from.iter().enumerate() {
            update = update.value(&format!("from{n}"), text(phase.as_str()));
        }
        if let Some(at) = at {
            update = update.set(at, time(now));
        }
        Move { ledger: self, doing, job, to, now, update }
    }

    /// Takes the turn from a holder that has fallen silent. Returns whether this call did it.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn take_turn(&self, job: &JobId, view: &JobView) -> Result<bool> {
        let next = view.turn + 1;
        let indexing = view.phase == Phase::Mapping && view.index.tries > 0;
        self.of_turn(format!("taking turn {next} of job {job}"), job, view.phase, view.turn)
            .set("turn", number(next))
            .set_some("index_tries", indexing.then(|| number(view.index.tries + 1)))
            // The holder may have given a sign of life since.
            .when("turn_at = :seen")
            .value("seen", time(view.turn_at))
            .signed()
            .await
    }

    /// Gives a sign of life for a turn, and records how many tasks were sent in it. Returns whether the caller still has the
    /// turn.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn keep_turn(&self, job: &JobId, phase: Phase, turn: u64, sent: u32) -> Result<bool> {
        // This write is idempotent.
        let keeping = self.of_turn(format!("keeping turn {turn} of job {job}"), job, phase, turn);
        keeping.set("sent", number(sent)).done().await
    }

    /// Begins a sign of life of the process that has this turn, or is about to take it.
    fn of_turn(&self, doing: String, job: &JobId, phase: Phase, turn: u64) -> Update<'_> {
        self.update(doing, Key::job(job))
            .set("turn_at", time(self.clock.now()))
            .when("phase = :in_phase AND turn = :of_turn")
            .value("in_phase", text(phase.as_str()))
            .value("of_turn", number(turn))
    }
}

/// Returns the attribute for what a function spent on moving a job into a phase.
fn usage_beside(to: Phase) -> &'static str {
    match to {
        Phase::Merging => "usage_merge",
        Phase::Reducing => "usage2",
        _ => "usage3",
    }
}
