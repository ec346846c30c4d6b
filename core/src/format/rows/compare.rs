//! Comparing values: exactly, and only those that can be compared.

use crate::format::Datum;
use std::cmp::Ordering;

impl Datum<'_> {
    /// Compares two values of one type, as those of a column are; `None` of others, of lists and structs, and of floats that are
    /// no numbers.
    pub fn compare(&self, other: &Datum<'_>) -> Option<Ordering> {
        match (self, other) {
            (Datum::Bool(a), Datum::Bool(b)) => Some(a.cmp(b)),
            (Datum::Int(a), Datum::Int(b)) => Some(a.cmp(b)),
            (Datum::Int(a), Datum::Decimal(b)) => compare_digits(&a.to_string(), b),
            (Datum::Decimal(a), Datum::Int(b)) => compare_digits(a, &b.to_string()),
            (Datum::Decimal(a), Datum::Decimal(b)) => compare_digits(a, b),
            (Datum::Float(a), Datum::Float(b)) => a.partial_cmp(b),
            (Datum::Text(a), Datum::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Datum::Bytes(a), Datum::Bytes(b)) => Some(a.cmp(b)),
            (Datum::Temporal(a), Datum::Temporal(b)) => a.compare(*b),
            _ => None,
        }
    }
}

/// A number by its digits, without zeros that say nothing.
pub(super) struct Digits<'a> {
    pub(super) negative: bool,
    pub(super) whole: &'a str,
    pub(super) fraction: &'a str,
}

impl<'a> Digits<'a> {
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Digits { negative: unsigned.len() < text.len() && !is_zero, whole, fraction })
    }
}

/// Compares two numbers by their digits; `None` where one is none.
pub(super) fn compare_digits(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (Digits::of(a)?, Digits::of(b)?);
    let by_size = || {
        let whole = a.whole.len().cmp(&b.whole.len()).then_with(|| a.whole.cmp(b.whole));
        whole.then_with(|| a.fraction.cmp(b.fraction))
    };
    Some(match (a.negative, b.negative) {
        (false, false) => by_size(),
        (true, true) => by_size().reverse(),
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_compare_as_their_numbers_do(a in -5_000i64..5_000, b in -5_000i64..5_000) {
            let decimal = |n: i64| format!("{}{}.{:03}", if n < 0 { "-" } else { "" }, n.abs() / 1_000, n.abs() % 1_000);
            prop_assert_eq!(compare_digits(&decimal(a), &decimal(b)), Some(a.cmp(&b)));
            let (by_int, by_decimal) = (Datum::Int(a), Datum::Decimal(format!("{b}.0").into()));
            prop_assert_eq!(by_int.compare(&by_decimal), Some(a.cmp(&b)));
            prop_assert_eq!(by_decimal.compare(&by_int), Some(b.cmp(&a)));
        }
    }
}
