//! On which side of a line or a plane a point lies, exactly, for every finite coordinate.
//!
//! There are three steps, each used only where the one before it cannot tell. First, plain arithmetic with an error bound. Then
//! Shewchuk's adaptive predicates (the crate `robust`), which are exact as long as no product overflows or underflows. Outside
//! of that range, a sum of products in a fixed-point number with 3 × 1024 bits before the point and 3 × 1074 after it, which is
//! wide enough for any product of three factors, so nothing is ever rounded.
//!
//! Sources: J. R. Shewchuk, *Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates* (1997);
//! U. Kulisch, *Computer Arithmetic and Validity* (2008), for the wide accumulator.

use robust::{Coord, Coord3D};
use std::cmp::Ordering;

/// A point of the plane.
pub type Point2 = [f64; 2];

/// A point of space.
pub type Point3 = [f64; 3];

/// Half a unit in the last place of 1.
const EPS: f64 = f64::EPSILON / 2.0;

/// The magnitude below which a bound may have lost bits to underflow and says nothing.
const TRUSTED_MIN: f64 = 1e-270;

/// The magnitudes for which, as for zero, no intermediate result of the adaptive predicates overflows or underflows: the range
/// that Shewchuk gives for all of his predicates.
const ADAPTIVE: std::ops::RangeInclusive<f64> = 1.8e-43..=1.6e60;

fn adaptive(coordinates: &[f64]) -> bool {
    coordinates.iter().all(|x| *x == 0.0 || ADAPTIVE.contains(&x.abs()))
}

/// Returns `Greater` if `c` lies to the left of the line from `a` to `b`, `Less` if to the right, `Equal` if on the line.
#[inline]
pub fn turn(a: Point2, b: Point2, c: Point2) -> Ordering {
    let left = (a[0] - c[0]) * (b[1] - c[1]);
    let right = (a[1] - c[1]) * (b[0] - c[0]);
    let det = left - right;
    let bound = (3.0 + 16.0 * EPS) * EPS * (left.abs() + right.abs());
    // With infinities and NaN the comparisons are false, and the exact predicate decides.
    if det.abs() > bound && bound > TRUSTED_MIN && bound.is_finite() { order(det) } else { turn_exact(a, b, c) }
}

#[cold]
fn turn_exact(a: Point2, b: Point2, c: Point2) -> Ordering {
    if adaptive(&[a[0], a[1], b[0], b[1], c[0], c[1]]) {
        let at = |p: Point2| Coord { x: p[0], y: p[1] };
        return order(robust::orient2d(at(a), at(b), at(c)));
    }
    let mut sum = Wide::new();
    for (p, q) in [(a, b), (b, c), (c, a)] {
        sum.add([p[0], q[1], 1.0]);
        sum.add([-p[1], q[0], 1.0]);
    }
    sum.sign()
}

/// Returns `Greater` if `d` lies on the side of the plane through `a`, `b` and `c` from which these appear in counter-clockwise
/// order, `Less` if on the other side, `Equal` if on the plane.
pub fn side(a: Point3, b: Point3, c: Point3, d: Point3) -> Ordering {
    let all = [a, b, c, d];
    if adaptive(all.as_flattened()) {
        let at = |p: Point3| Coord3D { x: p[0], y: p[1], z: p[2] };
        // Shewchuk's sign is positive below the plane.
        return order(robust::orient3d(at(a), at(b), at(c), at(d))).reverse();
    }
    // The determinant of the rows (x, y, z, 1), by its last column, and the other way round.
    let mut sum = Wide::new();
    for (out, sign) in [(0, 1.0), (1, -1.0), (2, 1.0), (3, -1.0)] {
        let [p, q, r] = [1, 2, 3].map(|step: usize| all[if step <= out { step - 1 } else { step }]);
        for (i, j, k) in [(0, 1, 2), (1, 2, 0), (2, 0, 1)] {
            sum.add([sign * p[i], q[j], r[k]]);
            sum.add([-sign * p[i], q[k], r[j]]);
        }
    }
    sum.sign()
}

/// Returns whether three points of space lie on one line.
pub(super) fn collinear(a: Point3, b: Point3, c: Point3) -> bool {
    let flat = |i: usize, j: usize| turn([a[i], a[j]], [b[i], b[j]], [c[i], c[j]]) == Ordering::Equal;
    flat(0, 1) && flat(1, 2) && flat(2, 0)
}

#[inline]
fn order(sign: f64) -> Ordering {
    if sign > 0.0 {
        Ordering::Greater
    } else if sign < 0.0 {
        Ordering::Less
    } else {
        Ordering::Equal
    }
}

/// The least exponent of a product of three factors, each of which is an integer times at least 2^-1074.
const LEAST: i32 = -3 * 1074;

/// The number of 64-bit limbs from there to the largest product, 2^(3 × 1024), with room for the sum and its sign.
const LIMBS: usize = ((3 * 1024 - LEAST) as usize + 64).div_ceil(64);

/// A fixed-point number in two's complement, least limb first, in units of 2^[`LEAST`].
struct Wide([u64; LIMBS]);

impl Wide {
    fn new() -> Self {
        Wide([0; LIMBS])
    }

