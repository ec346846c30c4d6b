//! The options that the jobs over rows share, and how they are run.

use super::how::{Common, How, Told, finish, run_job, start};
use crate::options::{ChosenRows, Cloud, EmbeddedOnly, RightArgs, RowsArgs, WrittenArgs};
use clap::{Args, ValueEnum};
use kinglet::{
    Code, Driver, Error, How as JoinHow, Job, JoinKey, Joined, OutputFormat, Result, RowFormat, Sampling, Side, Submit,
    Typed, TypedColumn, Types, Typing, ValueType,
};
use kinglet_jobs::{
    Aggregate, BroadcastJoin, By, Computed, JoinRows, JoinSide, Joining, On, Ordered, RowKey, TypedRows,
};

/// What a job has that reads rows of any format and leaves it to the user how its result is written.
#[derive(Debug, Args)]
pub(crate) struct OverRows {
    #[command(flatten)]
    written: RowsArgs,

    #[command(flatten)]
    result: WrittenArgs,

    #[command(flatten)]
    common: Common,
}

/// What sorts rows, before it is submitted.
pub(crate) struct Sorting {
    pub(crate) driver: Driver,
    pub(crate) submit: Submit,
    pub(crate) rows: Ordered,
    /// What is told at the job's end.
    pub(crate) told: Told,
    /// How many parts there are, if the user says.
    pub(crate) partitions: Option<u32>,
}

/// Which side of a join goes to every function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Broadcast {
    /// The left one
    Left,
    /// The right one
    Right,
    /// None: both are merged
    Never,
}

/// What rows are joined with, and how.
pub(crate) struct JoinWith {
    pub(crate) right: RightArgs,
    pub(crate) on: Vec<On>,
    pub(crate) how: JoinHow,
    /// Which side goes to every function, if the user says.
    pub(crate) broadcast: Option<Broadcast>,
    /// The types of columns of the result, if the user says any.
    pub(crate) types: Option<Types>,
}

/// Returns the error of types that nothing stores.
pub(crate) fn stores_no_types() -> Error {
    Error::new(Code::OutputFormat, "the result stores no types, and --types says some")
        .with_hint("add --output-format parquet")
}

