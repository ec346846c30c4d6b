//! Shipped programs in the work bucket; [`kinglet_core::wire::program`] draws the object.

use crate::conduct::Conductor;
use crate::errors::{Doing, code};
use crate::objects::Replace;
use kinglet_core::ids::{ProgramId, Timestamp};
use kinglet_core::limits::PROGRAM_RENEWED_S;
use kinglet_core::wire::program::{Unpacker, key, pack};
use kinglet_core::{Error, Result};

/// What became of a program that was to be in S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It was there, and will be for as long as a job lives.
    Kept,
    /// It was uploaded: so many bytes.
    Uploaded(u64),
}

/// Sees to it that a program is in the work bucket for as long as a job lives.
///
/// # Errors
/// What S3 reports.
pub async fn publish(conductor: &Conductor, machine: u16, executable: &[u8], program: ProgramId) -> Result<Published> {
    let (bucket, key) = (&conductor.stack.work_bucket, key(&program));
    let Some(replace) = upload(written_at(conductor, &key).await?, Timestamp::now()) else {
        return Ok(Published::Kept);
    };
    let packed = pack(machine, executable, program);
    let bytes = packed.len() as u64;
    conductor.objects.put(bucket, &key, packed.into(), replace).await?;
    Ok(Published::Uploaded(bytes))
}

/// Whether and how to upload a program that was uploaded then, or not at all.
fn upload(written_at: Option<Timestamp>, now: Timestamp) -> Option<Replace> {
    match written_at {
        // Two drivers that ship the same program at once write the same bytes: the first will do.
        None => Some(Replace::No),
        Some(at) if now.since_ms(at) > PROGRAM_RENEWED_S * 1_000 => Some(Replace::Yes),
        Some(_) => None,
    }
}

/// When an object was written, if it is there.
async fn written_at(conductor: &Conductor, key: &str) -> Result<Option<Timestamp>> {
    let bucket = &conductor.stack.work_bucket;
    let doing = Doing::now(format!("looking at s3://{bucket}/{key}"));
    match conductor.objects.s3.head_object().bucket(bucket).key(key).send().await {
        // One without a time counts as old.
        Ok(head) => {
            let at = head.last_modified.and_then(|at| u64::try_from(at.secs()).ok()).unwrap_or(0);
            Ok(Some(Timestamp(at * 1_000)))
        }
        Err(e) if matches!(code(&e).as_deref(), Some("NotFound" | "NoSuchKey")) => Ok(None),
        Err(e) => Err(doing.failed(&e)),
    }
}

/// Fetches a program and hands its executable on in pieces. Only when this has returned is it all there and as it should be.
///
/// # Errors
/// What S3 reports; [`Error::Corrupt`] when the object is not what its name says; what `write` returns.
pub(super) async fn fetch(
    conductor: &Conductor,
    program: ProgramId,
    write: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
) -> Result<()> {
    let (bucket, key) = (&conductor.stack.work_bucket, key(&program));
    let shown = format!("s3://{bucket}/{key}");
    let doing = || format!("fetching the shipped program {shown}");
    let corrupt = |e: Error| match e {
        Error::Corrupt(_) => e.context(doing()).with_hint("remove that object: the next run uploads it again"),
        _ => e,
    };
    let head = conductor.objects.head(bucket, &key).await.map_err(|e| e.context(doing()))?;
    let Some(head) = head else {
        return Err(Error::input("program-missing", format!("{}: there is none", doing()))
            .with_hint("run the job again: its driver uploads the program"));
    };
    // Of whichever version: what counts is the SHA-256, and one that was uploaded again has the same.
    let mut reader = conductor.objects.read(bucket, &key, None, 0, head.size, &shown);
    let mut unpacker = Unpacker::new(program);
    while let Some(bytes) = reader.next().await.map_err(|e| e.context(doing()))? {
        unpacker.push(&bytes, write).map_err(corrupt)?;
    }
    unpacker.finish().map(drop).map_err(corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::limits::{JOB_KEPT_S, PROGRAM_KEPT_S};

    #[test]
    fn what_s3_would_remove_while_the_job_lives_is_uploaded_again() {
        let day_ms = 24 * 3600 * 1_000;
        let now = Timestamp(100 * day_ms);
        let days_ago = |days: u64| Some(Timestamp(now.0 - days * day_ms));
        assert_eq!(upload(None, now), Some(Replace::No));
        assert_eq!(upload(days_ago(0), now), None);
        assert_eq!(upload(days_ago(22), now), None);
        assert_eq!(upload(days_ago(23), now), Some(Replace::Yes));
        const { assert!(PROGRAM_RENEWED_S + JOB_KEPT_S < PROGRAM_KEPT_S) };
        // A clock that is behind S3's makes nothing old.
        assert_eq!(upload(Some(Timestamp(now.0 + day_ms)), now), None);
    }
}
