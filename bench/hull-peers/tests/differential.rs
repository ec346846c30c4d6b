//! Kinglet's hulls beside those of the crate `geo`, on sets that are hard on either.

use geo::algorithm::kernels::{Kernel, Orientation, RobustKernel};
use geo::{ConvexHull, Coord};
use kinglet_jobs::kernels::hull::{Point2, hull_2d};
use proptest::prelude::*;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// The corners of what `geo` finds: it keeps some points that lie on an edge between two others.
fn of_geo(points: &[Point2]) -> BTreeSet<[u64; 2]> {
    let points: geo::MultiPoint = points.iter().map(|p| geo::Point::new(p[0], p[1])).collect();
    let hull = points.convex_hull();
    let mut ring: Vec<Coord> = hull.exterior().0.iter().map(|c| Coord { x: c.x + 0.0, y: c.y + 0.0 }).collect();
    ring.dedup();
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    let around = |n: usize| [(n + ring.len() - 1) % ring.len(), n, (n + 1) % ring.len()].map(|n| ring[n]);
    let is_corner =
        |[before, at, after]: [Coord; 3]| RobustKernel::orient2d(before, at, after) != Orientation::Collinear;
    let corners: Vec<Coord> = (0..ring.len()).filter(|n| is_corner(around(*n))).map(|n| ring[n]).collect();
    let ends =
        |by: fn(&Coord, &Coord) -> Ordering| [ring.iter().min_by(|a, b| by(a, b)), ring.iter().max_by(|a, b| by(a, b))];
    let by_place = |a: &Coord, b: &Coord| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y));
    // Points on one line have two ends and no corner.
    let vertices = if corners.is_empty() { ends(by_place).into_iter().flatten().copied().collect() } else { corners };
    vertices.iter().map(|c| [c.x, c.y].map(f64::to_bits)).collect()
}

fn of_kinglet(points: &[Point2]) -> BTreeSet<[u64; 2]> {
    hull_2d(points).unwrap().iter().map(|p| p.map(f64::to_bits)).collect()
}

fn set(number: impl Strategy<Value = f64> + 'static) -> impl Strategy<Value = Vec<Point2>> {
    let number = number.boxed();
    prop::collection::vec((number.clone(), number).prop_map(|(x, y)| [x, y]), 3..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn both_find_the_same_vertices(
        points in prop_oneof![
            set(-1.0..1.0),
            set((0i32..5).prop_map(f64::from)),
            set((0i32..40).prop_map(|n| f64::from(n) * 0.1)),
            set((0u64..6).prop_map(|n| f64::from_bits(0.1f64.to_bits() + n))),
            set((-1e9..1e9).prop_map(f64::round)),
            set((0.0..std::f64::consts::TAU).prop_map(f64::cos)),
        ],
    ) {
        prop_assert_eq!(of_kinglet(&points), of_geo(&points));
    }
}