impl OverRows {
    pub(crate) fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.common.how.embedded.given()
    }

    /// Finds the format of the rows that are read, where neither the options nor the names of the inputs say it.
    pub(crate) async fn found(self, cloud: &Cloud) -> Result<Self> {
        if self.written.is_said(&self.common.inputs) {
            return Ok(self);
        }
        let driver = start(&self.common.how, cloud).await?;
        let found = driver.find_format(&self.common.reads()).await;
        driver.close().await;
        let found = found?;
        eprintln!("format: {}", found.name());
        Ok(OverRows { written: self.written.with_found(found), ..self })
    }

    /// Returns the format of the rows that are read.
    pub(crate) fn format(&self) -> Result<RowFormat> {
        self.written.format(&self.common.inputs)
    }

    /// Returns the format of the rows that are read, and the columns of those that are written.
    pub(crate) fn format_and_columns(&self) -> Result<(RowFormat, Vec<String>)> {
        self.written.format_and_columns(&self.common.inputs)
    }

    /// Runs the job that computes this of groups of rows. `known` says what some columns of the result are stored as.
    pub(crate) async fn aggregate(
        self,
        by: Vec<String>,
        computed: Vec<Computed>,
        known: Option<Types>,
        cloud: &Cloud,
    ) -> Result<()> {
        let rows = self.found(cloud).await?;
        let (format, only) = rows.written.format_and_only(&rows.common.inputs)?;
        let is_one_group = by.is_empty();
        let job = Aggregate::new(format, by, computed)?;
        let job = only.into_iter().fold(job, Aggregate::with_only);
        let rows = if is_one_group { rows.in_one_part() } else { rows };
        let names: Vec<String> = job.names().into_iter().map(str::to_owned).collect();
        let job = job.with_folders(rows.result.partition_by());
        if rows.is_typed() {
            return rows.aggregate_typed(&job, &known.unwrap_or_default(), cloud).await;
        }
        if known.is_some() {
            return Err(stores_no_types());
        }
        rows.run_named(&job, &names.iter().map(String::as_str).collect::<Vec<_>>(), cloud).await
    }

    /// The same with a result that stores types, which follow from those of the input's columns.
    async fn aggregate_typed(self, job: &Aggregate, known: &Types, cloud: &Cloud) -> Result<()> {
        let format = self.format_of_all()?;
        let (driver, told) = (start(&self.common.how, cloud).await?, self.common.how.told());
        let submit = self.common.submit()?;
        let columns: Vec<String> = job.columns_to_type(known).into_iter().cloned().collect();
        let read = match columns.is_empty() {
            true => Types::default(),
            false => {
                let read = driver.type_input(&submit, Typing { format, columns, types: Types::default() }).await;
                let names = job.names();
                let last = names.last().map(|name| TypedColumn { name: (*name).to_owned(), of: ValueType::Text });
                read.map_err(|error| match (error.is(Code::Columns), last) {
                    (true, Some(last)) => {
                        error.with_hint(format!("say the types of the result's columns, as in --types '{last}'"))
                    }
                    _ => error,
                })?
                .types
            }
        };
        let types = job.types(&read, known)?;
        eprintln!("types: {types}");
        let handle = driver.submit(job, submit.with_output_format(self.result.typed(types)?)).await?;
        finish(driver, handle, told, async |_| Ok(())).await
    }

    /// Returns the format of the rows that are read, of which columns are chosen elsewhere.
    fn format_of_all(&self) -> Result<RowFormat> {
        self.written.format_and_only(&self.common.inputs).map(|(format, _)| format)
    }

    /// Gets ready to sort rows: starts the driver, and decides what the result stores of them.
    pub(crate) async fn ordered(self, by: Option<&str>, types: Option<Types>, cloud: &Cloud) -> Result<Sorting> {
        let this = self.found(cloud).await?;
        let ChosenRows { format, only, columns, delimiter, no_header } = this.written.chosen(&this.common.inputs)?;
        let result = this.result.or_as_input(&format, delimiter, no_header);
        let by = by.map_or(Ok(Vec::new()), By::parse_all)?;
        let rows = Ordered::new(format.clone(), by)?;
        let mut rows = only.into_iter().fold(rows, Ordered::with_only);
        let names: Vec<&str> = columns.iter().map(String::as_str).collect();
        let untyped = match (result.is_typed(), &types) {
            (true, _) => None,
            (false, None) => Some(result.named(&names)?),
            (false, Some(_)) => return Err(stores_no_types()),
        };
        let (told, partitions) = (this.common.how.told(), this.common.how.partitions);
        let driver = start(&this.common.how, cloud).await?;
        let submit = this.common.submit()?;
        let submit = match untyped {
            Some(format) => {
                rows = if result.has_values() { rows.with_values() } else { rows };
                rows = rows.with_columns(columns);
                submit.with_output_format(format)
            }
            None => {
                let chosen = !columns.is_empty();
                let typing = Typing { format, columns, types: types.unwrap_or_default() };
                let typed = driver.type_input(&submit, typing).await?;
                eprintln!("types: {} ({} of {} objects looked at)", typed.types, typed.sampled, typed.objects);
                let submit = submit.with_output_format(result.typed(typed.types.clone())?);
                rows = rows.with_typed(typed.format, TypedRows { types: typed.types, chosen });
                submit
            }
        };
        Ok(Sorting { driver, submit, rows, told, partitions })
    }

    /// Joins rows with those of a right side.
    pub(crate) async fn join(self, with: JoinWith, cloud: &Cloud) -> Result<()> {
        let JoinWith { right, on, how, broadcast, types } = with;
        let formats = self.written.formats_of_sides(&self.common.inputs, &right)?;
        let (chosen, only, delimiter, no_header) = self.written.chosen_of_sides();
        let result = self.result.or_as_input(&formats[0], delimiter, no_header);
        if types.is_some() && !result.is_typed() {
            return Err(stores_no_types());
        }
        let known = types.unwrap_or_default();
        let (told, partitions) = (self.common.how.told(), self.common.how.partitions);
        let is_strict = self.common.max_rejected.is_none();
        let driver = start(&self.common.how, cloud).await?;
        let submit = self.common.submit()?.with_right(right.right);
        let mut sides = Vec::new();
        for (side, format) in Side::BOTH.into_iter().zip(&formats) {
            let of_side = submit.clone().with_side_alone(side);
            let found = driver.input_columns(&of_side, format, &known_of(side, &known)?).await;
            sides.push(found.map_err(|e| e.context(format!("the {side} side")))?);
        }
        let known_side = |at: usize| JoinSide {
            format: formats[at].clone(),
            types: sides[at].types.clone(),
            unseen: sides[at].unseen.clone(),
        };
        let joining = Joining::new(how, known_side(0), known_side(1), on)?;
        let kept = if sides[0].bytes < sides[1].bytes { Side::Left } else { Side::Right };
        let mut job = joining.job(&chosen, only)?.with_kept(kept);
        let format = match result.is_typed() {
            true => {
                let (typed, types) = joining.typed(job, &known, [sides[0].format.clone(), sides[1].format.clone()])?;
                job = typed;
                eprintln!("types: {types}");
                result.typed(types)?
            }
            false => {
                job = if result.has_values() { job.with_values() } else { job };
                result.named(&job.names())?
            }
        };
        let submit = submit.with_output_format(format);
        let bytes = [sides[0].bytes, sides[1].bytes];
        let small = match broadcast {
            Some(Broadcast::Never) => None,
            Some(Broadcast::Left) => Some(Side::Left),
            Some(Broadcast::Right) => Some(Side::Right),
            None => Some(kept).filter(|side| bytes[*side as usize] <= BroadcastJoin::STORED_BYTES_MAX),
        };
        // What is left out of either side must lie beside the result.
        let small = small.filter(|side| is_strict && (broadcast.is_some() || BroadcastJoin::can(how, *side)));
        let to_all = match small {
            Some(side) => broadcast_of(&job, side, &driver, &submit).await,
            None => Err(Error::new(Code::Broadcast, "no side is small enough to go to every function")),
        };
        let handle = match to_all {
            Ok((side, to_all)) => {
                eprintln!("join: the {side} side goes to every function");
                driver.submit(&to_all, submit.with_side_alone(side.other())).await?
            }
            Err(error) if error.is(Code::Broadcast) || error.is(Code::AccessDenied) => {
                match broadcast {
                    Some(Broadcast::Left | Broadcast::Right) => eprintln!("join: both sides are merged: {error}"),
                    _ => eprintln!("join: both sides are merged"),
                }
                let is_one = partitions == Some(1);
                let job = if is_one { job } else { with_heavy(job, &driver, &submit, bytes).await? };
                driver.submit(&Joined(job), submit).await?
            }
            Err(error) => return Err(error),
        };
        finish(driver, handle, told, async |_| Ok(())).await
    }

    /// Says how many parts there are, unless the user does.
    pub(crate) fn with_parts(self, parts: u32) -> Self {
        let partitions = self.common.how.partitions.or(Some(parts));
        self.in_parts(partitions)
    }

    /// Says that there is one part, whatever the user does.
    pub(crate) fn in_one_part(self) -> Self {
        self.in_parts(Some(1))
    }

    fn in_parts(self, partitions: Option<u32>) -> Self {
        let how = How { partitions, ..self.common.how };
        OverRows { common: Common { how, ..self.common }, ..self }
    }

    /// Returns whether the result stores the types of its columns.
    pub(crate) fn is_typed(&self) -> bool {
        self.result.is_typed()
    }

    /// Runs a job whose result has these columns, which are written as [`Types`] are, and prints its report.
    pub(crate) async fn run<J: Job>(self, job: &J, columns: &str, cloud: &Cloud) -> Result<()> {
        let common = Common { format: self.result.format(columns)?, ..self.common };
        run_job(job, common, cloud).await
    }

    /// Returns the format of a result that has columns of these names, whose types are not known beforehand.
    pub(crate) fn result_format(&self, columns: &[&str]) -> Result<OutputFormat> {
        self.result.named(columns)
    }

    /// Runs a job whose result has columns of these names, whose types are not known beforehand, and prints its report.
    pub(crate) async fn run_named<J: Job>(self, job: &J, columns: &[&str], cloud: &Cloud) -> Result<()> {
        let common = Common { format: self.result.named(columns)?, ..self.common };
        run_job(job, common, cloud).await
    }

    /// Runs a job whose result stores the types of its rows' columns, and prints its report. The types are decided before, by those
    /// that are known and by a look at the input; the job is made of them.
    pub(crate) async fn run_typed<J: Job>(
        self,
        known: Types,
        job: impl FnOnce(Typed, &OutputFormat) -> J,
        cloud: &Cloud,
    ) -> Result<()> {
        let (format, columns) = self.format_and_columns()?;
        let (driver, told) = (start(&self.common.how, cloud).await?, self.common.how.told());
        let submit = self.common.submit()?;
        let typed = driver.type_input(&submit, Typing { format, columns, types: known }).await?;
        eprintln!("types: {} ({} of {} objects looked at)", typed.types, typed.sampled, typed.objects);
        let format = self.result.typed(typed.types.clone())?;
        let handle = driver.submit(&job(typed, &format), submit.with_output_format(format.clone())).await?;
        finish(driver, handle, told, async |_| Ok(())).await
    }
}

