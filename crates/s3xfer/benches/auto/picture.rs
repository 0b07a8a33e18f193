//! The board as a picture: the share of networks on which each rule stays below a ratio to the best fixed pair.

use std::fmt::Write as _;

use crate::table::Row;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 48.0;
const COLOURS: [&str; 10] =
    ["#d55e00", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#999999", "#8c6d31", "#6b4c9a", "#b0a000"];

/// An SVG with a line for each rule.
pub(crate) fn svg(rows: &[Row]) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<title>Share of networks on which each rule stays below a ratio to the best fixed pair</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for step in 0..=5 {
        let share = f64::from(step) / 5.0;
        let (x, y) = place(1.1 * share, share);
        let _ = writeln!(
            text,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>",
            WIDTH - RIGHT
        );
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            LEFT - 6.0,
            y + 4.0,
            100.0 * share
        );
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{:.2}</text>",
            HEIGHT - BOTTOM + 18.0,
            1.1 * share
        );
    }
    let names: Vec<&str> = rows.first().map_or_else(Vec::new, |row| row.others.iter().map(|(name, _)| *name).collect());
    let mut lines: Vec<(&str, &str, f64, Vec<f64>)> = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let ratio =
                |row: &Row| row.others.iter().find(|(other, _)| other == name).map_or(0.0, |(_, s)| row.best / s);
            (*name, COLOURS[number % COLOURS.len()], 1.5, rows.iter().map(ratio).collect())
        })
        .collect();
    lines.push(("s3xfer", "#000000", 3.0, rows.iter().map(Row::ratio).collect()));
    for (number, (name, colour, width, mut ratios)) in lines.into_iter().enumerate() {
        ratios.sort_by(f64::total_cmp);
        let mut points = String::new();
        for (rank, ratio) in ratios.iter().enumerate() {
            let (x, y) = place(ratio.min(1.1), rank as f64 / ratios.len() as f64);
            let _ = write!(points, "{x:.1},{y:.1} ");
        }
        let _ = writeln!(
            text,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
        );
        let (x, y) = (WIDTH - RIGHT + 14.0, TOP + 14.0 + 20.0 * number as f64);
        let _ = writeln!(
            text,
            "<line x1=\"{x}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
            x + 18.0
        );
        let _ = writeln!(text, "<text x=\"{}\" y=\"{}\">{name}</text>", x + 24.0, y + 4.0);
    }
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">time of the best fixed pair over the rule's (1 is as good)</text>\n</svg>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0
    );
    text
}

fn place(ratio: f64, share: f64) -> (f64, f64) {
    let x = LEFT + (WIDTH - LEFT - RIGHT) * ratio / 1.1;
    (x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share)
}
