//! One job at a time.

use super::jobs::{Count, CountFields, Sort, SumLines, Sums, SumsByTens};
use crate::chance::Chance;
use crate::check;
use crate::region::Conditions;
use crate::world::{INPUT, World};
use kinglet::{MaxRejected, OutputFormat, Phase, RunsMerged, Submit, prices};
use kinglet_core::Code;
use kinglet_core::wire::spec::Indexed;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Writes an input of several objects, some of them empty. Returns the text.
pub(super) async fn input(world: &World, name: &str) -> String {
    let chance = Chance::of(world.variant, &format!("input {name}"));
    let mut all = String::new();
    for n in 0..chance.between(1, 4) {
        let mut text = String::new();
        for _ in 0..chance.between(0, 400) {
            let word = chance.between(0, 60);
            text.push_str(&format!("w{word}"));
            text.push(if chance.hits(200_000) { '\n' } else { ' ' });
        }
        if !text.is_empty() {
            text.push('\n');
        }
        world.put(INPUT, &format!("{name}/{n}"), text.clone()).await;
        all.push_str(&text);
    }
    all
}

/// Returns the records of a count of these things.
pub(super) fn counted<'a>(things: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut counts = BTreeMap::<&str, u64>::new();
    things.for_each(|thing| *counts.entry(thing).or_default() += 1);
    let mut records: Vec<String> = counts.into_iter().map(|(thing, count)| format!("{thing}\t{count}")).collect();
    records.sort();
    records
}

/// Returns the name of an input.
pub(super) fn shown(name: &str) -> String {
    format!("s3://{INPUT}/{name}/")
}

pub(super) async fn word_count(world: Arc<World>) {
    let text = input(&world, "words").await;
    world.expect("words/", [(shown("words"), counted(text.split_whitespace()))]).await;
    let split_bytes = *world.chance.pick(&[64, 200, 1_000, 1_000_000]);
    let submit = Submit::new([shown("words")], "s3://output/words").with_split_bytes(split_bytes).with_partitions(2);
    let Ok((machine, driver)) = world.driver() else { return };
    if let Some(handle) = world.submit(&machine, driver.submit(&Count, submit)).await {
        world.follow(&machine, &handle).await;
    }
}

pub(super) async fn sort(world: Arc<World>) {
    // All runs lie in S3.
    sorted(world, |submit| submit.with_inline_bytes(0)).await;
}

pub(super) async fn indexed(world: Arc<World>) {
    let inline_bytes = *world.chance.pick(&[0, 0, 700, 1_000_000]);
    sorted(world, |submit| submit.with_inline_bytes(inline_bytes).with_indexed(Indexed::Always)).await;
}

pub(super) async fn merged(world: Arc<World>) {
    if world.variant.is_multiple_of(3) {
        return sorted(world, |submit| submit.with_runs_merged(RunsMerged::Always)).await;
    }
    let text = input(&world, "words").await;
    world.expect("words/", [(shown("words"), counted(text.split_whitespace()))]).await;
    let split_bytes = *world.chance.pick(&[64, 200, 1_000]);
    let submit = Submit::new([shown("words")], "s3://output/words").with_split_bytes(split_bytes).with_partitions(4);
    let submit = submit.with_runs_merged(RunsMerged::Always);
    let Ok((machine, driver)) = world.driver() else { return };
    if let Some(handle) = world.submit(&machine, driver.submit(&Count, submit)).await {
        world.follow(&machine, &handle).await;
    }
}

pub(super) async fn merged_pieces(world: Arc<World>) {
    let submit = Submit::to("s3://output/sums").with_items_per_split(3).with_partitions(2);
    let submit = submit.with_runs_merged(RunsMerged::Always).with_reduce_time(Duration::ZERO);
    sum(world.clone(), world.variant % 4 * 4 + 6, submit).await;
}

async fn sorted(world: Arc<World>, choose: impl FnOnce(Submit) -> Submit) {
    let text = input(&world, "lines").await;
    world.expect("lines/", [(shown("lines"), counted(text.lines()))]).await;
    let split_bytes = *world.chance.pick(&[100, 500]);
    let submit = Submit::new([shown("lines")], "s3://output/lines").with_split_bytes(split_bytes).with_partitions(3);
    let submit = choose(submit);
    let Ok((machine, driver)) = world.driver() else { return };
    if let Some(handle) = world.submit(&machine, driver.submit(&Sort, submit)).await {
        world.follow(&machine, &handle).await;
    }
}

pub(super) async fn items(world: Arc<World>) {
    let count = world.variant % 7 * 40 + 1;
    let submit = Submit::to("s3://output/sums").with_items_per_split(50).with_partitions(2);
    sum(world, count, submit).await;
}

