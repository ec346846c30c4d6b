//! A deployed stack as CloudFormation describes it, checked before anything is asked of its parts.

use crate::conductor::Stack;
use crate::errors::{Doing, code};
use crate::functions::FunctionNames;
use crate::one_call::stacks::{Description, asking_for};
use crate::session::Session;
use kinglet_core::{Code, Error, Result, wire};
use std::collections::BTreeMap;

/// A stack that `sam deploy` made, as its outputs describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Its ARN, which identifies it across accounts and regions.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state in CloudFormation's words, such as `UPDATE_COMPLETE`.
    pub status: String,
    /// Its region.
    pub region: String,
    /// The version of Kinglet that it was made for.
    pub version: String,
    /// The names of its parts.
    pub stack: Stack,
    /// The buckets of its parameters.
    pub buckets: Buckets,
    /// How many mappers, and how many reducers, can run at once; 0 if none are reserved.
    pub reserved_concurrency: u32,
    /// All outputs.
    pub outputs: BTreeMap<String, String>,
}

/// The buckets that jobs of a stack use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// The bucket that jobs may read.
    pub input: String,
    /// The bucket that jobs may write.
    pub output: String,
}

impl Deployed {
    /// Reads a stack's description from CloudFormation, and checks that this program can use the stack.
    ///
    /// # Errors
    /// Returns `stack-missing`; `stack-state` when the stack is not whole; `stack-outputs` when it is not Kinglet's or lacks
    /// an output; `wire-version` when it speaks another wire format; or a service error when CloudFormation cannot be reached
    /// or refuses.
    pub async fn find(session: &Session, name: &str) -> Result<Self> {
        let (description, region) = (describe(session, name).await?, &session.region);
        let Description { id, status, reason, outputs, .. } = description;
        check_status(name, if status.is_empty() { "in no state" } else { &status }, reason.as_deref())?;
        Self::of_outputs(&id, name, region, status, outputs)
    }

    fn of_outputs(
        id: &str,
        name: &str,
        region: &str,
        status: String,
        outputs: BTreeMap<String, String>,
    ) -> Result<Self> {
        let output = |key: &str| {
            outputs.get(key).cloned().ok_or_else(|| {
                let message = format!("stack {name} in {region} has no output {key}");
                Error::new(Code::StackOutputs, message)
                    .with_hint("name a stack that was deployed from Kinglet's template.yaml, and deploy this version's")
            })
        };
        let number = |key: &str| {
            let text = output(key)?;
            text.parse::<u64>().map_err(|_| {
                let message = format!("output {key} of stack {name} is {text:?}, which is no number");
                Error::new(Code::StackOutputs, message).with_hint("deploy the template of this version")
            })
        };
        let version = output("Version")?;
        check_wire(name, &version, number("Wire")?)?;
        let functions = FunctionNames {
            splitter: output("SplitterName")?,
            mapper: output("MapperName")?,
            mapper_large: Some(output("MapperLargeName")?),
            reducer: output("ReducerName")?,
        };
        let stack = Stack {
            table: output("Table")?,
            work_bucket: output("WorkBucketName")?,
            functions,
            timeout_ms: number("TimeoutSeconds")? * 1_000,
        };
        Ok(Deployed {
            id: id.to_owned(),
            name: name.to_owned(),
            status,
            region: region.to_owned(),
            version,
            stack,
            buckets: Buckets { input: output("InputBucketName")?, output: output("OutputBucketName")? },
            reserved_concurrency: u32::try_from(number("ReservedConcurrency")?).unwrap_or(u32::MAX),
            outputs,
        })
    }

    /// Refuses to start a job on a stack that is being changed: its functions may be of two versions.
    ///
    /// # Errors
    /// Returns `stack-state`.
    pub fn check_settled(&self) -> Result<()> {
        if is_changing(&self.status) {
            let message = format!("stack {} in {} is being changed ({})", self.name, self.region, self.status);
            return Err(Error::new(Code::StackState, message).with_hint("wait until the deployment is over"));
        }
        Ok(())
    }
}

