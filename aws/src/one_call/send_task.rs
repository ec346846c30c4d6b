//! Step Functions' `SendTaskSuccess` and `SendTaskFailure`.

use super::{Call, json};
use aws_smithy_runtime_api::box_error::BoxError;
use serde::Serialize;

/// Says that a task has succeeded. <https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html>
pub(crate) const SEND_TASK_SUCCESS: Call<()> = Call {
    service: "SFN",
    host: "states",
    operation: "SendTaskSuccess",
    headers: &[("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "AWSStepFunctions.SendTaskSuccess")],
    reply: nothing,
    refusal: json::refusal,
};

/// Says that a task has failed. <https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskFailure.html>
pub(crate) const SEND_TASK_FAILURE: Call<()> = Call {
    operation: "SendTaskFailure",
    headers: &[("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "AWSStepFunctions.SendTaskFailure")],
    ..SEND_TASK_SUCCESS
};

/// The longest error and the longest cause that Step Functions takes, in characters.
const ERROR_CHARS_MAX: usize = 256;
const CAUSE_CHARS_MAX: usize = 32_768;

/// How a task has succeeded.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Success<'a> {
    pub(crate) task_token: &'a str,
    /// JSON as text.
    pub(crate) output: &'a str,
}

/// How a task has failed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure<'a> {
    task_token: &'a str,
    error: String,
    cause: String,
}

impl<'a> Failure<'a> {
    /// Cuts off what Step Functions would refuse.
    pub(crate) fn new(task_token: &'a str, error: &str, cause: &str) -> Self {
        let cut = |text: &str, most| text.chars().take(most).collect();
        Failure { task_token, error: cut(error, ERROR_CHARS_MAX), cause: cut(cause, CAUSE_CHARS_MAX) }
    }
}

/// Returns whether a refusal says that nobody waits for the task any more.
pub(crate) fn nobody_waits(code: Option<&str>) -> bool {
    matches!(code, Some("TaskDoesNotExist" | "TaskTimedOut" | "InvalidToken"))
}

fn nothing(_: &[u8]) -> Result<(), BoxError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_answered_as_step_functions_has_it() {
        let success = Success { task_token: "t", output: "{}" };
        assert_eq!(serde_json::to_string(&success).unwrap(), r#"{"taskToken":"t","output":"{}"}"#);
        let failure = Failure::new("t", "user-error", &"ä".repeat(40_000));
        assert_eq!((failure.error.as_str(), failure.cause.chars().count()), ("user-error", CAUSE_CHARS_MAX));
        let failure = Failure::new("t", "e", "c");
        assert_eq!(serde_json::to_string(&failure).unwrap(), r#"{"taskToken":"t","error":"e","cause":"c"}"#);
        assert!(
            nobody_waits(Some("TaskTimedOut")) && !nobody_waits(Some("ThrottlingException")) && !nobody_waits(None)
        );
    }
}
