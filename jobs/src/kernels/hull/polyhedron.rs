//! What a hull in space is: its vertices and its triangles.

use super::sign::Point3;

/// The hull of points in space.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hull3 {
    /// The strict vertices by x, then y, then z. Of points in one plane: in the order of the polygon, which is
    /// counter-clockwise as seen from where the triangles' normal points to, from the lowest vertex. Of points on one line:
    /// its two ends.
    pub vertices: Vec<Point3>,
    /// Triangles of positions in `vertices`, counter-clockwise as seen from outside, each from its lowest position, in
    /// ascending order. A facet with more corners is cut in a fan from its lowest vertex. Of points in one plane: that
    /// polygon's fan, once, the first component of its normal that is not zero being positive.
    pub triangles: Vec<[u32; 3]>,
    /// 3 for a body, 2 for points in one plane, 1 for points on one line, 0 for one point or none.
    pub dimension: u8,
}
