//! Jobs that meet: each other, an older result, somebody who cancels, an input that changes, an absent driver.

use super::jobs::{Count, Fails};
use super::single::{counted, input, shown};
use crate::region::Conditions;
use crate::world::{INPUT, OUTPUT, World};
use kinglet::{Error, Manifest, Store, Submit};
use kinglet_aws::objects::{LeftUpload, Put, Replace};
use kinglet_core::wire::event::{ChangedEvent, Event, StartEvent};
use kinglet_core::wire::stored::StoredName;
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

/// How long the objects of a stored job must have come to rest.
const QUIET: Duration = Duration::from_secs(90);

/// How long somebody waits before the next event that starts a stored job, if none has yet.
const START_AGAIN: Duration = Duration::from_secs(1_200);

/// A stored job may have to wait for several of these.
pub(super) fn patient(conditions: &mut Conditions) {
    conditions.calm_extra += Duration::from_secs(12 * 3_600);
}

/// Keeps a job that counts an input over what an output has.
async fn store(world: &World, input: &str) -> Option<StoredName> {
    let submit = Submit::new([shown(input)], "s3://output/result").with_split_bytes(300).with_partitions(2);
    let kept = Store::new("kept").with_quiet(QUIET).with_wait(QUIET * 4);
    world.region.faults.pause(true);
    let stored = async { world.safe_driver()?.store(&Count, submit.with_overwrite(), kept).await };
    let stored = stored.await.and_then(|_| "kept".parse());
    world.region.faults.pause(false);
    stored.inspect_err(|error| world.violates(format!("storing a job: {error}"))).ok()
}

/// Lets the stack forget the job that it keeps.
async fn forget(world: &World, name: &StoredName) {
    if let Err(error) = world.observer.remove_stored(name).await {
        world.violates(format!("removing a stored job: {error}"));
    }
}

async fn tell(world: &World, event: &Event) {
    if let Err(error) = world.observer.functions.start(event).await {
        world.violates(format!("telling of a stored job: {error}"));
    }
}

pub(super) async fn stored(world: Arc<World>) {
    let text = input(&world, "words").await;
    world.expect("result/", [(shown("words"), counted(text.split_whitespace()))]).await;
    // Of one start there is one job, however often its event comes, and whoever dies.
    world.is_written_once("result/");
    let Some(name) = store(&world, "words").await else { return };
    let once = Some("2026-11-23T02:00:00Z".to_owned());
    let start = Event::Start(StartEvent { stored: name.clone(), at: once.clone(), once, token: None });
    for _ in 0..20 {
        for _ in 0..world.chance.between(1, 3) {
            tell(&world, &start).await;
            tokio::time::sleep(Duration::from_secs(world.chance.between(6, 60))).await;
        }
        match world.observer.ledger.jobs().await {
            Ok(jobs) if jobs.is_empty() => tokio::time::sleep(START_AGAIN).await,
            _ => break,
        }
    }
    let jobs = world.observer.ledger.jobs().await.map_or(0, |jobs| jobs.len());
    if jobs != 1 {
        world.violates(format!("one start has begun {jobs} jobs"));
    }
    forget(&world, &name).await;
}

pub(super) async fn changes(world: Arc<World>) {
    let mut text = input(&world, "words").await;
    let new: Vec<_> = (0..world.chance.between(1, 5)).map(|n| format!("w{n} new w{n}\n")).collect();
    text.extend(new.iter().map(String::as_str));
    let all = counted(text.split_whitespace());
    // Whatever the jobs in between have counted, the last has counted all.
    world.expect("result/", [(shown("words"), all.clone())]).await;
    let Some(name) = store(&world, "words").await else { return };
    let changed = |key: String| Event::Changed(ChangedEvent { stored: name.clone(), bucket: INPUT.to_owned(), key });
    for (n, text) in new.into_iter().enumerate() {
        let key = format!("words/new-{n}");
        world.put(INPUT, &key, text).await;
        tell(&world, &changed(key)).await;
        tokio::time::sleep(Duration::from_secs(world.chance.between(6, 200))).await;
    }
    for again in 0..40 {
        tokio::time::sleep(START_AGAIN).await;
        let idle = async {
            let is_seen = world.observer.ledger.stored(&name).await?.changed.is_none();
            let jobs = world.observer.ledger.jobs().await?;
            Ok::<_, Error>(is_seen && jobs.iter().all(|job| job.phase.is_final()))
        };
        if !idle.await.unwrap_or(false) {
            continue;
        }
        if result(&world).await.as_ref() == Some(&all) {
            break;
        }
        // An event whose every delivery failed is lost.
        if world.region.faults.struck().is_empty() {
            world.violates("objects have come to rest, and no job has counted all of them".to_owned());
        }
        tell(&world, &changed(format!("words/again-{again}"))).await;
    }
    forget(&world, &name).await;
}

/// Returns the records of the result that an output has.
async fn result(world: &World) -> Option<Vec<String>> {
    let manifest = world.observer.objects.get(OUTPUT, "result/_manifest.json", None).await.ok()?;
    let manifest: Manifest = serde_json::from_slice(&manifest).ok()?;
    let mut records = Vec::new();
    for part in &manifest.parts {
        let bytes = world.observer.objects.get(OUTPUT, &format!("result/{}", part.name), None).await.ok()?;
        records.extend(String::from_utf8_lossy(&bytes).lines().map(str::to_owned));
    }
    records.sort();
    Some(records)
}
