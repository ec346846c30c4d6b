//! Calls of a function that does next to nothing, on the embedded runtime: how long 1, 1,000, 10,000 of them take, and which
//! requests they cost. `bench/calls` runs it beside Lithops.
//!
//! usage: calls COUNT…
//!
//! Prints a line of JSON for each count, the driver's own start not counted, and the first, `start`, for that.

use kinglet::{Driver, Registry};
use std::time::Instant;

fn increment(n: u64) -> u64 {
    n + 1
}

async fn run() -> kinglet::Result<()> {
    let began = Instant::now();
    let driver = Driver::local().await?;
    println!("{{\"start_s\": {:.4}}}", began.elapsed().as_secs_f64());
    for count in std::env::args().skip(1).filter_map(|arg| arg.parse::<u64>().ok()) {
        let began = Instant::now();
        let calls = driver.map(increment, 0..count).await?;
        let results = calls.results().await?;
        let took = began.elapsed().as_secs_f64();
        assert!((1..).zip(results).all(|(want, got)| want == got), "a result is wrong");
        let report = calls.report();
        let requests = report.requests;
        println!(
            "{{\"calls\": {count}, \"wall_s\": {took:.4}, \"batches\": {}, \"s3_put\": {}, \"s3_get\": {}, \
             \"dynamodb\": {}, \"lambda\": {}, \"cost_usd\": {:.7}}}",
            report.batches, requests.s3_put, requests.s3_get, requests.dynamodb, requests.lambda, report.cost.total
        );
    }
    driver.close().await;
    Ok(())
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().function(increment), run)
}
