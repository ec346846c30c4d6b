//! The report, for people and for programs.

use indicatif::{HumanBytes, HumanCount};
use kinglet::{Error, Report, Result};

pub(crate) fn print(report: &Report, json: bool) -> Result<()> {
    if json {
        let text = serde_json::to_string_pretty(report);
        println!("{}", text.map_err(|e| Error::input("report", format!("writing the report: {e}")))?);
    } else {
        print!("{}", text(report));
    }
    Ok(())
}

fn text(report: &Report) -> String {
    let (wall, requests, cost) = (&report.wall, &report.requests, &report.cost);
    let seconds = |ms: u64| format!("{:.2} s", ms as f64 / 1e3);
    let count = |n: u64| HumanCount(n).to_string();
    let (inline, object, empty) = report.runs_inline_object_empty;
    let rows = [
        ("job", format!("{} {}", report.name, report.job)),
        ("output", format!("{} in {} parts", report.output, count(report.parts))),
        (
            "wall time",
            format!(
                "{} (split {}, map {}, reduce {})",
                seconds(wall.total_ms),
                seconds(wall.split_ms),
                seconds(wall.map_ms),
                seconds(wall.reduce_ms)
            ),
        ),
        (
            "read",
            format!(
                "{} records, {} in {} objects",
                count(report.records_in),
                HumanBytes(report.bytes_in),
                count(report.objects)
            ),
        ),
        (
            "shuffled",
            format!(
                "{} pairs of {} emitted, {} ({inline} map outputs in DynamoDB, {object} in S3, {empty} empty; {} spills)",
                count(report.pairs_shuffled),
                count(report.pairs_emitted),
                HumanBytes(report.shuffle_bytes),
                report.spills
            ),
        ),
        ("written", format!("{} records, {}", count(report.records_out), HumanBytes(report.bytes_out))),
        (
            "tasks",
            format!("{} map, {} reduce, {} retries", report.map_tasks, report.reduce_tasks, report.retries),
        ),
        (
            "requests",
            format!(
                "S3 {} put, {} get; DynamoDB {}; Lambda {}; {} sent again",
                count(requests.s3_put),
                count(requests.s3_get),
                count(requests.dynamodb),
                count(requests.lambda),
                count(requests.again)
            ),
        ),
        ("functions", format!("{:.1} GB-seconds", report.gb_seconds)),
        (
            "on AWS",
            format!(
                "about ${:.6} (Lambda ${:.6}, DynamoDB ${:.6}, S3 ${:.6})",
                cost.total, cost.lambda, cost.dynamodb, cost.s3
            ),
        ),
    ];
    rows.iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect()
}
