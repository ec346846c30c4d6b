//! The head of a file: its schema, how its blocks are compressed, and the marker that each ends with.

use super::schema::with_plain_names;
use super::{corrupt, not_read};
use crate::arrow::columns::OfFile;
use crate::file_blocks::Headed;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::errors::AvroError;
use arrow_avro::reader::{Decoder, DecoderMode, HeaderInfo, ReaderBuilder, read_header_info};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use kinglet_core::guard::catch_as;
use kinglet_core::limits::AVRO_HEAD_BYTES_MAX;
use kinglet_core::{Columns, Result, Schema, Types};
use std::sync::Arc;

const MAGIC: &[u8] = b"Obj\x01";

/// How many bytes a marker has.
pub(super) const MARKER_BYTES: usize = 16;

/// How many bytes of a head are looked at first.
const FIRST_BYTES: usize = 4 << 10;

/// A file, as its head says it.
#[derive(Clone, Debug)]
pub struct File(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) shown: String,
    pub(super) codec: Option<CompressionCodec>,
    pub(super) marker: [u8; MARKER_BYTES],
    pub(super) head_bytes: u64,
    /// With plain names.
    written_by: AvroSchema,
    /// The columns, as Arrow has them.
    pub(super) schema: SchemaRef,
}

/// Reads the head of an object, for whoever fetches its bytes.
#[derive(Debug)]
pub struct HeadReader {
    shown: String,
    bytes: Vec<u8>,
    /// How many bytes there must be before it is looked at again.
    enough: usize,
}

impl HeadReader {
    /// Begins to read the head of an object that errors call `shown`.
    pub fn new(shown: impl Into<String>) -> Self {
        HeadReader { shown: shown.into(), bytes: Vec::new(), enough: FIRST_BYTES }
    }

    /// Takes the next bytes of the object, from its start on. Returns the file, unless more are needed; `ends` says that there are none.
    ///
    /// # Errors
    /// `avro-corrupt` when the object is not what Avro writes; `avro-schema` when it is not read; `format-missing` when this program is
    /// built without Avro.
    pub fn feed(&mut self, bytes: &[u8], ends: bool) -> Result<Option<Headed<File>>> {
        self.bytes.extend_from_slice(bytes);
        let magic = &self.bytes[..self.bytes.len().min(MAGIC.len())];
        if !MAGIC.starts_with(magic) {
            return Err(corrupt(&self.shown, "it does not begin as Avro does, with Obj and 1: it is another format"));
        }
        if self.bytes.len() < self.enough && !ends {
            return Ok(None);
        }
        let read = catch_as("the reader of Avro's heads", || read_header_info(&self.bytes[..]));
        let info = match read.map_err(|e| corrupt(&self.shown, e))? {
            Ok(info) => info,
            Err(AvroError::EOF(_)) if ends => return Err(corrupt(&self.shown, "it is cut short within its head")),
            Err(AvroError::EOF(_)) if self.bytes.len() as u64 <= AVRO_HEAD_BYTES_MAX => {
                self.enough = 2 * self.bytes.len();
                return Ok(None);
            }
            Err(AvroError::EOF(_)) => {
                let message = format!("its head has more than {AVRO_HEAD_BYTES_MAX} bytes");
                return Err(corrupt(&self.shown, message));
            }
            Err(error) => return Err(corrupt(&self.shown, format!("its head: {error}"))),
        };
        let file = File::new(&self.shown, &info)?;
        let mut rest = Bytes::from(std::mem::take(&mut self.bytes));
        let head = usize::try_from(info.header_len()).unwrap_or(usize::MAX).min(rest.len());
        Ok(Some(Headed { file, rest: rest.split_off(head) }))
    }
}

impl File {
    fn new(shown: &str, info: &HeaderInfo) -> Result<Self> {
        let codec = info.compression().map_err(|e| not_read(shown, e))?;
        let written_by = info.writer_schema().map_err(|e| corrupt(shown, e))?;
        let wrong = |e| not_read(shown, format!("its schema: {e}"));
        let written_by = AvroSchema::new(with_plain_names(&written_by.json_string).map_err(wrong)?);
        let schema = decoder(&written_by, None).map_err(wrong)?.schema();
        let (marker, head_bytes) = (info.sync(), info.header_len());
        Ok(File(Arc::new(Inner { shown: shown.to_owned(), codec, marker, head_bytes, written_by, schema })))
    }

    /// Returns how many bytes its head has.
    pub fn head_bytes(&self) -> u64 {
        self.0.head_bytes
    }

    /// Returns about how many bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        // The schema as text, as types and as a decoder.
        4 * self.0.head_bytes as usize
    }

    /// Returns how its blocks are compressed: `none`, `deflate`, ….
    pub fn codec(&self) -> &'static str {
        match self.0.codec {
            None => "none",
            Some(CompressionCodec::Deflate) => "deflate",
            Some(CompressionCodec::Snappy) => "snappy",
            Some(CompressionCodec::ZStandard) => "zstd",
            Some(CompressionCodec::Bzip2) => "bzip2",
            Some(CompressionCodec::Xz) => "xz",
        }
    }

    pub(super) fn of_file(&self) -> OfFile<'_> {
        OfFile { shown: &self.0.shown, schema: &self.0.schema }
    }

    /// Returns the columns that can be read.
    pub fn schema(&self) -> Schema {
        self.of_file().columns()
    }

    /// Returns the columns that are read, by the types that they are written as.
    ///
    /// # Errors
    /// Returns `columns` for a type that is not written, and `types` when two columns have one name.
    pub fn types(&self, columns: &Columns) -> Result<Types> {
        self.of_file().types(columns)
    }

    /// Makes a decoder of rows, of these columns alone or of all.
    pub(super) fn decoder(&self, columns: Option<&[usize]>) -> Result<Decoder, String> {
        decoder(&self.0.written_by, columns)
    }
}

fn decoder(schema: &AvroSchema, columns: Option<&[usize]>) -> Result<Decoder, String> {
    let make = || {
        let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
        // There is one schema, whatever it is called.
        let number = store.set(Fingerprint::Id(1), schema.clone())?;
        let builder = ReaderBuilder::new().with_batch_size(crate::arrow::BLOCK_ROWS_MAX as usize);
        let builder = builder.with_writer_schema_store(store).with_active_fingerprint(number);
        let builder = builder.with_decoder_mode(DecoderMode::UnframedDatum);
        match columns {
            Some(columns) => builder.with_projection(columns.to_vec()).build_decoder(),
            None => builder.build_decoder(),
        }
    };
    match catch_as("the decoder of Avro", make) {
        Ok(Ok(decoder)) => Ok(decoder),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => Err(panic.to_string()),
    }
}
