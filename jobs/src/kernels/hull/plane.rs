//! The hull in the plane: a filter, a sort, and two monotone chains (A. M. Andrew, 1979), built in stretches and joined.

use super::bands::Bands;
use super::sign::{Point2, turn};
use super::{FILTERED_MIN, lexicographic, outside, rescale, sample};
use kinglet_core::Result;
use rayon::prelude::*;
use std::cmp::Ordering;

/// The size of the sample: of the points of any usual shape, its hull leaves less than a hundredth outside.
const SAMPLE: usize = 1 << 14;

/// The number of points below which a stretch of a chain is not worth a thread.
const STRETCH_MIN: usize = 1 << 13;

/// Returns the vertices of the convex hull in counter-clockwise order, from the one with the lowest x (of these, the lowest y).
///
/// Every vertex is strict: the polygon turns left at each. If all points are equal, the hull is that point; if they lie on one
/// line, its two ends; without points it is empty. Coordinates of any size are handled exactly.
///
/// ```
/// use kinglet_jobs::kernels::hull::hull_2d;
/// let square = [[0.0, 0.0], [1.0, 1.0], [0.5, 0.5], [1.0, 0.0], [0.5, 0.0], [0.0, 1.0]];
/// assert_eq!(hull_2d(&square).unwrap(), [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]);
/// ```
///
/// # Errors
/// Returns `not-finite` when a coordinate is NaN or infinite, and names the first such point.
pub fn hull_2d(points: &[Point2]) -> Result<Vec<Point2>> {
    let bands = if points.len() < FILTERED_MIN {
        None
    } else {
        // Small inputs have a smaller sample, as finding its hull must cost less than the pass.
        Bands::new(&hull_of(sample(points, SAMPLE.min(points.len() / 8))))
    };
    let mut left = match bands {
        Some(bands) => outside(points, |point| bands.contains(point))?,
        None => outside(points, |_| false)?,
    };
    let back = rescale(&mut left);
    let mut hull = hull_of(left);
    if let Some(back) = back {
        hull.iter_mut().for_each(|vertex| *vertex = back.of(*vertex));
    }
    Ok(hull)
}

/// Returns the hull of finite points whose zeros have one sign.
pub(super) fn hull_of(points: Vec<Point2>) -> Vec<Point2> {
    let ends = points.par_chunks(STRETCH_MIN).filter_map(|part| {
        let less = |a: &&Point2, b: &&Point2| lexicographic(a, b);
        Some((*part.iter().min_by(less)?, *part.iter().max_by(less)?))
    });
    let ends = ends.reduce_with(|a, b| {
        (
            if lexicographic(&b.0, &a.0).is_lt() { b.0 } else { a.0 },
            if lexicographic(&b.1, &a.1).is_gt() { b.1 } else { a.1 },
        )
    });
    let Some((first, last)) = ends else {
        return Vec::new();
    };
    if first == last {
        return vec![first];
    }
    // Of the points on the line from the first to the last point, only these two are vertices.
    let split = |part: &[Point2]| {
        let (mut below, mut above) = (Vec::new(), Vec::new());
        for point in part {
            match turn(first, last, *point) {
                Ordering::Less => below.push(*point),
                Ordering::Greater => above.push(*point),
                Ordering::Equal => {}
            }
        }
        (below, above)
    };
    let parts: Vec<_> = points.par_chunks(STRETCH_MIN).map(split).collect();
    drop(points);
    let (mut below, mut above) = (vec![first, last], vec![first, last]);
    for (some_below, some_above) in parts {
        below.extend(some_below);
        above.extend(some_above);
    }
    let ways = rayon::current_num_threads().div_ceil(2);
    let (mut hull, mut upper) =
        rayon::join(|| chain(&mut below, Ordering::Greater, ways), || chain(&mut above, Ordering::Less, ways));
    hull.pop();
    upper.reverse();
    upper.pop();
    hull.extend(upper);
    hull
}

/// Returns the chain from the lowest to the highest point on the side where every turn is `bend`: the lower side bends left,
/// the upper side right. The points are halved as often as it takes to give all threads work.
fn chain(points: &mut [Point2], bend: Ordering, ways: usize) -> Vec<Point2> {
    if ways < 2 || points.len() < 2 * STRETCH_MIN {
        points.sort_unstable_by(lexicographic);
        return chain_sorted(points, bend);
    }
    let middle = points.len() / 2;
    points.select_nth_unstable_by(middle, lexicographic);
    let (left, right) = points.split_at_mut(middle);
    let ways = ways.div_ceil(2);
    let (left, right) = rayon::join(|| chain(left, bend, ways), || chain(right, bend, ways));
    join(left, &right, bend)
}

fn chain_sorted(sorted: &[Point2], bend: Ordering) -> Vec<Point2> {
    let mut chain: Vec<Point2> = Vec::new();
    for point in sorted {
        if chain.last() == Some(point) {
            continue;
        }
        while let [.., p, q] = chain[..] {
            if turn(p, q, *point) == bend {
                break;
            }
            chain.pop();
        }
        chain.push(*point);
    }
    chain
}

/// Joins two chains, of which one lies wholly before the other: it drops points from the two ends that meet until the edge
/// between them is a bridge.
fn join(mut left: Vec<Point2>, mut right: &[Point2], bend: Ordering) -> Vec<Point2> {
    if left.last() == right.first() {
        left.pop();
    }
    loop {
        let before = (left.len(), right.len());
        if let [first, ..] = *right {
            while let [.., p, q] = left[..] {
                if turn(p, q, first) == bend {
                    break;
                }
                left.pop();
            }
        }
        if let Some(last) = left.last() {
            while let [p, q, ..] = *right {
                if turn(*last, p, q) == bend {
                    break;
                }
                right = &right[1..];
            }
        }
        if before == (left.len(), right.len()) {
            left.extend_from_slice(right);
            return left;
        }
    }
}
