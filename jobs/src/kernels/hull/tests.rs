//! The hulls against naive twins in exact integers, and what must hold for every hull.

use super::sign::{Point2, Point3, exact};
use super::{Hull3, hull_2d, hull_3d};
use num_bigint::BigInt;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Int2 = [BigInt; 2];
type Int3 = [BigInt; 3];

fn cross2(a: &Int2, b: &Int2, c: &Int2) -> BigInt {
    (&b[0] - &a[0]) * (&c[1] - &a[1]) - (&b[1] - &a[1]) * (&c[0] - &a[0])
}

/// Gift wrapping: it starts at the lowest point and always goes to the one that has all others to its left, or of several such
/// points to the furthest.
fn naive_2d(points: &[Point2]) -> Vec<Point2> {
    let points: Vec<(Point2, Int2)> = points.iter().map(|p| (p.map(|x| x + 0.0), p.map(exact))).collect();
    let Some(start) = points.iter().map(|(_, at)| at).min() else { return vec![] };
    let far = |a: &Int2, b: &Int2| (&b[0] - &a[0]).pow(2) + (&b[1] - &a[1]).pow(2);
    let (mut hull, mut here) = (vec![], start);
    loop {
        hull.push(points.iter().find(|(_, at)| at == here).unwrap().0);
        let mut next = here;
        for (_, there) in &points {
            let turn = cross2(here, next, there);
            if next == here || turn < BigInt::ZERO || turn == BigInt::ZERO && far(here, there) > far(here, next) {
                next = there;
            }
        }
        if next == start {
            return hull;
        }
        here = next;
    }
}

fn cross3(u: &Int3, v: &Int3) -> Int3 {
    [0, 1, 2].map(|i| &u[(i + 1) % 3] * &v[(i + 2) % 3] - &u[(i + 2) % 3] * &v[(i + 1) % 3])
}

fn minus(a: &Int3, b: &Int3) -> Int3 {
    [0, 1, 2].map(|i| &a[i] - &b[i])
}

fn dot(u: &Int3, v: &Int3) -> BigInt {
    (0..3).map(|i| &u[i] * &v[i]).sum()
}

/// Finds a body's facets: every plane through three points that has all others on one side, with the points on it. A vertex is
/// a point on three of them whose normals are independent.
fn naive_3d(points: &[Point3]) -> (BTreeSet<[u64; 3]>, Vec<Vec<usize>>) {
    let ints: Vec<Int3> = points.iter().map(|p| p.map(exact)).collect();
    let mut facets: BTreeMap<Vec<usize>, Int3> = BTreeMap::new();
    for i in 0..ints.len() {
        for j in i + 1..ints.len() {
            for k in j + 1..ints.len() {
                let normal = cross3(&minus(&ints[j], &ints[i]), &minus(&ints[k], &ints[i]));
                if normal.iter().all(|x| *x == BigInt::ZERO) {
                    continue;
                }
                let heights: Vec<BigInt> = ints.iter().map(|p| dot(&normal, &minus(p, &ints[i]))).collect();
                let (above, below) =
                    (heights.iter().any(|h| *h > BigInt::ZERO), heights.iter().any(|h| *h < BigInt::ZERO));
                if !(above && below) {
                    let on = (0..ints.len()).filter(|at| heights[*at] == BigInt::ZERO).collect();
                    facets.insert(on, normal);
                }
            }
        }
    }
    let mut vertices = BTreeSet::new();
    for (at, point) in points.iter().enumerate() {
        let normals: Vec<&Int3> = facets.iter().filter(|(on, _)| on.contains(&at)).map(|(_, normal)| normal).collect();
        let independent = normals.iter().any(|a| {
            normals.iter().any(|b| {
                let both = cross3(a, b);
                normals.iter().any(|c| dot(&both, c) != BigInt::ZERO)
            })
        });
        if independent {
            vertices.insert(point.map(|x| (x + 0.0).to_bits()));
        }
    }
    (vertices, facets.into_keys().collect())
}

