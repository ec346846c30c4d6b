//! The loop that takes events from the Lambda Runtime API. Each event goes to the handler, or to the shipped program that is
//! to run it; the outcome is answered and logged.

use crate::outcome::Outcome;
use crate::program::{Delivery, Task};
use crate::worker::{Invocation, Worker};
use kinglet_aws::ledger::Says;
use kinglet_core::wire::event::Event;
use kinglet_core::{Error, Result};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Deserialize;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

type Answer = Pin<Box<dyn Future<Output = Result<Outcome, Failed>> + Send>>;

/// Takes events and hands them to `handler` until the host ends the process.
///
/// # Errors
/// Returns an error when the Runtime API cannot be reached.
pub async fn serve<H, F>(worker: Worker, handler: H) -> Result<(), lambda_runtime::Error>
where
    H: Fn(Arc<Worker>, Invocation) -> F,
    F: Future<Output = Result<Outcome>> + Send + 'static,
{
    let worker = Arc::new(worker);
    lambda_runtime::run(service_fn(|event: LambdaEvent<serde_json::Value>| {
        let init_ms = worker.init_ms();
        let trace = event.context.xray_trace_id.as_deref();
        worker.conductor.functions.set_trace(trace);
        // Boxed: the types of a handler's futures nest deeper than the compiler allows.
        let call: Pin<Box<dyn Future<Output = Result<Outcome>> + Send>> = match worker.shipped(&event.payload) {
            Some((about, task)) => {
                // The program has a journal of its own.
                worker.journal.set_subject(&event.context.request_id, trace, &about);
                Box::pin(run_shipped(worker.clone(), about, task, event, init_ms))
            }
            None => {
                worker.journal.begin(&event.context.request_id, trace, &event.payload, init_ms > 0);
                if matches!(Event::deserialize(&event.payload), Ok(Event::Ping(_))) {
                    return Box::pin(async { Ok(Outcome::Pong) }) as Answer;
                }
                let deadline = worker.deadline(event.context.deadline());
                let request_id = event.context.request_id;
                let call =
                    handler(worker.clone(), Invocation { payload: event.payload, request_id, deadline, init_ms });
                let worker = worker.clone();
                Box::pin(async move {
                    worker.programs.end().await;
                    call.await
                })
            }
        };
        let worker = worker.clone();
        Box::pin(async move {
            let answer = call.await;
            worker.journal.end(&answer);
            answer.map_err(Failed)
        }) as Answer
    }))
    .await
}

/// Runs a task in its shipped program. Records the failures that the program could not record itself.
async fn run_shipped(
    worker: Arc<Worker>,
    about: Event,
    task: Task,
    event: LambdaEvent<serde_json::Value>,
    init_ms: u64,
) -> Result<Outcome> {
    let deadline = worker.deadline(event.context.deadline());
    let request_id = event.context.request_id;
    let delivery = Delivery {
        deadline,
        payload: event.payload,
        request_id: request_id.clone(),
        trace_id: event.context.xray_trace_id,
        arn: event.context.invoked_function_arn,
        init_ms,
    };
    match worker.programs.run(&worker.conductor, &task, delivery).await {
        Ok(answer) => Ok(Outcome::Program { answer }),
        Err(error) => {
            let Task { job, key, .. } = &task;
            let error = error.context(key);
            // There may be little time, so what counts comes first. The job's name, for the metrics, is worth a read that may
            // fail.
            let recorded = worker.conductor.try_failed(job, *key, Says::Lambda(&request_id), &error).await;
            let spec = tokio::time::timeout(Duration::from_millis(300), worker.conductor.spec(job)).await;
            let name = spec.ok().and_then(Result::ok).map(|spec| spec.job.clone());
            worker.journal.program_died(&about, name.as_deref(), &error);
            recorded?;
            Ok(Outcome::Failed { code: error.code().to_owned() })
        }
    }
}

/// Our error in Lambda's form: the type is our code, not the name of a Rust type.
#[derive(Debug)]
struct Failed(Error);

impl From<Failed> for Diagnostic {
    fn from(Failed(error): Failed) -> Self {
        Diagnostic { error_type: format!("Kinglet.{}", error.code()), error_message: error.to_string() }
    }
}
