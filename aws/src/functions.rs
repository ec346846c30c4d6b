//! Functions on Lambda, invoked asynchronously.

use crate::configuration::{Configuration, said_otherwise};
use crate::errors::{Doing, code};
use crate::request::Request;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, LastUpdateStatus};
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::wire::event::{Event, PingEvent};
use kinglet_core::wire::trace;
use kinglet_core::{Code, Error, Result, limits};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// The names of the functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionNames {
    /// The splitter: cuts inputs, looks after jobs, and takes the records of failed invocations.
    pub splitter: String,
    /// The mapper: runs map tasks.
    pub mapper: String,
    /// The larger mapper, the same code with more memory: runs map tasks that ran out of memory on the mapper.
    pub mapper_large: Option<String>,
    /// The reducer: runs reduce tasks, and merge tasks.
    pub reducer: String,
}

/// A function as Lambda describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FunctionInfo {
    /// Its name.
    pub name: String,
    /// Its memory in MB.
    pub memory_mb: u32,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// Its timeout in seconds.
    pub timeout_s: u32,
    /// The size of its package in bytes.
    pub code_bytes: u64,
}

/// A client that invokes a stack's functions.
#[derive(Clone)]
pub struct Functions {
    lambda: aws_sdk_lambda::Client,
    names: FunctionNames,
    /// The X-Ray tracing header that this process was invoked with.
    trace: Arc<Mutex<Option<String>>>,
}

/// The pause between looks at a function's update, and the most looks: an update takes seconds.
const UPDATE_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);
const UPDATE_LOOKS_MAX: u32 = 120;

/// How many invocations are sent at once.
const PARALLEL: usize = 64;

impl Functions {
    /// Returns the functions of these names.
    pub fn new(lambda: aws_sdk_lambda::Client, names: FunctionNames) -> Self {
        Functions { lambda, names, trace: Arc::default() }
    }

    /// Sets the tracing header that this process was invoked with. It is passed on to the functions of the same job.
    pub fn set_trace(&self, header: Option<&str>) {
        *self.trace.lock().unwrap_or_else(PoisonError::into_inner) = header.map(str::to_owned);
    }

    /// Invokes the function that handles an event, without waiting for the result.
    ///
    /// # Errors
    /// Returns `function-missing` when the stack has no such function; `too-large` when the event exceeds Lambda's limit; or
    /// a service error (`access-denied`, `throttled`, `unreachable`, …) when Lambda cannot be reached or refuses.
    pub async fn start(&self, event: &Event) -> Result<()> {
        match self.start_once(event).await {
            // The request, or this whole machine, stood still until its signature had expired. The SDK's own second try trusts
            // such a reply to say how far this clock is off, and is refused as well.
            Err(error) if error.is(Code::Clock) => self.start_once(event).await,
            started => started,
        }
    }

    async fn start_once(&self, event: &Event) -> Result<()> {
        let name = match event {
            Event::Split(_)
            | Event::Start(_)
            | Event::Changed(_)
            | Event::Sweep(_)
            | Event::Tell(_)
            | Event::Ping(_) => &self.names.splitter,
            Event::Map(event) if event.larger => self.names.mapper_large.as_ref().unwrap_or(&self.names.mapper),
            Event::Map(_) => &self.names.mapper,
            Event::Merge(_) | Event::Reduce(_) => &self.names.reducer,
        };
        let payload =
            serde_json::to_vec(event).map_err(|e| Error::new(Code::Event, format!("encoding an event: {e}")))?;
        if payload.len() > limits::INVOKE_ASYNC_BYTES_MAX {
            return Err(Error::new(Code::TooLarge, format!("an event for {name} has {} bytes", payload.len())));
        }
        let doing = Doing::now(format!("invoking function {name}"));
        let request = self.lambda.invoke().function_name(name).invocation_type(InvocationType::Event);
        let trace = event.job().map(|job| {
            let given = self.trace.lock().unwrap_or_else(PoisonError::into_inner);
            trace::header(job, given.as_deref())
        });
        let request = request.payload(Blob::new(payload)).customize().mutate_request(move |request| {
            // It replaces the SDK's own header, which is of this process's environment.
            if let Some(trace) = &trace {
                let _ = request.headers_mut().try_insert(trace::HEADER, trace.clone());
            }
        });
        match request.reply().await {
            Ok(_) => Ok(()),
            Err(e) if code(&e).as_deref() == Some("ResourceNotFoundException") => {
                let message = format!("invoking function {name}: there is no such function");
                Err(Error::new(Code::FunctionMissing, message)
                    .with_hint("deploy the stack again: one of its functions was deleted"))
            }
            Err(e) => Err(doing.failed(&e)),
        }
    }

