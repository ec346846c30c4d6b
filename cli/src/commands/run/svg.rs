//! A hull as a picture.

use kinglet::{Code, Error, Result};
use std::fmt::Write;

/// The longer side of the picture, and what is left free around the hull.
const SIZE: f64 = 1000.0;
const MARGIN: f64 = 60.0;

/// A hull of more vertices is drawn without a dot for each.
const DOTS_MAX: usize = 2000;

/// Draws the part of a hull in the plane: lines `x<TAB>y`, counter-clockwise.
pub(crate) fn draw(part: &[u8]) -> Result<String> {
    let vertices = read(part)?;
    let extent = |axis: usize| {
        let all = vertices.iter().map(|v| v[axis]);
        all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    };
    let ((x_min, x_max), (y_min, y_max)) = (extent(0), extent(1));
    // Halves, so that even the widest hull has a finite width.
    let longer = (x_max / 2.0 - x_min / 2.0).max(y_max / 2.0 - y_min / 2.0);
    // The place of a point in the picture, whose y axis points down.
    let along = |x: f64, from: f64| if longer > 0.0 { (x / 2.0 - from / 2.0) / longer * SIZE } else { 0.0 };
    let (width, height) = (along(x_max, x_min), along(y_max, y_min));
    let place = |v: &[f64; 2]| (MARGIN + along(v[0], x_min), MARGIN + height - along(v[1], y_min));

    let mut svg = String::new();
    let (whole_width, whole_height) = (width + 2.0 * MARGIN, height + 2.0 * MARGIN);
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole_width:.2} {whole_height:.2}" font-family="sans-serif">"#
    );
    let _ = writeln!(svg, "<title>Convex hull of {} vertices</title>", vertices.len());
    let _ = writeln!(svg, r#"<rect width="100%" height="100%" fill="white"/>"#);
    svg.push_str(r##"<polygon fill="#dbeafe" stroke="#1d4ed8" stroke-width="2" stroke-linejoin="round" points=""##);
    for (at, vertex) in vertices.iter().enumerate() {
        let (x, y) = place(vertex);
        let _ = write!(svg, "{}{x:.2},{y:.2}", if at > 0 { " " } else { "" });
    }
    svg.push_str("\"/>\n");
    if vertices.len() <= DOTS_MAX {
        svg.push_str("<g fill=\"#1d4ed8\">\n");
        for vertex in &vertices {
            let (x, y) = place(vertex);
            let _ = writeln!(svg, r#"<circle cx="{x:.2}" cy="{y:.2}" r="4"/>"#);
        }
        svg.push_str("</g>\n");
    }
    let (right, bottom) = (MARGIN + width, MARGIN + height);
    let y_text = bottom + MARGIN * 0.6;
    let _ = writeln!(
        svg,
        r##"<g font-size="18" fill="#374151">
<text x="{MARGIN:.2}" y="{y_text:.2}">x {x_min:?} to {x_max:?}, y {y_min:?} to {y_max:?}</text>
<text x="{right:.2}" y="{:.2}" text-anchor="end">{} vertices</text>
</g>
</svg>"##,
        MARGIN * 0.6,
        vertices.len()
    );
    Ok(svg)
}

fn read(part: &[u8]) -> Result<Vec<[f64; 2]>> {
    let vertex = |line: &str| {
        let (x, y) = line.split_once('\t')?;
        Some([x.parse().ok()?, y.parse().ok()?])
    };
    let text = std::str::from_utf8(part).unwrap_or_default();
    let vertices: Option<Vec<_>> = text.lines().map(vertex).collect();
    vertices
        .filter(|vertices| !vertices.is_empty())
        .ok_or_else(|| Error::new(Code::Part, "drawing the hull: its part is not lines of x<TAB>y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hull_of_any_size_is_drawn_within_its_frame() {
        for part in
            ["0\t0\n", "0\t0\n1\t1\n", "-1.7e308\t0\n1.7e308\t-1.7e308\n0\t1.7e308\n", "0\t0\n5e-324\t0\n0\t5e-324\n"]
        {
            let svg = draw(part.as_bytes()).unwrap();
            assert!(!svg.contains("NaN\"") && !svg.contains("inf"), "{svg}");
            for circle in svg.lines().filter(|line| line.starts_with("<circle")) {
                let number =
                    |name: &str| circle.split(name).nth(1).unwrap().split('"').nth(1).unwrap().parse::<f64>().unwrap();
                assert!((0.0..=1120.0).contains(&number("cx=")) && (0.0..=1120.0).contains(&number("cy=")), "{circle}");
            }
        }
        // The lowest point is drawn lowest, which is the largest y of a picture.
        let svg = draw(b"0\t0\n2\t0\n2\t1\n").unwrap();
        assert!(svg.contains(r#"points="60.00,560.00 1060.00,560.00 1060.00,60.00""#), "{svg}");
        assert!(draw(b"").is_err() && draw(b"OFF\n").is_err());
    }
}
