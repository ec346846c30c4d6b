//! What a job wants of a file: its columns in order, and the row groups that may have rows for it.

use super::cells::{cells, column, column_type};
use super::file::File;
use super::types::typed_column;
use arrow_array::{Array as _, ArrayRef};
use kinglet_core::{Agreed, Code, Columns, Datum, Error, PathPart, Result, Schema, Selection, Types, Wanted, nearest};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use std::sync::Arc;

/// A file with what a job wants of it.
#[derive(Clone, Debug)]
pub struct Plan(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) file: File,
    /// The columns that are decoded, by their positions in the file, in ascending order.
    pub(super) decoded: Vec<usize>,
    /// Those that the job is given, in its order, by their positions among the decoded.
    pub(super) given: Vec<usize>,
    pub(super) conditions: Vec<Condition>,
    pub(super) mask: ProjectionMask,
}

/// What must hold of a column.
#[derive(Debug)]
pub(super) struct Condition {
    /// The position of the column in the file.
    column: usize,
    /// Its position among the decoded.
    pub(super) decoded: usize,
    pub(super) wanted: Wanted,
}

impl File {
    /// Returns the columns that can be read.
    pub fn schema(&self) -> Schema {
        let fields = self.0.decoded.schema().fields();
        Schema { columns: fields.iter().filter_map(|field| column(field).ok()).collect() }
    }

    /// Returns what a job wants of the file.
    ///
    /// # Errors
    /// Returns `columns` when the file has no column of a name, or one whose type is not read or compared so.
    pub fn plan(&self, selection: &Selection) -> Result<Plan> {
        let schema = self.0.decoded.schema();
        let wanted = self.wanted(&selection.columns)?;
        if let Some(agreed) = &selection.agreed {
            self.check(agreed, &wanted)?;
        }
        let compared = self.places(selection.only.iter().map(|only| &only.column))?;
        let mut decoded = [&wanted[..], &compared].concat();
        decoded.sort_unstable();
        decoded.dedup();
        for at in &decoded {
            if let Err(of) = column(schema.field(*at)) {
                let name = schema.field(*at).name();
                let message = format!("column {name} of {} is of the type {of}, which is not read", self.0.shown);
                return Err(Error::new(Code::Columns, message).with_hint("name the columns that are to be read"));
            }
        }
        let among = |at: usize| decoded.binary_search(&at).unwrap_or_default();
        let conditions = selection.only.iter().zip(&compared).map(|(only, at)| {
            let of = column_type(schema.field(*at).data_type()).unwrap_or(kinglet_core::ColumnType::Null);
            let wanted = Wanted::new(only, &of).map_err(|e| e.context(format!("reading {}", self.0.shown)))?;
            Ok(Condition { column: *at, decoded: among(*at), wanted })
        });
        let mask = ProjectionMask::roots(self.0.decoded.parquet_schema(), decoded.iter().copied());
        Ok(Plan(Arc::new(Inner {
            conditions: conditions.collect::<Result<_>>()?,
            given: wanted.into_iter().map(among).collect(),
            mask,
            file: self.clone(),
            decoded,
        })))
    }

    /// Returns the positions of the columns that are read.
    fn wanted(&self, columns: &Columns) -> Result<Vec<usize>> {
        let fields = self.0.decoded.schema().fields();
        let place = |name: &String| fields.iter().position(|field| field.name() == name);
        match columns {
            Columns::All => Ok((0..fields.len()).collect()),
            Columns::IfThere(names) => Ok(names.iter().filter_map(place).collect()),
            Columns::Named(names) => self.places(names.iter()),
            Columns::NamedOrInPath(names) => {
                let in_path: Vec<_> = PathPart::all(&self.0.shown).map(|part| part.name).collect();
                let is_said = |name: &&String| place(name).is_none() && in_path.iter().any(|part| part == *name);
                self.places(names.iter().filter(|name| !is_said(name)))
            }
        }
    }

    /// Returns the columns that are read, by the types that they are written as.
    ///
    /// # Errors
    /// Returns `columns` for a type that is not written, and `types` when two columns have one name.
    pub fn types(&self, columns: &Columns) -> Result<Types> {
        let fields = self.0.decoded.schema().fields();
        let typed = self.wanted(columns)?.into_iter().map(|at| {
            let name = fields[at].name();
            typed_column(&fields[at]).map_err(|of| {
                let message = format!("column {name} of {} is of the type {of}, which is not written", self.0.shown);
                Error::new(Code::Columns, message).with_hint("name the columns that are to be written: --columns")
            })
        });
        Types::new(typed.collect::<Result<_>>()?).map_err(|e| e.context(format!("reading {}", self.0.shown)))
    }

