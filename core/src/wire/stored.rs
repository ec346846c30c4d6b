//! Stored jobs: what a stack keeps of a job, to start it again and again, when nobody's program runs.
//!
//! Its spec lies in the work bucket, as a driver would submit it; the key names the version that counts, which the ledger has. The
//! names in it may say the time of a start as `date` does:
//!
//! | in a name | stands for |
//! |---|---|
//! | `%Y`, `%m`, `%d` | year, month and day, as in 2026, 11, 23 |
//! | `%H`, `%M` | hour and minute, as in 02, 05 |
//! | `%%` | a percent sign |
//!
//! All times are UTC.

use super::spec::{InputSpec, JobSpec, Objects};
use crate::error::{Code, Error, Result};
use crate::ids::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcDateTime};

/// The longest name of a stored job, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The name of a stored job: letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoredName(String);

impl StoredName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the key in the work bucket of what is stored, of this version of it.
    pub fn key(&self, version: &str) -> String {
        format!("stored/jobs/{self}/{version}")
    }

    /// Returns the key in the work bucket of the shipped program of what is stored.
    pub fn program_key(&self, version: &str) -> String {
        format!("stored/programs/{self}/{version}")
    }
}

impl fmt::Display for StoredName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StoredName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(is_name) {
            let message = format!("{text:?} is no name of a stored job");
            return Err(Error::new(Code::StoredJob, message)
                .with_hint("a name has 1 to 64 letters (a-z, A-Z), digits, - and _"));
        }
        Ok(StoredName(text.to_owned()))
    }
}

impl TryFrom<String> for StoredName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<StoredName> for String {
    fn from(name: StoredName) -> Self {
        name.0
    }
}