/// Checks a body's hull: every point lies on or below every triangle, Euler's formula holds, and every edge occurs once in
/// each direction.
fn holds(points: &[Point3], hull: &Hull3) {
    assert_eq!(hull.dimension, 3);
    let (v, f) = (hull.vertices.len(), hull.triangles.len());
    assert_eq!(f, 2 * v - 4, "Euler: E = 3F/2, V - E + F = 2");
    let mut edges = BTreeSet::new();
    for t in &hull.triangles {
        for k in 0..3 {
            assert!(edges.insert((t[k], t[(k + 1) % 3])), "an edge twice in one direction");
        }
        assert!(t[0] < t[1] && t[0] < t[2]);
        let [a, b, c] = t.map(|at| hull.vertices[at as usize]);
        for p in points {
            assert!(super::sign::side(a, b, c, *p).is_le(), "{p:?} is outside of {a:?} {b:?} {c:?}");
        }
    }
    assert!(edges.iter().all(|(a, b)| edges.contains(&(*b, *a))), "an open edge");
    assert!(hull.vertices.is_sorted_by(|a, b| super::lexicographic(a, b).is_lt()));
    assert!(hull.triangles.is_sorted_by(|a, b| a < b));
}

fn same_as_naive(points: &[Point3]) {
    let hull = hull_3d(points).unwrap();
    let (vertices, facets) = naive_3d(points);
    let got: BTreeSet<[u64; 3]> = hull.vertices.iter().map(|p| p.map(f64::to_bits)).collect();
    if hull.dimension < 3 {
        assert!(facets.len() <= 1, "{} facets of a flat set", facets.len());
        return;
    }
    assert_eq!(got, vertices);
    holds(points, &hull);
    // Each triangle lies in a facet, and facets with more corners are cut into two less than they have.
    let on = |facet: &[usize]| facet.iter().map(|at| points[*at].map(|x| (x + 0.0).to_bits())).collect::<BTreeSet<_>>();
    let facets: Vec<_> = facets.iter().map(|facet| on(facet)).collect();
    let mut triangles: Vec<usize> = facets.iter().map(|on| on.intersection(&vertices).count() - 2).collect();
    for t in &hull.triangles {
        let corners = t.map(|at| hull.vertices[at as usize].map(f64::to_bits));
        let facet = facets.iter().position(|on| corners.iter().all(|corner| on.contains(corner))).unwrap();
        triangles[facet] -= 1;
    }
    assert!(triangles.iter().all(|left| *left == 0));
}

/// Coordinates that coincide, lie in rows or nearly so, or have any size.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-3i64..3).prop_map(|n| n as f64),
        1 => any::<f64>().prop_filter("finite", |x| x.is_finite()),
        1 => (0u64..4).prop_map(|n| f64::from_bits(1f64.to_bits() + n)),
        1 => (-1i64..2).prop_map(|n| n as f64 * 1e308),
        1 => (-2i64..2).prop_map(|n| n as f64 * 5e-324),
        1 => -1.0..1.0,
    ]
}

/// A set of one kind: grids and rows, clusters of points next to each other, unit cube, any size, mixed.
fn coordinates(dimensions: usize, most: usize) -> impl Strategy<Value = Vec<Vec<f64>>> {
    let of =
        move |one: BoxedStrategy<f64>| prop::collection::vec(prop::collection::vec(one, dimensions), 0..most).boxed();
    prop_oneof![
        of((0i64..4).prop_map(|n| n as f64).boxed()),
        of((0i64..3).prop_map(|n| n as f64 * 0.1).boxed()),
        of((0u64..3).prop_map(|n| f64::from_bits(0.1f64.to_bits() + n)).boxed()),
        of((-1.0..1.0).boxed()),
        of((-3i64..3).prop_map(|n| n as f64 * 4e307).boxed()),
        of((-3i64..3).prop_map(|n| n as f64 * 5e-324).boxed()),
        of(number().boxed()),
    ]
}

