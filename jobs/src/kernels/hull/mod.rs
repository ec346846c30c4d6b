//! The convex hull of points in the plane and in space: exact, whatever the points are, on all threads of the current pool.
//!
//! Most points of most sets are nowhere near the hull. So the hull of a small sample is computed first. A table of what surely
//! lies inside it (`bands`, `cone`) throws out nearly all points, in one pass that costs a few nanoseconds a point. The rest is
//! sorted and chained (`plane`) or given to quickhull (`space`). The pass may round: it only throws out points that lie inside
//! by a margin larger than any rounding. Every decision about a vertex is made by [`sign`], which does not round.
//!
//! - **Finite coordinates of any size** are handled exactly, including products that overflow or underflow. NaN and infinities
//!   are refused, with the first point that has one. `-0.0` is taken for `0.0`.
//! - **The result is a function of the set**: it does not depend on the order of the points, on duplicates, on threads, or on
//!   which parts of the set were merged first. So hulls of parts can be merged: the hull of their vertices is the hull of all.
//! - **Vertices are strict**: a point on the line between two others, or in the middle of a facet, is not a vertex.
//! - **Memory** besides the input: the points that survive the pass, at most a copy of the input, and in space the mesh.
//!
//! Why not a library: the crate `geo` is exact in the plane, but several times slower (`bench/hull` measures it). In space,
//! the crates `chull` and `parry3d` decide by a tolerance, so their vertices are not always the set's, and both give up on some
//! flat sets. In more dimensions there are only bindings to the C library Qhull (`qhull`, which needs libclang to build, and
//! merges facets that rounding has bent) and `chull`. Neither is exact or well maintained, so there are no hulls in more than
//! three dimensions.

mod bands;
mod cone;
mod plane;
mod polyhedron;
mod quickhull;
pub mod sign;
mod space;
#[cfg(test)]
mod tests;

pub use plane::hull_2d;
pub use polyhedron::Hull3;
pub use sign::{Point2, Point3};
pub use space::hull_3d;

use kinglet_core::{Code, Error, Result};
use rayon::prelude::*;

/// How many points a thread takes at a time.
const CHUNK: usize = 1 << 15;

/// The number of points below which the sample costs more than it saves.
const FILTERED_MIN: usize = 4096;

/// Returns the points that are not `inside`, in parallel. It refuses points that are not finite, for which `inside` must return
/// `false`.
fn outside<const D: usize>(points: &[[f64; D]], inside: impl Fn(&[f64; D]) -> bool + Sync) -> Result<Vec<[f64; D]>> {
    let look = |(chunk_idx, chunk): (usize, &[[f64; D]])| {
        let (mut kept, mut bad) = (Vec::new(), None);
        for (at, point) in chunk.iter().enumerate() {
            if inside(point) {
                continue;
            }
            if point.iter().all(|x| x.is_finite()) {
                // Adding zero turns -0.0 into 0.0.
                kept.push(point.map(|x| x + 0.0));
            } else if bad.is_none() {
                bad = Some(chunk_idx * CHUNK + at);
            }
        }
        (kept, bad)
    };
    let looked: Vec<_> = points.par_chunks(CHUNK).enumerate().map(look).collect();
    if let Some(at) = looked.iter().find_map(|(_, bad)| *bad) {
        return Err(not_finite(at, &points[at]));
    }
    let mut all = Vec::with_capacity(looked.iter().map(|(kept, _)| kept.len()).sum());
    looked.iter().for_each(|(kept, _)| all.extend_from_slice(kept));
    Ok(all)
}

fn not_finite(at: usize, point: &[f64]) -> Error {
    let (axis, value) = (0..).zip(point).find(|(_, x)| !x.is_finite()).unwrap_or((0, &f64::NAN));
    let axis = ["x", "y", "z"][axis];
    Error::new(Code::NotFinite, format!("point {at} has {axis} = {value}, and a hull needs finite coordinates"))
        .with_hint("leave such points out")
}

/// Returns about `count` points from all over `points`, the same each time. Points that are not finite are left out.
fn sample<const D: usize>(points: &[[f64; D]], count: usize) -> Vec<[f64; D]> {
    let stride = (points.len() / count.max(1)).max(1);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let strides = points.chunks_exact(stride).map(|chunk| {
        // Steps are random, as a fixed step could match the order of the input, such as that of a grid.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chunk[(state >> 33) as usize % stride].map(|x| x + 0.0)
    });
    strides.filter(|point| point.iter().all(|x| x.is_finite())).collect()
}

/// Compares two points by x, then y, then z. Coordinates must be numbers, and zeros of one sign.
#[inline]
fn lexicographic<const D: usize>(a: &[f64; D], b: &[f64; D]) -> std::cmp::Ordering {
    use std::cmp::Ordering::{Equal, Greater, Less};
    // Written so that `is_lt`, which a sort asks, needs no branch: on unsorted points the processor would mispredict it.
    let (mut less, mut equal) = (false, true);
    for axis in 0..D {
        less |= equal & (a[axis] < b[axis]);
        equal &= a[axis] == b[axis];
    }
    if less {
        Less
    } else if equal {
        Equal
    } else {
        Greater
    }
}

/// Undoes [`rescale`].
struct Back(f64);

impl Back {
    fn of<const D: usize>(&self, point: [f64; D]) -> [f64; D] {
        // In two steps, as the factor itself may be larger or smaller than a number can be.
        point.map(|x| x * self.0 * self.0)
    }
}

/// Scales a set of huge or tiny coordinates to about 1 by a power of two, if that loses no bit. Signs stay the same, and the
/// quick predicates apply. A set that has both huge and tiny coordinates stays as it is and pays for the exact predicates.
fn rescale<const D: usize>(points: &mut [[f64; D]]) -> Option<Back> {
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for x in points.as_flattened().iter().map(|x| x.abs()).filter(|x| *x > 0.0) {
        least = least.min(x);
        most = most.max(x);
    }
    if most == 0.0 || (1e-30..1e30).contains(&most) {
        return None;
    }
    let half = (most.log2() / 2.0).round().clamp(-537.0, 512.0) as i32;
    let (forth, back) = (2f64.powi(-half), 2f64.powi(half));
    // Numbers that are normal before and after lose nothing, and numbers that grow never lose anything.
    if half > 0 && least * forth * forth < 1e-290 {
        return None;
    }
    points.as_flattened_mut().iter_mut().for_each(|x| *x = *x * forth * forth);
    Some(Back(back))
}
