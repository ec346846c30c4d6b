//! A table that tells which points surely lie inside a convex polyhedron. Directions from an inner point are sorted into bins,
//! as a cube's faces are cut into squares, and each bin has the length up to which everything in it is inside.
//!
//! ```text
//!    ╭───────────╮      A direction is (1, u, v) with the largest coordinate first; a bin is a square of u and v.
//!    │ \░░▒▒░░/  │      The polyhedron is convex: what is inside at the four corners of a bin, at one length of the
//!    │  \░▒▒░/   │      first coordinate, is inside in all of it.
//!    │   \▒▒/    │
//!    │    c      │
//! ```

use super::polyhedron::Hull3;
use super::sign::Point3;
use rayon::prelude::*;

/// The number of bins along each edge of the cube: six faces fit into a core's second-level cache along with the points that
/// stream by.
const BINS: usize = 64;

/// The number of rows of a face's table, and of entries of a row. NaN finds the first of each, where nothing is inside.
const ROWS: usize = BINS + 1;

/// The margin by which every length is shortened, which is larger than all rounding of a direction or a bin.
const MARGIN: f64 = 1e-8;

pub(super) struct Cone {
    center: Point3,
    /// One over the extent of each axis, which makes a flat set as high as it is wide.
    scale: Point3,
    /// By face, then row, then entry: the largest coordinate up to which points are inside.
    inside: Vec<f64>,
}

impl Cone {
    /// Makes the table of a polyhedron, or `None` if it is flat or rounding would make the table worthless.
    pub(super) fn new(hull: &Hull3) -> Option<Self> {
        if hull.dimension != 3 {
            return None;
        }
        let (mut center, mut scale) = ([0.0; 3], [0.0; 3]);
        for axis in 0..3 {
            let all = || hull.vertices.iter().map(|v| v[axis]);
            let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
            if !(1e-100..1e100).contains(&(high - low)) || !(-1e100..1e100).contains(&low) {
                return None;
            }
            center[axis] = all().sum::<f64>() / hull.vertices.len() as f64;
            scale[axis] = 1.0 / (high - low);
        }
        let mut cone = Cone { center, scale, inside: Vec::new() };
        let planes = hull.triangles.iter().map(|t| {
            let [a, b, c] = t.map(|v| cone.relative(&hull.vertices[v as usize]));
            plane(a, b, c)
        });
        let planes: Vec<Point3> = planes.collect::<Option<_>>()?;
        let nodes: Vec<f64> = (0..6 * (BINS + 1))
            .into_par_iter()
            .flat_map_iter(|row| {
                let (face, iu, planes) = (row / (BINS + 1), row % (BINS + 1), &planes);
                (0..=BINS).map(move |iv| reach(planes, direction(face, iu, iv)))
            })
            .collect();
        let node = |face: usize, iu: usize, iv: usize| nodes[(face * (BINS + 1) + iu) * (BINS + 1) + iv];
        for face in 0..6 {
            cone.inside.extend([0.0; ROWS]);
            for iu in 0..BINS {
                cone.inside.push(0.0);
                for iv in 0..BINS {
                    let low = node(face, iu, iv).min(node(face, iu, iv + 1));
                    let high = node(face, iu + 1, iv).min(node(face, iu + 1, iv + 1));
                    cone.inside.push(low.min(high) * (1.0 - MARGIN));
                }
            }
        }
        Some(cone)
    }

    #[inline(always)]
    fn relative(&self, point: &Point3) -> Point3 {
        [0, 1, 2].map(|axis| (point[axis] - self.center[axis]) * self.scale[axis])
    }

    /// Returns whether a point surely lies inside; `false` for a point that is not finite.
    #[inline(always)]
    pub(super) fn contains(&self, point: &Point3) -> bool {
        let d = self.relative(point);
        let size = d.map(f64::abs);
        let axis = if size[0] >= size[1] && size[0] >= size[2] {
            0
        } else if size[1] >= size[2] {
            1
        } else {
            2
        };
        let (u, v) = (d[(axis + 1) % 3], d[(axis + 2) % 3]);
        let per = (BINS / 2) as f64 / size[axis];
        // NaN becomes 0, where nothing is inside. It can come here because the largest coordinate may seem to be a finite one.
        let bin = |x: f64| ((x * per + (BINS / 2 + 1) as f64) as usize).min(BINS);
        let face = 2 * axis + usize::from(d[axis] < 0.0);
        size[axis] < self.inside[(face * ROWS + bin(u)) * ROWS + bin(v)]
    }
}

/// Returns the direction of a corner of a bin.
fn direction(face: usize, iu: usize, iv: usize) -> Point3 {
    let (axis, along) = (face / 2, if face.is_multiple_of(2) { 1.0 } else { -1.0 });
    let at = |i: usize| i as f64 / (BINS / 2) as f64 - 1.0;
    let mut direction = [0.0; 3];
    direction[axis] = along;
    direction[(axis + 1) % 3] = at(iu);
    direction[(axis + 2) % 3] = at(iv);
    direction
}

/// Returns the plane of a facet as the vector whose dot product with an inner point is below 1. The facet is moved inwards by
/// as much as rounding may have moved it. Returns `None` if the center is not well inside of it.
fn plane(a: Point3, b: Point3, c: Point3) -> Option<Point3> {
    let (u, v) = ([0, 1, 2].map(|i| b[i] - a[i]), [0, 1, 2].map(|i| c[i] - a[i]));
    let (mut normal, mut size) = ([0.0; 3], 0.0);
    for (i, normal) in normal.iter_mut().enumerate() {
        let (j, k) = ((i + 1) % 3, (i + 2) % 3);
        let (left, right) = (u[j] * v[k], u[k] * v[j]);
        *normal = left - right;
        size += left.abs() + right.abs();
    }
    // A smaller normal may have lost bits to underflow.
    if size < 1e-140 {
        return None;
    }
    let length = normal.iter().map(|x| x * x).sum::<f64>().sqrt();
    // Coordinates are at most 1 here.
    let away = normal[0] * a[0] + normal[1] * a[1] + normal[2] * a[2] - 128.0 * f64::EPSILON * size;
    (away > 1e-4 * length && length > 0.0).then(|| normal.map(|x| x / away))
}

/// Returns how far the polyhedron reaches along a direction.
fn reach(planes: &[Point3], [x, y, z]: Point3) -> f64 {
    let mut most = [0.0_f64; 4];
    let mut quads = planes.chunks_exact(4);
    for quad in &mut quads {
        for (most, n) in most.iter_mut().zip(quad) {
            let product = n[0] * x + n[1] * y + n[2] * z;
            *most = if product > *most { product } else { *most };
        }
    }
    let rest = quads.remainder().iter().map(|n| n[0] * x + n[1] * y + n[2] * z);
    let most = rest.chain(most).fold(0.0, f64::max);
    // Coordinates of inner points are at most 1.
    if most > 0.5 { 1.0 / most } else { 0.0 }
}
