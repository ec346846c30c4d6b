//! Primes in a range: how many, their sum, or all of them. The job's input is items: stretches of the range of about equal
//! cost, which [`Primes::stretches`] makes. The kernel, [`crate::kernels::primes`], does the work.
//!
//! A count or a sum is one line. A list has one prime a line, in order within a part and from part to part.

use crate::kernels::primes;
use kinglet_core::{
    Code, Combiner, Emitter, Error, Growth, Items, Job, Result, Sink, UserResult, Values, Workload, limits,
};
use serde::{Deserialize, Serialize};

/// What is wanted of the primes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrimesOf {
    /// How many there are.
    #[default]
    Count,
    /// Their sum.
    Sum,
    /// All of them.
    List,
}

/// The job; see the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Primes {
    /// The first number.
    pub from: u64,
    /// The last number, which is in the range.
    pub to: u64,
    /// What is wanted.
    pub of: PrimesOf,
    /// How many parts a list has, each with the primes of one range.
    pub parts: u32,
    /// How often each stretch is computed, each time from the start: a load with which to measure functions.
    pub repeat: u32,
}

/// A stretch of the range: its first number and its last.
pub type Stretch = (u64, u64);

impl Primes {
    /// Makes a job over the range from `from` to `to`, both included.
    ///
    /// # Errors
    /// Returns [`Error::Input`] when the range ends before it begins (`range-reversed`), or its list would be longer than
    /// 1.28 TB (`list-too-long`).
    pub fn new(from: u64, to: u64, of: PrimesOf) -> Result<Self> {
        primes::check(from, to)?;
        let bytes = list_bytes(from, to);
        if of == PrimesOf::List && bytes > LIST_BYTES_MAX {
            let (tb, most) = (bytes / 1e12, LIST_BYTES_MAX / 1e12);
            let message = format!(
                "the primes from {from} to {to} are about {tb:.2} TB of text, and a list has at most {most} TB"
            );
            return Err(Error::new(Code::ListTooLong, message)
                .with_hint("list a shorter range, or ask for the number of the primes or their sum"));
        }
        Ok(Primes { from, to, of, parts: 1, repeat: 1 })
    }

    /// Writes a list in this many parts, each for about the same share of the range.
    #[must_use]
    pub fn with_parts(self, parts: u32) -> Self {
        Primes { parts: parts.max(1), ..self }
    }

    /// Computes each stretch this many times.
    #[must_use]
    pub fn with_repeat(self, repeat: u32) -> Self {
        Primes { repeat: repeat.max(1), ..self }
    }

    /// Returns how many parts the list of a range has by default: each has some 100 MB of text, and from 16 MB on there are at
    /// least 2 to 8.
    pub fn parts_for(from: u64, to: u64) -> u32 {
        let bytes = list_bytes(from, to);
        let parts = (bytes / PART_BYTES).ceil().max((bytes / 8e6).floor().min(8.0));
        parts.clamp(1.0, f64::from(limits::PARTITIONS_MAX)) as u32
    }

    /// Returns how many stretches are worthwhile: each task goes through all primes up to the square root of its end, which
    /// must not cost more than its sieving.
    pub fn stretches_max(&self) -> u32 {
        let least = self.to.isqrt().saturating_mul(2).max(1 << 20);
        ((self.to - self.from) / least).clamp(1, 4_096) as u32
    }

    /// Cuts the range into at most `count` stretches of about equal cost, in order.
    pub fn stretches(&self, count: u32) -> Vec<Stretch> {
        let count = u64::from(count.max(1));
        let total = cost(self.from, self.to);
        let mut stretches = Vec::new();
        let mut from = self.from;
        for n in 1..=count {
            let wanted = total * n as f64 / count as f64;
            let to = if n == count { self.to } else { self.where_cost_is(wanted) };
            if to >= from {
                stretches.push((from, to));
                let Some(next) = to.checked_add(1) else { break };
                from = next;
            }
        }
        stretches
    }

    /// Returns the number up to which the range costs `wanted`, by bisection.
    fn where_cost_is(&self, wanted: f64) -> u64 {
        let (mut low, mut high) = (self.from, self.to);
        while low < high {
            let middle = low + (high - low) / 2;
            if cost(self.from, middle) < wanted { low = middle + 1 } else { high = middle }
        }
        low
    }
}

/// How much text a part of a list has by default, in bytes (128 MB).
const PART_BYTES: f64 = 128e6;

/// The longest list, in bytes of text (1.28 TB): as many parts as there can be, each of the default size.
const LIST_BYTES_MAX: f64 = PART_BYTES * limits::PARTITIONS_MAX as f64;

