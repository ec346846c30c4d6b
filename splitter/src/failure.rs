//! The record of an asynchronous invocation that failed, which Lambda hands to the splitter as its on-failure destination:
//! the function crashed, ran out of memory or time, or could not say itself what was wrong.

use kinglet_aws::worker::Worker;
use kinglet_core::ids::{Piece, Stage};
use kinglet_core::ledger::Phase;
use kinglet_core::wire::event::{Event, FailureRecord};
use kinglet_core::{Error, Result};
use serde_json::{Value, json};

pub(crate) async fn handle(worker: &Worker, record: FailureRecord) -> Result<Value> {
    let conductor = &worker.conductor;
    let error = cause(&record.response_payload);
    let event: Event = serde_json::from_value(record.request_payload)
        .map_err(|e| Error::stale("event", format!("reading the payload of a failed invocation: {e}")))?;
    // Only what is written here is ever said of that invocation; the job's name is worth a read that may fail.
    let spec = match event.job() {
        Some(job) => conductor.spec(job).await.ok(),
        None => None,
    };
    let function = record.request_context.get("functionArn").and_then(Value::as_str).and_then(function_name);
    worker.journal.died(&event, function.unwrap_or("unknown"), spec.as_ref().map(|spec| &spec.job[..]), &error);
    match event {
        Event::Split(event) => {
            conductor.fail(&event.job, Phase::Failed, &error.context("splitting the input")).await?;
        }
        Event::Map(event) => {
            let error = error.context(format!("map task {}", event.task.0));
            conductor.try_failed(&event.job, Stage::Map, event.task, event.piece, event.number, &error).await?;
        }
        Event::Reduce(event) => {
            let error = error.context(format!("reduce task {}", event.task.0));
            conductor.try_failed(&event.job, Stage::Reduce, event.task, Piece(0), event.number, &error).await?;
        }
        Event::Sweep(_) => {}
    }
    Ok(json!({}))
}

/// The name in `arn:aws:lambda:REGION:ACCOUNT:function:NAME:VERSION`.
fn function_name(arn: &str) -> Option<&str> {
    arn.split(':').nth(6)
}

/// What Lambda says of a failure, as one of ours. Types and messages as Lambda writes them; see
/// <https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html>.
fn cause(response: &Value) -> Error {
    let field = |name: &str| response.get(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, message) = (field("errorType"), field("errorMessage"));
    let says = |text: &str| kind.contains(text) || message.contains(text);
    if says("OutOfMemory") || says("signal: killed") {
        Error::limit("out-of-memory", format!("the function ran out of memory: {message}"))
            .with_hint("give the functions more memory, or cut the input into smaller splits (--split-bytes)")
    } else if says("signal: aborted") {
        // Memory that the system refuses ends a Rust program so; so does a stack that overflows, which more memory may help too.
        Error::limit("out-of-memory", format!("the function ended itself, for want of memory most likely: {message}"))
            .with_hint(
                "the function's log says what it wanted; give it more memory, or cut the input into smaller splits",
            )
    } else if says("Timedout") || says("timed out") {
        Error::service("timed-out", format!("the function ran out of time: {message}"))
            .with_hint("give the functions a longer timeout or cut the input into smaller splits (--split-bytes)")
    } else {
        let what = if message.is_empty() { "without a word" } else { message };
        Error::service("crashed", format!("the function failed: {kind}: {what}"))
            .with_hint("the function's log says more")
    }
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

    #[test]
    fn lambdas_words_become_codes() {
        let code =
            |kind: &str, message: &str| cause(&json!({"errorType": kind, "errorMessage": message})).code().to_owned();
        assert_eq!(code("Runtime.ExitError", "Error: Runtime exited with error: signal: killed"), "out-of-memory");
        assert_eq!(code("Runtime.OutOfMemory", ""), "out-of-memory");
        assert_eq!(code("Runtime.ExitError", "Error: Runtime exited with error: signal: aborted"), "out-of-memory");
        assert_eq!(code("Sandbox.Timedout", "Task timed out after 3.00 seconds"), "timed-out");
        assert_eq!(code("Runtime.ExitError", "Error: Runtime exited with error: exit status 1"), "crashed");
        assert_eq!(cause(&Value::Null).code(), "crashed");
    }
}
