//! The ledger: one DynamoDB table that holds the truth of every job. Keys are strings, `pk` and `sk`:
//!
//! | pk | sk | holds |
//! |---|---|---|
//! | `job#<job>` | `job` | phase, times, plan, the shipped program, error; `usage1`…`usage3`: what was spent beside tasks |
//! | `job#<job>` | `split#<number>` | that a further try of splitting was claimed |
//! | `job#<job>` | `root#<stage>` | `groups`: the set of groups that are complete |
//! | `job#<job>#<stage>#<group>` | `group` | one attribute a committed piece, `t<task>.<piece>`: its record |
//! | `job#<job>#<stage>#<group>` | `try#<task>#<piece>#<number>` | when it was claimed, started and on which function, failed and why |
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
//! Every item has `ttl`, in seconds since 1970. DynamoDB deletes late, so nothing relies on an item being gone.

mod runs;

pub(crate) use runs::{INLINE_ITEM_BYTES, run_key};
pub use runs::{InlineRun, ObjectRuns};

use crate::errors::{Doing, code};
use crate::meter::Meter;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity, ReturnValue};
use kinglet_core::ids::{AttemptId, JobId, Piece, Stage, TaskIdx, Timestamp};
use kinglet_core::ledger::{CallsView, Failure, JobView, Phase, TaskView, TryView};
use kinglet_core::limits::{BATCH_GET_KEYS_MAX, JOB_KEPT_S, TASKS_PER_GROUP};
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

