//! What stands for the decoder of Avro in a program that is built without it.

use crate::file_blocks::{BlocksOf, FileBlock, Headed};
use bytes::Bytes;
use kinglet_core::engine::cut::Wants;
use kinglet_core::{ByteRange, Code, Columns, Error, Result, RowGroup, Schema, Selection, Types};
use std::convert::Infallible;
use std::sync::Arc;

/// A file. There is none; others do not see that, so that their code compiles without a word.
#[derive(Clone, Debug)]
pub struct File(Infallible);

/// A file with what a job wants of it. There is none.
#[derive(Clone, Debug)]
pub struct Plan(Infallible);

/// Cuts a file into blocks. There is none.
#[derive(Debug)]
pub struct BlockCutter(Infallible);

/// Refuses an object that is read as Avro.
#[derive(Debug)]
pub struct HeadReader {
    shown: String,
}

#[allow(missing_docs)]
impl HeadReader {
    pub fn new(shown: impl Into<String>) -> Self {
        HeadReader { shown: shown.into() }
    }

    pub fn feed(&mut self, _: &[u8], _: bool) -> Result<Option<Headed<File>>> {
        let message = format!("{} is read as Avro, and this program is built without it", self.shown);
        Err(Error::new(Code::FormatMissing, message)
            .with_hint("build the program with the feature `avro` of the crate kinglet"))
    }
}

#[allow(missing_docs)]
impl File {
    pub fn head_bytes(&self) -> u64 {
        match self.0 {}
    }

    pub fn memory_bytes(&self) -> usize {
        match self.0 {}
    }

    pub fn codec(&self) -> &'static str {
        match self.0 {}
    }

    pub fn schema(&self) -> Schema {
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
    pub fn block(&self, _: FileBlock, _: u64) -> Arc<dyn RowGroup> {
        match self.0 {}
    }
}

#[allow(missing_docs)]
impl BlockCutter {
    pub fn new(file: &File, _: BlocksOf) -> Self {
        match file.0 {}
    }

    pub fn reads_from(&self) -> u64 {
        match self.0 {}
    }

    pub fn feed(&mut self, _: Bytes, _: &mut impl FnMut(FileBlock)) -> Result<Wants> {
        match self.0 {}
    }

    pub fn taken(&self) -> Option<ByteRange> {
        match self.0 {}
    }
}
