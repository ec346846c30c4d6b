//! Rows on their way from a mapper to a reducer: many rows in one value, their names once.
//!
//! A [`RowBlock`] is a sequence of entries, each behind its length. Integers are little-endian; `n` is one in 1 to 10 bytes: seven
//! bits in each, the lowest ones first, and the eighth is set if another byte follows (LEB128).
//!
//! ```text
//! 0  bytes:u32          of the entry, this field not counted
//! 4  kind:u8            0: the names of the rows that follow; 1: a row, as many values as there are names
//! 5  names or values    a name: bytes:n and its text
//!
//! a value: 0 null  1 false  2 true  3 a whole number  4 digits  5 f64  6 text  7 bytes  8 count:n and so many values
//!          9 count:n and so many names, each with its value; digits, text and bytes have their length before them, as n
//!          10 kind:u8 unit:u8 i64, a time: 0 date  1 time of day  2 point in time  3 the same in UTC, in 0 ms  1 µs  2 ns
//! a whole number w: n is 2w, or -2w - 1 if it is below zero
//! ```
//!
//! A [`PackedRow`] is one row that travels alone, as rows do that are sorted. Its names do not travel with it if the job knows them:
//!
//! ```text
//! 0  list:n             0: the names follow, as count:n and so many names; k: they are the job's list k - 1
//! .  values             as many as there are names
//! ```
//!
//! Both are in a job's pairs, which the frames of runs have a checksum of. What lengths say is checked all the same.

use crate::error::{Code, Error, Result};
use crate::format::row::write_all;
use crate::format::{Datum, Named, Row, RowValues, Temporal, TimeUnit};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

const NAMES: u8 = 0;
const ROW: u8 = 1;

/// How deep values may lie in each other; JSON is read to a depth of 128.
const DEPTH_MAX: usize = 200;

/// Rows without types, as bytes; see the module.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RowBlock {
    bytes: Vec<u8>,
    /// Where the names of the last row lie.
    names: Range<usize>,
}

impl RowBlock {
    /// Adds a row.
    ///
    /// # Errors
    /// Returns `value-too-long` for a row of 4 GiB or more.
    pub fn push(&mut self, fields: &[Named<'_>]) -> Result<()> {
        if !self.has_names(fields) {
            let start = self.begin(NAMES);
            fields.iter().for_each(|field| put_bytes(field.name.as_bytes(), &mut self.bytes));
            self.end(start)?;
            self.names = start + 5..self.bytes.len();
        }
        let start = self.begin(ROW);
        fields.iter().for_each(|field| put_value(&field.value, &mut self.bytes));
        self.end(start)
    }

    /// Returns how many bytes the rows take.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the rows in order.
    pub fn into_rows(self) -> impl Iterator<Item = Result<BlockRow>> {
        let (bytes, mut at, mut names) = (Arc::new(self.bytes), 0, 0..0);
        std::iter::from_fn(move || {
            while at < bytes.len() {
                let mut left = Left { bytes: &bytes[at..], depth: 0 };
                let entry = left.take_entry().and_then(|entry| Some((entry.len(), *entry.first()?)));
                let Some((length, kind)) = entry else {
                    at = bytes.len();
                    return Some(Err(invalid()));
                };
                let inner = at + 5..at + 4 + length;
                at = inner.end;
                match kind {
                    NAMES => names = inner,
                    _ => return Some(Ok(BlockRow { bytes: bytes.clone(), names: names.clone(), values: inner })),
                }
            }
            None
        })
    }

    /// Returns whether the row before this one has the same names.
    fn has_names(&self, fields: &[Named<'_>]) -> bool {
        if self.bytes.is_empty() {
            return false;
        }
        let mut left = Left { bytes: &self.bytes[self.names.clone()], depth: 0 };
        fields.iter().all(|field| left.take_with_length() == Some(field.name.as_bytes())) && left.bytes.is_empty()
    }

    fn begin(&mut self, kind: u8) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0, 0, 0, kind]);
        start
    }

    fn end(&mut self, start: usize) -> Result<()> {
        let too_long = |_| Error::new(Code::ValueTooLong, "a row has 4 GiB or more");
        let length = u32::try_from(self.bytes.len() - start - 4).map_err(too_long)?;
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }
}