fn try_sk(task: TaskIdx, piece: Piece, number: u16) -> String {
    format!("try#{:06}#{:05}#{number:05}", task.0, piece.0)
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
    pub fn new(dynamodb: aws_sdk_dynamodb::Client, table: &str, meter: Arc<Meter>) -> Self {
        Ledger { dynamodb, table: table.to_owned(), meter }
    }

    pub(crate) fn ttl() -> AttributeValue {
        number(Timestamp::now().0 / 1000 + JOB_KEPT_S)
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
        let put = |pk: String, sk: String| {
            let put = self.dynamodb.put_item().table_name(&self.table).item("pk", text(pk)).item("sk", text(sk));
            let put = match &spec.program {
                Some(program) => put.item("program", text(program.to_string())),
                None => put,
            };
            put.item("name", text(&spec.job))
                .item("phase", text(Phase::Splitting.as_str()))
                .item("at0", number(spec.submitted_at.0))
                .item("tries_max", number(spec.options.tries_max))
                .item("timeout_ms", number(timeout_ms))
                .item("ttl", Self::ttl())
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .condition_expression("attribute_not_exists(pk)")
        };
        for (pk, sk) in [(job_pk(job), "job".to_owned()), ("jobs".to_owned(), job.to_string())] {
            let done = put(pk, sk).send().await.map_err(|e| doing.failed(&e))?;
            self.meter.wrote(done.consumed_capacity.and_then(|c| c.capacity_units));
        }
        Ok(())
    }

    /// The job's own item.
    ///
    /// # Errors
    /// [`Error::Input`] with `job-missing` when there is no such job.
    pub async fn job(&self, job: &JobId) -> Result<JobView> {
        let doing = Doing::now(format!("reading job {job} in table {}", self.table));
        let request = self.dynamodb.get_item().table_name(&self.table).consistent_read(true);
        let request = request.key("pk", text(job_pk(job))).key("sk", text("job"));
        let got = request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
        let got = got.map_err(|e| doing.failed(&e))?;
        self.meter.read(got.consumed_capacity.and_then(|c| c.capacity_units));
        let Some(item) = got.item else {
            return Err(self.job_missing(job));
        };
        job_view(job, &item)
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
    pub async fn plan(
        &self,
        job: &JobId,
        tasks: (u32, u32),
        input: (u64, u64),
        calls: Option<CallsView>,
        usage: Option<&Usage>,
        now: Timestamp,
    ) -> Result<bool> {
        let (map_tasks, partitions) = tasks;
        let mut set = vec![
            ("map_tasks", number(map_tasks)),
            ("partitions", number(partitions)),
            ("objects", number(input.0)),
            ("bytes", number(input.1)),
        ];
        if let Some(usage) = usage {
            set.push(("usage1", binary(frame::write(usage)?)));
        }
        if let Some(calls) = calls {
            set.extend([("calls", number(calls.count)), ("calls_per_task", number(calls.per_task))]);
        }
        self.transition(job, Phase::Splitting, Phase::Mapping, now, set).await
    }

    /// Goes from mapping to reducing, or from reducing to success, and keeps what a function spent on that beside its own task.
    /// Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn proceed(
        &self,
        job: &JobId,
        from: Phase,
        to: Phase,
        usage: Option<&Usage>,
        now: Timestamp,
    ) -> Result<bool> {
        let name = if to == Phase::Reducing { "usage2" } else { "usage3" };
        let set = match usage {
            Some(usage) => vec![(name, binary(frame::write(usage)?))],
            None => vec![],
        };
        self.transition(job, from, to, now, set).await
    }

    /// Ends the job as failed or cancelled, unless it has ended. Returns whether this call did it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn end(&self, job: &JobId, phase: Phase, error: &Error, now: Timestamp) -> Result<bool> {
        for from in [Phase::Splitting, Phase::Mapping, Phase::Reducing] {
            let set = vec![("error", binary(frame::write(&error.clone().shortened())?))];
            if self.transition(job, from, phase, now, set).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn transition(
        &self,
        job: &JobId,
        from: Phase,
        to: Phase,
        now: Timestamp,
        set: Vec<(&str, AttributeValue)>,
    ) -> Result<bool> {
        let doing = Doing::now(format!("moving job {job} from {} to {}", from.as_str(), to.as_str()));
        let at = match to {
            Phase::Splitting => "at0",
            Phase::Mapping => "at1",
            Phase::Reducing => "at2",
            Phase::Succeeded | Phase::Failed | Phase::Cancelled => "at3",
        };
        let mut expression = format!("SET phase = :to, {at} = :now");
        let mut request = self.dynamodb.update_item().table_name(&self.table).condition_expression("phase = :from");
        for (n, (name, value)) in set.into_iter().enumerate() {
            expression.push_str(&format!(", #s{n} = :s{n}"));
            request = request.expression_attribute_names(format!("#s{n}"), name);
            request = request.expression_attribute_values(format!(":s{n}"), value);
        }
        let request = request
            .key("pk", text(job_pk(job)))
            .key("sk", text("job"))
            .update_expression(expression)
            .expression_attribute_values(":to", text(to.as_str()))
            .expression_attribute_values(":from", text(from.as_str()))
            .expression_attribute_values(":now", number(now.0))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match request.send().await {
            Ok(done) => self.meter.wrote(done.consumed_capacity.and_then(|c| c.capacity_units)),
            Err(e) if is_condition(code(&e).as_deref()) => return Ok(false),
            Err(e) => return Err(doing.failed(&e)),
        }
        if to.is_final() {
            let request = self.dynamodb.update_item().table_name(&self.table).key("pk", text("jobs"));
            let request = request.key("sk", text(job.to_string())).update_expression("SET phase = :to, at3 = :now");
            let request = request.expression_attribute_values(":to", text(to.as_str()));
            let request = request.expression_attribute_values(":now", number(now.0));
            request.send().await.map_err(|e| doing.failed(&e))?;
        }
        Ok(true)
    }

    /// Claims a try, so that only one of several deciders invokes it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn claim(
        &self,
        job: &JobId,
        stage: Stage,
        task: TaskIdx,
        piece: Piece,
        try_number: u16,
        now: Timestamp,
    ) -> Result<bool> {
        let doing = Doing::now(format!("claiming try {try_number} of {stage} task {}", task.0));
        let request = self.try_update(job, stage, task, piece, try_number);
        let request = request.update_expression("SET claimed_at = :now, #ttl = :ttl");
        let request = request.condition_expression("attribute_not_exists(pk)");
        let request = request.expression_attribute_values(":now", number(now.0));
        match request.send().await {
            Ok(done) => self.meter.wrote(done.consumed_capacity.and_then(|c| c.capacity_units)),
            Err(e) if is_condition(code(&e).as_deref()) => return Ok(false),
            Err(e) => return Err(doing.failed(&e)),
        }
        Ok(true)
    }

    /// Claims a further try of splitting, so that only one of several deciders invokes it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn claim_split(&self, job: &JobId, try_number: u64, now: Timestamp) -> Result<bool> {
        let doing = Doing::now(format!("claiming try {try_number} of splitting"));
        let request = self.dynamodb.put_item().table_name(&self.table).item("pk", text(job_pk(job)));
        let request = request.item("sk", text(format!("split#{try_number:05}"))).item("claimed_at", number(now.0));
        let request = request.item("ttl", Self::ttl()).condition_expression("attribute_not_exists(pk)");
        match request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await {
            Ok(done) => self.meter.wrote(done.consumed_capacity.and_then(|c| c.capacity_units)),
            Err(e) if is_condition(code(&e).as_deref()) => return Ok(false),
            Err(e) => return Err(doing.failed(&e)),
        }
        Ok(true)
    }

    /// Records that a worker began a try, on which function, of how many MB and whether it is the larger mapper, and of how many
    /// calls at most.
    ///
    /// # Errors
    /// What DynamoDB reports.
    #[expect(clippy::too_many_arguments, reason = "the parts of one key and the values")]
    pub async fn start(
        &self,
        job: &JobId,
        stage: Stage,
        task: TaskIdx,
        piece: Piece,
        try_number: u16,
        function: (u32, bool),
        calls_max: Option<u32>,
        now: Timestamp,
    ) -> Result<()> {
        let doing = Doing::now(format!("starting try {try_number} of {stage} task {}", task.0));
        let request = self.try_update(job, stage, task, piece, try_number);
        let request = request.update_expression(
            "SET started_at = :now, memory_mb = :memory, larger = :larger, calls_max = :calls, #ttl = :ttl",
        );
        let request =
            request.expression_attribute_values(":calls", calls_max.map_or(AttributeValue::Null(true), number));
        let request = request.expression_attribute_values(":now", number(now.0));
        let request = request.expression_attribute_values(":memory", number(function.0));
        let request = request.expression_attribute_values(":larger", AttributeValue::Bool(function.1));
        let done = request.send().await.map_err(|e| doing.failed(&e))?;
        self.meter.wrote(done.consumed_capacity.and_then(|c| c.capacity_units));
        Ok(())
    }

    /// Records that a try failed.
    ///
    /// # Errors
    /// What DynamoDB reports.
    #[expect(clippy::too_many_arguments, reason = "the parts of one key and the value")]
    pub async fn fail(
        &self,
        job: &JobId,
        stage: Stage,
        task: TaskIdx,
        piece: Piece,
        try_number: u16,
        error: &Error,
        now: Timestamp,
    ) -> Result<()> {
        let doing = Doing::now(format!("recording the failure of {stage} task {}", task.0));
        let request = self.try_update(job, stage, task, piece, try_number);
        let request = request.update_expression("SET failed_at = :now, #error = :error, #ttl = :ttl");
        let request = request.expression_attribute_names("#error", "error");
        let request = request.expression_attribute_values(":error", binary(frame::write(&error.clone().shortened())?));
        let request = request.expression_attribute_values(":now", number(now.0));
        let done = request.send().await.map_err(|e| doing.failed(&e))?;
        self.meter.wrote(done.consumed_capacity.and_then(|c| c.capacity_units));
        Ok(())
    }

    fn try_update(
        &self,
        job: &JobId,
        stage: Stage,
        task: TaskIdx,
        piece: Piece,
        try_number: u16,
    ) -> aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
        self.dynamodb
            .update_item()
            .table_name(&self.table)
            .key("pk", text(group_pk(job, stage, group_of(task))))
            .key("sk", text(try_sk(task, piece, try_number)))
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", Self::ttl())
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
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
            .expression_attribute_values(":ttl", Self::ttl())
            .return_values(ReturnValue::AllNew)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let item = match request.send().await {
            Ok(done) => {
                self.meter.wrote(done.consumed_capacity.and_then(|c| c.capacity_units));
                done.attributes
            }
            // The SDK may have sent the request twice, the first reply lost: then the attempt that stands there is this one.
            Err(e) if is_condition(code(&e).as_deref()) => {
                let item =
                    self.items(vec![(group_pk(job, R::STAGE, group), "group".to_owned())]).await?.into_iter().next();
                let item = item.map(|(_, item)| item);
                let winner = pieces::<R>(item.as_ref(), task.0)?.get(piece.0 as usize).map(Record::attempt);
                match winner {
                    Some(winner) if winner != record.attempt() => return Ok(Commit::Lost(winner)),
                    _ => item,
                }
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
            .expression_attribute_values(":ttl", Self::ttl())
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
    for name in ["usage1", "usage2", "usage3"] {
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
    let failed = match (item.get("error"), read_time(item, "failed_at")) {
        (Some(AttributeValue::B(bytes)), Some(at)) => {
            Some(Failure { error: frame::read(bytes.as_ref(), "the error of a try")?, at })
        }
        _ => None,
    };
    let view = TryView {
        number: number as u16,
        claimed_at: read_time(item, "claimed_at"),
        started_at: read_time(item, "started_at"),
        memory_mb: read_number(item, "memory_mb").and_then(|mb| u32::try_from(mb).ok()),
        calls_max: read_number(item, "calls_max").and_then(|calls| u32::try_from(calls).ok()),
        larger: matches!(item.get("larger"), Some(AttributeValue::Bool(true))),
        failed,
    };
    Ok(Some((task, Piece(piece as u16), view)))
}

pub(crate) fn is_condition(code: Option<&str>) -> bool {
    code == Some("ConditionalCheckFailedException")
}

pub(crate) fn doing_too_long(table: &str) -> String {
    format!("table {table} leaves requests unprocessed")
}

/// Growing pauses between rounds of a batch of which DynamoDB left something undone.
#[derive(Default)]
pub(crate) struct Pause {
    rounds: u32,
}

impl Pause {
    /// Waits 10 ms, 20 ms, … 1.28 s; gives up after twelve rounds.
    pub(crate) async fn wait(&mut self, what: &str) -> Result<()> {
        self.rounds += 1;
        if self.rounds > 12 {
            return Err(Error::service("throttled", format!("{what} (attempt {})", self.rounds)));
        }
        tokio::time::sleep(std::time::Duration::from_millis(10 << self.rounds.min(8) >> 1)).await;
        Ok(())
    }
}
