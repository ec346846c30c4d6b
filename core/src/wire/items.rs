//! Items that the driver made. They are one S3 object, `jobs/<job>/items`, so that a task reads its split with one ranged GET,
//! and the splitter reads the cuts with another. All integers are little-endian.
//!
//! ```text
//! 0            item × items
//!                0   bytes:u32         of the value
//!                4   number:u32        which item of the job, from 0
//!                8   crc32:u32         of number and value
//!                12  value             bincode 2, standard configuration
//! items_bytes  "KITM" version:u16=1 0:u16
//! +8           splits:u64
//! +16          end:u64 × splits        after the last byte of each split: a split is at least one item
//! ...          crc32:u32               of all from "KITM" on
//! ```
//!
//! The items start at byte 0, so that a split is a range of the object as with any other input.

use crate::error::{Code, Error, Result};
use serde::Serialize;

/// The length of what stands before each value, in bytes.
pub const HEADER_BYTES: usize = 12;
const INDEX_HEADER_BYTES: usize = 16;
const MAGIC: [u8; 8] = *b"KITM\x01\0\0\0";

/// One item as it lies in the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Which item of the job.
    pub number: u32,
    /// Its value, encoded.
    pub payload: &'a [u8],
    /// How many bytes the item takes, header included.
    pub bytes: usize,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// Returns the end of the item that starts at the first of these bytes, if the bytes hold all of it.
pub fn first_end(bytes: &[u8]) -> Option<usize> {
    let end = HEADER_BYTES + u32_at(bytes, 0)? as usize;
    (end <= bytes.len()).then_some(end)
}

/// What stands before an item's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes the item takes, header included.
    pub bytes: usize,
    /// The item's number.
    pub number: u32,
}

/// Returns the header of the item that starts at the first of these bytes.
pub fn header(bytes: &[u8]) -> Option<Header> {
    Some(Header { bytes: HEADER_BYTES + u32_at(bytes, 0)? as usize, number: number(bytes)? })
}

/// Returns the number of the item that starts at the first of these bytes.
pub fn number(bytes: &[u8]) -> Option<u32> {
    u32_at(bytes, 4)
}

/// Reads the item that starts at the first of these bytes.
///
/// # Errors
/// Returns [`Error::Corrupt`] (`items-corrupt`) when the item is damaged or not whole.
pub fn read(bytes: &[u8]) -> Result<Item<'_>> {
    let corrupt = |what: &str| Error::new(Code::ItemsCorrupt, format!("reading an item: {what}"));
    let end = first_end(bytes).ok_or_else(|| corrupt("it is cut short"))?;
    let (number, crc) = (u32_at(bytes, 4).unwrap_or(0), u32_at(bytes, 8).unwrap_or(0));
    let payload = &bytes[HEADER_BYTES..end];
    if checksum(number, payload) != crc {
        return Err(corrupt(&format!("the checksum of item {number} is wrong")));
    }
    Ok(Item { number, payload, bytes: end })
}

fn checksum(number: u32, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&number.to_le_bytes());
    crc.update(payload);
    crc.finalize()
}

/// Appends one item, whose value `write` appends. Appends nothing when that fails.
///
/// # Errors
/// Returns the error of `write`, or [`Error::Limit`] (`item-too-large`) when it wrote 4 GB or more.
pub fn frame_into(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let start = out.len();
    out.extend([0; HEADER_BYTES]);
    let payload = out.len();
    let written = write(out).and_then(|()| {
        u32::try_from(out.len() - payload).map_err(|_| {
            Error::new(Code::ItemTooLarge, format!("it has {} bytes encoded", out.len() - payload))
                .with_hint("keep it in S3 and let the item name it")
        })
    });
    let bytes = match written {
        Ok(bytes) => bytes,
        Err(error) => {
            out.truncate(start);
            return Err(error);
        }
    };
    let crc = checksum(number, &out[payload..]);
    for (at, field) in [(0, bytes), (4, number), (8, crc)] {
        out[start + at..start + at + 4].copy_from_slice(&field.to_le_bytes());
    }
    Ok(())
}