/// Estimates how much text a list has, in bytes.
fn list_bytes(from: u64, to: u64) -> f64 {
    // The density of primes near x is 1 / ln x, and each prime takes a line with its digits.
    (to - from) as f64 / (to as f64).max(3.0).ln() * ((to as f64).max(1.0).log10() + 2.0)
}

/// Estimates what it costs to sieve a range, in numbers sieved near 0. A large number costs more, as more primes strike it, and
/// most of them through buckets: about three times as much at 10^15 and five times at 2^64, measured. In between the cost grows
/// with the logarithm. What a function pays once to make the sieving primes is the same for all stretches and left out.
fn cost(from: u64, to: u64) -> f64 {
    // The integral of 1 + c·ln(1 + x / 10^9), with c so that the factor is 5 at 2^64.
    const SCALE: f64 = 1e9;
    const GROWTH: f64 = 4.0 / 23.6;
    let upto = |x: f64| {
        let y = 1.0 + x / SCALE;
        x + GROWTH * SCALE * (y * y.ln() - y)
    };
    upto(to as f64) - upto(from as f64) + 1.0
}

impl Job for Primes {
    const NAME: &'static str = "primes";
    type Input = Items<Stretch>;
    /// The prime, for a list; otherwise 0.
    type Key = u64;
    type Value = u128;
    type Output = u128;

    /// Measured (bench/README.md): a thread sieves 10^10 numbers near 0 in 0.64 s, as `cost` counts them in 5.1e-11 s each, and
    /// 10^10 numbers at 10^12 in 1.15 s, where `cost` says 1.11 s.
    fn workload(&self) -> Workload {
        const NUMBER_S: f64 = 5.1e-11;
        // A pair of a list is about as long as its line; of a count or a sum there is one pair for each task.
        let (list, pair) = match self.of {
            PrimesOf::List => (list_bytes(self.from, self.to), 0.0),
            PrimesOf::Count | PrimesOf::Sum => (20.0, 40.0),
        };
        Workload {
            map_s_per_gb: 0.0,
            reduce_s_per_gb: 20.0,
            map_s: cost(self.from, self.to) * NUMBER_S * f64::from(self.repeat),
            map_run_bytes: if pair > 0.0 { 0.0 } else { list },
            runs: Growth { bytes_at_gb: pair, exponent: 0.0 },
            output: Growth { bytes_at_gb: list, exponent: 0.0 },
            uncertainty: 1.5,
        }
    }

    fn map(&self, (from, to): Stretch, out: &mut Emitter<'_, u64, u128>) -> UserResult {
        let mut value = 0;
        for last in (1..=self.repeat).map(|n| n == self.repeat) {
            match self.of {
                PrimesOf::Count => value = u128::from(primes::count(from, to)?),
                PrimesOf::Sum => value = primes::sum(from, to)?,
                // Some primes at a time: a list takes 8 bytes a prime, and the pairs take more. The order does not matter.
                PrimesOf::List => primes::for_each_slice(from, to, |listed| {
                    if last {
                        listed.iter().try_for_each(|&prime| out.emit(prime, 0))
                    } else {
                        std::hint::black_box(listed);
                        Ok(())
                    }
                })?,
            }
        }
        if self.of == PrimesOf::List { Ok(()) } else { out.emit(0, value) }
    }

    fn combiner(&self) -> Option<Combiner<u128>> {
        (self.of != PrimesOf::List).then(Combiner::sum)
    }

    fn bounds(&self) -> Vec<u64> {
        let width = ((self.to - self.from) / u64::from(self.parts.max(1))).saturating_add(1);
        let bound = |n: u64| width.checked_mul(n).and_then(|ahead| self.from.checked_add(ahead));
        if self.of == PrimesOf::List { (1..u64::from(self.parts)).map_while(bound).collect() } else { Vec::new() }
    }

    fn reduce(&self, prime: u64, values: Values<'_, u128>, out: &mut Sink<'_, u128>) -> UserResult {
        match self.of {
            PrimesOf::List => out.push(&u128::from(prime)),
            PrimesOf::Count | PrimesOf::Sum => out.push(&values.sum()),
        }
    }
}

