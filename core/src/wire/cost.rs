//! What the plan of a job follows from, as it travels in the spec: the splitter, which knows no job, plans by it with
//! [`crate::cost`].

use crate::error::{Code, Error, Result};
use crate::prices::{Prices, is_amount};
use serde::{Deserialize, Serialize};

/// Where a job runs: what its functions are, and what they cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// What serves its requests.
    pub host: Host,
    /// The memory of the mapper, in MB.
    pub mapper_mb: u32,
    /// The memory of the reducer, in MB.
    pub reducer_mb: u32,
    /// What is charged.
    pub prices: Prices,
}

impl Site {
    /// Returns an embedded runtime whose functions have so much memory. It charges nothing; its prices say what AWS would.
    pub fn embedded(memory_mb: u32) -> Self {
        let prices = Prices::of_us_east_1("x86_64");
        Site { host: Host::Embedded, mapper_mb: memory_mb, reducer_mb: memory_mb, prices }
    }
}

/// What serves a job's requests and runs its functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Host {
    /// The embedded runtime of one machine.
    Embedded,
    /// AWS.
    Lambda,
}

/// What a job makes of its input, as far as it is known: the plan and its bill follow from it. A GB has 10^9 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// How long mapping takes on one vCPU, with reading, combining and sorting, in seconds for a GB of input.
    pub map_s_per_gb: f64,
    /// How long reducing takes on one vCPU, with merging and writing, in seconds for a GB of runs.
    pub reduce_s_per_gb: f64,
    /// How long all map tasks take together whatever the input's size, in seconds of one vCPU: for items that are work and not
    /// data.
    pub map_s: f64,
    /// The bytes of the runs that all map tasks make together whatever the input's size.
    pub map_run_bytes: f64,
    /// The runs that a map task makes of its split, besides.
    pub runs: Growth,
    /// The output that the job makes of its input.
    pub output: Growth,
    /// How far all of these may be off, as a factor: 2 means from half of them to twice.
    pub uncertainty: f64,
}

/// How output grows with input. With a combiner it grows slower than its input, as the same keys come again: by Heaps's law,
/// `bytes_at_gb × GB^exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// Bytes for a GB of input.
    pub bytes_at_gb: f64,
    /// 1: in proportion. 0: always the same.
    pub exponent: f64,
}

impl Growth {
    /// Returns the bytes that so many bytes of input become.
    pub fn of(self, bytes: f64) -> f64 {
        if bytes > 0.0 { self.bytes_at_gb * (bytes / 1e9).powf(self.exponent) } else { 0.0 }
    }
}

impl Workload {
    /// Returns whether all that it says are amounts: numbers, and none below zero.
    pub fn are_amounts(&self) -> bool {
        let Workload { map_s_per_gb, reduce_s_per_gb, map_s, map_run_bytes, runs, output, uncertainty } = *self;
        let growth = [runs.bytes_at_gb, runs.exponent, output.bytes_at_gb, output.exponent];
        [map_s_per_gb, reduce_s_per_gb, map_s, map_run_bytes, uncertainty].into_iter().chain(growth).all(is_amount)
    }
}

impl Default for Workload {
    /// What is assumed of a job that says nothing of itself: as much work for a byte as word count, which reads every byte,
    /// and half as many bytes of runs as of input.
    fn default() -> Self {
        let half = Growth { bytes_at_gb: 0.5e9, exponent: 1.0 };
        Workload {
            map_s_per_gb: 10.0,
            reduce_s_per_gb: 20.0,
            map_s: 0.0,
            map_run_bytes: 0.0,
            runs: half,
            output: half,
            uncertainty: 3.0,
        }
    }
}

/// What a job may cost and take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// In US dollars.
    pub usd: Option<f64>,
    /// In seconds, from the submission to the end.
    pub seconds: Option<f64>,
}

/// The ceiling of a job, and the prices by which what it spends is counted: JSON in the job's item of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cap {
    /// The ceiling.
    pub ceiling: Ceiling,
    /// The prices.
    pub prices: Prices,
}

impl Cap {
    /// Returns the ceiling of a job that runs so, if it has one.
    pub fn of(ceiling: Ceiling, site: &Site) -> Option<Self> {
        (ceiling != Ceiling::default()).then(|| Cap { ceiling, prices: site.prices.clone() })
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// Returns `value-encode` when a number has no JSON; those of a checked submission have.
    pub fn write(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| Error::new(Code::ValueEncode, format!("a ceiling: {e}")))
    }

    /// Reads it; `name` names it in errors.
    ///
    /// # Errors
    /// Returns `frame-corrupt` when it is damaged: a ceiling that cannot be read must not count as none.
    pub fn read(json: &str, name: &str) -> Result<Self> {
        let corrupt = |what: String| Error::new(Code::FrameCorrupt, format!("reading {name}: {what}"));
        let cap: Cap = serde_json::from_str(json).map_err(|e| corrupt(e.to_string()))?;
        match cap.ceiling.are_amounts() && cap.prices.are_amounts() {
            true => Ok(cap),
            false => Err(corrupt("an amount that is none".to_owned())),
        }
    }
}

impl Ceiling {
    /// Returns whether what it says are amounts.
    pub(super) fn are_amounts(&self) -> bool {
        self.usd.into_iter().chain(self.seconds).all(is_amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_is_read_as_it_was_written_or_refused() {
        let ceiling = Ceiling { usd: Some(0.25), seconds: None };
        let cap = Cap::of(ceiling, &Site::embedded(1_769)).unwrap();
        let written = cap.write().unwrap();
        assert!(
            written.starts_with(r#"{"ceiling":{"usd":0.25,"seconds":null},"prices":{"region":"us-east-1""#),
            "{written}"
        );
        assert_eq!(Cap::read(&written, "it").unwrap(), cap);
        for damaged in ["", "{}", &written[1..], &written.replace("0.25", "-0.25"), &written.replace("0.25", "1e999")] {
            assert_eq!(Cap::read(damaged, "it").unwrap_err().code(), "frame-corrupt", "{damaged}");
        }
        assert_eq!(Cap::of(Ceiling::default(), &Site::embedded(1_769)), None);
    }

    #[test]
    fn what_is_no_number_or_below_zero_is_no_amount() {
        assert!(Workload::default().are_amounts());
        for none in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(!Workload { map_s: none, ..Workload::default() }.are_amounts());
            let runs = Growth { bytes_at_gb: 1.0, exponent: none };
            assert!(!Workload { runs, ..Workload::default() }.are_amounts());
            assert!(!Ceiling { usd: None, seconds: Some(none) }.are_amounts());
            assert!(!Prices { s3_get: none, ..Prices::of_us_east_1("x86_64") }.are_amounts());
        }
    }
}
