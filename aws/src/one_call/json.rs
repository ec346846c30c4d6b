//! What services say in JSON when they refuse.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_types::error::ErrorMetadata;
use serde::Deserialize;

/// Reads the code and the message of an error, as the protocol `awsJson1_1` has them: the code may have a namespace before it
/// and an address behind it. <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization>
pub(super) fn refusal(body: &[u8]) -> Result<ErrorMetadata, BoxError> {
    #[derive(Deserialize)]
    struct Said {
        #[serde(rename = "__type", alias = "code")]
        code: Option<String>,
        #[serde(alias = "Message", alias = "errorMessage")]
        message: Option<String>,
    }
    let Said { code, message } = serde_json::from_slice(body)?;
    let mut said = ErrorMetadata::builder();
    if let Some(code) = code {
        let code = code.rsplit('#').next().unwrap_or_default();
        said = said.code(code.split(':').next().unwrap_or_default());
    }
    if let Some(message) = message {
        said = said.message(message);
    }
    Ok(said.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_code_without_namespace_and_address() {
        for code in ["ThrottlingException", "com.amazonaws.logs#ThrottlingException", "ThrottlingException:http://x/"] {
            let said = refusal(format!(r#"{{"__type":"{code}","message":"slow"}}"#).as_bytes()).unwrap();
            assert_eq!((said.code(), said.message()), (Some("ThrottlingException"), Some("slow")));
        }
        assert!(refusal(b"<html>").is_err());
    }
}
