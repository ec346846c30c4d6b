//! The types of the columns of a job's input, decided once for the whole job: for results in a format that stores types, as Parquet
//! does, where each part must have the same.
//!
//! | what says a column's type | |
//! |---|---|
//! | who submits | its name and type; its values are made what the type is, or fail the job |
//! | Parquet, Avro | the footers or heads of the sample, which must agree; every other file is held to that as it is read |
//! | a value in the path | as CSV has it |
//! | CSV, JSON lines | the rows in the first megabyte of each object of the sample, together |
//!
//! The sample is of at most [`SAMPLED_MAX`] objects. What it did not show fails the job where it is met, by object and place: nothing
//! is left out or made null because it does not fit.

use crate::columns::Columns;
use crate::look::{Added, LOOK_BYTES, ReadAs, Start};
use crate::submission::Places;
use crate::{Agreed, Code, Columns as Which, Driver, Error, Result, RowFormat, Schema, Submit, Types, ValueType};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kinglet_core::wire::spec::InputSpec;
use kinglet_core::{Column, ColumnType, Datum, Named, PathPart, TypedColumn, type_of};
use kinglet_splitter::list::{self, Sample, Sampled};

/// How many objects are looked at.
const SAMPLED_MAX: usize = 16;

/// How many of them at once.
const LOOKS_AT_ONCE: usize = 4;

/// What is known of columns beforehand.
#[derive(Clone, Debug, Default)]
pub struct Typing {
    /// The format of the input.
    pub format: RowFormat,
    /// The columns that are wanted, in order; without any, all.
    pub columns: Vec<String>,
    /// The types that some columns are to have.
    pub types: Types,
}

/// The columns of an input and their types.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Typed {
    /// How the input is to be read, so that values are as they were written.
    pub format: RowFormat,
    /// The columns.
    pub types: Types,
    /// How many objects were looked at.
    pub sampled: usize,
    /// Of how many.
    pub objects: usize,
}

/// The columns of an input, as a look at it shows them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InputColumns {
    /// The columns and their types, in the order in which they were met; none if there is no row, and no head either.
    pub types: Types,
    /// Columns that had no value in any row that was looked at. Their type is said to be text.
    pub unseen: Vec<String>,
    /// How the input is to be read for these types, so that values are as they were written.
    pub format: RowFormat,
    /// How many objects were looked at.
    pub sampled: usize,
    /// Of how many that are not empty.
    pub objects: usize,
    /// How many bytes these have, as they are stored.
    pub bytes: u64,
}

/// What the sample says.
#[derive(Default)]
struct Said {
    types: Types,
    /// Columns of which no value was seen.
    unseen: Vec<String>,
    /// Of Parquet and Avro: what the footers or heads say, and the first of those objects.
    agreed: Option<Agreed>,
    /// The first object of which no whole row was read, as that is longer than what is read.
    cut: Option<String>,
    sampled: usize,
    objects: usize,
    bytes: u64,
}

/// The columns of one object.
struct OfObject {
    shown: String,
    /// As its footer or head says them.
    types: Types,
}

impl Driver {
    /// Says which columns the input of a submission has and of which types they are, by what is known beforehand and by a sample: the
    /// footers or heads of at most 16 objects of Parquet or Avro, or the first megabyte of as many others. If the columns that are wanted all have
    /// types, nothing is read.
    ///
    /// # Errors
    /// `columns` when objects have columns of one name and different types, or lack what is wanted; `types` when no row was found, or
    /// two columns have one name; `record-invalid`; `input-missing`; [a service error](crate#errors).
    pub async fn type_input(&self, submit: &Submit, typing: Typing) -> Result<Typed> {
        let Typing { format, columns, types: known } = typing;
        let is_known = !columns.is_empty() && columns.iter().all(|name| known.of(name).is_some());
        let said = match is_known {
            true => Said::default(),
            false => self.look_at_some(submit, &format, &columns, &known).await.map_err(|error| match error.is(Code::AccessDenied) {
                // Functions may read what a driver may not.
                true => error.with_hint(
                    "let this driver read the input, or name all columns and their types, so that nothing need be read: \
                     --columns and --types",
                ),
                false => error,
            })?,
        };
        let types = wanted(&columns, &known, &said.types)?;
        let format = typed_format(format, &columns, said.agreed);
        Ok(Typed { format, types, sampled: said.sampled, objects: said.objects })
    }

