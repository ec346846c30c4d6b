//! What Lambda says of a function, read leniently: a server that is not AWS may say a number as text, where the SDK gives the
//! whole answer up.

use aws_sdk_lambda::operation::get_function_configuration::{
    GetFunctionConfigurationError, GetFunctionConfigurationOutput,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use kinglet_core::Result;
use serde_json::Value;
use std::collections::HashMap;

/// A function as it is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Configuration {
    pub(crate) memory_mb: u32,
    pub(crate) timeout_s: u32,
    pub(crate) code_bytes: u64,
    /// `None` if it was not said, as by Lambda of a function that has always been so.
    pub(crate) architecture: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) last_update: Option<String>,
    pub(crate) last_update_reason: Option<String>,
    pub(crate) variables: HashMap<String, String>,
}

impl Configuration {
    /// Reads an answer: as the SDK does, or else as far as it says what is asked for here.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when Lambda could not be reached or refused.
    pub(crate) fn of(
        answer: std::result::Result<
            GetFunctionConfigurationOutput,
            SdkError<GetFunctionConfigurationError, HttpResponse>,
        >,
        failed: impl FnOnce(&SdkError<GetFunctionConfigurationError, HttpResponse>) -> kinglet_core::Error,
    ) -> Result<Self> {
        match answer {
            Ok(found) => Ok(Self::said(&found)),
            Err(error) => said_otherwise(error.raw_response()).as_ref().map(Self::read).ok_or_else(|| failed(&error)),
        }
    }

    fn said(found: &GetFunctionConfigurationOutput) -> Self {
        Configuration {
            memory_mb: found.memory_size().unwrap_or_default().unsigned_abs(),
            timeout_s: found.timeout().unwrap_or_default().unsigned_abs(),
            code_bytes: found.code_size().unsigned_abs(),
            architecture: found.architectures().first().map(|name| name.as_str().to_owned()),
            state: found.state().map(|state| state.as_str().to_owned()),
            last_update: found.last_update_status().map(|status| status.as_str().to_owned()),
            last_update_reason: found.last_update_status_reason().map(str::to_owned),
            variables: found.environment().and_then(|of| of.variables()).cloned().unwrap_or_default(),
        }
    }

    fn read(json: &Value) -> Self {
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let number = |name: &str| json[name].as_u64().or_else(|| json[name].as_str()?.parse().ok()).unwrap_or(0);
        let small = |name: &str| u32::try_from(number(name)).unwrap_or(0);
        let variables = json["Environment"]["Variables"].as_object().into_iter().flatten();
        Configuration {
            memory_mb: small("MemorySize"),
            timeout_s: small("Timeout"),
            code_bytes: number("CodeSize"),
            architecture: json["Architectures"][0].as_str().map(str::to_owned),
            state: text("State"),
            last_update: text("LastUpdateStatus"),
            last_update_reason: text("LastUpdateStatusReason"),
            variables: variables.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
        }
    }
}

/// Returns the JSON of an answer that says that all went well, and that the SDK could not read.
pub(crate) fn said_otherwise(answer: Option<&HttpResponse>) -> Option<Value> {
    let answer = answer.filter(|answer| answer.status().is_success())?;
    serde_json::from_slice::<Value>(answer.body().bytes()?).ok().filter(Value::is_object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::Doing;
    use aws_smithy_types::body::SdkBody;

    fn unread(status: u16, body: &str) -> Result<Configuration> {
        let raw = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        let error = SdkError::response_error("expected a number", raw);
        Configuration::of(Err(error), |e| Doing::now("looking").failed(e))
    }

    #[test]
    fn a_number_said_as_text_is_read_and_a_refusal_is_none() {
        let body = r#"{"FunctionName": "f", "MemorySize": 512, "Timeout": "60", "CodeSize": 7, "Architectures": ["arm64"],
            "EphemeralStorage": {"Size": "2048"}, "State": "Active", "Environment": {"Variables": {"A": "b"}}}"#;
        let found = unread(200, body).unwrap();
        assert_eq!((found.memory_mb, found.timeout_s, found.code_bytes), (512, 60, 7));
        assert_eq!((found.architecture.as_deref(), found.state.as_deref()), (Some("arm64"), Some("Active")));
        assert_eq!((found.variables["A"].as_str(), found.last_update), ("b", None));
        assert!(unread(403, body).is_err());
        assert!(unread(200, "<html>").is_err());
        assert!(unread(200, "3").is_err());
    }
}
