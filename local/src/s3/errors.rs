//! The errors that S3 would give, and those that only a local disk can.

use std::io;
use std::path::Path;

use http::{HeaderMap, HeaderValue, StatusCode};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

pub(super) fn no_such_bucket(name: &str) -> S3Error {
    s3_error!(NoSuchBucket, "the bucket {name:?} does not exist")
}

pub(super) fn no_such_key(key: &str) -> S3Error {
    s3_error!(NoSuchKey, "the key {key:?} does not exist")
}

pub(super) fn read_only(key: &str) -> S3Error {
    s3_error!(AccessDenied, "{key:?} lies in a local input, which is served read-only")
}

/// Returns an error with a code of our own, where S3 has none.
pub(super) fn custom(code: &str, status: StatusCode, message: String) -> S3Error {
    let code = S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::InternalError);
    let mut err = S3Error::with_message(code, message);
    err.set_status_code(status);
    err
}

pub(super) fn invalid_range(size_bytes: u64) -> S3Error {
    let mut err = s3_error!(InvalidRange, "the requested range is not satisfiable: the object has {size_bytes} bytes");
    if let Ok(range) = HeaderValue::from_str(&format!("bytes */{size_bytes}")) {
        err.set_headers(HeaderMap::from_iter([(http::header::CONTENT_RANGE, range)]));
    }
    err
}

/// Returns an error of the file system that names the action and the file.
pub(super) fn io_error(action: &str, path: &Path, err: &io::Error) -> S3Error {
    use io::ErrorKind as E;
    let message = format!("{action} {}: {err}", path.display());
    match err.kind() {
        E::PermissionDenied | E::ReadOnlyFilesystem => s3_error!(AccessDenied, "{message}"),
        // S3 never runs full, so it has no code for this. SDKs retry a 5xx, here in vain: a clear error would only come
        // later. So this is a client error, which none retries.
        E::StorageFull | E::QuotaExceeded | E::FileTooLarge => {
            custom("InsufficientStorage", StatusCode::BAD_REQUEST, message)
        }
        E::InvalidFilename => s3_error!(KeyTooLongError, "{message}"),
        E::NotADirectory | E::IsADirectory | E::DirectoryNotEmpty | E::AlreadyExists => {
            s3_error!(InvalidRequest, "{message}")
        }
        _ => s3_error!(InternalError, "{message}"),
    }
}

/// Returns whether the error means that there is no such object, whatever is in its place.
pub(super) fn is_absent(err: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(err.kind(), E::NotFound | E::NotADirectory | E::InvalidFilename)
        || err.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Runs `work`, which may block on a disk, on a thread where it holds up no other request.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> S3Result<T> + Send + 'static) -> S3Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(err) => Err(s3_error!(InternalError, "a task of the embedded S3 server failed: {err}")),
    }
}
