//! `If-Match`, `If-None-Match` and their kin.
//!
//! Writes are checked twice: before the body is received, to fail early, and again where the object is put in place,
//! under whatever makes that step atomic. Only the second decides.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue};
use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Result, s3_error};

use super::errors::no_such_key;
use super::info::Info;

/// What a write requires of the object it replaces or deletes.
#[derive(Debug, Clone, Default)]
pub(super) struct WriteCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

impl WriteCondition {
    /// Returns whether the object must not exist yet.
    pub(super) fn creates(&self) -> bool {
        matches!(self.if_none_match, Some(ETagCondition::Any))
    }

    /// Checks the condition; `current` is the ETag of the object that is there now.
    pub(super) fn check(&self, key: &str, current: Option<&str>) -> S3Result<()> {
        if let Some(wanted) = &self.if_match {
            // S3 answers 404 and not 412 if there is nothing to match.
            let current = current.ok_or_else(|| no_such_key(key))?;
            if !matches(wanted, current) {
                return Err(s3_error!(PreconditionFailed, "If-Match: {key:?} has another ETag, \"{current}\""));
            }
        }
        match (&self.if_none_match, current) {
            (Some(unwanted), Some(current)) if matches(unwanted, current) => {
                Err(s3_error!(PreconditionFailed, "If-None-Match: {key:?} exists, with ETag \"{current}\""))
            }
            _ => Ok(()),
        }
    }
}

/// What a read requires of the object.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) modified_since: Option<Timestamp>,
    pub(super) unmodified_since: Option<Timestamp>,
}

impl ReadCondition {
    /// Checks the conditions in the order of RFC 9110, section 13.2.2: an ETag outranks a date.
    pub(super) fn check(&self, key: &str, info: &Info) -> S3Result<()> {
        let modified = whole_seconds(info.modified);
        let failed = match (&self.if_match, &self.unmodified_since) {
            (Some(wanted), _) => !matches(wanted, &info.etag),
            (None, Some(since)) => modified > *since,
            (None, None) => false,
        };
        if failed {
            return Err(s3_error!(PreconditionFailed, "{key:?} now has ETag \"{}\"", info.etag));
        }
        let unchanged = match (&self.if_none_match, &self.modified_since) {
            (Some(known), _) => matches(known, &info.etag),
            (None, Some(since)) => modified <= *since,
            (None, None) => false,
        };
        if unchanged {
            let mut err = s3_error!(NotModified);
            if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", info.etag)) {
                err.set_headers(HeaderMap::from_iter([(http::header::ETAG, etag)]));
            }
            return Err(err);
        }
        Ok(())
    }
}

fn matches(condition: &ETagCondition, current: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(ETag::Strong(etag) | ETag::Weak(etag)) => etag == current,
    }
}

/// Cuts a time to whole seconds: HTTP dates have no fractions, and would otherwise never be equal.
fn whole_seconds(time: SystemTime) -> Timestamp {
    let secs = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Timestamp::from(UNIX_EPOCH + Duration::from_secs(secs))
}
