//! What a hull in space is: its vertices and its triangles.

use super::sign::Point3;

/// The hull of points in space.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hull3 {
    /// The strict vertices, sorted by x, then y, then z. For points in one plane they are in the order of the polygon, from the
    /// lowest vertex, counter-clockwise as seen from the side to which the triangles' normal points. For points on one line
    /// they are its two ends.
    pub vertices: Vec<Point3>,
    /// Triangles of positions in `vertices`, counter-clockwise as seen from outside, each from its lowest position, in
    /// ascending order. A facet with more corners is cut into a fan from its lowest vertex. For points in one plane this is
    /// the polygon's fan, once; the first component of its normal that is not zero is positive.
    pub triangles: Vec<[u32; 3]>,
    /// 3 for a body, 2 for points in one plane, 1 for points on one line, 0 for one point or none.
    pub dimension: u8,
}