/// Returns 64 hexadecimal digits that stand for what tells one start of a stored job from all others: its SHA-256.
pub fn hash_of(once: &str) -> String {
    Sha256::digest(once.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the time of a start, as in `2026-11-23T02:00:00Z`.
///
/// # Errors
/// Returns `stored-job` for anything else.
pub fn read_time(text: &str) -> Result<Timestamp> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok();
    let at = at.and_then(|at| u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok());
    at.map(Timestamp).ok_or_else(|| {
        Error::new(Code::StoredJob, format!("{text:?} is no time to start at"))
            .with_hint("write it as 2026-11-23T02:00:00Z")
    })
}

/// Returns a name with the time that it says.
///
/// # Errors
/// Returns `stored-job` where a percent sign is followed by something else than the table in the module's header has.
pub fn filled(name: &str, at: Timestamp) -> Result<String> {
    let seconds = i64::try_from(at.0 / 1_000).ok();
    let at = seconds.and_then(|seconds| UtcDateTime::from_unix_timestamp(seconds).ok());
    let at = at.ok_or_else(|| Error::new(Code::StoredJob, format!("{name}: no calendar has its time")))?;
    let mut parts = name.split('%');
    let mut full = parts.next().unwrap_or_default().to_owned();
    while let Some(part) = parts.next() {
        let mut rest = part.chars();
        let said = match rest.next() {
            Some('Y') => format!("{:04}", at.year()),
            Some('m') => format!("{:02}", u8::from(at.month())),
            Some('d') => format!("{:02}", at.day()),
            Some('H') => format!("{:02}", at.hour()),
            Some('M') => format!("{:02}", at.minute()),
            // The next part follows the second of two percent signs.
            None if parts.clone().next().is_some() => {
                full.push('%');
                full.push_str(parts.next().unwrap_or_default());
                continue;
            }
            other => {
                let said = other.map(String::from).unwrap_or_default();
                return Err(Error::new(Code::StoredJob, format!("{name}: %{said} is no part of a time"))
                    .with_hint("there are %Y, %m, %d, %H and %M, and %% for a percent sign"));
            }
        };
        full.push_str(&said);
        full.push_str(rest.as_str());
    }
    Ok(full)
}

/// Returns what a name begins with whatever the time is.
pub fn beginning(name: &str) -> &str {
    name.split('%').next().unwrap_or_default()
}

/// Returns whether a name says a time.
fn says_time(name: &str) -> bool {
    // 2003-05-06 07:08, of which nothing is as in 1970-01-01 00:00.
    filled(name, Timestamp(0)).ok() != filled(name, Timestamp(1_052_204_880_000)).ok()
}

/// Checks that a job can be started more than once: its names can be filled, and its starts do not stand in each other's way.
///
/// # Errors
/// Returns `stored-job`.
pub fn check(spec: &JobSpec) -> Result<()> {
    at(spec, Timestamp(0)).map(drop)?;
    if let Some(items) = spec.inputs.iter().find(|input| matches!(input.objects, Objects::Items(_))) {
        let message = format!("job {} reads items that its program makes ({})", spec.job, items.shown);
        return Err(Error::new(Code::StoredJob, message).with_hint("store a job that reads objects"));
    }
    let places = spec.inputs.iter().map(|input| (&input.root, &input.shown));
    if let Some((_, shown)) = places.into_iter().find(|(root, _)| root.is_some()) {
        let message = format!("{shown} is on this machine, where a job that starts itself cannot read it");
        return Err(Error::new(Code::StoredJob, message).with_hint("copy it to S3"));
    }
    if !spec.output.overwrite && !says_time(&spec.output.prefix) {
        let message =
            format!("each start writes to {}, and the second finds the result of the first", spec.output.shown);
        return Err(Error::new(Code::StoredJob, message)
            .with_hint("let the output say the time, as in s3://BUCKET/counts/%Y-%m-%d, or add --overwrite"));
    }
    Ok(())
}

/// Returns the spec of a job that is started, whose names say this time.
///
/// # Errors
/// Returns `stored-job` where a name cannot be filled.
pub fn at(spec: &JobSpec, time: Timestamp) -> Result<JobSpec> {
    let mut spec = spec.clone();
    for InputSpec { objects, shown, .. } in &mut spec.inputs {
        match objects {
            Objects::One(name) | Objects::Prefix(name) | Objects::Glob(name) | Objects::OneOrFolder(name) => {
                *shown = filled(shown, time)?;
                *name = filled(name, time)?;
            }
            // These were found when the job was stored, and are named as they are.
            Objects::Many(_) | Objects::Inventory(_) | Objects::Items(_) => {}
        }
    }
    // What the user calls it comes first: an error names it.
    spec.output.shown = filled(&spec.output.shown, time)?;
    spec.output.prefix = filled(&spec.output.prefix, time)?;
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_checked_however_it_comes() {
        for wrong in ["", "a/b", "..", "a b", "ä", "a%", "a#b", &"a".repeat(65)] {
            assert_eq!(wrong.parse::<StoredName>().unwrap_err().code(), "stored-job", "{wrong:?}");
            assert!(serde_json::from_value::<StoredName>(wrong.into()).is_err(), "{wrong:?}");
        }
        let name: StoredName = "daily_Count-2".parse().unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"daily_Count-2\"");
        assert_eq!(name.key("v"), "stored/jobs/daily_Count-2/v");
    }

    #[test]
    fn names_say_the_time_as_date_does() {
        let at = read_time("2026-11-03T02:05:09Z").unwrap();
        assert_eq!(at.0 % 60_000, 9_000);
        let full = |name: &str| filled(name, at).unwrap();
        assert_eq!(full("logs/%Y/%m/%d/%H/%M/x"), "logs/2026/11/03/02/05/x");
        assert_eq!(full("%Y%m%d"), "20261103");
        assert_eq!(full("100%%/%%Y/%%%Y"), "100%/%Y/%2026");
        assert_eq!(full("none"), "none");
        assert_eq!(full(""), "");
        assert_eq!(full("%%"), "%");
        assert_eq!(read_time("2026-11-03T04:05:09+02:00").unwrap(), at);
        for wrong in ["%", "a%", "%q", "%é", "%%%", "%Y%"] {
            let error = filled(wrong, at).unwrap_err();
            assert!(error.is(Code::StoredJob) && error.to_string().contains(wrong), "{error}");
        }
        for wrong in ["", "yesterday", "2026-11-03", "2026-13-03T00:00:00Z", "1960-01-01T00:00:00Z"] {
            assert_eq!(read_time(wrong).unwrap_err().code(), "stored-job", "{wrong}");
        }
        assert!(filled("%Y", Timestamp(u64::MAX)).is_err());
        assert_eq!(beginning("counts/%Y/x"), "counts/");
    }

    #[test]
    fn what_says_a_time_is_another_name_each_time() {
        for name in ["%Y", "a/%m", "%d/x", "%H", "%M"] {
            assert!(says_time(name), "{name}");
        }
        for name in ["", "a", "%%Y", "100%%"] {
            assert!(!says_time(name), "{name}");
        }
    }

    #[test]
    fn a_job_whose_starts_meet_cannot_be_stored() {
        let whole = JobSpec::of_one_object();
        let refused = |spec: &JobSpec, says: &str| {
            let error = check(spec).unwrap_err();
            assert!(error.is(Code::StoredJob) && error.to_string().contains(says), "{error}");
        };
        refused(&whole, "the second finds the result of the first");
        let mut spec = whole.clone();
        spec.output.overwrite = true;
        check(&spec).unwrap();
        spec.output.overwrite = false;
        (spec.output.prefix, spec.output.shown) = ("p/%Y-%m-%d/".into(), "s3://o/p/%Y-%m-%d".into());
        check(&spec).unwrap();
        spec.inputs[0].objects = Objects::Glob("logs/%Y/*.gz".into());
        spec.inputs[0].shown = "s3://b/logs/%Y/*.gz".into();
        let started = at(&spec, read_time("2026-11-03T02:05:09Z").unwrap()).unwrap();
        assert_eq!(started.output.prefix, "p/2026-11-03/");
        assert_eq!(started.output.shown, "s3://o/p/2026-11-03");
        assert_eq!(started.inputs[0].objects, Objects::Glob("logs/2026/*.gz".into()));
        assert_eq!(started.inputs[0].shown, "s3://b/logs/2026/*.gz");
        let mut local = spec.clone();
        local.inputs[0].root = Some("/data".into());
        refused(&local, "is on this machine");
        spec.inputs[0].objects = Objects::Glob("logs/%Q".into());
        refused(&spec, "%Q is no part of a time");
    }
}