/// Reads a whole number as people write large ones: `1000000`, `1_000_000`, `1,000,000`, `1e12`, `2.5e9`, `10^12`, and one of
/// these plus or minus another: `2^64-1`. Commas and spaces may stand only between groups of three digits, so that a comma
/// meant as a decimal point is refused.
///
/// # Errors
/// Returns [`Error::Input`] (`not-a-number`), which names the text, when it is not a whole number or is beyond 2^64 − 1, or
/// when one of two numbers is beyond 2^128 − 1.
pub fn parse_number(text: &str) -> Result<u64> {
    let bad = |why: &str| {
        Error::new(Code::NotANumber, format!("{text:?} {why}"))
            .with_hint("write a whole number from 0 to 2^64-1, such as 1000000, 1_000_000, 1e12, 10^12 or 2^64-1")
    };
    let term = |text: &str| term(text.trim_ascii()).ok_or_else(|| bad("is not a whole number"));
    // An operator is a sign that starts neither the text nor an exponent.
    let operator = text.char_indices().skip(1).find(|&(at, c)| "+-".contains(c) && !text[..at].ends_with(['e', 'E']));
    let value = match operator {
        None => term(text)?,
        Some((at, sign)) => {
            let (left, right) = (term(&text[..at])?, term(&text[at + 1..])?);
            let (Some(left), Some(right)) = (left, right) else {
                return Err(bad("has a part that is too large, 2^128 or more"));
            };
            let value = if sign == '+' { left.checked_add(right) } else { left.checked_sub(right) };
            Some(value.ok_or_else(|| bad("is less than 0 or too large"))?)
        }
    };
    value.and_then(|value| u64::try_from(value).ok()).ok_or_else(|| bad("is larger than 2^64-1"))
}

/// Reads digits, a power or a decimal with an exponent. Returns `None` if the text is none of these or not a whole number, and
/// `Some(None)` if the number is beyond `u128`.
fn term(text: &str) -> Option<Option<u128>> {
    if let Some((base, exponent)) = text.split_once('^') {
        return Some(power(digits(&plain(base)?), digits(&plain(exponent)?)));
    }
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return Some(digits(&grouped(text)?));
    };
    let exponent = digits(&plain(exponent.strip_prefix('+').unwrap_or(exponent))?);
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (plain(whole)?, plain(fraction)?),
        None => (plain(mantissa)?, String::new()),
    };
    let (mantissa, places) = (digits(&format!("{whole}{fraction}")), fraction.len() as u128);
    match exponent {
        Some(exponent) if exponent < places => None,
        _ if mantissa == Some(0) => Some(mantissa),
        _ => {
            let zeros = exponent.and_then(|exponent| power(Some(10), Some(exponent - places)));
            Some(mantissa.zip(zeros).and_then(|(mantissa, zeros)| mantissa.checked_mul(zeros)))
        }
    }
}

/// Returns the digits of a number, which may have single underscores between them.
fn plain(text: &str) -> Option<String> {
    let good = |group: &str| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit());
    text.split('_').all(good).then(|| text.replace('_', ""))
}

/// Returns the digits of a number, which may also have commas or spaces between groups of three.
fn grouped(text: &str) -> Option<String> {
    let Some(separator) = [',', ' '].into_iter().find(|separator| text.contains(*separator)) else {
        return plain(text);
    };
    let (first, rest) = text.split_once(separator)?;
    let three = (1..=3).contains(&first.len()) && rest.split(separator).all(|group| group.len() == 3);
    let all = text.replace(separator, "");
    (three && all.bytes().all(|b| b.is_ascii_digit())).then_some(all)
}

/// Returns the number that digits stand for, or `None` beyond `u128`.
fn digits(text: &str) -> Option<u128> {
    text.bytes().try_fold(0_u128, |n, b| n.checked_mul(10)?.checked_add(u128::from(b - b'0')))
}