    /// Says which columns the input of a submission has, and of which types they are: by a look at at most 16 objects of it, as
    /// [`Driver::type_input`] has it. Of CSV without any row, the heads say the names. Files of Parquet may disagree on columns whose types
    /// are `known`.
    ///
    /// # Errors
    /// As [`Driver::type_input`], but an input without rows is none.
    pub async fn input_columns(&self, submit: &Submit, format: &RowFormat, known: &Types) -> Result<InputColumns> {
        let said = self.look_at_some(submit, format, &[], known).await.map_err(|error| {
            match error.is(Code::AccessDenied) {
                true => {
                    error.with_hint("let this driver read the input: it must know the columns before the job begins")
                }
                false => error,
            }
        })?;
        let Said { types, unseen, agreed, cut, sampled, objects, bytes } = said;
        if let Some(shown) = cut.filter(|_| types.columns().is_empty()) {
            let message = format!(
                "which columns there are cannot be told: the first row of {shown} is longer than {LOOK_BYTES} bytes"
            );
            return Err(Error::new(Code::Columns, message).with_hint(
                "convert it to Parquet, whose files say them: `kinglet run convert --output-format parquet`, with all \
                     --columns and their --types",
            ));
        }
        let format = typed_format(format.clone(), &[], agreed);
        Ok(InputColumns { types, unseen, format, sampled, objects, bytes })
    }

    async fn look_at_some(
        &self,
        submit: &Submit,
        format: &RowFormat,
        columns: &[String],
        known: &Types,
    ) -> Result<Said> {
        let places = Places::resolve(&self.shared, submit).await?;
        let inputs: &[InputSpec] = &places.inputs;
        let objects = &self.shared.conductor.objects;
        let sample = list::sample(objects, inputs, &submit.conditions, SAMPLED_MAX).await?;
        let Sample { objects: sampled, of, bytes } = sample;
        let count = sampled.len();
        let said = match format {
            RowFormat::Parquet(_) | RowFormat::Avro(_) => {
                let looks = sampled.into_iter().map(|object| self.stored_types(object, format, which(columns)));
                agree(stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await?, known)?
            }
            format => {
                let looks = sampled.into_iter().map(|object| self.first_bytes(object));
                let mut starts = stream::iter(looks).buffered(LOOKS_AT_ONCE);
                let (mut schema, mut rows, mut cut) = (Schema::default(), 0, None);
                while let Some(object) = starts.try_next().await? {
                    let read_as = ReadAs { format: format.clone(), codec: submit.unpack.codec };
                    let is_cut;
                    let shown = object.shown.clone();
                    (schema, rows, is_cut) = in_background(move || {
                        let Added { rows, is_cut } = object.start().add_to(&mut schema, rows, read_as)?;
                        Ok((schema, rows, is_cut))
                    })
                    .await?;
                    cut = cut.or(is_cut.then_some(shown));
                }
                let unseen = |column: &&Column| column.of == ColumnType::Null;
                let unseen = schema.columns.iter().filter(unseen).map(|column| column.name.clone()).collect();
                Said { types: type_of(&schema)?, unseen, cut, ..Said::default() }
            }
        };
        Ok(Said { sampled: count, objects: of, bytes, ..said })
    }

    async fn stored_types(&self, object: Sampled, format: &RowFormat, columns: Which) -> Result<OfObject> {
        let Sampled { bucket, listed, shown } = object;
        let ranged = self.shared.conductor.objects.ranged(&bucket, &listed.key, &listed.etag, &shown);
        let in_blocks = matches!(format, RowFormat::Avro(_));
        let looked = Columns { object: std::sync::Arc::new(ranged), size: listed.size, in_blocks };
        in_background(move || Ok(OfObject { types: looked.file()?.types(&columns)?, shown })).await
    }

    async fn first_bytes(&self, object: Sampled) -> Result<First> {
        let Sampled { bucket, listed, shown } = object;
        let to = LOOK_BYTES.min(listed.size);
        let mut reader = self.shared.conductor.objects.read(&bucket, &listed.key, Some(&listed.etag), 0, to, &shown);
        let bytes = reader.all().await?;
        Ok(First { shown, bytes, size: listed.size })
    }
}

/// The first bytes of an object.
struct First {
    shown: String,
    bytes: Vec<u8>,
    size: u64,
}

impl First {
    fn start(&self) -> Start<'_> {
        Start { shown: &self.shown, first: self.bytes.clone().into(), size: self.size }
    }
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let stopped = |e| Error::new(Code::Threads, format!("looking at an object: {e}"));
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

