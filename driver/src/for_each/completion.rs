//! The report of what became of a function's calls for objects, in the layout of S3 Batch Operations' completion reports:
//!
//! ```text
//! REPORT/job-19aa5440eb0-f0a9c3d5e7ab/results/succeeded.csv   bucket,key,version,succeeded,,200,"what the function returned"
//!                                    /results/failed.csv      bucket,key,version,failed,call-failed,200,"why"
//!                                    /manifest.json           which of these there are, and their MD5; drawn by its test
//! ```
//!
//! Lines have no header and end in a line feed. Keys are URL-encoded. The fields are in the order that `ReportSchema` in the manifest
//! says: error code before HTTP status. In the lines that AWS's page shows as examples the two stand the other way round; who reads
//! by `ReportSchema` reads either. A part that would be empty is not written. `manifest.json` is written last, where nothing is.
//!
//! Read 2026-11: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-examples-reports.html>.

use crate::connection::Connection;
use crate::submission::mount;
use crate::{Code, Error, OutputFormat, Result, S3Object, Timestamp, output};
use bytes::Bytes;
use kinglet_aws::Objects;
use kinglet_aws::objects::{Put, Replace};
use kinglet_aws::upload::Upload;
use kinglet_core::inventory::encode_key;
use kinglet_core::limits::RESULT_MESSAGE_BYTES_MAX;
use kinglet_local::s3::BucketKind;
use md5::{Digest, Md5};
use serde::Serialize;
use std::fmt::Write;
use time::OffsetDateTime;

/// How many bytes of lines are handed to an upload at once (1 MiB).
const PUSH_BYTES: usize = 1 << 20;

/// What became of the calls for one object.
pub(super) struct Outcome {
    /// The error's code; `None` of one that succeeded.
    code: Option<String>,
    status: u16,
    message: String,
}

impl Outcome {
    /// Takes the result of the call `n` of its map.
    pub(super) fn of(n: usize, result: Result<String>) -> Self {
        match result {
            Ok(said) => Outcome { code: None, status: 200, message: bounded(&said) },
            Err(error) => {
                let whole = error.to_string();
                // Which call of which map it was tells nobody anything.
                let message = whole.strip_prefix(&format!("call {n}: ")).unwrap_or(&whole);
                Outcome { code: Some(error.code().to_owned()), status: status(&error), message: bounded(message) }
            }
        }
    }

    fn line(&self, bucket: &str, object: &S3Object, out: &mut String) {
        field(bucket, out);
        out.push(',');
        out.push_str(&encode_key(&object.key));
        out.push(',');
        field(object.version_id.as_deref().unwrap_or_default(), out);
        let task = if self.code.is_none() { "succeeded" } else { "failed" };
        // Writing to a string does not fail.
        let _ = write!(out, ",{task},{},{},", self.code.as_deref().unwrap_or_default(), self.status);
        field(&self.message, out);
        out.push('\n');
    }
}

/// Returns the HTTP status that S3 gives such an error, or 200 where the function was called and failed by itself, as S3 Batch
/// Operations report a function's failure.
fn status(error: &Error) -> u16 {
    match error.known_code() {
        Some(Code::ObjectMissing | Code::BucketMissing) => 404,
        Some(Code::ObjectChanged | Code::Precondition) => 412,
        Some(Code::AccessDenied) => 403,
        Some(Code::Throttled) => 503,
        Some(Code::Range) => 416,
        Some(Code::Rejected) => 400,
        Some(Code::Service | Code::Unreachable | Code::Body) => 500,
        _ => 200,
    }
}

/// Returns text as one line that is not too long.
fn bounded(text: &str) -> String {
    let text: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if text.len() <= RESULT_MESSAGE_BYTES_MAX {
        return text;
    }
    format!("{}…", &text[..text.floor_char_boundary(RESULT_MESSAGE_BYTES_MAX - '…'.len_utf8())])
}

