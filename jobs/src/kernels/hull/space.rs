//! The hull in space: a filter, quickhull with exact decisions, and facets in a form that depends only on the set.
//!
//! Source: C. B. Barber, D. P. Dobkin, H. Huhdanpaa, *The Quickhull Algorithm for Convex Hulls* (1996). Where Qhull merges
//! facets that rounding may have bent, here every side is decided exactly, so no facet is ever bent.

use super::cone::Cone;
use super::polyhedron::Hull3;
use super::quickhull::{Mesh, Start};
use super::sign::{Point3, turn};
use super::{FILTERED_MIN, lexicographic, outside, plane, rescale, sample};
use kinglet_core::Result;
use rayon::prelude::*;
use std::cmp::Ordering;

/// The largest sample.
const SAMPLE: usize = 1 << 15;

/// Returns the convex hull of points in space: strict vertices, and triangles that face outwards.
///
/// Coordinates of any size, and points in one plane or on one line, are handled exactly: see [`Hull3`].
///
/// ```
/// use kinglet_jobs::kernels::hull::hull_3d;
/// let corners = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.1, 0.1, 0.1]];
/// let hull = hull_3d(&corners).unwrap();
/// assert_eq!((hull.vertices.len(), hull.triangles.len(), hull.dimension), (4, 4, 3));
/// ```
///
/// # Errors
/// Returns `not-finite` when a coordinate is NaN or infinite, and names the first such point.
pub fn hull_3d(points: &[Point3]) -> Result<Hull3> {
    let cone = if points.len() < FILTERED_MIN {
        None
    } else {
        let sample = sample(points, SAMPLE.min(points.len() / 16));
        let hull = hull_3d(&sample)?;
        // If most points are vertices, as on a sphere, there is nothing to throw out.
        if hull.vertices.len() * 2 > sample.len() { None } else { Cone::new(&hull) }
    };
    let left = match cone {
        Some(cone) => outside(points, |point| cone.contains(point))?,
        None => outside(points, |_| false)?,
    };
    Ok(hull_of(left))
}

/// Returns the hull of finite points whose zeros have one sign.
pub(super) fn hull_of(mut points: Vec<Point3>) -> Hull3 {
    let back = rescale(&mut points);
    let mut hull = match Mesh::start(&points) {
        Start::Nothing => Hull3::default(),
        Start::Point(point) => Hull3 { vertices: vec![point], ..Hull3::default() },
        Start::Line(a, b) => Hull3 { vertices: vec![a, b], dimension: 1, ..Hull3::default() },
        Start::Plane(corners) => flat(&points, corners),
        Start::Body(corners) => Mesh::grow(points, corners).finish(),
    };
    if let Some(back) = back {
        hull.vertices.iter_mut().for_each(|vertex| *vertex = back.of(*vertex));
    }
    hull
}

/// Returns the hull of points in one plane: the polygon, found in the plane of two of the axes.
fn flat(points: &[Point3], [a, b, c]: [Point3; 3]) -> Hull3 {
    // Seen along an axis that is not parallel to the plane, no two points coincide.
    let axes = [(1, 2), (2, 0), (0, 1)];
    let seen = axes.into_iter().find(|(i, j)| turn([a[*i], a[*j]], [b[*i], b[*j]], [c[*i], c[*j]]) != Ordering::Equal);
    let (i, j) = seen.unwrap_or((0, 1));
    let k = 3 - i - j;
    let polygon = plane::hull_of(points.iter().map(|p| [p[i], p[j]]).collect());
    let mut corners: Vec<Point3> = Vec::with_capacity(polygon.len());
    let mut by_place: Vec<&Point3> = points.iter().collect();
    by_place.par_sort_unstable_by(|p, q| lexicographic(&[p[i], p[j], p[k]], &[q[i], q[j], q[k]]));
    for corner in polygon {
        let at = by_place.partition_point(|p| lexicographic(&[p[i], p[j]], &corner).is_lt());
        corners.push(*by_place[at]);
    }
    let lowest = (0..corners.len()).min_by(|p, q| lexicographic(&corners[*p], &corners[*q])).unwrap_or(0);
    corners.rotate_left(lowest);
    let triangles = (1..corners.len() as u32 - 1).map(|n| [0, n, n + 1]).collect();
    Hull3 { vertices: corners, triangles, dimension: 2 }
}
