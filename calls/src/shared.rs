//! Data that many calls read: it is sent once, and kept by warm workers.

use crate::context::Context;
use kinglet_aws::Objects;
use kinglet_aws::objects::Replace;
use kinglet_core::Value;
use kinglet_core::budget::{SHARED_PERCENT, memory_bytes};
use kinglet_core::wire::items;
use kinglet_core::{Code, Error, Result, codec};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;

/// A value that is sent to the stack once, for any number of calls to read. This handle is small and travels in the inputs of
/// calls. A worker fetches the value when a call first asks for it, and keeps it for later calls.
///
/// ```
/// # use kinglet_calls::{Context, Shared};
/// # use kinglet_core::UserResult;
/// fn known(context: &Context, (words, word): (Shared<Vec<String>>, String)) -> UserResult<bool> {
///     Ok(words.blocking_get(context)?.contains(&word))
/// }
/// ```
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Shared<T> {
    bucket: String,
    key: String,
    bytes: u64,
    marker: PhantomData<fn() -> T>,
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared { bucket: self.bucket.clone(), key: self.key.clone(), bytes: self.bytes, marker: PhantomData }
    }
}

/// A value that is kept.
struct Kept {
    key: String,
    value: Arc<dyn Any + Send + Sync>,
    bytes: u64,
}

/// The values that this process keeps, the most recently used last. The lock is held while a value is fetched, so that each is
/// fetched once.
static KEPT: tokio::sync::Mutex<VecDeque<Kept>> = tokio::sync::Mutex::const_new(VecDeque::new());

impl<T: Value + Sync> Shared<T> {
    /// Writes a value to S3, under a key of its own.
    ///
    /// # Errors
    /// Returns [`Error::UserCode`] (`value-encode`) when the value does not serialise, and [`Error::Limit`] (`item-too-large`)
    /// when its encoding has 4 GB or more. Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3
    /// cannot be reached or refuses.
    pub async fn put(objects: &Objects, bucket: &str, key: &str, value: &T) -> Result<Self> {
        let mut body = Vec::new();
        items::frame_into(&mut body, 0, |out| codec::encode_into(value, out))?;
        let bytes = body.len() as u64;
        objects.put(bucket, key, body.into(), Replace::Yes).await?;
        Ok(Shared { bucket: bucket.to_owned(), key: key.to_owned(), bytes, marker: PhantomData })
    }

    /// Returns the value.
    ///
    /// # Errors
    /// Returns [`Error::StaleDeployment`] (`shared-type`) when the driver's type of the value is not the function's, and
    /// [`Error::Input`] (`object-missing`) when the value is no longer there. Returns a service error (`access-denied`,
    /// `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn get(&self, context: &Context) -> Result<Arc<T>> {
        let mut kept = KEPT.lock().await;
        if let Some(at) = kept.iter().position(|kept| kept.key == self.key)
            && let Some(found) = kept.remove(at)
        {
            let value = found.value.clone().downcast::<T>();
            kept.push_back(found);
            return value.map_err(|_| self.stale("it is of another type"));
        }
        let body = context.objects().get(&self.bucket, &self.key, None).await?;
        let item = items::read(&body).map_err(|e| e.context(format!("shared data {}", self.key)))?;
        let value: Arc<T> = Arc::new(codec::decode(item.payload).map_err(|e| self.stale(&e.to_string()))?);
        kept.push_back(Kept { key: self.key.clone(), value: value.clone(), bytes: self.bytes });
        let most = memory_bytes(context.memory_mb(), SHARED_PERCENT);
        while kept.len() > 1 && kept.iter().map(|kept| kept.bytes).sum::<u64>() > most {
            kept.pop_front();
        }
        Ok(value)
    }

    /// Does what [`Shared::get`] does, for plain functions.
    ///
    /// # Errors
    /// As [`Shared::get`].
    pub fn blocking_get(&self, context: &Context) -> Result<Arc<T>> {
        context.wait(self.get(context))
    }

    fn stale(&self, why: &str) -> Error {
        Error::new(Code::SharedType, format!("reading shared data {}: {why}", self.key))
            .with_hint("the functions hold another version of its type: build or deploy them again")
    }
}
