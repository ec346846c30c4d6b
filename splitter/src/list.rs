//! Listing a job's inputs: every object that is data, pinned by its ETag.
//!
//! Of what is found below a folder or by a pattern, hidden objects are left out, as Hadoop and Spark do: those with a part of their
//! path that starts with `_` or `.` below what the input names. Left out are also empty objects that stand for folders. They are
//! counted, so that nobody misses them without a word. An object that is named itself is read in any case.

use crate::{inventory, walk};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use globset::{GlobBuilder, GlobMatcher};
use kinglet_aws::Objects;
use kinglet_aws::objects::Listed;
use kinglet_core::ids::Timestamp;
use kinglet_core::wire::spec::{InputSpec, InventorySpec, JobSpec, Objects as Which};
use kinglet_core::{Code, Error, PathCondition, Result};
use std::collections::HashMap;

/// How many objects that are named one by one are looked at at once.
const LOOKS_AT_ONCE: usize = 64;

/// What was found of inputs.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The objects, in order, each with the index of its input.
    pub(crate) objects: Vec<(u32, Listed)>,
    /// How many were left out, as they are hidden or no data.
    pub(crate) skipped: u64,
}

/// The objects of one input.
#[derive(Default)]
struct OfInput {
    objects: Vec<Listed>,
    skipped: u64,
}

/// By which requests objects are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// Also by HEAD, which needs the right to read.
    Looking,
    /// By listing alone.
    Listing,
}

/// Lists the objects of all inputs.
pub(crate) async fn list(objects: &Objects, spec: &JobSpec) -> Result<Found> {
    let sides = spec.options.right.map(|right| right.from_input);
    let found = list_sides(objects, &spec.inputs, sides, &spec.options.conditions, By::Looking).await?;
    let inside = |(input_idx, object): &&(u32, Listed)| {
        let input = &spec.inputs[*input_idx as usize];
        spec.output.bucket == input.bucket && object.key.starts_with(&spec.output.prefix)
    };
    if spec.writes_output()
        && let Some((input_idx, object)) = found.objects.iter().find(inside)
    {
        let shown = spec.inputs[*input_idx as usize].shown_key(&object.key);
        return Err(Error::new(Code::OutputInsideInput, format!("{shown} lies in the output {}", spec.output.shown))
            .with_hint("choose an output outside the input"));
    }
    Ok(found)
}

/// Lists the sizes of an input's objects, in order, for a plan; those from the input `right_from` on are of the right side of a join.
/// Unlike the splitter it only lists: who plans may be allowed no more.
///
/// # Errors
/// Returns `input-missing` when nothing is there; `input-twice`; or a service error (`access-denied`, `throttled`, `unreachable`,
/// …) when S3 cannot be reached or refuses.
pub async fn sizes(
    objects: &Objects,
    inputs: &[InputSpec],
    right_from: Option<u32>,
    conditions: &[PathCondition],
) -> Result<Vec<u64>> {
    let found = list_sides(objects, inputs, right_from, conditions, By::Listing).await?;
    Ok(found.objects.into_iter().map(|(_, object)| object.size).collect())
}

/// Lists the objects of an input, each with the index of its input; empty ones too. By listing alone.
///
/// # Errors
/// As [`sizes`].
pub async fn objects_of(
    objects: &Objects,
    inputs: &[InputSpec],
    conditions: &[PathCondition],
) -> Result<Vec<(u32, Listed)>> {
    Ok(list_all(objects, inputs, conditions, By::Listing).await?.objects)
}

/// Some objects of an input, evenly spread over all of them in order, with the first and the last.
#[derive(Debug)]
pub struct Sample {
    /// The objects.
    pub objects: Vec<Sampled>,
    /// Of how many.
    pub of: usize,
    /// How many bytes all of these have, as they are stored.
    pub bytes: u64,
}

/// An object of a [`Sample`].
#[derive(Debug)]
pub struct Sampled {
    /// Its bucket.
    pub bucket: String,
    /// What it is, pinned by its ETag.
    pub listed: Listed,
    /// Its name in errors.
    pub shown: String,
}

