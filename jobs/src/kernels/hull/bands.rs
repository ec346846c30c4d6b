//! A table that tells which points surely lie inside a convex polygon. The polygon's height is cut into bands, and each band
//! has the interval of x that is inside at every y of the band.
//!
//! ```text
//!        ┌───╮        band 3   no interval: it reaches the top
//!      ╭─┘░░░│        band 2   ░ what is looked up as inside
//!     ╭┘░░░░░╰╮       band 1   a band's interval is the narrower of its two edges',
//!     ╰───────╯       band 0   as the polygon is convex
//! ```

use super::sign::Point2;

/// How many bands there are. They fit into a core's second-level cache along with the points that stream by, and waste 0.1 % of
/// the polygon.
const BANDS: usize = 2048;

pub(super) struct Bands {
    y_min: f64,
    per_y: f64,
    /// The intervals, by band. Before the first and after the last band there is one in which nothing is inside.
    inside: Vec<[f64; 2]>,
}

const NOTHING: [f64; 2] = [f64::INFINITY, f64::NEG_INFINITY];

impl Bands {
    /// Makes the table of a polygon in counter-clockwise order, or `None` if rounding would make it worthless.
    pub(super) fn new(polygon: &[Point2]) -> Option<Self> {
        let low_high = |axis: usize| {
            polygon
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| (low.min(p[axis]), high.max(p[axis])))
        };
        let ((x_min, x_max), (y_min, y_max)) = (low_high(0), low_high(1));
        let (width, height) = (x_max - x_min, y_max - y_min);
        let usual = |x: f64| (1e-280..1e280).contains(&x);
        if polygon.len() < 3 || !usual(width) || !usual(height) {
            return None;
        }
        let band = height / BANDS as f64;
        // Upper bounds of how far rounding may move y relative to a band's edges, and x relative to the polygon's sides.
        let y_slack = band * 1e-6 + 8.0 * f64::EPSILON * y_min.abs().max(y_max.abs());
        let x_slack = 64.0 * f64::EPSILON * (width + x_min.abs().max(x_max.abs()));
        if y_slack > band / 4.0 || x_slack > width / 4.0 {
            return None;
        }
        let edges = || polygon.iter().zip(polygon.iter().cycle().skip(1));
        // In counter-clockwise order the left side goes downwards.
        let mut left: Vec<_> = edges().filter(|(p, q)| q[1] < p[1]).map(|(p, q)| (*q, *p)).collect();
        let mut right: Vec<_> = edges().filter(|(p, q)| q[1] > p[1]).map(|(p, q)| (*p, *q)).collect();
        let upwards = |a: &(Point2, Point2), b: &(Point2, Point2)| a.0[1].total_cmp(&b.0[1]);
        left.sort_by(upwards);
        right.sort_by(upwards);
        let x_at = |side: &[(Point2, Point2)], y: f64| {
            let (p, q) = side[side.partition_point(|(_, q)| q[1] < y).min(side.len() - 1)];
            p[0] + (y - p[1]) / (q[1] - p[1]) * (q[0] - p[0])
        };
        let mut inside = vec![NOTHING];
        for n in 0..BANDS {
            let (low, high) = (y_min + band * n as f64 - y_slack, y_min + band * (n + 1) as f64 + y_slack);
            inside.push(if low < y_min || high > y_max {
                NOTHING
            } else {
                let from = x_at(&left, low).max(x_at(&left, high)) + x_slack;
                let to = x_at(&right, low).min(x_at(&right, high)) - x_slack;
                if from < to { [from, to] } else { NOTHING }
            });
        }
        inside.push(NOTHING);
        Some(Bands { y_min, per_y: BANDS as f64 / height, inside })
    }

    /// Returns whether a point surely lies inside; `false` for a point that is not finite.
    #[inline(always)]
    pub(super) fn contains(&self, point: &Point2) -> bool {
        // NaN becomes 0, and a point beyond the table gets its first or last entry.
        let at = ((point[1] - self.y_min) * self.per_y + 1.0) as usize;
        let [from, to] = self.inside[at.min(BANDS + 1)];
        from < point[0] && point[0] < to
    }
}
