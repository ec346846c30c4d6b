//! Lists of inputs: a file that names one object a line, on this machine or in S3.
//!
//! Objects of one bucket, or files of one directory, become one input. The spec holds their names, and every task reads the spec:
//! hence the limit.

use crate::connection::Connection;
use crate::inputs::{Resolved, absolute, s3_uri, unreadable};
use crate::{Code, Error, Result};
use kinglet_core::limits::LISTED_INPUTS_MAX;
use kinglet_core::wire::spec::{InputSpec, Objects};
use kinglet_local::s3::BucketKind;
use std::path::{Path, PathBuf};

/// The objects of one bucket that a list names, or the files of one directory.
struct Group {
    place: Place,
    names: Vec<String>,
}

#[derive(PartialEq, Eq)]
enum Place {
    Bucket(String),
    Directory(PathBuf),
}

/// Reads a list, and returns the inputs that it names.
pub(crate) async fn resolve(shared: &Connection, list: &str) -> Result<Vec<Resolved>> {
    let text = read(shared, list).await?;
    let groups = group(list, &text)?;
    Ok(groups.into_iter().map(|group| group.resolved(&shared.mount_name("input"))).collect())
}

async fn read(shared: &Connection, list: &str) -> Result<String> {
    let bytes = match s3_uri(list) {
        Some(parsed) => {
            let (bucket, key) = parsed?;
            let read = shared.conductor.objects.get(&bucket, &key, None).await;
            read.map_err(|e| e.context(format!("reading the list of inputs {list}")))?.to_vec()
        }
        None => tokio::fs::read(list).await.map_err(|e| unreadable(Path::new(list), &e))?,
    };
    String::from_utf8(bytes).map_err(|e| wrong(list, e.utf8_error().valid_up_to(), "has bytes that are no UTF-8"))
}

fn wrong(list: &str, line: usize, why: &str) -> Error {
    Error::new(Code::InputList, format!("the list of inputs {list} {why} ({line})"))
        .with_hint("write one s3://BUCKET/KEY or one path a line, each the name of one object")
}

/// Groups the names of a list by where they lie, in the order in which each place comes first.
fn group(list: &str, text: &str) -> Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    let mut count = 0;
    for (line, name) in (1..).zip(text.lines()).filter(|(_, name)| !name.trim().is_empty()) {
        count += 1;
        if count > LISTED_INPUTS_MAX {
            let message = format!("the list of inputs {list} names more than {LISTED_INPUTS_MAX} objects");
            return Err(Error::new(Code::InputList, message)
                .with_hint("name a prefix or a pattern instead, with conditions where paths say values"));
        }
        let (place, name) = match s3_uri(name) {
            Some(Ok((bucket, key))) if !key.is_empty() && !key.ends_with('/') => (Place::Bucket(bucket), key),
            Some(_) => return Err(wrong(list, line, "names in a line what is no object")),
            None => {
                let whole = absolute(Path::new(name))?;
                let split = whole.parent().zip(whole.file_name().and_then(|name| name.to_str()));
                let (Some((parent, name)), true) = (split, whole.is_file()) else {
                    return Err(wrong(list, line, "names in a line what is no file"));
                };
                (Place::Directory(parent.to_owned()), name.to_owned())
            }
        };
        match groups.iter_mut().find(|group| group.place == place) {
            Some(group) => group.names.push(name),
            None => groups.push(Group { place, names: vec![name] }),
        }
    }
    if groups.is_empty() {
        return Err(wrong(list, 0, "names nothing"));
    }
    Ok(groups)
}

impl Group {
    /// `mounted` is the name of the bucket that a directory gets.
    fn resolved(self, mounted: &str) -> Resolved {
        let objects = Objects::Many(self.names);
        match self.place {
            Place::Bucket(bucket) => {
                let shown = format!("s3://{bucket}");
                Resolved { spec: InputSpec { bucket, objects, shown, root: None }, mount: None, path: None }
            }
            Place::Directory(root) => {
                let shown = root.to_string_lossy().into_owned();
                let whole = Some(shown.trim_end_matches('/').to_owned());
                let spec = InputSpec { bucket: mounted.to_owned(), objects, shown, root: whole };
                let mount = BucketKind::Files { root: root.clone(), only: None };
                Resolved { spec, mount: Some(mount), path: Some(root) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_grouped_by_where_they_lie() {
        let text = "s3://b/x/1\n\ns3://c/[1]*\r\ns3://b/x/2\n";
        let groups = group("list", text).unwrap();
        let found: Vec<_> = groups.into_iter().map(|group| group.resolved("l0").spec).collect();
        let named = |shown: &str, keys: &[&str]| InputSpec {
            bucket: shown.trim_start_matches("s3://").into(),
            objects: Objects::Many(keys.iter().map(|key| (*key).to_owned()).collect()),
            shown: shown.into(),
            root: None,
        };
        assert_eq!(found, [named("s3://b", &["x/1", "x/2"]), named("s3://c", &["[1]*"])]);
        assert_eq!(found[0].shown_key("x/2"), "s3://b/x/2");
    }

    #[test]
    fn what_is_no_list_of_objects_is_named_with_its_line() {
        let refused = |text: &str| group("list", text).err().unwrap();
        for (text, says) in [
            ("s3://b/x\ns3://b/folder/\n", "no object (2)"),
            ("s3://b", "no object (1)"),
            ("", "names nothing"),
            ("/\n", "no file (1)"),
        ] {
            let error = refused(text);
            assert!(error.is(Code::InputList) && error.to_string().contains(says), "{error}");
        }
        assert!(refused("/no/such/file").is(Code::InputUnreadable));
        let many = "s3://b/x\n".repeat(LISTED_INPUTS_MAX + 1);
        assert!(refused(&many).to_string().contains("more than 10000 objects"));
    }
}
