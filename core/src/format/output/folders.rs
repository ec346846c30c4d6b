//! The columns whose values are folders, `year=2026/month=11/`: taken out of each record, in the order in which the output names
//! them.
//!
//! | value | its folder says |
//! |---|---|
//! | null | `__HIVE_DEFAULT_PARTITION__` |
//! | text, and bytes that are UTF-8 | the text; empty text, nothing |
//! | a boolean, a number, a date or time | what CSV has for it |
//! | a list, a struct, other bytes | an error |
//!
//! Where the output stores types, a value is first made what its column's type is, or is an error. `core/src/hive.rs` says how names
//! and values are escaped.

use crate::error::{Code, Error, Result};
use crate::format::typed::cast;
use crate::format::{Datum, Named, RowValues};
use crate::hive::write_folder;
use crate::limits::FOLDER_BYTES_MAX;
use crate::output::{OutputFormat, nearest, shown};
use crate::types::TypedColumn;
use std::borrow::Cow;

/// The folders of an output that is [partitioned by columns](OutputFormat::with_partition_by): for jobs that bring records of one
/// folder together.
///
/// ```
/// use kinglet_core::{Datum, Folders, Named, OutputFormat};
///
/// let format = OutputFormat::json_lines().with_partition_by(["year"]);
/// let mut folders = Folders::of(&format).unwrap();
/// let row = [Named { name: "n".into(), value: Datum::Int(1) }, Named { name: "year".into(), value: Datum::Int(2026) }];
/// assert_eq!(folders.path_of(&row)?, "year=2026/");
/// # Ok::<(), kinglet_core::Error>(())
/// ```
pub struct Folders {
    by: Vec<By>,
    /// The names of all columns, where the format says them.
    columns: Vec<String>,
    /// The folders of the last record, each with its `/`.
    path: String,
    scratch: Vec<u8>,
}

/// A column whose values are folders.
struct By {
    name: String,
    /// As it is stored, if types are.
    typed: Option<TypedColumn>,
    /// Where it stood in the last record, when those before it were taken out.
    place: usize,
    /// Where it stood in the last record that was looked at.
    seen: usize,
}

impl Folders {
    /// Returns the folders of a format; `None` if its parts lie side by side.
    pub fn of(format: &OutputFormat) -> Option<Self> {
        let types = format.typed().map(|typed| typed.types);
        let typed = |name: &String| types?.columns().iter().find(|column| column.name == *name).cloned();
        let by = |name: &String| By { name: name.clone(), typed: typed(name), place: 0, seen: 0 };
        let by: Vec<By> = format.partition_by().iter().map(by).collect();
        let columns = match types {
            Some(types) => types.names().map(str::to_owned).collect(),
            None => format.columns().to_vec(),
        };
        (!by.is_empty()).then(|| Folders { by, columns, path: String::new(), scratch: Vec::new() })
    }

