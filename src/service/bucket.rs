//! A token bucket: how much may still be taken, and when there is enough.
//!
//! It holds what flows in within a second. What costs more than that is let through by a full
//! bucket and leaves a debt, which has to flow in before anything else passes; so over any time not
//! more is taken than flows in, beside one bucketful and one debt. All is exact: amounts are
//! counted in billionths of a token, of which `rate` flow in per nanosecond. There is no clock
//! here; the time comes with each call.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

const BILLIONTHS: u128 = 1_000_000_000;

/// Tokens that flow in per second; also what a full bucket holds.
pub(super) type Rate = NonZeroU64;

/// What was taken and has not flown in again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// What a full bucket would have more, in billionths of a token, at the time `seen`.
    missing: u128,
    seen: Instant,
}

impl Bucket {
    pub(super) fn full(now: Instant) -> Self {
        Self { missing: 0, seen: now }
    }

    /// A full bucket is like a new one and can be forgotten.
    pub(super) fn is_full(&self, rate: Rate, now: Instant) -> bool {
        self.missing_at(rate, now) == 0
    }

    /// The tokens that are missing, a begun one as a whole.
    pub(super) fn missing(&self, rate: Rate, now: Instant) -> u64 {
        let tokens = self.missing_at(rate, now).div_ceil(BILLIONTHS);
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }

    /// How long until `cost` may be taken, if nothing else is until then.
    pub(super) fn wait(&self, rate: Rate, cost: u64, now: Instant) -> Duration {
        let room = u128::from(rate.get().saturating_sub(cost)) * BILLIONTHS;
        let excess = self.missing_at(rate, now).saturating_sub(room);
        nanoseconds(excess.div_ceil(u128::from(rate.get())))
    }

    /// Takes `cost`, whether or not it is there.
    pub(super) fn take(&mut self, rate: Rate, cost: u64, now: Instant) {
        self.missing = self.missing_at(rate, now) + u128::from(cost) * BILLIONTHS;
        // Callers read the clock before they wait for the lock, so one may be late.
        self.seen = self.seen.max(now);
    }

    fn missing_at(&self, rate: Rate, now: Instant) -> u128 {
        let elapsed = now.saturating_duration_since(self.seen).as_nanos();
        self.missing.saturating_sub(elapsed.saturating_mul(u128::from(rate.get())))
    }
}

fn nanoseconds(count: u128) -> Duration {
    let seconds = u64::try_from(count / BILLIONTHS).unwrap_or(u64::MAX);
    Duration::new(seconds, u32::try_from(count % BILLIONTHS).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NANOSECOND: Duration = Duration::from_nanos(1);

    fn rate(tokens: u64) -> Rate {
        Rate::new(tokens).unwrap()
    }

    #[test]
    fn a_full_bucket_holds_a_seconds_worth_and_no_more() {
        let now = Instant::now();
        let mut bucket = Bucket::full(now);
        for _ in 0..3 {
            assert_eq!(bucket.wait(rate(3), 1, now), Duration::ZERO);
            bucket.take(rate(3), 1, now);
        }
        assert_eq!(bucket.missing(rate(3), now), 3);
        assert_eq!(bucket.wait(rate(3), 1, now), Duration::from_nanos(333_333_334));
        let later = now + Duration::from_secs(1);
        assert!(bucket.is_full(rate(3), later));
        assert!(!bucket.is_full(rate(3), later - NANOSECOND));
        // Time that passes while it is full adds nothing.
        let mut later = Bucket { seen: now, ..Bucket::full(now) };
        later.take(rate(3), 3, now + Duration::from_secs(100));
        let wait = later.wait(rate(3), 3, now + Duration::from_secs(100));
        assert_eq!(wait, Duration::from_secs(1));
    }

    #[test]
    fn what_is_larger_than_the_bucket_passes_when_it_is_full_and_is_paid_back() {
        let now = Instant::now();
        let mut bucket = Bucket::full(now);
        bucket.take(rate(10), 1, now);
        assert_eq!(bucket.wait(rate(10), 100, now), Duration::from_millis(100));
        let full = now + Duration::from_millis(100);
        assert_eq!(bucket.wait(rate(10), 100, full), Duration::ZERO);
        bucket.take(rate(10), 100, full);
        assert_eq!(bucket.wait(rate(10), 1, full), Duration::from_millis(9100));
    }

    #[test]
    fn a_caller_with_a_late_clock_gains_nothing() {
        let now = Instant::now();
        let mut bucket = Bucket::full(now);
        bucket.take(rate(1), 1, now + Duration::from_secs(1));
        bucket.take(rate(1), 0, now);
        assert_eq!(bucket.missing(rate(1), now + Duration::from_secs(1)), 1);
    }

    proptest! {
        /// Beside one bucketful, what was taken before has flown in by the time of each taking.
        #[test]
        fn never_more_is_taken_than_flows_in(
            tokens in prop_oneof![1_u64..10, 1..2_000_000_000_u64],
            takings in prop::collection::vec((0..3_000_000_000_u64, 0..5_000_u64, 0..3_u8), 1..60),
        ) {
            let (rate, began) = (rate(tokens), Instant::now());
            let (mut now, mut bucket, mut taken) = (began, Bucket::full(began), 0_u128);
            for (pause, thousandths, waits) in takings {
                now += Duration::from_nanos(pause);
                // Mostly less than a bucketful, now and then several.
                let cost = 1 + tokens * thousandths / 1000;
                let wait = bucket.wait(rate, cost, now);
                if !wait.is_zero() {
                    if waits == 0 {
                        continue;
                    }
                    // It is exact: not a nanosecond earlier.
                    prop_assert!(!bucket.wait(rate, cost, now + wait - NANOSECOND).is_zero());
                    now += wait;
                    prop_assert!(bucket.wait(rate, cost, now).is_zero());
                }
                bucket.take(rate, cost, now);
                let due = taken + u128::from(cost.min(tokens));
                let flown_in = u128::from(tokens) * (now - began).as_nanos();
                prop_assert!(due * BILLIONTHS <= flown_in + u128::from(tokens) * BILLIONTHS);
                taken += u128::from(cost);
            }
        }

        /// Who keeps to the rate is never held up.
        #[test]
        fn what_is_within_the_rate_never_waits(
            tokens in 1_u64..2_000_000_000,
            costs in prop::collection::vec(1_u64..1_000, 1..60),
        ) {
            let (rate, mut now) = (rate(tokens), Instant::now());
            let mut bucket = Bucket::full(now);
            for cost in costs {
                prop_assert!(bucket.wait(rate, cost, now).is_zero());
                bucket.take(rate, cost, now);
                let pause = (u128::from(cost) * BILLIONTHS).div_ceil(u128::from(tokens));
                now += nanoseconds(pause);
            }
        }
    }
}