/// Reads CloudFormation's description of one stack.
async fn describe(session: &Session, name: &str) -> Result<Description> {
    let region = &session.region;
    let doing = Doing::now(format!("looking for stack {name} in {region}"));
    match session.describe_stacks.reply(asking_for(Some(name))).await {
        Ok(described) => {
            if let Some(stack) = described.into_iter().next().filter(|stack| stack.status != "DELETE_COMPLETE") {
                return Ok(stack);
            }
        }
        // CloudFormation gives the same code for a name that no stack can have. Either way there is no such stack.
        Err(e) if code(&e).as_deref() == Some("ValidationError") => {}
        Err(e) => return Err(session.explained(doing.failed(&e))),
    }
    let hint = match others(session).await {
        found if found.is_empty() => format!(
            "pass --region if it is elsewhere, or deploy it with `sam deploy`; {region} has no stack of Kinglet"
        ),
        found => format!("stacks of Kinglet in {region}: {}; pass --region if it is elsewhere", found.join(", ")),
    };
    Err(Error::new(Code::StackMissing, format!("there is no stack {name} in {region}")).with_hint(hint))
}

/// Lists, for a hint, the stacks in this region that have our outputs; none if they cannot be listed.
async fn others(session: &Session) -> Vec<String> {
    let stacks = session.describe_stacks.reply(asking_for(None)).await.unwrap_or_default();
    let ours = stacks
        .into_iter()
        .filter(|stack| ["Wire", "WorkBucketName", "SplitterName"].iter().all(|key| stack.outputs.contains_key(*key)));
    ours.map(|stack| stack.name).filter(|name| !name.is_empty()).take(10).collect()
}

/// Returns whether CloudFormation is changing a stack. Jobs that run go on meanwhile; only new ones have to wait. The
/// clean-up that ends an update does not count, as it touches nothing that is in use.
fn is_changing(status: &str) -> bool {
    status.ends_with("_IN_PROGRESS") && !status.ends_with("_CLEANUP_IN_PROGRESS")
}

/// Refuses a stack that does not exist yet, is being deleted, or is not whole.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html> lists the states.
fn check_status(name: &str, status: &str, reason: Option<&str>) -> Result<()> {
    let whole = [
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
    ];
    let changing = status.starts_with("UPDATE_") && status.ends_with("_IN_PROGRESS");
    if whole.contains(&status) || changing {
        return Ok(());
    }
    let why = reason.map_or(String::new(), |reason| format!(": {reason}"));
    let hint = match status {
        "DELETE_IN_PROGRESS" | "DELETE_FAILED" => "deploy it again with `sam deploy` once it is gone",
        "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" | "ROLLBACK_IN_PROGRESS" => {
            "its creation failed: see its events in CloudFormation, `sam delete` it, and deploy again"
        }
        "UPDATE_ROLLBACK_FAILED" => "continue the rollback in CloudFormation, then deploy again",
        _ if status.ends_with("_IN_PROGRESS") => "wait until the deployment is over",
        _ => "see its events in CloudFormation, and deploy again",
    };
    Err(Error::new(Code::StackState, format!("stack {name} is {status}{why}")).with_hint(hint))
}

