//! The services: what a request asks, by which name its step is known, and what the service answers.
//!
//! S3 and DynamoDB are the engines of the embedded runtime, `s3s` with our buckets and `dynoxide`, called without a socket
//! between. Before them stands what they do not have: rates ([`rates`]), refusals, and the header `Date` of the services'
//! time. Lambda is [`crate::lambda`].

pub mod dynamodb;
pub mod rates;
pub mod s3;

use crate::faults::Kind;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::BodyExt;
use kinglet_core::model::{self, Latency};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// The keys that all machines sign with.
pub const ACCESS_KEY: &str = "SIM";
pub const SECRET_KEY: &str = "simulated";

/// A service of the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    S3,
    DynamoDb,
    Lambda,
}

/// A request, as it arrives at a service.
#[derive(Clone, Debug)]
pub struct Asked {
    pub service: Service,
    /// What is asked: `GET`, `UpdateItem`, `Invoke`, …
    pub operation: String,
    /// What it is asked of, without what differs from run to run.
    pub about: String,
    pub parts: Parts,
    pub body: Bytes,
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Parts {
    pub method: http::Method,
    pub uri: http::Uri,
    pub headers: http::HeaderMap,
}

impl Asked {
    /// Reads a request as the SDK hands it over.
    pub async fn of(request: HttpRequest) -> Result<Self, ConnectorError> {
        let other = |e: Box<dyn std::error::Error + Send + Sync>| ConnectorError::other(e, None);
        let request = request.try_into_http1x().map_err(|e| other(e.into()))?;
        let (parts, body) = request.into_parts();
        let body = match body.bytes() {
            Some(bytes) => Bytes::copy_from_slice(bytes),
            None => body.collect().await.map_err(other)?.to_bytes(),
        };
        let mut headers = parts.headers;
        // What hyper adds on the wire.
        if let (false, Some(authority)) = (headers.contains_key("host"), parts.uri.authority()) {
            headers.insert("host", http::HeaderValue::from_str(authority.as_str()).map_err(|e| other(e.into()))?);
        }
        let parts = Parts { method: parts.method, uri: parts.uri, headers };
        let (service, (operation, about)) = match parts.uri.host() {
            Some("s3.sim") => (Service::S3, s3::name(&parts)),
            Some("dynamodb.sim") => (Service::DynamoDb, dynamodb::name(&parts, &body)),
            _ => (Service::Lambda, crate::lambda::name(&parts, &body)),
        };
        Ok(Asked { service, operation, about, parts, body })
    }

    /// Returns the name of the step that this request is.
    pub fn step(&self) -> String {
        format!("{} {}", self.operation, self.about)
    }

    /// Returns how long a request of this service takes.
    pub fn latency(&self) -> Latency {
        use model::{dynamodb, lambda, s3};
        match (self.service, &*self.operation) {
            (Service::S3, "GET") => s3::GET,
            (Service::S3, "HEAD") => s3::HEAD,
            (Service::S3, "DELETE" | "POST?delete") => s3::DELETE,
            (Service::S3, "POST?uploads") => s3::CREATE_UPLOAD,
            (Service::S3, "POST?uploadId") => s3::COMPLETE_UPLOAD,
            (Service::S3, operation) if operation.starts_with("GET?") => s3::LIST,
            (Service::S3, _) => s3::PUT,
            (Service::DynamoDb, "GetItem") => dynamodb::GET,
            (Service::DynamoDb, "TransactWriteItems") => dynamodb::TRANSACT,
            (Service::DynamoDb, "PutItem" | "UpdateItem" | "DeleteItem") => dynamodb::UPDATE,
            (Service::DynamoDb, _) => dynamodb::QUERY,
            (Service::Lambda, _) => lambda::INVOKE_EVENT,
        }
    }

    /// Returns the faults that can strike the request.
    pub fn faults(&self) -> &'static [Kind] {
        match (self.service, &*self.operation) {
            (Service::S3, "GET") if self.parts.uri.path().contains("/runs/") => Kind::OF_RUNS,
            (Service::S3, "GET") => Kind::OF_READS,
            (Service::DynamoDb, "BatchWriteItem" | "BatchGetItem") => Kind::OF_BATCHES,
            _ => Kind::OF_ANY,
        }
    }

