//! Shipped programs in the work bucket; [`kinglet_core::wire::program`] draws the object's layout.

use crate::conductor::Conductor;
use crate::objects::{Address, Head, Replace};
use kinglet_core::ids::{ProgramId, Timestamp};
use kinglet_core::limits::PROGRAM_RENEWED_S;
use kinglet_core::wire::program::{METADATA, Unpacker, key, metadata};
use kinglet_core::{Code, Error, Result};

/// The result of publishing a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It was in S3, and stays for as long as a job lives.
    Kept,
    /// It was uploaded; its size in bytes.
    Uploaded(u64),
}

/// Ensures that a program is in the work bucket for as long as a job lives. `packed` is awaited only if the program must be
/// uploaded.
///
/// # Errors
/// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses; or the
/// error of `packed`.
pub async fn publish(
    conductor: &Conductor,
    program: ProgramId,
    packed: impl Future<Output = Result<Vec<u8>>>,
) -> Result<Published> {
    let (bucket, key) = (&conductor.stack.work_bucket, key(&program));
    let Some(replace) = upload(program, stored(conductor, &key).await?, conductor.now()) else {
        return Ok(Published::Kept);
    };
    let packed = packed.await?;
    let bytes = packed.len() as u64;
    let metadata = (METADATA, metadata(&program, bytes));
    conductor.objects.put_with(bucket, &key, packed.into(), replace, Some(metadata)).await?;
    Ok(Published::Uploaded(bytes))
}

/// Ensures the same by a copy of the program, which is kept for longer.
///
/// # Errors
/// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
pub(crate) async fn renew(conductor: &Conductor, program: ProgramId, kept: &str) -> Result<()> {
    let (bucket, key) = (&conductor.stack.work_bucket, key(&program));
    if upload(program, stored(conductor, &key).await?, conductor.now()).is_some() {
        conductor.objects.copy(Address { bucket, key: kept }, Address { bucket, key: &key }).await?;
    }
    Ok(())
}

/// What S3 reports of a program's object.
struct Stored {
    written_at: Timestamp,
    bytes: u64,
    metadata: Option<String>,
}

/// Returns whether and how to upload a program, given what is stored of it.
fn upload(program: ProgramId, stored: Option<Stored>, now: Timestamp) -> Option<Replace> {
    // Two drivers that ship the same program at once write the same bytes: the first write suffices.
    let Some(stored) = stored else { return Some(Replace::No) };
    let is_old = now.since_ms(stored.written_at) > PROGRAM_RENEWED_S * 1_000;
    // Those who run jobs may not remove programs, so an object that something else wrote over must be replaced here.
    let is_ours = stored.metadata == Some(metadata(&program, stored.bytes));
    (is_old || !is_ours).then_some(Replace::Yes)
}

async fn stored(conductor: &Conductor, key: &str) -> Result<Option<Stored>> {
    let head = conductor.objects.head_whole(&conductor.stack.work_bucket, key).await?;
    Ok(head.map(|Head { object, mut metadata }| Stored {
        // An object without a time counts as old.
        written_at: object.modified,
        bytes: object.size,
        metadata: metadata.remove(METADATA),
    }))
}

/// Fetches a program and passes its executable to `write` in pieces. It is complete and verified only after this has
/// returned.
///
/// # Errors
/// Returns `program-missing` when there is no such object; `program-corrupt` when the object is not what its name says;
/// `program-renewed` when another driver uploaded it again meanwhile; a service error of S3; or the error of `write`.
pub async fn fetch(
    conductor: &Conductor,
    program: ProgramId,
    write: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
) -> Result<()> {
    let (bucket, key) = (&conductor.stack.work_bucket, key(&program));
    let shown = format!("s3://{bucket}/{key}");
    let doing = || format!("fetching the shipped program {shown}");
    let way_out = "start the driver again: it uploads what something else wrote over; else have that object removed";
    let corrupt = |e: Error| match e {
        Error::Corrupt(_) => e.context(doing()).with_hint(way_out),
        _ => e,
    };
    let failed = |e: Error| match e.is(Code::ObjectChanged) {
        // Another driver has uploaded it again: the next try reads that object.
        true => Error::new(Code::ProgramRenewed, format!("{}: it was uploaded again meanwhile", doing())),
        false => e.context(doing()),
    };
    let head = conductor.objects.head(bucket, &key).await.map_err(|e| e.context(doing()))?;
    let Some(head) = head else {
        return Err(Error::new(Code::ProgramMissing, format!("{}: there is none", doing()))
            .with_hint("start the driver again: it uploads the program"));
    };
    let mut reader = conductor.objects.read(bucket, &key, Some(&head.etag), 0, head.size, &shown);
    let mut unpacker = Unpacker::new(program);
    while let Some(bytes) = reader.next().await.map_err(failed)? {
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
        let program = ProgramId::of(b"a program");
        let upload_of = |written_at, metadata: &str| {
            upload(program, Some(Stored { written_at, bytes: 9, metadata: Some(metadata.to_owned()) }), now)
        };
        let upload_after = |days: u64| upload_of(Timestamp(now.0 - days * day_ms), &metadata(&program, 9));
        assert_eq!(upload(program, None, now), Some(Replace::No));
        assert_eq!(upload_after(0), None);
        assert_eq!(upload_after(22), None);
        assert_eq!(upload_after(23), Some(Replace::Yes));
        const { assert!(PROGRAM_RENEWED_S + JOB_KEPT_S < PROGRAM_KEPT_S) };
        // With a clock behind S3's, nothing is old.
        assert_eq!(upload_of(Timestamp(now.0 + day_ms), &metadata(&program, 9)), None);
        // The metadata of a truncated object, or of another program.
        assert_eq!(upload_of(now, &metadata(&program, 10)), Some(Replace::Yes));
        assert_eq!(upload_of(now, &metadata(&ProgramId::of(b"another"), 9)), Some(Replace::Yes));
    }
}