/// Writes items one after the other.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    ends: Vec<u64>,
}

impl Writer {
    /// Makes a writer without items.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an item.
    ///
    /// # Errors
    /// Returns [`Error::UserCode`] (`value-encode`) when it does not serialise, and [`Error::Limit`] when its encoding has 4 GB
    /// or more (`item-too-large`) or there are 4,294,967,296 items already (`items`).
    pub fn push<T: Serialize>(&mut self, value: &T) -> Result<()> {
        let number = self.ends.len();
        self.push_named(value, format_args!("item {number}"))
    }

    /// Adds an item that errors call by this name.
    ///
    /// # Errors
    /// As [`Writer::push`].
    pub fn push_named<T: Serialize>(&mut self, value: &T, name: std::fmt::Arguments<'_>) -> Result<()> {
        let number = u32::try_from(self.ends.len());
        let number = number.map_err(|_| Error::new(Code::Items, "more than 4,294,967,295 items"))?;
        frame_into(&mut self.out, number, |out| crate::codec::encode_into(value, out)).map_err(|e| e.context(name))?;
        self.ends.push(self.out.len() as u64);
        Ok(())
    }

    /// Returns how many items there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Returns the offset after the last byte of each item.
    pub fn ends(&self) -> &[u64] {
        &self.ends
    }

    /// Returns the items without an index.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Returns the object: the items, and the index of the splits. `last_items` has the position of each split's last item.
    pub fn finish(mut self, last_items: &[usize]) -> Vec<u8> {
        let start = self.out.len();
        self.out.extend(MAGIC);
        self.out.extend((last_items.len() as u64).to_le_bytes());
        for last in last_items {
            self.out.extend(self.ends[*last].to_le_bytes());
        }
        let crc = crc32fast::hash(&self.out[start..]);
        self.out.extend(crc.to_le_bytes());
        self.out
    }
}

/// Returns how many bytes an index of this many splits has.
pub fn index_bytes(splits: u32) -> u64 {
    INDEX_HEADER_BYTES as u64 + 8 * u64::from(splits) + 4
}

