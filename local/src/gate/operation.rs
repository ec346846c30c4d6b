//! Naming the operation that a request asks for.

use super::Service;
use http::{HeaderMap, Method, Uri};

/// Sub-resources that are named nowhere else here. A request for one of them is not for the object or the bucket itself.
const OTHER_SUBRESOURCES: [&str; 12] = [
    "acl",
    "attributes",
    "cors",
    "encryption",
    "legal-hold",
    "lifecycle",
    "policy",
    "retention",
    "tagging",
    "torrent",
    "versioning",
    "versions",
];

/// Returns the operation's name in the service's reference, or an empty text.
pub(super) fn operation<'a>(service: Service, method: &Method, uri: &Uri, headers: &'a HeaderMap) -> &'a str {
    match service {
        Service::S3 => s3(method, uri, headers.contains_key("x-amz-copy-source")),
        Service::DynamoDb => headers
            .get("x-amz-target")
            .and_then(|target| target.to_str().ok()?.split_once('.'))
            .map_or("", |(_, operation)| operation),
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html>, path-style.
fn s3(method: &Method, uri: &Uri, copies: bool) -> &'static str {
    let names: Vec<&str> =
        uri.query().unwrap_or("").split('&').map(|pair| pair.split('=').next().unwrap_or("")).collect();
    let has = |name: &str| names.contains(&name);
    if OTHER_SUBRESOURCES.iter().any(|name| has(name)) {
        return "";
    }
    let (bucket, key) = uri.path().trim_start_matches('/').split_once('/').unwrap_or((uri.path(), ""));
    match (method.as_str(), key.is_empty()) {
        ("GET", true) if bucket == "/" => "ListBuckets",
        ("GET", true) if has("list-type") => "ListObjectsV2",
        ("GET", true) if has("uploads") => "ListMultipartUploads",
        ("GET", true) if has("location") => "GetBucketLocation",
        ("GET", true) => "ListObjects",
        ("HEAD", true) => "HeadBucket",
        ("PUT", true) => "CreateBucket",
        ("DELETE", true) => "DeleteBucket",
        ("POST", true) if has("delete") => "DeleteObjects",
        ("GET", false) if has("uploadId") => "ListParts",
        ("GET", false) => "GetObject",
        ("HEAD", false) => "HeadObject",
        ("PUT", false) if has("uploadId") && copies => "UploadPartCopy",
        ("PUT", false) if has("uploadId") => "UploadPart",
        ("PUT", false) if copies => "CopyObject",
        ("PUT", false) => "PutObject",
        ("POST", false) if has("uploads") => "CreateMultipartUpload",
        ("POST", false) if has("uploadId") => "CompleteMultipartUpload",
        ("DELETE", false) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", false) => "DeleteObject",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_their_names() {
        for (method, uri, copies, name) in [
            ("GET", "/", false, "ListBuckets"),
            ("GET", "/b?list-type=2&prefix=x", false, "ListObjectsV2"),
            ("GET", "/b/?list-type=2", false, "ListObjectsV2"),
            ("GET", "/b?uploads&prefix=p", false, "ListMultipartUploads"),
            ("POST", "/b?delete", false, "DeleteObjects"),
            ("PUT", "/b", false, "CreateBucket"),
            ("PUT", "/b/a/k?x-id=PutObject", false, "PutObject"),
            ("PUT", "/b//k", false, "PutObject"),
            ("PUT", "/b/k", true, "CopyObject"),
            ("PUT", "/b/k?partNumber=1&uploadId=u", false, "UploadPart"),
            ("PUT", "/b/k?partNumber=1&uploadId=u", true, "UploadPartCopy"),
            ("POST", "/b/k?uploads", false, "CreateMultipartUpload"),
            ("POST", "/b/k?uploadId=u", false, "CompleteMultipartUpload"),
            ("DELETE", "/b/k?uploadId=u&x-id=AbortMultipartUpload", false, "AbortMultipartUpload"),
            ("GET", "/b/k?uploadId=u", false, "ListParts"),
            ("GET", "/b/k?tagging", false, ""),
            ("HEAD", "/b/k", false, "HeadObject"),
        ] {
            let (parsed, uri_parsed) = (Method::from_bytes(method.as_bytes()).unwrap(), uri.parse().unwrap());
            assert_eq!(s3(&parsed, &uri_parsed, copies), name, "{method} {uri}");
        }
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-amz-target"),
            http::HeaderValue::from_static("DynamoDB_20120810.UpdateItem"),
        )]);
        assert_eq!(operation(Service::DynamoDb, &Method::POST, &Uri::from_static("/"), &headers), "UpdateItem");
    }
}
