use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::UNIX_EPOCH;

use crate::s3::paging::{Entry, Page, Query, page};

fn page_of(keys: &BTreeSet<String>, query: &Query) -> Page {
    page(
        query,
        |from: Bound<&str>| keys.range::<str, _>((from, Bound::Unbounded)).map(|key| (key.as_str(), ())),
        |key, ()| Entry { key: key.to_owned(), bytes: 0, etag: String::new(), modified: UNIX_EPOCH },
    )
}

/// The plainest way: all keys under the prefix, cut after the delimiter, each once.
fn plainly(keys: &BTreeSet<String>, prefix: &str, delimiter: Option<&str>) -> Vec<String> {
    let told = keys.iter().filter(|key| key.starts_with(prefix)).map(|key| {
        let end = delimiter.and_then(|by| Some(key[prefix.len()..].find(by)? + prefix.len() + by.len()));
        key[..end.unwrap_or(key.len())].to_owned()
    });
    told.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn pages_of_any_size_tell_each_key_or_prefix_once_and_in_order() {
    let keys: BTreeSet<String> =
        ["", "a", "a.txt", "a/", "a/b", "a/b/c", "a/\u{10ffff}", "a/\u{10ffff}x", "a0", "b//c", "b/c", "é/1", "é/2"]
            .into_iter()
            .map(str::to_owned)
            .collect();
    for prefix in ["", "a", "a/", "b", "é/", "none"] {
        for delimiter in [None, Some("/"), Some("//"), Some("b")] {
            for keys_max in 1..6 {
                let mut query = Query {
                    prefix: prefix.to_owned(),
                    delimiter: delimiter.map(str::to_owned),
                    keys_max,
                    ..Query::default()
                };
                let mut told = Vec::new();
                loop {
                    let page = page_of(&keys, &query);
                    assert!(page.entries.len() + page.prefixes.len() <= keys_max);
                    let mut both: Vec<String> = page.entries.iter().map(|entry| entry.key.clone()).collect();
                    both.extend(page.prefixes.iter().cloned());
                    both.sort_unstable();
                    told.extend(both);
                    let Some(token) = page.token() else { break };
                    query.resume(&token).unwrap();
                }
                assert_eq!(told, plainly(&keys, prefix, delimiter), "{prefix:?} {delimiter:?} {keys_max}");
            }
        }
    }
}

#[test]
fn a_token_that_is_none_of_ours_is_refused() {
    for token in ["", "!", "AAAA", "bm9uZQ"] {
        assert!(Query::default().resume(token).is_err(), "{token:?}");
    }
}
