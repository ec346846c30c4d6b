//! What a client claims about the bytes that it sends, and whether the claim is true.
//!
//! A claim comes in one of three ways: as `Content-MD5`, as an `x-amz-checksum-*` header, or (the SDKs' default) as a trailer
//! of that name, whose value is known only after the body.

use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::Checksum;
use s3s::{S3Result, TrailingHeaders, s3_error};

const PREFIX: &str = "x-amz-checksum-";
const NAMES: [&str; 5] = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];

/// The client's claims about its bytes.
#[derive(Default)]
pub(super) struct Claims {
    headers: HeaderMap,
    content_md5: Option<String>,
    trailers: Option<TrailingHeaders>,
}

impl Claims {
    pub(super) fn new(headers: HeaderMap, content_md5: Option<String>, trailers: Option<TrailingHeaders>) -> Self {
        Self { headers, content_md5, trailers }
    }

    /// Returns a hasher for the sums that have to be compared, and no others.
    pub(super) fn digest(&self) -> Digest {
        let wanted = |name: &str| is_brought(&self.headers, name);
        Digest {
            etag: Crc64Nvme::new(),
            bytes: 0,
            md5: self.content_md5.as_ref().map(|_| Md5::new()),
            claimed: ChecksumHasher {
                crc32: wanted("crc32").then(Crc32::new),
                crc32c: wanted("crc32c").then(Crc32c::new),
                crc64nvme: wanted("crc64nvme").then(Crc64Nvme::new),
                sha1: wanted("sha1").then(Sha1::new),
                sha256: wanted("sha256").then(Sha256::new),
            },
        }
    }

    /// Compares the sums. The whole body was read, so the trailers are there.
    fn verify(&self, found: &Checksum, md5: Option<&str>) -> S3Result<()> {
        if let (Some(claimed), Some(found)) = (&self.content_md5, md5)
            && claimed != found
        {
            return Err(s3_error!(BadDigest, "Content-MD5 is {claimed}, but the body received has {found}"));
        }
        let trailers = self.trailers.as_ref().and_then(TrailingHeaders::take).unwrap_or_default();
        for (name, found) in NAMES.into_iter().zip(by_name(found)) {
            let full = format!("{PREFIX}{name}");
            let claimed = self.headers.get(&full).or_else(|| trailers.get(&full)).and_then(|value| value.to_str().ok());
            match (claimed, found) {
                (Some(claimed), Some(found)) if claimed != found => {
                    return Err(s3_error!(BadDigest, "{full} is {claimed}, but the body received has {found}"));
                }
                (None, Some(_)) => {
                    return Err(s3_error!(InvalidRequest, "the trailer {full} was announced and not sent"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns whether a request brings this checksum, as a header or as a trailer.
fn is_brought(headers: &HeaderMap, name: &str) -> bool {
    let full = format!("{PREFIX}{name}");
    let announced = |value: &http::HeaderValue| {
        value.to_str().is_ok_and(|names| names.split(',').any(|one| one.trim().eq_ignore_ascii_case(&full)))
    };
    headers.contains_key(&full) || headers.get_all("x-amz-trailer").iter().any(announced)
}

/// Returns the name of the checksum that a request brings; `None` if it brings none.
pub(super) fn brought(headers: &HeaderMap) -> Option<&'static str> {
    NAMES.into_iter().find(|name| is_brought(headers, name))
}

/// Running sums over a body.
pub(super) struct Digest {
    etag: Crc64Nvme,
    bytes: u64,
    md5: Option<Md5>,
    claimed: ChecksumHasher,
}

/// The sums of a whole body.
pub(super) struct Digested {
    pub(super) etag: String,
    pub(super) checksum: Checksum,
}

impl Digest {
    pub(super) fn update(&mut self, data: &[u8]) {
        self.etag.update(data);
        self.bytes += data.len() as u64;
        if let Some(md5) = &mut self.md5 {
            md5.update(data);
        }
        self.claimed.update(data);
    }

    /// Returns the sums and the ETag. The ETag differs for different content and is the same for the same bytes, like S3's.
    /// It is no MD5, which would cost more than everything else here; its suffix keeps clients from taking it for one and
    /// verifying it, as with S3's own multipart ETags.
    pub(super) fn finish(self, claims: &Claims) -> S3Result<Digested> {
        let md5 = self.md5.map(|md5| base64(&md5.finalize()));
        let checksum = self.claimed.finalize();
        claims.verify(&checksum, md5.as_deref())?;
        let crc = u64::from_be_bytes(self.etag.finalize());
        Ok(Digested { etag: format!("{crc:016x}{:016x}-1", self.bytes), checksum })
    }
}

/// Returns the ETag of an object of several parts, in S3's form.
pub(super) fn etag_of_parts<'a>(etags: impl ExactSizeIterator<Item = &'a str>) -> String {
    let (mut crc, count) = (Crc64Nvme::new(), etags.len());
    let mut bytes = 0;
    for etag in etags {
        crc.update(etag.as_bytes());
        bytes += etag.len();
    }
    format!("{:016x}{bytes:016x}-{count}", u64::from_be_bytes(crc.finalize()))
}

/// Returns the checksums in the order of [`NAMES`].
pub(super) fn by_name(checksum: &Checksum) -> [Option<&str>; 5] {
    [
        checksum.checksum_crc32.as_deref(),
        checksum.checksum_crc32c.as_deref(),
        checksum.checksum_crc64nvme.as_deref(),
        checksum.checksum_sha1.as_deref(),
        checksum.checksum_sha256.as_deref(),
    ]
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}
