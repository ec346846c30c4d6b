//! Second reads: where S3 does not answer a read for a second, the same is asked once more, and the answer that comes first
//! counts. Where a body stops for as long, the rest of it is asked for anew.
//!
//! A few of S3's replies take many times as long as the others, and whoever needs thousands of them waits for the slowest: a
//! reducer reads a run of each mapper. AWS tells clients to ask again
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html>), and J. Dean and L. A.
//! Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013, say why the first request is better kept than given up.
//!
//! Where everything is slow, as in a bucket that throttles, asking twice would make it worse. So a process saves up for it: a
//! read earns a twentieth of a second read, and what it has saved is bounded.

use crate::request::{Answer, Reply};
use aws_smithy_runtime_api::client::result::SdkError;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// How many reads earn a second one.
const READS: u32 = 20;

/// How many second reads may be saved; a process begins with as many.
const SAVED: u32 = 10;

/// Whether and when a process asks S3 a second time. Clones share what is saved.
#[derive(Clone, Debug)]
pub(crate) struct SecondReads(Option<Arc<Saved>>);

#[derive(Debug)]
struct Saved {
    after: Duration,
    /// How much is saved, in reads.
    reads: AtomicU32,
}

impl SecondReads {
    /// Asks a second time when there was no answer for so long.
    pub(crate) fn after(after: Duration) -> Self {
        SecondReads(Some(Arc::new(Saved { after, reads: AtomicU32::new(READS * SAVED) })))
    }

    /// Never asks a second time.
    pub(crate) fn never() -> Self {
        SecondReads(None)
    }

    /// Sends a read, and a second one if it takes too long. Returns what comes first, unless it is that S3 could not be reached.
    ///
    /// # Errors
    /// Returns the error of the read.
    pub(crate) async fn reply<T, E>(&self, send: impl Fn() -> Reply<T, E>) -> Answer<T, E> {
        let first = send();
        let Some(saved) = &self.0 else { return first.await };
        saved.earn();
        let mut first = first;
        if let Ok(reply) = timeout(saved.after, &mut first).await {
            return reply;
        }
        if !saved.spend() {
            return first.await;
        }
        tracing::debug!(after = ?saved.after, "a read takes long, and is sent a second time");
        match select(first, send()).await {
            Either::Left((reply, other)) | Either::Right((reply, other)) => match reply {
                Ok(_) | Err(SdkError::ServiceError(_)) => reply,
                Err(_) => other.await,
            },
        }
    }

    /// Waits for the next block of a body. Returns `None` if none comes for too long, and the rest is to be asked for anew.
    pub(crate) async fn block<T>(&self, next: impl Future<Output = T>) -> Option<T> {
        let Some(saved) = &self.0 else { return Some(next.await) };
        let mut next = pin!(next);
        match timeout(saved.after, &mut next).await {
            Ok(block) => Some(block),
            Err(_) if saved.spend() => None,
            Err(_) => Some(next.await),
        }
    }
}

impl Saved {
    fn earn(&self) {
        let more = |reads: u32| (reads < READS * SAVED).then_some(reads + 1);
        // An error says that it is full.
        let _ = self.reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn spend(&self) -> bool {
        self.reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reads| reads.checked_sub(READS)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    type Nothing = Answer<u32, ()>;

    /// Sends a read of which the first `lost` requests are never answered. Returns which was, and how many were sent.
    async fn read(reads: &SecondReads, lost: u32) -> (u32, u32) {
        let sent = AtomicU32::new(0);
        let send = || -> Reply<u32, ()> {
            let n = sent.fetch_add(1, Ordering::Relaxed);
            if n < lost { Box::pin(pending::<Nothing>()) } else { Box::pin(async move { Ok(n) }) }
        };
        let reply = reads.reply(send).await.unwrap();
        (reply, sent.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_read_that_is_not_answered_is_sent_once_more() {
        let reads = SecondReads::after(Duration::from_millis(1));
        assert_eq!(read(&reads, 0).await, (0, 1));
        assert_eq!(read(&reads, 1).await, (1, 2));
    }

    #[test]
    fn at_most_one_read_in_twenty_is_sent_twice() {
        let saved = Saved { after: Duration::ZERO, reads: AtomicU32::new(READS * SAVED) };
        let mut twice = 0;
        for _ in 0..2_000 {
            saved.earn();
            twice += u32::from(saved.spend());
        }
        assert_eq!(twice, SAVED + 2_000 / READS - 1, "what is earned while all is saved is lost");
    }
}
