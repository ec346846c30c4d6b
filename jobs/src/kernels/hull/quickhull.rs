//! Quickhull in space. The surface is a mesh of triangles that know their neighbours. Each triangle has a list of points that
//! lie beyond it. The furthest point of a list becomes a vertex: new triangles at it replace all triangles that it sees and
//! take over their points. A point in the plane of a triangle does not see it, so no new triangle is flat, and several may
//! share a plane.

use super::lexicographic;
use super::polyhedron::Hull3;
use super::sign::{Point3, collinear, side};
use rayon::prelude::*;
use std::cmp::Ordering;

/// What a set of points spans.
pub(super) enum Start {
    /// No points.
    Nothing,
    /// All points equal this one.
    Point(Point3),
    /// All points lie between these two.
    Line(Point3, Point3),
    /// All points lie in the plane of these three.
    Plane([Point3; 3]),
    /// These four points span a body.
    Body([u32; 4]),
}

const NONE: u32 = u32::MAX;

/// The magnitude below which a bound may have lost bits to underflow.
const TRUSTED_MIN: f64 = 1e-270;

/// A triangle of the surface. Its edge `k` goes from corner `k` to the next.
struct Facet {
    corners: [u32; 3],
    /// The neighbour across each edge.
    beyond: [u32; 3],
    /// A point of its plane, and its normal, which points outwards.
    at: Point3,
    normal: Point3,
    /// The bound of rounding: a larger height is above the plane, and a height below its negative is below the plane.
    slack: f64,
    /// The points that lie beyond it and are in no other facet's list.
    outside: Vec<u32>,
    furthest: (u32, f64),
    /// Which point looked at it last, and whether that point saw it.
    looked: (u32, bool),
}

/// The surface.
pub(super) struct Mesh {
    points: Vec<Point3>,
    /// The extent of the points along each axis.
    extent: Point3,
    facets: Vec<Facet>,
    free: Vec<u32>,
}

