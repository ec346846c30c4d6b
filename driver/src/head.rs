//! The first rows of an input, as they are written: read in the order of the objects' names, and no further than they go.
//!
//! ```text
//! objects by name     a              b              c
//!                     │■■■■■■■■■■■■■■│■■■──┤        │
//! ranges              64 KiB, 128 KiB, … 8 MiB      never read
//! ```
//!
//! Ranges of an object come one after another, each twice as long as the one before, so that what is read for nothing is at most about
//! as much as what was needed. No function runs: a thread of this program reads, unpacks and checks, as a map task does.

use crate::columns::{Columns, Group};
use crate::sampling::{Counted, Inputs};
use crate::{Code, Codec, Driver, Error, Format, RawRows, Result, RowFormat, Submit, UserError};
use bytes::Bytes;
use kinglet_aws::Objects;
use kinglet_core::engine::cut::{Chunk, Cuts, Cutter, Wants};
use kinglet_core::wire::plan::ObjectRange;
use kinglet_core::{BlockExtent, ByteRange, Extent, RangedObject, Side};
use kinglet_formats::Source;
use kinglet_formats::unpack::{Bounds, Part, Step, Unpacker};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// How many bytes of an object are read first (64 KiB), and at most at once (8 MiB).
const FIRST_BYTES: u64 = 64 << 10;
const RANGE_BYTES_MAX: u64 = 8 << 20;

/// The longest row, in bytes (256 MiB).
const ROW_BYTES_MAX: usize = 256 << 20;

/// How much memory unpacking and decoding may take (128 MiB).
const WINDOW_BYTES: u64 = 128 << 20;

/// How many lots of rows wait to be taken.
const LOTS_WAITING: usize = 1;

/// The first rows of an input, as they are read; see [`Driver::head`]. Dropping it ends the reading.
#[derive(Debug)]
pub struct Head {
    lots: mpsc::Receiver<Result<Vec<Vec<u8>>>>,
    here: std::vec::IntoIter<Vec<u8>>,
    read: Arc<AtomicU64>,
}

impl Head {
    /// Returns the next row as it is written, without its line's end; `None` behind the last. Rows that lie in columns are JSON
    /// objects. Of CSV with a header, the header comes first, and is no row.
    ///
    /// # Errors
    /// As [`Driver::head`].
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(row) = self.here.next() {
                return Ok(Some(row));
            }
            match self.lots.recv().await.transpose()? {
                Some(lot) => self.here = lot.into_iter(),
                None => return Ok(None),
            }
        }
    }

    /// Returns how many bytes of the input were asked for so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl Driver {
    /// Reads the first `rows` rows of a submission's input in a format, in the order of the objects' names, and no more of the input
    /// than they need: of each object ranges from its start on, of 64 KiB and then twice as much each time, up to 8 MiB; of what lies
    /// in columns, the footer and the columns of the first rows; of Avro, the head and the first blocks. Nothing is written, and the output of the submission is not looked
    /// at.
    ///
    /// ```no_run
    /// # use kinglet::{CsvDialect, Driver, Result, RowFormat, Submit};
    /// # async fn run(driver: Driver) -> Result<()> {
    /// let sales = Submit::new(["s3://shop/sales/"], "");
    /// let mut head = driver.head(&sales, RowFormat::Csv(CsvDialect::new()), 10).await?;
    /// while let Some(row) = head.next().await? {
    ///     println!("{}", String::from_utf8_lossy(&row));
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `input-missing`, `input-twice`; `input-kind` when what lies in columns is said to be compressed as a whole; `codec-unknown`,
    /// `codec-contradiction`, `compressed-corrupt`, `expansion`; `record-invalid` for a row that is none, or has more than 256 MiB;
    /// `columns` when objects of CSV have different headers; `format-contradiction`, `parquet-…`, `avro-…`; `access-denied` where this program
    /// may not read what functions may; [a service error](crate#errors).
    pub async fn head(&self, submit: &Submit, format: RowFormat, rows: u64) -> Result<Head> {
        let rows_of = RawRows(format);
        let is_columns = rows_of.framing().is_in_columns();
        if let Some(codec) = submit.unpack.codec.filter(|codec| is_columns && *codec != Codec::None) {
            let message = format!("the input is {}, which is not compressed by {codec} as a whole", rows_of.0.name());
            return Err(Error::new(Code::InputKind, message).with_hint("leave --input-compression out"));
        }
        let inputs = self.list_inputs(submit).await?;
        let (out, lots) = mpsc::channel(LOTS_WAITING);
        let read = Arc::new(AtomicU64::new(0));
        let reading = Reading {
            objects: self.shared.conductor.objects.clone(),
            cuts: Cuts::of(rows_of.clone()),
            rows: Arc::new(rows_of),
            codec: submit.unpack.codec,
            expansion: submit.unpack.expansion_max,
            left: rows,
            header: None,
            out,
            read: read.clone(),
        };
        tokio::task::spawn_blocking(move || reading.run(&inputs));
        Ok(Head { lots, here: Vec::new().into_iter(), read })
    }
}

