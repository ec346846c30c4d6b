//! Reads S3 Inventory reports, and manifests of objects, from S3: rows that come lot by lot, however many there are.
//!
//! ```text
//! manifest.json ──▶ every file, once, for its MD5 ──▶ every file again, of the same ETag ──▶ lots of rows
//!                       what differs is refused here      a thread unpacks or decodes
//! ```
//!
//! Nothing of a report is given out before all of it was found to be what its manifest says. Each file is therefore read twice: to keep
//! it meanwhile would take memory, and an inventory may be of a thousand million objects.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kinglet_aws::Objects;
use kinglet_aws::objects::Listed;
use kinglet_core::engine::cut::{Chunk, Cuts};
use kinglet_core::inventory::{Inventory, InventoryFile, InventoryFormat, InventoryRow, manifest_row};
use kinglet_core::wire::plan::ObjectRange;
use kinglet_core::wire::spec::InventorySpec;
use kinglet_core::{
    ByteRange, Code, Codec, Columns, CsvDialect, CsvFields, CsvRow, Error, Extent, Format, RangedObject, Result,
    Selection, Side,
};
use kinglet_formats::Source;
use kinglet_formats::row_groups::{FileGroup, FooterReader};
use kinglet_formats::unpack::{Bounds, Part, Step, Unpacker};
use md5::{Digest, Md5};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How many files are checked at once.
const CHECKS_AT_ONCE: usize = 8;

/// The most bytes of a `manifest.json` (64 MiB): a file of it takes some 200, and has a million objects.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// How many bytes of a file are asked for at once (8 MiB).
const RANGE_BYTES: u64 = 8 << 20;

/// How much memory unpacking and decoding may take, and the longest row (64 MiB).
const WINDOW_BYTES: u64 = 64 << 20;

/// How many times as long as it is a file may become. Rows of an inventory are alike, so gzip's own bound of about 1,030 is what may be
/// met.
const EXPANSION: u32 = 1_100;

/// How many lots of rows wait to be taken.
const LOTS_WAITING: usize = 2;

/// The rows of an inventory or a manifest.
#[derive(Debug)]
pub struct Rows {
    /// A lot without rows says that it was the last: a reading that broke off must not be taken for a whole one.
    lots: mpsc::Receiver<Result<Vec<InventoryRow>>>,
    ended: bool,
}

impl Rows {
    /// Returns the next rows, of which there is at least one; `None` behind the last.
    ///
    /// # Errors
    /// `inventory` or `input-list` when a row is none; `object-changed`; `compressed-corrupt`, `parquet-…`; or a service error
    /// (`access-denied`, `throttled`, `unreachable`, …).
    pub async fn next(&mut self) -> Result<Option<Vec<InventoryRow>>> {
        if self.ended {
            return Ok(None);
        }
        match self.lots.recv().await {
            Some(Ok(rows)) if rows.is_empty() => {
                self.ended = true;
                Ok(None)
            }
            Some(rows) => rows.map(Some),
            None => Err(Error::new(Code::Engine, "the reading of a list of objects broke off")),
        }
    }
}

/// An inventory that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where its manifest lies, and which version of it was read.
    pub spec: InventorySpec,
    /// What that says.
    pub inventory: Inventory,
}

impl Found {
    fn shown(&self) -> String {
        format!("s3://{}/{}", self.spec.bucket, self.spec.key)
    }
}

/// Reads the manifest of an inventory, and checks it by `manifest.checksum`, if that lies beside it.
///
/// # Errors
/// `object-missing`; `inventory` when it is no manifest, or lies in another bucket than its files; or a service error
/// (`access-denied`, `throttled`, `unreachable`, …).
pub async fn find(objects: &Objects, bucket: &str, key: &str) -> Result<Found> {
    let shown = format!("s3://{bucket}/{key}");
    let missing = || {
        Error::new(Code::ObjectMissing, format!("there is no inventory {shown}"))
            .with_hint("name the manifest.json that S3 Inventory has written")
    };
    let listed = objects.head(bucket, key).await.map_err(|e| e.context(format!("inventory {shown}")))?;
    open(objects, bucket, &listed.ok_or_else(missing)?).await
}