fn minus(a: &Point3, b: &Point3) -> Point3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn dot(a: &Point3, b: &Point3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(u: &Point3, v: &Point3) -> Point3 {
    [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
}

/// Returns the position of the largest point by `size`; NaN counts as nothing.
fn largest(points: &[Point3], size: impl Fn(&Point3) -> f64 + Sync + Send) -> usize {
    let sized = points.par_iter().map(size).enumerate().filter(|(_, size)| !size.is_nan());
    // Of equal ones the first, so that the choice does not depend on threads.
    sized.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).map_or(0, |(at, _)| at)
}

impl Mesh {
    /// Looks for four points that span a body. Rounding may choose four that are less than ideal, but never wrong ones.
    pub(super) fn start(points: &[Point3]) -> Start {
        let enumerated = || points.par_iter().enumerate();
        let first = enumerated().min_by(|p, q| lexicographic(p.1, q.1).then(p.0.cmp(&q.0)));
        let last = enumerated().max_by(|p, q| lexicographic(p.1, q.1).then(q.0.cmp(&p.0)));
        let (Some((first, a)), Some((last, b))) = (first, last) else {
            return Start::Nothing;
        };
        if a == b {
            return Start::Point(*a);
        }
        let along = minus(b, a);
        let size = |p: &Point3| {
            let off = cross(&along, &minus(p, a));
            dot(&off, &off)
        };
        let exact = |guess: usize, flat: &(dyn Fn(&Point3) -> bool + Sync)| {
            if flat(&points[guess]) { points.par_iter().position_first(|p| !flat(p)) } else { Some(guess) }
        };
        let Some(third) = exact(largest(points, size), &|p| collinear(*a, *b, *p)) else {
            return Start::Line(*a, *b);
        };
        let c = &points[third];
        let normal = cross(&along, &minus(c, a));
        let height = |p: &Point3| dot(&normal, &minus(p, a)).abs();
        let flat = |p: &Point3| side(*a, *b, *c, *p) == Ordering::Equal;
        let Some(fourth) = exact(largest(points, height), &flat) else {
            return Start::Plane([*a, *b, *c]);
        };
        // The fourth must lie below the triangle of the first three.
        let above = side(*a, *b, *c, points[fourth]) == Ordering::Greater;
        let [first, last, third, fourth] = [first, last, third, fourth].map(|at| at as u32);
        Start::Body(if above { [first, third, last, fourth] } else { [first, last, third, fourth] })
    }

    /// Returns the hull of the points, grown from a body of four of them.
    pub(super) fn grow(points: Vec<Point3>, corners: [u32; 4]) -> Mesh {
        let mut extent = [0.0; 3];
        for (axis, extent) in extent.iter_mut().enumerate() {
            let (low, high) = points
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| (low.min(p[axis]), high.max(p[axis])));
            *extent = high - low;
        }
        let (points, corners) = near_each_other(points, corners, &extent);
        let mut mesh = Mesh { points, extent, facets: Vec::new(), free: Vec::new() };
        let [a, b, c, d] = corners;
        for (corners, beyond) in
            [([a, b, c], [1, 2, 3]), ([b, a, d], [0, 3, 2]), ([c, b, d], [0, 1, 3]), ([a, c, d], [0, 2, 1])]
        {
            let facet = mesh.facet(corners, beyond);
            mesh.facets.push(facet);
        }
        let all: Vec<u32> = (0..mesh.points.len() as u32).collect();
        let mut work: Vec<u32> = (0..4).collect();
        mesh.share(&all, &work);
        drop(all);
        let mut scratch = Scratch { starts_at: vec![NONE; mesh.points.len()], ..Scratch::default() };
        while let Some(next) = work.pop() {
            if mesh.facets[next as usize].furthest.0 != NONE {
                mesh.raise(next, &mut scratch);
                work.extend_from_slice(&scratch.made);
            }
        }
        mesh
    }

    fn facet(&self, corners: [u32; 3], beyond: [u32; 3]) -> Facet {
        let [a, b, c] = corners.map(|at| self.points[at as usize]);
        let (u, v) = (minus(&b, &a), minus(&c, &a));
        let (mut normal, mut slack) = ([0.0; 3], 0.0);
        for (i, normal) in normal.iter_mut().enumerate() {
            let (j, k) = ((i + 1) % 3, (i + 2) % 3);
            let (left, right) = (u[j] * v[k], u[k] * v[j]);
            *normal = left - right;
            // A product that underflows is off by less than the least positive number, which an extent may make large again.
            slack += (left.abs() + right.abs() + f64::MIN_POSITIVE) * self.extent[i];
        }
        // Shewchuk's bound for this formula is 3.5 epsilons instead of 8, of smaller sizes.
        slack *= 8.0 * f64::EPSILON;
        if !(TRUSTED_MIN..f64::INFINITY).contains(&slack) {
            slack = f64::INFINITY;
        }
        Facet {
            corners,
            beyond,
            at: a,
            normal,
            slack,
            outside: Vec::new(),
            furthest: (NONE, 0.0),
            looked: (NONE, false),
        }
    }

    /// Returns how high a point lies above a facet, if it does.
    #[inline]
    fn above(&self, facet: &Facet, point: &Point3) -> Option<f64> {
        let height = dot(&facet.normal, &minus(point, &facet.at));
        if height > facet.slack {
            Some(height)
        } else if height < -facet.slack {
            None
        } else {
            self.above_exact(facet, point, height)
        }
    }

    #[cold]
    fn above_exact(&self, facet: &Facet, point: &Point3, height: f64) -> Option<f64> {
        let [a, b, c] = facet.corners.map(|at| self.points[at as usize]);
        // The point is above even if its computed height is zero or NaN.
        (side(a, b, c, *point) == Ordering::Greater).then(|| height.max(f64::MIN_POSITIVE))
    }

    /// Gives each point to the first of some facets that it lies beyond. Points that lie beyond none are inside.
    fn share(&mut self, points: &[u32], facets: &[u32]) {
        for at in points {
            let point = self.points[*at as usize];
            let found = facets.iter().find_map(|f| self.above(&self.facets[*f as usize], &point).map(|h| (*f, h)));
            if let Some((f, height)) = found {
                let facet = &mut self.facets[f as usize];
                facet.outside.push(*at);
                if height > facet.furthest.1 {
                    facet.furthest = (*at, height);
                }
            }
        }
    }

    /// Makes the furthest point of a facet a vertex.
    fn raise(&mut self, from: u32, scratch: &mut Scratch) {
        let top = self.facets[from as usize].furthest.0;
        let point = self.points[top as usize];
        let Scratch { seen, horizon, orphans, made, starts_at } = scratch;
        seen.clear();
        horizon.clear();
        orphans.clear();
        made.clear();
        seen.push(from);
        self.facets[from as usize].looked = (top, true);
        let mut at = 0;
        while let Some(facet) = seen.get(at).copied() {
            at += 1;
            for edge in 0..3 {
                let other = self.facets[facet as usize].beyond[edge];
                let there = &self.facets[other as usize];
                let sees = if there.looked.0 == top {
                    if there.looked.1 {
                        continue;
                    }
                    false
                } else {
                    let sees = self.above(there, &point).is_some();
                    self.facets[other as usize].looked = (top, sees);
                    sees
                };
                if sees {
                    seen.push(other);
                } else {
                    let corners = self.facets[facet as usize].corners;
                    horizon.push((corners[edge], corners[(edge + 1) % 3], other));
                }
            }
        }
        for facet in &*seen {
            let facet = &mut self.facets[*facet as usize];
            // The new vertex lies in the planes of all new facets, which would take longest to decide.
            orphans.extend(facet.outside.drain(..).filter(|at| *at != top));
            facet.furthest = (NONE, 0.0);
        }
        self.free.extend_from_slice(seen);
        for (a, b, other) in &*horizon {
            let mut facet = self.facet([*a, *b, top], [*other, NONE, NONE]);
            let new = match self.free.pop() {
                Some(place) => {
                    // This reuses the list's memory.
                    facet.outside = std::mem::take(&mut self.facets[place as usize].outside);
                    self.facets[place as usize] = facet;
                    place
                }
                None => {
                    self.facets.push(facet);
                    self.facets.len() as u32 - 1
                }
            };
            let there = &mut self.facets[*other as usize];
            let edge = there.corners.iter().position(|corner| corner == b).unwrap_or(0);
            there.beyond[edge] = new;
            starts_at[*a as usize] = new;
            made.push(new);
        }
        for ((_, b, _), new) in horizon.iter().zip(&*made) {
            let next = starts_at[*b as usize];
            self.facets[*new as usize].beyond[1] = next;
            self.facets[next as usize].beyond[2] = *new;
        }
        self.share(orphans, made);
    }

    fn live(&self) -> Vec<bool> {
        let mut live = vec![true; self.facets.len()];
        self.free.iter().for_each(|facet| live[*facet as usize] = false);
        live
    }

    /// Returns the hull in a form that depends only on the set: triangles in one plane become one facet, corners that are not
    /// strict vertices are dropped, and vertices and triangles are sorted.
    pub(super) fn finish(self) -> Hull3 {
        let live = self.live();
        let level = |facet: &Facet, edge: usize| {
            let other = &self.facets[facet.beyond[edge] as usize];
            let apex = other.corners.iter().find(|corner| !facet.corners.contains(corner));
            let apex = apex.map_or(facet.at, |corner| self.points[*corner as usize]);
            let height = dot(&facet.normal, &minus(&apex, &facet.at));
            let [a, b, c] = facet.corners.map(|at| self.points[at as usize]);
            (height.is_nan() || height.abs() <= facet.slack) && side(a, b, c, apex) == Ordering::Equal
        };
        let levels: Vec<[bool; 3]> = (self.facets.par_iter().zip(&live))
            .map(|(facet, live)| if *live { [0, 1, 2].map(|edge| level(facet, edge)) } else { [false; 3] })
            .collect();
        let corners: Vec<Vec<u32>> =
            if levels.par_iter().any(|level| level.contains(&true)) { self.merged(&live, &levels) } else { Vec::new() };
        let polygons: Vec<&[u32]> = if corners.is_empty() {
            self.facets.iter().zip(&live).filter(|(_, live)| **live).map(|(facet, _)| &facet.corners[..]).collect()
        } else {
            corners.iter().map(|polygon| &polygon[..]).collect()
        };
        self.in_order(&polygons)
    }

    /// Returns the facets as polygons of strict vertices.
    fn merged(&self, live: &[bool], levels: &[[bool; 3]]) -> Vec<Vec<u32>> {
        let mut plane_of = vec![NONE; self.facets.len()];
        let mut planes: Vec<Vec<u32>> = Vec::new();
        for start in (0..self.facets.len()).filter(|at| live[*at]) {
            if plane_of[start] != NONE {
                continue;
            }
            let plane = planes.len() as u32;
            let mut found = vec![start as u32];
            plane_of[start] = plane;
            let mut at = 0;
            while let Some(facet) = found.get(at).copied() {
                at += 1;
                for (other, level) in self.facets[facet as usize].beyond.iter().zip(levels[facet as usize]) {
                    if level && plane_of[*other as usize] == NONE {
                        plane_of[*other as usize] = plane;
                        found.push(*other);
                    }
                }
            }
            planes.push(found);
        }
        // A strict vertex lies in three planes, a corner on an edge in two, and a corner within a facet in one.
        let mut around: Vec<(u32, u32)> = Vec::new();
        for facet in (0..self.facets.len()).filter(|at| live[*at]) {
            around.extend(self.facets[facet].corners.map(|corner| (corner, plane_of[facet])));
        }
        around.par_sort_unstable();
        around.dedup();
        let mut true_corner = vec![false; self.points.len()];
        for planes in around.chunk_by(|a, b| a.0 == b.0) {
            true_corner[planes[0].0 as usize] = planes.len() >= 3;
        }
        let mut leads_to = vec![NONE; self.points.len()];
        let mut polygons = Vec::with_capacity(planes.len());
        for facets in &planes {
            let mut start = NONE;
            for facet in facets {
                let here = &self.facets[*facet as usize];
                for edge in 0..3 {
                    if plane_of[here.beyond[edge] as usize] != plane_of[*facet as usize] {
                        start = here.corners[edge];
                        leads_to[start as usize] = here.corners[(edge + 1) % 3];
                    }
                }
            }
            let (mut polygon, mut corner) = (Vec::new(), start);
            loop {
                if true_corner[corner as usize] {
                    polygon.push(corner);
                }
                corner = leads_to[corner as usize];
                if corner == start {
                    break;
                }
            }
            polygons.push(polygon);
        }
        polygons
    }

    fn in_order(&self, polygons: &[&[u32]]) -> Hull3 {
        let mut used = vec![false; self.points.len()];
        polygons.iter().flat_map(|polygon| *polygon).for_each(|corner| used[*corner as usize] = true);
        let mut vertices: Vec<u32> = (0..self.points.len() as u32).filter(|at| used[*at as usize]).collect();
        vertices.par_sort_unstable_by(|p, q| lexicographic(&self.points[*p as usize], &self.points[*q as usize]));
        let mut rank = vec![NONE; self.points.len()];
        (0..).zip(&vertices).for_each(|(at, vertex)| rank[*vertex as usize] = at);
        let mut triangles = Vec::with_capacity(polygons.len());
        for polygon in polygons {
            let lowest = (0..polygon.len()).min_by_key(|at| rank[polygon[*at] as usize]).unwrap_or(0);
            let corner = |step: usize| rank[polygon[(lowest + step) % polygon.len()] as usize];
            triangles.extend((1..polygon.len() - 1).map(|step| [corner(0), corner(step), corner(step + 1)]));
        }
        triangles.par_sort_unstable();
        let vertices = vertices.into_iter().map(|at| self.points[at as usize]).collect();
        Hull3 { vertices, triangles, dimension: 3 }
    }
}

