//! The claim to an output: which job owns it, and what becomes of what lies there. It lies in the output itself, next to the
//! parts, as `_owner.json`, for as long as a job writes there, and tells others so. JSON, version 1:
//!
//! ```json
//! {"version": 1, "job": "19aa…-0123…", "name": "word-count", "ledger": "eu-west-1/kinglet-work-1abc",
//!  "replaces": {"job": "19a0…", "etag": "\"9f86…\"", "parts": [{"name": "part-00000-19a0…", "etag": "\"d081…\""}]},
//!  "inherits": [{"job": "19a9…", "replaces": null}]}
//! ```
//!
//! A conditional PUT writes it, so that only one of several jobs gets the output, and a PUT that demands its ETag replaces it.
//! A job that finds the claim of a dead job replaces it with its own, which names the dead job in `inherits`. The heir must
//! then remove what the dead job left there; any of the heir's functions may do so.

use crate::error::{Code, Error, Result};
use crate::ids::JobId;
use serde::{Deserialize, Serialize};

/// The name of the claim within an output.
pub const OWNER: &str = "_owner.json";

/// The version of the layout.
pub const VERSION: u32 = 1;

/// A claim to an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// [`VERSION`].
    pub version: u32,
    /// The job whose output it is.
    pub job: JobId,
    /// That job's name.
    pub name: String,
    /// The ledger that knows the job: the region and the work bucket of its stack. If S3 is not AWS's, its URL stands in place
    /// of the region.
    pub ledger: String,
    /// The result that the job's own result replaces.
    pub replaces: Option<Replaced>,
    /// The jobs that had the output before and died without cleaning it up.
    #[serde(default)]
    pub inherits: Vec<Heritage>,
}

/// A result that another replaces: what its manifest lists, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The job that made it.
    pub job: String,
    /// The ETag of its manifest.
    pub etag: String,
    /// Its parts.
    pub parts: Vec<ReplacedPart>,
}

/// A part of a result that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedPart {
    /// Its name within the output.
    pub name: String,
    /// Its ETag, if the manifest has it. An object of that name with another ETag is not removed.
    pub etag: Option<String>,
}

/// What a dead job had claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heritage {
    /// The dead job.
    pub job: JobId,
    /// The result that it was to replace.
    pub replaces: Option<Replaced>,
}

impl Owner {
    /// Returns the claim as it is stored.
    ///
    /// # Errors
    /// Returns [`Error::Corrupt`] (`owner`) when it cannot be encoded.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::new(Code::Owner, format!("writing the claim of job {}: {e}", self.job)))?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads a stored claim; `shown` names it in errors.
    ///
    /// # Errors
    /// Returns [`Error::Input`] (`output-taken`) when the bytes are not a claim that this version knows: then nobody can tell
    /// whose the output is.
    pub fn read(bytes: &[u8], shown: &str) -> Result<Self> {
        let owner: Option<Owner> = serde_json::from_slice(bytes).ok();
        owner.filter(|owner| owner.version == VERSION).ok_or_else(|| {
            Error::new(Code::OutputTaken, format!("{shown} is there, and this version cannot read it"))
                .with_hint("choose another output; if no job writes to this one, remove that file")
        })
    }

    /// Returns this claim and those that it inherited, for the claim of its heir.
    pub fn heritage(self) -> Vec<Heritage> {
        let own = Heritage { job: self.job, replaces: self.replaces };
        self.inherits.into_iter().chain([own]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_and_back() {
        let job = |id: &str| id.parse::<JobId>().unwrap();
        let parts = vec![
            ReplacedPart { name: "part-00000-a".into(), etag: Some("\"p\"".into()) },
            ReplacedPart { name: "part-00001-a".into(), etag: None },
        ];
        let replaced = Replaced { job: "a".into(), etag: "\"m\"".into(), parts };
        let owner = Owner {
            version: VERSION,
            job: job("c"),
            name: "word-count".into(),
            ledger: "eu-west-1/work".into(),
            replaces: Some(replaced.clone()),
            inherits: vec![Heritage { job: job("b"), replaces: None }],
        };
        let bytes = owner.to_bytes().unwrap();
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/owner-v1.json"), &bytes);
        assert_eq!(Owner::read(&bytes, "").unwrap(), owner);
        let names: Vec<_> = owner.heritage().into_iter().map(|h| (h.job.to_string(), h.replaces.is_some())).collect();
        assert_eq!(names, [("b".to_owned(), false), ("c".to_owned(), true)]);
        for wrong in ["", "{}", "a note of mine", r#"{"version":2,"job":"c","name":"","ledger":"","replaces":null}"#] {
            assert_eq!(Owner::read(wrong.as_bytes(), "s3://b/_owner.json").unwrap_err().code(), "output-taken");
        }
    }
}
