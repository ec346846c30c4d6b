//! Invariants, checked after every run.
//!
//! | of | what must hold |
//! |---|---|
//! | every job | it ends, within a bound that follows from the faults that struck |
//! | a job that succeeded | its output has its manifest, exactly its parts, and the records that it should have |
//! | an output without success | is as it was before |
//! | a job that nothing was wrong with | does not fail |
//! | an event that comes twice | is worked on once, if nothing else goes wrong |
//! | of several that see that a try is due | one sends it |
//! | a job with a ceiling | costs not more than that, but for what its functions cost until somebody looks |
//! | what belongs to nobody here | is as it was |
//! | cleaning | leaves nothing: no object, no upload, no item that does not expire |

use crate::faults::{Fault, Kind};
use crate::region::Region;
use crate::world::{Expected, Goal, OUTPUT, World};
use kinglet::{Manifest, Phase};
use kinglet_aws::ledger::JobEntry;
use kinglet_aws::objects::LeftUpload;
use kinglet_core::wire::owner::Owner;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a job of a workload may take when no fault strikes.
const CALM: Duration = Duration::from_secs(60);

/// How long somebody waits who looks from outside, before he looks again.
const LOOK: Duration = Duration::from_secs(5);

/// The codes of jobs and calls whose attempts died again and again: as often as a task is tried, they may.
pub const DEATHS: [&str; 7] =
    ["out-of-memory", "crashed", "timed-out", "aborted", "silent", "worker-silent", "task-lost"];

/// What a bystander has put beside the outputs.
const BYSTANDERS: [&str; 4] = ["result/notes.txt", "result/my-part", "words/notes.txt", "elsewhere/part-00000"];

/// Puts objects into the outputs that belong to nobody here.
pub async fn plant(world: &World) {
    for key in BYSTANDERS {
        world.put(OUTPUT, key, format!("{key} is mine")).await;
    }
}

