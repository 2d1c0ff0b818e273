//! Durations in the form of Go's `time.ParseDuration`, as cfssl writes them: `8760h`, `1h30m`.

use std::time::Duration;

use super::fault::{Fault, Wrong};
use super::json::Node;

/// The units with their length in nanoseconds.
const UNITS: [(&str, u128); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ns", 1),
];
/// The most digits that a number may have before or after its point.
const DIGITS_MAX: usize = 15;

/// Reads a text as a duration.
pub(super) fn read(node: &Node) -> Result<Duration, Wrong> {
    let text = node.text()?;
    parse(text).ok_or_else(|| node.wrong(Fault::Duration { given: text.to_owned() }))
}

/// A sequence of numbers, each with its unit and perhaps a fraction.
fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut sum_ns = 0_u128;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), split_digits);
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let (_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum_ns += number(whole, fraction, *unit_ns)?;
        rest = after;
    }
    let seconds = u64::try_from(sum_ns / 1_000_000_000).ok()?;
    let nanoseconds = u32::try_from(sum_ns % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, nanoseconds))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// `whole.fraction` units, with one of the two at least.
fn number(whole: &str, fraction: &str, unit_ns: u128) -> Option<u128> {
    let is_good = |digits: &str| digits.len() <= DIGITS_MAX;
    if !is_good(whole) || !is_good(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits = |text: &str| text.bytes().fold(0, |sum, c| sum * 10 + u128::from(c - b'0'));
    let scale = fraction.bytes().fold(1, |scale, _| scale * 10);
    Some(digits(whole) * unit_ns + digits(fraction) * unit_ns / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_does() {
        for (text, milliseconds) in [
            ("8760h", 8_760 * 3_600_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1_000),
            ("+2m", 120_000),
            ("1h1m1s1ms", 3_661_001),
            ("2500us", 2),
            ("0s", 0),
        ] {
            let parsed = parse(text).map(|duration| duration.as_millis());
            assert_eq!(parsed, Some(milliseconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        let long = format!("{}h", "9".repeat(60));
        for text in [
            "",
            "+",
            "1",
            "h",
            "1d",
            "365d",
            "1 h",
            " 1h",
            "-1h",
            "1.h.",
            ".h",
            "1hh",
            "1H",
            "1.5",
            "1h-3m",
            "\u{661}h",
            "9999999999999999h",
            "1year",
            &long,
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
