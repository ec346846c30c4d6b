//! The results of a batch of calls, in the order in which the calls ended. Small results lie inline in DynamoDB, large ones in
//! one S3 object; the batch's record says which, and how many bytes they have. All integers are little-endian.
//!
//! ```text
//! result × calls
//!   0   bytes:u32         of head and value
//!   4   number:u32        which call of the map, from 0
//!   8   crc32:u32         of number, head and value
//!   12  head              a [`CallHead`], bincode 2, standard configuration
//!       value             what the function returned, encoded the same way; none when the call failed
//! ```

use super::items;
use crate::error::{Error, Result};
use crate::ids::Timestamp;
use serde::{Deserialize, Serialize};

/// The head of a call's result, before the value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallHead {
    /// Why it failed, if it did.
    pub failed: Option<Error>,
    /// When the function was called.
    pub started_at: Timestamp,
    /// How long it ran, in microseconds.
    pub ran_us: u64,
    /// What it logged.
    pub log: Vec<String>,
}

/// One result, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallResult<'a> {
    /// The number of the call in its map, from 0.
    pub number: u32,
    /// How the call went.
    pub head: CallHead,
    /// What the function returned, encoded.
    pub value: &'a [u8],
}

/// Appends one result.
///
/// # Errors
/// Returns [`Error::Limit`] (`item-too-large`) when the result has 4 GB or more.
pub fn write(number: u32, head: &CallHead, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
    items::frame_into(out, number, |out| {
        crate::codec::encode_into(head, out)?;
        out.extend_from_slice(value);
        Ok(())
    })
}

/// Reads all results of a batch; `name` names the batch in errors.
///
/// # Errors
/// Returns [`Error::Corrupt`] (`items-corrupt`, `value-decode`) when the bytes are damaged.
pub fn read<'a>(bytes: &'a [u8], name: &str) -> Result<Vec<CallResult<'a>>> {
    let named = |e: Error| e.context(format!("reading {name}"));
    let (mut results, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let item = items::read(&bytes[at..]).map_err(named)?;
        let (head, read) = crate::codec::decode_first(item.payload).map_err(named)?;
        results.push(CallResult { number: item.number, head, value: &item.payload[read..] });
        at += item.bytes;
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn golden_and_back() {
        let done = CallHead { started_at: Timestamp(3), ran_us: 4, log: vec!["said".into()], failed: None };
        let failed = CallHead { failed: Some(Error::new(Code::CallFailed, "no")), ..done.clone() };
        let mut bytes = vec![];
        write(7, &done, b"value", &mut bytes).unwrap();
        write(1, &failed, b"", &mut bytes).unwrap();
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/calls-v1.bin"), &bytes);
        let results = read(&bytes, "it").unwrap();
        assert_eq!(results[0], CallResult { number: 7, head: done, value: b"value" });
        assert_eq!(results[1], CallResult { number: 1, head: failed, value: b"" });
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert!(read(&bad, "it").is_err(), "byte {at}");
            assert!(
                at == 0 || read(&bytes[..at], "it").is_err() || at == bytes.len() - results_len(&bytes),
                "cut at {at}"
            );
        }
    }

    /// Returns the length of the second result.
    fn results_len(bytes: &[u8]) -> usize {
        bytes.len() - items::first_end(bytes).unwrap()
    }
}
