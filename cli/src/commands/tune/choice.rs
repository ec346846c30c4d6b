//! What the runs show: outliers left out, means, and which size is best for what.

use kinglet::prices;
use serde::Serialize;
use std::fmt::Write;

/// One run of the job.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    /// Longest billed time of an invocation, in each stage, one stage after the other.
    pub(super) path_ms: f64,
    /// Billed time of all invocations.
    pub(super) billed_ms: f64,
    pub(super) invocations: usize,
    /// Mean billed time of a mapper's invocation.
    pub(super) map_ms: f64,
    pub(super) wall_ms: f64,
    /// Dollars: Lambda, and everything else.
    pub(super) lambda: f64,
    pub(super) others: f64,
}

impl Run {
    /// From invocations: function, billed milliseconds, memory.
    pub(super) fn of<'a>(calls: impl Iterator<Item = (&'a str, u64, u32)>, wall_ms: u64) -> Run {
        let mut run = Run { wall_ms: wall_ms as f64, ..Run::default() };
        let (mut longest, mut maps) = ([0.0_f64; 3], 0);
        for (function, billed_ms, memory_mb) in calls {
            let ms = billed_ms as f64;
            run.invocations += 1;
            run.billed_ms += ms;
            run.lambda += invocation_cost(ms, memory_mb);
            let stage = usize::from(function.contains("mapper")) + 2 * usize::from(function.contains("reducer"));
            longest[stage] = longest[stage].max(ms);
            if stage == 1 {
                maps += 1;
                run.map_ms += ms;
            }
        }
        run.map_ms /= f64::from(maps.max(1));
        run.path_ms = longest.iter().sum();
        run
    }
}

/// What Lambda charges for one invocation.
fn invocation_cost(billed_ms: f64, memory_mb: u32) -> f64 {
    billed_ms / 1e3 * f64::from(memory_mb) / 1024.0 * prices::LAMBDA_GB_SECOND_X86 + prices::LAMBDA_REQUEST
}

/// A memory size: means over the runs that are no outliers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Size {
    pub(super) memory_mb: u32,
    /// Runs that count, and all.
    pub(super) runs: (usize, usize),
    /// How long the job takes when the tasks of a stage run at once: the longest billed time in each stage, added.
    pub(super) time_s: f64,
    /// Billed time of all invocations.
    pub(super) billed_s: f64,
    /// Wall time on this machine.
    pub(super) wall_s: f64,
    /// Mean billed time of a mapper's invocation.
    pub(super) map_s: f64,
    /// What a thousand of the mapper's invocations cost, in dollars.
    pub(super) map_usd_1000: f64,
    /// What the job's invocations cost, in dollars.
    pub(super) lambda_usd: f64,
    /// What the job costs: Lambda, DynamoDB and S3, in dollars.
    pub(super) usd: f64,
}

impl Size {
    pub(super) fn of(memory_mb: u32, runs: &[Run]) -> Size {
        let kept = without_outliers(runs);
        let mean = |of: fn(&Run) -> f64| kept.iter().map(|run| of(run)).sum::<f64>() / kept.len().max(1) as f64;
        let lambda_usd = mean(|run| run.lambda);
        let map_ms = mean(|run| run.map_ms);
        Size {
            memory_mb,
            runs: (kept.len(), runs.len()),
            time_s: mean(|run| run.path_ms) / 1e3,
            billed_s: mean(|run| run.billed_ms) / 1e3,
            wall_s: mean(|run| run.wall_ms) / 1e3,
            map_s: map_ms / 1e3,
            map_usd_1000: invocation_cost(map_ms, memory_mb) * 1e3,
            lambda_usd,
            usd: lambda_usd + mean(|run| run.others),
        }
    }
}

/// Leaves out runs whose billed time is more than three deviations from the median. The deviation is the median distance from
/// the median, scaled as for a normal distribution, and at least a hundredth of the median and 1 ms: one slow run, as the first
/// with its cold start, does not widen it (Hampel's identifier).
fn without_outliers(runs: &[Run]) -> Vec<&Run> {
    let middle = median(runs.iter().map(|run| run.billed_ms).collect());
    let spread = median(runs.iter().map(|run| (run.billed_ms - middle).abs()).collect());
    let deviation = (1.4826 * spread).max(middle / 100.0).max(1.0);
    runs.iter().filter(|run| (run.billed_ms - middle).abs() <= 3.0 * deviation).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or(0.0);
    let lower = values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0);
    (lower + upper) / 2.0
}

/// Which size is best, in MB.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Choices {
    pub(super) cheapest: u32,
    pub(super) fastest: u32,
    /// The least sum of time and cost, each as a part of the largest among the sizes.
    pub(super) balanced: u32,
    /// The cheapest that is fast enough, if a deadline was given; none may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deadline: Option<(f64, Option<u32>)>,
    /// The fastest that is cheap enough, if a budget was given; none may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) budget: Option<(f64, Option<u32>)>,
}

