//! The Lambda function: this crate's handler with the built-in jobs.

use kinglet_worker::{Worker, serve, start_function_log};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    start_function_log();
    let jobs = std::sync::Arc::new(kinglet_jobs::registry());
    serve(Worker::from_env().await?, move |worker, call| kinglet_reducer::handle(worker, jobs.clone(), call)).await
}