/// The header of the first object of CSV that has one.
struct Header {
    bytes: Vec<u8>,
    of: String,
}

/// What reads the objects, one after another.
struct Reading {
    objects: Objects,
    cuts: Cuts,
    rows: Arc<RawRows>,
    codec: Option<Codec>,
    expansion: u32,
    /// How many rows are still wanted.
    left: u64,
    header: Option<Header>,
    out: mpsc::Sender<Result<Vec<Vec<u8>>>>,
    read: Arc<AtomicU64>,
}

impl Reading {
    fn run(mut self, inputs: &Inputs) {
        for object in inputs.all() {
            if self.left == 0 {
                return;
            }
            let ranged = self.objects.ranged(&object.bucket, &object.listed.key, &object.listed.etag, &object.shown);
            let counted = Counted::new(Arc::new(ranged), self.read.clone());
            if let Err(error) = self.object(Arc::new(counted), object.listed.size) {
                let error = match error.is(Code::AccessDenied) {
                    // Functions may read what a driver may not.
                    true => {
                        error.with_hint("let this program read the input, or write the rows with `kinglet run cat`")
                    }
                    false => error,
                };
                // Whoever took the rows may have gone.
                let _ = self.out.blocking_send(Err(error));
                return;
            }
        }
    }

    fn object(&mut self, object: Arc<dyn RangedObject>, size: u64) -> Result<()> {
        if self.cuts.columns().is_some() {
            return self.columns(object, size);
        }
        let shown = object.name().to_owned();
        let mut source = Ranges { object, at: 0, size, next: FIRST_BYTES };
        let first = source.next()?.unwrap_or_default();
        match self.codec.map_or_else(|| Codec::of(&shown, &first), Ok)? {
            Codec::None => self.plain(first, source, &shown),
            codec => self.packed(codec, Behind { first: Some(first), rest: source }, shown),
        }
    }

    fn plain(&mut self, first: Bytes, mut source: Ranges, shown: &str) -> Result<()> {
        let mut cutter = Cutter::new(self.cuts.clone(), 0, 0, source.size, source.size);
        let (mut block, mut chunks, mut head) = (Some(first), Vec::new(), None);
        while let Some(bytes) = block {
            let wants = cutter.feed(bytes, &mut |chunk| chunks.push(chunk));
            for chunk in chunks.drain(..) {
                self.chunk(&chunk, &mut head, shown)?;
            }
            if wants == Wants::Nothing || self.left == 0 {
                return Ok(());
            }
            if cutter.kept() > ROW_BYTES_MAX {
                let at = cutter.reads_from() - cutter.kept() as u64;
                let message = format!("reading {shown} at byte {at}: the row has more than {ROW_BYTES_MAX} bytes");
                return Err(Error::new(Code::RecordInvalid, message).with_hint("is the object in another format?"));
            }
            block = source.next()?;
        }
        Ok(())
    }

    fn packed(&mut self, codec: Codec, source: Behind, shown: String) -> Result<()> {
        let size = source.rest.size;
        let (key, etag) = (shown.clone(), String::new());
        let range = ObjectRange { input_idx: 0, key, etag, size, from: 0, to: size, codec: Some(codec) };
        let part = Part { range: &range, range_idx: 0, start: None, codec, shown: shown.clone() };
        let record_bytes = ROW_BYTES_MAX as u64;
        let bounds = Bounds { window_bytes: WINDOW_BYTES, record_bytes, expansion: self.expansion };
        let mut unpacker = Unpacker::new(&part, self.cuts.clone(), bounds, Box::new(source))?;
        let (mut chunks, mut head) = (Vec::new(), None);
        loop {
            let step = unpacker.step(&mut |chunk| chunks.push(chunk))?;
            for chunk in chunks.drain(..) {
                self.chunk(&chunk, &mut head, &shown)?;
            }
            if step == Step::Done || self.left == 0 {
                return Ok(());
            }
        }
    }

