//! The part that a reduce task writes: records in the output's format, handed on in blocks.

use crate::error::Result;
use crate::format::{OpenTyped, Row, RowWriter};
use crate::output::OutputFormat;

/// What is handed on when a block is full.
type Out<'o> = dyn FnMut(Vec<u8>) -> Result<()> + 'o;

/// How much longer than a block the buffer is made, so that a last record need not enlarge it.
const SPARE_BYTES: usize = 64 << 10;

/// A part under way.
pub(crate) struct Part {
    writer: RowWriter,
    buffer: Vec<u8>,
    block_bytes: usize,
    failed: Result<()>,
    /// Records written.
    pub(crate) records: u64,
    /// Bytes handed on.
    pub(crate) bytes: u64,
}

impl Part {
    /// Makes a part of a format. `typed` opens what writes one that stores types.
    pub(crate) fn new(format: &OutputFormat, block_bytes: usize, typed: &OpenTyped) -> Result<Self> {
        Ok(Part {
            writer: RowWriter::new(format, typed)?,
            buffer: Vec::with_capacity(block_bytes + SPARE_BYTES),
            block_bytes,
            failed: Ok(()),
            records: 0,
            bytes: 0,
        })
    }

    /// Writes a record. Once one was not written, the part never is.
    #[inline]
    pub(crate) fn push<R: Row>(&mut self, record: &R, out: &mut Out<'_>) -> Result<()> {
        let written = self.writer.push(record, &mut self.buffer);
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

    /// Returns the error of a record that was not written, whatever became of it in the job's code.
    pub(crate) fn check(&self) -> Result<()> {
        self.failed.clone()
    }

    /// Hands on the rest.
    pub(crate) fn finish(&mut self, out: &mut Out<'_>) -> Result<()> {
        self.writer.finish(&mut self.buffer)?;
        self.flush(out)
    }

    fn flush(&mut self, out: &mut Out<'_>) -> Result<()> {
        self.bytes += self.buffer.len() as u64;
        // A row group comes as one, and who takes blocks counts them.
        if self.buffer.len() > 2 * self.block_bytes {
            let whole = std::mem::take(&mut self.buffer);
            return whole.chunks(self.block_bytes.max(1)).try_for_each(|block| out(block.to_vec()));
        }
        out(std::mem::replace(&mut self.buffer, Vec::with_capacity(self.block_bytes + SPARE_BYTES)))
    }
}
