//! What the functions of a driver's embedded runtime do their work with. The tests share it with the programs that they run.

use kinglet::Driver;
use kinglet_aws::{Clients, Clock, Conductor, Endpoints, FunctionNames, Stack};

/// The servers of a driver's embedded runtime, as functions reach them.
pub(crate) fn endpoints(driver: &Driver) -> Option<Endpoints> {
    let at = driver.endpoints()?;
    let keys = (at.access_key, at.secret_key);
    Some(Endpoints { s3: at.s3_url, dynamodb: at.dynamodb_url, lambda: at.lambda_url, region: at.region, keys })
}

/// A stack's parts in one hand, on a machine with this clock; functions live as long as `timeout_ms` says.
pub(crate) fn conductor(driver: &Driver, clock: Clock, timeout_ms: u64) -> Option<Conductor> {
    let clients = Clients::on_machine(&endpoints(driver)?, clock);
    let name = |role: &str| format!("kinglet-{role}");
    let functions = FunctionNames {
        splitter: name("splitter"),
        mapper: name("mapper"),
        mapper_large: Some(name("mapper-large")),
        reducer: name("reducer"),
    };
    let (table, work_bucket) = ("kinglet".to_owned(), "kinglet-work".to_owned());
    Some(Conductor::new(clients, Stack { table, work_bucket, functions, timeout_ms }))
}
