//! A program whose functions are called on the embedded runtime. `calls.rs` runs it, a case at a time; it checks what comes back
//! and prints what is worth looking at as JSON.

// Here all functions are parts of tests.
#![allow(clippy::unwrap_used)]

use kinglet::prices::Prices;
use kinglet::{
    CallOptions, Calls, Code, Combiner, Context, Driver, Emitter, Error, Items, Job, Local, Registry, Shared, Sink,
    Submit, UserError, UserResult, Values,
};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn square(n: u64) -> u64 {
    n * n
}

fn odd_only(n: u64) -> UserResult<u64> {
    match n % 10 {
        7 => Err(UserError::new(format!("{n} is a seven"))),
        8 => panic!("{n} is unthinkable"),
        _ => Ok(n),
    }
}

/// Kills its worker at some inputs.
fn deadly(n: u64) -> u64 {
    match n {
        13 => std::process::exit(3),
        29 => std::process::abort(),
        _ => n,
    }
}

fn slow_at_five(n: u64) -> u64 {
    if n == 5 {
        std::thread::sleep(Duration::from_secs(60));
    }
    n
}

/// Takes 400 MB at one input.
fn hungry(n: u64) -> u64 {
    if n != 3 {
        return n;
    }
    let all: Vec<u64> = (0..50_000_000).map(|i| i ^ n).collect();
    std::thread::sleep(Duration::from_secs(2));
    all.iter().copied().max().unwrap_or_default()
}

async fn later(n: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(n)).await;
    n
}

async fn later_fails(n: u64) -> UserResult<u64> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    if n == 1 { Err(UserError::new("one will not do")) } else { Ok(n) }
}

/// How many calls run now in this worker, and the most that were seen.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Stays until as many run as are told, for a minute at most: how many ran together.
async fn meets(all: usize) -> usize {
    let mut most = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
    let begun = std::time::Instant::now();
    while most < all && begun.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        most = most.max(RUNNING.load(Ordering::SeqCst));
    }
    // Nobody leaves while another may still be looking for company.
    tokio::time::sleep(Duration::from_millis(100)).await;
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    most
}

fn knows(context: &Context, n: u64) -> UserResult<(u32, String)> {
    context.log(format!("call {} has {n}", context.call()));
    context.progress(0.5);
    if context.time_left() < Duration::from_secs(1) || context.memory_mb() == 0 {
        return Err(UserError::new("there is no time or no memory"));
    }
    let uri = context.scratch_uri(&format!("n-{}", context.call()));
    context.blocking_put(&uri, format!("object {n}"))?;
    Ok((context.call(), uri))
}

async fn reads(context: Context, uri: String) -> UserResult<String> {
    Ok(String::from_utf8(context.get(&uri).await?.to_vec())?)
}

fn in_shared(context: &Context, (all, n): (Shared<Vec<u64>>, usize)) -> UserResult<(u64, u32)> {
    let all = all.blocking_get(context)?;
    Ok((all[n], std::process::id()))
}

fn sum(all: Vec<u64>) -> u64 {
    all.iter().sum()
}

fn long(letters: usize) -> String {
    "x".repeat(letters)
}

fn length(text: String) -> usize {
    text.len()
}

fn waits(context: &Context, n: u64) -> UserResult<u64> {
    for step in 0..600 {
        context.progress(step as f32 / 600.0);
        if context.is_cancelled() {
            return Err(UserError::new("told to stop"));
        }
        std::thread::sleep(Duration::from_millis(n));
    }
    Ok(n)
}

fn waits_or_fails(context: &Context, n: u64) -> UserResult<u64> {
    if n == 0 { Err(UserError::new("nothing will not do")) } else { waits(context, n) }
}

/// Waits until there is a file of a name, if it is given one.
fn gated((gate, n): (String, u64)) -> u64 {
    while !gate.is_empty() && !std::path::Path::new(&gate).exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    n
}

/// A type that writes itself otherwise than it reads itself, as one of another version does.
#[derive(Deserialize)]
struct Older(#[allow(dead_code)] String);

impl Serialize for Older {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::MAX)
    }
}

fn reads_older(_: Older) -> u64 {
    1
}

/// A value that does not serialise.
#[derive(Deserialize)]
struct No;

