//! A look at one file or object: how it is compressed, what format it has, its columns, and its first rows. Of an object of any
//! size, only its first bytes are read; of Parquet, its footer, and the first of its row groups that have rows to show; of Avro, its
//! head and first blocks.

use crate::columns::{Columns, Group};
use crate::inputs::s3_uri;
use crate::{Code, Codec, Driver, Error, Result};
use bytes::Bytes;
use kinglet_core::engine::cut::Cuts;
use kinglet_core::format::{FirstBytes, Framing, Rows, first_rows};
use kinglet_core::wire::plan::ObjectRange;
use kinglet_core::{
    BlockExtent, ByteLines, ByteRange, Datum, Fetched, Format, Named, RangedObject, RowFormat, Schema, Side, UserError,
};
use kinglet_formats::row_groups::FooterLook;
use kinglet_formats::unpack::{Bounds, Part, Step, Unpacker};
use kinglet_formats::{Cutting, Source, cutting};
use serde::Serialize;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// How many of an object's first bytes are read (1 MiB).
pub(crate) const LOOK_BYTES: u64 = 1 << 20;

/// Up to how many bytes what was read is unpacked (8 MiB).
const UNPACKED_BYTES: usize = 8 << 20;

/// The largest window that unpacking may take (128 MiB).
const WINDOW_BYTES: u64 = 128 << 20;

/// What is known of a file or object by its first bytes.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Look {
    /// Its path or URI.
    pub object: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// How it is compressed: `none`, `gzip`, …. Of Parquet, how its columns are; of Avro, how its blocks are.
    pub compression: String,
    /// The format that its rows were read in: `lines`, `json-lines`, `csv`, `tsv`, `parquet`, `avro`, `fixed`, `whole`.
    pub format: &'static str,
    /// How a job would cut it, as a sentence.
    pub splits: String,
    /// The columns of the rows that were read.
    pub schema: Schema,
    /// From how many rows the schema is.
    pub rows_read: u64,
    /// The first rows, each as a JSON object.
    pub rows: Vec<serde_json::Value>,
    /// What its footer says, if it is Parquet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub footer: Option<FooterLook>,
}

/// The first bytes of an object.
pub(crate) struct Start<'a> {
    pub(crate) shown: &'a str,
    pub(crate) first: Bytes,
    pub(crate) size: u64,
}

/// How an object is read.
#[derive(Clone)]
pub(crate) struct ReadAs {
    pub(crate) format: RowFormat,
    /// Its codec, if somebody has said it.
    pub(crate) codec: Option<Codec>,
}

/// Looks at a file of this machine: what it is, and `rows` of its rows. The format is that of its name's ending, unless it is
/// given.
///
/// # Errors
/// `input-missing`, `input-kind` or `input-unreadable`; `codec-unknown` or `codec-contradiction`; `compressed-corrupt`;
/// `record-invalid` when one of its first rows is none; `columns`, `parquet-…` and `avro-…` for these.
pub fn look_at_file(path: &str, format: Option<RowFormat>, rows: usize) -> Result<Look> {
    let unreadable = |e: std::io::Error| {
        let code = if e.kind() == std::io::ErrorKind::NotFound { Code::InputMissing } else { Code::InputUnreadable };
        Error::new(code, format!("reading {path}: {e}")).with_hint("name a file, or s3://BUCKET/KEY with --stack")
    };
    let mut file = std::fs::File::open(Path::new(path)).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(Error::new(Code::InputKind, format!("{path} is no file")).with_hint("name one of the files in it"));
    }
    let format = format.unwrap_or_else(|| RowFormat::named(path));
    if format.in_columns().is_some() {
        let object = Arc::new(FileObject { path: path.to_owned(), file });
        return Columns::framed(Rows(format.clone()).framing(), object, about.len()).look(&format, rows);
    }
    let mut first = Vec::new();
    file.by_ref().take(LOOK_BYTES).read_to_end(&mut first).map_err(unreadable)?;
    Start { shown: path, size: about.len().max(first.len() as u64), first: first.into() }.look(format, rows)
}