fn put_n(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_n(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_tagged(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    put_bytes(bytes, out);
}

fn put_value(value: &Datum<'_>, out: &mut Vec<u8>) {
    match value {
        Datum::Null => out.push(0),
        Datum::Bool(value) => out.push(1 + u8::from(*value)),
        Datum::Int(number) => {
            out.push(3);
            put_n(((number << 1) ^ (number >> 63)) as u64, out);
        }
        Datum::Decimal(digits) => put_tagged(4, digits.as_bytes(), out),
        Datum::Float(number) => {
            out.push(5);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Datum::Temporal(time) => {
            let (kind, unit) = match *time {
                Temporal::Date(_) => (0, 0),
                Temporal::Time { unit, .. } => (1, unit as u8),
                Temporal::Timestamp { unit, utc, .. } => (2 + u8::from(utc), unit as u8),
            };
            out.extend_from_slice(&[10, kind, unit]);
            out.extend_from_slice(&time.stored().to_le_bytes());
        }
        Datum::Text(text) => put_tagged(6, text.as_bytes(), out),
        Datum::Bytes(bytes) => put_tagged(7, bytes, out),
        Datum::List(values) => {
            out.push(8);
            put_n(values.len() as u64, out);
            values.iter().for_each(|value| put_value(value, out));
        }
        Datum::Struct(fields) => {
            out.push(9);
            put_n(fields.len() as u64, out);
            for field in fields {
                put_bytes(field.name.as_bytes(), out);
                put_value(&field.value, out);
            }
        }
    }
}

fn invalid() -> Error {
    Error::new(Code::ValueDecode, "decoding rows: the bytes are none")
}

impl fmt::Debug for RowBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rows of {} bytes", self.bytes.len())
    }
}

impl Serialize for RowBlock {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for RowBlock {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_byte_buf(Bytes).map(|bytes| RowBlock { bytes, names: 0..0 })
    }
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

/// A row of a [`RowBlock`], which can be a record of an output. Its values are made of the block's bytes when they are asked for.
#[derive(Clone, Debug)]
pub struct BlockRow {
    bytes: Arc<Vec<u8>>,
    names: Range<usize>,
    values: Range<usize>,
}

impl BlockRow {
    /// Returns the row's values by name.
    ///
    /// # Errors
    /// Returns `value-decode` when the bytes are not what a [`RowBlock`] has written.
    pub fn fields(&self) -> Result<Vec<Named<'_>>> {
        let mut names = Left { bytes: &self.bytes[self.names.clone()], depth: 0 };
        let mut values = Left { bytes: &self.bytes[self.values.clone()], depth: 0 };
        let mut fields = Vec::new();
        while !names.bytes.is_empty() {
            fields.push(values.named_by(names.take_text()).ok_or_else(invalid)?);
        }
        if values.bytes.is_empty() { Ok(fields) } else { Err(invalid()) }
    }
}

/// A row that travels alone, which can be a record of an output; see the module. Its values are made of the bytes when they are asked
/// for.
#[derive(Clone, Debug)]
pub struct PackedRow {
    bytes: Vec<u8>,
    row: Range<usize>,
    known: Arc<[Vec<String>]>,
}

impl PackedRow {
    /// Appends a row. If its names are one of the lists that the job knows, they are not written.
    pub fn pack(fields: &[Named<'_>], known: &[Vec<String>], out: &mut Vec<u8>) {
        let has = |names: &&Vec<String>| {
            names.len() == fields.len() && names.iter().zip(fields).all(|(name, field)| *name == field.name)
        };
        match known.iter().position(|names| has(&names)) {
            Some(at) => put_n(at as u64 + 1, out),
            None => {
                put_n(0, out);
                put_n(fields.len() as u64, out);
                fields.iter().for_each(|field| put_bytes(field.name.as_bytes(), out));
            }
        }
        fields.iter().for_each(|field| put_value(&field.value, out));
    }

    /// Takes the row that lies there among the bytes. `known` are the lists of names with which it was packed.
    pub fn new(bytes: Vec<u8>, row: Range<usize>, known: Arc<[Vec<String>]>) -> Self {
        PackedRow { bytes, row, known }
    }

    /// Returns the values, by name, of a row that bytes are. `known` are the lists of names with which it was packed.
    ///
    /// # Errors
    /// Returns `value-decode` when the bytes are not a row that was packed.
    pub fn unpack<'a>(bytes: &'a [u8], known: &'a [Vec<String>]) -> Result<Vec<Named<'a>>> {
        Left { bytes, depth: 0 }.packed(known).ok_or_else(invalid)
    }

    /// Returns the row's values by name.
    ///
    /// # Errors
    /// Returns `value-decode` when the bytes are not a row that was packed.
    pub fn fields(&self) -> Result<Vec<Named<'_>>> {
        let bytes = self.bytes.get(self.row.clone()).ok_or_else(invalid)?;
        Self::unpack(bytes, &self.known)
    }
}

/// Makes records of an output of types whose `fields` decode their values.
macro_rules! rows_of_fields {
    ($($Row:ident),*) => { $(
        impl Row for $Row {
            fn write_fields(&self, out: &mut Vec<u8>) {
                if let Ok(fields) = self.fields() {
                    write_all(fields.iter().map(|field| &field.value), out);
                }
            }

            fn write_text(&self, out: &mut Vec<u8>) -> Result<()> {
                write_all(self.fields()?.iter().map(|field| &field.value), out);
                out.push(b'\n');
                Ok(())
            }

            fn values(&self) -> Result<RowValues<'_>> {
                Ok(RowValues::Named(self.fields()?.into()))
            }
        }
    )* };
}