/// Makes the join of which a side goes to every function, and returns it with the side.
async fn broadcast_of(job: &JoinRows, side: Side, driver: &Driver, submit: &Submit) -> Result<(Side, BroadcastJoin)> {
    let none = || BroadcastJoin::new(job.clone(), side, Vec::new());
    none()?;
    let inputs = driver.list_side(submit, side).await?;
    let too_large = || Error::new(Code::Broadcast, format!("the {side} side is too large to go to every function"));
    let bytes_max = BroadcastJoin::TABLE_BYTES_MAX as u64;
    let pairs = driver.map_all(&inputs, &Joined(job.clone()), submit, bytes_max).await?.ok_or_else(too_large)?;
    Ok((side, BroadcastJoin::new(job.clone(), side, pairs)?))
}

/// Samples the side whose rows may be spread, for keys that have much of it.
async fn with_heavy(job: JoinRows, driver: &Driver, submit: &Submit, bytes: [u64; 2]) -> Result<JoinRows> {
    let Some(side) = job.spreads().filter(|side| bytes[*side as usize] >= JoinRows::SAMPLED_BYTES_MIN) else {
        return Ok(job);
    };
    let join = Joined(job);
    let inputs = driver.list_side(submit, side).await?;
    let sample = match driver.sample_of(&inputs, &join, submit, Sampling::default()).await {
        Ok(sample) => sample,
        // The functions may read what this program may not.
        Err(error) if error.is(Code::AccessDenied) => return Ok(join.0),
        Err(error) => return Err(error),
    };
    let key = |key: &JoinKey<RowKey>| match key {
        JoinKey::Keyed(key, _) | JoinKey::Placed(key, ..) => Some(key.clone()),
        JoinKey::Alone(..) => None,
    };
    let heavy = sample.shares(f64::from(JoinRows::HEAVY_PERCENT) / 100.0, key);
    for (key, share) in &heavy {
        eprintln!("heavy key: {} has about {:.0} % of the {side} side, and is spread", key.shown(), share * 100.0);
    }
    Ok(join.0.with_heavy(heavy))
}

/// Returns the types that columns of a side are said to have, by the names that the side has for them.
fn known_of(side: Side, known: &Types) -> Result<Types> {
    let of = known.columns().iter().map(|column| {
        let name = column.name.strip_prefix(&format!("{side}.")).unwrap_or(&column.name);
        TypedColumn { name: name.to_owned(), of: column.of.clone() }
    });
    let mut all: Vec<TypedColumn> = Vec::new();
    for column in of {
        if !all.iter().any(|other| other.name == column.name) {
            all.push(column);
        }
    }
    Types::new(all)
}
