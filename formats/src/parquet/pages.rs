//! The pages of a row group that no row of the job's can lie in, by the bounds that the file's column index has of each page.
//!
//! ```text
//! a   │ page: 1 to 9 │ page: 9 to 17 │ page: 17 to 40 │     where a = 12: the rows of the second page
//! b   │ page    │ page    │ page    │ page    │ page │        those pages that have one of these rows
//! ```
//!
//! The indexes lie between the row groups and the footer. They are asked for where the row group may have rows by its own bounds, and
//! where what could be left out is worth it. What is not as it should be in an index is not relied on: the row group is then read
//! whole.

use super::file::{chunk, with_index};
use super::plan::{Plan, single_leaf};
use crate::arrow::cells::cells;
use bytes::Bytes;
use kinglet_core::guard::catch_as;
use kinglet_core::{ByteRange, Fetched, RangedObject, Result};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_reader::RowSelection;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::metadata::page_index::{PageIndex, PageIndexBuilder, PageIndexProvider};
use parquet::file::page_index::index_reader::{decode_column_index, decode_offset_index};
use parquet::file::page_index::offset_index::PageLocation;
use std::ops::Range;

/// The most bytes of indexes of a row group that are read (16 MiB).
const INDEX_BYTES_MAX: u64 = 16 << 20;

/// In how many ranges a column of a row group is read at most, and in how many all of its columns, where these are fewer than that:
/// with more, those that lie closest are read together. A few windows of all ranges are fetched at once.
const RANGES_MAX: usize = 16;
const RANGES_OF_ALL_MAX: usize = 64;

/// Of how many bytes of a hundred some must be left out, for the rest to be read by pages.
const LEFT_OUT_PERCENT_MIN: u64 = 10;

/// When pages are worth a look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paging {
    /// The fewest bytes of a row group's columns for which its indexes are asked for.
    pub(super) bytes_min: u64,
    /// Pages with fewer bytes between them are read together.
    pub(super) gap_bytes: u64,
}

impl Default for Paging {
    /// For less than 1 MiB, a request for an index takes as long as the columns do; and 64 KiB take as long as they take themselves.
    fn default() -> Self {
        Paging { bytes_min: 1 << 20, gap_bytes: 64 << 10 }
    }
}

/// Where the indexes lie that a job wants of a row group.
pub(super) struct Wanted {
    /// The column index of each leaf that a condition is about.
    columns: Vec<(usize, ByteRange)>,
    /// The offset index of each leaf that is read.
    offsets: Vec<(usize, ByteRange)>,
    /// What is fetched.
    gets: Vec<ByteRange>,
    paging: Paging,
}

/// Indexes that are being read.
pub(super) struct Fetching {
    wanted: Wanted,
    gets: Vec<(ByteRange, Box<dyn Fetched>)>,
}

/// What is left of a row group.
pub(super) struct Pages {
    /// The rows, counted from the row group's first, in order; none touches another.
    pub(super) rows: Vec<Range<usize>>,
    /// Where the pages lie that have them.
    pub(super) ranges: Vec<ByteRange>,
    /// The row group alone, with the offsets of its pages.
    pub(super) decoded: ArrowReaderMetadata,
}

impl Wanted {
    /// Returns which indexes to read, if they may save something.
    pub(super) fn of(plan: &Plan, group: usize, paging: Paging) -> Option<Self> {
        let inner = &plan.0;
        let file = &inner.file.0;
        let metadata = file.decoded.metadata().row_group(group);
        let leaves = plan.leaves();
        let bytes: u64 = leaves.iter().filter_map(|leaf| chunk(metadata.column(*leaf))).map(ByteRange::bytes).sum();
        if inner.chosen.conditions.is_empty() || bytes < paging.bytes_min {
            return None;
        }
        let index = |at: Option<i64>, length: Option<i32>| {
            let from = u64::try_from(at?).ok()?;
            let to = from.checked_add(u64::try_from(length?).ok()?)?;
            (from < to && to <= file.rows_to).then_some(ByteRange { from, to })
        };
        let offsets = leaves.iter().map(|leaf| {
            let column = metadata.column(*leaf);
            Some((*leaf, index(column.offset_index_offset(), column.offset_index_length())?))
        });
        let offsets: Vec<_> = offsets.collect::<Option<_>>()?;
        let mut columns: Vec<_> = inner
            .chosen
            .conditions
            .iter()
            .filter_map(|condition| {
                let leaf = single_leaf(&inner.file, condition.column)?;
                let column = metadata.column(leaf);
                Some((leaf, index(column.column_index_offset(), column.column_index_length())?))
            })
            .collect();
        columns.sort_by_key(|(leaf, _)| *leaf);
        columns.dedup();
        if columns.is_empty() {
            return None;
        }
        let all = columns.iter().chain(&offsets).map(|(_, range)| *range).collect();
        let gets = together(all, paging.gap_bytes);
        let is_small = gets.iter().map(|range| range.bytes()).sum::<u64>() <= INDEX_BYTES_MAX;
        is_small.then_some(Wanted { columns, offsets, gets, paging })
    }