/// Reads an index and returns the end of each split.
///
/// # Errors
/// Returns [`Error::Corrupt`] (`items-corrupt`) when these bytes are not an index.
pub fn read_index(bytes: &[u8], items_bytes: u64) -> Result<Vec<u64>> {
    let corrupt = |what: &str| Error::new(Code::ItemsCorrupt, format!("reading the index of items: {what}"));
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| corrupt("too short"))?;
    if body.get(..8) != Some(&MAGIC[..]) {
        return Err(corrupt("not what it should be"));
    }
    if crc32fast::hash(body).to_le_bytes() != *crc {
        return Err(corrupt("the checksum is wrong"));
    }
    let (numbers, rest) = body[8..].as_chunks::<8>();
    let numbers: Vec<u64> = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    let (count, ends) = numbers.split_first().filter(|_| rest.is_empty()).ok_or_else(|| corrupt("not whole"))?;
    let rises = ends.iter().zip(std::iter::once(&0).chain(ends)).all(|(end, before)| end > before);
    if ends.len() as u64 != *count || !rises || ends.last().copied().unwrap_or(0) != items_bytes {
        return Err(corrupt("its splits do not tile the items"));
    }
    Ok(ends.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_and_back() {
        let mut writer = Writer::new();
        for value in ["one", "", "three"] {
            writer.push(&value).unwrap();
        }
        assert_eq!((writer.count(), writer.ends().len()), (3, 3));
        let items_bytes = *writer.ends().last().unwrap();
        let ends = [writer.ends()[1], items_bytes];
        let bytes = writer.finish(&[1, 2]);
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/items-v1.bin"), &bytes);
        assert_eq!(bytes.len() as u64, items_bytes + index_bytes(2));
        assert_eq!(read_index(&bytes[items_bytes as usize..], items_bytes).unwrap(), ends);
        let second = read(&bytes[first_end(&bytes).unwrap()..]).unwrap();
        assert_eq!((second.number, second.payload, second.bytes), (1, &b"\0"[..], 13));
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let mut writer = Writer::new();
        writer.push(&"a value").unwrap();
        let items_bytes = writer.ends()[0];
        let bytes = writer.finish(&[0]);
        let check = |bytes: &[u8]| {
            let (items, index) = bytes.split_at(items_bytes as usize);
            read(items).and_then(|item| {
                if item.bytes == items.len() {
                    read_index(index, items_bytes).map(drop)
                } else {
                    Err(Error::new(crate::Code::ItemsCorrupt, "more than an item"))
                }
            })
        };
        check(&bytes).unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert!(check(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn an_item_that_does_not_serialise_is_named_and_leaves_nothing() {
        struct No;
        impl Serialize for No {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("not today"))
            }
        }
        let mut writer = Writer::new();
        writer.push(&1u8).unwrap();
        let error = writer.push(&No).unwrap_err();
        assert!(error.to_string().starts_with("item 1: ") && error.to_string().contains("not today"), "{error}");
        assert_eq!((writer.count(), writer.into_bytes().len()), (1, 13));
    }

    #[test]
    fn a_header_tells_an_items_number_and_length_before_its_value_has_come() {
        let mut writer = Writer::new();
        for value in ["zero", "one", "the second"] {
            writer.push(&value).unwrap();
        }
        let ends = writer.ends().to_vec();
        let bytes = writer.into_bytes();
        let mut start = 0;
        for (n, end) in (0..).zip(ends) {
            let item = &bytes[start as usize..];
            assert_eq!(header(&item[..HEADER_BYTES]), Some(Header { bytes: (end - start) as usize, number: n }));
            assert_eq!(number(&item[..8]), Some(n));
            assert_eq!((header(&item[..7]), number(&item[..7])), (None, None), "too little has come to tell");
            assert_eq!(first_end(item), Some((end - start) as usize));
            assert_eq!(first_end(&item[..(end - start) as usize - 1]), None);
            start = end;
        }
    }

    #[test]
    fn an_index_whose_splits_do_not_tile_the_items_is_refused() {
        // As it is written, with a checksum that fits.
        let index = |count: u64, ends: &[u64]| {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(count.to_le_bytes());
            bytes.extend(ends.iter().flat_map(|end| end.to_le_bytes()));
            let crc = crc32fast::hash(&bytes);
            bytes.extend(crc.to_le_bytes());
            bytes
        };
        assert_eq!(read_index(&index(2, &[13, 40]), 40).unwrap(), [13, 40]);
        assert!(read_index(&index(0, &[]), 0).unwrap().is_empty());
        for (what, count, ends) in [
            ("more splits than it says", 1, &[13, 40][..]),
            ("fewer splits than it says", 3, &[13, 40]),
            ("a split without an item", 3, &[13, 13, 40]),
            ("a first split without an item", 2, &[0, 40]),
            ("splits out of order", 3, &[20, 13, 40]),
            ("an end before the last item's", 2, &[13, 39]),
            ("an end beyond the last item's", 2, &[13, 41]),
            ("no splits for the items", 0, &[]),
        ] {
            let error = read_index(&index(count, ends), 40).unwrap_err();
            assert!(error.to_string().contains("its splits do not tile the items"), "{what}: {error}");
        }
        // Bytes behind the last number.
        let mut longer = index(2, &[13, 40]);
        longer.truncate(longer.len() - 4);
        longer.extend([0; 5]);
        let crc = crc32fast::hash(&longer);
        longer.extend(crc.to_le_bytes());
        assert!(read_index(&longer, 40).unwrap_err().to_string().contains("not whole"));
    }
}
