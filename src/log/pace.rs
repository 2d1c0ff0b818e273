//! How fast a log grows: over about the last minute, from marks ten seconds apart.

use std::time::Duration;

/// A mark is made at most this often.
const MARK_EVERY: Duration = Duration::from_secs(10);
/// Marks kept; the oldest is what rates count from.
const MARKS: usize = 7;
/// Rates over less time would say little.
const TIME_MIN: Duration = Duration::from_secs(1);

/// What a log has taken by a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) at: Duration,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// A log's growth. One thread at a time uses it.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Oldest first.
    marks: [Taken; MARKS],
}

impl Pace {
    /// Counts from `now` on.
    pub(crate) fn new(now: Taken) -> Self {
        Self { marks: [now; MARKS] }
    }

    /// Makes a mark if it is time for one.
    pub(crate) fn look(&mut self, now: Taken) {
        let newest = self.marks.last().map_or(Duration::ZERO, |mark| mark.at);
        if now.at.saturating_sub(newest) < MARK_EVERY {
            return;
        }
        self.marks.rotate_left(1);
        if let Some(last) = self.marks.last_mut() {
            *last = now;
        }
    }

    /// Records and bytes per second.
    pub(crate) fn rates(&self, now: Taken) -> (f64, f64) {
        let Some(oldest) = self.marks.first() else {
            return (0.0, 0.0);
        };
        let time_s = now.at.saturating_sub(oldest.at).max(TIME_MIN).as_secs_f64();
        let per_second = |now: u64, then: u64| small(now.saturating_sub(then)) / time_s;
        (per_second(now.records, oldest.records), per_second(now.bytes, oldest.bytes))
    }
}

/// A count as a float; what a log takes in a minute is far below where that loses precision.
fn small(count: u64) -> f64 {
    let high = u32::try_from(count >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(count & 0xffff_ffff).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(second: u64, records: u64) -> Taken {
        Taken { at: Duration::from_secs(second), records, bytes: records * 100 }
    }

    #[test]
    fn rates_are_those_of_the_last_minute() {
        let mut pace = Pace::new(taken(0, 50));
        assert_eq!(pace.rates(taken(0, 60)), (10.0, 1000.0), "within the first second");
        for second in 1..=1000 {
            pace.look(taken(second, 50 + second * 3));
        }
        assert_eq!(pace.rates(taken(1000, 3050)), (3.0, 300.0));
        for second in 1001..=1065 {
            pace.look(taken(second, 3050));
        }
        assert_eq!(pace.rates(taken(1065, 3050)), (0.0, 0.0), "nothing came for a minute");
    }
}
