//! One newtype for each id, so that two cannot be swapped.
//!
//! ```compile_fail
//! use kinglet_core::ids::{Partition, TaskIdx};
//! fn run_of(task: TaskIdx, partition: Partition) {}
//! run_of(Partition(1), TaskIdx(2)); // the wrong way round: does not compile
//! ```

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Names one job: letters, digits and `-`, so that it can stand in any S3 key, DynamoDB key and file name. What is read as an id
/// is checked, wherever it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct JobId(String);

impl JobId {
    /// Makes an id that sorts by time of creation: milliseconds since 1970 and 48 random bits, both in hexadecimal.
    pub fn new(now: Timestamp, random: u64) -> Self {
        JobId(format!("{:011x}-{:012x}", now.0, random & 0xffff_ffff_ffff))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns when the id was made, if [`JobId::new`] made it.
    pub fn created_at(&self) -> Option<Timestamp> {
        let (time, random) = self.0.split_once('-')?;
        let made = time.len() == 11 && random.len() == 12;
        if made { u64::from_str_radix(time, 16).ok().map(Timestamp) } else { None }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for JobId {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for JobId {
    type Error = crate::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if fits {
            return Ok(JobId(text));
        }
        let shown: String = text.chars().take(80).collect();
        let message = format!("{shown:?} is not a job id: letters, digits and '-' only, at most 64");
        Err(crate::Error::new(crate::Code::JobId, message))
    }
}

/// Names a program that a driver ships: the SHA-256 of its executable, as 64 hexadecimal digits in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProgramId([u8; 32]);

impl ProgramId {
    /// Returns the id of an executable with these bytes.
    pub fn of(executable: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(executable))
    }

    /// Returns the id of an executable whose bytes were hashed in order.
    pub fn finish(hashed: Sha256) -> Self {
        ProgramId(hashed.finalize().into())
    }

    /// Makes an id of its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        ProgramId(bytes)
    }

    /// Returns the id as bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ProgramId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ProgramId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProgramId({self})")
    }
}

impl FromStr for ProgramId {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        // Lower case only: the text names files and keys.
        let is_hex = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let read = |(n, byte): (usize, &mut u8)| {
            *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap_or_default();
        };
        if !is_hex {
            return Err(crate::Error::new(crate::Code::ProgramId, format!("{text:?} is not a program's SHA-256")));
        }
        bytes.iter_mut().enumerate().for_each(read);
        Ok(ProgramId(bytes))
    }
}

impl TryFrom<String> for ProgramId {
    type Error = crate::Error;

    fn try_from(text: String) -> Result<Self, crate::Error> {
        text.parse()
    }
}

impl From<ProgramId> for String {
    fn from(id: ProgramId) -> Self {
        id.to_string()
    }
}

/// The position of a task within its stage, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskIdx(pub u32);

/// A reduce partition, from 0. Reduce task `n` reduces partition `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Partition(pub u32);

/// A piece of a task, numbered from 0: when a map task hands back the rest of its split, or a reduce task that of its partition, it
/// becomes the next piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Piece(pub u16);

impl Piece {
    /// Returns the piece before this one, unless it is the first.
    pub fn before(self) -> Option<Self> {
        self.0.checked_sub(1).map(Piece)
    }

    /// Returns the piece after this one.
    ///
    /// # Errors
    /// Returns [`Error::Limit`](crate::Error::Limit) (`too-many-pieces`) after the last that can be numbered.
    pub fn next(self) -> crate::Result<Self> {
        let next = self.0.checked_add(1).map(Piece);
        next.ok_or_else(|| {
            crate::Error::new(crate::Code::TooManyPieces, format!("no piece can follow piece {}", self.0))
        })
    }
}

/// One execution of one task. The number says which try it is. The nonce tells executions of the same try apart, such as when
/// Lambda delivers an asynchronous event twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptId {
    /// 0 for the first try.
    pub number: u16,
    /// Random.
    pub nonce: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08x}", self.number, self.nonce)
    }
}

