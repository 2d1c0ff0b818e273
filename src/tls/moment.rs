//! A point in time to the second, as certificates have it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use serde::{Serialize, Serializer};

const DAY_S: i64 = 86_400;

/// Seconds since the Unix epoch, shown and serialized as `2026-11-22T19:15:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    unix_s: i64,
}

impl Moment {
    /// The moment that many seconds after (or before) 1970 began.
    #[must_use]
    pub const fn from_unix_s(unix_s: i64) -> Self {
        Self { unix_s }
    }

    /// The host's wall clock now.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { unix_s: i64::try_from(since.as_secs()).unwrap_or(i64::MAX) }
    }

    /// Seconds since 1970 began.
    #[must_use]
    pub const fn unix_s(self) -> i64 {
        self.unix_s
    }

    /// This moment and `later` more, in whole seconds.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        let later_s = i64::try_from(later.as_secs()).unwrap_or(i64::MAX);
        Self { unix_s: self.unix_s.saturating_add(later_s) }
    }

    /// This moment and `sooner` less, in whole seconds.
    #[must_use]
    pub fn minus(self, sooner: Duration) -> Self {
        let sooner_s = i64::try_from(sooner.as_secs()).unwrap_or(i64::MAX);
        Self { unix_s: self.unix_s.saturating_sub(sooner_s) }
    }

    /// Whole days from this moment to `other`; below zero if it lies behind.
    #[must_use]
    pub const fn days_until(self, other: Self) -> i64 {
        other.unix_s.saturating_sub(self.unix_s).div_euclid(DAY_S)
    }

    pub(crate) fn from_asn1(time: &Asn1TimeRef) -> Result<Self, ErrorStack> {
        let gap = Asn1Time::from_unix(0)?.diff(time)?;
        Ok(Self { unix_s: i64::from(gap.days) * DAY_S + i64::from(gap.secs) })
    }

    pub(crate) fn to_asn1(self) -> Result<Asn1Time, ErrorStack> {
        Asn1Time::from_unix(self.unix_s)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.unix_s.div_euclid(DAY_S));
        let second = self.unix_s.rem_euclid(DAY_S);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Year, month and day of a day counted from 1970-01-01, after Howard Hinnant's
/// `civil_from_days`: years start in March, so that the leap day is a year's last.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let january_or_february = if month <= 2 { 1 } else { 0 };
    (year_of_era + era * 400 + january_or_february, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_as_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_375_000, "2026-11-22T19:16:40Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ];
        for (unix_s, text) in cases {
            assert_eq!(Moment::from_unix_s(unix_s).to_string(), text);
        }
    }

    #[test]
    fn moments_cross_into_certificates_and_back() {
        for unix_s in [0, 1_795_375_000, 2_524_607_999, 2_524_608_000, 253_402_300_799] {
            let moment = Moment::from_unix_s(unix_s);
            assert_eq!(Moment::from_asn1(&moment.to_asn1().unwrap()).unwrap(), moment);
        }
    }

    #[test]
    fn days_left_are_whole_and_negative_once_past() {
        let now = Moment::from_unix_s(1_000_000);
        assert_eq!(now.days_until(now.plus(Duration::from_secs(86_400 * 2 - 1))), 1);
        assert_eq!(now.days_until(now.minus(Duration::from_secs(1))), -1);
    }
}
