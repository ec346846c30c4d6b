//! Lambda: queues, environments, concurrency, retries and destinations as AWS documents them, and the real handlers within.
//!
//! ```text
//! Invoke ──202──▶ queue ──a slot is free──▶ environment (cold: started; warm: thawed) ──▶ handler ──▶ frozen
//!                  ▲  │ no slot: 1 s, 2 s, … 300 s                    │ dies, fails, runs out of time
//!                  └──┘ six hours old: to the destination             └──▶ retried, or its record to the destination
//! ```

use crate::chance::Chance;
use crate::faults::Kind;
use crate::machine::{Machine, Reply};
use crate::region::Region;
use crate::services::rates::Rates;
use crate::services::{Asked, Parts, plain};
use crate::workloads;
use bytes::Bytes;
use kinglet_core::Error;
use kinglet_core::model::lambda as model;
use kinglet_core::wire::event::Event;
use kinglet_worker::{Invocation, Outcome, Settings, Worker};
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

thread_local! {
    /// The pool of engines: this thread, as all that is simulated runs on it.
    static POOL: RefCell<Option<Arc<rayon::ThreadPool>>> = const { RefCell::new(None) };
}

/// Returns the pool of engines of this thread.
fn pool() -> Arc<rayon::ThreadPool> {
    POOL.with_borrow_mut(|pool| {
        let make = || {
            let made = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
            Arc::new(made.expect("a pool of the current thread starts none"))
        };
        pool.get_or_insert_with(make).clone()
    })
}

/// By how much the wait of a throttled event grows.
const THROTTLED_WAIT_FACTOR: u32 = model::THROTTLED_WAIT_FACTOR as u32;

/// Two sendings of one event within this time are one too many, unless something went wrong with the first.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Lambda in the region.
pub struct Lambda {
    concurrency: u32,
    state: Mutex<State>,
    ramp: Rates,
    ids: AtomicU64,
}

#[derive(Default)]
struct State {
    running: u32,
    most_running: u32,
    idle: HashMap<String, Vec<Arc<Environment>>>,
    /// How often each event was worked on to an end, by its request id.
    worked: BTreeMap<String, Worked>,
    /// When each event was last sent, by its text.
    sent: BTreeMap<String, Instant>,
    /// The events that were sent again at once.
    sent_again: Vec<String>,
    tally: Tally,
}

/// What Lambda has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub invocations: u64,
    pub cold_starts: u64,
    pub throttled: u64,
    pub died: u64,
    pub most_running: u32,
    /// Milliseconds of all invocations together, times their memory in MB.
    pub mb_ms: u64,
}

/// How often an event was worked on.
#[derive(Clone, Debug, Default)]
struct Worked {
    about: String,
    times: u32,
}

/// An environment: a process and its worker.
struct Environment {
    machine: Arc<Machine>,
    worker: Arc<Worker>,
}

/// An event in a queue.
#[derive(Clone)]
struct Queued {
    function: String,
    payload: Value,
    request_id: String,
    since: Instant,
    /// How often its function has failed on it.
    failures: usize,
}

/// How an invocation ended.
enum Ended {
    Answered,
    /// The function's error document.
    Failed(Value),
}

/// Returns the operation and the subject of a request.
pub fn name(parts: &Parts, body: &[u8]) -> (String, String) {
    let function = parts.uri.path().split('/').nth(3).unwrap_or_default();
    let event: Value = serde_json::from_slice(body).unwrap_or_default();
    ("Invoke".to_owned(), format!("{function} {}", subject(&event)))
}

/// Returns what an event is about.
fn subject(event: &Value) -> String {
    if let Some(failed) = event.get("requestPayload") {
        return format!("failed {}", subject(failed));
    }
    let Some((kind, what)) = event.as_object().and_then(|event| event.iter().next()) else { return String::new() };
    let number = |name: &str| what[name].as_u64().unwrap_or(0);
    plain(&format!("{kind} {}.{}.{}", number("task"), number("piece"), number("number")))
}

/// Returns an error of Lambda.
pub fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let mut reply = answer(status, json!({ "Type": "User", "message": message }).to_string().into());
    if let Ok(code) = http::HeaderValue::from_str(code) {
        reply.headers.insert("x-amzn-errortype", code);
    }
    reply
}