/// Writes a field of CSV.
fn field(text: &str, out: &mut String) {
    if text.contains([',', '"', '\r', '\n']) {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

/// A report that is being written.
pub(super) struct Completion {
    objects: Objects,
    bucket: String,
    /// What the user calls the bucket.
    called: String,
    /// What all keys begin with: `REPORT/job-…/`.
    prefix: String,
    succeeded: Part,
    failed: Part,
    failed_only: bool,
}

/// Lines of one kind.
struct Part {
    name: &'static str,
    upload: Option<Upload>,
    digest: Md5,
    lines: String,
    count: u64,
}

/// A report that is written.
pub(super) struct Done {
    pub(super) manifest: String,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
}

/// `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest<'a> {
    format: &'static str,
    report_creation_date: String,
    results: Vec<Written<'a>>,
    report_schema: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Written<'a> {
    task_execution_status: &'static str,
    bucket: &'a str,
    #[serde(rename = "MD5Checksum")]
    md5: String,
    key: String,
}

impl Completion {
    /// Names the report, below a directory or a prefix. Nothing is written before there are lines.
    pub(super) fn begin(shared: &Connection, report: &str, failed_only: bool) -> Result<Self> {
        let place = output::resolve(report, &shared.mount_name("report"), false, OutputFormat::default())?;
        let directory = place.path.clone().map(|root| BucketKind::Directory { root });
        mount(shared, &place.spec.bucket, report, directory)?;
        let called = place.path.map_or_else(|| place.spec.bucket.clone(), |path| path.to_string_lossy().into_owned());
        Ok(Completion {
            objects: shared.conductor.objects.clone(),
            bucket: place.spec.bucket,
            called,
            prefix: format!("{}job-{}/", place.spec.prefix, shared.conductor.new_id()),
            succeeded: Part::new("succeeded"),
            failed: Part::new("failed"),
            failed_only,
        })
    }

    /// Returns how many objects were added.
    pub(super) fn objects(&self) -> u64 {
        self.succeeded.count + self.failed.count
    }

    /// Adds an object; `bucket` is what the user calls its bucket.
    pub(super) async fn add(&mut self, bucket: &str, object: &S3Object, outcome: &Outcome) -> Result<()> {
        let part = if outcome.code.is_none() { &mut self.succeeded } else { &mut self.failed };
        part.count += 1;
        if outcome.code.is_none() && self.failed_only {
            return Ok(());
        }
        outcome.line(bucket, object, &mut part.lines);
        if part.lines.len() >= PUSH_BYTES { part.push(&self.objects, &self.bucket, &self.prefix).await } else { Ok(()) }
    }

    /// Removes what there is of a report that will have no manifest, as far as that is possible.
    pub(super) async fn abort(mut self) {
        let mut appeared = Vec::new();
        for part in [&mut self.succeeded, &mut self.failed] {
            match part.upload.take() {
                Some(mut upload) => upload.abort().await,
                None if part.count > 0 && part.lines.is_empty() => appeared.push(part.key(&self.prefix)),
                None => {}
            }
        }
        if !appeared.is_empty()
            && let Err(error) = self.objects.delete(&self.bucket, &appeared).await
        {
            tracing::warn!(bucket = self.bucket, ?appeared, %error, "removing a report that is not whole");
        }
    }

    /// Makes the parts appear, and then the manifest.
    pub(super) async fn finish(&mut self, now: Timestamp) -> Result<Done> {
        let Completion { objects, bucket, prefix, called, .. } = self;
        let (mut results, bucket) = (Vec::new(), &bucket[..]);
        for part in [&mut self.succeeded, &mut self.failed] {
            if let Some(md5) = part.finish(objects, bucket, prefix).await? {
                let key = part.key(prefix);
                results.push(Written { task_execution_status: part.name, bucket: called, md5, key });
            }
        }
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(now.0) * 1_000_000);
        let manifest = manifest(results, at.unwrap_or(OffsetDateTime::UNIX_EPOCH))?;
        let key = format!("{prefix}manifest.json");
        match objects.put(bucket, &key, manifest.into(), Replace::No).await? {
            Put::Written(_) => {}
            Put::Refused => {
                let message = format!("there is a report s3://{bucket}/{key} already, which is not of this call");
                return Err(Error::new(Code::OutputExists, message).with_hint("name another place for the report"));
            }
        }
        let manifest = match called == bucket {
            true => format!("s3://{bucket}/{key}"),
            false => format!("{called}/{key}"),
        };
        Ok(Done { manifest, succeeded: self.succeeded.count, failed: self.failed.count })
    }
}

