//! What a reduce task writes: records in the output's format, handed on in blocks. It is one file, the part; or, where the values of
//! columns are folders, a file for each folder as it comes: one is open at a time, and another begins whenever a record's folder is
//! not that of the record before. A folder that comes again has a further file.

use crate::error::{Code, Error, Result};
use crate::format::{Folders, OpenTyped, Row, RowValues, RowWriter};
use crate::output::OutputFormat;
use std::collections::HashMap;

/// What a reduce task hands on of what it writes, in order. The bytes of a file stand between its beginning and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOp {
    /// A file begins.
    Begin {
        /// The folders that it lies in, each with its `/`: none, where the output has no folders.
        folder: String,
        /// How many files of this folder the task has begun before.
        before: u32,
    },
    /// Bytes of the file.
    Bytes(Vec<u8>),
    /// The file is whole.
    End {
        /// How many records it has.
        records: u64,
    },
}

impl FileOp {
    /// Returns its bytes, of which only [`FileOp::Bytes`] has some.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            FileOp::Bytes(bytes) => bytes,
            FileOp::Begin { .. } | FileOp::End { .. } => Vec::new(),
        }
    }
}

/// What is handed on when a block is full.
type Out<'o> = dyn FnMut(FileOp) -> Result<()> + 'o;

/// How much longer than a block the buffer is made, so that a last record need not enlarge it.
const SPARE_BYTES: usize = 64 << 10;

/// A part under way, or its files.
pub(crate) struct Part {
    /// The format of files.
    format: OutputFormat,
    typed: OpenTyped,
    /// What writes the file that is open.
    open: Option<Open>,
    foldered: Option<Foldered>,
    buffer: Vec<u8>,
    block_bytes: usize,
    failed: Result<()>,
    /// Records written.
    pub(crate) records: u64,
    /// Bytes handed on.
    pub(crate) bytes: u64,
}

/// A file that is open.
struct Open {
    writer: RowWriter,
    records: u64,
    /// What is handed on before its first bytes.
    begin: Option<FileOp>,
}

/// Files in folders.
struct Foldered {
    folders: Folders,
    /// The folder of the file that is open.
    path: String,
    /// How many files each folder has.
    files: HashMap<String, u32>,
    begun: u32,
    files_max: u32,
}

impl Part {
    /// Makes a part of a format. `typed` opens what writes one that stores types.
    pub(crate) fn new(format: &OutputFormat, block_bytes: usize, typed: &OpenTyped) -> Result<Self> {
        let foldered = Folders::of(format).map(|folders| Foldered {
            folders,
            path: String::new(),
            files: HashMap::new(),
            begun: 0,
            files_max: format.files_max(),
        });
        let mut part = Part {
            format: format.of_files(),
            typed: *typed,
            open: None,
            foldered,
            buffer: Vec::with_capacity(block_bytes + SPARE_BYTES),
            block_bytes,
            failed: Ok(()),
            records: 0,
            bytes: 0,
        };
        // Without folders there is one file, whatever is written.
        if part.foldered.is_none() {
            part.begin(FileOp::Begin { folder: String::new(), before: 0 })?;
        }
        Ok(part)
    }

    /// Writes a record. Once one was not written, the part never is.
    #[inline]
    pub(crate) fn push<R: Row>(&mut self, record: &R, out: &mut Out<'_>) -> Result<()> {
        let written = match &mut self.open {
            Some(open) if self.foldered.is_none() => {
                open.records += 1;
                open.writer.push(record, &mut self.buffer)
            }
            _ => self.push_foldered(record, out),
        };
        self.records += 1;
        if written.is_ok() && self.buffer.len() < self.block_bytes {
            return Ok(());
        }
        let written = written.and_then(|()| self.flush(out));
        if self.failed.is_ok() {
            self.failed = written.clone();
        }
        written
    }

    /// Writes a record into the file of its folder.
    fn push_foldered<R: Row>(&mut self, record: &R, out: &mut Out<'_>) -> Result<()> {
        let Some(foldered) = &mut self.foldered else { return Ok(()) };
        let values: RowValues<'_> = foldered.folders.take(record.values()?)?;
        if self.open.is_none() || foldered.folders.path() != foldered.path {
            let begin = foldered.next_file()?;
            self.end(out)?;
            self.begin(begin)?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.records += 1;
        open.writer.push_values(&values, &mut self.buffer)
    }

    fn begin(&mut self, begin: FileOp) -> Result<()> {
        let writer = RowWriter::new(&self.format, &self.typed)?;
        self.open = Some(Open { writer, records: 0, begin: Some(begin) });
        Ok(())
    }

    /// Ends the file that is open.
    fn end(&mut self, out: &mut Out<'_>) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.writer.finish(&mut self.buffer)?;
        self.flush(out)?;
        match self.open.take() {
            Some(open) => out(FileOp::End { records: open.records }),
            None => Ok(()),
        }
    }

    /// Returns the error of a record that was not written, whatever became of it in the job's code.
    pub(crate) fn check(&self) -> Result<()> {
        self.failed.clone()
    }

    /// Hands on the rest.
    pub(crate) fn finish(&mut self, out: &mut Out<'_>) -> Result<()> {
        self.end(out)
    }

    fn flush(&mut self, out: &mut Out<'_>) -> Result<()> {
        if let Some(begin) = self.open.as_mut().and_then(|open| open.begin.take()) {
            out(begin)?;
        }
        self.bytes += self.buffer.len() as u64;
        // A row group comes as one, and who takes blocks counts them.
        if self.buffer.len() > 2 * self.block_bytes {
            let whole = std::mem::take(&mut self.buffer);
            return whole.chunks(self.block_bytes.max(1)).try_for_each(|block| out(FileOp::Bytes(block.to_vec())));
        }
        // Of many small files, each takes its own bytes and no whole block.
        if self.foldered.is_some() && self.buffer.len() < self.block_bytes / 2 {
            let block = self.buffer.clone();
            self.buffer.clear();
            return out(FileOp::Bytes(block));
        }
        out(FileOp::Bytes(std::mem::replace(&mut self.buffer, Vec::with_capacity(self.block_bytes + SPARE_BYTES))))
    }
}

impl Foldered {
    /// Returns the beginning of a file in the folder of the last record.
    fn next_file(&mut self) -> Result<FileOp> {
        if self.begun == self.files_max {
            let (most, columns, path) = (self.files_max, self.folders.names(), self.folders.path());
            let message = format!(
                "the output is partitioned by {columns}, and a reduce task may begin {most} files: one more would be in {path}"
            );
            return Err(Error::new(Code::OutputFiles, message).with_hint(
                "partition by columns with fewer values; let the job's keys begin with these columns, so that records come in their \
                 order; or allow more files (--max-files)",
            ));
        }
        self.begun += 1;
        self.path.clear();
        self.path.push_str(self.folders.path());
        let files = self.files.entry(self.path.clone()).or_default();
        let before = *files;
        *files += 1;
        Ok(FileOp::Begin { folder: self.path.clone(), before })
    }
}