fn answer(status: u16, body: Bytes) -> Reply {
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    Reply { status, headers, body }
}

impl Lambda {
    /// Returns Lambda for an account that may run so many functions at once.
    pub fn new(concurrency: u32) -> Self {
        // So many at once, and so many more in each such time.
        let ramp_s = model::RAMP_MS as f64 / 1_000.0;
        let ramp = Rates::new((f64::from(model::RAMP_ENVIRONMENTS) / ramp_s) as u64, ramp_s);
        Lambda { concurrency, state: Mutex::default(), ramp, ids: AtomicU64::new(0) }
    }

    /// Gives up all idle environments, whose machines hold the region that holds them: without this, no region would ever be freed.
    pub fn close(&self) {
        let idle = std::mem::take(&mut self.lock().idle);
        drop(idle);
    }

    /// Returns what it has done so far.
    pub fn tally(&self) -> Tally {
        let state = self.lock();
        Tally { most_running: state.most_running, ..state.tally }
    }

    /// Returns the events that were worked on more than once.
    pub fn worked_on_twice(&self) -> Vec<String> {
        let state = self.lock();
        state.worked.values().filter(|worked| worked.times > 1).map(|worked| worked.about.clone()).collect()
    }

    /// Returns the events that were sent twice within [`AT_ONCE`].
    pub fn sent_twice(&self) -> Vec<String> {
        self.lock().sent_again.clone()
    }

    /// Serves a request: takes an event into the queue, or invokes a function and waits.
    pub async fn serve(&self, region: &Arc<Region>, asked: &Asked) -> Reply {
        let function = asked.parts.uri.path().split('/').nth(3).unwrap_or_default().to_owned();
        let Ok(payload) = serde_json::from_slice::<Value>(&asked.body) else {
            return refusal(400, "InvalidRequestContentException", "Could not parse request body into json.");
        };
        let is_event = asked.parts.headers.get("x-amz-invocation-type").is_some_and(|kind| kind == "Event");
        let queued = self.event(function, payload);
        if is_event {
            self.note_sent(&asked.about, &queued.payload);
            let twice = region.faults.strike(&format!("deliver {}", asked.about), &[Kind::TwiceSoon, Kind::TwiceLate]);
            if let Some(fault) = twice {
                let pause = match fault.struck.kind {
                    Kind::TwiceLate => Duration::from_secs(3 * 3_600),
                    _ => Duration::from_millis(fault.pick % 20_000),
                };
                tokio::spawn(again(region.clone(), queued.clone(), pause));
            }
            if region.conditions.twice {
                for pause in [Duration::from_millis(700), Duration::from_secs(3 * 3_600)] {
                    tokio::spawn(again(region.clone(), queued.clone(), pause));
                }
            }
            tokio::spawn(deliver(region.clone(), queued));
            return answer(202, Bytes::new());
        }
        if !self.take_slot(region) {
            return refusal(429, "TooManyRequestsException", "Rate Exceeded.");
        }
        let ended = execute(region, &queued).await;
        self.lock().running -= 1;
        match ended {
            Ended::Answered => answer(200, Bytes::from_static(b"null")),
            Ended::Failed(document) => {
                let mut reply = answer(200, document.to_string().into());
                reply.headers.insert("x-amz-function-error", http::HeaderValue::from_static("Unhandled"));
                reply
            }
        }
    }

    fn note_sent(&self, about: &str, payload: &Value) {
        let (now, mut state) = (Instant::now(), self.lock());
        let before = state.sent.insert(payload.to_string(), now);
        if before.is_some_and(|before| now.duration_since(before) < AT_ONCE) {
            state.sent_again.push(about.to_owned());
        }
    }

    fn event(&self, function: String, payload: Value) -> Queued {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        let request_id = format!("00000000-0000-4000-8000-{number:012x}");
        Queued { function, payload, request_id, since: Instant::now(), failures: 0 }
    }

    /// Puts an event into a function's queue: what a schedule does.
    pub fn send(&self, region: &Arc<Region>, function: &str, payload: Value) {
        tokio::spawn(deliver(region.clone(), self.event(function.to_owned(), payload)));
    }

