//! Which columns of a file a job wants, and what must hold of them, by the file's schema as Arrow has it.

#[cfg(feature = "parquet")]
use super::cells::Nothing;
use super::cells::{cells, column, column_type};
use super::types::typed_column;
use arrow_array::RecordBatch;
use arrow_schema::Schema as ArrowSchema;
use kinglet_core::{
    Agreed, Block, BlockColumn, Cells, Code, Columns, Error, PathPart, Result, Schema, Selection, Types, Wanted,
    nearest,
};

/// A file's schema, and what errors call the file.
#[derive(Clone, Copy)]
pub(crate) struct OfFile<'a> {
    pub(crate) shown: &'a str,
    pub(crate) schema: &'a ArrowSchema,
}

/// What a job wants of a file's columns.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// The columns that are decoded, by their positions in the file, in ascending order.
    pub(crate) decoded: Vec<usize>,
    /// Those that the job is given, in its order, by their positions among the decoded.
    given: Vec<usize>,
    pub(crate) conditions: Vec<Condition>,
}

/// What must hold of a column.
#[derive(Debug)]
pub(crate) struct Condition {
    /// The position of the column in the file.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code))]
    pub(crate) column: usize,
    /// Its position among the decoded.
    decoded: usize,
    pub(crate) wanted: Wanted,
}

impl OfFile<'_> {
    /// Returns the columns that can be read.
    pub(crate) fn columns(&self) -> Schema {
        let fields = self.schema.fields();
        Schema { columns: fields.iter().filter_map(|field| column(field).ok()).collect() }
    }

    /// Returns what a job wants of the file.
    ///
    /// # Errors
    /// Returns `columns` when the file has no column of a name, or one whose type is not read or compared so.
    pub(crate) fn chosen(&self, selection: &Selection) -> Result<Chosen> {
        let schema = self.schema;
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
                let message = format!("column {name} of {} is of the type {of}, which is not read", self.shown);
                return Err(Error::new(Code::Columns, message).with_hint("name the columns that are to be read"));
            }
        }
        let among = |at: usize| decoded.binary_search(&at).unwrap_or_default();
        let conditions = selection.only.iter().zip(&compared).map(|(only, at)| {
            let of = column_type(schema.field(*at).data_type()).unwrap_or(kinglet_core::ColumnType::Null);
            let wanted = Wanted::new(only, &of).map_err(|e| e.context(format!("reading {}", self.shown)))?;
            Ok(Condition { column: *at, decoded: among(*at), wanted })
        });
        Ok(Chosen {
            conditions: conditions.collect::<Result<_>>()?,
            given: wanted.into_iter().map(among).collect(),
            decoded,
        })
    }

    /// Returns the positions of the columns that are read.
    fn wanted(&self, columns: &Columns) -> Result<Vec<usize>> {
        let fields = self.schema.fields();
        let place = |name: &String| fields.iter().position(|field| field.name() == name);
        match columns {
            Columns::All => Ok((0..fields.len()).collect()),
            Columns::IfThere(names) => Ok(names.iter().filter_map(place).collect()),
            Columns::Named(names) => self.places(names.iter()),
            Columns::NamedOrInPath(names) => {
                let in_path: Vec<_> = PathPart::all(self.shown).map(|part| part.name).collect();
                let is_said = |name: &&String| place(name).is_none() && in_path.iter().any(|part| part == *name);
                self.places(names.iter().filter(|name| !is_said(name)))
            }
        }
    }

    /// Returns the columns that are read, by the types that they are written as.
    ///
    /// # Errors
    /// Returns `columns` for a type that is not written, and `types` when two columns have one name.
    pub(crate) fn types(&self, columns: &Columns) -> Result<Types> {
        let fields = self.schema.fields();
        let typed = self.wanted(columns)?.into_iter().map(|at| {
            let name = fields[at].name();
            typed_column(&fields[at]).map_err(|of| {
                let message = format!("column {name} of {} is of the type {of}, which is not written", self.shown);
                Error::new(Code::Columns, message).with_hint("name the columns that are to be written: --columns")
            })
        });
        Types::new(typed.collect::<Result<_>>()?).map_err(|e| e.context(format!("reading {}", self.shown)))
    }

    /// Refuses a file whose columns are not what others' are. A value that the path says stands in place of the column's.
    fn check(&self, agreed: &Agreed, wanted: &[usize]) -> Result<()> {
        let fields = self.schema.fields();
        let in_path: Vec<_> = PathPart::all(self.shown).map(|part| part.name).collect();
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
        let message = format!("{} has another schema than {}: {}", self.shown, agreed.said_by, differs.join("; "));
        Err(Error::new(Code::Columns, message).with_hint(
            "say the types of these columns, as in --types 'NAME text'; or name the columns that all have: --columns",
        ))
    }

    /// Returns the positions of columns that must be there.
    fn places<'a>(&self, names: impl Iterator<Item = &'a String>) -> Result<Vec<usize>> {
        let fields = self.schema.fields();
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
            format!("{} has no {what} {}; its columns are {}", self.shown, missing.join(", "), all.join(", "));
        let meant = missing.iter().find_map(|name| nearest(name, all.iter().copied()));
        let meant = meant.map(|near| format!("if {near:?} is meant, say so; otherwise ")).unwrap_or_default();
        let hint = format!("{meant}read files of one schema, and columns that they have");
        Err(Error::new(Code::Columns, message).with_hint(hint))
    }
}

impl Chosen {
    /// Makes a block of rows that were not decoded, as none of them is the job's.
    #[cfg(feature = "parquet")]
    pub(crate) fn passed_over(&self, schema: &ArrowSchema, rows: usize) -> Block {
        let columns = self.given.iter().map(|at| BlockColumn {
            name: schema.field(self.decoded[*at]).name().as_str().into(),
            cells: Box::new(Nothing),
        });
        Block::new(columns.collect(), rows, Some(vec![]))
    }

    /// Makes a block of rows that were decoded: of a batch of the columns that are decoded, by the file's schema.
    pub(crate) fn block(&self, schema: &ArrowSchema, batch: &RecordBatch) -> Block {
        let columns = self.given.iter().map(|at| BlockColumn {
            name: schema.field(self.decoded[*at]).name().as_str().into(),
            cells: cells(batch.column(*at)),
        });
        let chosen = (!self.conditions.is_empty()).then(|| {
            let compared: Vec<_> = self.conditions.iter().map(|one| (one, cells(batch.column(one.decoded)))).collect();
            let holds = |row: usize| {
                compared.iter().all(|(one, cells): &(&Condition, Box<dyn Cells>)| one.wanted.holds(&cells.get(row)))
            };
            (0..batch.num_rows()).filter(|row| holds(*row)).map(|row| row as u32).collect()
        });
        Block::new(columns.collect(), batch.num_rows(), chosen)
    }
}
