//! A program whose jobs' input is made, not read, but for one, which reads rows of a type. `items.rs` and `rejected.rs` run it: it
//! prints what it found as JSON.

use kinglet::{
    Driver, Emitter, Items, Job, Local, MaxRejected, Parquet, Registry, Report, Sink, Submit, UserError, UserResult,
    Values,
};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeSet;
use std::time::Duration;

/// Emits each number with the number of its square's digits; fails, panics, waits or takes all memory where it is told to.
#[derive(Default, Serialize, Deserialize)]
struct Digits {
    fails_at: Option<u32>,
    panics_at: Option<u32>,
    waits_ms: u64,
    talks: bool,
}

impl Job for Digits {
    const NAME: &'static str = "digits";
    type Input = Items<(u32, String)>;
    type Key = u32;
    type Value = String;
    type Output = (u32, u64, String);

    fn map(&self, (number, text): (u32, String), out: &mut Emitter<'_, u32, String>) -> UserResult {
        if self.talks {
            tracing::info!(number, "said by the job");
            println!("printed by the job: {number}");
        }
        std::thread::sleep(Duration::from_millis(self.waits_ms));
        if self.fails_at == Some(number) {
            return Err(UserError::new("this number will not do"));
        }
        assert_ne!(self.panics_at, Some(number), "this number is unthinkable");
        out.emit(number, text)
    }

    fn reduce(&self, number: u32, texts: Values<'_, String>, out: &mut Sink<'_, (u32, u64, String)>) -> UserResult {
        let texts: Vec<String> = texts.collect();
        out.push(&(number, texts.len() as u64, texts.concat()))
    }
}

/// A value that cannot be written. It owns no memory, so nobody tries before the map task ends.
#[derive(Deserialize)]
struct Mute;

impl Serialize for Mute {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("it will not be written")
    }
}

#[derive(Serialize, Deserialize)]
struct Mutes;

impl Job for Mutes {
    const NAME: &'static str = "mutes";
    type Input = Items<(u32, String)>;
    type Key = u32;
    type Value = Mute;
    type Output = u32;

    fn map(&self, (number, _): (u32, String), out: &mut Emitter<'_, u32, Mute>) -> UserResult {
        out.emit(number, Mute)
    }

    fn reduce(&self, number: u32, _: Values<'_, Mute>, out: &mut Sink<'_, u32>) -> UserResult {
        out.push(&number)
    }
}

/// A row whose number must be small.
#[derive(Deserialize)]
struct Small {
    id: u8,
    text: String,
}

/// Counts the texts of rows.
#[derive(Serialize, Deserialize)]
struct Narrow;

impl Job for Narrow {
    const NAME: &'static str = "narrow";
    type Input = Parquet<Small>;
    type Key = String;
    type Value = u64;
    type Output = (String, u64);

    fn map(&self, row: Small, out: &mut Emitter<'_, String, u64>) -> UserResult {
        out.emit(row.text, row.id.into())
    }

    fn reduce(&self, text: String, ids: Values<'_, u64>, out: &mut Sink<'_, (String, u64)>) -> UserResult {
        out.push(&(text, ids.sum()))
    }
}

fn items(count: u32) -> impl Iterator<Item = (u32, String)> {
    (0..count).map(|n| (n, "x".repeat(n as usize % 7)))
}

fn submit(output: &str) -> Submit {
    Submit::to(output).with_partitions(2)
}

async fn run(driver: &Driver, count: u32, submit: Submit) -> kinglet::Result<Report> {
    driver.submit_items(&Digits::default(), items(count), submit).await?.wait().await
}

async fn program() -> kinglet::Result<()> {
    let driver = Local::new().with_concurrency(2).start().await?;
    let case = std::env::args().nth(1).unwrap_or_default();
    let done = match &case[..] {
        "even" => driver.run_items(&Digits::default(), items(100), "out").await,
        "one a split" => run(&driver, 40, submit("out").with_items_per_split(1)).await,
        "weights" => run(&driver, 100, submit("out").with_item_weights(0..100)).await,
        "many" => run(&driver, 30_000, submit("out").with_items_per_split(10_000)).await,
        "none" => run(&driver, 0, submit("out")).await,
        "files" => driver.run(&Digits::default(), ["in"], "out").await,
        "both" => run(&driver, 1, Submit::new(["in"], "out")).await,
        "too few weights" => run(&driver, 3, submit("out").with_item_weights([1])).await,
        "fails" | "panics" => {
            let at = Some(17);
            let job = match &case[..] {
                "fails" => Digits { fails_at: at, ..Digits::default() },
                _ => Digits { panics_at: at, ..Digits::default() },
            };
            driver.submit_items(&job, items(40), submit("out")).await?.wait().await
        }
        "unwritable" => driver.submit_items(&Mutes, items(40), submit("out")).await?.wait().await,
        "out of time" => {
            let submit = Submit::to("out").with_map_time(Duration::from_millis(300)).with_items_per_split(20);
            let job = Digits { waits_ms: 40, ..Digits::default() };
            driver.submit_items(&job, items(40), submit).await?.wait().await
        }
        "logs" => {
            let job = Digits { panics_at: Some(3), talks: true, ..Digits::default() };
            let done = driver.submit_items(&job, items(4), submit("out")).await?.wait().await;
            // A worker is reported when its invocation is over, which may be after its job.
            while driver.runtime().is_some_and(|runtime| runtime.host().pending() > 0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let reports = driver.runtime().map(|runtime| runtime.host().reports()).unwrap_or_default();
            let logs: BTreeSet<_> = reports.into_iter().filter_map(|report| report.log).collect();
            for log in logs {
                print!("{}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            done
        }
        "narrow" => {
            let submit = Submit::new(["in.parquet"], "out").with_split_bytes(1_000).with_partitions(1);
            match std::env::args().nth(2).and_then(|max| max.parse::<MaxRejected>().ok()) {
                Some(max) => driver.submit(&Narrow, submit.with_max_rejected(max)).await?.wait().await,
                None => driver.submit(&Narrow, submit).await?.wait().await,
            }
        }
        other => panic!("{other} is no case"),
    };
    driver.close().await;
    println!("{}", serde_json::to_string(&done?).unwrap_or_default());
    Ok(())
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().job::<Digits>().job::<Mutes>().job::<Narrow>(), program)
}
