//! The ledger: one DynamoDB table that holds the truth of every job. Keys are strings, `pk` and `sk`:
//!
//! | pk | sk | holds |
//! |---|---|---|
//! | `job#<job>` | `job` | phase, times, plan, the shipped program, error; whose turn it is, `turn`, and how far that is, `sent`; `usage1`…`usage4`: what was spent beside tasks |
//! | `job#<job>` | `split#<number>` | a try of splitting, as those below |
//! | `job#<job>` | `root#<stage>` | `groups`: the set of groups that are complete |
//! | `job#<job>#<stage>#<group>` | `group` | one attribute a committed piece, `t<task>.<piece>`: its record |
//! | `job#<job>#<stage>#<group>` | `try#<task>#<piece>#<number>` | how often and when it was sent, when it started, by which execution (`run`) and on which function, when it last gave a sign of life, when it failed and why |
//! | `job#<job>#index#<group>` | `<task>#<piece>#<attempt>` | where the runs lie in the attempt's S3 object |
//! | `job#<job>#runs#<partition>` | `<task>#<piece>#<attempt>#<n>` | item `n` of an inline run, or, by group, of the results of a batch of calls |
//! | `job#<job>#result` | `<attempt>#<n>` | item `n` of what a reduce function returned |
//! | `job#<job>#progress` | `<task>` | how far calls are that have said so |
//! | `jobs` | `<job>` | the job's name, phase, start and end, for lists |
//!
//! **Commit.** One conditional `UpdateItem` adds `t<task>.<piece>` to the group item where it is not there; the reply carries
//! the whole group, so the committer sees whether the group is complete. A complete group is added to the root's set the
//! same way, and the reply says whether the stage is. There is no counter that could count twice.
//!
//! **Whose hand was it?** The reply to a conditional write may be lost; the SDK then sends it again, and the condition does not
//! hold any more, by this very hand. So each such write leaves a random token, `by` or `run`, and one that is refused reads the
//! item and looks whose token is there.
//!
//! **What time is it?** All times here are the services' ([`crate::Clock`]), whoever wrote them.
//!
//! A job's own item and its entry in `jobs` are written together, in one transaction, when it is made and when it ends.
//!
//! Every item has `ttl`, in seconds since 1970. DynamoDB deletes late, so nothing relies on an item being gone.

mod runs;

pub(crate) use runs::{INLINE_ITEM_BYTES, item_sk, run_key};
pub use runs::{InlineRun, ObjectRuns};

use crate::clock::Clock;
use crate::errors::{Doing, code};
use crate::meter::Meter;
use crate::replies::{Pause, Refusal, of_write};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConsumedCapacity, KeysAndAttributes, Put, ReturnConsumedCapacity, ReturnValue, TransactWriteItem,
    Update,
};
use kinglet_core::ids::{AttemptId, JobId, Piece, Stage, TaskIdx, Timestamp, TryKey};
use kinglet_core::ledger::{CallsView, Failure, JobView, Phase, SILENCE_MS, SPLIT_SILENCE_MS, TaskView, TryView};
use kinglet_core::limits::{BATCH_GET_KEYS_MAX, JOB_KEPT_S, JOB_MS_MAX, TASKS_PER_GROUP};
use kinglet_core::wire::frame::{self, Framed};
use kinglet_core::wire::record::{MapRecord, Position, ReduceRecord, Usage};
use kinglet_core::wire::spec::JobSpec;
use kinglet_core::{Error, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// The table.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) table: String,
    pub(crate) meter: Arc<Meter>,
    pub(crate) clock: Clock,
}

/// A committed record of either stage.
pub trait Record: Framed + Clone {
    /// Which stage's.
    const STAGE: Stage;
    /// The attempt.
    fn attempt(&self) -> AttemptId;
    /// Its time.
    fn usage(&self) -> &Usage;
    /// What is left for the next piece.
    fn remainder(&self) -> Option<Position>;
    /// How many records it read.
    fn records(&self) -> u64;
}

impl Record for MapRecord {
    const STAGE: Stage = Stage::Map;
    fn attempt(&self) -> AttemptId {
        self.attempt
    }
    fn usage(&self) -> &Usage {
        &self.usage
    }
    fn remainder(&self) -> Option<Position> {
        self.remainder
    }
    fn records(&self) -> u64 {
        self.records
    }
}

impl Record for ReduceRecord {
    const STAGE: Stage = Stage::Reduce;
    fn attempt(&self) -> AttemptId {
        self.attempt
    }
    fn usage(&self) -> &Usage {
        &self.usage
    }
    fn remainder(&self) -> Option<Position> {
        None
    }
    fn records(&self) -> u64 {
        0
    }
}

/// A job as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEntry {
    /// Its id.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub phase: Phase,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
}

/// The committed pieces of each task of a stage, in order.
pub type Committed<R> = Vec<Vec<R>>;

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// This attempt's output counts.
    Won {
        /// Whether every task of the stage is committed now.
        stage_complete: bool,
    },
    /// Another attempt was first; this one's output is never read.
    Lost(AttemptId),
}

/// The execution of a try: what runs it, and for which event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Random: tells two executions of one try apart, as when Lambda delivers an event twice.
    pub nonce: u32,
    /// Lambda's id of the invocation, the same for all deliveries of an event.
    pub request_id: String,
    /// The memory of the function in MB.
    pub memory_mb: u32,
    /// Whether it is the larger mapper.
    pub larger: bool,
    /// How many calls it makes at most, of a batch of them.
    pub calls_max: Option<u32>,
}

/// What became of starting a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// This execution does the work, and is the first.
    First,
    /// This execution does the work, as another has fallen silent, or has done it long ago.
    Again,
    /// Another does, or has failed at it.
    Elsewhere,
}

/// Who says that a try has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says<'a> {
    /// Its own execution.
    Run(u32),
    /// Lambda, of the invocation with this id.
    Lambda(&'a str),
}

/// A plan as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned<'a> {
    /// Which of those that splitters may have written.
    pub id: &'a str,
    /// How many map tasks.
    pub map_tasks: u32,
    /// How many reduce tasks.
    pub partitions: u32,
    /// Objects and bytes of the input.
    pub input: (u64, u64),
    /// The calls, where tasks are batches of them.
    pub calls: Option<CallsView>,
    /// What a function spent on it.
    pub usage: Option<Usage>,
}

/// A token by which a conditional write knows its own hand.
fn hand() -> AttributeValue {
    text(format!("{:08x}{:08x}", crate::worker::nonce(), crate::worker::nonce()))
}

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn binary(value: Vec<u8>) -> AttributeValue {
    AttributeValue::B(value.into())
}

