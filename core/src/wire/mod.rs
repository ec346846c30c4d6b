//! Everything that crosses a boundary as bytes. Only this module knows the layouts. Each kind has a version, a checksum and a
//! golden file in `core/tests/golden/`.
//!
//! | module | what | where it lies |
//! |---|---|---|
//! | [`run`] | sorted pairs of one partition | S3 object or DynamoDB item |
//! | [`spec`] | the job as the driver submits it | S3, `jobs/<job>/spec` |
//! | [`cost`] | what a job's plan follows from | in the spec |
//! | [`plan`] | the splits, and the objects they were cut from | S3, `jobs/<job>/plan/<splitter>` |
//! | [`items`] | items that the driver made, and where they are cut | S3, `jobs/<job>/items` |
//! | [`program`] | an executable that the driver ships | S3, `programs/<sha256>` |
//! | [`record`] | what a commit says about an attempt | DynamoDB, an attribute of a group item |
//! | [`reread`] | the tasks that read splits again which began at wrong places | DynamoDB, an attribute of the job's item |
//! | [`bundle`] | the runs of a band of partitions, one behind the other | S3, in the object of a map attempt whose runs are merged |
//! | [`rest`] | what a piece of a reduce task leaves to the next | S3, `jobs/<job>/rest/<task>.<piece>/<attempt>` |
//! | [`files`] | the files that a piece of a reduce task has left in folders | S3, `jobs/<job>/files/<task>.<piece>/<attempt>` |
//! | [`index`] | where the runs of each partition lie | S3, `jobs/<job>/index/<number>` |
//! | [`calls`] | the results of a batch of calls | DynamoDB item or S3 object |
//! | [`stored`] | a job that a stack keeps, to be started again and again | S3, `stored/jobs/<name>/<version>`, a spec; DynamoDB |
//! | [`owner`] | which job owns an output | S3, `_owner.json` of the output, JSON |
//! | [`event`] | what a function is invoked with | Lambda payload, JSON |
//! | [`ended`] | how a job has ended, for whoever waits for it | detail of an event on EventBridge, JSON |
//! | [`trace`] | which trace an invocation belongs to | header of an invocation |
//! | [`log`], [`emf`] | the lines of a task's start and end, and CloudWatch's rules for them | a function's log, JSON |

/// The version of everything that drivers and functions tell each other. A stack tells its version in the output `Wire` of
/// `template.yaml`, and a driver does not run jobs on a stack of another version.
///
/// Raise it, in both places, with every change that makes an older side misread a newer one or the other way round: a new
/// version or kind of a [`frame`], another layout of an [`event`], other keys in the ledger or the work bucket. Leave it for
/// what an older side ignores and a newer one can do without, such as another optional member of an event.
pub const VERSION: u32 = 12;

pub mod bundle;
pub mod calls;
pub mod cost;
pub mod emf;
pub mod ended;
pub mod event;
pub mod files;
pub mod frame;
pub mod index;
pub mod items;
pub mod log;
pub mod owner;
pub mod plan;
pub mod program;
pub mod record;
pub mod reread;
pub mod rest;
pub mod run;
#[cfg(test)]
mod run_layout_tests;
pub mod spec;
pub mod stored;
pub mod trace;

/// Compares bytes with a golden file, or writes it where [`crate::env::UPDATE_GOLDEN`] is set.
#[cfg(test)]
pub(crate) fn golden(path: &str, bytes: &[u8]) {
    if std::env::var_os(crate::env::UPDATE_GOLDEN).is_some() {
        std::fs::write(path, bytes).unwrap();
    }
    let want = std::fs::read(path).unwrap_or_default();
    assert!(
        want == bytes,
        "{path} differs: a stored format changed. If that is meant, raise its version and run the tests with {}=1",
        crate::env::UPDATE_GOLDEN
    );
}
