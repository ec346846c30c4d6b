//! Invocations and the control plane.

use super::Probe;
use super::line::{Answers, Line, Watch, answer};
use crate::request::Request;
use aws_sdk_lambda::operation::invoke::builders::InvokeFluentBuilder;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use kinglet_core::limits::INVOKE_ASYNC_BYTES_MAX;
use kinglet_core::model::lambda as model;
use kinglet_core::wire::event::{Event, PingEvent};

const LATENCIES: &str = "Latencies of Lambda";

/// The control plane is asked only a few times: its rate is low, and shared with everything in the account.
const CONTROL_REQUESTS: u32 = 5;

impl Probe<'_> {
    pub(super) async fn lambda_times(&self) -> Vec<Line> {
        let [mut event, mut ping, mut control] = [(); 3].map(|()| Watch::default());
        // The first request opens the connection, and warms the function.
        let _ = self.ping().reply().await;
        for _ in 0..self.samples.small / 2 {
            ping.time(self.ping().reply()).await;
        }
        for _ in 0..self.samples.small / 2 {
            event.time(self.ping().invocation_type(InvocationType::Event).reply()).await;
        }
        for _ in 0..CONTROL_REQUESTS {
            let request = self.lambda.get_function_configuration().function_name(&self.functions().splitter);
            control.time(request.reply()).await;
        }
        [
            ("lambda-invoke-event", "Invoke of an event, until it is accepted", event, model::INVOKE_EVENT),
            ("lambda-ping", "Invoke of a warm function, with its answer", ping, model::INVOKE_WARM),
            ("lambda-control", "GetFunctionConfiguration", control, model::CONTROL),
        ]
        .into_iter()
        .map(|(name, what, watch, model)| Line::took(name, what, LATENCIES, watch.measured(), model))
        .collect()
    }

    pub(super) async fn lambda_answers(&self) -> Vec<Line> {
        const TOO_LARGE: [&str; 2] = ["413 RequestTooLargeException", "413 RequestEntityTooLargeException"];
        let payload = format!("\"{}\"", "k".repeat(INVOKE_ASYNC_BYTES_MAX));
        let request = self.lambda.invoke().function_name(&self.functions().splitter).payload(Blob::new(payload));
        let found = answer(&request.invocation_type(InvocationType::Event).reply().await);
        let agrees = TOO_LARGE.contains(&found.as_str());
        let what = "Invoke of an event of more than 1 MB";
        vec![Answers::from(found).line("lambda-too-large", what, "Payloads", TOO_LARGE[0], agrees)]
    }

    /// A ping of the splitter, which answers at once.
    fn ping(&self) -> InvokeFluentBuilder {
        let payload = serde_json::to_vec(&Event::Ping(PingEvent {})).unwrap_or_default();
        self.lambda.invoke().function_name(&self.functions().splitter).payload(Blob::new(payload))
    }
}
