//! Values that are read more than once: in memory while there is room, then in a file in `/tmp`.
//!
//! A value stands behind its length, a `u32`, little-endian. Values move to the file in blocks of what may be held in memory, so all of
//! them lie in the order in which they came, first those in the file:
//!
//! ```text
//! file     length value length value …        a block, and another behind it
//! memory   length value …                     the last ones
//! ```

use super::tmp_error;
use crate::codec::{decode, encode_into};
use crate::error::{Code, Error, Result};
use crate::value::Value;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// How many bytes of the file are read at once.
const READ_BYTES: usize = 256 << 10;

/// How much values that are kept may hold, and where more of them lies.
#[derive(Clone, Debug)]
pub(crate) struct KeptRoom {
    /// How much all of a key's kept values may hold in memory, in bytes.
    pub(crate) memory_bytes: usize,
    pub(crate) tmp: PathBuf,
}

/// Values that [`reduce`](crate::Job::reduce) reads more than once, or later; see [`Values::kept`](crate::Values::kept).
pub struct Kept<T> {
    room: KeptRoom,
    memory: Vec<u8>,
    file: Option<File>,
    file_bytes: u64,
    count: u64,
    values: PhantomData<fn() -> T>,
}

impl<T: Value> Kept<T> {
    pub(crate) fn new(room: KeptRoom) -> Self {
        // One value at least lies in memory.
        let room = KeptRoom { memory_bytes: room.memory_bytes.max(1), ..room };
        Kept { room, memory: Vec::new(), file: None, file_bytes: 0, count: 0, values: PhantomData }
    }

    /// Returns how many values there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns whether some of them lie in `/tmp`, where reading all of them takes longer.
    pub fn is_spilled(&self) -> bool {
        self.file.is_some()
    }

    /// Returns how many bytes they have that lie in memory.
    pub fn memory_bytes(&self) -> u64 {
        self.memory.len() as u64
    }

    /// Returns all values.
    ///
    /// # Errors
    /// As [`Kept::for_each`].
    pub fn all(&mut self) -> Result<Vec<T>> {
        let mut all = Vec::new();
        self.for_each(|value| {
            all.push(value);
            Ok::<_, Error>(())
        })?;
        Ok(all)
    }

    /// Returns whether the next value makes some of them lie in `/tmp`.
    pub fn is_full(&self) -> bool {
        self.memory.len() >= self.room.memory_bytes
    }

    /// Adds a value.
    ///
    /// # Errors
    /// Returns `value-encode` when it cannot be encoded, `value-too-long` when it has 4 GiB or more, and `tmp-full` or `tmp` when it
    /// must go to `/tmp`, and that is full or cannot be written.
    pub fn push(&mut self, value: &T) -> Result<()> {
        if self.is_full() {
            self.spill()?;
        }
        let start = self.memory.len();
        self.memory.extend_from_slice(&[0; 4]);
        encode_into(value, &mut self.memory)?;
        let length = u32::try_from(self.memory.len() - start - 4)
            .map_err(|_| Error::new(Code::ValueTooLong, "a value that is kept has 4 GiB or more"))?;
        self.memory[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.count += 1;
        Ok(())
    }

    /// Removes all values, and keeps their memory for others.
    pub fn clear(&mut self) {
        self.memory.clear();
        (self.file, self.file_bytes, self.count) = (None, 0, 0);
    }

    fn spill(&mut self) -> Result<()> {
        let error = |e: std::io::Error| tmp_error("keeping the values of a key", &self.room.tmp, &e);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.room.tmp).map_err(error)?),
        };
        file.seek(SeekFrom::Start(self.file_bytes)).and_then(|_| file.write_all(&self.memory)).map_err(error)?;
        self.file_bytes += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    /// Calls `each` for every value, in the order in which they were added.
    ///
    /// # Errors
    /// Passes on the error of `each`. Returns `tmp` when `/tmp` cannot be read, and `value-decode` when a value cannot be decoded.
    pub fn for_each<E: From<Error>>(&mut self, mut each: impl FnMut(T) -> Result<(), E>) -> Result<(), E> {
        let Kept { room, memory, file, file_bytes, .. } = self;
        if let Some(file) = file {
            let mut left = *file_bytes;
            file.seek(SeekFrom::Start(0)).map_err(|e| not_read(&room.tmp, &e))?;
            let mut reader = BufReader::with_capacity(READ_BYTES, file);
            let mut bytes = Vec::new();
            while left > 0 {
                let mut length = [0; 4];
                reader.read_exact(&mut length).map_err(|e| not_read(&room.tmp, &e))?;
                bytes.resize(u32::from_le_bytes(length) as usize, 0);
                reader.read_exact(&mut bytes).map_err(|e| not_read(&room.tmp, &e))?;
                left = left.saturating_sub(4 + bytes.len() as u64);
                each(decode(&bytes)?)?;
            }
        }
        let mut rest = &memory[..];
        while let Some((length, behind)) = rest.split_first_chunk() {
            let (value, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
            each(decode(value)?)?;
            rest = behind;
        }
        Ok(())
    }
}

fn not_read(tmp: &Path, error: &std::io::Error) -> Error {
    tmp_error("reading the kept values of a key", tmp, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(memory_bytes: usize) -> Kept<Vec<u8>> {
        Kept::new(KeptRoom { memory_bytes, tmp: std::env::temp_dir() })
    }

    fn all(kept: &mut Kept<Vec<u8>>) -> Vec<Vec<u8>> {
        kept.all().unwrap()
    }

    proptest! {
        #[test]
        fn values_come_back_in_order_any_number_of_times(
            values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..60),
            more in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..9),
            memory_bytes in 0usize..400,
        ) {
            let mut kept = kept(memory_bytes);
            values.iter().for_each(|value| kept.push(value).unwrap());
            prop_assert_eq!(all(&mut kept), values.clone());
            prop_assert_eq!(all(&mut kept), values.clone());
            // What is added after reading stands behind all of it.
            more.iter().for_each(|value| kept.push(value).unwrap());
            let both = [values, more].concat();
            prop_assert_eq!((kept.len(), kept.is_empty()), (both.len() as u64, both.is_empty()));
            prop_assert_eq!(all(&mut kept), both);
            kept.clear();
            prop_assert!(kept.is_empty() && !kept.is_spilled() && all(&mut kept).is_empty());
        }
    }

    #[test]
    fn memory_is_bounded_and_the_rest_lies_in_tmp() {
        let mut kept = kept(1_000);
        for n in 0..100u8 {
            kept.push(&vec![n; 50]).unwrap();
            assert!(kept.memory.len() < 1_000 + 60, "{}", kept.memory.len());
        }
        assert!(kept.is_spilled());
        assert_eq!(all(&mut kept).len(), 100);
    }

    #[test]
    fn an_error_ends_reading_and_no_tmp_is_named() {
        let mut kept = kept(100);
        (0..20).for_each(|_| kept.push(&vec![7; 30]).unwrap());
        let mut seen = 0;
        let ended = kept.for_each(|_| {
            seen += 1;
            if seen == 3 { Err(Error::new(Code::Engine, "enough")) } else { Ok(()) }
        });
        assert!(ended.unwrap_err().is(Code::Engine) && seen == 3);
        let mut nowhere = Kept::new(KeptRoom { memory_bytes: 0, tmp: "/nowhere".into() });
        nowhere.push(&0u8).unwrap();
        assert!(nowhere.push(&0u8).unwrap_err().is(Code::Tmp));
    }
}
