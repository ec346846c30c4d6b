//! One attempt of an invocation in an environment: delivery, wait, and how it can end.

use super::{
    environment::Lease,
    faults::Fault,
    invocation::{Caller, Invocation},
    launch,
    limits::{SYNC_PAYLOAD_BYTES_MAX, WARM_TRIES_MAX},
    lock::lock,
    messages::{Delivery, Event},
    process::describe_exit,
    report::{InvocationReport, Outcome, billed_ms, timestamp},
    shared::Shared,
};
use rustix::process::Signal;
use std::{
    process::ExitStatus,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until, timeout_at};

/// An attempt: what is run, and what fault is injected.
pub(super) struct Attempt<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) invocation: &'a Invocation,
    pub(super) fault: Option<Fault>,
}

/// The result of an attempt.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) report: InvocationReport,
    /// The end of the log, for a caller who waits.
    pub(super) log_tail: Vec<u8>,
}

/// How the run in a worker ended.
enum Ended {
    /// The worker answered and is ready again.
    Answered(Outcome),
    /// The worker is gone, or must be ended, with or without an answer.
    Spent(Outcome),
    /// The worker was gone before it fetched the invocation, so nothing has run.
    Unfetched(ExitStatus),
}

impl Attempt<'_> {
    /// Runs in a warm environment or a new one. Returns the environment if it can serve again.
    pub(super) async fn run(&self, mut warm: Option<Lease>) -> (Done, Option<Lease>) {
        for _ in 0..WARM_TRIES_MAX {
            let Some(mut lease) = warm.take() else { break };
            let (ended, took) = self.run_in(&mut lease).await;
            match ended {
                // An idle worker died a moment ago. Another may be idle.
                Ended::Unfetched(_) => warm = lock(&self.shared.pool).take_idle(self.invocation.function),
                ended => return self.done(lease, ended, took),
            }
        }
        drop(warm);
        let started = Instant::now();
        let mut lease = match launch::start(self.shared, self.invocation.function).await {
            Ok(lease) => lease,
            Err(error) => {
                let message = self.message(&format!("starting the worker: {error}"));
                let outcome = Outcome::host_error("Runtime.InvalidEntrypoint", message);
                let report = self.report(None, &outcome, Duration::ZERO, None);
                return (Done { outcome, report, log_tail: Vec::new() }, None);
            }
        };
        lease.environment.log.start("");
        if let Err(outcome) = self.init(&mut lease).await {
            lease.environment.kill();
            lease.gone().await;
            lease.init = Some(started.elapsed());
            return self.done(lease, Ended::Spent(outcome), Duration::ZERO);
        }
        lease.init = Some(started.elapsed());
        let (ended, took) = self.run_in(&mut lease).await;
        self.done(lease, ended, took)
    }

    /// Waits for the end of the init phase: the process's first request for an event.
    async fn init(&self, lease: &mut Lease) -> Result<(), Outcome> {
        let timeout = self.shared.options.init_timeout;
        match timeout_at(Instant::now() + timeout, lease.events.recv()).await {
            Ok(Some(Event::Ready)) => Ok(()),
            Ok(Some(Event::InitError { document, error_type })) => {
                Err(Outcome::function_error(document, error_type.as_deref()))
            }
            Ok(Some(Event::Exited(status))) => Err(self.exited(status)),
            Ok(_) => Err(Outcome::host_error("Runtime.ExitError", self.message("the worker answered out of turn"))),
            Err(_) => {
                let message = format!("Init phase timed out after {:.2} seconds", timeout.as_secs_f64());
                Err(Outcome::host_error("Sandbox.Timedout", self.message(&message)))
            }
        }
    }

    /// Delivers the invocation, and waits until the worker is ready again or spent. The answer alone is not the end: only a
    /// worker that asks for the next event can be given it, and a caller who comes back at once should find it warm.
    async fn run_in(&self, lease: &mut Lease) -> (Ended, Duration) {
        let function = &self.shared.functions[self.invocation.function];
        let environment = lease.environment.clone();
        let line = format!("START RequestId: {} Version: $LATEST\n", self.invocation.request_id);
        if lease.init.is_some() {
            environment.log.end(&line);
        } else {
            environment.log.start(&line);
        }
        let delivered = Instant::now();
        let deadline = delivered + function.spec.timeout;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + function.spec.timeout;
        environment.runtime.deliver(Delivery {
            request_id: self.invocation.request_id.clone(),
            payload: self.invocation.payload.clone(),
            deadline_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            arn: function.arn_header.clone(),
            trace_id: self.invocation.trace_id.clone(),
            client_context: self.invocation.client_context.clone(),
        });
        let mut hurt = Hurt::new(self.fault, delivered);
        let mut outcome = None;
        let ended = loop {
            let event = tokio::select! {
                event = lease.events.recv() => event,
                () = sleep_until(hurt.at.unwrap_or(deadline)), if hurt.at.is_some() => {
                    hurt.strike(lease);
                    continue;
                }
                () = sleep_until(deadline) => {
                    environment.kill();
                    lease.gone().await;
                    break Ended::Spent(outcome.unwrap_or_else(|| self.timed_out(function.spec.timeout)));
                }
            };
            match event {
                Some(Event::Ready) => {
                    // The channel has nothing but an answer before it; see `runtime_api`.
                    if let Some(outcome) = outcome {
                        break Ended::Answered(outcome);
                    }
                }
                Some(Event::Response(_) | Event::Error { .. }) if self.fault == Some(Fault::LoseReply) => {
                    environment.kill();
                }
                Some(Event::Response(body)) => outcome = Some(Outcome::Response(body)),
                Some(Event::ResponseTooLarge) => outcome = Some(self.response_too_large()),
                Some(Event::Error { document, error_type } | Event::InitError { document, error_type }) => {
                    outcome = Some(Outcome::function_error(document, error_type.as_deref()));
                }
                Some(Event::Exited(status)) if environment.runtime.take_back().is_some() => {
                    break Ended::Unfetched(status);
                }
                Some(Event::Exited(status)) => {
                    break Ended::Spent(outcome.unwrap_or_else(|| self.exited(status)));
                }
                None => {
                    break Ended::Spent(outcome.unwrap_or_else(|| self.exited(ExitStatus::default())));
                }
            }
        };
        (ended, delivered.elapsed())
    }

    fn done(&self, mut lease: Lease, ended: Ended, took: Duration) -> (Done, Option<Lease>) {
        let (outcome, is_reusable) = match ended {
            Ended::Answered(outcome) => (outcome, true),
            Ended::Spent(outcome) => (outcome, false),
            Ended::Unfetched(status) => (self.exited(status), false),
        };
        let environment = lease.environment.clone();
        if is_reusable {
            environment.sample_memory_if_stale();
        }
        let report = self.report(Some(&lease), &outcome, took, lease.init);
        let mut lines = String::new();
        if let Some(error) = outcome.error().filter(|_| !is_reusable) {
            let now = timestamp(OffsetDateTime::now_utc());
            let id = &self.invocation.request_id;
            let what = error.error_message.strip_prefix(&self.message("")).unwrap_or(&error.error_message);
            lines = format!("{now} {id} {what}\n");
        }
        lines += &format!("END RequestId: {}\n{}\n", self.invocation.request_id, report.line());
        environment.log.end(&lines);
        let log_tail = match self.invocation.caller {
            Caller::Sync(_) => environment.log.tail(),
            Caller::Event | Caller::Nobody => Vec::new(),
        };
        lease.init = None;
        (Done { outcome, report, log_tail }, is_reusable.then_some(lease))
    }

    fn report(
        &self,
        lease: Option<&Lease>,
        outcome: &Outcome,
        took: Duration,
        init: Option<Duration>,
    ) -> InvocationReport {
        let function = &self.shared.functions[self.invocation.function];
        let memory_mb = function.spec.memory_mb;
        let max_memory_mb = lease.map_or(0, |lease| match lease.environment.was_killed_for_memory() {
            true => memory_mb,
            false => lease.environment.memory_peak_mb(),
        });
        InvocationReport {
            request_id: self.invocation.request_id.clone(),
            function: function.name.clone(),
            attempt: self.invocation.attempt,
            memory_mb,
            billed_ms: billed_ms(took, init),
            duration_ms: took.as_secs_f64() * 1e3,
            init_ms: init.map(|init| init.as_secs_f64() * 1e3),
            max_memory_mb,
            error: outcome.error().cloned(),
            cold: init.is_some(),
            log: lease.map(|lease| lease.environment.log.path.clone()),
        }
    }

    fn message(&self, what: &str) -> String {
        format!("RequestId: {} Error: {what}", self.invocation.request_id)
    }

    fn timed_out(&self, timeout: Duration) -> Outcome {
        let message = format!("Task timed out after {:.2} seconds", timeout.as_secs_f64());
        Outcome::host_error("Sandbox.Timedout", self.message(&message))
    }

    fn exited(&self, status: ExitStatus) -> Outcome {
        let message = match describe_exit(status) {
            Some(how) => format!("Runtime exited with error: {how}"),
            None => "Runtime exited without providing a reason".into(),
        };
        Outcome::host_error("Runtime.ExitError", self.message(&message))
    }

    fn response_too_large(&self) -> Outcome {
        let message =
            format!("Response payload size exceeded maximum allowed payload size ({SYNC_PAYLOAD_BYTES_MAX} bytes).");
        Outcome::host_error("Function.ResponseSizeTooLarge", message)
    }
}

/// A kill or a freeze that is still to come.
struct Hurt {
    at: Option<Instant>,
    pause: Option<Duration>,
}

impl Hurt {
    fn new(fault: Option<Fault>, delivered: Instant) -> Self {
        match fault {
            Some(Fault::KillWorker { after }) => Self { at: Some(delivered + after), pause: None },
            Some(Fault::FreezeWorker { after, pause }) => Self { at: Some(delivered + after), pause: Some(pause) },
            _ => Self { at: None, pause: None },
        }
    }

    fn strike(&mut self, lease: &Lease) {
        self.at = None;
        let environment = lease.environment.clone();
        let Some(pause) = self.pause else {
            return environment.kill();
        };
        environment.signal(Signal::STOP);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            environment.signal(Signal::CONT);
        });
    }
}