impl Driver {
    /// Looks at an object of S3, as [`look_at_file`] does at a file. It sends two requests, and more for Parquet and Avro.
    ///
    /// # Errors
    /// `uri` when it is no URI of an object; otherwise as [`look_at_file`], or [a service error](crate#errors).
    pub async fn look(&self, uri: &str, format: Option<RowFormat>, rows: usize) -> Result<Look> {
        let no_object = || Error::new(Code::Uri, format!("{uri} names no object")).with_hint("write s3://BUCKET/KEY");
        let (bucket, key) = s3_uri(uri).ok_or_else(no_object)??;
        if key.is_empty() {
            return Err(no_object());
        }
        let objects = &self.shared.conductor.objects;
        let Some(found) = objects.head(&bucket, &key).await? else {
            return Err(Error::new(Code::InputMissing, format!("there is no {uri}")).with_hint("check bucket and key"));
        };
        let format = format.unwrap_or_else(|| RowFormat::named(uri));
        if format.in_columns().is_some() {
            let object = Arc::new(objects.ranged(&bucket, &key, &found.etag, uri));
            let columns = Columns::framed(Rows(format.clone()).framing(), object, found.size);
            let looking = move || columns.look(&format, rows);
            let stopped = |e| Error::new(Code::Threads, format!("looking at an object: {e}"));
            return tokio::task::spawn_blocking(looking).await.map_err(stopped)?;
        }
        let to = LOOK_BYTES.min(found.size);
        let first = objects.read(&bucket, &key, Some(&found.etag), 0, to, uri).all().await?;
        Start { shown: uri, first: first.into(), size: found.size }.look(format, rows)
    }
}

/// Gives the bytes that were read, once.
struct Once(Option<Bytes>);

impl Source for Once {
    fn next(&mut self) -> Result<Option<Bytes>> {
        Ok(self.0.take())
    }
}

/// What a look at an object has added to a schema.
pub(crate) struct Added {
    /// How many rows were seen by now.
    pub(crate) rows: u64,
    /// Whether the object has more than was read, and no whole row in that.
    pub(crate) is_cut: bool,
}

/// Bytes of rows.
pub(crate) struct Unpacked {
    pub(crate) bytes: Vec<u8>,
    /// Whether they are all of the object's.
    pub(crate) whole: bool,
}

