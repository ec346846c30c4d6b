//! Reporting an invocation: the report, the `REPORT` line, the error document and the on-failure record.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};
use time::OffsetDateTime;

/// One attempt of one invocation, as in Lambda's `REPORT` line.
#[derive(Clone, Debug)]
pub struct InvocationReport {
    /// Request id; retries of an event keep it.
    pub request_id: Arc<str>,
    /// The function's name.
    pub function: Arc<str>,
    /// Which attempt this was, from 1.
    pub attempt: u32,
    /// The function's memory size.
    pub memory_mb: u32,
    /// Time that would be billed: init and run, rounded up to 1 ms. The init phase is billed since August 2025
    /// (<https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/>).
    pub billed_ms: u64,
    /// Time from the delivery of the event until the worker asked for the next.
    pub duration_ms: f64,
    /// Time from the start of the process until it asked for its first event, if this invocation started it.
    pub init_ms: Option<f64>,
    /// Peak of the resident memory of the worker and its children, over the life of its environment, sampled; zero on systems
    /// without `/proc`.
    pub max_memory_mb: u32,
    /// What went wrong, if anything did.
    pub error: Option<InvocationError>,
    /// Whether this invocation started a process.
    pub cold: bool,
    /// The log file of the environment it ran in.
    pub log: Option<Arc<Path>>,
}

impl InvocationReport {
    /// Returns the line that Lambda writes to the log.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!(
            "REPORT RequestId: {}\tDuration: {:.2} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t",
            self.request_id, self.duration_ms, self.billed_ms, self.memory_mb, self.max_memory_mb
        );
        if let Some(init_ms) = self.init_ms {
            // Writing to a string cannot fail.
            let _ = write!(line, "Init Duration: {init_ms:.2} ms\t");
        }
        if let Some(error) = &self.error {
            let status = if error.error_type == "Sandbox.Timedout" { "timeout" } else { "error" };
            let _ = write!(line, "Status: {status}\tError Type: {}\t", error.error_type);
        }
        line
    }
}

/// Returns the milliseconds to bill: the whole time, rounded up.
pub(super) fn billed_ms(run: Duration, init: Option<Duration>) -> u64 {
    let nanos = (run + init.unwrap_or_default()).as_nanos();
    u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// A function error, in the two fields that every Lambda runtime uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InvocationError {
    /// The type, such as `Sandbox.Timedout`, `Runtime.ExitError`, or what the function itself reports.
    pub error_type: String,
    /// The message.
    pub error_message: String,
}

/// The outcome of an invocation.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The function's response.
    Response(Bytes),
    /// A function error: its type and message, and the document that the caller gets.
    Error(InvocationError, Bytes),
}

impl Outcome {
    /// Returns an error that the host found.
    pub(super) fn host_error(error_type: &str, error_message: String) -> Self {
        let error = InvocationError { error_type: error_type.into(), error_message };
        let document = serde_json::to_vec(&error).unwrap_or_default();
        Outcome::Error(error, document.into())
    }

    /// Returns an error that the function reported; its document is passed on unchanged.
    pub(super) fn function_error(document: Bytes, header_type: Option<&str>) -> Self {
        let parsed: Value = serde_json::from_slice(&document).unwrap_or_default();
        let field = |name: &str| parsed.get(name).and_then(Value::as_str).map(str::to_owned);
        let error = InvocationError {
            error_type: field("errorType").or(header_type.map(str::to_owned)).unwrap_or_else(|| "Unhandled".into()),
            error_message: field("errorMessage").unwrap_or_default(),
        };
        Outcome::Error(error, document)
    }

    pub(super) fn error(&self) -> Option<&InvocationError> {
        match self {
            Outcome::Response(_) => None,
            Outcome::Error(error, _) => Some(error),
        }
    }
}

/// The record of an event that failed for good, as Lambda sends it to an on-failure destination
/// (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureRecord {
    /// Version of this shape, `1.0`.
    pub version: &'static str,
    /// When the record was made, RFC 3339.
    pub timestamp: String,
    /// Which event, and why it was given up.
    pub request_context: RequestContext,
    /// The event.
    pub request_payload: Value,
    /// How the last attempt ended.
    pub response_context: ResponseContext,
    /// The error document of the last attempt.
    pub response_payload: Value,
}

/// Part of a [`FailureRecord`].
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext {
    /// Request id, the same in every attempt.
    pub request_id: String,
    /// ARN of the function with its version.
    pub function_arn: String,
    /// Why it was given up: `RetriesExhausted`.
    pub condition: &'static str,
    /// How often it was tried.
    pub approximate_invoke_count: u32,
}

/// Part of a [`FailureRecord`].
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseContext {
    /// HTTP status that a synchronous caller would have seen.
    pub status_code: u16,
    /// Version that ran, `$LATEST`.
    pub executed_version: &'static str,
    /// Kind of function error, `Unhandled`.
    pub function_error: &'static str,
}

impl FailureRecord {
    pub(super) fn new(id: &str, arn: &str, attempts: u32, request: &[u8], response: &[u8]) -> Self {
        // A document that is not JSON is kept as a string: a record that says little is better than none.
        let json = |bytes: &[u8]| {
            serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
        };
        Self {
            version: "1.0",
            timestamp: timestamp(OffsetDateTime::now_utc()),
            request_context: RequestContext {
                request_id: id.into(),
                function_arn: format!("{arn}:$LATEST"),
                condition: "RetriesExhausted",
                approximate_invoke_count: attempts,
            },
            request_payload: json(request),
            response_context: ResponseContext {
                status_code: 200,
                executed_version: "$LATEST",
                function_error: "Unhandled",
            },
            response_payload: json(response),
        }
    }
}

/// Returns the time in the form `2026-11-21T04:26:32.123Z`.
pub(super) fn timestamp(at: OffsetDateTime) -> String {
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second, ms) = (at.hour(), at.minute(), at.second(), at.millisecond());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_line_reads_as_on_lambda() {
        let run = Duration::from_micros(12_340);
        let report = InvocationReport {
            request_id: "r".into(),
            function: "f".into(),
            attempt: 1,
            memory_mb: 128,
            billed_ms: billed_ms(run, Some(Duration::from_micros(3_700))),
            duration_ms: run.as_secs_f64() * 1e3,
            init_ms: Some(3.7),
            max_memory_mb: 9,
            error: None,
            cold: true,
            log: None,
        };
        let expected = "REPORT RequestId: r\tDuration: 12.34 ms\tBilled Duration: 17 ms\tMemory Size: 128 MB\t\
                        Max Memory Used: 9 MB\tInit Duration: 3.70 ms\t";
        assert_eq!(report.line(), expected);
    }

    #[test]
    fn a_timestamp_is_rfc_3339() {
        let at = OffsetDateTime::from_unix_timestamp(951_827_696).unwrap();
        assert_eq!(timestamp(at), "2000-02-29T12:34:56.000Z");
    }
}
