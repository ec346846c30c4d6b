//! Everything that crosses a boundary as bytes: the only module that knows their layout. Each kind has a version, a checksum
//! and a golden file in `core/tests/golden/`.
//!
//! | module | what | where it lies |
//! |---|---|---|
//! | [`run`] | sorted pairs of one partition | S3 object or DynamoDB item |
//! | [`spec`] | the job as the driver submits it | S3, `jobs/<job>/spec` |
//! | [`plan`] | the splits, and the objects they were cut from | S3, `jobs/<job>/plan` |
//! | [`items`] | items that the driver made, and where they are cut | S3, `jobs/<job>/items` |
//! | [`record`] | what a commit says of an attempt | DynamoDB, an attribute of a group item |
//! | [`event`] | what a function is invoked with | Lambda payload, JSON |
//! | [`trace`] | which trace an invocation belongs to | header of an invocation |
//! | [`log`], [`emf`] | the lines of a task's start and end, and CloudWatch's rules for them | a function's log, JSON |

pub mod emf;
pub mod event;
pub mod frame;
pub mod items;
pub mod log;
pub mod plan;
pub mod record;
pub mod run;
pub mod spec;
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