impl Start<'_> {
    /// Adds to a schema what its rows have. `before` is how many rows were seen before.
    pub(crate) fn add_to(&self, schema: &mut Schema, before: u64, read_as: ReadAs) -> Result<Added> {
        let codec = read_as.codec.map_or_else(|| Codec::of(self.shown, &self.first), Ok)?;
        let Unpacked { bytes, whole } = self.unpacked(codec)?;
        let rows = Rows(read_as.format);
        // Of which type a whole object is, its first bytes say.
        let is_all = whole || rows.framing() == Framing::Whole;
        let read = first_rows(&rows, FirstBytes { bytes: &bytes, is_all, object: self.shown }, usize::MAX)?;
        if let (RowFormat::Csv(dialect), true) = (&rows.0, read.is_empty()) {
            // Its head names columns of which nobody has seen a value.
            let names =
                dialect.head_names(&bytes).map_err(|e| e.context(format!("reading the head of {}", self.shown)))?;
            let none = |name: String| Named { name: name.into(), value: Datum::Null };
            schema.add(&names.into_iter().map(none).collect::<Vec<_>>(), before);
        }
        (before..).zip(&read).for_each(|(n, row)| schema.add(&row.fields, n));
        Ok(Added { rows: before + read.len() as u64, is_cut: read.is_empty() && !is_all })
    }

    pub(crate) fn unpacked(&self, codec: Codec) -> Result<Unpacked> {
        match codec {
            Codec::None => Ok(Unpacked { bytes: self.first.to_vec(), whole: self.first.len() as u64 == self.size }),
            codec => self.unpack(codec),
        }
    }

    fn look(&self, format: RowFormat, limit: usize) -> Result<Look> {
        let codec = if self.first.is_empty() { Codec::None } else { Codec::of(self.shown, &self.first)? };
        let Unpacked { bytes, whole } = self.unpacked(codec)?;
        let name = format.name();
        let rows = Rows(format);
        let read = first_rows(&rows, FirstBytes { bytes: &bytes, is_all: whole, object: self.shown }, limit)?;
        let mut schema = Schema::default();
        for (n, row) in (0..).zip(&read) {
            schema.add(&row.fields, n);
        }
        let as_json =
            |row| serde_json::to_value(row).map_err(|e| Error::new(Code::Report, format!("writing JSON: {e}")));
        Ok(Look {
            object: self.shown.to_owned(),
            bytes: self.size,
            compression: codec.name().to_owned(),
            format: name,
            splits: splits(codec, &self.first, &rows),
            schema,
            rows_read: read.len() as u64,
            rows: read.iter().map(as_json).collect::<Result<_>>()?,
            footer: None,
        })
    }

    /// Unpacks what was read, as far as it goes.
    fn unpack(&self, codec: Codec) -> Result<Unpacked> {
        let range = ObjectRange {
            input_idx: 0,
            key: self.shown.to_owned(),
            etag: String::new(),
            size: self.size,
            from: 0,
            to: self.size,
            codec: Some(codec),
        };
        let part = Part { range: &range, range_idx: 0, start: None, codec, shown: self.shown.to_owned() };
        let record_bytes = UNPACKED_BYTES as u64;
        let bounds = Bounds { window_bytes: WINDOW_BYTES, record_bytes, expansion: u32::MAX };
        let source = Box::new(Once(Some(self.first.clone())));
        let mut unpacker = Unpacker::new(&part, Cuts::of(ByteLines), bounds, source)?;
        let mut bytes = Vec::new();
        while bytes.len() < UNPACKED_BYTES {
            match unpacker.step(&mut |chunk| bytes.extend_from_slice(&chunk.bytes)) {
                Ok(Step::More) => {}
                Ok(Step::Done) => return Ok(Unpacked { bytes, whole: true }),
                // The object goes on behind what was read.
                Err(_) if (self.first.len() as u64) < self.size => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Unpacked { bytes, whole: false })
    }
}

/// A file of this machine, whose ranges are read at once.
struct FileObject {
    path: String,
    file: std::fs::File,
}

impl RangedObject for FileObject {
    fn name(&self) -> &str {
        &self.path
    }

    fn fetch(&self, range: ByteRange) -> Box<dyn Fetched> {
        let mut bytes = vec![0; range.bytes() as usize];
        let read = self.file.read_exact_at(&mut bytes, range.from);
        let read = read.map(|()| bytes.into());
        let unreadable = |e| Error::new(Code::InputUnreadable, format!("reading {}: {e}", self.path));
        Box::new(AlreadyRead(read.map_err(unreadable)))
    }
}

/// A range that was read.
struct AlreadyRead(Result<Bytes>);

impl Fetched for AlreadyRead {
    fn wait(self: Box<Self>) -> Result<Bytes> {
        self.0
    }
}

impl Columns {
    fn look(&self, format: &RowFormat, limit: usize) -> Result<Look> {
        let rows = self.first_rows(format, limit)?;
        let look = Look {
            object: self.object.name().to_owned(),
            bytes: self.size,
            compression: String::new(),
            format: format.name(),
            splits: String::new(),
            schema: Schema::default(),
            rows_read: rows.len() as u64,
            rows,
            footer: None,
        };
        if self.in_blocks {
            let file = self.head()?.file;
            let splits = "at any block".to_owned();
            return Ok(Look { compression: file.codec().to_owned(), splits, schema: file.schema(), ..look });
        }
        let file = self.footer()?;
        let footer = file.about();
        let mut packed: Vec<_> = footer.columns.iter().map(|column| column.compression.clone()).collect();
        packed.sort_unstable();
        packed.dedup();
        let splits = match footer.row_groups.len() {
            0 => "nowhere: it has no row groups".to_owned(),
            1 => "nowhere: it has one row group".to_owned(),
            groups => format!("between its {groups} row groups"),
        };
        Ok(Look { compression: packed.join(", "), splits, schema: file.schema(), footer: Some(footer), ..look })
    }