fn manifest(results: Vec<Written<'_>>, at: OffsetDateTime) -> Result<Vec<u8>> {
    let (date, time, ms) = (at.date(), at.time(), at.millisecond());
    let (hour, minute, second) = time.as_hms();
    let manifest = Manifest {
        format: "Report_CSV_20180820",
        report_creation_date: format!("{date}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"),
        results,
        report_schema: "Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage",
    };
    serde_json::to_vec_pretty(&manifest).map_err(|e| Error::new(Code::Engine, format!("writing the report: {e}")))
}

impl Part {
    fn new(name: &'static str) -> Self {
        Part { name, upload: None, digest: Md5::new(), lines: String::new(), count: 0 }
    }

    fn key(&self, prefix: &str) -> String {
        format!("{prefix}results/{}.csv", self.name)
    }

    async fn push(&mut self, objects: &Objects, bucket: &str, prefix: &str) -> Result<()> {
        let key = self.key(prefix);
        let upload = self.upload.get_or_insert_with(|| Upload::new(objects, bucket, &key));
        let lines = Bytes::from(std::mem::take(&mut self.lines));
        self.digest.update(&lines);
        upload.push(lines).await
    }

    /// Makes the part appear, if there is anything in it; returns its MD5.
    async fn finish(&mut self, objects: &Objects, bucket: &str, prefix: &str) -> Result<Option<String>> {
        if !self.lines.is_empty() {
            self.push(objects, bucket, prefix).await?;
        }
        let Some(upload) = self.upload.take() else { return Ok(None) };
        upload.finish().await?;
        let md5 = std::mem::replace(&mut self.digest, Md5::new()).finalize();
        Ok(Some(md5.iter().map(|byte| format!("{byte:02x}")).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bucket: &str, object: &S3Object, result: Result<String>) -> String {
        let mut out = String::new();
        Outcome::of(7, result).line(bucket, object, &mut out);
        out
    }

    #[test]
    fn lines_are_those_of_aws() {
        let mut object = S3Object::new("photos", "a b/é,\"x\".jpg");
        let said = Ok("12 × 7, \"good\"\nand more".to_owned());
        let want = "photos,a%20b/%C3%A9%2C%22x%22.jpg,,succeeded,,200,\"12 × 7, \"\"good\"\" and more\"\n";
        assert_eq!(line("photos", &object, said), want);
        object.version_id = Some("v1".into());
        object.key = "k".into();
        for (code, says, want) in [
            (Code::CallFailed, "call 7: no picture", "call-failed,200,no picture"),
            (Code::PermanentFailure, "call 71: it", "permanent-failure,200,call 71: it"),
            (Code::ObjectMissing, "gone", "object-missing,404,gone"),
            (Code::ObjectChanged, "other", "object-changed,412,other"),
            (Code::AccessDenied, "no", "access-denied,403,no"),
            (Code::Throttled, "slow", "throttled,503,slow"),
        ] {
            assert_eq!(line("photos", &object, Err(Error::new(code, says))), format!("photos,k,v1,failed,{want}\n"));
        }
        let long = line("b", &S3Object::new("b", "k"), Ok("é".repeat(2_000)));
        assert!(long.len() < RESULT_MESSAGE_BYTES_MAX + 40 && long.ends_with("é…\n"), "{}", long.len());
    }

    /// The manifest of AWS's page, with names of ours.
    #[test]
    fn the_manifest_is_that_of_aws() {
        let part = |task_execution_status, md5: &str| Written {
            task_execution_status,
            bucket: "reports",
            md5: md5.into(),
            key: format!("p/job-1/results/{task_execution_status}.csv"),
        };
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_554_486_519_725_000_000).unwrap();
        let results = vec![part("succeeded", "83b1"), part("failed", "22ee")];
        let found: serde_json::Value = serde_json::from_slice(&manifest(results, at).unwrap()).unwrap();
        let want = serde_json::json!({
            "Format": "Report_CSV_20180820",
            "ReportCreationDate": "2019-04-05T17:48:39.725Z",
            "Results": [
                { "TaskExecutionStatus": "succeeded", "Bucket": "reports", "MD5Checksum": "83b1",
                  "Key": "p/job-1/results/succeeded.csv" },
                { "TaskExecutionStatus": "failed", "Bucket": "reports", "MD5Checksum": "22ee",
                  "Key": "p/job-1/results/failed.csv" },
            ],
            "ReportSchema": "Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage",
        });
        assert_eq!(found, want);
    }
}