    /// Adds the product of three finite numbers.
    fn add(&mut self, factors: [f64; 3]) {
        let parts = factors.map(parts);
        let [(_, a, _), (_, b, _), (_, c, _)] = parts;
        let ab = u128::from(a) * u128::from(b);
        let low = u128::from(ab as u64) * u128::from(c);
        let high = (ab >> 64) * u128::from(c) + (low >> 64);
        let product = [low as u64, high as u64, (high >> 64) as u64];
        let shift = (parts.iter().map(|(_, _, exponent)| exponent).sum::<i32>() - LEAST) as usize;
        let (limb, bits) = (shift / 64, shift % 64);
        let mut moved = [0; 4];
        for (at, part) in product.into_iter().enumerate() {
            let wide = u128::from(part) << bits;
            moved[at] |= wide as u64;
            moved[at + 1] |= (wide >> 64) as u64;
        }
        let negative = parts.iter().filter(|(negative, _, _)| *negative).count() % 2 == 1;
        let mut carry = false;
        for (at, limb) in self.0[limb..].iter_mut().enumerate() {
            let part = moved.get(at).copied().unwrap_or(0);
            let (value, first) = if negative { limb.overflowing_sub(part) } else { limb.overflowing_add(part) };
            let once = u64::from(carry);
            let (value, second) = if negative { value.overflowing_sub(once) } else { value.overflowing_add(once) };
            *limb = value;
            carry = first || second;
        }
    }

    fn sign(&self) -> Ordering {
        if self.0[LIMBS - 1] >> 63 == 1 {
            Ordering::Less
        } else if self.0.iter().all(|limb| *limb == 0) {
            Ordering::Equal
        } else {
            Ordering::Greater
        }
    }
}

/// Splits a finite number into its sign, an integer, and the power of two that the integer is multiplied by.
fn parts(x: f64) -> (bool, u64, i32) {
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 { (x < 0.0, fraction, -1074) } else { (x < 0.0, fraction | 1 << 52, exponent - 1075) }
}

#[cfg(test)]
/// Returns a number as a multiple of 2^-1074.
pub(super) fn exact(x: f64) -> num_bigint::BigInt {
    let (negative, integer, exponent) = parts(x);
    let size = num_bigint::BigInt::from(integer) << (exponent + 1074) as usize;
    if negative { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigInt;
    use proptest::prelude::*;

    fn naive_turn(a: Point2, b: Point2, c: Point2) -> Ordering {
        let [a, b, c] = [a, b, c].map(|p| p.map(exact));
        let det = (&b[0] - &a[0]) * (&c[1] - &a[1]) - (&b[1] - &a[1]) * (&c[0] - &a[0]);
        det.cmp(&BigInt::ZERO)
    }

    fn naive_side(a: Point3, b: Point3, c: Point3, d: Point3) -> Ordering {
        let [a, b, c, d] = [a, b, c, d].map(|p| p.map(exact));
        let [u, v, w] = [b, c, d].map(|p| [0, 1, 2].map(|i| &p[i] - &a[i]));
        let minor = |i: usize, j: usize| &u[i] * &v[j] - &u[j] * &v[i];
        (minor(1, 2) * &w[0] + minor(2, 0) * &w[1] + minor(0, 1) * &w[2]).cmp(&BigInt::ZERO)
    }

    /// Numbers of all sizes, and many that are close to one another.
    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>().prop_filter("finite", |x| x.is_finite()),
            (-4i64..4).prop_map(|n| n as f64),
            (-3i32..3, -3i64..3).prop_map(|(e, n)| n as f64 * 2f64.powi(e * 340)),
            (0u64..8).prop_map(|n| f64::from_bits(0.3f64.to_bits() + n)),
            (0u64..8).prop_map(|n| f64::from_bits(f64::MAX.to_bits() - n)),
            (0u64..8).prop_map(f64::from_bits),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn turns_are_exact(p in prop::array::uniform6(number())) {
            let (a, b, c) = ([p[0], p[1]], [p[2], p[3]], [p[4], p[5]]);
            prop_assert_eq!(turn(a, b, c), naive_turn(a, b, c));
        }

        #[test]
        fn sides_are_exact(p in prop::array::uniform12(number())) {
            let at = |i: usize| [p[3 * i], p[3 * i + 1], p[3 * i + 2]];
            let (a, b, c, d) = (at(0), at(1), at(2), at(3));
            prop_assert_eq!(side(a, b, c, d), naive_side(a, b, c, d));
        }
    }

    #[test]
    fn products_that_overflow_or_vanish_keep_their_sign() {
        let (huge, tiny) = (f64::MAX, f64::from_bits(1));
        assert_eq!(turn([-huge, -huge], [huge, huge], [0.0, tiny]), Ordering::Greater);
        assert_eq!(turn([-huge, -huge], [huge, huge], [tiny, 0.0]), Ordering::Less);
        assert_eq!(turn([-huge, -huge], [huge, huge], [1.0, 1.0]), Ordering::Equal);
        assert_eq!(turn([0.0, 0.0], [tiny, tiny], [huge, huge]), Ordering::Equal);
        let (a, b, c) = ([huge, 0.0, 0.0], [0.0, huge, 0.0], [-huge, -huge, 0.0]);
        assert_eq!(side(a, b, c, [0.0, 0.0, tiny]), Ordering::Greater);
        assert_eq!(side(a, b, c, [0.0, 0.0, -tiny]), Ordering::Less);
        assert_eq!(side(a, b, c, [1.0, 1.0, 0.0]), Ordering::Equal);
    }
}
