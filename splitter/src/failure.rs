//! The record of an asynchronous invocation that failed, which Lambda sends to the splitter as the on-failure destination:
//! the function crashed, ran out of memory or time, or could not report by itself what was wrong.

use kinglet_aws::functions::death;
use kinglet_aws::ledger::Says;
use kinglet_core::wire::event::{Event, FailureRecord};
use kinglet_core::{Code, Error, Result};
use kinglet_worker::{Assignment, Outcome, Worker};
use serde_json::Value;

pub(crate) async fn handle(worker: &Worker, record: FailureRecord) -> Result<Outcome> {
    let conductor = &worker.conductor;
    let error = match record.request_context.get("condition").and_then(Value::as_str) {
        // Lambda never ran the function.
        Some("EventAgeExceeded") => {
            Error::new(Code::Undelivered, "Lambda has found no free function for it for hours, and gave the event up")
        }
        _ => death(&record.response_payload),
    };
    let request_id = record.request_context.get("requestId").and_then(Value::as_str).unwrap_or_default().to_owned();
    let event: Event = serde_json::from_value(record.request_payload)
        .map_err(|e| Error::new(Code::Event, format!("reading the payload of a failed invocation: {e}")))?;
    // Nothing else will be logged of that invocation, so the job's name is worth a read that may fail.
    let spec = match event.job() {
        Some(job) => conductor.spec(job).await.ok(),
        None => None,
    };
    let function = record.request_context.get("functionArn").and_then(Value::as_str).and_then(function_name);
    worker.journal.died(&event, function.unwrap_or("unknown"), spec.as_ref().map(|spec| &spec.job[..]), &error);
    let Some(Assignment { job, key, .. }) = Assignment::of(&event) else {
        return Ok(Outcome::Nothing);
    };
    let says = Says::Lambda(&request_id);
    match conductor.try_failed(&job, key, says, &error.context(key)).await {
        // The ledger has forgotten the job: nobody waits for it.
        Err(error) if error.is(Code::JobMissing) => {}
        recorded => recorded?,
    }
    Ok(Outcome::Nothing)
}

/// Returns the name in `arn:aws:lambda:REGION:ACCOUNT:function:NAME:VERSION`.
fn function_name(arn: &str) -> Option<&str> {
    arn.split(':').nth(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_by_its_arn() {
        let arn = "arn:aws:lambda:us-east-1:123456789012:function:kinglet-mapper:$LATEST";
        assert_eq!(function_name(arn), Some("kinglet-mapper"));
        assert_eq!(function_name("nonsense"), None);
    }
}
