//! Sums that are the same in whatever order their numbers come: of whole numbers and decimals by their digits, and of floats without
//! any rounding but the last.
//!
//! The sum of floats is kept as floats that do not overlap, whose sum it is exactly: Shewchuk, "Adaptive Precision Floating-Point
//! Arithmetic and Fast Robust Geometric Predicates" (1997), as Python's `math.fsum` does it.

use kinglet_core::Datum;
use serde::{Deserialize, Serialize};

/// The largest float that is added, 2^960: 2^63 of them are still one.
const FLOAT_MAX: f64 = 9.745_314_011_4e288;

/// Why a value was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is no number.
    NoNumber,
    /// It, or the sum with it, is too large.
    TooLarge,
}

/// The sum of numbers, and how many there were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sum {
    count: u64,
    /// The sum of whole numbers and decimals, times ten to the power of `scale`.
    digits: i128,
    scale: u16,
    floats: Option<FloatSum>,
    /// Whether two sums had no sum.
    is_too_large: bool,
}

impl Sum {
    /// Adds a value. Nothing is no number, and changes nothing.
    pub(super) fn add(&mut self, value: &Datum<'_>) -> Result<(), Refused> {
        match value {
            Datum::Null => return Ok(()),
            Datum::Int(number) => self.add_digits(i128::from(*number), 0)?,
            Datum::Decimal(text) => {
                let (digits, scale) = digits_of(text).ok_or(Refused::TooLarge)?;
                self.add_digits(digits, scale)?;
            }
            Datum::Float(number) if number.is_finite() && number.abs() > FLOAT_MAX => return Err(Refused::TooLarge),
            Datum::Float(number) => self.floats.get_or_insert_default().add(*number),
            _ => return Err(Refused::NoNumber),
        }
        self.count += 1;
        Ok(())
    }

    fn add_digits(&mut self, digits: i128, scale: u16) -> Result<(), Refused> {
        let to = self.scale.max(scale);
        let at = |digits: i128, scale| digits.checked_mul(10i128.checked_pow(u32::from(to - scale))?);
        let sum = at(self.digits, self.scale).and_then(|sum| sum.checked_add(at(digits, scale)?));
        self.digits = sum.ok_or(Refused::TooLarge)?;
        self.scale = to;
        Ok(())
    }

    /// Adds another sum.
    pub(super) fn merge(&mut self, other: Sum) {
        self.count += other.count;
        self.is_too_large |= other.is_too_large || self.add_digits(other.digits, other.scale).is_err();
        if let Some(floats) = other.floats {
            match &mut self.floats {
                Some(sum) => sum.merge(&floats),
                none => *none = Some(floats),
            }
        }
    }

    /// Returns the sum; nothing if there were no numbers. It is a float if one of them was.
    pub(super) fn total(&self) -> Result<Datum<'static>, Refused> {
        if self.is_too_large {
            return Err(Refused::TooLarge);
        }
        let exact = || self.written().parse::<f64>().unwrap_or(f64::NAN);
        Ok(match &self.floats {
            _ if self.count == 0 => Datum::Null,
            None => match i64::try_from(self.digits) {
                Ok(whole) if self.scale == 0 => Datum::Int(whole),
                _ => Datum::Decimal(self.written().into()),
            },
            Some(floats) if self.digits == 0 => Datum::Float(floats.total()),
            Some(floats) => {
                let mut floats = floats.clone();
                floats.add(exact());
                Datum::Float(floats.total())
            }
        })
    }

    /// Returns the mean; nothing if there were no numbers.
    pub(super) fn mean(&self) -> Result<Datum<'static>, Refused> {
        let total = match self.total()? {
            Datum::Int(_) | Datum::Decimal(_) => self.written().parse().unwrap_or(f64::NAN),
            Datum::Float(total) => total,
            _ => return Ok(Datum::Null),
        };
        Ok(Datum::Float(total / self.count as f64))
    }

    /// Writes the sum of whole numbers and decimals.
    fn written(&self) -> String {
        let scale = usize::from(self.scale);
        let minus = if self.digits < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", self.digits.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        if scale == 0 { format!("{minus}{whole}") } else { format!("{minus}{whole}.{fraction}") }
    }
}

/// Reads a decimal of at most 38 digits.
fn digits_of(text: &str) -> Option<(i128, u16)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let scale = u16::try_from(fraction.len()).ok()?;
    let negative = whole.starts_with('-');
    let digit = |sum: i128, digit: u8| {
        let digit = i128::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        sum.checked_mul(10)?.checked_add(if negative { -digit } else { digit })
    };
    whole.bytes().skip(usize::from(negative)).chain(fraction.bytes()).try_fold(0, digit).map(|sum| (sum, scale))
}

/// The exact sum of floats.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct FloatSum {
    /// Floats that do not overlap, in ascending order of their size.
    partials: Vec<f64>,
    /// The sum of what is infinite or no number.
    special: f64,
}

impl FloatSum {
    fn add(&mut self, mut number: f64) {
        if !number.is_finite() {
            self.special += number;
            return;
        }
        let mut kept = 0;
        for at in 0..self.partials.len() {
            let partial = self.partials[at];
            let (large, small) = if number.abs() < partial.abs() { (partial, number) } else { (number, partial) };
            number = large + small;
            let rest = small - (number - large);
            if rest != 0.0 {
                self.partials[kept] = rest;
                kept += 1;
            }
        }
        self.partials.truncate(kept);
        self.partials.push(number);
    }

    fn merge(&mut self, other: &FloatSum) {
        other.partials.iter().for_each(|partial| self.add(*partial));
        self.special += other.special;
    }