/// The kinds of task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Input in, splits out; one task.
    Split,
    /// Split in, runs out.
    Map,
    /// Runs of some map tasks in, fewer runs out; only of jobs whose runs are merged before they are reduced.
    Merge,
    /// Runs in, part out.
    Reduce,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Split => "split",
            Stage::Map => "map",
            Stage::Merge => "merge",
            Stage::Reduce => "reduce",
        })
    }
}

/// Names one try of one piece of one of a job's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TryKey {
    /// The kind of task.
    pub stage: Stage,
    /// The task; for splitting, 0.
    pub task: TaskIdx,
    /// The piece of the task; for splitting, 0.
    pub piece: Piece,
    /// Which try, from 0.
    pub number: u16,
}

impl TryKey {
    /// Names a try of splitting.
    pub fn split(number: u16) -> Self {
        TryKey { stage: Stage::Split, task: TaskIdx(0), piece: Piece(0), number }
    }

    /// Names a try of a piece of a map task.
    pub fn map(task: TaskIdx, piece: Piece, number: u16) -> Self {
        TryKey { stage: Stage::Map, task, piece, number }
    }

    /// Names a try of a piece of a merge task.
    pub fn merge(task: TaskIdx, piece: Piece, number: u16) -> Self {
        TryKey { stage: Stage::Merge, task, piece, number }
    }

    /// Names a try of a piece of a reduce task.
    pub fn reduce(task: TaskIdx, piece: Piece, number: u16) -> Self {
        TryKey { stage: Stage::Reduce, task, piece, number }
    }
}

impl fmt::Display for TryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            Stage::Split => write!(f, "splitting"),
            stage => write!(f, "{stage} task {}", self.task.0),
        }
    }
}

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Returns the time of this machine's wall clock, for what people read. The ledger and all decisions use the services'
    /// time, on which all machines agree.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)).unwrap_or(0))
    }

    /// Returns the milliseconds from `earlier` to this, or 0 if the clock went back.
    pub fn since_ms(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{JobId, Piece, ProgramId};

    /// Ids come in events, claims, records and keys, and name files and keys in their turn.
    #[test]
    fn a_job_id_is_checked_however_it_comes() {
        let long = "a".repeat(65);
        for wrong in ["", ".", "..", "../up", "a/b", "/abs", "a\\b", "a\0b", "a b", "a#b", "ä", "a\n", &long] {
            assert_eq!(wrong.parse::<JobId>().unwrap_err().code(), "job-id", "{wrong:?}");
            assert!(serde_json::from_value::<JobId>(wrong.into()).is_err(), "{wrong:?}");
            assert!(crate::codec::decode::<JobId>(&crate::codec::encode(&wrong).unwrap()).is_err(), "{wrong:?}");
        }
        let right: JobId = "19aa5440eb0-f0a9c3d5e7ab".parse().unwrap();
        assert_eq!(serde_json::from_value::<JobId>(right.as_str().into()).unwrap(), right);
        assert_eq!(crate::codec::decode::<JobId>(&crate::codec::encode(&right).unwrap()).unwrap(), right);
        let endless = "x".repeat(1 << 20).parse::<JobId>().unwrap_err();
        assert!(endless.to_string().len() < 200, "an error does not quote a megabyte");
    }

    #[test]
    fn pieces_end_with_the_last_number() {
        assert_eq!(Piece(0).next().unwrap(), Piece(1));
        assert_eq!(Piece(u16::MAX).next().unwrap_err().code(), "too-many-pieces");
    }

    #[test]
    fn a_program_is_named_by_its_sha_256() {
        // The first test vector of FIPS 180-2.
        let id = ProgramId::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse::<ProgramId>().unwrap(), id);
        for wrong in ["", &text[1..], &text.to_uppercase(), &text.replace('b', "g"), &format!("{text}0")] {
            assert_eq!(wrong.parse::<ProgramId>().unwrap_err().code(), "program-id", "{wrong}");
        }
    }
}
