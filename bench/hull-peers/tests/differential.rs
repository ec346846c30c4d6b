//! Kinglet's hulls beside those of the crate `geo`, on sets that are hard on either.

use geo::ConvexHull;
use kinglet_jobs::kernels::hull::{Point2, hull_2d};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn of_geo(points: &[Point2]) -> BTreeSet<[u64; 2]> {
    let points: geo::MultiPoint = points.iter().map(|p| geo::Point::new(p[0], p[1])).collect();
    points.convex_hull().exterior().0.iter().map(|c| [c.x + 0.0, c.y + 0.0].map(f64::to_bits)).collect()
}

fn of_kinglet(points: &[Point2]) -> BTreeSet<[u64; 2]> {
    hull_2d(points).unwrap().iter().map(|p| p.map(f64::to_bits)).collect()
}

fn set(number: impl Strategy<Value = f64>) -> impl Strategy<Value = Vec<Point2>> {
    let number = number.boxed();
    prop::collection::vec((number.clone(), number).prop_map(|(x, y)| [x, y]), 3..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
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
