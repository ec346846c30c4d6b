//! Calls of functions.

use super::jobs::Sums;
use crate::check;
use crate::world::World;
use kinglet::{CallOptions, Phase, Submit};
use kinglet_core::Code;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn square(n: u64) -> u64 {
    n * n
}

pub(super) fn sum(numbers: Vec<u64>) -> u64 {
    numbers.iter().sum()
}

pub(super) fn pairs(n: u64) -> Vec<(u64, u64)> {
    vec![(n % 10, n), (n % 3, 1)]
}

pub(super) async fn map(world: Arc<World>) {
    let count = *world.chance.pick(&[1, 5, 40, 200]);
    let options = match world.chance.between(0, 2) {
        0 => CallOptions::new().with_calls_per_batch(7),
        _ => CallOptions::new(),
    };
    let Ok((machine, driver)) = world.driver() else { return };
    let program = async {
        let calls = driver.map_with(square, 0..count, options).await?;
        calls.results().await
    };
    match world.on(&machine, program).await {
        Some(Ok(squares)) if squares != (0..count).map(square).collect::<Vec<_>>() => {
            world.violates(format!("the squares are {squares:?}"));
        }
        Some(Err(error)) if !excused(&error) => world.violates(format!("calls failed: {error}")),
        _ => {}
    }
}

pub(super) async fn cancel(world: Arc<World>) {
    let count = 40;
    let Ok((machine, driver)) = world.driver() else { return };
    let program = async {
        let calls = driver.map_with(square, 0..count, CallOptions::new().with_calls_per_batch(7)).await?;
        for _ in 0..world.chance.between(1, 6) {
            tokio::time::sleep(Duration::from_millis(world.chance.between(0, 300))).await;
            // The result says whether it has reached the call in time.
            let _ = calls.future(world.chance.between(0, count - 1) as usize).cancel().await;
        }
        Ok::<_, kinglet::Error>(calls.outcomes().await)
    };
    let outcomes = world.on(&machine, program).await.and_then(Result::ok).unwrap_or_default();
    for (call, outcome) in (0..).zip(outcomes) {
        match outcome {
            Ok(n) if n != square(call) => world.violates(format!("call {call} returned {n}")),
            Err(error) if !error.is(Code::Cancelled) && !excused(&error) => {
                world.violates(format!("call {call} failed: {error}"));
            }
            _ => {}
        }
    }
    let jobs = check::ends(&world, Duration::ZERO).await;
    if jobs.iter().all(|job| job.phase == Phase::Succeeded) {
        check::clean(&world).await;
    }
}

pub(super) async fn map_reduce(world: Arc<World>) {
    let count = *world.chance.pick(&[1, 5, 40]);
    let Ok((machine, driver)) = world.driver() else { return };
    let program = async { driver.map_reduce(square, 0..count, sum).await?.await };
    match world.on(&machine, program).await {
        Some(Ok(total)) if total != (0..count).map(square).sum::<u64>() => {
            world.violates(format!("the sum of squares is {total}"));
        }
        Some(Err(error)) if !excused(&error) => world.violates(format!("the reduce call failed: {error}")),
        _ => {}
    }
}

/// Returns whether calls may end so: they were unlucky again and again.
fn excused(error: &kinglet::Error) -> bool {
    crate::check::DEATHS.contains(&error.code())
}

pub(super) async fn map_into(world: Arc<World>) {
    let count = if world.variant.is_multiple_of(2) { 3 } else { 30 };
    let mut sums = BTreeMap::<u64, u64>::new();
    (0..count).flat_map(pairs).for_each(|(key, value)| *sums.entry(key).or_default() += value);
    let mut records: Vec<String> = sums.into_iter().map(|(key, sum)| format!("{key}\t{sum}")).collect();
    records.sort();
    world.expect("pairs/", [("sums".to_owned(), records)]).await;
    let submit = Submit::to("s3://output/pairs").with_items_per_split(4).with_partitions(2);
    let Ok((machine, driver)) = world.driver() else { return };
    if let Some(handle) = world.submit(&machine, driver.map_into(pairs, 0..count, &Sums, submit)).await {
        world.follow(&machine, &handle).await;
    }
}
