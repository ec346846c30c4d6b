//! Signatures of version 4, by which the embedded DynamoDB and Lambda know that a request comes from this runtime: another
//! process of the machine can find their ports, and must not read, write or run anything there. S3's are checked by `s3s`.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>, 2026-11.
//!
//! ```text
//! Authorization: AWS4-HMAC-SHA256 Credential=KINGLET…/20261121/us-east-1/dynamodb/aws4_request,
//!                SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=5fa0…
//! ```
//!
//! **Checked** are the access key, the service, that host and time are signed, and the signature itself: over method, path, query,
//! the signed headers and the SHA-256 of the body. **Not checked** are the region, which the signature covers, and the time's
//! distance from this machine's clock, as the two are the same machine's: who could send a request a second time could read its
//! keys. Signatures in the query (presigned URLs) are refused.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use std::fmt::{self, Write as _};

/// The one pair of keys that requests to this runtime are signed with.
#[derive(Clone)]
pub struct Keys {
    /// The access key id.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: String,
}

/// Without the secret.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsigned {
    /// It is not signed, or its signature lacks a part.
    Missing,
    /// It is signed with another access key.
    OtherKey,
    /// It is signed with another secret, or for something else.
    Wrong,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: &str = "x-amz-date";
const BODY_HASH: &str = "x-amz-content-sha256";

/// What a request says about its signature.
struct Claim<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    headers: &'a str,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    fn read(authorization: &'a str) -> Option<Self> {
        let fields = authorization.strip_prefix(ALGORITHM)?;
        let field = |name: &str| {
            let mut fields = fields.split(',').filter_map(|field| field.trim().split_once('='));
            fields.find(|(found, _)| *found == name).map(|(_, value)| value)
        };
        let mut scope = field("Credential")?.split('/');
        let mut next = || scope.next();
        let (access_key, date, region, service) = (next()?, next()?, next()?, next()?);
        let is_whole = next() == Some("aws4_request") && next().is_none();
        let (headers, signature) = (field("SignedHeaders")?, field("Signature")?);
        is_whole.then_some(Claim { access_key, date, region, service, headers, signature })
    }
}

/// Checks that a request to a service is signed with these keys.
pub(crate) fn check(head: &Parts, body: &[u8], service: &str, keys: &Keys) -> Result<(), Unsigned> {
    let authorization = head.headers.get(AUTHORIZATION).ok_or(Unsigned::Missing)?;
    let claim = authorization.to_str().ok().and_then(Claim::read).ok_or(Unsigned::Missing)?;
    if claim.access_key != keys.access_key {
        return Err(Unsigned::OtherKey);
    }
    let signs = |name: &str| claim.headers.split(';').any(|signed| signed == name);
    let time = head.headers.get(DATE).and_then(|time| time.to_str().ok()).ok_or(Unsigned::Missing)?;
    if !signs(HOST.as_str()) || !signs(DATE) || !time.starts_with(claim.date) || claim.service != service {
        return Err(Unsigned::Wrong);
    }
    let given = unhex(claim.signature).ok_or(Unsigned::Wrong)?;
    // Compared in constant time.
    signing(head, body, &claim, time, keys).ok_or(Unsigned::Wrong)?.verify_slice(&given).map_err(|_| Unsigned::Wrong)
}

/// Returns the signature that the request should have, not finished yet.
fn signing(head: &Parts, body: &[u8], claim: &Claim<'_>, time: &str, keys: &Keys) -> Option<Hmac<Sha256>> {
    let scope = format!("{}/{}/{}/aws4_request", claim.date, claim.region, claim.service);
    let request = hex(&Sha256::digest(canonical(head, body, claim.headers)?));
    let mut key = format!("AWS4{}", keys.secret_key).into_bytes();
    for part in [claim.date, claim.region, claim.service, "aws4_request"] {
        key = hmac(&key, part)?.finalize().into_bytes().to_vec();
    }
    hmac(&key, &format!("{ALGORITHM}\n{time}\n{scope}\n{request}"))
}

/// Returns the request as its sender and this server must both write it down.
fn canonical(head: &Parts, body: &[u8], signed: &str) -> Option<String> {
    let mut out = format!("{}\n{}\n{}\n", head.method, encoded(head.uri.path(), PATH), query(head.uri.query()));
    for name in signed.split(';') {
        let mut values = head.headers.get_all(name).iter().peekable();
        values.peek()?;
        let values = values.map(|value| value.to_str().ok().map(squeezed)).collect::<Option<Vec<_>>>()?;
        let _ = writeln!(out, "{name}:{}", values.join(","));
    }
    // A body whose sender did not hash it has a word in place of its hash, which is signed as well.
    let unhashed = head.headers.get(BODY_HASH).filter(|hash| hash.as_bytes() == b"UNSIGNED-PAYLOAD");
    let hash = unhashed.map_or_else(|| hex(&Sha256::digest(body)), |_| "UNSIGNED-PAYLOAD".to_owned());
    let _ = write!(out, "\n{signed}\n{hash}");
    Some(out)
}

/// What stays as it is: letters, digits and these.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

fn encoded(text: &str, set: &'static AsciiSet) -> String {
    utf8_percent_encode(text, set).to_string()
}

/// Returns the query's parameters in order.
fn query(query: Option<&str>) -> String {
    let plain = |text: &str| encoded(&percent_decode_str(text).decode_utf8_lossy(), UNRESERVED);
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<_> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (plain(name), plain(value)))
        .collect();
    pairs.sort_unstable();
    pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Returns a header's value with one space for several.
