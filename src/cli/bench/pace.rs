//! When requests are due.
//!
//! A paced request counts from when it was due and not from when it could be sent: else a server
//! that stalls would delay the requests that would have told of it, and the figures would leave the
//! stall out.

use std::time::{Duration, Instant};

/// What a producer sends next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// As soon as there is room; it counts from then.
    Anytime,
    /// At this time, from which it counts.
    At(Instant),
}

/// The times of one producer's requests.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    began: Instant,
    /// Nanoseconds between two requests; `None` is as fast as possible.
    interval_ns: Option<u128>,
    requests: u128,
}

impl Pace {
    /// Requests of `records` records each, so that `producers` of them together append `rate`
    /// records per second; this is the `number`th of them, and they take turns.
    pub(super) fn new(
        rate: Option<u64>,
        records: u64,
        (number, producers): (u64, u64),
        began: Instant,
    ) -> Self {
        let all_ns = rate.map(|rate| u128::from(records) * 1_000_000_000 / u128::from(rate));
        let turn_ns = all_ns.unwrap_or_default() * u128::from(number);
        Self {
            began: began + nanoseconds(turn_ns),
            interval_ns: rate.map(|rate| {
                u128::from(records) * u128::from(producers) * 1_000_000_000 / u128::from(rate)
            }),
            requests: 0,
        }
    }

    /// What comes next.
    pub(super) fn due(&self) -> Due {
        match self.interval_ns {
            None => Due::Anytime,
            Some(interval_ns) => Due::At(self.began + nanoseconds(self.requests * interval_ns)),
        }
    }

    /// Goes on to the request after it.
    pub(super) fn sent(&mut self) {
        self.requests += 1;
    }
}

fn nanoseconds(ns: u128) -> Duration {
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_take_turns_and_keep_the_rate_together() {
        let began = Instant::now();
        let mut due = Vec::new();
        for number in 0..4 {
            let mut pace = Pace::new(Some(1000), 10, (number, 4), began);
            for _ in 0..25 {
                let Due::At(at) = pace.due() else { panic!("it is paced") };
                due.push(at.duration_since(began));
                pace.sent();
            }
        }
        due.sort_unstable();
        let expected = (0..100).map(|n| Duration::from_millis(10 * n));
        assert_eq!(due, expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_request_is_due_whenever_the_one_before_was_sent() {
        let began = Instant::now() - Duration::from_secs(60);
        let mut pace = Pace::new(Some(1), 1, (0, 1), began);
        pace.sent();
        assert_eq!(pace.due(), Due::At(began + Duration::from_secs(1)));
    }

    #[test]
    fn without_a_rate_nothing_is_due_at_a_time() {
        assert_eq!(Pace::new(None, 1, (0, 1), Instant::now()).due(), Due::Anytime);
    }
}