    /// Invokes a function with a ping and waits for the answer. Returns `None` when the function answers; else what Lambda
    /// says of the failure, which keeps it from handling events, too.
    ///
    /// # Errors
    /// Returns why the function cannot be invoked now: `throttled`, `access-denied`, or another service error of Lambda.
    pub async fn ping(&self, name: &str) -> Result<Option<Error>> {
        let doing = Doing::now(format!("pinging function {name}"));
        let payload = serde_json::to_vec(&Event::Ping(PingEvent {}))
            .map_err(|e| Error::new(Code::Event, format!("encoding an event: {e}")))?;
        let request = self.lambda.invoke().function_name(name).payload(Blob::new(payload));
        let answer = request.reply().await.map_err(|e| doing.failed(&e))?;
        if answer.function_error.is_none() {
            return Ok(None);
        }
        let said = answer.payload.map(Blob::into_inner).unwrap_or_default();
        let said = serde_json::from_slice(&said).unwrap_or_default();
        Ok(Some(death(&said).context(format!("function {name}"))))
    }

    /// Returns the names of the functions.
    pub fn names(&self) -> &FunctionNames {
        &self.names
    }

    /// Reads Lambda's description of the functions: splitter, mapper, larger mapper, reducer.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when Lambda cannot be reached or refuses.
    pub async fn describe(&self) -> Result<Vec<FunctionInfo>> {
        let FunctionNames { splitter, mapper, mapper_large, reducer } = &self.names;
        let mut described = Vec::new();
        for name in [Some(splitter), Some(mapper), mapper_large.as_ref(), Some(reducer)].into_iter().flatten() {
            let doing = Doing::now(format!("looking at function {name}"));
            let request = self.lambda.get_function_configuration().function_name(name);
            let found = Configuration::of(request.reply().await, |e| doing.failed(e))?;
            described.push(FunctionInfo {
                name: name.clone(),
                memory_mb: found.memory_mb,
                architecture: found.architecture.unwrap_or_else(|| "x86_64".to_owned()),
                timeout_s: found.timeout_s,
                code_bytes: found.code_bytes,
            });
        }
        Ok(described)
    }

    /// Reads the memory of the mapper in MB.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when Lambda cannot be reached or refuses.
    pub async fn mapper_memory_mb(&self) -> Result<u32> {
        Ok(self.mapper().await?.memory_mb)
    }

    async fn mapper(&self) -> Result<Configuration> {
        let name = &self.names.mapper;
        let doing = Doing::now(format!("looking at function {name}"));
        let request = self.lambda.get_function_configuration().function_name(name);
        Configuration::of(request.reply().await, |e| doing.failed(e))
    }