/// Lists an input's objects and returns at most `most` of them, of those that are not empty.
///
/// # Errors
/// As [`sizes`].
pub async fn sample(
    objects: &Objects,
    inputs: &[InputSpec],
    conditions: &[PathCondition],
    most: usize,
) -> Result<Sample> {
    let mut found = list_all(objects, inputs, conditions, By::Listing).await?.objects;
    found.retain(|(_, object)| object.size > 0);
    let of = found.len();
    let bytes = found.iter().map(|(_, object)| object.size).fold(0, u64::saturating_add);
    let taken = most.min(of);
    let chosen: std::collections::HashSet<usize> =
        (0..taken).map(|n| if taken < 2 { 0 } else { n * (of - 1) / (taken - 1) }).collect();
    let objects =
        found.into_iter().enumerate().filter(|(at, _)| chosen.contains(at)).map(|(_, (input_idx, listed))| {
            let input = &inputs[input_idx as usize];
            Sampled { bucket: input.bucket.clone(), shown: input.shown_key(&listed.key), listed }
        });
    Ok(Sample { objects: objects.collect(), of, bytes })
}

/// Lists the objects of all inputs, those from the input `right_from` on for the right side of a join. An object may be on both sides.
async fn list_sides(
    objects: &Objects,
    inputs: &[InputSpec],
    right_from: Option<u32>,
    conditions: &[PathCondition],
    by: By,
) -> Result<Found> {
    let (left, right) = inputs.split_at(right_from.map_or(inputs.len(), |from| inputs.len().min(from as usize)));
    let mut found = list_all(objects, left, conditions, by).await?;
    if !right.is_empty() {
        let of_right = list_all(objects, right, conditions, by).await?;
        found.skipped += of_right.skipped;
        let from = left.len() as u32;
        found.objects.extend(of_right.objects.into_iter().map(|(input_idx, object)| (input_idx + from, object)));
    }
    Ok(found)
}

async fn list_all(objects: &Objects, inputs: &[InputSpec], conditions: &[PathCondition], by: By) -> Result<Found> {
    let mut all = Found::default();
    for (input_idx, input) in (0..).zip(inputs) {
        let OfInput { objects, skipped } =
            list_one(objects, input, conditions, by).await.map_err(|e| e.context(format!("input {}", input.shown)))?;
        if objects.is_empty() {
            return Err(nothing_at(input, skipped, conditions));
        }
        all.skipped += skipped;
        all.objects.extend(objects.into_iter().map(|object| (input_idx, object)));
    }
    check_once(inputs, &all.objects)?;
    Ok(all)
}

/// Refuses an object that is named twice, by two inputs or by one: it would be counted twice.
fn check_once(inputs: &[InputSpec], found: &[(u32, Listed)]) -> Result<()> {
    let twice_in_one = |input: &InputSpec| matches!(&input.objects, Which::Many(_) | Which::Inventory(_));
    if inputs.len() < 2 && !inputs.iter().any(twice_in_one) {
        return Ok(());
    }
    let mut seen = HashMap::with_capacity(found.len());
    for (input_idx, object) in found {
        let input = &inputs[*input_idx as usize];
        if let Some(first) = seen.insert(input.identity(&object.key), *input_idx) {
            let (shown, first) = (input.shown_key(&object.key), &inputs[first as usize].shown);
            let message = format!("{shown} is an input twice: in {first} and in {}", input.shown);
            return Err(Error::new(Code::InputTwice, message).with_hint("name it once"));
        }
    }
    Ok(())
}

fn nothing_at(input: &InputSpec, skipped: u64, conditions: &[PathCondition]) -> Error {
    let with = conditions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    let (with, hint) = if !with.is_empty() {
        (format!(" with {with}"), "check the conditions, and that paths say the values, as in year=2026/")
    } else if skipped > 0 {
        (
            format!(" that is not hidden ({skipped} left out)"),
            "name an object itself to read one that starts with _ or .",
        )
    } else if matches!(input.objects, Which::Inventory(_)) {
        (": the inventory lists no object".to_owned(), "take a newer one, or another")
    } else {
        (String::new(), "check the path, the prefix or the pattern; quote a pattern so that the shell leaves it alone")
    };
    Error::new(Code::InputMissing, format!("nothing is at {}{with}", input.shown)).with_hint(hint)
}

