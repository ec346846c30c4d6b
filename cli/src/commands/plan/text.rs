//! A plan for people: a line for each number, with its range.

use kinglet::{Host, Plan, Planned, Range, Recommended, Stages};
use std::fmt::Write;

pub(super) fn text(planned: &Planned) -> String {
    let mut text = String::new();
    let Planned { plan, recommended, .. } = planned;
    let mut line = |name: &str, what: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<11}{what}");
    };
    let forecast = &plan.forecast;
    line("input", format!("{} objects, {}", count(plan.objects as f64), bytes(plan.bytes as f64)));
    line("map", map(plan));
    if plan.stages == Stages::Two {
        line("merge", format!("{} tasks of {}", count(plan.merge_tasks as f64), seconds(forecast.merge_task_s)));
    }
    line("reduce", format!("{} tasks of {}", count(plan.partitions.into()), seconds(forecast.reduce_task_s)));
    line("shuffle", format!("{}; in {}", ranged(forecast.run_bytes, bytes), stages(plan.stages)));
    line("time", seconds(forecast.seconds));
    line("S3", format!("{} put, {} get", ranged(forecast.s3_put, count), ranged(forecast.s3_get, count)));
    let (written, read) = (ranged(forecast.write_units, count), ranged(forecast.read_units, count));
    let requests = ranged(forecast.dynamodb, count);
    line("DynamoDB", format!("{requests} requests; {written} write units, {read} read units"));
    let gb_seconds = ranged(forecast.gb_seconds, |n| format!("{n:.1}"));
    line("Lambda", format!("{} invocations, {gb_seconds} GB-seconds", ranged(forecast.lambda, count)));
    line("output", ranged(forecast.output_bytes, bytes));
    let usd = &forecast.usd;
    line("cost", format!("{}{}", ranged(usd.total, dollars), where_charged(plan)));
    let of_it = [("Lambda", usd.lambda), ("DynamoDB", usd.dynamodb), ("S3 requests", usd.s3), ("storage", usd.storage)];
    line("of it", of_it.map(|(name, usd)| format!("{name} {}", dollars(usd.likely))).join(", "));
    if let Some(Recommended { memory_mb, usd, seconds: takes, .. }) =
        recommended.filter(|best| best.memory_mb != plan.site.mapper_mb)
    {
        line("better", format!("functions of {memory_mb} MB: {}, {}", ranged(usd, dollars), seconds(takes)));
    }
    if let Some(doubt) = &plan.doubt {
        line("but", doubt.clone());
    }
    line("assumed", assumed(plan));
    line("left out", "logs, metrics, KMS, traces, what tries that fail cost, and the free tier".to_owned());
    text
}

fn stages(stages: Stages) -> &'static str {
    match stages {
        Stages::One => "one stage",
        Stages::Two => "two stages",
    }
}

fn map(plan: &Plan) -> String {
    let Plan { map_tasks, split_bytes, waves, concurrency, .. } = plan;
    let (tasks, split) = (count(*map_tasks as f64), bytes(*split_bytes as f64));
    let takes = seconds(plan.forecast.map_task_s);
    let times = if *waves == 1 { "once".to_owned() } else { format!("{} times", count(*waves as f64)) };
    format!("{tasks} tasks of {split} and {takes}; {concurrency} functions at once, {times}")
}

fn where_charged(plan: &Plan) -> String {
    let prices = &plan.site.prices;
    let of = format!("by the prices of {}, {}, {}", prices.region, prices.architecture, prices.read);
    match plan.site.host {
        Host::Embedded => format!("; nothing is charged here, on AWS {of}"),
        Host::Lambda => format!("; {of}"),
    }
}

fn assumed(plan: &Plan) -> String {
    let work = &plan.workload;
    let mut said = vec![
        format!("functions of {} MB", plan.site.mapper_mb),
        format!(
            "a vCPU maps a GB in {:.1} s and reduces one of runs in {:.1} s",
            work.map_s_per_gb, work.reduce_s_per_gb
        ),
        format!("a GB makes {} of runs", bytes(work.runs.bytes_at_gb)),
        format!("each within a factor of {}", work.uncertainty),
    ];
    if work.map_s > 0.0 {
        said.insert(1, format!("the items take a vCPU {:.1} s", work.map_s));
    }
    if plan.site.host == Host::Lambda {
        said.push("a function receives 50 to 90 MB/s".to_owned());
    }
    said.join("; ")
}

fn ranged(range: Range, show: impl Fn(f64) -> String) -> String {
    let [low, likely, high] = [range.low, range.likely, range.high].map(show);
    if low == high { likely } else { format!("{likely} ({low} to {high})") }
}

fn seconds(range: Range) -> String {
    ranged(range, |s| if s < 10.0 { format!("{s:.2} s") } else { format!("{s:.0} s") })
}

fn dollars(usd: f64) -> String {
    if usd < 0.01 { format!("${usd:.6}") } else { format!("${usd:.4}") }
}

/// Formats a number with a comma between thousands.
fn count(n: f64) -> String {
    let digits = format!("{n:.0}");
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<_>>().join(",")
}

/// Formats a number of bytes in the largest unit in which it is at least one. A KB is 1,000 bytes.
fn bytes(n: f64) -> String {
    let mut scaled = n;
    for unit in ["B", "KB", "MB", "GB", "TB"] {
        if scaled < 1_000.0 {
            return if unit == "B" { format!("{n:.0} B") } else { format!("{scaled:.2} {unit}") };
        }
        scaled /= 1_000.0;
    }
    format!("{scaled:.2} PB")
}
