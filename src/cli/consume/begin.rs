//! Where reading begins, as it is typed.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use thiserror::Error;

use crate::cli::human;
use crate::proto::log_service::Edge;
use crate::proto::log_service::consume_request::Start;

/// A time in microseconds below this is before the year 2000: an offset was meant.
const TIME_MIN_US: u64 = 946_684_800_000_000;

/// An offset, or the oldest or newest place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    At(u64),
    Start,
    End,
}

/// A time, or the oldest or newest place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum From {
    Earliest,
    Latest,
    /// Microseconds since the Unix epoch.
    Time(u64),
    Ago(Duration),
}

/// What was typed is no place in a log.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("an offset is a whole number from 0, or `start`, or `end`")]
pub(super) struct NoPlace;

/// What was typed is no time.
#[derive(Debug, PartialEq, Eq, Error)]
pub(in crate::cli) enum NoTime {
    #[error(
        "a time is `earliest`, `latest`, a time of day such as 2026-11-22T19:16:40Z, microseconds \
         since 1970, or how long ago, such as 5m"
    )]
    Unreadable,
    #[error("{0} microseconds since 1970 is before the year 2000; for an offset there is --offset")]
    Early(u64),
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        match text {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            number => number.parse().map(Self::At).or(Err(NoPlace)),
        }
    }
}

impl FromStr for From {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Ok(us) = text.parse::<u64>() {
            return if us < TIME_MIN_US { Err(NoTime::Early(us)) } else { Ok(Self::Time(us)) };
        }
        if let Ok(ago) = human::duration(text) {
            return Ok(Self::Ago(ago));
        }
        let time = text.parse::<Timestamp>().map_err(|_| NoTime::Unreadable)?;
        u64::try_from(time.as_microsecond()).map(Self::Time).or(Err(NoTime::Unreadable))
    }
}

impl Place {
    pub(super) fn start(self) -> Start {
        match self {
            Self::At(offset) => Start::Offset(offset),
            Self::Start => Start::Edge(Edge::EDGE_EARLIEST.into()),
            Self::End => Start::Edge(Edge::EDGE_LATEST.into()),
        }
    }
}

impl From {
    /// How long ago is counted by the clock of this host.
    pub(super) fn start(self, now: SystemTime) -> Start {
        match self {
            Self::Earliest => Place::Start.start(),
            Self::Latest => Place::End.start(),
            Self::Time(us) => Start::TimeUs(us),
            Self::Ago(ago) => {
                let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(ago);
                Start::TimeUs(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_offsets_or_edges() {
        assert_eq!("7".parse(), Ok(Place::At(7)));
        assert_eq!("start".parse(), Ok(Place::Start));
        assert_eq!("end".parse(), Ok(Place::End));
        for text in ["", "first", "-1", "1.5"] {
            assert_eq!(text.parse::<Place>(), Err(NoPlace), "{text}");
        }
    }

    #[test]
    fn times_read_in_every_form() {
        for (text, from) in [
            ("earliest", From::Earliest),
            ("latest", From::Latest),
            ("2026-11-22T19:16:40Z", From::Time(1_795_375_000_000_000)),
            ("2026-11-22T20:16:40.5+01:00", From::Time(1_795_375_000_500_000)),
            ("1795375000000001", From::Time(1_795_375_000_000_001)),
            ("5m", From::Ago(Duration::from_secs(300))),
        ] {
            assert_eq!(text.parse(), Ok(from), "{text}");
        }
        for text in ["", "5", "5 minutes", "2026-11-22", "2026-11-22T19:16:40", "1950-01-01T00:00Z"]
        {
            assert!(text.parse::<From>().is_err(), "{text}");
        }
        assert!("42".parse::<From>().unwrap_err().to_string().contains("--offset"));
    }

    #[test]
    fn how_long_ago_is_counted_from_now() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let ago = From::Ago(Duration::from_secs(300)).start(now);
        assert_eq!(ago, Start::TimeUs(700_000_000));
        assert_eq!(From::Ago(Duration::from_secs(2_000)).start(now), Start::TimeUs(0));
    }
}