/// Reads the manifest again that a job was submitted with.
///
/// # Errors
/// As [`find`]; `object-changed` when another one is there by now.
pub(crate) async fn find_again(objects: &Objects, spec: &InventorySpec) -> Result<Found> {
    let InventorySpec { bucket, key, etag, size } = spec.clone();
    let listed = Listed { key, etag, size, modified: kinglet_core::ids::Timestamp(0) };
    open(objects, &bucket, &listed).await
}

async fn open(objects: &Objects, bucket: &str, listed: &Listed) -> Result<Found> {
    let Listed { key, etag, size, .. } = listed;
    let shown = format!("s3://{bucket}/{key}");
    if *size > MANIFEST_BYTES_MAX {
        return Err(wrong(
            &shown,
            &format!("has a manifest of {size} bytes, and at most {MANIFEST_BYTES_MAX} are read"),
        ));
    }
    let json = objects.read(bucket, key, Some(etag), 0, *size, &shown).all().await?;
    let beside = key.strip_suffix(".json").map(|name| format!("{name}.checksum"));
    if let Some(beside) = beside
        && let Some(checksum) = objects.read_small(bucket, &beside).await?
    {
        let said = String::from_utf8_lossy(&checksum.bytes).trim().to_ascii_lowercase();
        let found = hex(&Md5::digest(&json));
        if said != found {
            return Err(wrong(&shown, &format!("has the MD5 {found}, and s3://{bucket}/{beside} says {said}")));
        }
    }
    let inventory = Inventory::read(&json, &shown)?;
    if inventory.destination_bucket != bucket {
        let there = &inventory.destination_bucket;
        return Err(wrong(&shown, &format!("has its files in the bucket {there}, and lies in {bucket}"))
            .with_hint(format!("name it where S3 has written it: in s3://{there}/")));
    }
    let spec = InventorySpec { bucket: bucket.to_owned(), key: key.clone(), etag: etag.clone(), size: *size };
    Ok(Found { spec, inventory })
}

/// Checks all files of an inventory, and begins to give its rows.
///
/// # Errors
/// `inventory` when a file is missing, or is not what its checksum says; or a service error (`access-denied`, `throttled`,
/// `unreachable`, …).
pub async fn rows(objects: &Objects, found: Found) -> Result<Rows> {
    let checks: Vec<_> = found.inventory.files.iter().map(|file| check(objects, &found, file)).collect();
    let files: Vec<Listed> = stream::iter(checks).buffered(CHECKS_AT_ONCE).try_collect().await?;
    let (out, lots) = mpsc::channel(LOTS_WAITING);
    let files = files.into_iter().map(|listed| File::of(objects, &found.spec.bucket, listed)).collect();
    let reading = Reading { inventory: Some(found.inventory), out };
    tokio::task::spawn_blocking(move || reading.run(files));
    Ok(Rows { lots, ended: false })
}

/// Begins to give the rows of a manifest as S3 Batch Operations reads it: CSV of `bucket,key` or `bucket,key,version`.
///
/// # Errors
/// `object-missing`; or a service error (`access-denied`, `throttled`, `unreachable`, …).
pub async fn manifest_rows(objects: &Objects, bucket: &str, key: &str) -> Result<Rows> {
    let shown = format!("s3://{bucket}/{key}");
    let listed = objects.head(bucket, key).await.map_err(|e| e.context(format!("manifest {shown}")))?;
    let listed = listed.ok_or_else(|| {
        Error::new(Code::ObjectMissing, format!("there is no manifest {shown}"))
            .with_hint("name a CSV file of buckets, keys and perhaps versions")
    })?;
    let (out, lots) = mpsc::channel(LOTS_WAITING);
    let file = File::of(objects, bucket, listed);
    tokio::task::spawn_blocking(move || Reading { inventory: None, out }.run(vec![file]));
    Ok(Rows { lots, ended: false })
}

