//! What S3 and DynamoDB mean when they refuse a conditional request, and what is then known. This is the only place that says
//! so.
//!
//! | reply | to | meaning | reaction |
//! |---|---|---|---|
//! | 412 `PreconditionFailed` | a write with `If-None-Match: *` or `If-Match` | the condition does not hold **now**; perhaps because this very request was done before and its reply was lost | read back: is it this writer's, or another's ([`crate::Objects::put`]) |
//! | 404 `NoSuchKey` | a write with `If-Match` | there is nothing that could match; the same doubt | the same |
//! | 409 `ConditionalRequestConflict` | PUT, DELETE | another write to the key is under way; which one wins is unknown | try again |
//! | 409 `ConditionalRequestConflict` | `CompleteMultipartUpload` | the same; the upload may have become useless | complete again; if the upload is gone, upload anew |
//! | 409 `OperationAborted`, or as above | any other write, such as a part | the same, though nothing is said of what could be in its way | try again |
//! | 404 `NoSuchUpload` | complete, abort | the upload was completed or aborted: by this very request, its reply lost, by another process, or by a lifecycle rule | look whether the object is there ([`crate::Objects::complete`]) |
//! | 400 `InvalidPart` | complete | another process has sent a part again since, with another ETag (as with a KMS key) | as if the upload were gone |
//! | 404 `NoSuchKey` | a read with `If-Match` | the listed object is gone | the input has changed |
//! | 200 and a body that breaks off | a read | only the connection failed | read on from there, of the same version |
//! | `ConditionalCheckFailedException` | an update | the condition does not hold now; the same doubt | compare the token in the item ([`crate::Ledger`]) |
//! | `TransactionCanceledException` | several writes at once | one of them was refused; or the request was done before | the same |
//! | `TransactionConflictException` | a write | another transaction holds the item | the SDK tries again |
//!
//! The SDK has already retried all other failures ([`crate::clients`]), so every write must tolerate being done twice.
//!
//! Sources, read 2026-11: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList>,
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>.

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The condition of a write does not hold, or there is nothing that it could hold for.
    Unmet,
    /// Another write is under way; which one wins is not known yet.
    Conflict,
    /// The multipart upload does not exist any more.
    UploadGone,
    /// The object of a conditional read is gone, or has another version.
    OtherVersion,
    /// Another kind of failure.
    None,
}

/// Returns what the refusal of a write means.
pub(crate) fn of_write(code: Option<&str>) -> Refusal {
    match code {
        Some("PreconditionFailed" | "NoSuchKey" | "NotFound" | "ConditionalCheckFailedException") => Refusal::Unmet,
        Some("ConditionalRequestConflict" | "OperationAborted") => Refusal::Conflict,
        Some("NoSuchUpload" | "InvalidPart") => Refusal::UploadGone,
        _ => Refusal::None,
    }
}

/// Returns what the refusal of a read of one version means.
pub(crate) fn of_read(code: Option<&str>) -> Refusal {
    match code {
        Some("PreconditionFailed" | "NoSuchKey" | "NotFound" | "InvalidRange") => Refusal::OtherVersion,
        _ => Refusal::None,
    }
}

/// Growing pauses between retries that the SDK does not make by itself.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    rounds: u32,
}

/// The most pauses: about 9 s in all.
const ROUNDS_MAX: u32 = 12;

impl Pause {
    /// Waits 10 ms, 20 ms, … 1.28 s. Gives up after twelve rounds.
    ///
    /// # Errors
    /// Returns `throttled`, with `what` and the number of tries, after the last round.
    pub(crate) async fn wait(&mut self, what: &str) -> kinglet_core::Result<()> {
        self.rounds += 1;
        if self.rounds > ROUNDS_MAX {
            return Err(kinglet_core::Error::new(
                kinglet_core::Code::Throttled,
                format!("{what} (attempt {})", self.rounds),
            ));
        }
        tokio::time::sleep(std::time::Duration::from_millis(10 << self.rounds.min(8) >> 1)).await;
        Ok(())
    }
}
