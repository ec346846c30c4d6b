//! Jobs whose items take long, on few functions: the last wait long for their turn, and none of them may be taken for dead.
//!
//! ```console
//! cargo run -p kinglet-tests --example waiting -- FUNCTIONS ITEMS SECONDS [ITEMS SECONDS]…
//! ```
//!
//! Each pair of numbers is a job, submitted a second after the one before, all on so many functions. Prints a line a job as it
//! ends: how long it took, how often a task was tried again, and how many mappers worked, to be held against its items.

use kinglet::{Code, Emitter, Error, Items, Job, Local, Registry, Sink, Submit, UserResult, Values};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

#[derive(Serialize, Deserialize)]
struct Sleep {
    ms: u64,
}

impl Job for Sleep {
    const NAME: &'static str = "sleep";
    type Input = Items<u64>;
    type Key = u64;
    type Value = u64;
    type Output = (u64, u64);

    fn map(&self, number: u64, out: &mut Emitter<'_, u64, u64>) -> UserResult {
        std::thread::sleep(Duration::from_millis(self.ms));
        // On standard error, which the function's log takes.
        eprintln!("item {number} of {} ms was mapped", self.ms);
        out.emit(number, 1)
    }

    fn reduce(&self, number: u64, times: Values<'_, u64>, out: &mut Sink<'_, (u64, u64)>) -> UserResult {
        out.push(&(number, times.sum()))
    }
}

async fn program() -> kinglet::Result<()> {
    let wrong = |_| Error::new(Code::ProgramFailed, "FUNCTIONS ITEMS SECONDS [ITEMS SECONDS]…");
    let numbers: Vec<f64> = std::env::args().skip(1).map(|n| n.parse().map_err(wrong)).collect::<Result<_, _>>()?;
    let Some((functions, jobs)) = numbers.split_first() else {
        return Err(Error::new(Code::ProgramFailed, "FUNCTIONS …"));
    };
    let dir = tempfile::tempdir().map_err(|e| Error::new(Code::Tmp, e.to_string()))?;
    let driver = Local::new().with_concurrency(*functions as u32).start().await?;
    let mut handles = Vec::new();
    for (n, job) in jobs.chunks_exact(2).enumerate() {
        let (items, ms) = (job[0] as u64, (job[1] * 1e3) as u64);
        let output = dir.path().join(n.to_string()).display().to_string();
        let submit = Submit::to(output).with_partitions(1).with_items_per_split(1);
        handles.push((items, ms, Instant::now(), driver.submit_items(&Sleep { ms }, 0..items, submit).await?));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for (items, ms, since, handle) in handles {
        let report = handle.wait().await?;
        let took = since.elapsed().as_secs_f64();
        let logs = driver.runtime().map(|runtime| runtime.host().reports()).unwrap_or_default();
        let logs: std::collections::BTreeSet<_> = logs.into_iter().filter_map(|report| report.log).collect();
        let said = format!(" of {ms} ms was mapped");
        let read = |log| std::fs::read_to_string(log).unwrap_or_default().matches(&said).count();
        let mapped: usize = logs.iter().map(read).sum();
        println!("{items} items of {ms} ms: {took:.1} s, {} retries, mapped {mapped} times", report.retries);
    }
    driver.close().await;
    Ok(())
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().job::<Sleep>(), program)
}
