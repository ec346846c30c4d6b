//! From the SDK's errors to ours: who must act, what was being done, how long it took.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use kinglet_core::Error;
use std::fmt::Display;
use std::time::Instant;

/// What is being done, since when: made before a request, used when it fails.
pub(crate) struct Doing<D> {
    what: D,
    since: Instant,
}

impl<D: Display> Doing<D> {
    pub(crate) fn now(what: D) -> Self {
        Doing { what, since: Instant::now() }
    }

    /// The service's own code for an error, `PreconditionFailed` among others.
    pub(crate) fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let took = self.since.elapsed().as_secs_f64();
        let what = &self.what;
        let Some(service) = error.as_service_error() else {
            let cause = causes(error);
            return Error::service("unreachable", format!("{what}: {cause} ({took:.1} s)"))
                .with_hint("the service could not be reached: check the network, the region and the endpoint");
        };
        let status = error.raw_response().map_or(0, |r| r.status().as_u16());
        let code = service.code().unwrap_or(match status {
            403 => "AccessDenied",
            404 => "NotFound",
            412 => "PreconditionFailed",
            503 => "SlowDown",
            _ => "Unknown",
        });
        let said = service.message().unwrap_or("no message");
        let message = |kind: &str| format!("{what}: {kind}{code}: {said} ({took:.1} s)");
        match code {
            "AccessDenied" | "AccessDeniedException" | "AllAccessDisabled" | "UnauthorizedOperation" => {
                Error::input("access-denied", message("access denied: "))
                    .with_hint("the role or user that asks needs permission for it")
            }
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException" => {
                Error::input("credentials", message("")).with_hint("check or renew the AWS credentials")
            }
            "NoSuchBucket" => {
                Error::input("bucket-missing", message("")).with_hint("create the bucket or mend its name")
            }
            "NoSuchKey" | "NotFound" => Error::input("object-missing", message("")),
            "PreconditionFailed" => Error::input("precondition", message("")),
            "InvalidRange" => Error::input("range", message("")),
            "PermanentRedirect" | "AuthorizationHeaderMalformed" => {
                Error::input("region", message("")).with_hint("the bucket is in another region: set AWS_REGION to it")
            }
            "InsufficientStorage" => Error::limit("no-space", message("")).with_hint("free some disk space"),
            "ResourceNotFoundException" => Error::stale("resource-missing", message(""))
                .with_hint("deploy the stack, or check its name and region"),
            "EntityTooLarge"
            | "ItemCollectionSizeLimitExceededException"
            | "RequestEntityTooLargeException"
            | "RequestTooLargeException" => Error::limit("too-large", message("")),
            _ if (500..600).contains(&status) || is_throttle(code) => Error::service("service", message("")),
            _ if status == 429 => Error::service("throttled", message("")),
            _ => Error::input("rejected", message("")),
        }
    }
}

fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "SlowDown"
            | "ThrottlingException"
            | "TooManyRequestsException"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "TransactionInProgressException"
            | "RequestTimeout"
            | "InternalServerError"
            | "LimitExceededException"
    )
}

/// An error with all its causes on one line: the SDK's own text says only "dispatch failure".
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

/// The service's code for an error, if it sent one.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    let status = error.raw_response().map(|r| r.status().as_u16());
    let sent = error.as_service_error().and_then(|e| e.code()).map(str::to_owned);
    sent.or(match status {
        Some(412) => Some("PreconditionFailed".to_owned()),
        Some(404) => Some("NotFound".to_owned()),
        _ => None,
    })
}
