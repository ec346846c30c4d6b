//! What stands for the decoder of Parquet in a program that is built without it.

use crate::footer::{FileGroup, Footer, FooterLook, Tail};
use kinglet_core::{ByteRange, Code, Columns, Error, RangedObject, Result, RowGroup, Schema, Selection, Types};
use std::convert::Infallible;
use std::sync::Arc;

/// A file. There is none; others do not see that, so that their code compiles without a word.
#[derive(Clone, Debug)]
pub struct File(Infallible);

/// A file with what a job wants of it. There is none.
#[derive(Clone, Debug)]
pub struct Plan(Infallible);

/// Refuses an object that is read as Parquet.
///
/// # Errors
/// Returns `format-missing`.
pub fn read_footer(tail: Tail<'_>) -> Result<Footer<File>> {
    let message = format!("{} is read as Parquet, and this program is built without it", tail.shown);
    Err(Error::new(Code::FormatMissing, message)
        .with_hint("build the program with the feature `parquet` of the crate kinglet"))
}

#[allow(missing_docs)]
impl File {
    pub fn row_groups(&self, _: ByteRange) -> Vec<FileGroup> {
        match self.0 {}
    }

    pub fn memory_bytes(&self) -> usize {
        match self.0 {}
    }

    pub fn schema(&self) -> Schema {
        match self.0 {}
    }

    pub fn about(&self) -> FooterLook {
        match self.0 {}
    }

    pub fn types(&self, _: &Columns) -> Result<Types> {
        match self.0 {}
    }

    pub fn plan(&self, _: &Selection) -> Result<Plan> {
        match self.0 {}
    }
}

#[allow(missing_docs)]
impl Plan {
    pub fn may_have_rows(&self, _: usize) -> bool {
        match self.0 {}
    }

    pub fn row_group(&self, _: usize, _: Arc<dyn RangedObject>, _: u64) -> Arc<dyn RowGroup> {
        match self.0 {}
    }
}
