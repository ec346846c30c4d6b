//! The options that the jobs over rows share, and how they are run.

use super::how::{Common, How, Told, finish, run_job, start};
use crate::options::{ChosenRows, Cloud, EmbeddedOnly, RowsArgs, WrittenArgs};
use clap::Args;
use kinglet::{Code, Driver, Error, Job, OutputFormat, Result, RowFormat, Submit, Typed, Types, Typing};
use kinglet_jobs::{Aggregate, By, Computed, Ordered, TypedRows};

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
        let columns: Vec<String> = job.columns().into_iter().cloned().collect();
        let read = match columns.is_empty() {
            true => Types::default(),
            false => driver.type_input(&submit, Typing { format, columns, types: Types::default() }).await?.types,
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