fn points<const D: usize>(rows: &[Vec<f64>]) -> Vec<[f64; D]> {
    rows.iter().map(|row| row[..].try_into().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn a_polygon_is_the_naive_one(rows in coordinates(2, 24)) {
        let points = points::<2>(&rows);
        prop_assert_eq!(hull_2d(&points).unwrap(), naive_2d(&points));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn a_body_is_the_naive_one(rows in coordinates(3, 14)) {
        same_as_naive(&points::<3>(&rows));
    }

    #[test]
    fn the_hull_of_hulls_of_parts_is_the_hull(rows in coordinates(3, 40), cut in 0usize..40) {
        let all = points::<3>(&rows);
        let cut = cut.min(all.len());
        let whole = hull_3d(&all).unwrap();
        let mut parts = hull_3d(&all[cut..]).unwrap().vertices;
        parts.extend(hull_3d(&all[..cut]).unwrap().vertices);
        prop_assert_eq!(hull_3d(&parts).unwrap(), whole);
        let flat: Vec<Point2> = all.iter().map(|p| [p[0], p[1]]).collect();
        let mut parts = hull_2d(&flat[cut..]).unwrap();
        parts.extend(hull_2d(&flat[..cut]).unwrap());
        prop_assert_eq!(hull_2d(&parts).unwrap(), hull_2d(&flat).unwrap());
    }
}

/// Numbers from 0 to 1, the same for the same seed.
fn random(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Returns sets that are large enough for the filter, by name.
fn large(n: usize) -> Vec<(&'static str, Vec<Point3>)> {
    let mut r = random(7);
    let mut of = |make: &mut dyn FnMut(&mut dyn FnMut() -> f64) -> Point3| -> Vec<Point3> {
        (0..n).map(|_| make(&mut r)).collect()
    };
    let ball = |r: &mut dyn FnMut() -> f64| loop {
        let p = [r() - 0.5, r() - 0.5, r() - 0.5];
        if p.iter().map(|x| x * x).sum::<f64>() < 0.25 {
            return p;
        }
    };
    vec![
        ("cube", of(&mut |r| [r(), r(), r()])),
        ("grid", of(&mut |r| [r(), r(), r()].map(|x| (x * 9.0).floor()))),
        ("fine grid", of(&mut |r| [r(), r(), r()].map(|x| (x * 100.0).floor() / 10.0))),
        ("ball", of(&mut |r| ball(r))),
        (
            "sphere",
            of(&mut |r| {
                let p = ball(r);
                let length = p.iter().map(|x| x * x).sum::<f64>().sqrt();
                p.map(|x| x / length)
            }),
        ),
        ("far away", of(&mut |r| [r() + 1e15, r() - 1e9, r() * 1e-3])),
        (
            "nearly flat",
            of(&mut |r| {
                let (x, y) = (r(), r());
                [x, y, x + y + r() * 1e-15]
            }),
        ),
        (
            "flat",
            of(&mut |r| {
                let (x, y) = ((r() * 64.0).floor(), (r() * 64.0).floor());
                [x, y, 2.0 * x - y]
            }),
        ),
        (
            "one line",
            of(&mut |r| {
                let x = (r() * 1e6).floor();
                [x, 3.0 * x, -x]
            }),
        ),
        ("one point", of(&mut |_| [0.1, 0.2, -0.0])),
        ("huge", of(&mut |r| [r() - 0.5, r() - 0.5, r() - 0.5].map(|x| x * f64::MAX))),
        ("tiny", of(&mut |r| [r(), r(), r()].map(|x| x * 1e-310))),
        (
            "parabola",
            of(&mut |r| {
                let (x, y) = (r() * 1e3, r() * 1e3);
                [x, y, x * x + y * y]
            }),
        ),
        ("sorted", {
            let mut all = of(&mut |r| [r(), r(), r()]);
            all.sort_by(super::lexicographic);
            all
        }),
    ]
}

/// Chunks that are too small for the filter, and then their vertices, give the hull without it.
#[test]
fn the_filter_changes_nothing_and_neither_do_threads() {
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let three = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for (name, points) in large(60_000) {
        let flat: Vec<Point2> = points.iter().map(|p| [p[0], p[1]]).collect();
        let polygon = three.install(|| hull_2d(&flat).unwrap());
        let parts: Vec<Point2> = flat.chunks(3000).flat_map(|chunk| hull_2d(chunk).unwrap()).collect();
        assert!(polygon == super::plane::hull_of(parts), "{name}: {polygon:?}");
        assert!(polygon == one.install(|| hull_2d(&flat).unwrap()), "{name}");

        let body = three.install(|| hull_3d(&points).unwrap());
        let parts: Vec<Point3> = points.chunks(3000).flat_map(|chunk| hull_3d(chunk).unwrap().vertices).collect();
        assert!(body == super::space::hull_of(parts), "{name}");
        assert!(body == one.install(|| hull_3d(&points).unwrap()), "{name}");
        let dimension = match name {
            "flat" => 2,
            "one line" => 1,
            "one point" => 0,
            _ => 3,
        };
        assert_eq!(body.dimension, dimension, "{name}");
        if dimension == 3 {
            let some: Vec<Point3> = points.iter().copied().step_by(points.len() / 40).collect();
            if body.vertices.len() < 2000 {
                holds(&some, &body);
            }
        }
    }
}

#[test]
fn few_points_and_zeros_of_both_signs() {
    assert_eq!(hull_2d(&[]).unwrap(), Vec::<Point2>::new());
    assert_eq!(hull_2d(&[[-0.0, 0.0], [0.0, -0.0]]).unwrap(), [[0.0, 0.0]]);
    assert!(hull_2d(&[[-0.0, -0.0]]).unwrap()[0].iter().all(|x| x.is_sign_positive()));
    assert_eq!(hull_2d(&[[1.0, 2.0], [1.0, 1.0], [1.0, 3.0], [1.0, 1.0]]).unwrap(), [[1.0, 1.0], [1.0, 3.0]]);
    assert_eq!(hull_3d(&[]).unwrap(), Hull3::default());
    let square = [[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.5, 0.5, 1.0], [0.5, 0.0, 1.0]];
    let hull = hull_3d(&square).unwrap();
    assert_eq!((hull.dimension, &hull.vertices[..]), (2, &square[..4]));
    assert_eq!(hull.triangles, [[0, 1, 2], [0, 2, 3]]);
}

/// The product of two tiny numbers underflows to zero, but along an axis of huge numbers it would be large.
#[test]
fn a_body_as_long_as_it_is_thin_keeps_its_corners() {
    let (huge, tiny) = (6.2e184, f64::from_bits(1));
    let corners = [[0.0, 0.0, -tiny], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [huge, 0.5, 0.0]];
    let hull = hull_3d(&corners).unwrap();
    assert_eq!((hull.dimension, &hull.vertices[..], hull.triangles.len()), (3, &corners[..], 4));
    same_as_naive(&corners);
}

#[test]
fn a_cube_with_points_on_its_edges_and_faces_has_eight_corners() {
    let mut grid = vec![];
    for n in 0..1000 {
        grid.push([(n % 10) as f64, (n / 10 % 10) as f64, (n / 100) as f64]);
    }
    let hull = hull_3d(&grid).unwrap();
    assert_eq!((hull.vertices.len(), hull.triangles.len()), (8, 12));
    holds(&grid, &hull);
}

/// The filters look numbers up in tables, and must not throw out a NaN with what lies inside.
#[test]
fn no_filter_throws_out_what_is_not_finite() {
    let mut r = random(5);
    let points: Vec<Point3> = (0..8192).map(|_| [r(), r(), r()]).collect();
    let flat: Vec<Point2> = points.iter().map(|p| [p[0], p[1]]).collect();
    let odd = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    for other in odd.into_iter().chain([0.5, 0.4, 0.75]) {
        for axis in 0..3 {
            for not_finite in odd {
                for rest in [0.5, 0.25, 0.625] {
                    let mut bad = [rest; 3];
                    (bad[axis], bad[(axis + 1) % 3]) = (not_finite, other);
                    let mut points = points.clone();
                    points[4711] = bad;
                    let error = hull_3d(&points).expect_err(&format!("{bad:?}"));
                    assert!(error.to_string().starts_with("point 4711 has "), "{bad:?}: {error}");
                    if axis < 2 {
                        let mut flat = flat.clone();
                        flat[4711] = [bad[axis], other];
                        hull_2d(&flat).expect_err(&format!("{bad:?}"));
                        flat[4711] = [other, bad[axis]];
                        hull_2d(&flat).expect_err(&format!("{bad:?}"));
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_is_refused_with_the_first_place() {
    for n in [10, 200_000] {
        let mut r = random(3);
        let mut points: Vec<Point3> = (0..n).map(|_| [r(), r(), r()]).collect();
        points[7] = [0.5, 0.5, f64::NAN];
        points[n - 1] = [f64::INFINITY, 0.5, 0.5];
        let says = |points: &[Point3]| hull_3d(points).unwrap_err().to_string();
        assert_eq!(says(&points), "point 7 has z = NaN, and a hull needs finite coordinates");
        points[7] = [0.5; 3];
        assert_eq!(says(&points), format!("point {} has x = inf, and a hull needs finite coordinates", n - 1));
        let mut flat: Vec<Point2> = points[..n - 1].iter().map(|p| [p[0], p[1]]).collect();
        flat[n / 2] = [0.5, f64::NEG_INFINITY];
        let error = hull_2d(&flat).unwrap_err();
        assert_eq!(
            (error.code(), error.to_string().contains(&format!("point {} has y = -inf", n / 2))),
            ("not-finite", true)
        );
    }
}