/// Reads a file of an inventory once, and returns the version that is what the manifest says.
async fn check(objects: &Objects, found: &Found, file: &InventoryFile) -> Result<Listed> {
    let (bucket, InventoryFile { key, size, md5 }) = (&found.spec.bucket, file);
    let shown = format!("s3://{bucket}/{key}");
    let missing = || {
        wrong(&found.shown(), &format!("has no file {shown}"))
            .with_hint("S3 or a rule has removed it: take a newer one")
    };
    let listed = objects.head(bucket, key).await?.ok_or_else(missing)?;
    if listed.size != *size {
        return Err(wrong(
            &found.shown(),
            &format!("has the file {shown} of {size} bytes, and it has {}", listed.size),
        ));
    }
    let mut reader = objects.read(bucket, key, Some(&listed.etag), 0, listed.size, &shown);
    let mut digest = Md5::new();
    while let Some(bytes) = reader.next().await? {
        digest.update(&bytes);
    }
    let is = hex(&digest.finalize());
    if is != *md5 {
        return Err(wrong(&found.shown(), &format!("says that the MD5 of {shown} is {md5}, and it is {is}"))
            .with_hint("it was changed or cut short after S3 had written it: take another inventory"));
    }
    Ok(listed)
}

/// Returns bytes as lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn wrong(shown: &str, why: &str) -> Error {
    Error::new(Code::Inventory, format!("the inventory {shown} {why}")).with_hint("take the newest one")
}

/// A file with rows.
struct File {
    object: Arc<dyn RangedObject>,
    key: String,
    size: u64,
}

impl File {
    fn of(objects: &Objects, bucket: &str, Listed { key, etag, size, .. }: Listed) -> Self {
        let shown = format!("s3://{bucket}/{key}");
        File { object: Arc::new(objects.ranged(bucket, &key, &etag, &shown)), key, size }
    }
}

/// What reads the files, one after another.
struct Reading {
    /// `None` of a manifest.
    inventory: Option<Inventory>,
    out: mpsc::Sender<Result<Vec<InventoryRow>>>,
}

/// Nobody takes rows any more, or an error was told.
struct Ended;

impl Reading {
    fn run(self, files: Vec<File>) {
        let is_parquet = self.inventory.as_ref().is_some_and(|read| read.format == InventoryFormat::Parquet);
        for file in files {
            let read = if is_parquet { self.parquet(&file) } else { self.csv(&file) };
            match read {
                Ok(Ok(())) => {}
                Ok(Err(Ended)) => return,
                Err(error) => {
                    // Whoever took the rows may have gone.
                    let _ = self.out.blocking_send(Err(error));
                    return;
                }
            }
        }
        let _ = self.out.blocking_send(Ok(Vec::new()));
    }

    fn send(&self, rows: Vec<InventoryRow>) -> Result<(), Ended> {
        if rows.is_empty() {
            return Ok(());
        }
        self.out.blocking_send(Ok(rows)).map_err(|_| Ended)
    }

    /// Returns the error of a row that is none.
    fn not_valid(&self, file: &File, place: &str, why: &str) -> Error {
        let message = format!("reading {} at {place}: {why}", file.object.name());
        match self.inventory {
            Some(_) => Error::new(Code::Inventory, message).with_hint("is it of this inventory? take another one"),
            None => Error::new(Code::InputList, message)
                .with_hint("write `bucket,key` in each line, or `bucket,key,version` in each, with keys URL-encoded"),
        }
    }

    fn csv(&self, file: &File) -> Result<Result<(), Ended>> {
        let format = CsvFields::new(CsvDialect::new().without_head());
        let mut source = Ranges { object: file.object.clone(), at: 0, size: file.size };
        let first = source.next()?.unwrap_or_default();
        let (shown, size) = (file.object.name().to_owned(), file.size);
        let codec = Codec::of(&shown, &first)?;
        let (key, etag) = (file.key.clone(), String::new());
        let range = ObjectRange { input_idx: 0, key, etag, size, from: 0, to: size, codec: Some(codec) };
        let part = Part { range: &range, range_idx: 0, start: None, codec, shown };
        let bounds = Bounds { window_bytes: WINDOW_BYTES, record_bytes: WINDOW_BYTES, expansion: EXPANSION };
        let source: Box<dyn Source> = Box::new(Behind { first: Some(first), rest: source });
        if codec == Codec::None {
            return self.plain(file, &format, source);
        }
        let mut unpacker = Unpacker::new(&part, Cuts::of(format.clone()), bounds, source)?;
        let mut chunks = Vec::new();
        loop {
            let step = unpacker.step(&mut |chunk| chunks.push(chunk))?;
            for chunk in chunks.drain(..) {
                if let Err(Ended) = self.send(self.lines(file, &format, &chunk)?) {
                    return Ok(Err(Ended));
                }
            }
            if step == Step::Done {
                return Ok(Ok(()));
            }
        }
    }