    /// Returns the float that is nearest to the sum.
    fn total(&self) -> f64 {
        if self.special != 0.0 {
            return self.special;
        }
        let mut left = self.partials.iter().rev();
        let mut sum = left.next().copied().unwrap_or(0.0);
        let mut rest = 0.0;
        for partial in left.by_ref() {
            let before = sum;
            sum += partial;
            rest = partial - (sum - before);
            if rest != 0.0 {
                break;
            }
        }
        // Half of the last digit was rounded to even, and what is left says which side it lies on.
        if let Some(next) = left.next()
            && (rest < 0.0) == (*next < 0.0)
            && rest != 0.0
        {
            let twice = rest * 2.0;
            let rounded = sum + twice;
            if twice == rounded - sum {
                sum = rounded;
            }
        }
        sum + 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigInt;
    use proptest::prelude::*;

    fn sum(values: &[Datum<'_>]) -> Sum {
        let mut sum = Sum::default();
        values.iter().for_each(|value| sum.add(value).unwrap());
        sum
    }

    fn floats(values: &[f64]) -> Datum<'static> {
        sum(&values.iter().map(|value| Datum::Float(*value)).collect::<Vec<_>>()).total().unwrap()
    }

    /// The integer that a float is when it is multiplied by 2^1074.
    fn scaled(number: f64) -> BigInt {
        let bits = number.to_bits();
        let (exponent, fraction) = (bits >> 52 & 0x7ff, bits & ((1 << 52) - 1));
        let size =
            if exponent == 0 { BigInt::from(fraction) } else { BigInt::from(fraction | 1 << 52) << (exponent - 1) };
        if number < 0.0 { -size } else { size }
    }

    proptest! {
        #[test]
        fn no_float_is_nearer_to_the_sum(
            numbers in proptest::collection::vec(prop_oneof![any::<f64>(), -1e3..1e3, Just(1e16), Just(-1e16), Just(5e-324)], 1..12)
        ) {
            let numbers: Vec<f64> = numbers.into_iter().filter(|number| number.abs() <= FLOAT_MAX).collect();
            prop_assume!(!numbers.is_empty());
            let Datum::Float(total) = floats(&numbers) else { panic!("it is a float") };
            let exact: BigInt = numbers.iter().map(|number| scaled(*number)).sum();
            let off = |number: f64| (scaled(number) - &exact).magnitude().clone();
            prop_assert!(off(total) <= off(total.next_up()) && off(total) <= off(total.next_down()));
        }

        #[test]
        fn sums_are_the_same_in_any_order_and_any_groups(
            numbers in proptest::collection::vec(prop_oneof![
                any::<i64>().prop_map(Datum::Int),
                "-?[0-9]{1,9}\\.[0-9]{1,4}".prop_map(|text| Datum::Decimal(text.into())),
                (-1e30..1e30).prop_map(Datum::Float),
                Just(Datum::Null),
            ], 0..12),
            cut: prop::sample::Index,
        ) {
            let (first, second) = numbers.split_at(cut.index(numbers.len() + 1));
            let (mut one, other) = (sum(second), sum(first));
            one.merge(other);
            let backwards: Vec<_> = numbers.iter().rev().cloned().collect();
            for other in [sum(&numbers), sum(&backwards)] {
                prop_assert_eq!(one.total(), other.total());
                prop_assert_eq!(one.mean(), other.mean());
            }
        }
    }

    #[test]
    fn sums_are_exact() {
        let decimal = |text: &'static str| Datum::Decimal(text.into());
        assert_eq!(sum(&[]).total(), Ok(Datum::Null));
        assert_eq!(sum(&[Datum::Null]).mean(), Ok(Datum::Null));
        assert_eq!(sum(&[decimal("0.10"), decimal("-0.2")]).total(), Ok(decimal("-0.10")));
        assert_eq!(sum(&[Datum::Int(i64::MAX), Datum::Int(1)]).total(), Ok(decimal("9223372036854775808")));
        assert_eq!(sum(&[Datum::Int(1), Datum::Int(2)]).mean(), Ok(Datum::Float(1.5)));
        assert_eq!(sum(&[decimal("0.1"), Datum::Float(0.5)]).total(), Ok(Datum::Float(0.6)));
        assert_eq!(floats(&[0.1; 10]), Datum::Float(1.0));
        assert_eq!(floats(&[1e16, 1.0, -1e16]), Datum::Float(1.0));
        assert_eq!(floats(&[-0.0]), Datum::Float(0.0));
        assert_eq!(floats(&[f64::INFINITY, -1.0]), Datum::Float(f64::INFINITY));
        assert!(matches!(floats(&[f64::INFINITY, f64::NEG_INFINITY]), Datum::Float(number) if number.is_nan()));
    }

    #[test]
    fn what_has_no_sum_is_refused() {
        let add = |value| Sum::default().add(&value);
        assert_eq!(add(Datum::Text("1".into())), Err(Refused::NoNumber));
        assert_eq!(add(Datum::Bool(true)), Err(Refused::NoNumber));
        assert_eq!(add(Datum::Float(1e300)), Err(Refused::TooLarge));
        assert_eq!(add(Datum::Decimal("9".repeat(39).into())), Err(Refused::TooLarge));
        let largest = || sum(&[Datum::Decimal(i128::MAX.to_string().into())]);
        let mut two = largest();
        two.merge(largest());
        assert_eq!(two.total(), Err(Refused::TooLarge));
        assert_eq!(largest().add(&Datum::Int(1)), Err(Refused::TooLarge));
    }
}
