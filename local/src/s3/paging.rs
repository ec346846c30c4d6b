//! One page of a listing, from anything that can be walked in key order from a given point.
//!
//! Keys are ordered by their bytes, as on S3; `str` compares in the same way: `a.txt` comes before `a/b`.

use std::ops::Bound;
use std::time::SystemTime;

use s3s::{S3Result, s3_error};

/// The most keys of a page. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
pub(super) const PAGE_KEYS_MAX: usize = 1_000;

/// What to list.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    pub(super) prefix: String,
    pub(super) delimiter: Option<String>,
    pub(super) after: Option<After>,
    /// The most keys and common prefixes together.
    pub(super) keys_max: usize,
    /// The walk that this page continues.
    pub(super) snapshot: Option<u64>,
}

/// The point after which a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct After {
    pub(super) key: String,
    /// Whether `key` is a common prefix, which has covered all keys under it.
    pub(super) rolled_up: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) bytes: u64,
    pub(super) etag: String,
    pub(super) modified: SystemTime,
}

#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    pub(super) prefixes: Vec<String>,
    /// Where the next page begins, if there is one.
    pub(super) next: Option<After>,
    pub(super) snapshot: Option<u64>,
}

impl Page {
    /// Returns the next page's token, opaque to the client: the walk, and its position.
    pub(super) fn token(&self) -> Option<String> {
        let After { key, rolled_up } = self.next.as_ref()?;
        let token = format!("{:x}:{}:{key}", self.snapshot.unwrap_or(0), u8::from(*rolled_up));
        Some(base64_simd::URL_SAFE_NO_PAD.encode_to_string(token))
    }
}

impl Query {
    /// Continues where `token` says.
    pub(super) fn resume(&mut self, token: &str) -> S3Result<()> {
        let parse = || {
            let token = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(token).ok()?;
            let token = String::from_utf8(token).ok()?;
            let (snapshot, rest) = token.split_once(':')?;
            let (rolled_up, key) = rest.split_once(':')?;
            let snapshot = u64::from_str_radix(snapshot, 16).ok()?;
            Some((snapshot, After { key: key.to_owned(), rolled_up: rolled_up == "1" }))
        };
        let (snapshot, after) =
            parse().ok_or_else(|| s3_error!(InvalidArgument, "the continuation token provided is incorrect"))?;
        self.after = Some(after);
        self.snapshot = (snapshot != 0).then_some(snapshot);
        Ok(())
    }
}

/// Fills a page. `scan` walks the keys from a bound on; `entry` is called for those that are on the page.
pub(super) fn page<'a, V: 'a, I: Iterator<Item = (&'a str, V)>>(
    query: &Query,
    scan: impl Fn(Bound<&str>) -> I,
    entry: impl Fn(&str, V) -> Entry,
) -> Page {
    let mut page = Page { snapshot: query.snapshot, ..Page::default() };
    if query.keys_max == 0 {
        return page;
    }
    let prefix = query.prefix.as_str();
    let delimiter = query.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
    let mut last: Option<After> = query.after.clone().filter(|after| after.key.as_str() >= prefix);
    let mut keys = match &last {
        None => scan(Bound::Included(prefix)),
        Some(After { key, rolled_up: false }) => scan(Bound::Excluded(key)),
        Some(After { key, rolled_up: true }) => scan(past(key).as_bound()),
    };
    while let Some((key, value)) = keys.next() {
        let Some(rest) = key.strip_prefix(prefix) else {
            break;
        };
        if matches!(&last, Some(After { key: told, rolled_up: true }) if key.starts_with(told.as_str())) {
            continue;
        }
        if page.entries.len() + page.prefixes.len() == query.keys_max {
            page.next = last;
            return page;
        }
        let common = delimiter.and_then(|delimiter| {
            let end = prefix.len() + rest.find(delimiter)? + delimiter.len();
            Some(&key[..end])
        });
        match common {
            None => {
                last = Some(After { key: key.to_owned(), rolled_up: false });
                page.entries.push(entry(key, value));
            }
            Some(common) => {
                last = Some(After { key: common.to_owned(), rolled_up: true });
                page.prefixes.push(common.to_owned());
                keys = scan(past(common).as_bound());
            }
        }
    }
    page
}

/// A point after (nearly) all keys with a prefix, so that rolling them up need not walk them. Keys that continue with the
/// last of all characters sort after it; those are skipped one by one.
struct Past(String);

fn past(prefix: &str) -> Past {
    Past(format!("{prefix}{}", char::MAX))
}

impl Past {
    fn as_bound(&self) -> Bound<&str> {
        Bound::Included(&self.0)
    }
}