async fn list_one(objects: &Objects, input: &InputSpec, conditions: &[PathCondition], by: By) -> Result<OfInput> {
    // An object that is named itself is looked for as it is.
    let met = |mut found: Vec<Listed>| {
        found.retain(|object| walk::is_met(&input.shown_key(&object.key), conditions));
        OfInput { objects: found, skipped: 0 }
    };
    let folder = async |prefix: &str| {
        let listed = walk::list(objects, input, prefix, conditions).await?;
        Ok::<_, Error>(data(listed, &prefix[..folder_bytes(prefix)]))
    };
    match &input.objects {
        Which::One(key) => Ok(met(look(objects, input, key, by).await?.into_iter().collect())),
        Which::OneOrFolder(key) => match look(objects, input, key, by).await? {
            Some(object) => Ok(met(vec![object])),
            None => folder(&format!("{key}/")).await,
        },
        Which::Many(keys) => {
            let looks: Vec<_> = keys.iter().map(|key| look_for(objects, input, key, by)).collect();
            Ok(met(stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await?))
        }
        Which::Items(_) => Err(Error::new(Code::InputKind, "items are a job's only input, or none")),
        Which::Prefix(prefix) => folder(prefix).await,
        Which::Inventory(spec) => {
            let mut listed = of_inventory(objects, spec).await?;
            listed.retain(|object| walk::is_met(&input.shown_key(&object.key), conditions));
            Ok(data(listed, ""))
        }
        Which::Glob(pattern) => {
            let matcher = matcher(pattern, input)?;
            let literal = &pattern[..pattern.find(['*', '?', '[', '{', '\\']).unwrap_or(pattern.len())];
            let mut listed = walk::list(objects, input, literal, conditions).await?;
            listed.retain(|object| matcher.is_match(&object.key));
            let folder = &literal[..folder_bytes(literal)];
            // A pattern with a part that starts so asks for what is hidden.
            match pattern[folder.len()..].split('/').any(is_hidden) {
                true => Ok(OfInput { objects: listed, skipped: 0 }),
                false => Ok(data(listed, folder)),
            }
        }
    }
}

/// Returns the objects that an inventory lists, as it lists them: the current versions. None of them is looked at. That one has changed
/// since, or is gone, is seen when it is read, as each read demands its ETag.
async fn of_inventory(objects: &Objects, spec: &InventorySpec) -> Result<Vec<Listed>> {
    let found = inventory::find_again(objects, spec).await?;
    let wrong = |why: &str| {
        Error::new(Code::Inventory, format!("the inventory s3://{}/{} {why}", spec.bucket, spec.key))
            .with_hint("let S3 write the sizes and the ETags of objects into it: --optional-fields Size ETag")
    };
    if !found.inventory.pins() {
        return Err(wrong("does not say the sizes and the ETags of objects, by which a job sees that one has changed"));
    }
    let mut rows = inventory::rows(objects, found).await?;
    let mut all = Vec::new();
    while let Some(lot) = rows.next().await? {
        for row in lot.into_iter().filter(|row| row.is_latest && !row.is_delete_marker) {
            let (Some(etag), Some(size)) = (row.etag, row.size) else {
                return Err(wrong(&format!("says no size or no ETag of {}", row.key)));
            };
            all.push(Listed { key: row.key, etag, size, modified: Timestamp(0) });
        }
    }
    Ok(all)
}

/// Looks for an object; `None` if there is none.
async fn look(objects: &Objects, input: &InputSpec, key: &str, by: By) -> Result<Option<Listed>> {
    match by {
        By::Looking => objects.head(&input.bucket, key).await,
        // Its key is the first of those that start with it.
        By::Listing => {
            let page = objects.list_page(&input.bucket, key, None).await?;
            Ok(page.objects.into_iter().find(|object| object.key == key))
        }
    }
}

async fn look_for(objects: &Objects, input: &InputSpec, key: &str, by: By) -> Result<Listed> {
    look(objects, input, key, by).await?.ok_or_else(|| {
        Error::new(Code::InputMissing, format!("nothing is at {}", input.shown_key(key)))
            .with_hint("check the list of inputs: each line is the name of one object")
    })
}

