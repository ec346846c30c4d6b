//! The footer of a file: where its row groups lie, and which columns it has.

use super::corrupt;
use super::thrift::says_encrypted;
use crate::footer::{FileGroup, Footer, Tail};
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use kinglet_core::limits::PARQUET_FOOTER_BYTES_MAX;
use kinglet_core::{ByteRange, Code, Error, Result};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::Type as Physical;
use parquet::file::metadata::page_index::PageIndex;
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataBuilder, ParquetMetaDataReader, RowGroupMetaData,
};
use std::sync::Arc;

/// What follows the footer: its length and the magic.
const END_BYTES: u64 = 8;

/// What comes before the first row group.
const START_BYTES: u64 = 4;

/// A file, as its footer says it.
#[derive(Clone, Debug)]
pub struct File(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) shown: String,
    pub(super) decoded: ArrowReaderMetadata,
    pub(super) groups: Vec<Group>,
    /// The positions of the groups, in the order in which they lie in the file.
    in_order: Vec<usize>,
    /// Where the footer starts, behind rows and indexes.
    pub(super) rows_to: u64,
}

/// A row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) lies: ByteRange,
    pub(super) first_row: u64,
    pub(super) rows: u64,
}

/// Reads a footer of the last bytes of an object, or says from where on they are needed.
///
/// # Errors
/// Returns `parquet-corrupt` when the object is not what Parquet writes, and `parquet-encrypted`.
pub fn read_footer(tail: Tail<'_>) -> Result<Footer<File>> {
    let Tail { shown, size, bytes } = tail;
    let have = bytes.len() as u64;
    if size < START_BYTES + END_BYTES || have < END_BYTES {
        return Err(corrupt(shown, format!("it has {size} bytes, and no Parquet file is as short")));
    }
    let (rest, end) = bytes.split_at(bytes.len() - END_BYTES as usize);
    match end {
        [.., b'P', b'A', b'R', b'1'] => {}
        [.., b'P', b'A', b'R', b'E'] => return Err(encrypted(shown, "its footer and columns")),
        _ => {
            return Err(corrupt(
                shown,
                "it does not end as Parquet does, with PAR1: it is cut short, or another format",
            ));
        }
    }
    let length = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    if length > size - START_BYTES - END_BYTES {
        return Err(corrupt(shown, format!("its footer should have {length} bytes, which is more than the file has")));
    }
    if length > PARQUET_FOOTER_BYTES_MAX {
        let message = format!("its footer has {length} bytes, and at most {PARQUET_FOOTER_BYTES_MAX} are read");
        return Err(corrupt(shown, message));
    }
    if have < length + END_BYTES {
        return Ok(Footer::From(size - length - END_BYTES));
    }
    let footer = &rest[rest.len() - length as usize..];
    if says_encrypted(footer) {
        return Err(encrypted(shown, "some of its columns or all"));
    }
    let decode = || ParquetMetaDataReader::decode_metadata(footer);
    let metadata = kinglet_core::guard::catch_as("the decoder of Parquet", decode);
    let metadata = metadata.map_err(|e| corrupt(shown, e))?.map_err(|e| corrupt(shown, format!("its footer: {e}")))?;
    let rows_to = size - length - END_BYTES;
    Ok(Footer::Whole(File(Arc::new(Inner::new(shown, metadata, rows_to)?))))
}

fn encrypted(shown: &str, what: &str) -> Error {
    Error::new(Code::ParquetEncrypted, format!("reading {shown} as Parquet: {what} are encrypted"))
        .with_hint("write it without encryption; S3 encrypts objects by itself")
}

