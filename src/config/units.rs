//! Sizes and durations as people write them: `128MiB`, `100ms`.
//!
//! Both directions stand here, so that a message or a listing shows a value in a form that the
//! file accepts.

use std::time::Duration;

/// Units of a size with their bytes, smallest first.
const SIZES: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Units of a duration with their microseconds, smallest first.
const TIMES: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Reads a size such as `128MiB`; blanks before the unit are fine.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    parse(text, &SIZES)
}

/// Reads a duration such as `100ms`; blanks before the unit are fine.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &TIMES).map(Duration::from_micros)
}

/// Writes a size in the largest unit that divides it.
pub(crate) fn show_bytes(bytes: u64) -> String {
    show(bytes, &SIZES)
}

/// Writes a duration in the largest unit that divides it; below a microsecond it is cut.
pub(crate) fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), &TIMES)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

fn show(amount: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, factor): &&(&str, u64)| amount != 0 && amount.is_multiple_of(*factor);
    match units.iter().rev().find(fits).or(units.first()) {
        Some((name, factor)) => format!("{}{name}", amount / factor),
        None => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_in_binary_units() {
        assert_eq!(parse_bytes("128MiB"), Some(128 << 20));
        assert_eq!(parse_bytes(" 4 KiB "), Some(4096));
        assert_eq!(parse_bytes("7B"), Some(7));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "MiB", "128", "128MB", "-1KiB", "1.5MiB", "1 MiB MiB", "99999999999TiB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn durations_read_with_their_unit() {
        assert_eq!(parse_duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse_duration("7d"), Some(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse_duration("100"), None);
        assert_eq!(parse_duration("1h30m"), None);
    }

    #[test]
    fn values_are_shown_as_they_can_be_read() {
        for bytes in [0, 1, 1000, 4096, 128 << 20, 3 << 40] {
            assert_eq!(parse_bytes(&show_bytes(bytes)), Some(bytes));
        }
        assert_eq!(show_bytes(128 << 20), "128MiB");
        assert_eq!(show_duration(Duration::from_millis(100)), "100ms");
        assert_eq!(show_duration(Duration::from_secs(86_400)), "1d");
    }
}