    /// Starts to read them.
    pub(super) fn fetch(self, object: &dyn RangedObject) -> Fetching {
        let gets = self.gets.iter().map(|range| (*range, object.fetch(*range))).collect();
        Fetching { wanted: self, gets }
    }
}

impl Fetching {
    /// Waits for them, and returns what is left of the row group; `None` where it is to be read whole.
    ///
    /// # Errors
    /// Returns the error that kept them from being read.
    pub(super) fn pages(self, plan: &Plan, group: usize) -> Result<Option<Pages>> {
        let Fetching { wanted, gets } = self;
        let mut read = Vec::with_capacity(gets.len());
        for (range, fetched) in gets {
            read.push((range, fetched.wait()?));
        }
        // A damaged index must not keep anybody from reading the rows.
        Ok(catch_as("the decoder of Parquet", || pages(plan, group, &wanted, &read)).ok().flatten())
    }
}

fn pages(plan: &Plan, group: usize, wanted: &Wanted, read: &[(ByteRange, Bytes)]) -> Option<Pages> {
    let inner = &plan.0;
    let file = &inner.file.0;
    let metadata = file.decoded.metadata().row_group(group);
    let rows = usize::try_from(file.groups[group].rows).ok()?;
    let bytes = |range: ByteRange| {
        let (of, bytes) = read.iter().find(|(of, _)| of.from <= range.from && range.to <= of.to)?;
        bytes.get((range.from - of.from) as usize..(range.to - of.from) as usize)
    };
    let mut builder = PageIndexBuilder::new(1, metadata.num_columns());
    for (leaf, range) in &wanted.offsets {
        builder.put_offset_index(decode_offset_index(bytes(*range)?).ok()?, 0, *leaf);
    }
    for (leaf, range) in &wanted.columns {
        let of = metadata.column(*leaf).column_type();
        builder.put_column_index(decode_column_index(bytes(*range)?, of).ok()?, 0, *leaf);
    }
    let index = builder.build();
    for (leaf, _) in &wanted.offsets {
        check(metadata, *leaf, index.page_locations(0, *leaf)?, rows)?;
    }
    let mut left = all(rows);
    for condition in &inner.chosen.conditions {
        let Some(leaf) = single_leaf(&inner.file, condition.column) else { continue };
        if let Some(ranges) = may_hold(plan, condition.column, leaf, &index, rows, &condition.wanted) {
            left = both(&left, &ranges);
        }
    }
    let selection = RowSelection::from_consecutive_ranges(left.iter().cloned(), rows);
    let (mut ranges, mut whole) = (Vec::new(), 0);
    let ranges_max = (RANGES_OF_ALL_MAX / wanted.offsets.len().max(1)).clamp(1, RANGES_MAX);
    for (leaf, _) in &wanted.offsets {
        let lies = chunk(metadata.column(*leaf))?;
        whole += lies.bytes();
        let locations = index.page_locations(0, *leaf)?;
        let mut of_leaf: Vec<_> = selection
            .scan_ranges(locations)
            .into_iter()
            .map(|Range { start, end }| ByteRange { from: start, to: end })
            .collect();
        let first = u64::try_from(locations.first()?.offset).ok()?;
        if !of_leaf.is_empty() && lies.from < first {
            // The dictionary.
            of_leaf.push(ByteRange { from: lies.from, to: first });
        }
        let mut gap = wanted.paging.gap_bytes;
        of_leaf = together(of_leaf, gap);
        while of_leaf.len() > ranges_max {
            gap = 2 * gap.max(1);
            of_leaf = together(of_leaf, gap);
        }
        ranges.extend(of_leaf);
    }
    let wanted_bytes: u64 = ranges.iter().map(|range| range.bytes()).sum();
    if wanted_bytes * 100 > whole * (100 - LEFT_OUT_PERCENT_MIN) {
        return None;
    }
    let decoded = with_index(&inner.file, metadata.clone(), index).ok()?;
    Some(Pages { rows: left, ranges, decoded })
}