impl Inner {
    fn new(shown: &str, metadata: ParquetMetaData, rows_to: u64) -> Result<Self> {
        let mut groups = Vec::with_capacity(metadata.num_row_groups());
        let mut first_row = 0u64;
        for (n, group) in metadata.row_groups().iter().enumerate() {
            let at = |what: String| corrupt(shown, format!("row group {n}: {what}"));
            let rows = u64::try_from(group.num_rows()).map_err(|_| at(format!("{} rows", group.num_rows())))?;
            let mut lies: Option<ByteRange> = None;
            for column in group.columns() {
                let name = column.column_path();
                if column.file_path().is_some() {
                    return Err(at(format!("column {name} lies in another file")));
                }
                let chunk = chunk(column).filter(|chunk| chunk.from >= START_BYTES && chunk.to <= rows_to);
                let chunk = chunk.ok_or_else(|| at(format!("column {name} does not lie in the file")))?;
                let before = lies.unwrap_or(chunk);
                lies = Some(ByteRange { from: before.from.min(chunk.from), to: before.to.max(chunk.to) });
            }
            // Without columns there is nothing to lie anywhere.
            let lies = lies.unwrap_or(ByteRange { from: START_BYTES, to: START_BYTES });
            groups.push(Group { lies, first_row, rows });
            first_row = first_row.checked_add(rows).ok_or_else(|| at("more rows than can be counted".to_owned()))?;
        }
        if i64::try_from(first_row) != Ok(metadata.file_metadata().num_rows()) {
            let message = format!("{} rows, and {first_row} in its row groups", metadata.file_metadata().num_rows());
            return Err(corrupt(shown, message));
        }
        let mut in_order: Vec<usize> = (0..groups.len()).filter(|n| groups[*n].rows > 0).collect();
        in_order.sort_by_key(|n| groups[*n].lies.from);
        if let Some(pair) = in_order.windows(2).find(|pair| groups[pair[0]].lies.to > groups[pair[1]].lies.from) {
            return Err(corrupt(shown, format!("the row groups {} and {} lie in the same place", pair[0], pair[1])));
        }
        let decoded = with_schema(metadata).map_err(|e| corrupt(shown, format!("its schema: {e}")))?;
        Ok(Inner { shown: shown.to_owned(), decoded, groups, in_order, rows_to })
    }
}

/// Returns where a column's chunk lies, if its numbers are those of a range.
pub(super) fn chunk(column: &ColumnChunkMetaData) -> Option<ByteRange> {
    // Some writers say 0 where there is no dictionary.
    let dictionary = column.dictionary_page_offset().filter(|at| *at > 0);
    let data = column.data_page_offset();
    let from = u64::try_from(dictionary.map_or(data, |at| at.min(data))).ok()?;
    let to = from.checked_add(u64::try_from(column.compressed_size()).ok()?)?;
    // What the decoder takes for the chunk must be the same.
    let taken_for = column.dictionary_page_offset().unwrap_or(data);
    (u64::try_from(taken_for).ok()? == from).then_some(ByteRange { from, to })
}

/// Gives a file the types that it is read in.
fn with_schema(metadata: ParquetMetaData) -> parquet::errors::Result<ArrowReaderMetadata> {
    let parquet = metadata.file_metadata().schema_descr_ptr();
    let plain = parquet_to_arrow_schema(&parquet, None)?;
    let mut leaves = parquet.columns().iter().map(|leaf| leaf.physical_type());
    let fields: Fields = plain.fields().iter().map(|field| read_as(field, &mut leaves)).collect();
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    ArrowReaderMetadata::try_new(Arc::new(metadata), options)
}

/// Returns one of a file's row groups alone, with what is known of its pages.
pub(super) fn with_index(
    file: &File,
    group: RowGroupMetaData,
    index: PageIndex,
) -> parquet::errors::Result<ArrowReaderMetadata> {
    let decoded = &file.0.decoded;
    let builder = ParquetMetaDataBuilder::new(decoded.metadata().file_metadata().clone());
    let metadata = builder.add_row_group(group).set_page_index(Some(Arc::new(index))).build();
    ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new().with_schema(decoded.schema().clone()))
}

/// Returns the type that a field is read in. Text is not copied out of its page or its dictionary, however often a page has it.
/// INT96, which the format has given up, goes beyond what can be counted in nanoseconds: 9999-12-31 is common in it.
fn read_as(field: &FieldRef, leaves: &mut impl Iterator<Item = Physical>) -> FieldRef {
    let mut inner = |field: &FieldRef| read_as(field, leaves);
    let of = match field.data_type() {
        DataType::List(of) => DataType::List(inner(of)),
        DataType::LargeList(of) => DataType::LargeList(inner(of)),
        DataType::FixedSizeList(of, length) => DataType::FixedSizeList(inner(of), *length),
        DataType::Map(of, sorted) => DataType::Map(inner(of), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        leaf => match (leaf, leaves.next()) {
            (DataType::Utf8, _) => DataType::Utf8View,
            (DataType::Binary, _) => DataType::BinaryView,
            (DataType::Timestamp(_, zone), Some(Physical::INT96)) => {
                DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
            }
            (other, _) => other.clone(),
        },
    };
    Arc::new(Field::clone(field).with_data_type(of))
}

impl File {
    /// Returns the row groups whose first byte lies in a range, in the order in which they lie there, but for those without rows.
    pub fn row_groups(&self, within: ByteRange) -> Vec<FileGroup> {
        let all = self.0.in_order.iter().map(|n| {
            let group = self.0.groups[*n];
            FileGroup { number: *n, from: group.lies.from, first_row: group.first_row, rows: group.rows }
        });
        all.filter(|group| within.from <= group.from && group.from < within.to).collect()
    }

    /// Returns about how many bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        self.0.decoded.metadata().memory_size()
    }
}