pub(crate) fn read_text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

fn read_number(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn read_time(item: &Item, name: &str) -> Option<Timestamp> {
    read_number(item, name).map(Timestamp)
}

pub(crate) fn job_pk(job: &JobId) -> String {
    format!("job#{job}")
}

fn group_pk(job: &JobId, stage: Stage, group: u32) -> String {
    format!("job#{job}#{stage}#{group:05}")
}

/// The keys of a try.
fn try_key(job: &JobId, key: TryKey) -> (String, String) {
    let TryKey { stage, task, piece, number } = key;
    match stage {
        Stage::Split => (job_pk(job), format!("split#{number:05}")),
        _ => (group_pk(job, stage, group_of(task)), format!("try#{:06}#{:05}#{number:05}", task.0, piece.0)),
    }
}

fn done_name(task: TaskIdx, piece: Piece) -> String {
    format!("t{}.{}", task.0, piece.0)
}

fn group_of(task: TaskIdx) -> u32 {
    task.0 / TASKS_PER_GROUP
}

fn group_count(tasks: u32) -> u32 {
    tasks.div_ceil(TASKS_PER_GROUP)
}

fn tasks_of(group: u32, tasks: u32) -> std::ops::Range<u32> {
    group * TASKS_PER_GROUP..((group + 1) * TASKS_PER_GROUP).min(tasks)
}

/// The committed pieces of one task in its group's item, in order.
fn pieces<R: Record>(item: Option<&Item>, task: u32) -> Result<Vec<R>> {
    let mut found = Vec::new();
    loop {
        let name = done_name(TaskIdx(task), Piece(found.len() as u16));
        let Some(AttributeValue::B(bytes)) = item.and_then(|item| item.get(&name)) else {
            return Ok(found);
        };
        let record: R = frame::read(bytes.as_ref(), &format!("the record of {} task {name}", R::STAGE))?;
        let more = record.remainder().is_some();
        found.push(record);
        if !more {
            return Ok(found);
        }
    }
}

fn is_done<R: Record>(pieces: &[R]) -> bool {
    pieces.last().is_some_and(|last| last.remainder().is_none())
}

impl Ledger {
    /// A table through this client.
    pub fn new(dynamodb: aws_sdk_dynamodb::Client, table: &str, meter: Arc<Meter>, clock: Clock) -> Self {
        Ledger { dynamodb, table: table.to_owned(), meter, clock }
    }

    pub(crate) fn ttl(&self) -> AttributeValue {
        number(self.clock.now().0 / 1000 + JOB_KEPT_S)
    }

    /// An update of one item, for whatever is to be set.
    fn update(&self, (pk, sk): (String, String)) -> UpdateItemFluentBuilder {
        let request = self.dynamodb.update_item().table_name(&self.table).key("pk", text(pk)).key("sk", text(sk));
        request.return_consumed_capacity(ReturnConsumedCapacity::Total)
    }

    /// Sends a conditional update. Returns whether it was done: where it is refused, `is_mine` looks at the item whether it had
    /// been done before, and the reply was lost.
    async fn send_update(
        &self,
        doing: &Doing<String>,
        request: UpdateItemFluentBuilder,
        key: (String, String),
        is_mine: impl Fn(&Item) -> bool,
    ) -> Result<bool> {
        match request.send().await {
            Ok(done) => {
                self.meter.wrote(done.consumed_capacity.and_then(|c| c.capacity_units));
                Ok(true)
            }
            Err(e) if of_write(code(&e).as_deref()) == Refusal::Unmet => {
                Ok(self.item(doing, key).await?.is_some_and(|item| is_mine(&item)))
            }
            Err(e) => Err(doing.failed(&e)),
        }
    }

    /// Sends several writes that are done together or not at all. As [`Self::send_update`].
    async fn send_transaction(
        &self,
        doing: &Doing<String>,
        writes: Vec<TransactWriteItem>,
        key: (String, String),
        is_mine: impl Fn(&Item) -> bool,
    ) -> Result<bool> {
        let mut pause = Pause::default();
        loop {
            let request = self.dynamodb.transact_write_items().set_transact_items(Some(writes.clone()));
            let refused = match request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await {
                Ok(done) => {
                    let units = |all: Vec<ConsumedCapacity>| all.iter().filter_map(|c| c.capacity_units).sum();
                    self.meter.wrote(done.consumed_capacity.map(units));
                    return Ok(true);
                }
                Err(e) => e,
            };
            match code(&refused).as_deref() {
                // Not only for its conditions: another transaction may have had one of the items.
                Some("TransactionCanceledException") => {
                    let reasons: Vec<_> = match refused.as_service_error() {
                        Some(TransactWriteItemsError::TransactionCanceledException(e)) => {
                            e.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect()
                        }
                        _ => vec![],
                    };
                    if reasons.contains(&"ConditionalCheckFailed") || reasons.is_empty() {
                        return Ok(self.item(doing, key).await?.is_some_and(|item| is_mine(&item)));
                    }
                    pause.wait("a transaction of the ledger meets others").await?;
                }
                Some("TransactionInProgressException" | "TransactionConflictException") => {
                    pause.wait("a transaction of the ledger meets others").await?;
                }
                _ => return Err(doing.failed(&refused)),
            }
        }
    }

    /// One item, if it is there.
    async fn item(&self, doing: &Doing<String>, (pk, sk): (String, String)) -> Result<Option<Item>> {
        let request = self.dynamodb.get_item().table_name(&self.table).consistent_read(true);
        let request = request.key("pk", text(pk)).key("sk", text(sk));
        let got = request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
        let got = got.map_err(|e| doing.failed(&e))?;
        self.meter.read(got.consumed_capacity.and_then(|c| c.capacity_units));
        Ok(got.item)
    }

    /// Creates the table, where `template.yaml` does not: on the embedded runtime and on other servers of one's own. One that
    /// is there already, with the jobs of earlier drivers, is left as it is.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn create_table(&self) -> Result<()> {
        use aws_sdk_dynamodb::types::{
            AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
        };
        let doing = Doing::now(format!("creating table {}", self.table));
        let mut request = self.dynamodb.create_table().table_name(&self.table).billing_mode(BillingMode::PayPerRequest);
        for (name, key) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
            let element = KeySchemaElement::builder().attribute_name(name).key_type(key).build();
            let rejected = |e: aws_sdk_dynamodb::error::BuildError| Error::input("rejected", e.to_string());
            request = request.attribute_definitions(attribute.build().map_err(rejected)?);
            request = request.key_schema(element.map_err(rejected)?);
        }
        match request.send().await {
            Ok(_) => {}
            Err(e) if code(&e).as_deref() == Some("ResourceInUseException") => {}
            Err(e) => return Err(doing.failed(&e)),
        }
        // A server may take a while to make it, as AWS does; the embedded one does not.
        let mut pause = Pause::default();
        loop {
            let described = self.dynamodb.describe_table().table_name(&self.table).send().await;
            let table = described.map_err(|e| doing.failed(&e))?.table;
            if table.and_then(|table| table.table_status).is_none_or(|status| status == TableStatus::Active) {
                return Ok(());
            }
            pause.wait(&format!("table {} is not active yet", self.table)).await?;
        }
    }

    /// Writes a new job, which has this spec.
    ///
    /// # Errors
    /// [`Error::Input`] when the id is taken; what DynamoDB reports.
    pub async fn create_job(&self, job: &JobId, spec: &JobSpec, timeout_ms: u64) -> Result<()> {
        let doing = Doing::now(format!("creating job {job} in table {}", self.table));
        let (by, now) = (hand(), self.clock.now());
        let mut item: Item = HashMap::from([
            ("name".into(), text(&spec.job)),
            ("phase".into(), text(Phase::Splitting.as_str())),
            ("at0".into(), number(now.0)),
            ("ttl".into(), self.ttl()),
        ]);
        let put = |mut item: Item, pk: String, sk: String| {
            item.extend([("pk".into(), text(pk)), ("sk".into(), text(sk))]);
            let put = Put::builder().table_name(&self.table).set_item(Some(item));
            let put = put.condition_expression("attribute_not_exists(pk)").build();
            put.map(|put| TransactWriteItem::builder().put(put).build())
                .map_err(|e| Error::input("rejected", e.to_string()))
        };
        let entry = put(item.clone(), "jobs".to_owned(), job.to_string())?;
        let options = &spec.options;
        item.extend([
            ("by".into(), by.clone()),
            ("turn".into(), number(0)),
            ("turn_at".into(), number(now.0)),
            ("tries_max".into(), number(options.tries_max)),
            ("ms_max".into(), number(options.ms_max.unwrap_or(JOB_MS_MAX))),
            ("timeout_ms".into(), number(timeout_ms)),
            ("writes_output".into(), AttributeValue::Bool(spec.writes_output())),
        ]);
        if let Some(program) = &spec.program {
            item.insert("program".into(), text(program.to_string()));
        }
        let own = put(item, job_pk(job), "job".to_owned())?;
        let is_mine = |item: &Item| item.get("by") == Some(&by);
        if self.send_transaction(&doing, vec![own, entry], (job_pk(job), "job".to_owned()), is_mine).await? {
            Ok(())
        } else {
            Err(Error::input("job-exists", format!("there is a job {job} in table {} already", self.table)))
        }
    }

    /// The job's own item.
    ///
    /// # Errors
    /// [`Error::Input`] with `job-missing` when there is no such job.
    pub async fn job(&self, job: &JobId) -> Result<JobView> {
        let doing = Doing::now(format!("reading job {job} in table {}", self.table));
        match self.item(&doing, (job_pk(job), "job".to_owned())).await? {
            Some(item) => job_view(job, &item),
            None => Err(self.job_missing(job)),
        }
    }

    /// The job's own item as it was a moment ago, for half the price: for those who only look whether the job goes on.
    ///
    /// # Errors
    /// As [`Self::job`].
    pub async fn job_lately(&self, job: &JobId) -> Result<JobView> {
        let doing = Doing::now(format!("reading job {job} in table {}", self.table));
        let request = self.dynamodb.get_item().table_name(&self.table);
        let request = request.key("pk", text(job_pk(job))).key("sk", text("job"));
        let got = request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
        let got = got.map_err(|e| doing.failed(&e))?;
        self.meter.read(got.consumed_capacity.and_then(|c| c.capacity_units));
        job_view(job, &got.item.ok_or_else(|| self.job_missing(job))?)
    }

    /// All jobs that the ledger keeps, oldest first.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn jobs(&self) -> Result<Vec<JobEntry>> {
        let items = self.query("jobs", "").await?;
        let entry = |item: &Item| {
            Some(JobEntry {
                job: read_text(item, "sk")?.parse().ok()?,
                name: read_text(item, "name")?.to_owned(),
                phase: read_text(item, "phase").and_then(Phase::parse)?,
                submitted_at: read_time(item, "at0")?,
                ended_at: read_time(item, "at3"),
            })
        };
        Ok(items.iter().filter_map(entry).collect())
    }

    /// The jobs that have not ended, oldest first.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn open_jobs(&self) -> Result<Vec<JobId>> {
        let items = self.query("jobs", "").await?;
        let open = items.iter().filter(|item| {
            let phase = read_text(item, "phase").and_then(Phase::parse);
            phase.is_some_and(|phase| !phase.is_final())
        });
        Ok(open.filter_map(|item| read_text(item, "sk")?.parse().ok()).collect())
    }

    /// Records the plan and goes on to mapping. Returns whether this call did it; another splitter may have been first.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn plan(&self, job: &JobId, planned: &Planned<'_>) -> Result<bool> {
        let mut set = vec![
            ("plan", text(planned.id)),
            ("map_tasks", number(planned.map_tasks)),
            ("partitions", number(planned.partitions)),
            ("objects", number(planned.input.0)),
            ("bytes", number(planned.input.1)),
        ];
        if let Some(usage) = &planned.usage {
            set.push(("usage1", binary(frame::write(usage)?)));
        }
        if let Some(calls) = planned.calls {
            set.extend([("calls", number(calls.count)), ("calls_per_task", number(calls.per_task))]);
        }
        self.transition(job, &[Phase::Splitting], Phase::Mapping, set).await
    }

    /// Goes from mapping to reducing, or with a job that writes no output from its last stage to success, and keeps what a
    /// function spent on that beside its own task. Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn proceed(&self, job: &JobId, from: Phase, to: Phase, usage: Option<&Usage>) -> Result<bool> {
        self.transition(job, &[from], to, usage_of(to, usage)?).await
    }

    /// Goes from reducing to publishing, with the upload that will become the manifest. Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn publish(&self, job: &JobId, manifest_upload: &str, usage: Option<&Usage>) -> Result<bool> {
        let mut set = usage_of(Phase::Publishing, usage)?;
        set.push(("manifest_upload", text(manifest_upload)));
        self.transition(job, &[Phase::Reducing], Phase::Publishing, set).await
    }

    /// Puts another upload for the manifest in place of one that is gone. Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn replace_manifest_upload(&self, job: &JobId, gone: &str, upload: &str) -> Result<bool> {
        let doing = Doing::now(format!("replacing the manifest's upload of job {job}"));
        let key = (job_pk(job), "job".to_owned());
        let request = self.update(key.clone()).update_expression("SET manifest_upload = :new");
        let request = request.condition_expression("phase = :phase AND manifest_upload = :gone");
        let request = request.expression_attribute_values(":phase", text(Phase::Publishing.as_str()));
        let request = request.expression_attribute_values(":gone", text(gone));
        let request = request.expression_attribute_values(":new", text(upload));
        self.send_update(&doing, request, key, |item| read_text(item, "manifest_upload") == Some(upload)).await
    }

    /// Notes that a job's result is there, so that its claim to the output may go.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub(crate) async fn published(&self, job: &JobId) -> Result<()> {
        let doing = Doing::now(format!("noting that job {job} is published"));
        let key = (job_pk(job), "job".to_owned());
        let request = self.update(key.clone()).update_expression("SET published = :yes");
        let request = request.condition_expression("phase = :phase");
        let request = request.expression_attribute_values(":phase", text(Phase::Publishing.as_str()));
        let request = request.expression_attribute_values(":yes", AttributeValue::Bool(true));
        self.send_update(&doing, request, key, |_| false).await.map(drop)
    }

    /// The phase of a job, and whether [`Self::published`] was noted.
    pub(crate) async fn is_published(&self, job: &JobId) -> Result<(Phase, bool)> {
        let doing = Doing::now(format!("reading job {job} in table {}", self.table));
        let item = self.item(&doing, (job_pk(job), "job".to_owned())).await?.ok_or_else(|| self.job_missing(job))?;
        let published = matches!(item.get("published"), Some(AttributeValue::Bool(true)));
        Ok((job_view(job, &item)?.phase, published))
    }

    /// Gives the job up while it is in one of these phases: it then has failed or was cancelled, or, if it writes an output, will
    /// have once that is undone. Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn end(&self, job: &JobId, view: &JobView, from: &[Phase], ending: Phase, error: &Error) -> Result<bool> {
        self.end_from(job, view, from, ending, error, None).await
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
        let aborted = Some(upload.unwrap_or_default());
        self.end_from(job, view, &[Phase::Publishing], Phase::Failed, error, aborted).await
    }

    async fn end_from(
        &self,
        job: &JobId,
        view: &JobView,
        from: &[Phase],
        ending: Phase,
        error: &Error,
        aborted: Option<&str>,
    ) -> Result<bool> {
        let mut set = vec![("error", binary(frame::write(&error.clone().shortened())?))];
        let to = if view.writes_output { Phase::Undoing } else { ending };
        if to == Phase::Undoing {
            set.push(("ending", text(ending.as_str())));
        }
        self.transition_if(job, from, to, set, aborted).await
    }

    /// Ends a job whose output is in order: published, or undone. Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn settle(&self, job: &JobId, from: Phase, to: Phase, usage: Option<&Usage>) -> Result<bool> {
        self.transition(job, &[from], to, usage_as("usage4", usage)?).await
    }

    async fn transition(
        &self,
        job: &JobId,
        from: &[Phase],
        to: Phase,
        set: Vec<(&str, AttributeValue)>,
    ) -> Result<bool> {
        self.transition_if(job, from, to, set, None).await
    }

    /// [`Self::transition`], where the upload of the manifest is still `aborted` and nobody has noted that the job is published.
    async fn transition_if(
        &self,
        job: &JobId,
        from: &[Phase],
        to: Phase,
        set: Vec<(&str, AttributeValue)>,
        aborted: Option<&str>,
    ) -> Result<bool> {
        let were: Vec<_> = from.iter().map(|phase| phase.as_str()).collect();
        let doing = Doing::now(format!("moving job {job} from {} to {}", were.join(" or "), to.as_str()));
        let (by, now) = (hand(), self.clock.now());
        let mut expression = "SET phase = :to, #by = :by, turn = :turn, turn_at = :now, sent = :sent".to_owned();
        let mut names = HashMap::from([("#by".to_owned(), "by".to_owned())]);
        let mut values = HashMap::from([
            (":to".to_owned(), text(to.as_str())),
            (":by".to_owned(), by.clone()),
            (":turn".to_owned(), number(1)),
            (":sent".to_owned(), number(0)),
            (":now".to_owned(), number(now.0)),
        ]);
        let at = match to {
            Phase::Splitting => Some("at0"),
            Phase::Mapping => Some("at1"),
            Phase::Reducing => Some("at2"),
            Phase::Publishing | Phase::Undoing => None,
            Phase::Succeeded | Phase::Failed | Phase::Cancelled => Some("at3"),
        };
        if let Some(at) = at {
            expression.push_str(&format!(", {at} = :now"));
        }
        for (n, (name, value)) in set.into_iter().enumerate() {
            expression.push_str(&format!(", #s{n} = :s{n}"));
            names.insert(format!("#s{n}"), name.to_owned());
            values.insert(format!(":s{n}"), value);
        }
        let froms: Vec<_> = (0..from.len()).map(|n| format!("phase = :from{n}")).collect();
        values.extend(from.iter().enumerate().map(|(n, phase)| (format!(":from{n}"), text(phase.as_str()))));
        let mut condition = format!("({})", froms.join(" OR "));
        if let Some(aborted) = aborted {
            condition.push_str(" AND manifest_upload = :aborted AND attribute_not_exists(published)");
            values.insert(":aborted".to_owned(), text(aborted));
        }

        let key = (job_pk(job), "job".to_owned());
        let is_mine = |item: &Item| item.get("by") == Some(&by);
        if !to.is_final() {
            let request = self.update(key.clone()).update_expression(expression).condition_expression(condition);
            let request = request.set_expression_attribute_names(Some(names));
            let request = request.set_expression_attribute_values(Some(values));
            return self.send_update(&doing, request, key, is_mine).await;
        }
        let update =
            |pk: String, sk: String| Update::builder().table_name(&self.table).key("pk", text(pk)).key("sk", text(sk));
        let own = update(job_pk(job), "job".to_owned()).update_expression(expression).condition_expression(condition);
        let own = own.set_expression_attribute_names(Some(names)).set_expression_attribute_values(Some(values));
        let entry = update("jobs".to_owned(), job.to_string()).update_expression("SET phase = :to, at3 = :now");
        let entry = entry.expression_attribute_values(":to", text(to.as_str()));
        let entry = entry.expression_attribute_values(":now", number(now.0));
        let writes =
            [own, entry].map(|update| update.build().map(|update| TransactWriteItem::builder().update(update).build()));
        let writes = writes.into_iter().collect::<Result<Vec<_>, _>>();
        let writes = writes.map_err(|e| Error::input("rejected", e.to_string()))?;
        self.send_transaction(&doing, writes, key, is_mine).await
    }

    /// Takes the turn from one that has fallen silent. Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn take_turn(&self, job: &JobId, view: &JobView) -> Result<bool> {
        let (phase, turn) = (view.phase, view.turn);
        let doing = Doing::now(format!("taking turn {} of job {job}", turn + 1));
        let (by, key) = (hand(), (job_pk(job), "job".to_owned()));
        let request = self.of_turn(&key, phase, turn).update_expression("SET turn = :next, turn_at = :now, #by = :by");
        // Whoever has it may have given a sign since.
        let request = request.condition_expression("phase = :phase AND turn = :turn AND turn_at = :seen");
        let request = request.expression_attribute_values(":seen", number(view.turn_at.0));
        let request = request.expression_attribute_names("#by", "by").expression_attribute_values(":by", by.clone());
        let request = request.expression_attribute_values(":next", number(turn + 1));
        self.send_update(&doing, request, key, |item| item.get("by") == Some(&by)).await
    }

    /// Gives a sign of life for a turn, and says how many tasks were sent in it. Returns whether the turn is still this one's.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn keep_turn(&self, job: &JobId, phase: Phase, turn: u64, sent: u32) -> Result<bool> {
        let doing = Doing::now(format!("keeping turn {turn} of job {job}"));
        let key = (job_pk(job), "job".to_owned());
        let request = self.of_turn(&key, phase, turn).update_expression("SET turn_at = :now, sent = :sent");
        let request = request.expression_attribute_values(":sent", number(sent));
        // Done twice, it is as done once.
        self.send_update(&doing, request, key, |_| false).await
    }

    fn of_turn(&self, key: &(String, String), phase: Phase, turn: u64) -> UpdateItemFluentBuilder {
        let request = self.update(key.clone()).condition_expression("phase = :phase AND turn = :turn");
        let request = request.expression_attribute_values(":phase", text(phase.as_str()));
        let request = request.expression_attribute_values(":turn", number(turn));
        request.expression_attribute_values(":now", number(self.clock.now().0))
    }

    /// Claims to send a try that was claimed so often before, so that only one of several deciders invokes it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn claim(&self, job: &JobId, key: TryKey, sends: u16) -> Result<bool> {
        let doing = Doing::now(format!("claiming try {} of {key}", key.number));
        let (by, place) = (hand(), try_key(job, key));
        let request = self
            .update(place.clone())
            .update_expression("SET sends = :sends, sent_at = :now, accepted = :no, #by = :by, #ttl = :ttl");
        let request = request.expression_attribute_names("#by", "by").expression_attribute_names("#ttl", "ttl");
        let request = request.expression_attribute_values(":by", by.clone());
        let request = request.expression_attribute_values(":ttl", self.ttl());
        let request = request.expression_attribute_values(":no", AttributeValue::Bool(false));
        let request = request.expression_attribute_values(":sends", number(sends + 1));
        let request = request.expression_attribute_values(":now", number(self.clock.now().0));
        let open = "attribute_not_exists(started_at) AND attribute_not_exists(failed_at)";
        let request = match sends {
            0 => request.condition_expression(format!("{open} AND attribute_not_exists(sends)")),
            _ => request
                .condition_expression(format!("{open} AND sends = :before"))
                .expression_attribute_values(":before", number(sends)),
        };
        self.send_update(&doing, request, place, |item| item.get("by") == Some(&by)).await
    }

    /// Records that Lambda has taken what was claimed.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn accepted(&self, job: &JobId, key: TryKey) -> Result<()> {
        let doing = Doing::now(format!("recording that try {} of {key} was sent", key.number));
        let place = try_key(job, key);
        let request = self.update(place.clone()).update_expression("SET accepted = :yes");
        // Of a job that was cleaned meanwhile nothing is made anew.
        let request = request.condition_expression("attribute_exists(sends)");
        let request = request.expression_attribute_values(":yes", AttributeValue::Bool(true));
        self.send_update(&doing, request, place, |_| false).await.map(drop)
    }

    /// Records that an execution begins a try, unless another has, and has not fallen silent.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn start(&self, job: &JobId, key: TryKey, run: &Run) -> Result<Started> {
        let silence_ms = if key.stage == Stage::Split { SPLIT_SILENCE_MS } else { SILENCE_MS };
        let doing = Doing::now(format!("starting try {} of {key}", key.number));
        let (now, place) = (self.clock.now(), try_key(job, key));
        let request = self.update(place.clone()).update_expression(
            "SET started_at = :now, #run = :run, request_id = :request, memory_mb = :memory, larger = :larger, \
             calls_max = :calls, #ttl = :ttl REMOVE alive_at",
        );
        let request = request.condition_expression(
            "attribute_not_exists(failed_at) AND (attribute_not_exists(started_at) OR alive_at < :silent OR \
             (attribute_not_exists(alive_at) AND started_at < :silent))",
        );
        let request = request.expression_attribute_names("#run", "run").expression_attribute_names("#ttl", "ttl");
        let calls = run.calls_max.map_or(AttributeValue::Null(true), number);
        let request = request.expression_attribute_values(":now", number(now.0));
        let request = request.expression_attribute_values(":silent", number(now.0.saturating_sub(silence_ms)));
        let request = request.expression_attribute_values(":run", number(run.nonce));
        let request = request.expression_attribute_values(":request", text(&run.request_id));
        let request = request.expression_attribute_values(":memory", number(run.memory_mb));
        let request = request.expression_attribute_values(":larger", AttributeValue::Bool(run.larger));
        let request = request.expression_attribute_values(":calls", calls);
        let request = request.expression_attribute_values(":ttl", self.ttl());
        match request.return_values(ReturnValue::AllOld).send().await {
            Ok(done) => {
                self.meter.wrote(done.consumed_capacity.and_then(|c| c.capacity_units));
                let before = done.attributes.is_some_and(|item| item.contains_key("started_at"));
                Ok(if before { Started::Again } else { Started::First })
            }
            Err(e) if of_write(code(&e).as_deref()) == Refusal::Unmet => {
                let item = self.item(&doing, place).await?;
                // By this hand, and the reply was lost: then another may have been before it.
                let mine = item.is_some_and(|item| read_number(&item, "run") == Some(run.nonce.into()));
                Ok(if mine { Started::Again } else { Started::Elsewhere })
            }
            Err(e) => Err(doing.failed(&e)),
        }
    }

    /// A sign of life of an execution.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn beat(&self, job: &JobId, key: TryKey, nonce: u32) -> Result<()> {
        let doing = Doing::now(format!("giving a sign of life of {key}"));
        let place = try_key(job, key);
        let request = self.update(place.clone()).update_expression("SET alive_at = :now");
        let request = request.condition_expression("#run = :run").expression_attribute_names("#run", "run");
        let request = request.expression_attribute_values(":run", number(nonce));
        let request = request.expression_attribute_values(":now", number(self.clock.now().0));
        self.send_update(&doing, request, place, |_| false).await.map(drop)
    }

    /// Records that a try failed, if it is that one's execution that says so and not one of another delivery.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn fail(&self, job: &JobId, key: TryKey, says: Says<'_>, error: &Error) -> Result<()> {
        let doing = Doing::now(format!("recording the failure of {key}"));
        let place = try_key(job, key);
        let request =
            self.update(place.clone()).update_expression("SET failed_at = :now, #error = :error, #ttl = :ttl");
        let open = "attribute_not_exists(failed_at) AND (attribute_not_exists(started_at) OR";
        let request = match says {
            Says::Run(nonce) => request
                .condition_expression(format!("{open} #run = :run)"))
                .expression_attribute_names("#run", "run")
                .expression_attribute_values(":run", number(nonce)),
            Says::Lambda(request_id) => request
                .condition_expression(format!("{open} request_id = :request)"))
                .expression_attribute_values(":request", text(request_id)),
        };
        let request = request.expression_attribute_names("#error", "error").expression_attribute_names("#ttl", "ttl");
        let request = request.expression_attribute_values(":error", binary(frame::write(&error.clone().shortened())?));
        let request = request.expression_attribute_values(":now", number(self.clock.now().0));
        let request = request.expression_attribute_values(":ttl", self.ttl());
        self.send_update(&doing, request, place, |_| false).await.map(drop)
    }

    /// Whether a piece is committed already.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn is_committed(&self, job: &JobId, key: TryKey) -> Result<bool> {
        let doing = Doing::now(format!("looking whether {key} is committed"));
        let item = self.item(&doing, (group_pk(job, key.stage, group_of(key.task)), "group".to_owned())).await?;
        Ok(item.is_some_and(|item| item.contains_key(&done_name(key.task, key.piece))))
    }

    /// Commits an attempt: its record stands in the ledger, or another's does.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn commit<R: Record>(
        &self,
        job: &JobId,
        task: TaskIdx,
        piece: Piece,
        record: &R,
        task_count: u32,
    ) -> Result<Commit> {
        let group = group_of(task);
        let name = done_name(task, piece);
        let doing = Doing::now(format!("committing {} task {} (attempt {})", R::STAGE, task.0, record.attempt()));
        let request = self
            .dynamodb
            .update_item()
            .table_name(&self.table)
            .key("pk", text(group_pk(job, R::STAGE, group)))
            .key("sk", text("group"))
            .update_expression("SET #done = :record, #ttl = :ttl")
            .condition_expression("attribute_not_exists(#done)")
            .expression_attribute_names("#done", &name)
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":record", binary(frame::write(record)?))
            .expression_attribute_values(":ttl", self.ttl())
            .return_values(ReturnValue::AllNew)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let item = match request.send().await {
            Ok(done) => {
                self.meter.wrote(done.consumed_capacity.and_then(|c| c.capacity_units));
                done.attributes
            }
            // The SDK may have sent the request twice, the first reply lost: then the attempt that stands there is this one.
            Err(e) if of_write(code(&e).as_deref()) == Refusal::Unmet => {
                let item =
                    self.items(vec![(group_pk(job, R::STAGE, group), "group".to_owned())]).await?.into_iter().next();
                let item = item.map(|(_, item)| item);
                let winner = pieces::<R>(item.as_ref(), task.0)?.get(piece.0 as usize).map(Record::attempt);
                match winner {
                    Some(winner) if winner != record.attempt() => return Ok(Commit::Lost(winner)),
                    _ => item,
                }
            }
            // The request is always of the same form: all that can be wrong with it is that the item would be too large.
            Err(e) if code(&e).as_deref() == Some("ValidationException") => {
                return Err(Error::limit("too-many-pieces", doing.failed(&e).to_string()).with_hint(
                    "32 tasks share an item of 400 KB, which holds about 3,500 pieces: give tasks more time, or make \
                     splits or batches smaller, so that they are handed back less often",
                ));
            }
            Err(e) => return Err(doing.failed(&e)),
        };
        for task in tasks_of(group, task_count) {
            if !is_done(&pieces::<R>(item.as_ref(), task)?) {
                return Ok(Commit::Won { stage_complete: false });
            }
        }
        let stage_complete = self.complete_group(job, R::STAGE, group, group_count(task_count)).await?;
        Ok(Commit::Won { stage_complete })
    }

    /// Adds a complete group to the root. Returns whether all are.
    async fn complete_group(&self, job: &JobId, stage: Stage, group: u32, groups: u32) -> Result<bool> {
        if groups == 1 {
            return Ok(true);
        }
        let doing = Doing::now(format!("completing group {group} of the {stage} stage of job {job}"));
        let request = self
            .dynamodb
            .update_item()
            .table_name(&self.table)
            .key("pk", text(job_pk(job)))
            .key("sk", text(format!("root#{stage}")))
            .update_expression("ADD #groups :group SET #ttl = :ttl")
            .expression_attribute_names("#groups", "groups")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":group", AttributeValue::Ns(vec![group.to_string()]))
            .expression_attribute_values(":ttl", self.ttl())
            .return_values(ReturnValue::AllNew)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let done = request.send().await.map_err(|e| doing.failed(&e))?;
        self.meter.wrote(done.consumed_capacity.and_then(|c| c.capacity_units));
        let complete = done.attributes.as_ref().and_then(|item| item.get("groups")).and_then(|g| g.as_ns().ok());
        Ok(complete.is_some_and(|set| set.len() == groups as usize))
    }

    /// The committed pieces of every task of a stage.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn committed<R: Record>(&self, job: &JobId, task_count: u32) -> Result<Committed<R>> {
        let groups: Vec<u32> = (0..group_count(task_count)).collect();
        let tasks = self.committed_in(job, &groups, task_count).await?;
        Ok(tasks.into_iter().map(|(_, pieces)| pieces).collect())
    }

    /// The committed pieces of every task of some groups of a stage, each with its task.
    ///
    /// # Errors
    /// What DynamoDB reports.
    async fn committed_in<R: Record>(
        &self,
        job: &JobId,
        groups: &[u32],
        task_count: u32,
    ) -> Result<Vec<(TaskIdx, Vec<R>)>> {
        let keys = groups.iter().map(|g| (group_pk(job, R::STAGE, *g), "group".to_owned())).collect();
        grouped(job, groups, task_count, &self.items(keys).await?.into_iter().collect())
    }

    /// The job's own item, and the committed pieces of every task of some groups of a stage, in one request for up to 99 groups.
    /// The pieces may be newer than the item, but where the item says that the stage is over, they are all of them.
    ///
    /// # Errors
    /// As [`Ledger::job`].
    pub async fn look<R: Record>(
        &self,
        job: &JobId,
        groups: &[u32],
        task_count: u32,
    ) -> Result<(JobView, Vec<(TaskIdx, Vec<R>)>)> {
        let own = (job_pk(job), "job".to_owned());
        let keys = groups.iter().map(|g| (group_pk(job, R::STAGE, *g), "group".to_owned()));
        let items: BTreeMap<String, Item> =
            self.items(std::iter::once(own).chain(keys).collect()).await?.into_iter().collect();
        let item = items.get(&job_pk(job)).ok_or_else(|| self.job_missing(job))?;
        let view = job_view(job, item)?;
        // The items of one request are not read at one time: of an ended job, look again.
        let tasks = match view.phase.is_final() {
            true => self.committed_in(job, groups, task_count).await?,
            false => grouped(job, groups, task_count, &items)?,
        };
        Ok((view, tasks))
    }

    fn job_missing(&self, job: &JobId) -> Error {
        Error::input("job-missing", format!("there is no job {job} in table {}", self.table))
            .with_hint("jobs are kept for 7 days")
    }

    /// Items by their keys, as `(pk, item)`; those that are not there are left out.
    pub(crate) async fn items(&self, keys: Vec<(String, String)>) -> Result<Vec<(String, Item)>> {
        let doing = Doing::now(format!("reading {} items of table {}", keys.len(), self.table));
        let mut found = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(BATCH_GET_KEYS_MAX) {
            let keys = chunk.iter().map(|(pk, sk)| HashMap::from([("pk".into(), text(pk)), ("sk".into(), text(sk))]));
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys.collect())).consistent_read(true).build();
            let wanted = wanted.map_err(|e| Error::input("rejected", e.to_string()))?;
            let mut wanted = Some(HashMap::from([(self.table.clone(), wanted)]));
            let mut pause = Pause::default();
            while let Some(request) = wanted.take().filter(|w| !w.is_empty()) {
                let request = self.dynamodb.batch_get_item().set_request_items(Some(request));
                let got = request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
                let got = got.map_err(|e| doing.failed(&e))?;
                self.meter
                    .read(got.consumed_capacity.as_ref().map(|all| all.iter().filter_map(|c| c.capacity_units).sum()));
                for item in got.responses.unwrap_or_default().into_values().flatten() {
                    let pk = read_text(&item, "pk").unwrap_or_default().to_owned();
                    found.push((pk, item));
                }
                wanted = got.unprocessed_keys;
                if wanted.as_ref().is_some_and(|w| !w.is_empty()) {
                    pause.wait(&doing_too_long(&self.table)).await?;
                }
            }
        }
        Ok(found)
    }

    /// The one task of splitting, with its tries, as [`kinglet_core::ledger::advance`] sees it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn splitting(&self, job: &JobId, since: Timestamp) -> Result<TaskView> {
        let mut tries = Vec::new();
        for item in self.query(&job_pk(job), "split#").await? {
            let number = read_text(&item, "sk").and_then(|sk| sk.strip_prefix("split#")?.parse().ok());
            tries.extend(number.map(|number| try_view(&item, number)).transpose()?);
        }
        Ok(TaskView { since, tries, ..TaskView::default() })
    }

    /// The tasks of a stage as [`kinglet_core::ledger::advance`] sees them. Tries are read only where a task is not done.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn tasks<R: Record>(
        &self,
        job: &JobId,
        task_count: u32,
        calls: Option<CallsView>,
        since: Timestamp,
    ) -> Result<Vec<TaskView>> {
        let committed = self.committed::<R>(job, task_count).await?;
        let mut tasks: Vec<TaskView> =
            (0..).zip(&committed).map(|(task, pieces)| view(task, pieces, calls, since)).collect();
        let open: std::collections::BTreeSet<u32> =
            tasks.iter().filter(|t| !t.done).map(|t| group_of(t.task)).collect();
        for group in open {
            for item in self.query(&group_pk(job, R::STAGE, group), "try#").await? {
                let Some((task, piece, tried)) = read_try(&item)? else {
                    continue;
                };
                if let Some(view) = tasks.get_mut(task as usize).filter(|view| view.piece == piece && !view.done) {
                    view.tries.push(tried);
                }
            }
        }
        Ok(tasks)
    }

    /// How long the failed tries of a stage ran, in milliseconds, and on how many MB, as far as the ledger knows.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn failed_tries(&self, job: &JobId, stage: Stage, task_count: u32) -> Result<Vec<Usage>> {
        let mut failed = Vec::new();
        for group in 0..group_count(task_count) {
            for item in self.query(&group_pk(job, stage, group), "try#").await? {
                let Some((_, _, TryView { started_at: Some(started_at), memory_mb, failed: Some(failure), .. })) =
                    read_try(&item)?
                else {
                    continue;
                };
                let (ran_ms, memory_mb) = (failure.at.since_ms(started_at), memory_mb.unwrap_or(0));
                failed.push(Usage { started_at, ran_ms, memory_mb, ..Usage::default() });
            }
        }
        Ok(failed)
    }

    /// All items of a partition key whose sort keys start so, page by page.
    pub(crate) async fn query(&self, pk: &str, sk_prefix: &str) -> Result<Vec<Item>> {
        // No part of a key may be the empty string, in a condition neither.
        // <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>
        let (condition, sk) = if sk_prefix.is_empty() {
            ("pk = :pk", None)
        } else {
            ("pk = :pk AND begins_with(sk, :sk)", Some((":sk".to_owned(), text(sk_prefix))))
        };
        let values: HashMap<_, _> = sk.into_iter().chain([(":pk".to_owned(), text(pk))]).collect();
        let doing = Doing::now(format!("reading {pk} in table {}", self.table));
        let (mut items, mut from) = (Vec::new(), None);
        loop {
            let request = self
                .dynamodb
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression(condition)
                .set_expression_attribute_values(Some(values.clone()))
                .set_exclusive_start_key(from)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let got = request.send().await.map_err(|e| doing.failed(&e))?;
            self.meter.read(got.consumed_capacity.and_then(|c| c.capacity_units));
            items.extend(got.items.unwrap_or_default());
            from = got.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                return Ok(items);
            }
        }
    }
}

