//! Jobs that meet: each other, an older result, somebody who cancels, an input that changes, an absent driver.

use super::jobs::{Count, Fails};
use super::single::{counted, input, shown};
use crate::region::Conditions;
use crate::world::{INPUT, OUTPUT, World};
use kinglet::Submit;
use kinglet_aws::objects::{LeftUpload, Put, Replace};
use std::sync::Arc;
use std::time::Duration;

/// Puts a result into an output, by a job that nothing disturbs.
async fn older_result(world: &World) {
    let text = "older words of an older result ".repeat(3);
    world.put(INPUT, "older/0", text.clone()).await;
    let submit = Submit::new([shown("older")], "s3://output/result").with_partitions(3);
    world.region.faults.pause(true);
    let done = async {
        let driver = world.safe_driver()?;
        driver.submit(&Count, submit).await?.wait().await
    };
    match done.await {
        Ok(report) => world.replaces("result/", &report.job),
        Err(error) => world.violates(format!("the older job: {error}")),
    }
    world.region.faults.pause(false);
}

/// How often a driver that insists submits its job again.
const INSISTS_MAX: u32 = 40;

/// Drivers race to one output. Some insist: they submit their job again until they are let in.
async fn race(world: &Arc<World>, overwrite: bool) {
    let names = ["left", "right", "late"];
    let names = &names[..if world.chance.hits(300_000) { 3 } else { 2 }];
    let mut expected = Vec::new();
    for name in names {
        let text = input(world, name).await;
        expected.push((shown(name), counted(text.split_whitespace())));
    }
    world.expect("result/", expected).await;
    if !overwrite {
        world.is_written_once("result/");
    }
    for code in ["output-taken", "output-contended", "output-exists"] {
        world.may_be_refused(code);
    }
    let racing = names.iter().map(|name| {
        let world = world.clone();
        let later = Duration::from_millis(world.chance.between(0, 2_000));
        let insists = if world.chance.hits(600_000) { INSISTS_MAX } else { 0 };
        async move {
            tokio::time::sleep(later).await;
            let Ok((machine, driver)) = world.driver() else { return };
            for _ in 0..=insists {
                let submit = Submit::new([shown(name)], "s3://output/result").with_split_bytes(400).with_partitions(2);
                let submit = if overwrite { submit.with_overwrite() } else { submit };
                if let Some(handle) = world.submit(&machine, driver.submit(&Count, submit)).await {
                    world.follow(&machine, &handle).await;
                    return;
                }
                if machine.is_dead() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(world.chance.between(10, 2_000))).await;
            }
        }
    });
    futures_util::future::join_all(racing).await;
}

/// Lets the region take longer, by as long as drivers may insist.
pub(super) fn insisting(conditions: &mut Conditions) {
    conditions.calm_extra += Duration::from_secs(120);
}

pub(super) async fn two_on_one_output(world: Arc<World>) {
    race(&world, false).await;
}

pub(super) async fn two_overwrite(world: Arc<World>) {
    older_result(&world).await;
    race(&world, true).await;
}

pub(super) async fn overwrite(world: Arc<World>) {
    older_result(&world).await;
    let text = input(&world, "newer").await;
    world.expect("result/", [(shown("newer"), counted(text.split_whitespace()))]).await;
    let submit = Submit::new([shown("newer")], "s3://output/result").with_split_bytes(500).with_partitions(2);
    let Ok((machine, driver)) = world.driver() else { return };
    if let Some(handle) = world.submit(&machine, driver.submit(&Count, submit.with_overwrite())).await {
        world.follow(&machine, &handle).await;
    }
}

pub(super) async fn cancel(world: Arc<World>) {
    let older = world.chance.hits(300_000);
    if older {
        older_result(&world).await;
    }
    let text = input(&world, "words").await;
    world.expect("result/", [(shown("words"), counted(text.split_whitespace()))]).await;
    let submit = Submit::new([shown("words")], "s3://output/result").with_split_bytes(300).with_partitions(2);
    let submit = if older { submit.with_overwrite() } else { submit };
    world.may_fail("cancelled");
    let Ok((machine, driver)) = world.driver() else { return };
    let Some(handle) = world.submit(&machine, driver.submit(&Count, submit)).await else { return };
    let after = Duration::from_millis(world.chance.between(0, 2_500));
    let cancelling = async {
        tokio::time::sleep(after).await;
        handle.cancel().await
    };
    world.on(&machine, cancelling).await;
    world.follow(&machine, &handle).await;
}

pub(super) async fn user_error(world: Arc<World>) {
    let text = input(&world, "words").await;
    world.expect("result/", []).await;
    let at = text.split_whitespace().last().unwrap_or("w0").to_owned();
    let job = Fails { at, in_reduce: world.chance.hits(500_000) };
    let submit = Submit::new([shown("words")], "s3://output/result").with_split_bytes(300).with_partitions(2);
    world.may_fail("map-failed");
    world.may_fail("reduce-failed");
    let Ok((machine, driver)) = world.driver() else { return };
    let Some(handle) = world.submit(&machine, driver.submit(&job, submit)).await else { return };
    if let Some(Ok(_)) = world.follow(&machine, &handle).await
        && !text.is_empty()
    {
        world.violates("a job whose own code fails has succeeded".to_owned());
    }
}

