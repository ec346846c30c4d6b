//! A picture of time against cost: a point for each size, joined in the order of memory.

use super::choice::{Choices, Size};
use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
/// Left, right, top and bottom.
const MARGINS: [f64; 4] = [80.0, 40.0, 50.0, 60.0];

/// Draws the sizes, of which there is at least one: time to the right, cost upwards, both from 0.
pub(super) fn draw(name: &str, sizes: &[Size], choices: &Choices) -> String {
    let [left, right, top, bottom] = MARGINS;
    let most = |of: fn(&Size) -> f64| nice(sizes.iter().map(of).fold(0.0, f64::max));
    let (time_max, usd_max) = (most(|s| s.time_s), most(|s| s.usd * 1e3));
    let x = |time_s: f64| left + time_s / time_max * (WIDTH - left - right);
    let y = |usd_1000: f64| HEIGHT - bottom - usd_1000 / usd_max * (HEIGHT - top - bottom);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"24\" font-size=\"15\">{}: time and cost by memory</text>\n",
        escape(name)
    );
    // Writing to a string cannot fail.
    for n in 0..=5 {
        let (time, usd) = (time_max * f64::from(n) / 5.0, usd_max * f64::from(n) / 5.0);
        let (x, y) = (x(time), y(usd));
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {top}V{0:.1}M{left} {y:.1}H{1:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{2:.1}\" text-anchor=\"middle\">{3}</text>\
             <text x=\"{4:.1}\" y=\"{5:.1}\" text-anchor=\"end\">{6}</text>",
            HEIGHT - bottom,
            WIDTH - right,
            HEIGHT - bottom + 18.0,
            short(time),
            left - 8.0,
            y + 4.0,
            short(usd)
        );
    }
    let middle = (top + HEIGHT - bottom) / 2.0;
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">billed time of the job, s</text>\
         <text transform=\"translate(18 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">$ for 1,000 jobs</text>",
        (left + WIDTH - right) / 2.0,
        HEIGHT - 16.0
    );
    let mut ordered: Vec<&Size> = sizes.iter().collect();
    ordered.sort_by_key(|size| size.memory_mb);
    let points: Vec<_> = ordered.iter().map(|size| format!("{:.1},{:.1}", x(size.time_s), y(size.usd * 1e3))).collect();
    let _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#888\"/>", points.join(" "));
    for size in ordered {
        let titles = [(choices.cheapest, "cheapest"), (choices.fastest, "fastest"), (choices.balanced, "balanced")];
        let titles: Vec<_> = titles.iter().filter(|(mb, _)| *mb == size.memory_mb).map(|(_, title)| *title).collect();
        let (fill, title) = if titles.is_empty() {
            ("#4878a8", String::new())
        } else {
            ("#c03030", format!(", {}", titles.join(", ")))
        };
        let (x, y) = (x(size.time_s), y(size.usd * 1e3));
        // To the left of the point if there is no room to the right.
        let (anchor, text_x) = if x > WIDTH * 0.7 { ("end", x - 8.0) } else { ("start", x + 8.0) };
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\"/>\
             <text x=\"{text_x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{} MB{title}</text>",
            y - 8.0,
            size.memory_mb
        );
    }
    svg + "</svg>\n"
}

/// The next of 1, 2, 2.5 and 5 times a power of ten that is not less.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].map(|n| n * power).into_iter().find(|n| *n >= value).unwrap_or(value)
}

/// Three digits at most, without zeros at the end.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::choice::Run;
    use super::*;

    #[test]
    fn every_size_has_a_point_inside_the_picture() {
        let run = |memory_mb, ms| Run::of([("kinglet-mapper", ms, memory_mb)].into_iter(), ms);
        let sizes = [Size::of(1024, &[run(1024, 900)]), Size::of(128, &[run(128, 6_000)])];
        let svg = draw("a<b", &sizes, &Choices::of(&sizes, None, None));
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(
            svg.contains("a&lt;b") && svg.contains("1024 MB, fastest") && svg.contains("128 MB, cheapest"),
            "{svg}"
        );
        for (at, _) in svg.match_indices("cx=\"") {
            let number: f64 = svg[at + 4..].split('"').next().unwrap().parse().unwrap();
            assert!((0.0..=WIDTH).contains(&number));
        }
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([0.9, 1.0, 1.1, 2.2, 3.0, 7.0].map(nice), [1.0, 1.0, 2.0, 2.5, 5.0, 10.0]);
        assert_eq!([0.0, 0.25, 2.5, 10.0].map(short), ["0", "0.25", "2.5", "10"]);
    }
}