    /// Reads a file that is not compressed, as a manifest may be.
    fn plain(&self, file: &File, format: &CsvFields, mut source: Box<dyn Source>) -> Result<Result<(), Ended>> {
        let mut cutter = kinglet_core::engine::cut::Cutter::new(Cuts::of(format.clone()), 0, 0, file.size, file.size);
        let mut chunks = Vec::new();
        while let Some(bytes) = source.next()? {
            cutter.feed(bytes, &mut |chunk| chunks.push(chunk));
            for chunk in chunks.drain(..) {
                if let Err(Ended) = self.send(self.lines(file, format, &chunk)?) {
                    return Ok(Err(Ended));
                }
            }
            if cutter.kept() as u64 > WINDOW_BYTES {
                return Err(self.not_valid(file, "its end", &format!("a row has more than {WINDOW_BYTES} bytes")));
            }
        }
        Ok(Ok(()))
    }

    fn lines(&self, file: &File, format: &CsvFields, chunk: &Chunk) -> Result<Vec<InventoryRow>> {
        let object = file.object.name();
        let extent = Extent { bytes: &chunk.bytes, offset: chunk.offset, head: b"", object, side: Side::Left };
        let mut rows = Vec::new();
        let read = format.for_each(extent, |at, row: CsvRow<'_>| {
            let read = match &self.inventory {
                Some(inventory) => inventory.row(&row),
                None => manifest_row(&row),
            };
            let place = || format!("byte {}", chunk.offset + at as u64);
            rows.push(read.map_err(|why| self.not_valid(file, &place(), &why))?);
            Ok(())
        });
        match read {
            Ok(_) => Ok(rows),
            Err(error) => {
                let (at, error) = error.take_place();
                let error = error.into_error(Code::RecordInvalid);
                let place = format!("byte {}", chunk.offset + at as u64);
                Err(if error.is(Code::RecordInvalid) {
                    self.not_valid(file, &place, &error.to_string())
                } else {
                    error
                })
            }
        }
    }

    fn parquet(&self, file: &File) -> Result<Result<(), Ended>> {
        let Some(inventory) = &self.inventory else { return Ok(Ok(())) };
        let mut footer = FooterReader::new(file.object.name(), file.size);
        let parsed = loop {
            let bytes = file.object.fetch(footer.wants()).wait()?;
            if let Some(parsed) = footer.take(bytes.into())? {
                break parsed;
            }
        };
        let selection = Selection {
            columns: Columns::Named(inventory.parquet_columns().map(str::to_owned).collect()),
            ..Selection::default()
        };
        let plan = parsed.plan(&selection)?;
        for FileGroup { number, first_row, .. } in parsed.row_groups(ByteRange { from: 0, to: file.size }) {
            let mut blocks = plan.row_group(number, file.object.clone(), WINDOW_BYTES).open()?;
            let mut at = first_row;
            while let Some(block) = blocks.next_block()? {
                let mut rows = Vec::with_capacity(block.rows());
                for row in 0..block.rows() {
                    let values = block.columns().iter().map(|column| (&*column.name, column.cells.get(row)));
                    let place = || format!("row {}", at + row as u64);
                    rows.push(inventory.parquet_row(values).map_err(|why| self.not_valid(file, &place(), &why))?);
                }
                at += block.rows() as u64;
                if let Err(Ended) = self.send(rows) {
                    return Ok(Err(Ended));
                }
            }
        }
        Ok(Ok(()))
    }
}

/// The bytes of an object from its start on.
struct Ranges {
    object: Arc<dyn RangedObject>,
    at: u64,
    size: u64,
}

impl Source for Ranges {
    fn next(&mut self) -> Result<Option<Bytes>> {
        if self.at == self.size {
            return Ok(None);
        }
        let range = ByteRange { from: self.at, to: self.size.min(self.at + RANGE_BYTES) };
        self.at = range.to;
        self.object.fetch(range).wait().map(Some)
    }
}

/// A range that was looked at, and those behind it.
struct Behind {
    first: Option<Bytes>,
    rest: Ranges,
}

impl Source for Behind {
    fn next(&mut self) -> Result<Option<Bytes>> {
        match self.first.take().filter(|first| !first.is_empty()) {
            Some(first) => Ok(Some(first)),
            None => self.rest.next(),
        }
    }
}
