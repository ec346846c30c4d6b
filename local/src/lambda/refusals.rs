//! The Invoke API's errors: status, type and document, as the SDKs parse them (API reference, *Invoke*, "Errors").

use super::http::{Reply, json};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

/// Why a request of the Invoke API was not served.
#[derive(Debug)]
pub(super) enum Refused {
    NoSuchCall,
    NoSuchFunction(String),
    /// The request is not signed.
    NoKey,
    /// The request is signed, but not with the known key.
    WrongKey,
    /// The request is signed with the known key, but not with its secret, or for another request.
    WrongSignature,
    /// The payload, or the client context, is not JSON.
    InvalidContent(String),
    InvalidParameter(String),
    TooLarge {
        bytes: usize,
        bytes_max: usize,
    },
    /// The request is throttled, for this reason, one of the SDK's `ThrottleReason`s.
    Throttled(&'static str),
    Service(&'static str),
}

impl Refused {
    /// Returns the reply. The SDKs take the error's type from the header and the message from the document, where AWS spells
    /// `message` in two ways.
    pub(super) fn reply(&self) -> Reply {
        let (status, kind, document) = self.parts();
        let mut reply = json(status, &document);
        reply.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(kind));
        reply
    }

    fn parts(&self) -> (StatusCode, &'static str, Value) {
        let by_user = |message: String| json!({ "Type": "User", "message": message });
        match self {
            Refused::NoSuchCall => {
                let document = json!({ "message": "this host has no such operation" });
                (StatusCode::NOT_FOUND, "UnknownOperationException", document)
            }
            Refused::NoSuchFunction(name) => {
                let document = json!({ "Type": "User", "Message": format!("Function not found: {name}") });
                (StatusCode::NOT_FOUND, "ResourceNotFoundException", document)
            }
            Refused::NoKey => {
                let document = json!({ "message": "Missing Authentication Token" });
                (StatusCode::FORBIDDEN, "MissingAuthenticationTokenException", document)
            }
            Refused::WrongKey => {
                let document = json!({ "message": "The security token included in the request is invalid." });
                (StatusCode::FORBIDDEN, "UnrecognizedClientException", document)
            }
            Refused::WrongSignature => {
                let message = "The request signature we calculated does not match the signature you provided.";
                (StatusCode::FORBIDDEN, "InvalidSignatureException", json!({ "message": message }))
            }
            Refused::InvalidContent(why) => {
                let document = by_user(format!("Could not parse request body into json: {why}"));
                (StatusCode::BAD_REQUEST, "InvalidRequestContentException", document)
            }
            Refused::InvalidParameter(message) => {
                (StatusCode::BAD_REQUEST, "InvalidParameterValueException", by_user(message.clone()))
            }
            Refused::TooLarge { bytes, bytes_max } => {
                let message =
                    format!("{bytes} byte payload is too large for the invocation type (limit {bytes_max} bytes)");
                (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", by_user(message))
            }
            Refused::Throttled(reason) => {
                let document = json!({ "Reason": reason, "Type": "User", "message": "Rate Exceeded." });
                (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", document)
            }
            Refused::Service(message) => {
                let document = json!({ "Type": "Service", "Message": message });
                (StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", document)
            }
        }
    }
}
