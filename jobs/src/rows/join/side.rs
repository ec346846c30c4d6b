//! The rows of a side: how they are read, what they are joined by, and what travels of them.

use super::super::by::{By, ReadAs};
use super::super::convert::of_path;
use kinglet_core::{
    Batch, Batches, Datum, Key, KeyOrder, Kind, Named, Only, PackedRow, Picked, Result, RowFormat, Types, UserResult,
    WantedOfAny, cast_row, decode_key, encode_key,
};
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// How the rows of a side are read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct SideOf {
    pub(super) format: RowFormat,
    /// Whether text of fields is what it looks like when it is compared.
    pub(super) guessed: bool,
    pub(super) by: Vec<By>,
    pub(super) only: Vec<Only>,
    /// The columns that the result has of it.
    pub(super) columns: Vec<String>,
    /// Their types, if the result stores types.
    pub(super) types: Option<Types>,
}

impl SideOf {
    /// Returns how the rows are read: first the values that they are joined by, then those of the result, and those that conditions are on.
    pub(super) fn input(&self) -> Batches<Picked> {
        let by = self.by.iter().map(|by| &by.column);
        if let RowFormat::Parquet(_) = self.format {
            // The decoder compares.
            let picked = Picked::new(self.format.clone(), by.chain(&self.columns));
            return Batches(self.only.iter().cloned().fold(picked, Picked::with_only));
        }
        let compared = self.only.iter().map(|only| &only.column);
        Batches(Picked::new(self.format.clone(), by.chain(&self.columns).chain(compared)))
    }

    /// Calls `each` for every row of a batch, with its key, if it has one, and what travels of it.
    pub(super) fn for_each(
        &self,
        batch: &Batch<'_, Picked>,
        mut each: impl FnMut(Option<&RowKey>, PackedValues) -> UserResult,
    ) -> UserResult {
        let object = batch.extent().object;
        // Where types are stored, values that paths say are as they are written.
        let of_path = if self.types.is_some() { of_path(object) } else { Vec::new() };
        let said: Vec<(usize, &Datum<'_>)> = of_path
            .iter()
            .filter_map(|said| Some((self.columns.iter().position(|name| *name == said.name)?, &said.value)))
            .collect();
        let names = [self.columns.clone()];
        let wanted: Vec<WantedOfAny> = self.only.iter().map(WantedOfAny::new).collect();
        let mut key = RowKey(Vec::new());
        batch.for_each(|mut row| {
            let mut values = row.split_off(self.by.len());
            let compared = values.split_off(self.columns.len().min(values.len()));
            if compared.iter().zip(&wanted).any(|(value, wanted)| !wanted.holds(&self.found(value))) {
                return Ok(());
            }
            key.0.clear();
            let mut is_whole = true;
            for (by, value) in self.by.iter().zip(&row) {
                // As text, a field is what is written, and not what it looks like written anew.
                let found = match (by.read, value) {
                    (ReadAs::Text, Datum::Text(_)) => Cow::Borrowed(value),
                    _ => self.found(value),
                };
                let value = by.compared(found);
                is_whole &= *value != Datum::Null;
                encode_key(&value, KeyOrder::default(), &mut key.0);
            }
            let mut fields: Vec<Named<'_>> =
                self.columns.iter().zip(values).map(|(name, value)| Named { name: name.into(), value }).collect();
            if let Some(types) = &self.types {
                said.iter().for_each(|(at, value)| fields[*at].value = (*value).clone());
                fields = cast_row(fields, types)?;
            }
            let mut packed = Vec::new();
            PackedRow::pack(&fields, &names, &mut packed);
            each(is_whole.then_some(&key), PackedValues(packed))
        })
    }

    /// Returns a value as what it looks like.
    fn found<'r>(&self, value: &'r Datum<'_>) -> Cow<'r, Datum<'r>> {
        match value {
            Datum::Text(text) if self.guessed => Cow::Owned(Datum::of_field(Cow::Borrowed(text.as_bytes()))),
            other => Cow::Borrowed(other),
        }
    }
}

/// The values that a row is joined by, as [`encode_key`] has them: none is the beginning of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowKey(Vec<u8>);

impl RowKey {
    /// Returns the values as people read them, with commas between.
    pub fn shown(&self) -> String {
        // How a number was written is no part of a key: as a float, it shows its fraction.
        let as_float = encode_key(&Datum::Float(0.0), KeyOrder::default(), &mut Vec::new());
        let mut left = &self.0[..];
        let mut values = Vec::new();
        while !left.is_empty() {
            let number = decode_key(&mut &left[..], KeyOrder::default(), as_float);
            match (decode_key(&mut left, KeyOrder::default(), Kind::default()), number) {
                (_, Ok(Datum::Float(number))) => values.push(number.to_string()),
                (Ok(Datum::Text(text)), _) => values.push(text.into_owned()),
                (Ok(value), _) => values.push(serde_json::to_string(&value).unwrap_or_default()),
                (Err(_), _) => break,
            }
        }
        values.join(", ")
    }
}

impl Key for RowKey {
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&self.0);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        Ok(RowKey(bytes.to_vec()))
    }
}

/// The values of a row; the module draws their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedValues(pub(super) Vec<u8>);

impl Serialize for PackedValues {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for PackedValues {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_byte_buf(Bytes).map(PackedValues)
    }
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> std::result::Result<Vec<u8>, E> {
        Ok(bytes)
    }
}