/// The pieces of the tasks of some groups, from the groups' items by their partition keys.
fn grouped<R: Record>(
    job: &JobId,
    groups: &[u32],
    task_count: u32,
    items: &BTreeMap<String, Item>,
) -> Result<Vec<(TaskIdx, Vec<R>)>> {
    let mut tasks = Vec::new();
    for group in groups {
        let item = items.get(&group_pk(job, R::STAGE, *group));
        for task in tasks_of(*group, task_count) {
            tasks.push((TaskIdx(task), pieces(item, task)?));
        }
    }
    Ok(tasks)
}

/// The job's own item as [`kinglet_core::ledger::advance`] sees it.
pub(crate) fn job_view(job: &JobId, item: &Item) -> Result<JobView> {
    let phase = read_text(item, "phase").and_then(Phase::parse);
    let phase = phase.ok_or_else(|| Error::stale("job-phase", format!("job {job} is in a phase unknown here")))?;
    let error = match item.get("error") {
        Some(AttributeValue::B(bytes)) => Some(frame::read(bytes.as_ref(), &format!("the error of job {job}"))?),
        _ => None,
    };
    let count = |name| read_number(item, name).unwrap_or(0);
    let small = |name| u32::try_from(count(name)).unwrap_or(u32::MAX);
    let mut beside = Vec::new();
    for name in ["usage1", "usage2", "usage3", "usage4"] {
        if let Some(AttributeValue::B(bytes)) = item.get(name) {
            beside.push(frame::read(bytes.as_ref(), &format!("{name} of job {job}"))?);
        }
    }
    Ok(JobView {
        phase,
        phase_at: ["at0", "at1", "at2", "at3"].map(|name| read_time(item, name)),
        map_tasks: small("map_tasks"),
        partitions: small("partitions"),
        input: (count("objects"), count("bytes")),
        calls: read_number(item, "calls").map(|count| CallsView { count, per_task: small("calls_per_task").max(1) }),
        cancelled: match item.get("cancelled") {
            Some(AttributeValue::Ns(calls)) => calls.iter().filter_map(|call| call.parse().ok()).collect(),
            _ => vec![],
        },
        tries_max: u16::try_from(count("tries_max")).unwrap_or(1),
        timeout_ms: count("timeout_ms"),
        ms_max: read_number(item, "ms_max").unwrap_or(JOB_MS_MAX),
        plan: read_text(item, "plan").map(str::to_owned),
        writes_output: matches!(item.get("writes_output"), Some(AttributeValue::Bool(true))),
        turn: count("turn"),
        turn_at: read_time(item, "turn_at").unwrap_or_default(),
        sent: small("sent"),
        manifest_upload: read_text(item, "manifest_upload").map(str::to_owned),
        ending: read_text(item, "ending").and_then(Phase::parse),
        // Whoever took it for none would run the functions' own jobs instead.
        program: read_text(item, "program").map(str::parse).transpose()?,
        error,
        beside,
    })
}

