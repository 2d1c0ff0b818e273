//! Sizes, durations and times as people read and write them.

use std::fmt;
use std::time::Duration;

use indicatif::BinaryBytes;
use jiff::Timestamp;
use thiserror::Error;

use crate::config::units;

/// What was typed is no size.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("a size is a number of bytes, or one with a unit, such as 4096, 64KiB, 128MiB or 10GiB")]
pub(super) struct NoSize;

/// What was typed is no duration.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("a duration is a number with a unit, such as 500ms, 30s, 5m, 12h or 7d")]
pub(super) struct NoDuration;

/// What was typed is no age.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("an age is whole milliseconds or more, such as 500ms, 12h or 7d, or `never`")]
pub(super) struct NoAge;

/// Reads a size in bytes, with a unit or without.
pub(super) fn size(text: &str) -> Result<u64, NoSize> {
    text.parse().ok().or_else(|| units::parse_bytes(text)).ok_or(NoSize)
}

/// Reads a duration.
pub(super) fn duration(text: &str) -> Result<Duration, NoDuration> {
    match text {
        "0" => Ok(Duration::ZERO),
        text => units::parse_duration(text).ok_or(NoDuration),
    }
}

/// Reads an age in milliseconds; `never` is 0.
pub(super) fn age_ms(text: &str) -> Result<u64, NoAge> {
    if text == "never" {
        return Ok(0);
    }
    let age = duration(text).map_err(|NoDuration| NoAge)?;
    let is_whole = age.subsec_nanos().is_multiple_of(1_000_000);
    let whole = u64::try_from(age.as_millis()).ok().filter(|_| is_whole);
    whole.ok_or(NoAge)
}

/// A measured size, rounded.
pub(super) fn about_bytes(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// A size that was set: exact, so that it can be typed again. 0 is `none`.
pub(super) fn set_bytes(bytes: u64) -> String {
    if bytes == 0 { "none".to_owned() } else { units::show_bytes(bytes) }
}

/// An age that was set: exact, so that it can be typed again.
pub(super) fn set_age_ms(age_ms: u64) -> String {
    match age_ms {
        0 => "never".to_owned(),
        age_ms => units::show_duration(Duration::from_millis(age_ms)),
    }
}

/// A measured duration in its two largest units.
pub(super) fn about_us(duration_us: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let seconds = duration_us / 1_000_000;
    let Some(largest) = UNITS.iter().position(|(_, unit_s)| seconds >= *unit_s) else {
        return match duration_us / 1_000 {
            0 => format!("{duration_us}us"),
            ms => format!("{ms}ms"),
        };
    };
    let mut left = seconds;
    let parts = UNITS.iter().skip(largest).take(2).map(|(name, unit_s)| {
        let count = left / unit_s;
        left %= unit_s;
        (count, name)
    });
    let said = parts.filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count}{name}"));
    said.collect()
}

/// A point in time in microseconds since the Unix epoch, shown as RFC 3339 with so many digits of
/// its second as the format asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(pub(super) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = i64::try_from(self.0).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
        match (time, f.precision()) {
            (Some(time), Some(digits)) => write!(f, "{time:.digits$}"),
            (Some(time), None) => write!(f, "{time}"),
            (None, _) => write!(f, "{}us", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_read_with_and_without_units() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("64K"), Err(NoSize));
        assert_eq!(size("-1"), Err(NoSize));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("30"), Err(NoDuration));
        assert_eq!(age_ms("7d"), Ok(604_800_000));
        assert_eq!(age_ms("never"), Ok(0));
        assert_eq!(age_ms("1500us"), Err(NoAge));
        assert_eq!(age_ms("7"), Err(NoAge));
    }

    #[test]
    fn what_was_set_is_shown_as_it_can_be_typed() {
        assert_eq!(set_bytes(64 << 20), "64MiB");
        assert_eq!(set_bytes(0), "none");
        assert_eq!(set_age_ms(604_800_000), "7d");
        assert_eq!(set_age_ms(0), "never");
    }

    #[test]
    fn measured_values_are_rounded() {
        assert_eq!(about_bytes(370_669), "361.98 KiB");
        for (us, text) in [
            (0, "0us"),
            (999, "999us"),
            (1_999, "1ms"),
            (12_345_678, "12s"),
            (200_000_000, "3m20s"),
            (180_000_000, "3m"),
            (86_400_000_000 * 12 + 3_600_000_000 * 3 + 1, "12d3h"),
            (86_460_000_000, "1d"),
        ] {
            assert_eq!(about_us(us), text);
        }
    }

    #[test]
    fn times_are_shown_to_the_digits_asked_for() {
        let time = Time(1_795_375_000_120_000);
        assert_eq!(format!("{time:.6}"), "2026-11-22T19:16:40.120000Z");
        assert_eq!(format!("{time:.0}"), "2026-11-22T19:16:40Z");
        assert_eq!(format!("{:.0}", Time(u64::MAX)), "18446744073709551615us");
    }
}
