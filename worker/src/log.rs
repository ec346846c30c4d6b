//! The log: one JSON object a line on stderr, where Lambda collects it. What the line is about stands at the top level.
//!
//! A function handles one invocation at a time, so what all of its lines share ([`Subject`]) is kept once for the process,
//! and not in a span. Lines from the engine's threads, from the SDK's tasks and from the job's own code then have it too.

use kinglet_core::env;
use kinglet_core::wire::log::{Subject, line};
use serde_json::{Map, Value};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What a driver logs. The embedded servers' warnings repeat the answers that the SDK gets: a condition that does not hold is
/// no news, and `s3s` calls every 404 and 412 an error. The driver itself reports how a job ended. Of an object that was uploaded in
/// parts, the SDK says in each read that it does not check the whole by the parts' checksums; our own check what matters.
const DRIVER: &str = "warn,s3s=off,dynoxide=error,kinglet::job=off,aws_sdk_s3::http_response_checksum=error";

/// What a function logs: the job's own code and Kinglet from `info` on, the libraries below from `warn` on.
const FUNCTION: &str =
    "info,aws=warn,aws_sdk_s3::http_response_checksum=error,h2=warn,hyper=warn,lambda=warn,rustls=warn,tower=warn";

/// The subject of this process's lines.
static SUBJECT: Mutex<Option<Map<String, Value>>> = Mutex::new(None);

/// Sets the subject of the lines from now on; `None` at the end of an invocation.
pub(crate) fn set_subject(subject: Option<&Subject>) {
    *SUBJECT.lock().unwrap_or_else(PoisonError::into_inner) = subject.map(Subject::members);
}

/// Writes a driver's log to stderr. A second call, as when tests share a process, changes nothing.
pub fn start_log() {
    start(DRIVER);
}

/// Writes a function's log to stderr, panics included.
pub fn start_function_log() {
    start(FUNCTION);
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.payload();
        let said = said.downcast_ref::<&str>().map(|text| (*text).to_owned()).or(said.downcast_ref().cloned());
        let place = panic.location().map(ToString::to_string);
        let thread = std::thread::current().name().map(str::to_owned);
        // Captured only if `RUST_BACKTRACE` asks for it.
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(code = "panic", error = said, place, thread, backtrace, "a panic");
    }));
}

fn start(filter: &str) {
    let filter = EnvFilter::try_from_env(env::LOG).unwrap_or_else(|_| EnvFilter::new(filter));
    let _ = tracing_subscriber::registry().with(filter).with(Lines).try_init();
}

/// Returns the time as it stands in lines: RFC 3339 with microseconds.
pub(crate) fn timestamp() -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// Writes a line in one piece, so that the lines of several threads do not mix.
pub(crate) fn write(mut line: String) {
    line.push('\n');
    // Nobody can be told when the log cannot be written.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// The layer that writes events.
struct Lines;

/// The fields of a span, while it lives.
struct Fields(Map<String, Value>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut visitor = Visitor(Map::new());
        attributes.record(&mut visitor);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Fields(visitor.0));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(Fields(fields)) = span.extensions_mut().get_mut::<Fields>()
        {
            let mut visitor = Visitor(std::mem::take(fields));
            values.record(&mut visitor);
            *fields = visitor.0;
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut members = SUBJECT.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
        members.extend(fields(event, &context));
        let message = match members.remove("message") {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        members.insert("target".to_owned(), event.metadata().target().into());
        write(line(&timestamp(), event.metadata().level().as_str(), &message, &members));
    }
}

/// Returns the fields of an event and of the spans around it. Of two with one name, the inner one's counts.
fn fields<S: Subscriber + for<'a> LookupSpan<'a>>(event: &Event<'_>, context: &Context<'_, S>) -> Map<String, Value> {
    let mut members = Map::new();
    for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
        if let Some(Fields(fields)) = span.extensions().get::<Fields>() {
            members.extend(fields.clone());
        }
    }
    let mut visitor = Visitor(members);
    event.record(&mut visitor);
    visitor.0
}

/// Collects fields as JSON: numbers and booleans as they are, all else as text.
struct Visitor(Map<String, Value>);

impl Visitor {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Visitor {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, kinglet_aws::causes(value));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Kept = std::sync::Arc<Mutex<Vec<Map<String, Value>>>>;

    struct Keep(Kept);

    impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Keep {
        fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
            self.0.lock().unwrap().push(fields(event, &context));
        }
    }

    #[test]
    fn fields_of_spans_and_events_stand_side_by_side() {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::registry().with(Lines).with(Keep(kept.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let outer = tracing::info_span!("outer", a = 1, b = tracing::field::Empty).entered();
            outer.record("b", "later");
            let _inner = tracing::info_span!("inner", a = 2.5, c = true).entered();
            tracing::warn!(d = ?Some(1), e = -7, "said {}", "so");
        });
        let want =
            serde_json::json!({ "a": 2.5, "b": "later", "c": true, "d": "Some(1)", "e": -7, "message": "said so" });
        assert_eq!(Value::from(kept.lock().unwrap()[0].clone()), want);
    }
}
