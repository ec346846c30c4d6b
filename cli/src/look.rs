//! Looking after jobs: `kinglet jobs`, `status`, `attach`, `cancel`, `logs` and `clean`.

use crate::args::{Clean, Cloud, Logs, OneJob};
use crate::desk::Desk;
use crate::{progress, report};
use kinglet::{JobStatus, JobSummary, LogFilter, LogLine, Phase, Result, Timestamp};
use std::collections::HashSet;
use std::time::Duration;

pub(crate) async fn jobs(json: bool, cloud: &Cloud) -> Result<()> {
    let desk = Desk::of(cloud).await?;
    let jobs = desk.jobs().await?;
    if json {
        return report::json(&jobs);
    }
    if jobs.is_empty() {
        eprintln!("no jobs");
        return Ok(());
    }
    println!("{:<24}  {:<16}  {:<9}  {:<19}  {:>9}  PROGRESS", "ID", "JOB", "PHASE", "STARTED (UTC)", "TOOK");
    for job in jobs {
        let progress = if job.phase.is_final() { String::new() } else { progress_of(&desk, &job).await };
        let took = took(job.submitted_at, job.ended_at);
        let line = format!(
            "{:<24}  {:<16}  {:<9}  {:<19}  {took:>9}  {progress}",
            job.job.as_str(),
            job.name,
            job.phase.as_str(),
            date(job.submitted_at)
        );
        println!("{}", line.trim_end());
    }
    Ok(())
}

/// How far a job is that runs; nothing where that cannot be read, as when it has just been cleaned.
async fn progress_of(desk: &Desk, job: &JobSummary) -> String {
    let status = desk.status(&job.job).await;
    status.map_or(String::new(), |status| progress::counts(&status.progress))
}

pub(crate) async fn status(one: OneJob, cloud: &Cloud) -> Result<()> {
    let desk = Desk::of(cloud).await?;
    let job = desk.find(&one.job).await?;
    let status = desk.status(&job).await?;
    if one.json {
        return report::json(&status);
    }
    print_status(&status);
    Ok(())
}

fn print_status(status: &JobStatus) {
    println!("job        {} {}", status.name, status.job);
    println!("phase      {}", status.phase.as_str());
    let started = status.times.submitted_at.unwrap_or_default();
    println!("started    {} UTC, {} ago", date(started), took(started, None).trim());
    println!("input      {}", status.inputs.join(", "));
    println!("output     {}", status.output);
    if !status.phase.is_final() {
        println!("progress   {}", progress::counts(&status.progress));
    }
    if let Some(error) = &status.error {
        println!("error      {error} ({})", error.code());
        if let Some(hint) = error.hint() {
            println!("hint       {hint}");
        }
    }
    if let Some(done) = &status.report {
        // The job and its output stand above.
        for line in done.to_string().lines().filter(|line| !line.starts_with("job ")) {
            println!("{line}");
        }
    }
}

pub(crate) async fn attach(one: OneJob, cloud: &Cloud) -> Result<()> {
    let desk = Desk::of(cloud).await?;
    let job = desk.find(&one.job).await?;
    let status = desk.status(&job).await?;
    let done = match (status.report, status.error) {
        (Some(done), _) => done,
        (None, Some(error)) => return Err(error),
        (None, None) => {
            let handle = desk.attach(&job).await?;
            let mut shown = progress::Shown::new();
            let done = handle.wait_with(&mut |progress| shown.tell(progress)).await;
            shown.end();
            done?
        }
    };
    report::print(&done, one.json)
}

pub(crate) async fn cancel(wanted: &str, cloud: &Cloud) -> Result<()> {
    let desk = Desk::of(cloud).await?;
    let job = desk.find(wanted).await?;
    let before = desk.status(&job).await?;
    if before.phase.is_final() {
        eprintln!("job {job} has {} already", before.phase.as_str());
        return Ok(());
    }
    desk.attach(&job).await?.cancel().await?;
    let after = desk.status(&job).await?.phase;
    // It may have come to its end first, or be as good as there.
    match after {
        Phase::Publishing => eprintln!("job {job} is publishing its result: it is too late to cancel it"),
        Phase::Undoing => eprintln!("job {job} is being undone"),
        Phase::Cancelled => eprintln!("job {job} is cancelled"),
        ended => eprintln!("job {job} has {}", ended.as_str()),
    }
    Ok(())
}

/// How often new lines are looked for. CloudWatch takes some seconds to have them.
const FOLLOW_EVERY: Duration = Duration::from_secs(2);