    fn first_rows(&self, format: &RowFormat, limit: usize) -> Result<Vec<serde_json::Value>> {
        let rows = Rows(format.clone());
        let mut first = Vec::new();
        for group in self.groups(&rows.selection(), WINDOW_BYTES)? {
            if first.len() >= limit {
                break;
            }
            let Group { first_row, rows: group } = group?;
            let mut blocks = group.open()?;
            while first.len() < limit
                && let Some(block) = blocks.next_block()?
            {
                let extent = BlockExtent { block: &block, first_row, object: self.object.name(), side: Side::Left };
                let read = rows.for_each_row(extent, |_, row| {
                    if first.len() < limit {
                        first.push(serde_json::to_value(row).map_err(UserError::from)?);
                    }
                    Ok(())
                });
                read.map_err(|e| e.into_error(Code::Report))?;
            }
        }
        Ok(first)
    }
}

/// Says how a job would cut an object.
fn splits(codec: Codec, first: &[u8], rows: &Rows) -> String {
    let quoted = match rows.framing() {
        Framing::Quoted(quotes) => Some(quotes),
        _ => None,
    };
    match (codec, quoted) {
        (_, None) if rows.framing() == Framing::Whole => "nowhere: it is one row".to_owned(),
        (Codec::None, None) => "anywhere, between two rows".to_owned(),
        (Codec::None, Some(quotes)) if quotes.escape.is_some() => {
            "nowhere: with escapes, each object is one split".to_owned()
        }
        (Codec::None, Some(_)) => {
            "anywhere, between two rows; where one starts is guessed in the middle of an object, and proved".to_owned()
        }
        (codec, Some(_)) => {
            format!("nowhere: it is compressed by {codec}, and its rows may have line feeds in quotes")
        }
        (codec, None) => match cutting(codec, first) {
            Cutting::Anywhere => format!("at any block of {codec}"),
            Cutting::BySeekTable => format!("at any frame of {codec} if it has a seek table, and otherwise nowhere"),
            Cutting::Nowhere => format!("nowhere: what {codec} has compressed is read from its start"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(name: &str, bytes: &[u8], rows: usize) -> Result<Look> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        look_at_file(path.to_str().unwrap(), None, rows)
    }

    #[test]
    fn a_file_of_any_size_is_looked_at_by_its_first_bytes() {
        let mut csv = b"id,text\n".to_vec();
        for n in 0..200_000 {
            csv.extend_from_slice(format!("{n},\"a line\nand another\"\n").as_bytes());
        }
        // What is wrong behind them is not seen.
        csv.extend_from_slice(b"wrong");
        let seen = look("a.csv", &csv, 3).unwrap();
        assert_eq!((seen.bytes, &seen.compression[..], seen.format), (csv.len() as u64, "none", "csv"));
        assert_eq!(seen.schema.columns.iter().map(ToString::to_string).collect::<Vec<_>>(), ["id: int", "text: text"]);
        assert_eq!((seen.rows_read, &seen.rows[2]["text"]), (3, &"a line\nand another".into()));
        assert!(seen.splits.contains("guessed"));
        let all = look("a.csv", &csv, usize::MAX).unwrap();
        assert!(all.rows_read > 20_000 && all.rows_read < 200_000);
    }

    #[test]
    fn small_empty_and_damaged_files_are_said_to_be_so() {
        assert_eq!(look("a.jsonl", b"", 3).unwrap().rows_read, 0);
        assert_eq!(look("a.jsonl", b"{\"a\": 1}\n2", 3).unwrap().rows_read, 2);
        assert!(look("a.jsonl", b"{\"a\": 1}\nno", 3).unwrap_err().is(Code::RecordInvalid));
        assert!(look("a.csv.gz", b"no gzip", 3).unwrap_err().is(Code::CodecContradiction));
        assert!(look("a.zip", b"PK\x03\x04", 3).unwrap_err().is(Code::CodecUnknown));
        assert!(look_at_file("/nowhere/a", None, 3).unwrap_err().is(Code::InputMissing));
        assert!(look_at_file("/", None, 3).unwrap_err().is(Code::InputKind));
        let seen = look("a", b"x", 3).unwrap();
        assert_eq!((seen.format, &seen.splits[..]), ("lines", "anywhere, between two rows"));
    }
}