async fn sum(world: Arc<World>, count: u64, submit: Submit) {
    let mut sums = BTreeMap::<u64, u64>::new();
    (0..count).for_each(|n| *sums.entry(n % 100).or_default() += n);
    let mut records: Vec<String> = sums.into_iter().map(|(key, sum)| format!("{key}\t{sum}")).collect();
    records.sort();
    world.expect("sums/", [("sums".to_owned(), records)]).await;
    let Ok((machine, driver)) = world.driver() else { return };
    if let Some(handle) = world.submit(&machine, driver.submit_items(&Sums, 0..count, submit)).await {
        world.follow(&machine, &handle).await;
    }
}

/// A split looks at 1 MiB to see how it begins. So the input has a field that is longer, as the region's machines are fast enough.
pub(super) async fn rereads(world: Arc<World>) {
    let chance = Chance::of(world.variant, "rereads");
    // Lines that are rows where each row is one field, and none where rows have two.
    let columns = chance.between(1, 2);
    let line = format!("{}\n", "x".repeat(chance.between(2, 40) as usize * 1_000));
    let mut rows = Vec::new();
    for object in 0..chance.between(1, 2) {
        let (head, more) = if columns == 1 { ("text\n", "") } else { ("text,more\n", ",1") };
        let mut text = head.to_owned();
        for n in 0..chance.between(1, 4) {
            if chance.hits(500_000) {
                let field = line.repeat(chance.between(1_100_000, 2_500_000) as usize / line.len());
                // Text next to a quote would show how a split begins that has it near its start.
                let end = if chance.hits(500_000) { "\n" } else { "y" };
                text.push_str(&format!("\"{object}{n}\n{field}{end}\"{more}\n"));
            } else {
                text.push_str(&format!("{object}{n}{more}\n{}", format!("z{more}\n").repeat(100_000)));
                rows.extend((0..100_000).map(|_| "z".to_owned()));
            }
            rows.push(format!("{object}{n}"));
        }
        world.put(INPUT, &format!("rereads/{object}"), text).await;
    }
    world.expect("rereads/", [(shown("rereads"), counted(rows.iter().map(String::as_str)))]).await;
    let inline_bytes = *world.chance.pick(&[0, 1_000_000]);
    let indexed = *world.chance.pick(&[Indexed::WhereCheaper, Indexed::Always]);
    let submit =
        Submit::new([shown("rereads")], "s3://output/rereads").with_split_bytes(chance.between(400_000, 900_000));
    let merged = *world.chance.pick(&[RunsMerged::Never, RunsMerged::Never, RunsMerged::Always]);
    let submit =
        submit.with_partitions(2).with_inline_bytes(inline_bytes).with_indexed(indexed).with_runs_merged(merged);
    let Ok((machine, driver)) = world.driver() else { return };
    if let Some(handle) = world.submit(&machine, driver.submit(&CountFields, submit)).await {
        world.follow(&machine, &handle).await;
    }
}

pub(super) async fn pieces(world: Arc<World>) {
    let text = input(&world, "pieces").await;
    world.expect("pieces/", [(shown("pieces"), counted(text.split_whitespace()))]).await;
    let submit = Submit::new([shown("pieces")], "s3://output/pieces").with_partitions(2);
    // So little time that a task stops between two objects.
    let submit = submit.with_map_time(Duration::from_millis(world.chance.between(20, 200)));
    let Ok((machine, driver)) = world.driver() else { return };
    if let Some(handle) = world.submit(&machine, driver.submit(&Count, submit)).await {
        world.follow(&machine, &handle).await;
    }
}

pub(super) async fn reduce_pieces(world: Arc<World>) {
    let inline_bytes = *world.chance.pick(&[0, 1_000_000]);
    let submit = Submit::to("s3://output/sums").with_items_per_split(5).with_partitions(2);
    // So little time that it is over when the runs are there.
    let submit = submit.with_inline_bytes(inline_bytes).with_reduce_time(Duration::from_millis(1));
    sum(world.clone(), world.variant % 4 * 4 + 6, submit).await;
}

