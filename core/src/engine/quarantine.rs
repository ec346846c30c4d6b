//! The quarantine: the records that a job has left out of its input, beside its result. It is written by one reduce task, which
//! first says whether they are not too many.
//!
//! A line is a JSON object. Lines are sorted by object and offset.
//!
//! ```text
//! {"object":"s3://logs/a.csv","offset":1207,"reason":"the row has 3 fields, and …","bytes":9,"raw":"7,x,\u00e4"}
//!
//! object         the object, as the job's errors call it
//! unpacked_from  if the task began to unpack in the middle of a compressed object: at this byte of it
//! offset         where the record starts, in bytes: in the object, or in what it unpacks to, from there on
//! row            of Parquet and Avro in place of that: the number or the place of the row
//! reason         what is wrong with the record
//! bytes          how long it is
//! raw            the record without its line's end, if it is UTF-8: the first 64 KiB of it; of Parquet and Avro, the columns that are
//!                read of the row, as JSON
//! raw_base64     the same, if it is not
//! ```

use super::passes::{Opened, Runs};
use super::reduce::{ReduceCounts, ReduceOptions};
use crate::error::{Code, Error, Result};
use crate::guard::stopped;
use crate::key::Key;
use crate::limits::{REJECT_BYTES_MAX, REJECT_REASON_BYTES_MAX};
use crate::max_rejected::MaxRejected;
use crate::pairs::Groups;
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;

/// Where a record lies that was left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct RejectAt {
    pub(super) object: String,
    /// The offset in a compressed object from which on it was unpacked.
    pub(super) unpacked_from: u64,
    pub(super) offset: u64,
    /// Whether that counts rows, not bytes.
    pub(super) is_row: bool,
}

impl Key for RejectAt {}

/// A record that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reject {
    pub(super) reason: String,
    /// Its length, of which not all is kept.
    bytes: u64,
    raw: Vec<u8>,
}

impl Reject {
    /// Keeps what is reported of a record.
    pub(super) fn of(record: &[u8], error: Error) -> Self {
        let mut reason = error.to_string();
        if reason.len() > REJECT_REASON_BYTES_MAX {
            reason.truncate(reason.floor_char_boundary(REJECT_REASON_BYTES_MAX));
            reason.push('…');
        }
        let raw = record[..record.len().min(REJECT_BYTES_MAX)].to_vec();
        Reject { reason, bytes: record.len() as u64, raw }
    }
}

/// A line of the quarantine.
#[derive(Serialize)]
struct Line<'a> {
    object: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unpacked_from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u64>,
    reason: &'a str,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
}

impl<'a> Line<'a> {
    fn of(at: &'a RejectAt, reject: &'a Reject) -> Self {
        let is_cut = (reject.raw.len() as u64) < reject.bytes;
        let raw = match std::str::from_utf8(&reject.raw) {
            Ok(text) => Some(text),
            // Cut within a character.
            Err(error) if is_cut && error.error_len().is_none() => {
                std::str::from_utf8(&reject.raw[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        };
        Line {
            object: &at.object,
            unpacked_from: Some(at.unpacked_from).filter(|from| *from > 0),
            offset: Some(at.offset).filter(|_| !at.is_row),
            row: Some(at.offset).filter(|_| at.is_row),
            reason: &reject.reason,
            bytes: reject.bytes,
            raw,
            raw_base64: raw.is_none().then(|| base64(&reject.raw)),
        }
    }
}

/// Returns bytes as text by RFC 4648, padded.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= three.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    text
}

/// How many records of a job are not valid, and how many may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sums {
    /// Records left out.
    pub rejected: u64,
    /// Records read, those among them.
    pub read: u64,
    /// How many may be left out.
    pub max: MaxRejected,
}

/// Makes the error of a job that leaves out too many records, the first of which is this one.
pub(super) fn too_many(says: &str, at: &RejectAt, reason: &str) -> Error {
    let RejectAt { object, unpacked_from, offset, is_row } = at;
    let counted = if *is_row { "row" } else { "byte" };
    let part = if *unpacked_from > 0 { format!(" (unpacked from its byte {unpacked_from} on)") } else { String::new() };
    let message = format!("{says}: the first is in {object}{part} at {counted} {offset}: {reason}");
    Error::new(Code::TooManyRejected, message).with_hint(
        "mend the input, or say how it is written; allow more (--max-rejected) if so many may be left out; if rows of CSV lie \
         within a quoted field of more than 1 MiB, read each object in one split (--whole-objects)",
    )
}

/// Writes the records that a job has left out, unless they are too many. The counts' records are theirs.
///
/// # Errors
/// Returns `too-many-rejected`, which names the first. Passes on the errors of `runs` and `out`; returns [`Error::Cancelled`] when the
/// task was stopped, and [`Error::Limit`] when `/tmp` cannot be written (`tmp-full`, `tmp`).
pub fn quarantine(
    sums: &Sums,
    options: &ReduceOptions,
    runs: Box<dyn Runs>,
    out: &mut dyn FnMut(Vec<u8>) -> Result<()>,
) -> Result<ReduceCounts> {
    let Sums { rejected, read, max } = *sums;
    let Opened { merge, .. } = Opened::all(runs, None, &options.bounds())?;
    let mut groups = Groups::<Reject, _>::new(merge);
    let (mut counts, mut key, mut lines) = (ReduceCounts::default(), Vec::new(), Vec::new());
    while groups.next_key(&mut key)? {
        if options.stop.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        let at = RejectAt::decode(&key)?;
        counts.keys += 1;
        for reject in &mut groups {
            if !max.allows(rejected, read) {
                let says = format!("{rejected} of {read} records are not valid, and {max} may be left out");
                return Err(too_many(&says, &at, &reject.reason));
            }
            serde_json::to_writer(&mut lines, &Line::of(&at, &reject))
                .map_err(|e| Error::new(Code::OutputValue, format!("writing a record that was left out: {e}")))?;
            lines.push(b'\n');
            counts.records_out += 1;
            if lines.len() >= options.output_bytes {
                counts.bytes_out += lines.len() as u64;
                out(std::mem::take(&mut lines))?;
            }
        }
        groups.check()?;
    }
    counts.bytes_out += lines.len() as u64;
    out(lines)?;
    Ok(ReduceCounts { pairs_in: groups.pairs(), ..counts })
}