pub(super) async fn input_changes(world: Arc<World>) {
    let text = input(&world, "words").await;
    // Whole, or not at all: all of it may have been read before, or none.
    let first = world.observer.objects.get(INPUT, "words/0", None).await.unwrap_or_default();
    // As long as before, so that only its ETag tells.
    let changed: String = "something else entirely\n".chars().cycle().take(first.len().max(24)).collect();
    let rest = text.strip_prefix(&*String::from_utf8_lossy(&first)).unwrap_or_default();
    let later = format!("{changed} {rest}");
    let [before, after] = [&*text, &*later].map(|text| (shown("words"), counted(text.split_whitespace())));
    world.expect("result/", [before, after]).await;
    let submit = Submit::new([shown("words")], "s3://output/result").with_split_bytes(300).with_partitions(2);
    world.may_fail("object-changed");
    world.may_fail("object-missing");
    let Ok((machine, driver)) = world.driver() else { return };
    let Some(handle) = world.submit(&machine, driver.submit(&Count, submit)).await else { return };
    let after = Duration::from_millis(world.chance.between(400, 1_500));
    let changing = async {
        tokio::time::sleep(after).await;
        world.put(INPUT, "words/0", changed.clone()).await;
    };
    futures_util::future::join(changing, world.follow(&machine, &handle)).await;
}

/// What somebody does to an output who does not ask for the claim.
async fn meddle(world: &World) {
    let (claim, manifest) = ("result/_owner.json", "result/_manifest.json");
    match world.chance.between(0, 3) {
        0 => {
            world.may_fail("output-taken");
            world.may_fail("output-changed");
            pass(world).await;
            if let Some(there) = world.listing("result/").await.get(claim) {
                let _ = world.observer.objects.delete_version(OUTPUT, claim, there).await;
            }
        }
        1 => {
            for code in ["output-taken", "output-changed", "output-exists"] {
                world.may_fail(code);
            }
            pass(world).await;
            let put = world.observer.objects.put(OUTPUT, manifest, "not a manifest".into(), Replace::No).await;
            if let Ok(Put::Written(etag)) = put {
                world.stays("result/", manifest, &etag);
            }
        }
        // As a lifecycle rule does.
        2 => {
            world.may_fail("output-changed");
            pass(world).await;
            abort(world, "result/part-").await;
        }
        _ => {
            for _ in 0..world.chance.between(1, 3) {
                abort(world, manifest).await;
            }
        }
    }
}

/// Lets some time pass: any, or until a job is about to publish.
async fn pass(world: &World) {
    if world.chance.hits(500_000) {
        return tokio::time::sleep(Duration::from_millis(world.chance.between(0, 2_500))).await;
    }
    uploads(world, "result/_manifest.json").await;
}

/// Waits for open uploads, but not for ever. Returns them.
async fn uploads(world: &World, prefix: &str) -> Vec<LeftUpload> {
    for _ in 0..500 {
        let found = world.observer.objects.uploads(OUTPUT, prefix).await.unwrap_or_default();
        if !found.is_empty() {
            tokio::time::sleep(Duration::from_millis(world.chance.between(0, 300))).await;
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    vec![]
}

/// Aborts the uploads of these keys once there are some.
async fn abort(world: &World, prefix: &str) {
    for left in uploads(world, prefix).await {
        let _ = world.observer.objects.abort_upload(OUTPUT, &left.key, &left.id).await;
    }
}

pub(super) async fn stranger(world: Arc<World>) {
    let text = input(&world, "words").await;
    world.expect("result/", [(shown("words"), counted(text.split_whitespace()))]).await;
    let submit = Submit::new([shown("words")], "s3://output/result").with_split_bytes(300).with_partitions(2);
    let Ok((machine, driver)) = world.driver() else { return };
    let job = async {
        if let Some(handle) = world.submit(&machine, driver.submit(&Count, submit)).await {
            world.follow(&machine, &handle).await;
        }
    };
    let meddling = async {
        // Some do two things.
        for _ in 0..if world.chance.hits(400_000) { 2 } else { 1 } {
            meddle(&world).await;
        }
    };
    futures_util::future::join(meddling, job).await;
}

pub(super) async fn nobody(world: Arc<World>) {
    let text = input(&world, "words").await;
    world.expect("result/", [(shown("words"), counted(text.split_whitespace()))]).await;
    let submit = Submit::new([shown("words")], "s3://output/result").with_split_bytes(300).with_partitions(2);
    let Ok((machine, driver)) = world.driver() else { return };
    world.submit(&machine, driver.submit(&Count, submit)).await;
    machine.die();
}
