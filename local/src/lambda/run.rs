//! One invocation from its admission to its report, and what follows for an event that failed.

use super::{
    attempt::Attempt,
    environment::Lease,
    faults::Fault,
    invocation::{Answer, Caller, Invocation},
    lock::lock,
    report::{FailureRecord, Outcome},
    shared::Shared,
};
use std::sync::{Arc, atomic::Ordering::SeqCst};

/// The place of a running invocation, given back however the run ends.
struct Place {
    shared: Arc<Shared>,
    function: usize,
    lease: Option<Lease>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let surplus = lock(&self.shared.pool).release(self.function, self.lease.take());
        // Dropping kills them; the lock is free by now.
        drop(surplus);
        pump(&self.shared);
    }
}

/// Starts the queued events that may run.
pub(super) fn pump(shared: &Arc<Shared>) {
    while !shared.is_stopping() {
        let Some((invocation, warm)) = lock(&shared.pool).next_event() else {
            return;
        };
        start(shared, invocation, warm);
    }
}

/// Runs an admitted invocation in a task of its own, so that a caller who hangs up does not stop it.
pub(super) fn start(shared: &Arc<Shared>, invocation: Invocation, warm: Option<Lease>) {
    let place = Place { shared: shared.clone(), function: invocation.function, lease: None };
    tokio::spawn(run(place, invocation, warm));
}

async fn run(mut place: Place, invocation: Invocation, warm: Option<Lease>) {
    let shared = place.shared.clone();
    let fault = shared.fault_at_run(invocation.function);
    if fault == Some(Fault::RunTwice) {
        run_again(&shared, &invocation);
    }
    let attempt = Attempt { shared: &shared, invocation: &invocation, fault };
    let (done, lease) = attempt.run(warm).await;
    shared.report(done.report);
    place.lease = lease;
    match invocation.caller {
        Caller::Sync(reply) => {
            // The place is free before the caller gets the answer, so that a caller who calls again at once finds it.
            drop(place);
            // A caller who hung up is not an error.
            let _ = reply.send(Answer { outcome: done.outcome, log_tail: done.log_tail });
        }
        // The retry counts as pending before the run ceases to.
        Caller::Event => settle_event(&shared, invocation, done.outcome),
        Caller::Nobody => {}
    }
}

fn run_again(shared: &Arc<Shared>, invocation: &Invocation) {
    let second = Invocation {
        request_id: invocation.request_id.clone(),
        function: invocation.function,
        payload: invocation.payload.clone(),
        client_context: invocation.client_context.clone(),
        trace_id: invocation.trace_id.clone(),
        attempt: invocation.attempt,
        caller: Caller::Nobody,
    };
    if lock(&shared.pool).push(second.function, second).is_ok() {
        pump(shared);
    }
}

/// Hands the record of a failed event to the function's on-failure destination, if it has one. Failures of the destination
/// itself go nowhere: they could go round for ever.
fn send_to_destination(shared: &Arc<Shared>, event: &Invocation, record: &FailureRecord) {
    let wanted = shared.functions[event.function].spec.on_failure.as_deref();
    let find = |name: &str| shared.functions.iter().position(|f| &*f.name == name);
    let Some(function) = wanted.and_then(find).filter(|function| *function != event.function) else {
        return;
    };
    let sent = Invocation {
        request_id: uuid::Uuid::new_v4().to_string().into(),
        function,
        payload: serde_json::to_vec(record).unwrap_or_default().into(),
        client_context: None,
        trace_id: event.trace_id.clone(),
        attempt: 1,
        caller: Caller::Event,
    };
    if lock(&shared.pool).push(function, sent).is_err() {
        shared.warn("the queue of events is full; a failure record was dropped".into());
    }
    pump(shared);
}

/// Retries a failed event, twice by default, and then records it; see *How Lambda handles errors and retries with
/// asynchronous invocation*.
fn settle_event(shared: &Arc<Shared>, mut event: Invocation, outcome: Outcome) {
    let Outcome::Error(_, document) = outcome else {
        return;
    };
    if shared.is_stopping() {
        // The host is stopping and killed it; there is no point in a retry.
        return;
    }
    let Some(&delay) = shared.options.async_retry_delays.get(event.attempt as usize - 1) else {
        let arn = &shared.functions[event.function].arn;
        let record = FailureRecord::new(&event.request_id, arn, event.attempt, &event.payload, &document);
        send_to_destination(shared, &event, &record);
        shared.record_failure(record);
        return;
    };
    event.attempt += 1;
    event.caller = Caller::Event;
    let shared = shared.clone();
    shared.retries_waiting.fetch_add(1, SeqCst);
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        let pushed = lock(&shared.pool).push(event.function, event);
        shared.retries_waiting.fetch_sub(1, SeqCst);
        if pushed.is_err() {
            shared.warn("the queue of events is full; a retry was dropped".into());
        }
        pump(&shared);
    });
}