/// Refuses a stack of another wire format. Versions may differ; what drivers and functions tell each other must not.
fn check_wire(name: &str, version: &str, theirs: u64) -> Result<()> {
    let (ours, own) = (u64::from(wire::VERSION), env!("CARGO_PKG_VERSION"));
    let hint = match theirs.cmp(&ours) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => {
            "the stack is older: deploy this version's template with `sam build && sam deploy`, when no job runs there"
        }
        std::cmp::Ordering::Greater => "this program is older: update it to the version of the stack",
    };
    let message =
        format!("stack {name} speaks wire format {theirs} (Kinglet {version}), this program {ours} (Kinglet {own})");
    Err(Error::new(Code::WireVersion, message).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs() -> BTreeMap<String, String> {
        let wire = kinglet_core::wire::VERSION.to_string();
        let pairs = [
            ("Version", "0.1.0"),
            ("Wire", &wire),
            ("Table", "t"),
            ("WorkBucketName", "w"),
            ("SplitterName", "s"),
            ("MapperName", "m"),
            ("MapperLargeName", "l"),
            ("ReducerName", "r"),
            ("TimeoutSeconds", "900"),
            ("InputBucketName", "i"),
            ("OutputBucketName", "o"),
            ("ReservedConcurrency", "0"),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    fn read(outputs: BTreeMap<String, String>) -> Result<Deployed> {
        Deployed::of_outputs("id", "kinglet", "eu-west-1", "CREATE_COMPLETE".to_owned(), outputs)
    }

    #[test]
    fn every_output_is_needed_and_named_when_it_is_missing() {
        let deployed = read(outputs()).unwrap();
        assert_eq!(deployed.stack.timeout_ms, 900_000);
        assert_eq!(deployed.stack.functions.mapper_large.as_deref(), Some("l"));
        for key in outputs().keys() {
            let mut fewer = outputs();
            fewer.remove(key);
            let error = read(fewer).unwrap_err();
            assert_eq!(error.code(), "stack-outputs");
            assert!(error.to_string().contains(key) && error.to_string().contains("kinglet in eu-west-1"), "{error}");
        }
        let error = read(BTreeMap::from_iter(outputs().into_iter().chain([("TimeoutSeconds".into(), "?".into())])));
        assert_eq!(error.unwrap_err().code(), "stack-outputs");
    }

    #[test]
    fn another_wire_format_says_which_side_is_older() {
        for (wire, version, older) in [("0", "0.0.9", "the stack is older"), ("99", "0.7.0", "this program is older")] {
            let mut other = outputs();
            other.insert("Wire".to_owned(), wire.to_owned());
            other.insert("Version".to_owned(), version.to_owned());
            let error = read(other).unwrap_err();
            assert_eq!(error.code(), "wire-version");
            assert!(error.to_string().contains(version), "{error}");
            assert!(error.hint().unwrap().starts_with(older), "{error:?}");
        }
        let mut newer = outputs();
        newer.insert("Version".to_owned(), "0.1.7".to_owned());
        assert_eq!(read(newer).unwrap().version, "0.1.7");
    }

    /// All of them, as <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_Stack.html> lists them.
    const STATES: [&str; 23] = [
        "CREATE_IN_PROGRESS",
        "CREATE_FAILED",
        "CREATE_COMPLETE",
        "ROLLBACK_IN_PROGRESS",
        "ROLLBACK_FAILED",
        "ROLLBACK_COMPLETE",
        "DELETE_IN_PROGRESS",
        "DELETE_FAILED",
        "DELETE_COMPLETE",
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_COMPLETE",
        "UPDATE_FAILED",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_FAILED",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
        "REVIEW_IN_PROGRESS",
        "IMPORT_IN_PROGRESS",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_IN_PROGRESS",
        "IMPORT_ROLLBACK_FAILED",
        "IMPORT_ROLLBACK_COMPLETE",
    ];

    #[test]
    fn only_whole_stacks_are_used_and_only_settled_ones_for_new_jobs() {
        for status in STATES {
            let usable = check_status("kinglet", status, None).is_ok();
            let wanted = match status {
                "CREATE_COMPLETE"
                | "UPDATE_COMPLETE"
                | "UPDATE_ROLLBACK_COMPLETE"
                | "IMPORT_COMPLETE"
                | "IMPORT_ROLLBACK_COMPLETE" => true,
                status => status.starts_with("UPDATE_") && status.ends_with("_IN_PROGRESS"),
            };
            assert_eq!(usable, wanted, "{status}");
        }
        let error = check_status("kinglet", "ROLLBACK_COMPLETE", Some("The bucket exists")).unwrap_err();
        assert!(error.to_string().ends_with("stack kinglet is ROLLBACK_COMPLETE: The bucket exists"), "{error}");
        let settled = |status: &str| Deployed { status: status.to_owned(), ..read(outputs()).unwrap() }.check_settled();
        assert!(settled("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS").is_ok());
        assert_eq!(settled("UPDATE_IN_PROGRESS").unwrap_err().code(), "stack-state");
    }
}