impl Serialize for No {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

fn takes_no(_: No) -> u64 {
    1
}

fn words(text: String) -> Vec<(String, u64)> {
    text.split(' ').map(|word| (word.to_owned(), 1)).collect()
}

fn bad_words(text: String) -> UserResult<Vec<(String, u64)>> {
    Err(UserError::new(format!("{text} has no words")))
}

fn unregistered(n: u64) -> u64 {
    n
}

#[derive(Serialize, Deserialize)]
struct Count;

impl Job for Count {
    const NAME: &'static str = "count";
    type Input = Items<()>;
    type Key = String;
    type Value = u64;
    type Output = (String, u64);
    fn map(&self, (): (), _: &mut Emitter<'_, String, u64>) -> UserResult {
        Err(UserError::new("this map is not to be called"))
    }
    fn combiner(&self) -> Option<Combiner<u64>> {
        Some(Combiner::sum())
    }
    fn reduce(&self, word: String, counts: Values<'_, u64>, out: &mut Sink<'_, (String, u64)>) -> UserResult {
        out.push(&(word, counts.sum()))
    }
}

fn newer(n: u64) -> u64 {
    n
}

fn changed(n: u64) -> u64 {
    n
}

fn changed_before(n: u32) -> u32 {
    n
}

/// The worker's program is another version than the driver's: it lacks a function, and another has other types.
fn jobs() -> Registry {
    let is_worker = std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some();
    let jobs = match is_worker {
        true => Registry::new().named_function("changed", changed_before),
        false => Registry::new().named_function("changed", changed).function(newer),
    };
    jobs.job::<Count>()
        .function(square)
        .function(odd_only)
        .function(deadly)
        .function(slow_at_five)
        .function(hungry)
        .function(later)
        .function(later_fails)
        .function(knows)
        .function(meets)
        .function(reads)
        .function(in_shared)
        .function(sum)
        .function(long)
        .function(length)
        .function(waits)
        .function(waits_or_fails)
        .function(gated)
        .function(reads_older)
        .function(takes_no)
        .function(words)
        .function(bad_words)
        .named_function("cube", |n: u64| n * n * n)
}

/// The code of an error, for each outcome, or nothing.
fn codes<T>(outcomes: &[kinglet::Result<T>]) -> Vec<Option<String>> {
    outcomes.iter().map(|outcome| outcome.as_ref().err().map(|e| e.code().to_owned())).collect()
}

fn report<T: kinglet::Value>(calls: &Calls<T>) -> serde_json::Value {
    let report = calls.report();
    let requests = report.requests;
    json!({
        "calls": report.calls, "done": report.done, "failed": report.failed, "batches": report.batches,
        "jobs": report.jobs.len(), "cost": report.cost.total, "gb_seconds": report.gb_seconds,
        "s3": requests.s3_put + requests.s3_get, "dynamodb": requests.dynamodb, "lambda": requests.lambda,
    })
}

async fn run(case: &str, driver: &Driver) -> kinglet::Result<serde_json::Value> {
    Ok(match case {
        "kinds" => {
            let squares = driver.map(square, 0..100).await?.results().await?;
            assert_eq!(squares, (0..100).map(|n| n * n).collect::<Vec<u64>>());
            assert_eq!(driver.call(square, 7).await?.await?, 49);
            assert_eq!(driver.map(later, [3, 2, 1]).await?.results().await?, [3, 2, 1]);
            let some = driver.map(later_fails, [0, 1, 2]).await?.outcomes().await;
            assert_eq!(codes(&some), [None, Some("call-failed".to_owned()), None]);
            let knew = driver.map(knows, [5, 6]).await?;
            let found = knew.results().await?;
            assert_eq!(found.iter().map(|(call, _)| *call).collect::<Vec<_>>(), [0, 1]);
            assert_eq!(knew.future(1).log().unwrap_or_default(), ["call 1 has 6"]);
            let read = driver.map(reads, found.into_iter().map(|(_, uri)| uri)).await?.results().await?;
            assert_eq!(read, ["object 5", "object 6"]);
            json!({})
        }
        "failures" => {
            let calls = driver.map(odd_only, 0..100).await?;
            let outcomes = calls.outcomes().await;
            for (n, outcome) in outcomes.iter().enumerate() {
                match (n % 10, outcome) {
                    (7, Err(e)) => assert!(
                        e.code() == "call-failed" && e.to_string() == format!("call {n}: {n} is a seven"),
                        "{e}"
                    ),
                    (8, Err(e)) => assert!(
                        e.code() == "panic"
                            && e.to_string().contains(&format!("call {n}: the function panicked: {n} is unthinkable")),
                        "{e}"
                    ),
                    (_, Ok(value)) => assert_eq!(*value, n as u64),
                    other => panic!("{n}: {other:?}"),
                }
            }
            let first = calls.results().await.unwrap_err().to_string();
            assert!((0..100).any(|n| n % 10 >= 7 && first.starts_with(&format!("call {n}: "))), "{first}");
            report(&calls)
        }
        "deadly" => {
            let calls = driver.map_with(deadly, 0..40, CallOptions::new().with_calls_per_batch(40)).await?;
            let outcomes = calls.outcomes().await;
            for (n, outcome) in outcomes.iter().enumerate() {
                match outcome {
                    Ok(value) => assert_eq!(*value, n as u64),
                    Err(e) => {
                        assert!([13, 29].contains(&n) && e.to_string().starts_with(&format!("call {n}: ")), "{n}: {e}")
                    }
                }
            }
            let (exited, aborted) = (&outcomes[13], &outcomes[29]);
            assert_eq!(codes(&outcomes[13..14]), [Some("crashed".to_owned())], "{exited:?}");
            assert!(aborted.is_err());
            report(&calls)
        }
        "out of time" => {
            let calls = driver.map_with(slow_at_five, 0..8, CallOptions::new().with_calls_per_batch(8)).await?;
            let outcomes = calls.outcomes().await;
            let bad: Vec<usize> = (0..8).filter(|n| outcomes[*n].is_err()).collect();
            assert_eq!(
                (&bad[..], codes(&outcomes[5..6])),
                (&[5][..], vec![Some("timed-out".to_owned())]),
                "{outcomes:?}"
            );
            report(&calls)
        }
        "ceiling" => {
            // A try that runs out of time costs 5 dollars, and so would the next.
            let prices = Prices { lambda_gb_second: 1.0, ..Prices::of_us_east_1("x86_64") };
            let options = CallOptions::new().with_calls_per_batch(2).with_max_usd(8.0).with_prices(prices);
            let calls = driver.map_with(slow_at_five, 0..8, options.clone()).await?;
            let jobs = calls.jobs();
            let outcomes = calls.outcomes().await;
            let attached = driver.attach_map::<u64>(&jobs).await?.outcomes().await;
            let bad = |outcomes: &[kinglet::Result<u64>]| (0..8).filter(|n| outcomes[*n].is_err()).collect::<Vec<_>>();
            assert_eq!((bad(&outcomes), bad(&attached)), (vec![4, 5], vec![4, 5]), "{outcomes:?}");
            assert_eq!(codes(&outcomes[4..6]), vec![Some("ceiling-passed".to_owned()); 2], "{outcomes:?}");
            // Half of all calls are none of the first wave: there is one job.
            let many = driver.map_with(square, 0..1_000, options.with_max_usd(80.0)).await?;
            assert_eq!((many.jobs().len(), many.results().await?.len()), (1, 1_000));
            let too_little = driver.map_with(square, 0..8, CallOptions::new().with_max_usd(0.0)).await;
            assert_eq!(too_little.err().map(|e| e.code().to_owned()), Some("ceiling".to_owned()));
            report(&calls)
        }
        "out of memory" | "out of all memory" => {
            let calls = driver.map_with(hungry, 0..6, CallOptions::new().with_calls_per_batch(6)).await?;
            let outcomes = calls.outcomes().await;
            assert!((0..6).all(|n| n == 3 || outcomes[n] == Ok(n as u64)), "{outcomes:?}");
            if case == "out of memory" {
                // Alone, it was given the larger mapper.
                assert_eq!(outcomes[3], Ok(49_999_999));
                assert_eq!(calls.future(3).stats().map(|stats| stats.memory_mb), Some(1024));
            } else {
                let error = outcomes[3].as_ref().unwrap_err();
                assert!(error.code() == "out-of-memory" && error.to_string().starts_with("call 3: "), "{error}");
            }
            report(&calls)
        }
        "many" => {
            let calls = driver.map(square, 0..10_000).await?;
            let squares = calls.results().await?;
            assert!(squares.iter().enumerate().all(|(n, square)| *square == (n * n) as u64) && squares.len() == 10_000);
            report(&calls)
        }
        "thousand" => {
            let calls = driver.map(square, 0..1_000).await?;
            assert_eq!(calls.results().await?.len(), 1_000);
            report(&calls)
        }
        "large" => {
            // Inputs and results that no payload holds.
            let texts = driver.map(long, [9_000_000, 10, 2_000_000]).await?.results().await?;
            let lengths = driver.map(length, texts).await?.results().await?;
            assert_eq!(lengths, [9_000_000, 10, 2_000_000]);
            json!({})
        }
        "too large" => {
            let calls = driver.map_with(long, [10, 129 << 20], CallOptions::new().with_calls_per_batch(2)).await?;
            let outcomes = calls.outcomes().await;
            assert_eq!(outcomes[0].as_ref().map(String::len), Ok(10));
            let error = outcomes[1].as_ref().unwrap_err();
            assert!(
                error.code() == "result-too-large" && error.hint().is_some_and(|h| h.contains("scratch_uri")),
                "{error}"
            );
            json!({})
        }
        "shared" => {
            let all = driver.share(&(0..1_000).map(|n| n * 3).collect::<Vec<u64>>()).await?;
            let inputs = (0..200).map(|n| (all.clone(), n));
            let calls = driver.map(in_shared, inputs).await?;
            let found = calls.results().await?;
            assert!(found.iter().enumerate().all(|(n, (value, _))| *value == n as u64 * 3));
            report(&calls)
        }
        "reduce" => {
            assert_eq!(driver.map_reduce(square, 0..1_000, sum).await?.await?, (0..1_000).map(|n| n * n).sum::<u64>());
            let error = driver.map_reduce(odd_only, 0..100, sum).await?.await.unwrap_err();
            assert_eq!((error.code(), error.to_string()), ("call-failed", "call 7: 7 is a seven".to_owned()));
            json!({})
        }
        "into a job" => {
            let texts = (0..50).map(|n| format!("all {}", n % 5));
            let report = driver.map_into(words, texts, &Count, Submit::to("out")).await?.wait().await?;
            let bad = driver.map_into(bad_words, ["this".to_owned()], &Count, Submit::to("bad")).await?.wait().await;
            let error = bad.unwrap_err();
            assert_eq!((error.code(), error.to_string()), ("call-failed", "call 0: this has no words".to_owned()));
            json!({ "records": report.records_in, "out": report.records_out })
        }
        "waits" => {
            // The first and the last wait for a file; the one between them, for which there is a worker, ends before them.
            let inputs = [("first", 1), ("", 2), ("last", 3)].map(|(gate, n)| (gate.to_owned(), n));
            let directory = std::env::current_dir().map_err(|e| Error::new(Code::ProgramFailed, e.to_string()))?;
            let inputs =
                inputs.map(|(gate, n)| (if n == 2 { gate } else { format!("{}/{gate}", directory.display()) }, n));
            let open =
                |gate: &str| std::fs::write(gate, "").map_err(|e| Error::new(Code::ProgramFailed, e.to_string()));
            let mut calls = driver.map_with(gated, inputs, CallOptions::new().with_calls_per_batch(1)).await?;
            let future = calls.future(0);
            assert!(!future.done() && future.try_result().is_none() && future.stats().is_none());
            assert_eq!(calls.wait_any().await, 1);
            assert_eq!(calls.wait_n_for(3, Duration::from_millis(1)).await, [1]);
            open("last")?;
            assert_eq!(calls.wait_n(2).await, [1, 2]);
            assert!(!future.done() && calls.done() == 2);
            open("first")?;
            let mut order = vec![];
            while let Some((call, result)) = calls.next().await {
                assert_eq!(result?, call as u64 + 1);
                order.push(call);
            }
            assert_eq!((order, calls.ended()), (vec![1, 2, 0], vec![1, 2, 0]));
            assert!(future.done() && future.try_result().is_some_and(|r| r.is_ok()));
            let stats = future.stats().unwrap_or_default();
            assert!(stats.ran > Duration::ZERO && stats.billed >= stats.ran && stats.memory_mb > 0, "{stats:?}");
            report(&calls)
        }
        "cancel" => {
            // The first of each worker runs, the others wait; one is cancelled, then all.
            let calls = driver.map_with(waits, [100; 6], CallOptions::new().with_calls_per_batch(1)).await?;
            let one = calls.future(5);
            one.cancel().await?;
            assert_eq!(one.result().await.unwrap_err().code(), "cancelled");
            // Those that run say so.
            while calls.progress().await?.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(calls.done(), 1);
            calls.cancel().await?;
            let outcomes = calls.outcomes().await;
            assert!(outcomes.iter().all(|o| o.as_ref().is_err_and(|e| e.code() == "cancelled")), "{outcomes:?}");
            // The workers are free again soon.
            assert_eq!(driver.call(square, 3).await?.await?, 9);
            json!({})
        }
        "fails early" => {
            // Each has a worker; two of them run for a minute.
            let one_a_batch = CallOptions::new().with_calls_per_batch(1);
            let calls = driver.map_with(waits_or_fails, [100, 0, 100], one_a_batch).await?;
            let began = std::time::Instant::now();
            let failed = || async { calls.results().await.unwrap_err().to_string() };
            assert_eq!(failed().await, "call 1: nothing will not do");
            assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
            assert_eq!(calls.ended(), [1], "the others go on");
            calls.cancel().await?;
            let why = |code: &str| Some(code.to_owned());
            assert_eq!(codes(&calls.outcomes().await), [why("cancelled"), why("call-failed"), why("cancelled")]);
            assert_eq!(failed().await, "call 1: nothing will not do", "it is the first in time, not by its position");
            json!({})
        }
        "attach" => attach(driver).await?,
        "at once" => {
            let at_once = |n| CallOptions::new().with_calls_per_batch(16).with_calls_at_once(n);
            let together = driver.map_with(meets, [16; 16], at_once(16)).await?.results().await?;
            let alone = driver.map_with(meets, [1; 8], at_once(1)).await?.results().await?;
            json!([together, alone])
        }
        "cancel one that runs" => {
            let calls = driver.map_with(waits, [100; 2], CallOptions::new().with_calls_per_batch(1)).await?;
            while calls.progress().await?.len() < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            for future in calls.futures() {
                future.cancel().await?;
            }
            assert_eq!(driver.call(square, 3).await?.await?, 9);
            json!({})
        }
        "bad input" => {
            let code = |e: Error| (e.code().to_owned(), e.to_string(), e.hint().is_some());
            let unregistered = driver.map(unregistered, [1]).await.map(drop).unwrap_err();
            let empty = driver.map(square, []).await.map(drop).unwrap_err();
            let no = driver.map(takes_no, [No]).await.map(drop).unwrap_err();
            let none_a_batch = CallOptions::new().with_calls_per_batch(0);
            let none_a_batch = driver.map_with(square, [1], none_a_batch).await.map(drop).unwrap_err();
            let all_at_once = CallOptions::new().with_calls_at_once(513);
            let all_at_once = driver.map_with(square, [1], all_at_once).await.map(drop).unwrap_err();
            let newer = driver.call(newer, 1).await?.await.unwrap_err();
            let changed = driver.call(changed, 1).await?.await.unwrap_err();
            let older = driver.call(reads_older, Older(String::new())).await?.await.unwrap_err();
            json!([
                code(unregistered),
                code(empty),
                code(no),
                code(none_a_batch),
                code(all_at_once),
                code(older),
                code(newer),
                code(changed)
            ])
        }
        other => panic!("{other} is no case"),
    })
}

/// Goes on with calls from another driver on the same S3 and DynamoDB, and from the same driver when they have ended.
async fn attach(driver: &Driver) -> kinglet::Result<serde_json::Value> {
    let Some(endpoints) = driver.endpoints() else { panic!("no runtime") };
    let other = Local::new().with_servers(endpoints.into()).with_concurrency(1).start().await?;

    // A map of two waves, of which the second waits for a file.
    let gate = std::env::current_dir().map_err(|e| Error::new(Code::ProgramFailed, e.to_string()))?.join("gate");
    let inputs = (0..20).map(|n| (if n == 19 { gate.display().to_string() } else { String::new() }, n));
    let calls = driver.map(gated, inputs).await?;
    let jobs = calls.jobs();
    assert_eq!(jobs.len(), 2);
    calls.wait_n(2).await;
    drop(calls);
    let backwards: Vec<_> = jobs.iter().rev().cloned().collect();
    let again = other.attach_map::<u64>(&backwards).await?;
    assert!(again.len() == 20 && again.done() >= 2 && !again.future(19).done(), "{again:?}");
    assert_eq!(again.jobs(), jobs);
    std::fs::write(&gate, "").map_err(|e| Error::new(Code::ProgramFailed, e.to_string()))?;
    assert_eq!(again.results().await?, (0..20).collect::<Vec<u64>>());
    assert_eq!((again.report().calls, again.report().done), (20, 20));
    for driver in [driver, &other] {
        let ended = driver.attach_map::<u64>(&jobs).await?;
        assert_eq!((ended.done(), ended.results().await?.len()), (20, 20), "all of it is there at once");
    }

    let reduced = driver.map_reduce(square, 0..100, sum).await?.report().jobs.remove(0);
    let total = (0..100).map(|n| n * n).sum::<u64>();
    assert_eq!(other.attach_map_reduce::<u64>(&reduced).await?.await?, total);
    assert_eq!(driver.attach_map_reduce::<u64>(&reduced).await?.try_result(), Some(Ok(total)));

    // Cancelled from there, it is cancelled here, and so it is found.
    let calls = driver.map_with(waits, [100; 4], CallOptions::new().with_calls_per_batch(1)).await?;
    let cancelled = calls.jobs();
    other.attach_map::<u64>(&cancelled).await?.cancel().await?;
    let found = driver.attach_map::<u64>(&cancelled).await?;
    for outcomes in [calls.outcomes().await, found.outcomes().await] {
        assert!(outcomes.iter().all(|o| o.as_ref().is_err_and(|e| e.code() == "cancelled")), "{outcomes:?}");
    }

    let plain = driver.map_into(words, ["one".to_owned()], &Count, Submit::to("out")).await?;
    let two_maps = [jobs[0].clone(), cancelled[0].clone()];
    let nobody = "19aa5440eb0-f0a9c3d5e7ab".parse()?;
    let refused = [
        other.attach_map::<String>(&jobs).await.map(drop),
        other.attach_map::<u64>(std::slice::from_ref(&reduced)).await.map(drop),
        other.attach_map_reduce::<u64>(&jobs[0]).await.map(drop),
        other.attach_map_reduce::<Vec<u64>>(&reduced).await.map(drop),
        other.attach_map::<u64>(std::slice::from_ref(plain.id())).await.map(drop),
        other.attach_map_reduce::<u64>(plain.id()).await.map(drop),
        other.attach_map::<u64>(&two_maps).await.map(drop),
        other.attach_map::<u64>(&[]).await.map(drop),
        other.attach_map::<u64>(&[nobody]).await.map(drop),
    ];
    plain.wait().await?;
    other.close().await;
    let refused = refused.map(Result::unwrap_err);
    Ok(json!(refused.map(|e| (e.code().to_owned(), e.to_string(), e.hint().map(str::to_owned)))))
}

/// A driver that is closed, or dropped, before its calls have ended.
async fn leaves(local: Local, closes: bool) -> kinglet::Result<serde_json::Value> {
    let driver = local.start().await?;
    let calls = driver.map_with(waits, [100; 3], CallOptions::new().with_calls_per_batch(1)).await?;
    if closes {
        driver.close().await;
    } else {
        drop(driver);
    }
    let errors: Vec<Error> = calls.outcomes().await.into_iter().filter_map(|outcome| outcome.err()).collect();
    let said = errors.iter().map(|e| (e.code(), e.to_string(), e.hint().is_some()));
    Ok(json!(said.collect::<Vec<_>>()))
}

async fn program() -> kinglet::Result<()> {
    let case = std::env::args().nth(1).unwrap_or_default();
    let local = Local::new().with_concurrency(2);
    let local = match &case[..] {
        "waits" | "fails early" => local.with_concurrency(3),
        "out of time" | "ceiling" => local.with_timeout(Duration::from_secs(3)),
        "out of memory" => local.with_memory_mb(256).with_memory_enforced(),
        "out of all memory" => local.with_memory_mb(256).with_mapper_large_memory_mb(300).with_memory_enforced(),
        _ => local,
    };
    let said = match &case[..] {
        "closed" => leaves(local, true).await?,
        "dropped" => leaves(local, false).await?,
        case => {
            let driver = local.start().await?;
            let began = std::time::Instant::now();
            let said = run(case, &driver).await;
            let took = began.elapsed();
            driver.close().await;
            eprintln!("{case}: {took:?}");
            said?
        }
    };
    println!("{said}");
    Ok(())
}

fn main() -> std::process::ExitCode {
    kinglet::main(jobs(), program)
}
