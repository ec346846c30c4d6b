//! What a job wants of a file: its columns in order, and the row groups that may have rows for it.

use super::file::File;
use crate::arrow::cells::cells;
use crate::arrow::columns::{Chosen, OfFile};
use arrow_array::{Array as _, ArrayRef};
use kinglet_core::{Columns, Datum, Result, Schema, Selection, Types};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use std::sync::Arc;

/// A file with what a job wants of it.
#[derive(Clone, Debug)]
pub struct Plan(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) file: File,
    pub(super) chosen: Chosen,
    pub(super) mask: ProjectionMask,
}

impl File {
    fn of_file(&self) -> OfFile<'_> {
        OfFile { shown: &self.0.shown, schema: self.0.decoded.schema() }
    }

    /// Returns the columns that can be read.
    pub fn schema(&self) -> Schema {
        self.of_file().columns()
    }

    /// Returns what a job wants of the file.
    ///
    /// # Errors
    /// Returns `columns` when the file has no column of a name, or one whose type is not read or compared so.
    pub fn plan(&self, selection: &Selection) -> Result<Plan> {
        let chosen = self.of_file().chosen(selection)?;
        let mask = ProjectionMask::roots(self.0.decoded.parquet_schema(), chosen.decoded.iter().copied());
        Ok(Plan(Arc::new(Inner { chosen, mask, file: self.clone() })))
    }

    /// Returns the columns that are read, by the types that they are written as.
    ///
    /// # Errors
    /// Returns `columns` for a type that is not written, and `types` when two columns have one name.
    pub fn types(&self, columns: &Columns) -> Result<Types> {
        self.of_file().types(columns)
    }
}

impl Plan {
    /// Returns the leaves that are read.
    pub(super) fn leaves(&self) -> Vec<usize> {
        let all = 0..self.0.file.0.decoded.parquet_schema().num_columns();
        all.filter(|leaf| self.0.mask.leaf_included(*leaf)).collect()
    }

    /// Returns whether a row group may have rows for the job, by its statistics.
    pub fn may_have_rows(&self, group: usize) -> bool {
        self.0.chosen.conditions.iter().all(|condition| {
            let [least, most] = bounds(&self.0.file, condition.column, group);
            let (least, most) = (least.as_ref().map(cells), most.as_ref().map(cells));
            let least = least.as_ref().map_or(Datum::Null, |least| least.get(0));
            let most = most.as_ref().map_or(Datum::Null, |most| most.get(0));
            condition.wanted.may_hold(&least, &most)
        })
    }
}

/// Returns the leaf that a column is, unless it has several.
pub(super) fn single_leaf(file: &File, at: usize) -> Option<usize> {
    let parquet = file.0.decoded.parquet_schema();
    let mut leaves = (0..parquet.num_columns()).filter(|leaf| parquet.get_column_root_idx(*leaf) == at);
    leaves.next().filter(|_| leaves.next().is_none())
}

/// Returns the bounds of a column's values in a row group, each as an array of one; `None` where they are not known, or not in an
/// order that is.
pub(super) fn bounds(file: &File, at: usize, group: usize) -> [Option<ArrayRef>; 2] {
    let (schema, metadata) = (file.0.decoded.schema(), file.0.decoded.metadata());
    let group = metadata.row_group(group);
    let parquet = file.0.decoded.parquet_schema();
    let Some(leaf) = single_leaf(file, at) else { return [None, None] };
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