    /// Returns the folder of a record with these values.
    ///
    /// # Errors
    /// Returns `output-columns` when it lacks one of the columns that name folders, and the output does not name all of its columns;
    /// `output-value` when a value cannot name a folder.
    pub fn path_of(&mut self, fields: &[Named<'_>]) -> Result<&str> {
        self.path.clear();
        for by in &mut self.by {
            let is_it = |field: &Named<'_>| field.name == by.name;
            if !fields.get(by.seen).is_some_and(is_it) {
                match fields.iter().position(is_it) {
                    Some(place) => by.seen = place,
                    None if self.columns.is_empty() => return Err(missing(&by.name, fields)),
                    None => {
                        by.write(Datum::Null, &mut self.path, &mut self.scratch)?;
                        continue;
                    }
                }
            }
            by.write(fields[by.seen].value.clone(), &mut self.path, &mut self.scratch)?;
        }
        Ok(&self.path)
    }

    /// Returns the folder of the record that was taken last.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the columns.
    pub(crate) fn names(&self) -> String {
        shown(self.by.iter().map(|by| &by.name))
    }

    /// Takes the values that are folders out of a record, and returns the others.
    pub(crate) fn take<'d>(&mut self, record: RowValues<'d>) -> Result<RowValues<'d>> {
        self.path.clear();
        let values = match record {
            RowValues::Named(fields) => return self.take_named(fields.into_owned()),
            RowValues::Listed(values) => values,
            RowValues::One(value) => vec![value],
        };
        if self.columns.len() != values.len() {
            let message = match self.columns.is_empty() {
                true => {
                    format!("a record has {} values without names, of which none is {}", values.len(), self.names())
                }
                false => format!(
                    "a record has {} values without names, and the output has the columns {}",
                    values.len(),
                    shown(&self.columns)
                ),
            };
            return Err(Error::new(Code::OutputColumns, message)
                .with_hint("name the columns: --columns A,B,… (`OutputFormat::with_columns`)"));
        }
        let mut values: Vec<Option<Datum<'d>>> = values.into_iter().map(Some).collect();
        for by in &self.by {
            let place = self.columns.iter().position(|name| *name == by.name);
            let value = place.and_then(|at| values[at].take()).unwrap_or(Datum::Null);
            by.write(value, &mut self.path, &mut self.scratch)?;
        }
        Ok(RowValues::Listed(values.into_iter().flatten().collect()))
    }

    fn take_named<'d>(&mut self, mut fields: Vec<Named<'d>>) -> Result<RowValues<'d>> {
        for at in 0..self.by.len() {
            let by = &mut self.by[at];
            let is_it = |field: &Named<'_>| field.name == by.name;
            let place = match fields.get(by.place).is_some_and(is_it) {
                true => Some(by.place),
                false => fields.iter().position(is_it),
            };
            let value = match place {
                Some(place) => {
                    by.place = place;
                    fields.remove(place).value
                }
                // One that a record lacks is null where the output names its columns.
                None if !self.columns.is_empty() => Datum::Null,
                None => return Err(missing(&self.by[at].name, &fields)),
            };
            self.by[at].write(value, &mut self.path, &mut self.scratch)?;
        }
        if fields.is_empty() && self.columns.is_empty() {
            let message = format!(
                "a record has no columns but those by which the output is partitioned ({}): nothing is left for its file",
                self.names()
            );
            return Err(Error::new(Code::OutputColumns, message).with_hint("partition it by fewer columns"));
        }
        Ok(RowValues::Named(Cow::Owned(fields)))
    }
}