rows_of_fields!(BlockRow, PackedRow);

/// What is left to be read.
struct Left<'a> {
    bytes: &'a [u8],
    depth: usize,
}

impl<'a> Left<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.bytes.split_at_checked(count)?;
        self.bytes = left;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn take_entry(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(length as usize)
    }

    fn n(&mut self) -> Option<u64> {
        let mut n = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    fn take_with_length(&mut self) -> Option<&'a [u8]> {
        let length = self.n()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn take_text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.take_with_length()?).ok()
    }

    fn named_by(&mut self, name: Option<&'a str>) -> Option<Named<'a>> {
        Some(Named { name: name?.into(), value: self.value()? })
    }

    fn packed(&mut self, known: &'a [Vec<String>]) -> Option<Vec<Named<'a>>> {
        let mut fields = Vec::new();
        match self.n()? {
            0 => {
                let count = self.n()?;
                let names = (0..count).map(|_| self.take_text()).collect::<Option<Vec<_>>>()?;
                for name in names {
                    fields.push(self.named_by(Some(name))?);
                }
            }
            list => {
                for name in known.get(usize::try_from(list - 1).ok()?)? {
                    fields.push(self.named_by(Some(name))?);
                }
            }
        }
        self.bytes.is_empty().then_some(fields)
    }

    fn temporal(&mut self) -> Option<Temporal> {
        let [kind, unit] = self.array()?;
        let value = i64::from_le_bytes(self.array()?);
        let unit = *[TimeUnit::Millis, TimeUnit::Micros, TimeUnit::Nanos].get(usize::from(unit))?;
        Some(match kind {
            0 => Temporal::Date(value.try_into().ok()?),
            1 => Temporal::Time { value, unit },
            2 | 3 => Temporal::Timestamp { value, unit, utc: kind == 3 },
            _ => return None,
        })
    }

    fn value(&mut self) -> Option<Datum<'a>> {
        let [tag] = self.array()?;
        Some(match tag {
            0 => Datum::Null,
            1 => Datum::Bool(false),
            2 => Datum::Bool(true),
            3 => {
                let n = self.n()?;
                Datum::Int((n >> 1) as i64 ^ -((n & 1) as i64))
            }
            4 => Datum::Decimal(self.take_text()?.into()),
            5 => Datum::Float(f64::from_le_bytes(self.array()?)),
            6 => Datum::Text(self.take_text()?.into()),
            7 => Datum::Bytes(self.take_with_length()?.into()),
            8 | 9 => {
                let count = self.n()?;
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return None;
                }
                let within = match tag {
                    8 => Datum::List((0..count).map(|_| self.value()).collect::<Option<_>>()?),
                    _ => {
                        let mut field = |_| {
                            let name = self.take_text();
                            self.named_by(name)
                        };
                        Datum::Struct((0..count).map(&mut field).collect::<Option<_>>()?)
                    }
                };
                self.depth -= 1;
                within
            }
            10 => Datum::Temporal(self.temporal()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn datum() -> impl Strategy<Value = Datum<'static>> {
        let leaf = prop_oneof![
            Just(Datum::Null),
            any::<bool>().prop_map(Datum::Bool),
            any::<i64>().prop_map(Datum::Int),
            "[0-9]{1,30}".prop_map(|digits| Datum::Decimal(digits.into())),
            any::<f64>().prop_filter("a number", |n| !n.is_nan()).prop_map(Datum::Float),
            "\\PC{0,6}".prop_map(|text| Datum::Text(text.into())),
            any::<Vec<u8>>().prop_map(|bytes| Datum::Bytes(bytes.into())),
            any::<i32>().prop_map(|days| Datum::Temporal(Temporal::Date(days))),
            any::<i64>().prop_map(|value| Datum::Temporal(Temporal::Time { value, unit: TimeUnit::Nanos })),
            (any::<i64>(), any::<bool>()).prop_map(|(value, utc)| {
                Datum::Temporal(Temporal::Timestamp { value, unit: TimeUnit::Micros, utc })
            }),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            let named = ("[a-c]{0,2}", inner.clone()).prop_map(|(name, value)| Named { name: name.into(), value });
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(Datum::List),
                proptest::collection::vec(named, 0..4).prop_map(Datum::Struct),
            ]
        })
    }

    fn fields() -> impl Strategy<Value = Vec<Named<'static>>> {
        let named = ("[ab]", datum()).prop_map(|(name, value)| Named { name: name.into(), value });
        proptest::collection::vec(named, 0..4)
    }

    fn block(rows: &[Vec<Named<'_>>]) -> RowBlock {
        let mut block = RowBlock::default();
        rows.iter().for_each(|row| block.push(row).unwrap());
        block
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were(rows in proptest::collection::vec(fields(), 0..6)) {
            let sent = crate::codec::encode(&block(&rows)).unwrap();
            let read: RowBlock = crate::codec::decode(&sent).unwrap();
            let read: Vec<_> = read.into_rows().collect::<Result<_>>().unwrap();
            let read: Vec<_> = read.iter().map(|row| row.fields().unwrap()).collect();
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn bytes_that_nobody_wrote_are_refused_or_are_rows(
            rows in proptest::collection::vec(fields(), 1..4), at: proptest::sample::Index, byte: u8,
        ) {
            let mut bytes = block(&rows).bytes;
            let at = at.index(bytes.len());
            bytes[at] = byte;
            for row in (RowBlock { bytes, names: 0..0 }).into_rows() {
                let _ = row.map(|row| row.fields().map(drop));
            }
        }
    }

    proptest! {
        #[test]
        fn a_row_that_travels_alone_comes_back_with_its_names(
            fields in fields(), known in any::<bool>(), at: proptest::sample::Index, byte: u8,
        ) {
            let names: Vec<String> = fields.iter().map(|field| field.name.clone().into_owned()).collect();
            let lists: Arc<[Vec<String>]> = if known { [vec![], names].into() } else { [].into() };
            let mut bytes = b"before".to_vec();
            PackedRow::pack(&fields, &lists, &mut bytes);
            let mut row = PackedRow::new(bytes.clone(), 6..bytes.len(), lists);
            prop_assert_eq!(row.fields().unwrap(), fields);
            // Bytes that nobody wrote are refused, or are a row.
            row.bytes[6 + at.index(bytes.len() - 6)] = byte;
            let _ = row.fields();
            row.row.end += 1;
            prop_assert!(row.fields().is_err());
        }

        #[test]
        fn whole_numbers_of_any_size_come_back(number: i64) {
            for number in [number, number >> 40, i64::MIN, i64::MAX, 0, -1, 63, -64, 64] {
                let mut bytes = Vec::new();
                put_value(&Datum::Int(number), &mut bytes);
                prop_assert_eq!(Left { bytes: &bytes, depth: 0 }.value(), Some(Datum::Int(number)));
            }
        }
    }

    #[test]
    fn names_stand_once_for_all_rows_that_have_them() {
        let row = |name: &'static str| vec![Named { name: name.into(), value: Datum::Null }];
        let long = "a".repeat(1_000);
        let rows: Vec<_> = (0..100).map(|_| vec![Named { name: (&long[..]).into(), value: Datum::Int(1) }]).collect();
        assert!(block(&rows).len() < 3_000);
        assert!(block(&[row("a"), row("b"), row("a")]).len() == 3 * block(&[row("a")]).len());
    }
}
