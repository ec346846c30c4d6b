//! The Lambda function: this crate's handler with the built-in jobs.

use kinglet_worker::{Worker, serve, start_function_log};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    start_function_log();
    serve(Worker::from_env().await?, kinglet_splitter::handle).await
}