/// How far back each look goes: lines come late, and not in order.
const FOLLOW_BACK_MS: u64 = 30_000;

pub(crate) async fn logs(logs: Logs, cloud: &Cloud) -> Result<()> {
    let desk = Desk::of(cloud).await?;
    let job = desk.find(&logs.job).await?;
    let since = logs.since.map(|ago| Timestamp(Timestamp::now().0.saturating_sub(ago.as_millis() as u64)));
    let mut filter = LogFilter::default();
    (filter.task, filter.stage, filter.since) = (logs.task, logs.stage.map(Into::into), since);
    let mut shown: HashSet<(String, Option<Timestamp>, String)> = HashSet::new();
    loop {
        // Asked before the lines: those of a job that had ended by then are all there are, but for CloudWatch's delay.
        let over = !logs.follow || desk.status(&job).await?.phase.is_final();
        for line in desk.logs(&job, &filter).await? {
            if !logs.follow || shown.insert((line.function.clone(), line.at, line.text.clone())) {
                print_line(&line, logs.json)?;
            }
        }
        if over {
            return Ok(());
        }
        let newest = shown.iter().filter_map(|(_, at, _)| *at).max();
        filter.since = newest.map(|at| Timestamp(at.0.saturating_sub(FOLLOW_BACK_MS))).max(since);
        let pause = if matches!(desk, Desk::Stack(_)) { FOLLOW_EVERY } else { FOLLOW_EVERY / 10 };
        tokio::time::sleep(pause).await;
    }
}

fn print_line(line: &LogLine, json: bool) -> Result<()> {
    match json {
        false => println!("{line}"),
        // What is JSON already goes out as it was written.
        true if line.text.starts_with('{') => println!("{}", line.text),
        true => println!("{}", serde_json::json!({ "function": line.function, "message": line.text })),
    }
    Ok(())
}

pub(crate) async fn clean(clean: Clean, cloud: &Cloud) -> Result<()> {
    let desk = Desk::of(cloud).await?;
    let before = Timestamp(Timestamp::now().0.saturating_sub(clean.older_than.as_millis() as u64));
    let cleaned = if clean.dry_run { desk.leftovers(before).await? } else { desk.clean(before).await? };
    if clean.json {
        return report::json(&cleaned);
    }
    for job in &cleaned.jobs {
        println!("{job}");
    }
    let verb = if clean.dry_run { "would remove" } else { "removed" };
    let (jobs, objects) = (cleaned.jobs.len(), cleaned.objects);
    eprintln!("{verb} what {jobs} jobs left: {objects} objects, {}", progress::bytes(cleaned.bytes));
    Ok(())
}

/// Days, hours, minutes or seconds: `7d`, `12h`, `30m`, `90s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let seconds = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return Err("a duration is a whole number with d, h, m or s behind it, as in 12h".to_owned()),
    };
    let number: u64 = text[..text.len() - unit.len()].parse().map_err(|_| "a duration begins with a whole number")?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "this duration is too long".to_owned())
}

/// How long something took, or takes.
fn took(from: Timestamp, to: Option<Timestamp>) -> String {
    let ms = to.unwrap_or_else(Timestamp::now).since_ms(from);
    match ms / 1_000 {
        0..60 => format!("{:.2} s", ms as f64 / 1e3),
        seconds @ 60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        seconds @ 3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        seconds => format!("{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A time as `2026-11-21 07:14:52`, UTC: the days by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn date(at: Timestamp) -> String {
    let (days, seconds) = (at.0 / 86_400_000, at.0 / 1_000 % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        assert_eq!(date(Timestamp(951_827_696_999)), "2000-02-29 12:34:56");
        assert_eq!(date(Timestamp(1_795_245_292_208)), "2026-11-21 07:14:52");
        assert_eq!(date(Timestamp(0)), "1970-01-01 00:00:00");
        let took_ms = |ms: u64| took(Timestamp(5), Some(Timestamp(5 + ms)));
        assert_eq!([50, 61_000, 7_260_000, 90_000_000].map(took_ms), ["0.05 s", "1m 01s", "2h 01m", "1d 01h"]);
    }

    #[test]
    fn durations() {
        assert_eq!(["7d", "2h", "3m", "0s"].map(|text| duration(text).unwrap().as_secs()), [604_800, 7_200, 180, 0]);
        for bad in ["", "7", "d", "7w", "-1s", "1.5h", "99999999999999999999d", "9999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
