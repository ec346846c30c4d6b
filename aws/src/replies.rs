//! What S3 and DynamoDB mean by a refusal of a conditional request, and what is then known: in this one place.
//!
//! | service says | to | it means | what is done |
//! |---|---|---|---|
//! | 412 `PreconditionFailed` | a write with `If-None-Match: *` or `If-Match` | the condition does not hold **now**; perhaps as this very request was done before, and its reply was lost | read back: mine, or another's ([`crate::Objects::put`]) |
//! | 404 `NoSuchKey` | a write with `If-Match` | there is nothing that could match; the same doubt | the same |
//! | 409 `ConditionalRequestConflict` | PUT, DELETE | another write to the key is under way; nothing is known of who wins | try again |
//! | 409 `ConditionalRequestConflict` | `CompleteMultipartUpload` | the same; the upload may be of no use any more | complete again; if the upload is gone, upload anew |
//! | 404 `NoSuchUpload` | complete, abort | the upload was completed or aborted: by this very request, its reply lost, by another hand, or by a lifecycle rule | look whether the object is there ([`crate::Objects::complete`]) |
//! | 400 `InvalidPart` | complete | a part was sent again since, by another hand, and has another ETag (as where a KMS key encrypts it) | as if the upload were gone |
//! | 404 `NoSuchKey` | a read with `If-Match` | the object that was listed is gone | the input has changed |
//! | 200 and a body that breaks off | a read | nothing is wrong but the connection | read on from there, of the same version |
//! | `ConditionalCheckFailedException` | an update | the condition does not hold now; the same doubt | compare what the item says of who did it ([`crate::Ledger`]) |
//! | `TransactionCanceledException` | several writes at once | one of them was refused; or the request was done before | the same |
//! | `TransactionConflictException` | a write | another transaction holds the item | the SDK tries again |
//!
//! Whatever else fails, the SDK has tried again already ([`crate::clients`]), so every write must bear being done twice.
//!
//! Sources, read 2026-11: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>,
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>.

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The condition of a write does not hold, or there is nothing that it could hold for.
    Unmet,
    /// Somebody else writes at the same time: who wins is not known yet.
    Conflict,
    /// The multipart upload is no more.
    UploadGone,
    /// What a read demanded is not there, or not in that version.
    OtherVersion,
    /// Another kind of failure.
    None,
}

/// What a refusal of a write means.
pub(crate) fn of_write(code: Option<&str>) -> Refusal {
    match code {
        Some("PreconditionFailed" | "NoSuchKey" | "NotFound" | "ConditionalCheckFailedException") => Refusal::Unmet,
        Some("ConditionalRequestConflict") => Refusal::Conflict,
        Some("NoSuchUpload" | "InvalidPart") => Refusal::UploadGone,
        _ => Refusal::None,
    }
}

/// What a refusal of a pinned read means.
pub(crate) fn of_read(code: Option<&str>) -> Refusal {
    match code {
        Some("PreconditionFailed" | "NoSuchKey" | "NotFound" | "InvalidRange") => Refusal::OtherVersion,
        _ => Refusal::None,
    }
}

/// Growing pauses between tries that the SDK does not make by itself.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    rounds: u32,
}

/// How many of them: about 9 s in all.
const ROUNDS_MAX: u32 = 12;

impl Pause {
    /// Waits 10 ms, 20 ms, … 1.28 s; gives up after twelve rounds.
    ///
    /// # Errors
    /// `throttled`, with `what` and how often it was tried.
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