/// Returns a power, or `None` beyond `u128`.
fn power(base: Option<u128>, exponent: Option<u128>) -> Option<u128> {
    // An exponent beyond `u32`, or even beyond `u128`, can be taken for the largest: 0 and 1 stay, all others are too large.
    base?.checked_pow(exponent.and_then(|exponent| exponent.try_into().ok()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_as_people_write_them() {
        let good = [
            ("0", 0),
            ("1_000_000", 1_000_000),
            ("1,000,000", 1_000_000),
            ("1e12", 1_000_000_000_000),
            ("1E+3", 1_000),
            ("2.5e9", 2_500_000_000),
            ("10^12", 1_000_000_000_000),
            ("2^64-1", u64::MAX),
            ("10^18+10^10", 1_000_000_010_000_000_000),
            ("18446744073709551615", u64::MAX),
            ("18,446,744,073,709,551,615", u64::MAX),
            ("12 345 678", 12_345_678),
            (" 10^18 + 10_0 ", 1_000_000_000_000_000_100),
            ("1,000,000-1,000", 999_000),
            ("1_0.5_0e4", 105_000),
            ("0e999", 0),
            ("0^99999999999999999999999999999999999999999", 0),
            ("1^5000000000", 1),
            ("2^100-2^100", 0),
        ];
        for (text, value) in good {
            assert_eq!(parse_number(text).unwrap(), value, "{text}");
        }
        let too_large = [
            "2^64",
            "18446744073709551616",
            "1e20",
            "9^999999999999",
            "1e5000000000",
            "2^64+1",
            "2^999999999999999999999999999999999999999999",
        ];
        let no_number = [
            "", "ten", "-1", "1.5", "1.55e1", "0x10", "1e", "^3", "2^", "1e-3", "2^64-", "--1", "1..0e3", "٣",
            "2^64-1+1",
        ];
        // A comma or a space that does not separate thousands is refused: it may be meant as a decimal point.
        let no_groups = [
            "2,5e3",
            "1,5",
            "2,5",
            "1,0000",
            "1000,000",
            ",000",
            "1,",
            "1,,000",
            "1,000e3",
            "1e1,000",
            "2,000^2",
            "1_0,000",
            ".5e1",
            "1.e1",
            "1 5",
            "1,000 000",
            "1_,000",
            "_1",
            "1_",
            "1__0",
            "1,000,00",
            "10^1 000",
            "1.000.000",
            "3 ^ 2",
            "1_0,0_0",
        ];
        let parts =
            ["10^40-10^39", "10^39-1", "1+10^39", "1-2^128", "1e39-1e39", "340282366920938463463374607431768211456-1"];
        for text in too_large.into_iter().chain(no_number).chain(no_groups).chain(parts) {
            let error = parse_number(text).unwrap_err();
            assert_eq!(error.code(), "not-a-number", "{text}");
            assert!(error.to_string().contains(&format!("{text:?}")) && error.hint().is_some(), "{error}");
        }
        let says = |text: &str, what: &str| {
            let error = parse_number(text).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        too_large.into_iter().for_each(|text| says(text, "larger than 2^64-1"));
        parts.into_iter().for_each(|text| says(text, "too large, 2^128 or more"));
        no_number.into_iter().chain(no_groups).for_each(|text| says(text, "is not a whole number"));
        says("1-2", "is less than 0");
    }

    proptest! {
        #[test]
        fn stretches_tile_the_range_at_about_equal_cost(from in any::<u64>(), to in any::<u64>(), count in 1..200_u32) {
            let (from, to) = (from.min(to), from.max(to));
            let stretches = Primes::new(from, to, PrimesOf::Count).unwrap().stretches(count);
            prop_assert_eq!((stretches[0].0, stretches[stretches.len() - 1].1), (from, to));
            prop_assert!(stretches.windows(2).all(|two| two[0].1 + 1 == two[1].0));
            let even = cost(from, to) / f64::from(count);
            for &(from, to) in &stretches {
                prop_assert!(cost(from, to) < even * 1.01 + 1e6, "{from} to {to}");
            }
        }
    }

    #[test]
    fn few_numbers_make_few_stretches() {
        let job = Primes::new(5, 7, PrimesOf::Count).unwrap();
        assert_eq!(job.stretches(10), [(5, 5), (6, 6), (7, 7)]);
        let job = Primes::new(u64::MAX, u64::MAX, PrimesOf::Sum).unwrap();
        assert_eq!(job.stretches(4), [(u64::MAX, u64::MAX)]);
    }

    #[test]
    fn a_list_that_no_output_could_hold_is_refused_with_its_length() {
        let of = |from, to, of| Primes::new(from, to, of);
        let error = of(0, u64::MAX, PrimesOf::List).unwrap_err();
        assert_eq!(error.code(), "list-too-long");
        let says = "from 0 to 18446744073709551615 are about 8842976.23 TB of text, and a list has at most 1.28 TB";
        assert!(error.to_string().contains(says) && error.hint().is_some(), "{error}");
        assert!(of(0, 1_000_000_000_000, PrimesOf::List).is_ok());
        assert!(of(0, 4_000_000_000_000, PrimesOf::List).is_err());
        assert!(of(u64::MAX - 1_000_000_000_000, u64::MAX, PrimesOf::List).is_ok());
        assert!(of(0, u64::MAX, PrimesOf::Count).is_ok() && of(0, u64::MAX, PrimesOf::Sum).is_ok());
        for to in [1_000_000, 100_000_000] {
            let text: usize = primes::list(0, to).unwrap().iter().map(|prime| prime.to_string().len() + 1).sum();
            let estimate = list_bytes(0, to);
            assert!((0.8..1.2).contains(&(estimate / text as f64)), "{estimate} for {text}");
        }
    }

    #[test]
    fn bounds_cut_the_range_into_parts() {
        let bounds = |from, to, parts| Primes { from, to, of: PrimesOf::List, parts, repeat: 1 }.bounds();
        assert_eq!(bounds(0, 99, 4), [25, 50, 75]);
        assert_eq!(bounds(10, 12, 8), [11, 12, 13, 14, 15, 16, 17]);
        assert_eq!(bounds(0, u64::MAX, 2), [1 << 63]);
        assert!(bounds(u64::MAX, u64::MAX, 3).is_empty());
    }
}
