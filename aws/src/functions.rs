//! Functions on Lambda, invoked asynchronously.

use crate::errors::Doing;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::wire::event::Event;
use kinglet_core::{Error, Result, limits};

/// The names of the functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionNames {
    /// Cuts inputs; also looks after jobs and takes the records of failed invocations.
    pub splitter: String,
    /// Runs map tasks.
    pub mapper: String,
    /// Runs map tasks that died of memory on the mapper: the same code with more of it.
    pub mapper_large: Option<String>,
    /// Runs reduce tasks.
    pub reducer: String,
}

/// Invokes functions.
#[derive(Clone)]
pub struct Functions {
    lambda: aws_sdk_lambda::Client,
    names: FunctionNames,
}

/// How many invocations are under way at once.
const PARALLEL: usize = 64;

impl Functions {
    /// Functions of these names, through this client.
    pub fn new(lambda: aws_sdk_lambda::Client, names: FunctionNames) -> Self {
        Functions { lambda, names }
    }

    /// Hands an event to the function that handles it, and does not wait for it.
    ///
    /// # Errors
    /// What Lambda reports.
    pub async fn start(&self, event: &Event) -> Result<()> {
        let name = match event {
            Event::Split(_) | Event::Sweep(_) => &self.names.splitter,
            Event::Map(event) if event.larger => self.names.mapper_large.as_ref().unwrap_or(&self.names.mapper),
            Event::Map(_) => &self.names.mapper,
            Event::Reduce(_) => &self.names.reducer,
        };
        let payload =
            serde_json::to_vec(event).map_err(|e| Error::input("event", format!("encoding an event: {e}")))?;
        if payload.len() > limits::INVOKE_ASYNC_BYTES_MAX {
            return Err(Error::limit("too-large", format!("an event for {name} has {} bytes", payload.len())));
        }
        let doing = Doing::now(format!("invoking function {name}"));
        let request = self.lambda.invoke().function_name(name).invocation_type(InvocationType::Event);
        request.payload(Blob::new(payload)).send().await.map(|_| ()).map_err(|e| doing.failed(&e))
    }

    /// Hands out many events, several at once.
    ///
    /// # Errors
    /// The first that Lambda reports.
    pub async fn start_all(&self, events: Vec<Event>) -> Result<()> {
        stream::iter(events.into_iter().map(Ok))
            .map(|event: Result<Event>| async move { self.start(&event?).await })
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await
    }
}