    /// Takes one of the account's slots, if one is free.
    fn take_slot(&self, region: &Region) -> bool {
        let now = region.since_start();
        let taken = match region.conditions.neighbour {
            Some((from, to, taken)) if (from..to).contains(&now) => taken,
            _ => 0,
        };
        let mut state = self.lock();
        let free = state.running + taken < self.concurrency;
        if free {
            state.running += 1;
            state.most_running = state.most_running.max(state.running);
        } else {
            state.tally.throttled += 1;
        }
        free
    }

    /// Freezes an environment until its function is invoked again.
    fn keep(&self, function: &str, environment: Arc<Environment>) {
        environment.machine.set_frozen(true);
        self.lock().idle.entry(function.to_owned()).or_default().push(environment);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Delivers an event once more, after a pause.
async fn again(region: Arc<Region>, queued: Queued, pause: Duration) {
    tokio::time::sleep(pause).await;
    region.says(&format!("the event {} comes again", subject(&queued.payload)));
    deliver(region, queued).await;
}

/// Delivers an event: waits for a slot, runs the function, and does what follows when that fails. Boxed, as the destination's
/// event is delivered likewise.
fn deliver(region: Arc<Region>, mut queued: Queued) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let chance = Chance::of(region.seed, &format!("deliver {}", queued.request_id));
        loop {
            tokio::time::sleep(chance.latency(model::WARM_START)).await;
            let mut pause = Duration::from_millis(model::THROTTLED_WAIT_MS);
            while !region.lambda.take_slot(&region) {
                if queued.since.elapsed() > Duration::from_millis(model::EVENT_AGE_MS_MAX) {
                    region.says(&format!("the event {} is too old", subject(&queued.payload)));
                    return destination(&region, &queued, "EventAgeExceeded", &Value::Null);
                }
                // Spread, so that not all come at once again.
                tokio::time::sleep(pause.mul_f64(0.5 + chance.between(0, 1_000) as f64 / 2_000.0)).await;
                pause = (pause * THROTTLED_WAIT_FACTOR).min(Duration::from_millis(model::THROTTLED_WAIT_MS_MAX));
            }
            let ended = execute(&region, &queued).await;
            region.lambda.lock().running -= 1;
            let Ended::Failed(document) = ended else { return };
            let retries = if queued.function == "splitter" { model::EVENT_RETRY_WAITS_MS.len() } else { 0 };
            if queued.failures >= retries {
                return destination(&region, &queued, "RetriesExhausted", &document);
            }
            tokio::time::sleep(Duration::from_millis(model::EVENT_RETRY_WAITS_MS[queued.failures])).await;
            queued.failures += 1;
        }
    })
}

/// Sends the record of a failed event to the function's destination: the splitter, which has none itself.
fn destination(region: &Arc<Region>, queued: &Queued, condition: &str, document: &Value) {
    if queued.function == "splitter" {
        return;
    }
    let about = subject(&queued.payload);
    if region.faults.strike(&format!("record {about}"), &[Kind::LoseRecord]).is_some() {
        return region.says(&format!("the record of {about} is lost"));
    }
    let arn = format!("arn:aws:lambda:us-east-1:123456789012:function:{}:$LATEST", queued.function);
    let record = json!({
        "version": "1.0",
        "requestContext": {
            "requestId": queued.request_id,
            "functionArn": arn,
            "condition": condition,
            "approximateInvokeCount": queued.failures + 1,
        },
        "requestPayload": queued.payload,
        "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
        "responsePayload": document,
    });
    region.lambda.send(region, "splitter", record);
}