pub(super) async fn rejected(world: Arc<World>) {
    let chance = Chance::of(world.variant, "numbers");
    let (mut sums, mut records) = (BTreeMap::<u64, u64>::new(), Vec::new());
    for n in 0..chance.between(1, 3) {
        let mut text = String::new();
        for _ in 0..chance.between(1, 200) {
            let number = chance.between(0, 500);
            if chance.hits(100_000) {
                records.push(check::left_out(
                    &format!("{}{n}", shown("numbers")),
                    text.len() as u64,
                    &format!("{number},"),
                ));
                text.push_str(&format!("{number},\n"));
            } else {
                *sums.entry(number % 100).or_default() += number;
                text.push_str(&format!("{number}\n"));
            }
        }
        world.put(INPUT, &format!("numbers/{n}"), text).await;
    }
    records.extend(sums.into_iter().map(|(key, sum)| format!("{key}\t{sum}")));
    records.sort();
    world.expect("numbers/", [(shown("numbers"), records)]).await;
    let submit = Submit::new([shown("numbers")], "s3://output/numbers").with_split_bytes(300).with_partitions(2);
    let submit = submit.with_max_rejected(MaxRejected::Count(1_000));
    let submit = match chance.hits(500_000) {
        // So little time that each key is a part of its own.
        true => submit.with_reduce_time(Duration::from_millis(1)),
        false => submit,
    };
    let Ok((machine, driver)) = world.driver() else { return };
    if let Some(handle) = world.submit(&machine, driver.submit(&SumLines, submit)).await {
        world.follow(&machine, &handle).await;
    }
}

pub(super) async fn folders(world: Arc<World>) {
    let chance = Chance::of(world.variant, "folders");
    let is_in_pieces = chance.hits(500_000);
    let count = chance.between(1, if is_in_pieces { 25 } else { 120 });
    let mut sums = BTreeMap::<u64, u64>::new();
    (0..count).for_each(|n| *sums.entry(n % 100).or_default() += n);
    let record = |(key, sum): (u64, u64)| format!("tens={}/{{\"key\":{key},\"sum\":{sum}}}", key / 10);
    let mut records: Vec<String> = sums.into_iter().map(record).collect();
    records.sort();
    world.expect("sums/", [("sums-by-tens".to_owned(), records)]).await;
    let format = OutputFormat::json_lines().with_columns(["tens", "key", "sum"]).with_partition_by(["tens"]);
    let submit = Submit::to("s3://output/sums").with_items_per_split(30).with_partitions(2).with_output_format(format);
    // So little time that each key is a piece of its own.
    let submit = if is_in_pieces { submit.with_reduce_time(Duration::from_millis(1)) } else { submit };
    let Ok((machine, driver)) = world.driver() else { return };
    if let Some(handle) = world.submit(&machine, driver.submit_items(&SumsByTens, 0..count, submit)).await {
        world.follow(&machine, &handle).await;
    }
}

/// A region in which functions live for a minute, and read an item in about a second.
pub(super) fn short_lives(conditions: &mut Conditions) {
    conditions.timeout = Duration::from_secs(60);
    conditions.scale = 2 << 20;
    conditions.calm_extra += Duration::from_secs(3_600);
}

pub(super) async fn long(world: Arc<World>) {
    let count = world.variant % 4 * 60 + 150;
    let submit = Submit::to("s3://output/sums").with_items_per_split(150).with_partitions(2);
    sum(world, count, submit).await;
}

/// The same, where three functions run at once.
pub(super) fn three_short_lives(conditions: &mut Conditions) {
    short_lives(conditions);
    conditions.concurrency = 3;
}

pub(super) async fn ceiling(world: Arc<World>) {
    let before = gb_seconds(&world);
    let ceiling = *world.chance.pick(&[100.0, 300.0, 100_000.0]);
    world.may_fail(Code::CeilingPassed.as_str());
    let submit = Submit::to("s3://output/sums").with_items_per_split(60).with_partitions(2);
    sum(world.clone(), 900, submit.with_max_usd(ceiling * prices::LAMBDA_GB_SECOND_X86)).await;
    check::ends(&world, Duration::ZERO).await;
    // A driver looks every 15 seconds, and functions notice within 35. Without one there is the check each minute, which waits for a
    // free function as all do, up to five minutes. What a fault has ended may not be known.
    let function_gb = f64::from(world.region.conditions.memory_mb) / 1_024.0;
    let unseen = f64::from(world.region.conditions.concurrency) * function_gb * 120.0;
    let struck = world.region.faults.struck();
    let is_driverless =
        struck.iter().any(|fault| fault.struck.kind.may_kill() && fault.struck.step.starts_with("driver"));
    let unseen = if is_driverless { 4.0 * unseen } else { unseen };
    let lost = struck.len() as f64 * function_gb * 60.0;
    let spent = gb_seconds(&world) - before;
    if spent > ceiling + unseen + lost {
        world.violates(format!("{spent:.0} GB-seconds were spent below a ceiling of {ceiling}"));
    }
}

fn gb_seconds(world: &World) -> f64 {
    world.region.lambda.tally().mb_ms as f64 / 1_024_000.0
}

pub(super) async fn cleaned(world: Arc<World>) {
    word_count(world.clone()).await;
    let jobs = check::ends(&world, Duration::ZERO).await;
    // How a job failed is known until it is cleaned.
    if jobs.iter().all(|job| job.phase == Phase::Succeeded) {
        check::clean(&world).await;
    }
}