/// Returns how an input is read for the types of its columns: as it was written, and what must hold of its files.
fn typed_format(format: RowFormat, columns: &[String], agreed: Option<Agreed>) -> RowFormat {
    match format {
        RowFormat::Csv(dialect) => RowFormat::Csv(dialect.with_text_or_nothing()),
        mut other => {
            if let Some(selection) = other.in_columns_mut() {
                selection.columns = which(columns);
                selection.agreed = agreed;
            }
            other
        }
    }
}

fn which(columns: &[String]) -> Which {
    if columns.is_empty() { Which::All } else { Which::IfThere(columns.to_vec()) }
}

/// Returns the columns that are wanted, by what is known beforehand or else by the sample.
fn wanted(columns: &[String], known: &Types, sampled: &Types) -> Result<Types> {
    let typed = |name: &str| known.of(name).or_else(|| sampled.of(name)).cloned();
    let column = |name: &str, of| TypedColumn { name: name.to_owned(), of };
    let all: Vec<TypedColumn> = if columns.is_empty() {
        let only_known = known.names().filter(|name| sampled.of(name).is_none());
        sampled.names().chain(only_known).filter_map(|name| Some(column(name, typed(name)?))).collect()
    } else {
        let found = columns.iter().map(|name| {
            typed(name).map(|of| column(name, of)).ok_or_else(|| {
                let there: Vec<_> = sampled.names().collect();
                let message =
                    format!("no object that was looked at has a column {name}; there are {}", there.join(", "));
                let text = TypedColumn { name: name.clone(), of: ValueType::Text };
                Error::new(Code::Columns, message).with_hint(format!("say its type: --types '{text}'"))
            })
        });
        found.collect::<Result<_>>()?
    };
    if all.is_empty() {
        return Err(Error::new(Code::Types, "no row was found by which the types of columns could be told")
            .with_hint("say them, as in --types 'id bigint, name text'"));
    }
    Types::new(all)
}

/// Returns the columns of all objects, whose types must be the same unless they are known beforehand.
fn agree(objects: Vec<OfObject>, known: &Types) -> Result<Said> {
    let mut all: Vec<Found> = Vec::new();
    let mut agreed: Vec<TypedColumn> = Vec::new();
    for object in &objects {
        let in_path: Vec<TypedColumn> = path_columns(&object.shown)?;
        let of_path = |name: &str| in_path.iter().any(|column| column.name == name);
        let of_file = object.types.columns().iter().filter(|column| !of_path(&column.name));
        for column in of_file.chain(&in_path) {
            match all.iter_mut().find(|found| found.column.name == column.name) {
                None => all.push(Found { column: column.clone(), object: &object.shown }),
                Some(found) if found.column.of == column.of || known.of(&column.name).is_some() => {}
                // Values in paths are text, and are read as what they look like.
                Some(found) if of_path(&column.name) => found.column.of = ValueType::Text,
                Some(found) => return Err(found.differs(column, &object.shown)),
            }
            if !of_path(&column.name) && !agreed.iter().any(|other| other.name == column.name) {
                agreed.push(column.clone());
            }
        }
    }
    let cast = known.names().map(str::to_owned).collect();
    let agreed = match objects.first() {
        Some(first) => Some(Agreed { types: Types::new(agreed)?, said_by: first.shown.clone(), cast }),
        None => None,
    };
    let types = Types::new(all.into_iter().map(|found| found.column).collect())?;
    Ok(Said { types, agreed, ..Said::default() })
}

/// A column, and the object in which it was found first.
struct Found<'a> {
    column: TypedColumn,
    object: &'a str,
}

impl Found<'_> {
    fn differs(&self, other: &TypedColumn, object: &str) -> Error {
        let (name, of) = (&self.column.name, &self.column.of);
        let message = format!("column {name} is {of} in {}, and {} in {object}", self.object, other.of);
        Error::new(Code::Columns, message)
            .with_hint(format!("say which type takes both: --types '{name} text'; or name other columns: --columns"))
    }
}

/// Returns the columns that an object's path says, by what their values look like.
fn path_columns(shown: &str) -> Result<Vec<TypedColumn>> {
    let mut schema = Schema::default();
    let fields: Vec<Named<'_>> = PathPart::all(shown)
        .map(|part| {
            let value = part.value.map_or(Datum::Null, |value| Datum::of_field(value.into_owned().into_bytes().into()));
            Named { name: part.name, value }
        })
        .collect();
    schema.add(&fields, 0);
    Ok(type_of(&schema)?.columns().to_vec())
}