fn view<R: Record>(task: u32, pieces: &[R], calls: Option<CallsView>, since: Timestamp) -> TaskView {
    let last_end = pieces.last().map(|r| Timestamp(r.usage().started_at.0 + r.usage().ran_ms));
    TaskView {
        task: TaskIdx(task),
        done: is_done(pieces),
        ran_ms: pieces.iter().map(|r| r.usage().ran_ms).sum(),
        piece: Piece(pieces.len() as u16),
        start: pieces.last().and_then(Record::remainder),
        calls: calls
            .map_or(0, |calls| calls.of(TaskIdx(task)).saturating_sub(pieces.iter().map(Record::records).sum())),
        since: last_end.unwrap_or(since),
        tries: Vec::new(),
    }
}

fn read_try(item: &Item) -> Result<Option<(u32, Piece, TryView)>> {
    let mut parts = read_text(item, "sk").unwrap_or_default().split('#').skip(1);
    let mut part = || parts.next().and_then(|n| n.parse::<u32>().ok());
    let (Some(task), Some(piece), Some(number)) = (part(), part(), part()) else {
        return Ok(None);
    };
    Ok(Some((task, Piece(piece as u16), try_view(item, number as u16)?)))
}

fn try_view(item: &Item, number: u16) -> Result<TryView> {
    let failed = match (item.get("error"), read_time(item, "failed_at")) {
        (Some(AttributeValue::B(bytes)), Some(at)) => {
            Some(Failure { error: frame::read(bytes.as_ref(), "the error of a try")?, at })
        }
        _ => None,
    };
    let is = |name: &str| matches!(item.get(name), Some(AttributeValue::Bool(true)));
    Ok(TryView {
        number,
        sends: read_number(item, "sends").and_then(|sends| u16::try_from(sends).ok()).unwrap_or(0),
        sent_at: read_time(item, "sent_at"),
        accepted: is("accepted"),
        started_at: read_time(item, "started_at"),
        alive_at: read_time(item, "alive_at"),
        memory_mb: read_number(item, "memory_mb").and_then(|mb| u32::try_from(mb).ok()),
        calls_max: read_number(item, "calls_max").and_then(|calls| u32::try_from(calls).ok()),
        larger: is("larger"),
        failed,
    })
}

/// What a function spent on bringing a job into a phase.
fn usage_of(to: Phase, usage: Option<&Usage>) -> Result<Vec<(&'static str, AttributeValue)>> {
    let name = if to == Phase::Reducing { "usage2" } else { "usage3" };
    usage_as(name, usage)
}

fn usage_as(name: &'static str, usage: Option<&Usage>) -> Result<Vec<(&'static str, AttributeValue)>> {
    usage.map(|usage| Ok((name, binary(frame::write(usage)?)))).into_iter().collect()
}

pub(crate) fn doing_too_long(table: &str) -> String {
    format!("table {table} leaves requests unprocessed")
}