/// Checks that pages lie in their chunk one behind the other, and have all of its rows.
fn check(metadata: &RowGroupMetaData, leaf: usize, pages: &[PageLocation], rows: usize) -> Option<()> {
    let lies = chunk(metadata.column(leaf))?;
    let (mut at, mut row) = (lies.from, -1);
    for page in pages {
        let from = u64::try_from(page.offset).ok()?;
        let to = from.checked_add(u64::try_from(page.compressed_page_size).ok()?)?;
        let is_next = from >= at && from < to && to <= lies.to && page.first_row_index > row;
        let starts = row >= 0 || page.first_row_index == 0;
        if !is_next || !starts {
            return None;
        }
        (at, row) = (to, page.first_row_index);
    }
    (usize::try_from(row).ok()? < rows).then_some(())
}

/// Returns the rows of those pages of which a condition may hold.
fn may_hold(
    plan: &Plan,
    at: usize,
    leaf: usize,
    index: &PageIndex,
    rows: usize,
    wanted: &kinglet_core::Wanted,
) -> Option<Vec<Range<usize>>> {
    let file = &plan.0.file.0;
    let (schema, parquet) = (file.decoded.schema(), file.decoded.parquet_schema());
    let converter = StatisticsConverter::try_new(schema.field(at).name(), schema, parquet).ok()?;
    let orders = file.decoded.metadata().file_metadata().column_orders().map(Vec::as_slice);
    let converter = converter.with_column_orders(orders);
    index.column_index(0, leaf)?;
    let pages = index.page_locations(0, leaf)?;
    let (least, most) = (converter.data_page_mins(index, [&0]).ok()?, converter.data_page_maxes(index, [&0]).ok()?);
    if least.len() != pages.len() || most.len() != pages.len() {
        return None;
    }
    let (least, most) = (cells(&least), cells(&most));
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (n, page) in pages.iter().enumerate() {
        if !wanted.may_hold(&least.get(n), &most.get(n)) {
            continue;
        }
        let from = usize::try_from(page.first_row_index).ok()?;
        let to = pages.get(n + 1).map_or(Some(rows), |next| usize::try_from(next.first_row_index).ok())?;
        match ranges.last_mut() {
            Some(last) if last.end == from => last.end = to,
            _ => ranges.push(from..to),
        }
    }
    Some(ranges)
}

/// Returns all of so many rows, as a list of ranges.
pub(super) fn all(rows: usize) -> Vec<Range<usize>> {
    std::iter::once(0..rows).collect()
}

/// Returns the rows that are in both of two lists of ranges, each of which is in order.
fn both(one: &[Range<usize>], other: &[Range<usize>]) -> Vec<Range<usize>> {
    let (mut a, mut b, mut both) = (0, 0, Vec::new());
    while let (Some(x), Some(y)) = (one.get(a), other.get(b)) {
        let range = x.start.max(y.start)..x.end.min(y.end);
        if !range.is_empty() {
            both.push(range);
        }
        if x.end <= y.end { a += 1 } else { b += 1 }
    }
    both
}

/// Puts ranges in order, and makes one of those that have fewer than so many bytes between them.
fn together(mut ranges: Vec<ByteRange>, gap: u64) -> Vec<ByteRange> {
    ranges.sort_by_key(|range| (range.from, range.to));
    let mut all: Vec<ByteRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match all.last_mut() {
            Some(last) if range.from < last.to.saturating_add(gap) || range.from == last.to => {
                last.to = last.to.max(range.to)
            }
            _ => all.push(range),
        }
    }
    all
}