    /// Returns when the request was signed by its sender's clock, since 1970.
    pub fn signed_at(&self) -> Option<Duration> {
        let text = self.parts.headers.get("x-amz-date")?.to_str().ok()?;
        let number = |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<i64>().ok());
        let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
        let (hour, minute, second) = (number(9..11)?, number(11..13)?, number(13..15)?);
        let iso = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        let time = aws_smithy_types::DateTime::from_str(&iso, aws_smithy_types::date_time::Format::DateTime).ok()?;
        Some(Duration::from_secs(time.secs().unsigned_abs()))
    }

    /// Returns whether it reads an input, whose bytes may stand for more: an object of a user's, or made items.
    pub fn reads_input(&self) -> bool {
        let path = self.parts.uri.path();
        self.operation == "GET" && (path.starts_with("/input/") || path.ends_with("/items"))
    }

    /// Returns how many bytes of an object the request moves, as far as it says so.
    pub fn bytes_moved(&self) -> u64 {
        let range = self.parts.headers.get("range").and_then(|range| range.to_str().ok());
        let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        match range.and_then(|(from, to)| Some((from.parse::<u64>().ok()?, to.parse::<u64>().ok()?))) {
            Some((from, to)) => (to + 1).saturating_sub(from),
            None => self.body.len() as u64,
        }
    }
}

/// Replaces what differs from run to run in a name: ids and other long strings of digits and letters, and numbers that are
/// random.
pub fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for word in name.split_inclusive(['/', '#', '.', '-', '?', '&', '=']) {
        let (text, end) = match word.char_indices().last() {
            Some((at, end)) if !end.is_ascii_alphanumeric() && end != '_' => (&word[..at], &word[at..]),
            _ => (word, ""),
        };
        let is_id = text.len() >= 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
        plain.push_str(if is_id { "*" } else { text });
        plain.push_str(end);
    }
    plain
}

/// Returns a body of these bytes.
pub fn whole(bytes: Bytes) -> SdkBody {
    SdkBody::from(bytes)
}

/// Returns a body that breaks off after half of the bytes.
pub fn half(bytes: Bytes) -> SdkBody {
    SdkBody::from_body_1_x(Broken { left: Some(bytes.slice(..bytes.len() / 2)), bytes: bytes.len() as u64 })
}

/// Returns a body that takes so long, and comes in pieces of half a second each: nobody takes that for a body that has stopped.
pub fn slow(bytes: Bytes, takes: Duration) -> SdkBody {
    let pieces = ((2 * takes.as_secs()) as usize).clamp(1, bytes.len().max(1));
    let sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
    SdkBody::from_body_1_x(Slow {
        piece: bytes.len().div_ceil(pieces),
        each: takes / pieces as u32,
        left: bytes,
        sleep,
    })
}

/// A body whose bytes come slowly.
struct Slow {
    left: Bytes,
    /// How many bytes come at once, and how long each such piece takes.
    piece: usize,
    each: Duration,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        std::task::ready!(self.sleep.as_mut().poll(context));
        let next = tokio::time::Instant::now() + self.each;
        self.sleep.as_mut().reset(next);
        let piece = self.piece.min(self.left.len());
        Poll::Ready(Some(Ok(http_body::Frame::data(self.left.split_to(piece)))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left.len() as u64)
    }
}

/// A body that breaks off.
struct Broken {
    left: Option<Bytes>,
    bytes: u64,
}

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(match self.left.take() {
            Some(bytes) => Ok(http_body::Frame::data(bytes)),
            None => Err(Box::new(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the body broke off"))),
        }))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_steps_do_not_depend_on_ids() {
        assert_eq!(plain("jobs/0193abcd12345678/runs/000003.00001/2-89abcdef"), "jobs/*/runs/000003.00001/2-*");
        assert_eq!(plain("part-00001"), "part-00001");
    }
}