/// Runs a function on an event. The caller has a slot.
async fn execute(region: &Arc<Region>, queued: &Queued) -> Ended {
    let about = subject(&queued.payload);
    let environment = environment(region, &queued.function).await;
    let Environment { machine, worker } = &*environment;
    machine.set_frozen(false);
    machine.says(&format!("begins {about}"));
    let (began, deadline) = (Instant::now(), Instant::now() + region.conditions.timeout);
    let call =
        Invocation { payload: queued.payload.clone(), request_id: queued.request_id.clone(), deadline, init_ms: 0 };
    let handler = handler(&queued.function, worker.clone(), call);
    // A task of its own, so that what it borrows ends with it when the process dies.
    let mut handler = tokio::spawn(handler);
    let ended = tokio::select! {
        biased;
        () = machine.died() => None,
        answered = &mut handler => Some(answered),
        () = tokio::time::sleep_until(deadline) => None,
    };
    let mut state = region.lambda.lock();
    state.tally.invocations += 1;
    state.tally.mb_ms += began.elapsed().as_millis() as u64 * u64::from(worker.memory_mb);
    let failed = |kind: &str, message: String| Ended::Failed(json!({ "errorType": kind, "errorMessage": message }));
    match ended {
        Some(Ok(Ok(outcome))) => {
            if matches!(outcome, Outcome::Committed { .. } | Outcome::Lost { .. } | Outcome::Failed { .. }) {
                let worked = state.worked.entry(queued.request_id.clone()).or_default();
                *worked = Worked { about: about.clone(), times: worked.times + 1 };
            }
            drop(state);
            region.lambda.keep(&queued.function, environment.clone());
            machine.says(&format!("ends {about}: {}", said(&outcome)));
            Ended::Answered
        }
        Some(Ok(Err(error))) => {
            drop(state);
            region.lambda.keep(&queued.function, environment.clone());
            machine.says(&format!("fails {about}: {error}"));
            failed(&format!("Kinglet.{}", error.code()), error.to_string())
        }
        Some(Err(panic)) => {
            drop(state);
            machine.says(&format!("panics in {about}: {panic}"));
            machine.die();
            region.lambda.lock().tally.died += 1;
            failed("Runtime.ExitError", format!("RequestId: {} Error: Runtime exited", queued.request_id))
        }
        None => {
            state.tally.died += 1;
            drop(state);
            handler.abort();
            let id = &queued.request_id;
            if machine.is_dead() {
                // A process that a fault ended died of memory, or of something else.
                let why = if Chance::of(region.seed, id).hits(500_000) { "signal: killed" } else { "exit status 1" };
                return failed("Runtime.ExitError", format!("RequestId: {id} Error: Runtime exited with error: {why}"));
            }
            machine.says(&format!("is out of time in {about}"));
            machine.die();
            let seconds = region.conditions.timeout.as_secs_f64();
            failed("Sandbox.Timedout", format!("RequestId: {id} Error: Task timed out after {seconds:.2} seconds"))
        }
    }
}

fn said(outcome: &Outcome) -> String {
    serde_json::to_string(outcome).unwrap_or_default()
}

/// Returns an environment of a function: an idle one, or a new one.
async fn environment(region: &Arc<Region>, function: &str) -> Arc<Environment> {
    let idle = region.lambda.lock().idle.get_mut(function).and_then(Vec::pop);
    if let Some(environment) = idle {
        return environment;
    }
    while !region.lambda.ramp.take(function, 1.0) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let machine = Machine::start(region, function, region.nature(function));
    region.lambda.lock().tally.cold_starts += 1;
    let chance = Chance::of(region.seed, &format!("start {}", machine.number));
    tokio::time::sleep(chance.latency(model::COLD_START) + chance.latency(model::INIT)).await;
    let memory_mb = region.conditions.memory_mb;
    let of_process = machine.clone();
    let settings = Settings {
        conductor: region.conductor(&machine),
        function: function.to_owned(),
        memory_mb: if function == "mapper-large" { 4 * memory_mb } else { memory_mb }.min(10_240),
        tmp: region.tmp(),
        pool: pool(),
        abandon: Arc::new(move || of_process.die()),
    };
    Arc::new(Environment { machine, worker: Arc::new(Worker::new(settings)) })
}

type Handler = Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>>;

/// Returns the real handler of a function.
fn handler(function: &str, worker: Arc<Worker>, call: Invocation) -> Handler {
    let (jobs, functions) = workloads::registered();
    if matches!(Event::deserialize(&call.payload), Ok(Event::Ping(_))) {
        return Box::pin(async { Ok(Outcome::Pong) });
    }
    match function {
        "splitter" => Box::pin(kinglet_splitter::handle(worker, call)),
        "reducer" => Box::pin(kinglet_reducer::handle_with(worker, jobs, functions, call)),
        _ => Box::pin(kinglet_mapper::handle_with(worker, jobs, functions, call)),
    }
}
