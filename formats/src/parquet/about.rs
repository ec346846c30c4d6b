//! What a footer says, for people.

use super::file::File;
use super::plan::bounds;
use crate::arrow::cells::cells;
use crate::footer::{ColumnLook, FooterLook, RowGroupLook};
use parquet::basic::Compression;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// How many characters of a bound are shown.
const BOUND_CHARS: usize = 100;

impl File {
    /// Returns what the footer says.
    pub fn about(&self) -> FooterLook {
        let metadata = self.0.decoded.metadata();
        let parquet = self.0.decoded.parquet_schema();
        let groups = self.0.groups.iter();
        let columns = (0..parquet.num_columns()).map(|leaf| {
            let chunks = || metadata.row_groups().iter().map(|group| group.column(leaf));
            let compression: BTreeSet<_> = chunks().map(|chunk| name(chunk.compression())).collect();
            let nulls = chunks().map(|chunk| chunk.statistics().and_then(|statistics| statistics.null_count_opt()));
            let [least, most] = self.bounds(leaf);
            ColumnLook {
                name: parquet.column(leaf).path().string(),
                compression: compression.into_iter().collect::<Vec<_>>().join(", "),
                bytes: chunks().map(|chunk| u64::try_from(chunk.compressed_size()).unwrap_or(0)).sum(),
                nulls: nulls.sum(),
                least,
                most,
            }
        });
        FooterLook {
            rows: groups.clone().map(|group| group.rows).sum(),
            written_by: metadata.file_metadata().created_by().map(str::to_owned),
            row_groups: groups
                .map(|group| RowGroupLook { from: group.lies.from, bytes: group.lies.bytes(), rows: group.rows })
                .collect(),
            columns: columns.collect(),
        }
    }

    /// Returns the bounds of a column's values in all row groups, if each has them.
    fn bounds(&self, leaf: usize) -> [Option<serde_json::Value>; 2] {
        let parquet = self.0.decoded.parquet_schema();
        let root = parquet.get_column_root_idx(leaf);
        let all: Vec<_> = (0..self.0.groups.len()).map(|group| bounds(self, root, group)).collect();
        let bound = |which: usize, wanted: Ordering| {
            let all: Vec<_> = all.iter().map(|both| both[which].as_ref().map(cells)).collect::<Option<_>>()?;
            let mut values = all.iter().map(|cells| cells.get(0));
            let first = values.next()?;
            let best = values.try_fold(first, |best, other| match other.compare(&best) {
                Some(order) if order == wanted => Some(other),
                Some(_) => Some(best),
                None => None,
            })?;
            match serde_json::to_value(&best).ok()? {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text.chars().take(BOUND_CHARS).collect::<String>().into()),
                other => Some(other),
            }
        };
        [bound(0, Ordering::Less), bound(1, Ordering::Greater)]
    }
}

fn name(of: Compression) -> &'static str {
    match of {
        Compression::UNCOMPRESSED => "none",
        Compression::SNAPPY => "snappy",
        Compression::GZIP(_) => "gzip",
        Compression::LZO => "lzo",
        Compression::BROTLI(_) => "brotli",
        Compression::LZ4 | Compression::LZ4_RAW => "lz4",
        Compression::ZSTD(_) => "zstd",
    }
}