impl Choices {
    /// Of at least one size.
    pub(super) fn of(sizes: &[Size], deadline_s: Option<f64>, budget_usd: Option<f64>) -> Choices {
        let least = |of: &dyn Fn(&Size) -> (f64, f64), fits: &dyn Fn(&Size) -> bool| {
            let key = |size: &&Size| of(size);
            let by = |a: &&Size, b: &&Size| key(a).partial_cmp(&key(b)).unwrap_or(std::cmp::Ordering::Equal);
            sizes.iter().filter(|size| fits(size)).min_by(by).map(|size| size.memory_mb)
        };
        let largest = |of: fn(&Size) -> f64| sizes.iter().map(of).fold(f64::MIN_POSITIVE, f64::max);
        let (slowest, dearest) = (largest(|s| s.time_s), largest(|s| s.usd));
        let all = |_: &Size| true;
        let (cheap, fast) = (|s: &Size| (s.usd, s.time_s), |s: &Size| (s.time_s, s.usd));
        Choices {
            cheapest: least(&cheap, &all).unwrap_or(0),
            fastest: least(&fast, &all).unwrap_or(0),
            balanced: least(&|s| (s.time_s / slowest + s.usd / dearest, s.usd), &all).unwrap_or(0),
            deadline: deadline_s.map(|most| (most, least(&cheap, &|s| s.time_s <= most))),
            budget: budget_usd.map(|most| (most, least(&fast, &|s| s.usd <= most))),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text =
            format!("cheapest   {} MB\nfastest    {} MB\nbalanced   {} MB", self.cheapest, self.fastest, self.balanced);
        let none = || "none of these sizes".to_owned();
        let named = |size: Option<u32>| size.map_or_else(none, |mb| format!("{mb} MB"));
        // Writing to a string cannot fail.
        if let Some((most, size)) = self.deadline {
            let _ = write!(text, "\nin {most} s    {}, the cheapest that is fast enough", named(size));
        }
        if let Some((most, size)) = self.budget {
            let _ = write!(text, "\nfor ${most}   {}, the fastest that is cheap enough", named(size));
        }
        text
    }
}

/// The sizes, for people.
pub(super) fn table(name: &str, runs: u32, sizes: &[Size]) -> String {
    let mut text = format!(
        "{name}, {runs} runs at each size; means of billed time, outliers left out\n\
         {:>9} {:>6} {:>10} {:>10} {:>10} {:>14} {:>14} {:>14}\n",
        "memory", "runs", "time", "billed", "a map", "$/1000 maps", "$/1000 jobs", "of it Lambda"
    );
    for size in sizes {
        let Size { memory_mb, runs: (kept, all), time_s, billed_s, map_s, map_usd_1000, lambda_usd, usd, .. } = size;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{memory_mb:>6} MB {:>6} {time_s:>8.3} s {billed_s:>8.3} s {map_s:>8.3} s {map_usd_1000:>14.4} {:>14.4} {:>14.4}",
            format!("{kept}/{all}"),
            usd * 1e3,
            lambda_usd * 1e3
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(billed_ms: u64) -> Run {
        Run::of([("kinglet-mapper", billed_ms, 1024)].into_iter(), 1)
    }

    fn size(memory_mb: u32, time_s: f64, usd: f64) -> Size {
        Size { time_s, usd, ..Size::of(memory_mb, &[run(1)]) }
    }

    #[test]
    fn a_run_adds_up_its_invocations() {
        let calls = [
            ("kinglet-splitter", 10, 128),
            ("kinglet-mapper", 1_000, 1024),
            ("kinglet-mapper", 3_000, 1024),
            ("kinglet-reducer", 20, 512),
        ];
        let run = Run::of(calls.into_iter(), 5_000);
        assert_eq!((run.path_ms, run.billed_ms, run.map_ms, run.invocations), (3_030.0, 4_030.0, 2_000.0, 4));
        let want = (4.0 + 0.01 / 8.0 + 0.02 / 2.0) * 0.000_016_666_7 + 4.0 * 0.2e-6;
        assert!((run.lambda - want).abs() < 1e-12, "{run:?}");
    }

    /// <https://aws.amazon.com/lambda/pricing/>: 1.47 s at 1,024 MB is what AWS's table of prime numbers calls $0.0246.
    #[test]
    fn a_thousand_invocations_cost_what_aws_says() {
        let size = Size::of(1024, &[run(1_465)]);
        assert!((size.map_usd_1000 - 0.0246).abs() < 1e-4, "{size:?}");
    }

    #[test]
    fn one_slow_run_is_left_out_and_even_runs_are_kept() {
        let size = Size::of(1024, &[run(900), run(500), run(502), run(499), run(505)]);
        assert_eq!(size.runs, (4, 5));
        assert!((size.billed_s - 0.5015).abs() < 1e-9, "{size:?}");
        assert_eq!(Size::of(1024, &[run(7), run(7), run(8)]).runs, (3, 3));
        assert_eq!(Size::of(1024, &[run(100), run(200)]).runs, (2, 2));
    }

    #[test]
    fn choices_follow_time_and_cost() {
        let sizes = [size(128, 10.0, 1.0), size(512, 2.5, 1.1), size(1024, 2.0, 2.0), size(3008, 1.9, 6.0)];
        let choices = Choices::of(&sizes, Some(2.0), Some(1.5));
        assert_eq!((choices.cheapest, choices.fastest, choices.balanced), (128, 3008, 512));
        assert_eq!(choices.deadline, Some((2.0, Some(1024))));
        assert_eq!(choices.budget, Some((1.5, Some(512))));
        let choices = Choices::of(&sizes, Some(1.0), Some(0.5));
        assert_eq!((choices.deadline, choices.budget), (Some((1.0, None)), Some((0.5, None))));
        assert!(choices.text().contains("in 1 s    none of these sizes"), "{}", choices.text());
    }
}
