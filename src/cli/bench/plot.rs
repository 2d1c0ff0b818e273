//! Latency percentiles as a picture.
//!
//! Written by hand: it is two axes and a line or two, for which a plotting crate with its fonts and
//! backends would be the largest thing in the program. The horizontal axis has as much room for the
//! last percent as for the first ninety, as latencies are commonly drawn.

use std::fmt::Write as _;

use super::meter::Latencies;
use super::report::{float, thousands};

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;
/// How many nines the axis has room for.
const NINES_MAX: f64 = 5.0;
const COLOURS: [&str; 2] = ["#1f5fa8", "#b8441c"];
const TICKS: [(&str, f64); 6] =
    [("0%", 0.0), ("90%", 1.0), ("99%", 2.0), ("99.9%", 3.0), ("99.99%", 4.0), ("99.999%", 5.0)];

/// Draws each of `lines`, which have names, under `title`.
pub(super) fn svg(title: &str, lines: &[(&str, &Latencies)]) -> String {
    let max_ns = lines.iter().map(|(_, latencies)| latencies.max()).max().unwrap_or_default();
    let min_ns = lines.iter().map(|(_, latencies)| latencies.min()).min().unwrap_or_default();
    let scale = Scale::new(min_ns, max_ns);
    let mut text = head(title);
    grid(&mut text, &scale);
    for ((name, latencies), (place, colour)) in lines.iter().zip((0_u32..).zip(COLOURS)) {
        let points: Vec<String> = points(latencies)
            .map(|(nines, ns)| format!("{:.1},{:.1}", across(nines), scale.up(ns)))
            .collect();
        let points = points.join(" ");
        put(
            &mut text,
            format_args!(
                "<polyline fill='none' stroke='{colour}' stroke-width='2' points='{points}'/>"
            ),
        );
        let y = TOP - 8.0;
        let x = LEFT + f64::from(place) * 200.0;
        put(
            &mut text,
            format_args!("<text x='{x}' y='{y}' fill='{colour}'>{}</text>", escaped(name)),
        );
    }
    text.push_str("</svg>\n");
    text
}

/// The vertical axis: powers of ten of microseconds.
struct Scale {
    low: i32,
    high: i32,
}

impl Scale {
    fn new(min_ns: u64, max_ns: u64) -> Self {
        let magnitude = |ns: u64| i32::try_from(ns.max(1).ilog10()).unwrap_or_default();
        let (low, high) = (magnitude(min_ns), magnitude(max_ns) + 1);
        Self { low, high: high.max(low + 1) }
    }

    /// Where a latency stands.
    fn up(&self, ns: u64) -> f64 {
        let part =
            (float(ns.max(1)).log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }
}

/// How many nines a part of all has, beside the latency that it stays below.
fn points(latencies: &Latencies) -> impl Iterator<Item = (f64, u64)> {
    let steps = 100_u32;
    let nines = (0..=steps).map(move |step| NINES_MAX * f64::from(step) / f64::from(steps));
    // Beyond as many as there are measurements the line would only repeat the largest.
    let known = float(latencies.len().max(1)).log10();
    nines
        .take_while(move |nines| *nines <= known)
        .map(|nines| (nines, latencies.value_at_quantile(1.0 - 10_f64.powf(-nines))))
}

fn across(nines: f64) -> f64 {
    LEFT + nines / NINES_MAX * (WIDTH - LEFT - RIGHT)
}

fn head(title: &str) -> String {
    let mut text = String::new();
    put(
        &mut text,
        format_args!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' \
             font-family='sans-serif' font-size='13'>"
        ),
    );
    put(&mut text, format_args!("<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>"));
    put(
        &mut text,
        format_args!("<text x='{LEFT}' y='22' font-size='16'>{}</text>", escaped(title)),
    );
    text
}

fn grid(text: &mut String, scale: &Scale) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for power in scale.low..=scale.high {
        let ns = 10_u64.saturating_pow(u32::try_from(power).unwrap_or_default());
        let (y, us) = (scale.up(ns), float(ns) / 1e3);
        let label = if us < 1.0 { us.to_string() } else { thousands(us) };
        line(text, (LEFT, y), (right, y));
        put(
            text,
            format_args!(
                "<text x='{}' y='{}' text-anchor='end'>{label} us</text>",
                LEFT - 8.0,
                y + 4.0
            ),
        );
    }
    for (label, nines) in TICKS {
        let x = across(nines);
        line(text, (x, TOP), (x, bottom));
        let y = bottom + 20.0;
        put(text, format_args!("<text x='{x}' y='{y}' text-anchor='middle'>{label}</text>"));
    }
}

fn line(text: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    put(
        text,
        format_args!(
            "<line x1='{x1:.1}' y1='{y1:.1}' x2='{x2:.1}' y2='{y2:.1}' stroke='#dddddd'/>"
        ),
    );
}

fn put(text: &mut String, part: std::fmt::Arguments<'_>) {
    // A string takes whatever is written to it.
    let _ = writeln!(text, "{part}");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::meter::latencies;
    use super::*;

    #[test]
    fn a_line_rises_from_the_left_to_the_right_within_the_picture() {
        let mut measured = latencies();
        for us in 1..=10_000 {
            measured.record(us * 1000).unwrap();
        }
        let scale = Scale::new(measured.min(), measured.max());
        let drawn: Vec<_> = points(&measured).map(|(x, ns)| (across(x), scale.up(ns))).collect();
        assert!(drawn.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 >= pair[1].1));
        assert!(drawn.iter().all(|(x, y)| {
            (LEFT..=WIDTH - RIGHT).contains(x) && (TOP..=HEIGHT - BOTTOM).contains(y)
        }));
        // 10,000 measurements tell of four nines and not of five.
        assert_eq!(drawn.len(), 81);
    }

    #[test]
    fn the_names_of_the_lines_are_in_the_picture() {
        let mut measured = latencies();
        measured.record(1_000).unwrap();
        let text = svg("a < b", &[("one", &measured), ("two", &measured)]);
        for part in ["<svg ", ">one</text>", ">two</text>", "a &lt; b", "</svg>"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
