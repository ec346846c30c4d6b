//! Some rows of an object, by columns.

use crate::error::{Code, Error, UserError, UserResult};
use crate::format::Datum;
use crate::side::Side;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The values of one column in some rows.
pub trait Cells: Send + Sync {
    /// Returns the value in a row, which is less than the number of rows.
    fn get(&self, row: usize) -> Datum<'_>;
}

/// A column of a block.
pub struct BlockColumn {
    /// Its name.
    pub name: Arc<str>,
    /// Its values.
    pub cells: Box<dyn Cells>,
}

impl fmt::Debug for BlockColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockColumn").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Rows that were decoded together, by columns.
#[derive(Debug)]
pub struct Block {
    columns: Vec<BlockColumn>,
    rows: usize,
    /// Those rows that are the job's, if not all are.
    chosen: Option<Vec<u32>>,
    /// The rows as JSON, end to end, once somebody has asked for them.
    json: OnceLock<Json>,
}

#[derive(Debug, Default)]
struct Json {
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// A block, and where its rows lie.
#[derive(Clone, Copy, Debug)]
pub struct BlockExtent<'a> {
    /// The rows.
    pub block: &'a Block,
    /// The place of the first of them: how many rows of the object come before them. Of Avro, as
    /// [`Framing::place_in_block`](crate::Framing::place_in_block) has it.
    pub first_row: u64,
    /// The object's name in errors: `s3://bucket/key`.
    pub object: &'a str,
    /// The side of a join that the object belongs to; otherwise the left one.
    pub side: Side,
}

impl Block {
    /// Makes a block of this many rows. If `chosen` is given, only the rows that it names, in ascending order, are given to the
    /// job.
    pub fn new(columns: Vec<BlockColumn>, rows: usize, chosen: Option<Vec<u32>>) -> Self {
        Block { columns, rows, chosen, json: OnceLock::new() }
    }

    /// Returns the columns.
    pub fn columns(&self) -> &[BlockColumn] {
        &self.columns
    }

    /// Returns how many rows of the object it stands for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the rows that are the job's, if not all are.
    pub(crate) fn chosen(&self) -> Option<Vec<u32>> {
        self.chosen.clone()
    }

    /// Gives the job those rows alone, in ascending order, or all.
    pub(crate) fn choose(&mut self, chosen: Option<Vec<u32>>) {
        self.chosen = chosen;
        self.json = OnceLock::new();
    }

    /// Gives the job no row before this one.
    pub(crate) fn begin_at(&mut self, row: usize) {
        let chosen = match self.chosen.take() {
            Some(chosen) => chosen.into_iter().filter(|at| *at as usize >= row).collect(),
            None => (row..self.rows).filter_map(|at| u32::try_from(at).ok()).collect(),
        };
        self.choose(Some(chosen));
    }

    /// Returns a row as JSON, by the names of its columns.
    ///
    /// # Errors
    /// Returns an error when a value has no JSON.
    pub(crate) fn json_of(&self, row: usize) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&BlockRow { block: self, row })
    }

    /// Calls `each` for the rows that are the job's, in order. Returns how many there were.
    ///
    /// # Errors
    /// Passes on the error of `each`.
    pub fn for_each_row(&self, each: impl FnMut(usize) -> UserResult) -> UserResult<u64> {
        match &self.chosen {
            None => (0..self.rows).try_for_each(each).map(|()| self.rows as u64),
            Some(chosen) => chosen.iter().map(|row| *row as usize).try_for_each(each).map(|()| chosen.len() as u64),
        }
    }

    /// Calls `each` for the rows that are the job's, as JSON objects.
    pub(in crate::format) fn for_each_json<'a>(
        &'a self,
        mut each: impl FnMut(usize, &'a [u8]) -> UserResult,
    ) -> UserResult<u64> {
        if self.columns.is_empty() {
            return self.for_each_row(|row| each(row, b"{}"));
        }
        let json = match self.json.get() {
            Some(json) => json,
            None => {
                let made = self.to_json()?;
                self.json.get_or_init(|| made)
            }
        };
        let (mut from, mut ends) = (0, json.ends.iter());
        self.for_each_row(|row| {
            let end = ends.next().copied().unwrap_or(from);
            let text = &json.text[from..end];
            from = end;
            each(row, text)
        })
    }

    fn to_json(&self) -> UserResult<Json> {
        let mut json = Json::default();
        self.for_each_row(|row| {
            serde_json::to_writer(&mut json.text, &BlockRow { block: self, row }).map_err(|e| {
                UserError::from(Error::new(Code::RecordInvalid, format!("writing the row as JSON: {e}"))).at(row)
            })?;
            json.ends.push(json.text.len());
            Ok(())
        })?;
        Ok(json)
    }
}

/// A row of a block, which is written by the names of its columns.
struct BlockRow<'a> {
    block: &'a Block,
    row: usize,
}

impl Serialize for BlockRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.block.columns.len()))?;
        for column in &self.block.columns {
            map.serialize_entry(&*column.name, &column.cells.get(self.row))?;
        }
        map.end()
    }
}