/// Waits until all jobs have ended, and checks that they do so in time, as counted from a time after the start.
pub async fn ends(world: &World, since: Duration) -> Vec<JobEntry> {
    loop {
        let jobs = match world.observer.ledger.jobs().await {
            Ok(jobs) => jobs,
            Err(error) => {
                world.violates(format!("reading the jobs: {error}"));
                return vec![];
            }
        };
        let open: Vec<_> = jobs.iter().filter(|job| !job.phase.is_final()).collect();
        if open.is_empty() {
            return world.with_earlier(jobs);
        }
        if world.region.since_start() > since + bound(&world.region) {
            for job in open {
                world.violates(format!(
                    "job {} is {:?} after {:.0} s, and should have ended within {:.0} s",
                    job.job,
                    job.phase,
                    world.region.since_start().as_secs_f64(),
                    bound(&world.region).as_secs_f64()
                ));
            }
            return jobs;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns by when all jobs must have ended, after these faults.
fn bound(region: &Region) -> Duration {
    let faults = region.faults.struck();
    let calm = CALM + region.conditions.calm_extra;
    faults.iter().fold(calm, |bound, fault| bound + fault.costs())
}

/// Checks that no event was worked on twice, where nothing went wrong but that events came twice; and that none was sent twice
/// at once, where nothing went wrong with sending.
pub fn executions(world: &World) {
    let duplicates = |kind: Kind| matches!(kind, Kind::TwiceSoon | Kind::TwiceLate);
    if world.region.faults.struck().iter().all(|fault| duplicates(fault.struck.kind)) {
        for event in world.region.lambda.worked_on_twice() {
            world.violates(format!("two deliveries of {event} were worked on, though neither died"));
        }
    }
    let spoils_sending = |fault: &Fault| match fault.struck.kind {
        Kind::DieBefore | Kind::DieAfter => fault.struck.step.contains("Invoke"),
        Kind::FlipByte | Kind::BreakBody | Kind::Partial | Kind::TwiceSoon | Kind::TwiceLate => false,
        _ => true,
    };
    if !world.region.faults.struck().iter().any(spoils_sending) {
        for event in world.region.lambda.sent_twice() {
            world.violates(format!("{event} was sent twice at once"));
        }
    }
}

/// Checks the outputs, and that no healthy job has failed. Returns the hash of what each job has written.
pub async fn outputs(world: &World, jobs: &[JobEntry]) -> BTreeMap<String, u64> {
    let mut written = BTreeMap::new();
    let deaths = world.region.faults.struck().iter().filter(|fault| fault.struck.kind.may_kill()).count();
    for job in jobs.iter().filter(|job| job.phase == Phase::Failed || job.phase == Phase::Cancelled) {
        let view = world.observer.ledger.job(&job.job).await;
        let has_plan = view.as_ref().is_ok_and(|view| view.phase_at.mapping.is_some());
        let code = view.ok().and_then(|view| view.error).map(|error| error.code().to_owned()).unwrap_or_default();
        let is_refused = !has_plan && world.may_be_refused_with(&code);
        let excused = is_refused || DEATHS.contains(&&*code) && deaths >= 2;
        if !excused && !world.may_fail_with(&code) {
            world.violates(format!(
                "job {} ({}) ended with {code:?}, though nothing was wrong with it",
                job.job, job.name
            ));
        }
    }
    for key in BYSTANDERS {
        match world.observer.objects.get(OUTPUT, key, None).await {
            Ok(bytes) if *bytes == *format!("{key} is mine").as_bytes() => {}
            other => world.violates(format!("{key} is somebody else's: {other:?}")),
        }
    }
    for (prefix, goal) in world.goals() {
        output(world, &prefix, &goal, jobs, &mut written).await;
    }
    written
}

async fn output(world: &World, prefix: &str, goal: &Goal, jobs: &[JobEntry], written: &mut BTreeMap<String, u64>) {
    let succeeded = jobs.iter().filter(|job| job.phase == Phase::Succeeded && writes(world, prefix)).count();
    if goal.once && succeeded > 1 {
        world.violates(format!("{succeeded} jobs succeeded into {prefix}, though none may overwrite"));
    }
    let mut lies = world.listing(prefix).await;
    // A claim that came too late belongs to a job that has ended, which whoever comes next sees; cleaning removes it.
    let claim = format!("{prefix}_owner.json");
    if lies.contains_key(&claim) && claimant_has_ended(world, &claim, jobs).await {
        lies.remove(&claim);
    }
    let manifest_key = format!("{prefix}_manifest.json");
    let Some(manifest_etag) = lies.get(&manifest_key) else {
        if lies != goal.before {
            world.violates(format!(
                "{prefix} has no manifest, and is not as it was: {lies:?}, before {:?}",
                goal.before
            ));
        }
        let succeeded = jobs.iter().filter(|job| job.phase == Phase::Succeeded && writes(world, prefix));
        for job in succeeded.collect::<Vec<_>>() {
            world.violates(format!("job {} succeeded, and {prefix} has no manifest", job.job));
        }
        return;
    };
    if goal.before.get(&manifest_key) == Some(manifest_etag) {
        let others = jobs.iter().filter(|job| goal.replaces.as_ref() != Some(&job.job) && writes(world, prefix));
        for job in others.filter(|job| job.phase == Phase::Succeeded).collect::<Vec<_>>() {
            world.violates(format!("job {} succeeded, and {prefix} has an older manifest", job.job));
        }
        if lies != goal.before {
            world.violates(format!(
                "{prefix} has its old manifest, and is not as it was: {lies:?}, before {:?}",
                goal.before
            ));
        }
        return;
    }
    if goal.replaces.is_none() && goal.before.contains_key(&manifest_key) {
        world.violates(format!("{manifest_key} was somebody else's, and was replaced"));
    }
    let read = world.observer.objects.get(OUTPUT, &manifest_key, None).await;
    let manifest = match read.map(|bytes| serde_json::from_slice::<Manifest>(&bytes)) {
        Ok(Ok(manifest)) => manifest,
        other => return world.violates(format!("the manifest of {prefix}: {other:?}")),
    };
    let owner = jobs.iter().find(|job| job.job.as_str() == manifest.job);
    if owner.is_none_or(|job| job.phase != Phase::Succeeded) {
        return world.violates(format!("{prefix} has the manifest of {}, which is {owner:?}", manifest.job));
    }
    // What was there before stays, but for the old result.
    let mut wanted = goal.before.clone();
    if let Some(old) = &goal.replaces {
        wanted.retain(|key, _| !key.contains(old.as_str()));
    }
    wanted.insert(manifest_key.clone(), manifest_etag.clone());
    let mut records = Vec::new();
    let mut hash = crate::chance::hash(b"");
    for part in manifest.written() {
        let key = format!("{prefix}{}", part.name);
        match world.observer.objects.get(OUTPUT, &key, None).await {
            Ok(bytes) => {
                hash = crate::chance::extend(hash, &bytes);
                hash = crate::chance::extend(hash, b"|");
                if bytes.len() as u64 != part.bytes {
                    world.violates(format!("{key} has {} bytes, and the manifest says {}", bytes.len(), part.bytes));
                }
                let is_quarantine = manifest.quarantine.as_ref().is_some_and(|entry| entry.name == part.name);
                let folder = part.name.rfind('/').map_or("", |end| &part.name[..=end]);
                let record = |line: &str| if is_quarantine { of_quarantine(line) } else { format!("{folder}{line}") };
                records.extend(String::from_utf8_lossy(&bytes).lines().map(record));
            }
            Err(error) => world.violates(format!("a part that the manifest lists: {error}")),
        }
        if let Some(etag) = lies.get(&key) {
            wanted.insert(key, etag.clone());
        }
    }
    if lies != wanted {
        world.violates(format!("{prefix} has {:?}, and should have {:?}", lies.keys(), wanted.keys()));
    }
    records.sort();
    let spec_name = manifest.splits.iter().flat_map(|split| split.ranges.iter()).next().map(|range| range.0.clone());
    let is_of = |name: &str| match &spec_name {
        Some(object) => object.starts_with(name) || name == manifest.name,
        None => true,
    };
    let wanted: Vec<&Expected> = goal.results.iter().filter(|result| is_of(&result.of)).collect();
    match wanted.iter().find(|result| result.records == records) {
        Some(result) => {
            let which = crate::chance::hash(result.records.join("\n").as_bytes());
            written.insert(format!("{prefix} {} {which:x}", result.of), hash);
        }
        None if wanted.is_empty() => {
            world.violates(format!("{prefix} has the result of {}, which nobody expects", manifest.name));
        }
        None => world.violates(format!(
            "{prefix} has {} records for {}, and not the {} that it should",
            records.len(),
            wanted[0].of,
            wanted[0].records.len()
        )),
    }
}

/// Returns what is expected of a record that is left out.
pub fn left_out(object: &str, offset: u64, raw: &str) -> String {
    format!("left out {object} at {offset}: {raw}")
}

/// Returns the same of a line of a quarantine.
fn of_quarantine(line: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Line {
        object: String,
        offset: u64,
        raw: String,
    }
    match serde_json::from_str::<Line>(line) {
        Ok(line) => left_out(&line.object, line.offset, &line.raw),
        Err(error) => format!("{error}: {line}"),
    }
}

async fn claimant_has_ended(world: &World, claim: &str, jobs: &[JobEntry]) -> bool {
    let Ok(bytes) = world.observer.objects.get(OUTPUT, claim, None).await else { return false };
    let Ok(owner) = Owner::read(&bytes, claim) else { return false };
    jobs.iter().any(|job| job.job == owner.job && job.phase.is_final())
}

/// Returns whether the jobs' parts would lie in this output: all jobs of a workload write to the same one.
fn writes(world: &World, prefix: &str) -> bool {
    world.goals().len() == 1 && world.goals().contains_key(prefix)
}

/// Removes what jobs that are over have left.
pub async fn clean(world: &World) {
    let cleaned = async {
        let driver = world.safe_driver()?;
        driver.clean(world.observer.now()).await
    };
    if let Err(error) = cleaned.await {
        world.violates(format!("cleaning: {error}"));
    }
    world.cleaned();
}

/// Cleans, and checks that nothing is left.
pub async fn leaks(world: &World) {
    // An object whose job the ledger does not know is kept for a day.
    tokio::time::sleep(Duration::from_secs(26 * 3_600)).await;
    clean(world).await;
    // A request on its way for long may begin an upload when its job is forgotten. Only a rule of the bucket removes that.
    let is_late = |upload: &LeftUpload| upload.begun_at.0 + 1_000 > world.cleaned().0;
    let work = &world.observer.stack.work_bucket;
    match world.observer.objects.list(work, "").await {
        Ok(left) if left.is_empty() => {}
        left => world.violates(format!("the work bucket still has {left:?}")),
    }
    for bucket in [work.as_str(), OUTPUT] {
        match world.observer.objects.uploads(bucket, "").await {
            Ok(left) if left.iter().all(is_late) => {}
            left => world.violates(format!("{bucket} still has uploads: {left:?}")),
        }
    }
    for prefix in world.goals().keys() {
        let claim = format!("{prefix}_owner.json");
        if world.listing(prefix).await.contains_key(&claim) {
            world.violates(format!("{claim} is still there"));
        }
    }
    for item in world.region.items() {
        world.violates(format!("the table still has {item}"));
    }
}