    /// Hands on the rows of a chunk. `head` is its object's first record, once that is known.
    fn chunk(&mut self, chunk: &Chunk, head: &mut Option<Bytes>, shown: &str) -> Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        if self.cuts.head() && head.is_none() {
            let first = chunk.bytes.slice(..self.cuts.first(&chunk.bytes, 0).unwrap_or(chunk.bytes.len()));
            self.begin_object(&first, shown)?;
            *head = Some(first);
        }
        let head = head.clone().unwrap_or_default();
        let extent = Extent { bytes: &chunk.bytes, offset: chunk.offset, head: &head, object: shown, side: Side::Left };
        let rows = self.rows.clone();
        let read = self.take(|each| rows.for_each(extent, each));
        read.map_err(|error| {
            let (at, error) = error.take_place();
            error.into_error(Code::RecordInvalid).context(format!("reading {}", rows.place(extent, at)))
        })
    }

    /// Hands on the header of the first object that has one. The others must have the same.
    fn begin_object(&mut self, first: &[u8], shown: &str) -> Result<()> {
        let RowFormat::Csv(dialect) = &self.rows.0 else { return Ok(()) };
        let Some(bytes) = dialect.header(first) else { return Ok(()) };
        match &self.header {
            None => {
                self.header = Some(Header { bytes: bytes.to_owned(), of: shown.to_owned() });
                self.send(vec![bytes.to_owned()]);
                Ok(())
            }
            Some(header) if header.bytes == bytes => Ok(()),
            Some(header) => {
                let message = format!("{shown} has another header than {}", header.of);
                Err(Error::new(Code::Columns, message).with_hint(
                    "read them one by one; or write rows by names: `kinglet run convert --output-format json-lines`",
                ))
            }
        }
    }

    fn columns(&mut self, object: Arc<dyn RangedObject>, size: u64) -> Result<()> {
        let shown = object.name().to_owned();
        let columns = Columns::framed(self.rows.framing(), object, size);
        for group in columns.groups(&self.rows.selection(), WINDOW_BYTES)? {
            let Group { mut first_row, rows: group } = group?;
            let mut blocks = group.open()?;
            while self.left > 0
                && let Some(block) = blocks.next_block()?
            {
                let extent = BlockExtent { block: &block, first_row, object: &shown, side: Side::Left };
                let rows = self.rows.clone();
                let read = self.take(|each| rows.for_each_row(extent, each));
                read.map_err(|error| {
                    let (at, error) = error.take_place();
                    let place = format!("reading {shown} at {}", group.place(first_row + at as u64));
                    error.into_error(Code::RecordInvalid).context(place)
                })?;
                first_row += block.rows() as u64;
            }
            if self.left == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Hands on as many rows as are wanted of those that `read` gives. What is wrong behind them is nobody's.
    fn take<R>(
        &mut self,
        read: impl FnOnce(&mut dyn FnMut(usize, &[u8]) -> Result<(), UserError>) -> Result<R, UserError>,
    ) -> Result<(), UserError> {
        let (mut rows, left) = (Vec::new(), self.left);
        let read = read(&mut |_, row| {
            if rows.len() as u64 == left {
                return Err(UserError::new("enough"));
            }
            rows.push(row.to_vec());
            Ok(())
        });
        self.left -= rows.len() as u64;
        self.send(rows);
        if self.left == 0 { Ok(()) } else { read.map(|_| ()) }
    }

    fn send(&mut self, rows: Vec<Vec<u8>>) {
        if !rows.is_empty() && self.out.blocking_send(Ok(rows)).is_err() {
            // Nobody wants more.
            self.left = 0;
        }
    }
}

/// The bytes of an object from its start on, in ranges that grow.
struct Ranges {
    object: Arc<dyn RangedObject>,
    at: u64,
    size: u64,
    next: u64,
}

impl Source for Ranges {
    fn next(&mut self) -> Result<Option<Bytes>> {
        if self.at == self.size {
            return Ok(None);
        }
        let range = ByteRange { from: self.at, to: self.size.min(self.at + self.next) };
        let bytes = self.object.fetch(range).wait()?;
        self.at = range.to;
        self.next = (2 * self.next).min(RANGE_BYTES_MAX);
        Ok(Some(bytes))
    }
}

/// A range that was looked at, and those behind it.
struct Behind {
    first: Option<Bytes>,
    rest: Ranges,
}

impl Source for Behind {
    fn next(&mut self) -> Result<Option<Bytes>> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.rest.next(),
        }
    }
}