/// Returns the error of a record without a column that names folders.
fn missing(by: &str, fields: &[Named<'_>]) -> Error {
    let names = || fields.iter().map(|field| &*field.name);
    let message = format!("a record has no column {by}, by which the output is partitioned: it has {}", shown(names()));
    Error::new(Code::OutputColumns, message).with_hint(format!(
        "{}; where all columns are named, --columns A,B,… (`OutputFormat::with_columns`), one that a record lacks is null",
        nearest(by, names())
    ))
}

impl By {
    /// Appends the folder of a value.
    fn write(&self, value: Datum<'_>, path: &mut String, scratch: &mut Vec<u8>) -> Result<()> {
        let value = match &self.typed {
            Some(column) => cast(value, &column.of).map_err(|misfit| misfit.of(column, Code::OutputValue))?,
            None => value,
        };
        let refused = |what: &str| {
            let message = format!("column {} has {what}, and cannot name a folder", self.name);
            Err(Error::new(Code::OutputValue, message).with_hint("partition by another column"))
        };
        let start = path.len();
        match &value {
            Datum::Null => write_folder(&self.name, None, path),
            Datum::Text(text) | Datum::Decimal(text) => write_folder(&self.name, Some(text), path),
            Datum::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => write_folder(&self.name, Some(text), path),
                Err(_) => return refused("bytes that are no text"),
            },
            Datum::List(_) => return refused("a list"),
            Datum::Struct(_) => return refused("a struct"),
            Datum::Bool(_) | Datum::Int(_) | Datum::Float(_) | Datum::Temporal(_) => {
                scratch.clear();
                super::csv::write_value(&value, 0, &mut Vec::new(), scratch)?;
                write_folder(&self.name, Some(&String::from_utf8_lossy(scratch)), path);
            }
        }
        // Its `/` is not part of the name.
        let bytes = path.len() - start - 1;
        if bytes > FOLDER_BYTES_MAX {
            let what = format!("a value whose folder's name has {bytes} bytes, where {FOLDER_BYTES_MAX} are the most");
            return refused(&what);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Temporal, TimeUnit};

    fn named<const N: usize>(fields: [(&'static str, Datum<'static>); N]) -> RowValues<'static> {
        let named = |(name, value): (&'static str, _)| Named { name: name.into(), value };
        RowValues::Named(fields.map(named).to_vec().into())
    }

    fn folders(format: &OutputFormat) -> Folders {
        format.check().unwrap();
        Folders::of(format).unwrap()
    }

    fn text(text: &'static str) -> Datum<'static> {
        Datum::Text(text.into())
    }

    #[test]
    fn values_name_folders_and_the_others_stay() {
        let mut folders = folders(&OutputFormat::json_lines().with_partition_by(["b", "a"]));
        let rest = folders.take(named([("a", Datum::Int(-7)), ("x", text("1")), ("b", text("é/ü"))])).unwrap();
        assert_eq!((folders.path(), rest), ("b=é%2Fü/a=-7/", named([("x", text("1"))])));
        // In another order, and without a value.
        let rest = folders.take(named([("b", text("")), ("x", text("2")), ("a", Datum::Null)])).unwrap();
        assert_eq!((folders.path(), rest), ("b=/a=__HIVE_DEFAULT_PARTITION__/", named([("x", text("2"))])));
        let at = Datum::Temporal(Temporal::Timestamp { value: 1_000, unit: TimeUnit::Millis, utc: false });
        for (value, said) in [
            (Datum::Bool(true), "true"),
            (Datum::Float(0.5), "0.5"),
            (Datum::Float(f64::NAN), "NaN"),
            (Datum::Decimal("1.50".into()), "1.50"),
            (Datum::Bytes(b"x".into()), "x"),
            (Datum::Temporal(Temporal::Date(0)), "1970-01-01"),
            (at, "1970-01-01T00%3A00%3A01"),
        ] {
            let record = named([("a", value), ("x", text("1")), ("b", text("b"))]);
            let RowValues::Named(fields) = &record else { unreachable!() };
            assert_eq!(folders.path_of(fields).unwrap(), format!("b=b/a={said}/"));
            folders.take(record).unwrap();
            assert_eq!(folders.path(), format!("b=b/a={said}/"));
        }
    }

    #[test]
    fn values_without_names_are_the_columns_that_the_output_names() {
        let mut folders =
            folders(&OutputFormat::csv().with_columns(["word", "year", "count"]).with_partition_by(["year"]));
        let rest = folders.take(RowValues::Listed(vec![text("a"), Datum::Int(2026), Datum::Int(3)])).unwrap();
        assert_eq!((folders.path(), rest), ("year=2026/", RowValues::Listed(vec![text("a"), Datum::Int(3)])));
        let rest = folders.take(named([("count", Datum::Int(1))])).unwrap();
        let missing = "year=__HIVE_DEFAULT_PARTITION__/";
        assert_eq!((folders.path(), rest), (missing, named([("count", Datum::Int(1))])));
        let error = folders.take(RowValues::Listed(vec![text("a")])).unwrap_err();
        assert!(error.is(Code::OutputColumns) && error.to_string().contains("word, year, count"), "{error}");
    }

    #[test]
    fn types_say_what_a_value_is() {
        let types = "n bigint, month int".parse().unwrap();
        let mut folders = folders(&OutputFormat::parquet(types).with_partition_by(["month"]));
        folders.take(named([("n", Datum::Int(1)), ("month", text("07"))])).unwrap();
        assert_eq!(folders.path(), "month=7/");
        let error = folders.take(named([("month", text("July"))])).unwrap_err();
        assert!(error.is(Code::OutputValue) && error.to_string().contains("column month is int"), "{error}");
    }

    #[test]
    fn what_names_no_folder_is_refused() {
        let format = OutputFormat::json_lines().with_partition_by(["year"]);
        let refused = |record: RowValues<'static>, code: Code, says: &str| {
            let error = folders(&format).take(record).unwrap_err();
            assert!(error.is(code) && error.to_string().contains(says), "{error}");
            error.hint().unwrap().to_owned()
        };
        let one = |value| named([("year", value), ("x", Datum::Null)]);
        refused(one(Datum::List(vec![])), Code::OutputValue, "column year has a list");
        refused(one(Datum::Struct(vec![])), Code::OutputValue, "column year has a struct");
        refused(one(Datum::Bytes(b"\xff"[..].into())), Code::OutputValue, "bytes that are no text");
        refused(one(Datum::Text("x".repeat(251).into())), Code::OutputValue, "256 bytes, where 255 are the most");
        folders(&format).take(one(Datum::Text("x".repeat(250).into()))).unwrap();
        let hint = refused(named([("Yaer", Datum::Null)]), Code::OutputColumns, "no column year");
        assert!(hint.starts_with("did you mean Yaer?"), "{hint}");
        let hint = refused(named([("town", Datum::Null)]), Code::OutputColumns, "it has town");
        assert!(!hint.contains("mean"), "{hint}");
        refused(named([("year", Datum::Null)]), Code::OutputColumns, "nothing is left for its file");
        refused(RowValues::One(Datum::Null), Code::OutputColumns, "without names");
    }
}