fn squeezed(value: &str) -> String {
    value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn hmac(key: &[u8], text: &str) -> Option<Hmac<Sha256>> {
    let mut hmac = Hmac::new_from_slice(key).ok()?;
    hmac.update(text.as_bytes());
    Some(hmac)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use http::Request;

    /// Returns the headers that sign a request to `service`, lines of a raw request.
    pub(crate) fn signed(line: &str, host: &str, body: &[u8], service: &str, keys: &Keys) -> [String; 2] {
        let (method, path) = line.split_once(' ').unwrap();
        let date = "20260101T000000Z";
        let head = Request::builder().method(method).uri(path).header(HOST, host).header(DATE, date);
        let (head, ()) = head.body(()).unwrap().into_parts();
        let claim = Claim {
            access_key: &keys.access_key,
            date: &date[..8],
            region: "us-east-1",
            service,
            headers: "host;x-amz-date",
            signature: "",
        };
        let signature = hex(&signing(&head, body, &claim, date, keys).unwrap().finalize().into_bytes());
        let credential = format!("{}/20260101/us-east-1/{service}/aws4_request", keys.access_key);
        let signed = "SignedHeaders=host;x-amz-date";
        [
            format!("{DATE}: {date}"),
            format!("authorization: {ALGORITHM} Credential={credential}, {signed}, Signature={signature}"),
        ]
    }

    fn keys() -> Keys {
        let secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned();
        Keys { access_key: "AKIDEXAMPLE".to_owned(), secret_key }
    }

    /// A request of AWS's own test suite for signatures of version 4.
    fn request(method: &str, target: &str, signature: &str) -> Parts {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature={signature}"
        );
        let request = Request::builder().method(method).uri(target).header(HOST, "example.amazonaws.com");
        let request = request.header(DATE, "20150830T123600Z").header(AUTHORIZATION, authorization);
        request.body(()).unwrap().into_parts().0
    }

    const GET: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    const POST: &str = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
    const QUERY: &str = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";

    #[test]
    fn aws_own_examples_are_accepted() {
        for (method, target, signature) in
            [("GET", "/", GET), ("POST", "/", POST), ("GET", "/?Param2=value2&Param1=value1", QUERY)]
        {
            assert_eq!(
                check(&request(method, target, signature), b"", "service", &keys()),
                Ok(()),
                "{method} {target}"
            );
        }
    }

    #[test]
    fn another_request_key_secret_or_service_is_refused() {
        let good = || request("GET", "/", GET);
        let wrong = Err(Unsigned::Wrong);
        assert_eq!(check(&good(), b"a body", "service", &keys()), wrong);
        assert_eq!(check(&good(), b"", "other", &keys()), wrong);
        assert_eq!(check(&request("POST", "/", GET), b"", "service", &keys()), wrong);
        assert_eq!(check(&request("GET", "/x", GET), b"", "service", &keys()), wrong);
        assert_eq!(check(&request("GET", "/?x", GET), b"", "service", &keys()), wrong);
        assert_eq!(check(&request("GET", "/", ""), b"", "service", &keys()), wrong);
        assert_eq!(check(&request("GET", "/", &GET[..62]), b"", "service", &keys()), wrong);
        assert_eq!(
            check(&request("GET", "/", &format!("{}é", &GET[..62])), b"", "service", &keys()),
            Err(Unsigned::Missing)
        );
        let secret_key = "another".to_owned();
        assert_eq!(check(&good(), b"", "service", &Keys { secret_key, ..keys() }), wrong);
        let access_key = "AKIDOTHER".to_owned();
        assert_eq!(check(&good(), b"", "service", &Keys { access_key, ..keys() }), Err(Unsigned::OtherKey));
        let with = |name: &'static str, value: Option<&str>| {
            let mut head = good();
            match value {
                Some(value) => head.headers.insert(name, value.parse().unwrap()),
                None => head.headers.remove(name),
            };
            check(&head, b"", "service", &keys())
        };
        assert_eq!(with("host", Some("elsewhere")), wrong);
        assert_eq!(with(DATE, Some("20150830T123601Z")), wrong);
        assert_eq!(with(DATE, None), Err(Unsigned::Missing));
        assert_eq!(with("host", None), wrong);
        for authorization in
            ["", "Basic eDp5", ALGORITHM, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE", "AWS4-HMAC-SHA256 Signature="]
        {
            assert_eq!(with("authorization", Some(authorization)), Err(Unsigned::Missing), "{authorization}");
        }
        assert_eq!(with("authorization", None), Err(Unsigned::Missing));
    }

    #[test]
    fn what_must_be_signed_cannot_be_left_out() {
        let mut head = request("GET", "/", GET);
        let unsigned_time = head.headers[AUTHORIZATION].to_str().unwrap().replace("host;x-amz-date", "host");
        head.headers.insert(AUTHORIZATION, unsigned_time.parse().unwrap());
        assert_eq!(check(&head, b"", "service", &keys()), Err(Unsigned::Wrong));
    }

    #[test]
    fn keys_are_printed_without_their_secret() {
        let shown = format!("{:?}", keys());
        assert!(shown.contains("AKIDEXAMPLE") && !shown.contains("wJalr"), "{shown}");
    }
}
