//! Fragments, the values of the hull job: points whose hull is the hull of all points that they stand for.

use crate::kernels::hull::{hull_2d, hull_3d};
use serde::{Deserialize, Serialize};

/// Vertices of one or several hulls, coordinate by coordinate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fragment {
    dimensions: u8,
    coordinates: Vec<f64>,
    /// How many coordinates were left when a hull was last made of them.
    settled: usize,
}

/// How many coordinates may be held, on top of twice those that the last hull left, before the next hull is made.
const UNSETTLED_MAX: usize = 1 << 12;

impl Fragment {
    /// Makes a fragment of the vertices of a hull.
    pub(super) fn of<const D: usize>(vertices: Vec<[f64; D]>) -> Self {
        let coordinates = vertices.into_flattened();
        Fragment { dimensions: D as u8, settled: coordinates.len(), coordinates }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.coordinates.is_empty()
    }

    /// Returns the points, which must have `D` coordinates.
    pub(super) fn points<const D: usize>(&self) -> &[[f64; D]] {
        self.coordinates.as_chunks().0
    }

    /// Merges a fragment into another. A hull is made only when they hold more than twice what the last hull left, so the
    /// number of times that a point is looked at grows only with the logarithm of the number of points.
    pub(super) fn merge(into: &mut Fragment, from: Fragment) {
        if into.is_empty() {
            *into = from;
            return;
        }
        into.settled = into.settled.max(from.settled);
        into.coordinates.extend(from.coordinates);
        if into.coordinates.len() > 2 * into.settled + UNSETTLED_MAX {
            // Coordinates were checked when they were read. If no hull can be made, the points stay, and the reducer says why.
            let vertices = match into.dimensions {
                3 => hull_3d(into.points()).map(|hull| hull.vertices.into_flattened()),
                _ => hull_2d(into.points()).map(|hull| hull.into_flattened()),
            };
            into.coordinates = vertices.unwrap_or_else(|_| std::mem::take(&mut into.coordinates));
            into.settled = into.coordinates.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_the_hull_and_drops_the_rest() {
        let mut all = Fragment::default();
        let mut points = vec![];
        for n in 0..40_000_u64 {
            let x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let point = [(x >> 32) as f64, (x & 0xffff_ffff) as f64];
            points.push(point);
            Fragment::merge(&mut all, Fragment::of(vec![point]));
            assert!(all.coordinates.len() <= 2 * all.settled + UNSETTLED_MAX);
        }
        assert!(all.settled < 200 && all.coordinates.len() < points.len());
        assert_eq!(hull_2d(all.points()).unwrap(), hull_2d(&points).unwrap());
    }

    #[test]
    fn hulls_that_keep_every_point_are_made_seldom() {
        let mut all = Fragment::default();
        let (mut made, mut last) = (0, 0);
        for n in 0..60_000 {
            let x = f64::from(n);
            Fragment::merge(&mut all, Fragment::of(vec![[x, x * x]]));
            made += usize::from(all.settled != last);
            last = all.settled;
        }
        assert!((2..10).contains(&made), "{made}");
    }
}
