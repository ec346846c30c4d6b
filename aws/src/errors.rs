//! From the SDK's errors to ours: who must act, what was being done, how long it took.

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use kinglet_core::{Code, Error};
use std::fmt::Display;
use tokio::time::Instant;

/// An operation and when it began: made before a request, used when the request fails.
pub(crate) struct Doing<D> {
    what: D,
    since: Instant,
    /// The region that is asked, where an error may name another.
    region: Option<String>,
}

impl<D: Display> Doing<D> {
    pub(crate) fn now(what: D) -> Self {
        Doing { what, since: Instant::now(), region: None }
    }

    /// Returns the same, asked of this region.
    pub(crate) fn in_region(self, region: Option<String>) -> Self {
        Doing { region, ..self }
    }

    /// Returns the error of a bucket in another region than the one that was asked.
    fn elsewhere(&self, message: &str, there: Option<&str>) -> Error {
        let asked = self.region.as_deref().unwrap_or("the region that was asked");
        let (named, hint) = match there {
            Some(there) => (
                format!("{message}: the bucket is in {there}, and {asked} was asked"),
                format!("use a stack in {there}, or copy the objects to a bucket in {asked}"),
            ),
            None => (
                format!("{message}: the bucket is not in {asked}"),
                format!("use a stack in the bucket's region, or copy the objects to a bucket in {asked}"),
            ),
        };
        Error::new(Code::Region, named).with_hint(hint)
    }

    /// Returns our error for a failed request, classified by the service's own code, such as `PreconditionFailed`.
    pub(crate) fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let took = self.since.elapsed().as_secs_f64();
        let what = &self.what;
        let Some(service) = error.as_service_error() else {
            if let Some(cause) = credentials_error(error) {
                return no_credentials(what, cause);
            }
            let cause = causes(error);
            return Error::new(Code::Unreachable, format!("{what}: {cause} ({took:.1} s)"))
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
        // An answer that is not in the service's documented form, as a proxy's, has no message: the SDK's causes say what it
        // met.
        let met = || format!("HTTP status {status}, {}", causes(service));
        let said = &service.message().map_or_else(met, str::to_owned);
        if matches!(code, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") {
            let there = error.raw_response().and_then(|r| r.headers().get("x-amz-bucket-region"));
            return self.elsewhere(&format!("{what}: {code}: {said} ({took:.1} s)"), there);
        }
        classified(code, status, said, |kind| format!("{what}: {kind}{code}: {said} ({took:.1} s)"))
    }
}

/// Returns the error of one part of a request for several things, such as one key of many; it has a code and no status.
pub(crate) fn of_code(what: &str, code: Option<&str>, said: &str) -> Error {
    let code = code.unwrap_or("Unknown");
    let status = if matches!(code, "InternalError" | "ServiceUnavailable") { 503 } else { 0 };
    classified(code, status, said, |kind| format!("{what}: {kind}{code}: {said}"))
}

/// Classifies an error by the service's code: who must act.
fn classified(code: &str, status: u16, said: &str, message: impl Fn(&str) -> String) -> Error {
    match code {
        "AccessDenied" | "AccessDeniedException" | "AllAccessDisabled" | "UnauthorizedOperation" => {
            Error::new(Code::AccessDenied, message("access denied: "))
                .with_hint("the role or user that asks needs permission for it")
        }
        // A signature that is too old points to the clock, whatever the code.
        "RequestTimeTooSkewed" | "RequestExpired" => clock(message("")),
        "InvalidSignatureException" | "SignatureDoesNotMatch" if said.starts_with("Signature ") => clock(message("")),
        "ExpiredToken" | "ExpiredTokenException" => {
            Error::new(Code::CredentialsExpired, message("the credentials have expired: "))
                .with_hint("sign in again, as by `aws login` or `aws sso login`, or renew the keys in the environment")
        }
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "MissingAuthenticationToken"
        | "IncompleteSignature"
        | "InvalidSignatureException" => Error::new(Code::Credentials, message(""))
            .with_hint("check the AWS credentials: `aws sts get-caller-identity` shows whose are used"),
        "NoSuchBucket" => Error::new(Code::BucketMissing, message("")).with_hint("create the bucket or mend its name"),
        "NoSuchKey" | "NotFound" | "NoSuchVersion" => Error::new(Code::ObjectMissing, message("")),
        "NoSuchUpload" => Error::new(Code::UploadGone, message("")),
        "PreconditionFailed" => Error::new(Code::Precondition, message("")),
        // Another process writes to the same object at the same time.
        "ConditionalRequestConflict" | "OperationAborted" | "TransactionConflictException" => {
            Error::new(Code::Service, message(""))
        }
        "InvalidRange" => Error::new(Code::Range, message("")),
        "InsufficientStorage" => Error::new(Code::NoSpace, message("")).with_hint("free some disk space"),
        "ResourceNotFoundException" => {
            Error::new(Code::ResourceMissing, message("")).with_hint("deploy the stack, or check its name and region")
        }
        "EntityTooLarge"
        | "ItemCollectionSizeLimitExceededException"
        | "RequestEntityTooLargeException"
        | "RequestTooLargeException" => Error::new(Code::TooLarge, message("")),
        _ if is_throttle(code) || status == 429 => Error::new(Code::Throttled, message("throttled: ")).with_hint(
            "too much runs at once for the account's limits: wait, lower --concurrency, or ask AWS for more",
        ),
        "RequestTimeout" | "InternalServerError" | "TransactionInProgressException" => {
            Error::new(Code::Service, message(""))
        }
        _ if (500..600).contains(&status) => Error::new(Code::Service, message("")),
        _ => Error::new(Code::Rejected, message("")),
    }
}

fn clock(message: String) -> Error {
    Error::new(Code::Clock, message).with_hint("set this machine's clock: AWS refuses what is more than 5 minutes off")
}

/// Returns the SDK's error of getting credentials, if that is why a request was not sent.
fn credentials_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a CredentialsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<CredentialsError>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn no_credentials(what: &dyn Display, error: &CredentialsError) -> Error {
    let cause = causes(error);
    match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            // The cause lists all places that were looked at.
            tracing::debug!(cause, "no credentials");
            Error::new(Code::CredentialsMissing, format!("{what}: there are no AWS credentials")).with_hint(
                "sign in with `aws login` or `aws configure`, name a profile with --profile, or set AWS_ACCESS_KEY_ID",
            )
        }
        CredentialsError::ProviderTimedOut(_) => {
            Error::new(Code::CredentialsProvider, format!("{what}: asking for AWS credentials: {cause}"))
                .with_hint("the provider of the profile's credentials does not answer: check the network")
        }
        _ => Error::new(Code::Credentials, format!("{what}: having AWS credentials: {cause}"))
            .with_hint("sign in again, as by `aws login` or `aws sso login`, and check the profile"),
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
            | "RequestThrottledException"
            | "RequestThrottled"
            | "Throttling"
            | "LimitExceededException"
    )
}

/// Returns an error with all its causes on one line: the SDK's own text says only "dispatch failure".
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
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

/// Returns the service's code for an error, if the service sent one.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    let status = error.raw_response().map(|r| r.status().as_u16());
    let sent = error.as_service_error().and_then(|e| e.code()).map(str::to_owned);
    sent.or(match status {
        Some(412) => Some("PreconditionFailed".to_owned()),
        Some(404) => Some("NotFound".to_owned()),
        _ => None,
    })
}
