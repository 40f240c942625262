//! Lines over time as an SVG picture.

use std::fmt::Write as _;

/// A named line: values at equal distances.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) values: Vec<f64>,
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 60.0;
const COLOURS: [&str; 6] = ["#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b"];

/// Draws lines whose values are `step` seconds apart.
pub(super) fn draw(title: &str, unit: &str, step: f64, lines: &[Line]) -> String {
    let most = lines.iter().flat_map(|line| &line.values).copied().fold(1.0, f64::max);
    let longest = lines.iter().map(|line| line.values.len()).max().unwrap_or(1).max(2);
    let (wide, high) = (WIDTH - 2.0 * MARGIN, HEIGHT - 2.0 * MARGIN);
    let x = |n: f64| MARGIN + n / (longest - 1) as f64 * wide;
    let y = |value: f64| HEIGHT - MARGIN - value / most * high;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"24\" font-size=\"15\">{title}</text>\n"
    );
    for quarter in 0..=4 {
        let value = most * f64::from(quarter) / 4.0;
        let (left, right, at) = (MARGIN, WIDTH - MARGIN, y(value));
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "<line x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>",
            left - 6.0,
            at + 4.0
        );
        let seconds = (longest - 1) as f64 * step * f64::from(quarter) / 4.0;
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{seconds:.0} s</text>",
            x((longest - 1) as f64 * f64::from(quarter) / 4.0),
            HEIGHT - MARGIN + 18.0
        );
    }
    let _ = writeln!(out, "<text x=\"{MARGIN}\" y=\"46\" fill=\"#555555\">{unit}</text>");
    for (n, line) in lines.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let points = line.values.iter().enumerate();
        let points: Vec<String> =
            points.map(|(at, &value)| format!("{:.1},{:.1}", x(at as f64), y(value))).collect();
        let _ = writeln!(
            out,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            points.join(" "),
            MARGIN + 110.0 * n as f64 + 120.0,
            46.0,
            line.name
        );
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_a_point_inside_the_picture() {
        let lines = [Line { name: "a".into(), values: vec![0.0, 5.0, 10.0] }];
        let svg = draw("t", "u", 1.0, &lines);
        let points = svg.split("points=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a line");
        assert_eq!(points, "60.0,300.0 450.0,180.0 840.0,60.0");
    }
}