fn matcher(pattern: &str, input: &InputSpec) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|e| {
        Error::new(Code::Pattern, format!("reading the pattern {}: {e}", input.shown))
            .with_hint("a character that is meant as it is stands in brackets: [[] for [")
    })
}

/// Returns how long the folder of a prefix is, with its `/`.
fn folder_bytes(prefix: &str) -> usize {
    prefix.rfind('/').map_or(0, |at| at + 1)
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}

/// Leaves out what is no data: what is hidden below a folder, and markers of folders.
fn data(mut listed: Vec<Listed>, folder: &str) -> OfInput {
    let all = listed.len();
    listed.retain(|object| is_data(object, folder));
    OfInput { skipped: (all - listed.len()) as u64, objects: listed }
}

fn is_data(object: &Listed, folder: &str) -> bool {
    let below = object.key.strip_prefix(folder).unwrap_or(&object.key);
    let (folders, name) = below.rsplit_once('/').unwrap_or(("", below));
    // Of a prefix such as `logs/_2026` the rest of a name is listed.
    let marks_folder = object.size == 0 && (name.is_empty() || name.ends_with("_$folder$"));
    // A folder that says a value is data, whatever the column is called: _day=7/
    let is_hidden_folder = |folder: &str| is_hidden(folder) && !(folder.starts_with('_') && folder.contains('='));
    !marks_folder && !is_hidden(name) && !folders.split('/').any(is_hidden_folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::wire::owner::OWNER;
    use kinglet_core::wire::spec::MANIFEST;

    fn object(key: &str, size: u64) -> Listed {
        Listed { key: key.into(), etag: "e".into(), size, modified: Timestamp(0) }
    }

    #[test]
    fn hidden_objects_and_markers_of_folders_are_no_data() {
        let is_data = |key: &str, size, folder: &str| is_data(&object(key, size), folder);
        for key in ["a", "x/a.csv", "_day=7/a", "year=_x/a", "a_b", "a.b/c._"] {
            assert!(is_data(key, 1, "") && is_data(key, 0, ""), "{key}");
        }
        for key in ["_a", ".a", "x/_SUCCESS", "_temporary/0/a", ".hive-staging=1/a", "x/.git/a", MANIFEST, OWNER] {
            assert!(!is_data(key, 1, ""), "{key}");
        }
        assert!(!is_data("x/", 0, "") && !is_data("x_$folder$", 0, ""));
        assert!(is_data("x_$folder$", 1, ""));
        // What the input names is no reason.
        assert!(is_data("_staging/.x/a", 1, "_staging/.x/") && !is_data("_staging/_a", 1, "_staging/"));
    }

    #[test]
    fn an_object_of_two_inputs_is_refused() {
        let input = |bucket: &str, root: Option<&str>, shown: &str| InputSpec {
            bucket: bucket.into(),
            objects: Which::Prefix(String::new()),
            shown: shown.into(),
            root: root.map(str::to_owned),
        };
        let found = |keys: &[(u32, &str)]| keys.iter().map(|(idx, key)| (*idx, object(key, 1))).collect::<Vec<_>>();
        let s3 = [input("b", None, "s3://b/x*"), input("b", None, "s3://b/"), input("c", None, "s3://c/")];
        assert!(check_once(&s3, &found(&[(0, "x1"), (1, "y"), (2, "x1")])).is_ok());
        let error = check_once(&s3, &found(&[(0, "x1"), (1, "x1")])).unwrap_err();
        assert!(error.is(Code::InputTwice), "{error}");
        assert_eq!(error.to_string(), "s3://b/x1 is an input twice: in s3://b/x* and in s3://b/");
        // Directories have buckets of their own, wherever they lie.
        let local = [input("l0", Some("/d"), "d"), input("l1", Some("/d/e"), "d/e")];
        assert!(check_once(&local, &found(&[(0, "f"), (1, "f")])).is_ok());
        assert!(check_once(&local, &found(&[(0, "e/f"), (1, "f")])).unwrap_err().is(Code::InputTwice));
    }
}
