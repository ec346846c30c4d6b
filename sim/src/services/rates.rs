//! Rates: how much a service takes in a second, for each prefix of S3, each partition key and the table of DynamoDB.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// Buckets of tokens by name. A bucket holds what comes in within one burst.
pub struct Rates {
    per_s: f64,
    burst_s: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Rates {
    /// Returns rates of so much a second for each name, of which a burst of so many seconds is taken at once.
    pub fn new(per_s: u64, burst_s: f64) -> Self {
        Rates { per_s: per_s as f64, burst_s, buckets: Mutex::default() }
    }

    /// Takes so much from a bucket. Returns whether it was there.
    pub fn take(&self, name: &str, wanted: f64) -> bool {
        let (now, most) = (Instant::now(), self.per_s * self.burst_s);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(name) {
            buckets.insert(name.to_owned(), Bucket { tokens: most, at: now });
        }
        let Some(bucket) = buckets.get_mut(name) else { return true };
        bucket.tokens = (bucket.tokens + self.per_s * now.duration_since(bucket.at).as_secs_f64()).min(most);
        bucket.at = now;
        // What is larger than a burst passes when the bucket is full.
        let there = bucket.tokens >= wanted.min(most);
        if there {
            bucket.tokens -= wanted;
        }
        there
    }

    /// Takes more from a bucket from which something has been taken, or gives back what is less than nothing. Who comes next
    /// waits for what is missing then.
    pub fn correct(&self, name: &str, more: f64) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(name) {
            bucket.tokens -= more;
        }
    }
}
