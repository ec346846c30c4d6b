//! Listing a job's inputs: every object, pinned by its ETag.

use globset::{GlobBuilder, GlobMatcher};
use kinglet_aws::Objects;
use kinglet_aws::objects::Listed;
use kinglet_core::wire::owner::OWNER;
use kinglet_core::wire::spec::{InputSpec, JobSpec, MANIFEST, Objects as Which};
use kinglet_core::{Code, Error, Result};

/// Lists the objects of all inputs, in order, each with the index of its input.
pub(crate) async fn list(objects: &Objects, spec: &JobSpec) -> Result<Vec<(u32, Listed)>> {
    let mut all = Vec::new();
    for (input_idx, input) in (0..).zip(&spec.inputs) {
        let found = list_one(objects, input).await?;
        if found.is_empty() {
            return Err(nothing_at(input));
        }
        let prefix = (spec.output.bucket == input.bucket).then_some(&spec.output.prefix);
        if let Some(object) = prefix.and_then(|prefix| found.iter().find(|o| o.key.starts_with(prefix.as_str()))) {
            let shown = input.shown_key(&object.key);
            return Err(Error::new(
                Code::OutputInsideInput,
                format!("{shown} lies in the output {}", spec.output.shown),
            )
            .with_hint("choose an output outside the input"));
        }
        all.extend(found.into_iter().map(|object| (input_idx, object)));
    }
    Ok(all)
}

/// Lists the sizes of an input's objects, in order, for a plan. Unlike the splitter it only lists: who plans may be allowed no
/// more.
///
/// # Errors
/// Returns `input-missing` when nothing is there; or a service error (`access-denied`, `throttled`, `unreachable`, …) when S3
/// cannot be reached or refuses.
pub async fn sizes(objects: &Objects, inputs: &[InputSpec]) -> Result<Vec<u64>> {
    let mut sizes = Vec::new();
    for input in inputs {
        let found = match &input.objects {
            Which::One(key) | Which::OneOrFolder(key) => {
                let is_folder = matches!(input.objects, Which::OneOrFolder(_));
                let listed = objects.list(&input.bucket, key).await.map_err(|e| named(input, e))?;
                let (one, others): (Vec<_>, Vec<_>) = listed.into_iter().partition(|object| object.key == *key);
                let below = format!("{key}/");
                match one.is_empty() && is_folder {
                    true => data(others.into_iter().filter(|object| object.key.starts_with(&below)).collect()),
                    false => one,
                }
            }
            _ => list_one(objects, input).await?,
        };
        if found.is_empty() {
            return Err(nothing_at(input));
        }
        sizes.extend(found.into_iter().map(|object| object.size));
    }
    Ok(sizes)
}

fn named(input: &InputSpec, error: Error) -> Error {
    error.context(format!("input {}", input.shown))
}

fn nothing_at(input: &InputSpec) -> Error {
    Error::new(Code::InputMissing, format!("nothing is at {}", input.shown))
        .with_hint("check the path, the prefix or the pattern; quote a pattern so that the shell leaves it alone")
}

async fn list_one(objects: &Objects, input: &InputSpec) -> Result<Vec<Listed>> {
    let bucket = &input.bucket;
    let named = |e: Error| named(input, e);
    match &input.objects {
        Which::One(key) => Ok(objects.head(bucket, key).await.map_err(named)?.into_iter().collect()),
        Which::OneOrFolder(key) => match objects.head(bucket, key).await.map_err(named)? {
            Some(object) => Ok(vec![object]),
            None => Ok(data(objects.list(bucket, &format!("{key}/")).await.map_err(named)?)),
        },
        Which::Items(_) => Err(Error::new(Code::InputKind, "items are a job's only input, or none")),
        Which::Prefix(prefix) => Ok(data(objects.list(bucket, prefix).await.map_err(named)?)),
        Which::Glob(pattern) => {
            let matcher = matcher(pattern, input)?;
            let literal = &pattern[..pattern.find(['*', '?', '[', '{', '\\']).unwrap_or(pattern.len())];
            let mut found = data(objects.list(bucket, literal).await.map_err(named)?);
            found.retain(|object| matcher.is_match(&object.key));
            Ok(found)
        }
    }
}

fn matcher(pattern: &str, input: &InputSpec) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|e| {
        Error::new(Code::Pattern, format!("reading the pattern {}: {e}", input.shown))
            .with_hint("a character that is meant as it is stands in brackets: [[] for [")
    })
}

/// Leaves out what is no data: folder markers, and the manifests, claims and `_SUCCESS` markers of other jobs.
fn data(mut listed: Vec<Listed>) -> Vec<Listed> {
    listed.retain(|object| {
        let name = object.key.rsplit('/').next().unwrap_or_default();
        let mark = name.is_empty() && object.size == 0;
        !mark && name != MANIFEST && name != OWNER && name != "_SUCCESS"
    });
    listed
}
