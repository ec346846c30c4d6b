//! Counts requests: one interceptor on all clients, called for every attempt of every request.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::retries::RequestAttempts;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use kinglet_core::wire::record::Requests;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The running totals of a process.
#[derive(Debug, Default)]
pub struct Meter {
    s3_put: AtomicU64,
    s3_get: AtomicU64,
    s3_delete: AtomicU64,
    dynamodb: AtomicU64,
    write_milliunits: AtomicU64,
    read_milliunits: AtomicU64,
    lambda: AtomicU64,
    again: AtomicU64,
}

impl Meter {
    /// Returns the totals so far.
    pub fn totals(&self) -> Requests {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Requests {
            s3_put: get(&self.s3_put),
            s3_get: get(&self.s3_get),
            s3_delete: get(&self.s3_delete),
            dynamodb: get(&self.dynamodb),
            write_milliunits: get(&self.write_milliunits),
            read_milliunits: get(&self.read_milliunits),
            lambda: get(&self.lambda),
            again: get(&self.again),
        }
    }

    /// Returns the difference between the totals and `before`.
    pub fn since(&self, before: &Requests) -> Requests {
        let now = self.totals();
        Requests {
            s3_put: now.s3_put - before.s3_put,
            s3_get: now.s3_get - before.s3_get,
            s3_delete: now.s3_delete - before.s3_delete,
            dynamodb: now.dynamodb - before.dynamodb,
            write_milliunits: now.write_milliunits - before.write_milliunits,
            read_milliunits: now.read_milliunits - before.read_milliunits,
            lambda: now.lambda - before.lambda,
            again: now.again - before.again,
        }
    }

    /// Adds the capacity that DynamoDB reports for a write.
    pub(crate) fn wrote(&self, units: f64) {
        self.write_milliunits.fetch_add((units * 1e3) as u64, Ordering::Relaxed);
    }

    /// Adds the capacity that DynamoDB reports for a read.
    pub(crate) fn read(&self, units: f64) {
        self.read_milliunits.fetch_add((units * 1e3) as u64, Ordering::Relaxed);
    }

    fn count(&self, service: &str, operation: &str, attempt: u32) {
        let counter = match (service, operation) {
            ("S3", op) if op.starts_with("Get") || op.starts_with("Head") => &self.s3_get,
            ("S3", op) if op.starts_with("Delete") || op.starts_with("Abort") => &self.s3_delete,
            ("S3", _) => &self.s3_put,
            ("DynamoDB", _) => &self.dynamodb,
            (_, "Invoke") => &self.lambda,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if attempt > 1 {
            self.again.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct MeterInterceptor(Arc<Meter>);

impl MeterInterceptor {
    pub(crate) fn new(meter: Arc<Meter>) -> Self {
        MeterInterceptor(meter)
    }
}

#[dyn_dispatch_hint]
impl Intercept for MeterInterceptor {
    fn name(&self) -> &'static str {
        "kinglet-meter"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let attempt = config.load::<RequestAttempts>().map_or(1, RequestAttempts::attempts);
        if let Some(request) = config.load::<Metadata>() {
            self.0.count(request.service(), request.name(), attempt);
        }
        Ok(())
    }
}
