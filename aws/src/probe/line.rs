//! What was found, beside what the model says.

use crate::errors::{causes, code};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use kinglet_core::model::Latency;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use tokio::time::Instant;

/// One thing that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Line {
    /// Its name, the same in all versions: `s3-get-1kib`.
    pub name: String,
    /// What it is, for people.
    pub what: String,
    /// What was found.
    pub measured: Measured,
    /// What the model says.
    pub model: Model,
    /// The section of `docs/reference/aws-model.md` that explains it.
    pub section: String,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Measured {
    /// How long it took.
    Times(Times),
    /// What was answered, and how often: `done`, or the HTTP status and the service's code.
    Answers(BTreeMap<String, u32>),
    /// A number.
    Value {
        /// The number.
        value: f64,
        /// Its unit.
        unit: String,
    },
    /// How many began in each second.
    Starts(Vec<u32>),
    /// Nothing, and why.
    Nothing(String),
}

/// How long something took, several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The median, in microseconds.
    pub median_us: u64,
    /// The 99th percentile, in microseconds; of fewer than a hundred samples, the longest.
    pub p99_us: u64,
    /// How many samples there were.
    pub n: u32,
}

/// What the model says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Of times: the median and the 99th percentile, in microseconds.
    pub latency: Option<[u64; 2]>,
    /// In words.
    pub says: String,
    /// Whether what was found is what the model says; `None` where it is a matter of degree.
    pub agrees: Option<bool>,
}

impl Line {
    /// Makes a line.
    pub fn new(name: &str, what: &str, section: &str, measured: Measured, model: Model) -> Self {
        let [name, what, section] = [name, what, section].map(str::to_owned);
        Line { name, what, measured, model, section }
    }

    /// Makes a line of what took time.
    pub fn took(name: &str, what: &str, section: &str, measured: Measured, model: Latency) -> Self {
        let says = format!("{}, {}", ms(model.median_us), ms(model.p99_us));
        let model = Model { latency: Some([model.median_us, model.p99_us]), says, agrees: None };
        Line::new(name, what, section, measured, model)
    }
}

impl Times {
    /// Returns the times of these samples, in microseconds; `None` if there are none.
    pub fn of(mut samples: Vec<u64>) -> Option<Self> {
        samples.sort_unstable();
        let at = |percent: usize| samples.get((samples.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Times { median_us: at(50)?, p99_us: at(99)?, n: u32::try_from(samples.len()).unwrap_or(u32::MAX) })
    }
}

/// Writes microseconds as milliseconds.
fn ms(us: u64) -> String {
    if us < 10_000 { format!("{:.1} ms", us as f64 / 1e3) } else { format!("{} ms", us / 1_000) }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Measured::Times(Times { median_us, p99_us, n }) => {
                write!(f, "{}, {} (of {n})", ms(*median_us), ms(*p99_us))
            }
            Measured::Answers(answers) => {
                let once = answers.values().sum::<u32>() == 1;
                let each = |(answer, n): (&String, &u32)| if once { answer.clone() } else { format!("{answer} ×{n}") };
                f.write_str(&answers.iter().map(each).collect::<Vec<_>>().join(", "))
            }
            Measured::Value { value, unit } => write!(f, "{value:.3} {unit}"),
            Measured::Starts(starts) => {
                let each: Vec<_> = starts.iter().map(u32::to_string).collect();
                write!(f, "{} in each second", each.join(", "))
            }
            Measured::Nothing(why) => write!(f, "nothing: {why}"),
        }
    }
}

/// Answers, counted.
#[derive(Debug, Default)]
pub(super) struct Answers(BTreeMap<String, u32>);

impl Answers {
    pub(super) fn add(&mut self, answer: String) {
        *self.0.entry(answer).or_default() += 1;
    }

    /// Returns how often this was the answer.
    pub(super) fn count(&self, answer: &str) -> u32 {
        self.0.get(answer).copied().unwrap_or(0)
    }

    /// Returns whether every answer is one of these.
    pub(super) fn are(&self, allowed: &[&str]) -> bool {
        self.0.keys().all(|answer| allowed.contains(&answer.as_str()))
    }

    /// Makes a line of these answers.
    pub(super) fn line(self, name: &str, what: &str, section: &str, says: &str, agrees: bool) -> Line {
        let model = Model { latency: None, says: says.to_owned(), agrees: Some(agrees) };
        Line::new(name, what, section, Measured::Answers(self.0), model)
    }
}

impl From<String> for Answers {
    fn from(answer: String) -> Self {
        Answers(BTreeMap::from([(answer, 1)]))
    }
}

/// What a service answers to a request whose answer is what counts.
pub(super) const DONE: &str = "done";

/// Returns the answer to a request: [`DONE`], or the HTTP status and the service's code.
pub(super) fn answer<T, E>(result: &Result<T, SdkError<E, HttpResponse>>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Err(error) = result else { return DONE.to_owned() };
    let status = error.raw_response().map(|response| response.status().as_u16());
    match (status, code(error)) {
        (Some(status), Some(code)) => format!("{status} {code}"),
        (Some(status), None) => status.to_string(),
        (None, _) => format!("no answer: {}", causes(error)),
    }
}

/// Takes the time of requests.
#[derive(Debug, Default)]
pub(super) struct Watch {
    us: Vec<u64>,
    failed: Option<String>,
}

impl Watch {
    /// Sends a request and notes how long it took, if it was done.
    pub(super) async fn time<T, E>(
        &mut self,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Option<T>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let begun = Instant::now();
        let result = request.await;
        let us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        match result {
            Ok(done) => {
                self.us.push(us);
                Some(done)
            }
            Err(_) => {
                self.failed.get_or_insert_with(|| answer(&result));
                None
            }
        }
    }

    /// Returns what was measured.
    pub(super) fn measured(self) -> Measured {
        match Times::of(self.us) {
            Some(times) => Measured::Times(times),
            None => Measured::Nothing(self.failed.unwrap_or_else(|| "nothing was tried".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_and_not_below_the_share_that_they_name() {
        assert_eq!(Times::of(vec![]), None);
        assert_eq!(Times::of(vec![7]), Some(Times { median_us: 7, p99_us: 7, n: 1 }));
        // Of two, the shorter one is at least half of all.
        assert_eq!(Times::of(vec![9, 3]), Some(Times { median_us: 3, p99_us: 9, n: 2 }));
        let hundred = Times::of((1..=100).rev().collect()).unwrap();
        assert_eq!((hundred.median_us, hundred.p99_us, hundred.n), (50, 99, 100));
        let more = Times::of((1..=101).collect()).unwrap();
        assert_eq!((more.median_us, more.p99_us), (51, 100));
    }

    #[test]
    fn what_was_found_reads_well() {
        let times = Measured::Times(Times { median_us: 1_234, p99_us: 56_789, n: 20 });
        assert_eq!(times.to_string(), "1.2 ms, 56 ms (of 20)");
        let mut answers = Answers::default();
        for answer in ["412 PreconditionFailed", DONE, "412 PreconditionFailed"] {
            answers.add(answer.to_owned());
        }
        assert!(answers.are(&[DONE, "412 PreconditionFailed"]) && !answers.are(&[DONE]));
        let line = answers.line("race", "a race", "Conditional writes", "one is done", true);
        assert_eq!(line.measured.to_string(), "412 PreconditionFailed ×2, done ×1");
        let once = Answers::from(DONE.to_owned()).line("once", "once", "Conditional writes", DONE, true);
        assert_eq!(once.measured.to_string(), DONE);
        assert_eq!(Measured::Starts(vec![3, 0, 1]).to_string(), "3, 0, 1 in each second");
    }
}