    /// Sets the mapper's memory in MB, and waits until new invocations have it.
    ///
    /// # Errors
    /// Returns a service error when Lambda refuses: no permission (`lambda:UpdateFunctionConfiguration`), a size that the
    /// account does not allow, or an update by somebody else that is under way. Returns `function-update` when the update
    /// fails.
    pub async fn set_mapper_memory_mb(&self, memory_mb: u32) -> Result<()> {
        let name = &self.names.mapper;
        let doing = Doing::now(format!("giving function {name} {memory_mb} MB of memory"));
        let request = self.lambda.update_function_configuration().function_name(name);
        if let Err(error) = request.memory_size(memory_mb.cast_signed()).reply().await
            && said_otherwise(error.raw_response()).is_none()
        {
            return Err(doing.failed(&error));
        }
        for _ in 0..UPDATE_LOOKS_MAX {
            let found = self.mapper().await?;
            let now_mb = found.memory_mb;
            match found.last_update.as_deref().map(LastUpdateStatus::from) {
                Some(LastUpdateStatus::InProgress) => tokio::time::sleep(UPDATE_PAUSE).await,
                Some(LastUpdateStatus::Failed) => {
                    let why = found.last_update_reason.unwrap_or_else(|| "for no reason given".to_owned());
                    let message = format!("giving function {name} {memory_mb} MB of memory: {why}");
                    return Err(Error::new(Code::FunctionUpdate, message));
                }
                _ if now_mb == memory_mb => return Ok(()),
                _ => {
                    let message =
                        format!("function {name} has {now_mb} MB of memory and not the {memory_mb} MB it was given");
                    return Err(Error::new(Code::FunctionUpdate, message)
                        .with_hint("somebody else changes the function at the same time"));
                }
            }
        }
        let message = format!("function {name} is still being updated after a minute");
        Err(Error::new(Code::FunctionUpdate, message).with_hint("look at it in the console, then try again"))
    }

    /// Invokes the functions for many events, several at once.
    ///
    /// # Errors
    /// Returns the first error that [`Self::start`] meets.
    pub async fn start_all(&self, events: Vec<Event>) -> Result<()> {
        stream::iter(events.into_iter().map(Ok))
            .map(|event: Result<Event>| async move { self.start(&event?).await })
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await
    }
}

/// Returns our error for a failure as Lambda describes it, with its types and messages; see
/// <https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html>.
///
/// `out-of-memory`: more memory may help. `aborted`: the program ended by `abort()`, because its stack was too small, or
/// because the system refused it memory; only its log tells these apart. `timed-out`: the function's time was up. `crashed`:
/// all else.
pub fn death(response: &serde_json::Value) -> Error {
    let field = |name: &str| response.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let (kind, message) = (field("errorType"), field("errorMessage"));
    let says = |text: &str| kind.contains(text) || message.contains(text);
    if says("OutOfMemory") || says("signal: killed") {
        Error::new(Code::OutOfMemory, format!("the function ran out of memory: {message}"))
            .with_hint("give the functions more memory, or cut the input into smaller splits (--split-bytes)")
    } else if says("signal: aborted") {
        Error::new(Code::Aborted, format!("the function ended itself: {message}")).with_hint(
            "the function's log says why: `abort()` was called, the stack overflowed, or the system refused it memory",
        )
    } else if says("Timedout") || says("timed out") {
        Error::new(Code::TimedOut, format!("the function ran out of time: {message}"))
            .with_hint("give the functions a longer timeout or cut the input into smaller splits (--split-bytes)")
    } else {
        let what = if message.is_empty() { "without a word" } else { message };
        Error::new(Code::Crashed, format!("the function failed: {kind}: {what}"))
            .with_hint("the function's log says more")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambdas_words_become_codes() {
        let code = |kind: &str, message: &str| {
            death(&serde_json::json!({"errorType": kind, "errorMessage": message})).code().to_owned()
        };
        assert_eq!(code("Runtime.ExitError", "Error: Runtime exited with error: signal: killed"), "out-of-memory");
        assert_eq!(code("Runtime.OutOfMemory", ""), "out-of-memory");
        assert_eq!(code("Runtime.ExitError", "Error: Runtime exited with error: signal: aborted"), "aborted");
        assert_eq!(code("Sandbox.Timedout", "Task timed out after 3.00 seconds"), "timed-out");
        assert_eq!(code("Runtime.ExitError", "Error: Runtime exited with error: exit status 1"), "crashed");
        assert_eq!(death(&serde_json::Value::Null).code(), "crashed");
    }
}
