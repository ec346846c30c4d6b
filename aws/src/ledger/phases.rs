//! A job on its way from phase to phase, and whose turn it is within one.
//!
//! Whoever moves a job into a phase has the first turn in it, and keeps it by signs of life. When these end, another takes the
//! next turn. Each of these writes is conditional, and is done by one hand of all that try.

use super::Ledger;
use super::item::{binary, flag, number, read_text, text, time};
use super::keys::Key;
use super::request::{Update, Write};
use aws_sdk_dynamodb::types::AttributeValue;
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::ledger::{CallsView, InputSize, JobView, Phase};
use kinglet_core::wire::frame;
use kinglet_core::wire::record::Usage;
use kinglet_core::{Error, Result};

/// A plan as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned<'a> {
    /// Which of those that splitters may have written.
    pub id: &'a str,
    /// How many map tasks.
    pub map_tasks: u32,
    /// How many reduce tasks.
    pub partitions: u32,
    /// How large the input is.
    pub input: InputSize,
    /// The calls, where tasks are batches of them.
    pub calls: Option<CallsView>,
    /// What a function spent on it.
    pub usage: Option<Usage>,
}

/// A job that is moved into a phase. Besides what every such move sets, it may set more.
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

    /// Keeps what a function spent beside its own task.
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
        ledger.transact(doing, Write::Update(Box::new(update)), Write::Update(Box::new(entry))).await
    }
}

impl Ledger {
    /// Records the plan and goes on to mapping. Returns whether this call did it; another splitter may have been first.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn plan(&self, job: &JobId, planned: &Planned<'_>) -> Result<bool> {
        let planning = self
            .moving(job, &[Phase::Splitting], Phase::Mapping)
            .set("plan", text(planned.id))
            .set("map_tasks", number(planned.map_tasks))
            .set("partitions", number(planned.partitions))
            .set("objects", number(planned.input.objects))
            .set("bytes", number(planned.input.bytes))
            .spent("usage1", planned.usage.as_ref())?;
        let planning = match planned.calls {
            Some(calls) => planning.set("calls", number(calls.count)).set("calls_per_task", number(calls.per_task)),
            None => planning,
        };
        planning.done().await
    }

    /// Goes from mapping to reducing, or with a job that writes no output from its last stage to success, and keeps what a
    /// function spent on that beside its own task. Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn proceed(&self, job: &JobId, from: Phase, to: Phase, usage: Option<&Usage>) -> Result<bool> {
        self.moving(job, &[from], to).spent(usage_beside(to), usage)?.done().await
    }

    /// Goes from reducing to publishing, with the upload that will become the manifest. Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn publish(&self, job: &JobId, manifest_upload: &str, usage: Option<&Usage>) -> Result<bool> {
        let to = Phase::Publishing;
        let publishing = self.moving(job, &[Phase::Reducing], to).spent(usage_beside(to), usage)?;
        publishing.set("manifest_upload", text(manifest_upload)).done().await
    }

    /// Puts another upload for the manifest in place of one that is gone. Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn replace_manifest_upload(&self, job: &JobId, gone: &str, upload: &str) -> Result<bool> {
        self.update(format!("replacing the manifest's upload of job {job}"), Key::job(job))
            .set("manifest_upload", text(upload))
            .when("phase = :publishing AND manifest_upload = :gone")
            .value("publishing", text(Phase::Publishing.as_str()))
            .value("gone", text(gone))
            .done_or(|item| read_text(item, "manifest_upload") == Some(upload))
            .await
    }

    /// Notes that a job's result is there, so that its claim to the output may go.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub(crate) async fn published(&self, job: &JobId) -> Result<()> {
        let noting = self
            .update(format!("noting that job {job} is published"), Key::job(job))
            .set("published", flag(true))
            .when("phase = :publishing")
            .value("publishing", text(Phase::Publishing.as_str()));
        noting.done().await.map(drop)
    }

    /// Gives the job up while it is in one of these phases: it then has failed or was cancelled, or, if it writes an output, will
    /// have once that is undone. Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn end(&self, job: &JobId, view: &JobView, from: &[Phase], ending: Phase, error: &Error) -> Result<bool> {
        self.ending(job, view, from, ending, error)?.done().await
    }

    /// Gives a job up that cannot be published, of which this is the upload of the manifest, which was aborted.
    ///
    /// # Errors
    /// What DynamoDB reports.
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

    /// Ends a job whose output is in order: published, or undone. Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn settle(&self, job: &JobId, from: Phase, to: Phase, usage: Option<&Usage>) -> Result<bool> {
        self.moving(job, &[from], to).spent("usage4", usage)?.done().await
    }

    /// Begins the move of a job from one of some phases into another.
    fn moving<'a>(&'a self, job: &'a JobId, from: &[Phase], to: Phase) -> Move<'a> {
        let were: Vec<_> = from.iter().map(|phase| phase.as_str()).collect();
        let doing = format!("moving job {job} from {} to {}", were.join(" or "), to.as_str());
        let now = self.clock.now();
        let at = match to {
            Phase::Splitting => Some("at0"),
            Phase::Mapping => Some("at1"),
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

    /// Takes the turn from one that has fallen silent. Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn take_turn(&self, job: &JobId, view: &JobView) -> Result<bool> {
        let next = view.turn + 1;
        self.of_turn(format!("taking turn {next} of job {job}"), job, view.phase, view.turn)
            .set("turn", number(next))
            // Whoever has it may have given a sign since.
            .when("turn_at = :seen")
            .value("seen", time(view.turn_at))
            .signed()
            .await
    }

    /// Gives a sign of life for a turn, and says how many tasks were sent in it. Returns whether the turn is still this one's.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn keep_turn(&self, job: &JobId, phase: Phase, turn: u64, sent: u32) -> Result<bool> {
        // Done twice, it is as done once.
        let keeping = self.of_turn(format!("keeping turn {turn} of job {job}"), job, phase, turn);
        keeping.set("sent", number(sent)).done().await
    }

    /// Begins a sign of life of whoever has this turn, or is about to take it.
    fn of_turn(&self, doing: String, job: &JobId, phase: Phase, turn: u64) -> Update<'_> {
        self.update(doing, Key::job(job))
            .set("turn_at", time(self.clock.now()))
            .when("phase = :in_phase AND turn = :of_turn")
            .value("in_phase", text(phase.as_str()))
            .value("of_turn", number(turn))
    }
}

/// The attribute for what a function spent on bringing a job into a phase.
fn usage_beside(to: Phase) -> &'static str {
    if to == Phase::Reducing { "usage2" } else { "usage3" }
}