    /// Refuses a file whose columns are not what others' are. A value that the path says stands in place of the column's.
    fn check(&self, agreed: &Agreed, wanted: &[usize]) -> Result<()> {
        let fields = self.0.decoded.schema().fields();
        let in_path: Vec<_> = PathPart::all(&self.0.shown).map(|part| part.name).collect();
        let differs = wanted.iter().filter_map(|at| {
            let field = &fields[*at];
            let name = field.name();
            if agreed.cast.contains(name) || in_path.iter().any(|part| part == name) {
                return None;
            }
            match (typed_column(field), agreed.types.of(name)) {
                (Ok(column), Some(of)) if column.of == *of => None,
                (Ok(column), Some(of)) => Some(format!("its column {name} is {}, and not {of}", column.of)),
                (Err(of), Some(_)) => Some(format!("its column {name} is {of}, which is not written")),
                (_, None) => Some(format!("its column {name} is in no other that was looked at")),
            }
        });
        let differs: Vec<_> = differs.collect();
        if differs.is_empty() {
            return Ok(());
        }
        let message = format!("{} has another schema than {}: {}", self.0.shown, agreed.said_by, differs.join("; "));
        Err(Error::new(Code::Columns, message).with_hint(
            "say the types of these columns, as in --types 'NAME text'; or name the columns that all have: --columns",
        ))
    }

    /// Returns the positions of columns that must be there.
    fn places<'a>(&self, names: impl Iterator<Item = &'a String>) -> Result<Vec<usize>> {
        let fields = self.0.decoded.schema().fields();
        let (mut places, mut missing) = (Vec::new(), Vec::new());
        for name in names {
            match fields.iter().position(|field| field.name() == name) {
                Some(place) => places.push(place),
                None => missing.push(name.as_str()),
            }
        }
        if missing.is_empty() {
            return Ok(places);
        }
        let all: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
        let what = if missing.len() == 1 { "column" } else { "columns" };
        let message =
            format!("{} has no {what} {}; its columns are {}", self.0.shown, missing.join(", "), all.join(", "));
        let meant = missing.iter().find_map(|name| nearest(name, all.iter().copied()));
        let meant = meant.map(|near| format!("if {near:?} is meant, say so; otherwise ")).unwrap_or_default();
        let hint = format!("{meant}read files of one schema, and columns that they have");
        Err(Error::new(Code::Columns, message).with_hint(hint))
    }
}

impl Plan {
    /// Returns whether a row group may have rows for the job, by its statistics.
    pub fn may_have_rows(&self, group: usize) -> bool {
        self.0.conditions.iter().all(|condition| {
            let [least, most] = bounds(&self.0.file, condition.column, group);
            let (least, most) = (least.as_ref().map(cells), most.as_ref().map(cells));
            let least = least.as_ref().map_or(Datum::Null, |least| least.get(0));
            let most = most.as_ref().map_or(Datum::Null, |most| most.get(0));
            condition.wanted.may_hold(&least, &most)
        })
    }
}

/// Returns the bounds of a column's values in a row group, each as an array of one; `None` where they are not known, or not in an
/// order that is.
pub(super) fn bounds(file: &File, at: usize, group: usize) -> [Option<ArrayRef>; 2] {
    let (schema, metadata) = (file.0.decoded.schema(), file.0.decoded.metadata());
    let group = metadata.row_group(group);
    let parquet = file.0.decoded.parquet_schema();
    let mut leaves = (0..parquet.num_columns()).filter(|leaf| parquet.get_column_root_idx(*leaf) == at);
    let (Some(leaf), None) = (leaves.next(), leaves.next()) else { return [None, None] };
    // The deprecated fields compare bytes with a sign, in some files.
    let statistics = group.column(leaf).statistics();
    if statistics.is_none_or(|statistics| statistics.is_min_max_deprecated()) {
        return [None, None];
    }
    let Ok(converter) = StatisticsConverter::try_new(schema.field(at).name(), schema, parquet) else {
        return [None, None];
    };
    let orders = metadata.file_metadata().column_orders().map(Vec::as_slice);
    let converter = converter.with_column_orders(orders);
    [converter.row_group_mins([group]), converter.row_group_maxes([group])]
        .map(|array| array.ok().filter(|array| array.len() == 1))
}
