//! The convex hull of points in the plane or in space.
//!
//! `map` parses a batch of rows at a time and emits the hull of the batch, so that the kernel sees slices and only a few points
//! travel. Fragments are merged in the combiner and in the reducer. A hull of them is made only when that may halve the points
//! that are held, so the hull of n fragments costs a tree of merges instead of n passes over a growing set. There is one key
//! and one partition, and so one part.
//!
//! The part has the vertices in counter-clockwise order, from the one with the lowest x (of these, the lowest y), as lines
//! `x<TAB>y`. In space it is an OFF file: a line `OFF`, a line `VERTICES FACETS 0`, the vertices as lines `x y z`, and the
//! facets as lines `3 a b c`, which number vertices from 0 and go counter-clockwise as seen from outside.
//! Numbers are written with as few digits as are read back as the same number.

mod fragment;
mod points;

pub use points::{Column, PointFormat};

use crate::kernels::hull::{Point2, Point3, hull_2d, hull_3d};
use fragment::Fragment;
use kinglet_core::{
    Batch, Batches, Code, Combiner, Emitter, Error, Growth, Job, Row, Sink, UserResult, Values, Workload,
};
use serde::{Deserialize, Serialize};
use std::io::Write;

/// The job; see the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hull {
    /// How points are written.
    pub format: PointFormat,
}

impl Job for Hull {
    const NAME: &'static str = "hull";
    type Input = Batches<PointFormat>;
    type Key = ();
    type Value = Fragment;
    type Output = HullRow;

    fn input(&self) -> Batches<PointFormat> {
        Batches(self.format.clone())
    }

    fn map(&self, batch: Batch<'_, PointFormat>, out: &mut Emitter<'_, (), Fragment>) -> UserResult {
        let fragment = match self.format.dimensions() {
            3 => Fragment::of(hull_3d(&self.format.points(&batch)?)?.vertices),
            _ => Fragment::of(hull_2d(&self.format.points(&batch)?)?),
        };
        if fragment.is_empty() { Ok(()) } else { out.emit((), fragment) }
    }

    fn combiner(&self) -> Option<Combiner<Fragment>> {
        Some(Combiner::new(Fragment::merge))
    }

    /// Measured: 252 MB of CSV took eight map tasks 0.98 s in all, the fastest at 2.5 s a GB, beside other work. The vertices of a
    /// split are hundreds, whatever its size, unless the points lie on a curve.
    fn workload(&self) -> Workload {
        let vertices = Growth { bytes_at_gb: 20e3, exponent: 0.2 };
        Workload {
            map_s_per_gb: 3.2,
            reduce_s_per_gb: 100.0,
            map_s: 0.0,
            map_run_bytes: 0.0,
            runs: vertices,
            output: vertices,
            uncertainty: 2.0,
        }
    }

    fn reduce(&self, _: (), fragments: Values<'_, Fragment>, out: &mut Sink<'_, HullRow>) -> UserResult {
        let mut all = Fragment::default();
        fragments.for_each(|fragment| Fragment::merge(&mut all, fragment));
        if self.format.dimensions() == 3 {
            let hull = hull_3d(all.points())?;
            out.push(&HullRow::Off)?;
            out.push(&HullRow::Counts(hull.vertices.len(), hull.triangles.len()))?;
            hull.vertices.iter().try_for_each(|vertex| out.push(&HullRow::Space(*vertex)))?;
            hull.triangles.iter().try_for_each(|triangle| out.push(&HullRow::Triangle(*triangle)))
        } else {
            hull_2d(all.points())?.iter().try_for_each(|vertex| out.push(&HullRow::Plane(*vertex)))
        }
    }

    fn reduce_nothing(&self, _: &mut Sink<'_, HullRow>) -> UserResult {
        Err(Error::new(Code::NoPoints, "there are no points in the input, so there is no hull")
            .with_hint("name an input that has some")
            .into())
    }
}

/// A line of the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HullRow {
    /// A vertex in the plane.
    Plane(Point2),
    /// The first line of an OFF file.
    Off,
    /// The second line of an OFF file: the numbers of vertices and facets.
    Counts(usize, usize),
    /// A vertex in space.
    Space(Point3),
    /// A facet.
    Triangle([u32; 3]),
}

impl Row for HullRow {
    fn write_fields(&self, out: &mut Vec<u8>) {
        let numbers = |out: &mut Vec<u8>, numbers: &[f64], separator: u8| {
            for (at, number) in numbers.iter().enumerate() {
                if at > 0 {
                    out.push(separator);
                }
                write_number(*number, out);
            }
        };
        // Writing to a Vec cannot fail.
        let _ = match self {
            HullRow::Plane(point) => {
                numbers(out, point, b'\t');
                Ok(())
            }
            HullRow::Space(point) => {
                numbers(out, point, b' ');
                Ok(())
            }
            HullRow::Off => write!(out, "OFF"),
            HullRow::Counts(vertices, facets) => write!(out, "{vertices} {facets} 0"),
            HullRow::Triangle([a, b, c]) => write!(out, "3 {a} {b} {c}"),
        };
    }
}

/// Writes a number with as few digits as are read back as the same number, as `0.0001` or as `1e-4`, whichever is shorter.
fn write_number(number: f64, out: &mut Vec<u8>) {
    let (plain, powers) = (number.to_string(), format!("{number:e}"));
    let shorter = if powers.len() < plain.len() { powers } else { plain };
    out.extend_from_slice(shorter.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(number: f64) -> String {
        let mut out = vec![];
        write_number(number, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 1.0, -2.5, 0.1, 1e300, -5e-324, 123456.0, 1e5].map(shown);
        assert_eq!(shown, ["0", "1", "-2.5", "0.1", "1e300", "-5e-324", "123456", "1e5"]);
    }

    proptest! {
        #[test]
        fn numbers_come_back(x in any::<f64>().prop_filter("finite", |x| x.is_finite())) {
            prop_assert_eq!(shown(x).parse::<f64>().unwrap().to_bits(), x.to_bits());
        }
    }

    #[test]
    fn rows() {
        let mut out = vec![];
        for row in [
            HullRow::Plane([0.5, -1.0]),
            HullRow::Off,
            HullRow::Counts(4, 4),
            HullRow::Space([1.0, 2.0, 1e-9]),
            HullRow::Triangle([0, 1, 2]),
        ] {
            row.write_text(&mut out).unwrap();
        }
        assert_eq!(String::from_utf8(out).unwrap(), "0.5\t-1\nOFF\n4 4 0\n1 2 1e-9\n3 0 1 2\n");
    }
}