/// The buffers for raising a point, reused from one point to the next.
#[derive(Default)]
struct Scratch {
    seen: Vec<u32>,
    /// The edges between facets that are seen and facets that are not, with the facet that is not seen.
    horizon: Vec<(u32, u32, u32)>,
    orphans: Vec<u32>,
    made: Vec<u32>,
    /// For each vertex, the new facet whose edge on the horizon starts there.
    starts_at: Vec<u32>,
}

/// The number of points above which they are sorted so that neighbours in space are neighbours in memory.
const ORDERED_MIN: usize = 1 << 14;

fn near_each_other(points: Vec<Point3>, corners: [u32; 4], extent: &Point3) -> (Vec<Point3>, [u32; 4]) {
    if points.len() < ORDERED_MIN {
        return (points, corners);
    }
    let low = [0, 1, 2].map(|axis| points.iter().fold(f64::INFINITY, |low, p| low.min(p[axis])));
    let cell = |p: &Point3| {
        let at = [0, 1, 2].map(|axis| ((p[axis] - low[axis]) / extent[axis] * 1023.0) as u64);
        spread(at[0]) | spread(at[1]) << 1 | spread(at[2]) << 2
    };
    let mut order: Vec<(u64, u32)> =
        points.par_iter().zip(0..points.len() as u32).map(|(p, at)| (cell(p), at)).collect();
    order.par_sort_unstable();
    let mut place = [0; 4];
    for (to, (_, from)) in order.iter().enumerate() {
        if let Some(corner) = corners.iter().position(|corner| corner == from) {
            place[corner] = to as u32;
        }
    }
    (order.iter().map(|(_, from)| points[*from as usize]).collect(), place)
}

/// Returns the lowest ten bits with two zeros between each (Z-order, G. M. Morton, 1966).
fn spread(x: u64) -> u64 {
    let mut x = x & 0x3ff;
    x = (x | x << 16) & 0x0300_00ff;
    x = (x | x << 8) & 0x0300_f00f;
    x = (x | x << 4) & 0x030c_30c3;
    (x | x << 2) & 0x0924_9249
}
