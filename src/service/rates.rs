//! How fast each subject may append: a bucket of bytes and one of appends for each.
//!
//! Only those who appended of late are remembered: a full bucket is like none.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::bucket::{Bucket, Rate};
use super::limits::Limits;
use super::refusal::{OverRate, Paced};
use crate::tls::Subject;

/// Subjects that may be remembered before it is looked whom to forget.
const REMEMBERED_MIN: usize = 64;

/// The paces of all subjects. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Rates {
    flows: ArcSwap<[Flow; 2]>,
    remembered: Mutex<Remembered>,
}

/// One of the two things that are paced; without a rate it is not.
#[derive(Clone, Copy, Debug)]
struct Flow {
    paced: Paced,
    rate: Option<Rate>,
}

#[derive(Debug)]
struct Remembered {
    /// A bucket for each flow, in their order.
    buckets: HashMap<Subject, [Bucket; 2]>,
    /// At so many subjects it is looked whom to forget.
    look_at: usize,
}

/// What one append takes of a flow, and from which bucket.
struct Taking<'a> {
    paced: Paced,
    rate: Rate,
    cost: u64,
    bucket: &'a mut Bucket,
}

impl Rates {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            flows: ArcSwap::from_pointee(flows(limits)),
            remembered: Mutex::new(Remembered { buckets: HashMap::new(), look_at: REMEMBERED_MIN }),
        }
    }

    /// Paces by other limits from now on. What a subject owes it pays at the new rate.
    pub(crate) fn replace(&self, limits: &Limits) {
        self.flows.store(Arc::new(flows(limits)));
    }

    /// Lets `subject` append a batch of `bytes` now, or says when it may; then nothing is taken.
    pub(crate) fn take(&self, subject: &Subject, bytes: usize) -> Result<(), OverRate> {
        if self.is_unlimited() { Ok(()) } else { self.take_at(subject, bytes, Instant::now()) }
    }

    /// How long `subject` has to wait before it appends a batch of `bytes`, which is taken already:
    /// so those who wait go on in the order in which they came, large batches as well as small.
    pub(crate) fn reserve(&self, subject: &Subject, bytes: usize) -> Duration {
        if self.is_unlimited() {
            return Duration::ZERO;
        }
        self.reserve_at(subject, bytes, Instant::now())
    }

    fn is_unlimited(&self) -> bool {
        self.flows.load().iter().all(|flow| flow.rate.is_none())
    }

    fn take_at(&self, subject: &Subject, bytes: usize, now: Instant) -> Result<(), OverRate> {
        let flows = self.flows.load();
        let remembered = &mut *self.remembered.lock();
        let buckets = remembered.of(subject, &flows, now);
        let longest = takings(&flows, buckets, bytes).max_by_key(|taking| taking.wait(now));
        if let Some(taking) = longest.filter(|taking| !taking.wait(now).is_zero()) {
            let missing = taking.bucket.missing(taking.rate, now);
            return Err(OverRate {
                paced: taking.paced,
                limit: taking.rate.get(),
                actual: missing.saturating_add(taking.cost),
                wait: taking.wait(now),
            });
        }
        takings(&flows, buckets, bytes).for_each(|taking| taking.take(now));
        Ok(())
    }

    fn reserve_at(&self, subject: &Subject, bytes: usize, now: Instant) -> Duration {
        let flows = self.flows.load();
        let remembered = &mut *self.remembered.lock();
        let buckets = remembered.of(subject, &flows, now);
        let waits = takings(&flows, buckets, bytes).map(|taking| taking.wait(now));
        let wait = waits.max().unwrap_or_default();
        takings(&flows, buckets, bytes).for_each(|taking| taking.take(now));
        wait
    }
}

fn flows(limits: &Limits) -> [Flow; 2] {
    let flow = |paced, per_second| Flow { paced, rate: Rate::new(per_second) };
    [
        flow(Paced::AppendBytes, limits.append_bytes_per_subject_per_s),
        flow(Paced::Appends, limits.appends_per_subject_per_s),
    ]
}

fn takings<'a>(
    flows: &[Flow; 2],
    buckets: &'a mut [Bucket; 2],
    bytes: usize,
) -> impl Iterator<Item = Taking<'a>> {
    flows.iter().zip(buckets).filter_map(move |(flow, bucket)| {
        let cost = match flow.paced {
            Paced::AppendBytes => u64::try_from(bytes).unwrap_or(u64::MAX),
            Paced::Appends => 1,
        };
        flow.rate.map(|rate| Taking { paced: flow.paced, rate, cost, bucket })
    })
}

impl Taking<'_> {
    fn wait(&self, now: Instant) -> Duration {
        self.bucket.wait(self.rate, self.cost, now)
    }

    fn take(self, now: Instant) {
        self.bucket.take(self.rate, self.cost, now);
    }
}

impl Remembered {
    fn of(&mut self, subject: &Subject, flows: &[Flow; 2], now: Instant) -> &mut [Bucket; 2] {
        if !self.buckets.contains_key(subject) && self.buckets.len() >= self.look_at {
            self.buckets.retain(|_, buckets| {
                let full = |(flow, bucket): (&Flow, &Bucket)| {
                    flow.rate.is_none_or(|rate| bucket.is_full(rate, now))
                };
                !flows.iter().zip(&*buckets).all(full)
            });
            // Twice what is left, so that looking costs each newcomer the same.
            self.look_at = REMEMBERED_MIN.max(2 * self.buckets.len());
        }
        self.buckets.entry(subject.clone()).or_insert([Bucket::full(now); 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(bytes: u64, appends: u64) -> Rates {
        Rates::new(&Limits {
            append_bytes_per_subject_per_s: bytes,
            appends_per_subject_per_s: appends,
            ..Limits::default()
        })
    }

    fn name(text: &str) -> Subject {
        Subject::new(text).unwrap()
    }

    #[test]
    fn by_default_nothing_is_limited_and_nobody_is_remembered() {
        let rates = Rates::new(&Limits::default());
        for _ in 0..1000 {
            assert_eq!(rates.take(&name("a"), usize::MAX), Ok(()));
            assert_eq!(rates.reserve(&name("a"), usize::MAX), Duration::ZERO);
        }
        assert!(rates.remembered.lock().buckets.is_empty());
    }

    #[test]
    fn a_refusal_names_the_rate_and_when_to_come_again_and_takes_nothing() {
        let (rates, a, now) = (rates(100, 2), name("a"), Instant::now());
        assert_eq!(rates.take_at(&a, 70, now), Ok(()));
        let wait = Duration::from_millis(400);
        let over = OverRate { paced: Paced::AppendBytes, limit: 100, actual: 140, wait };
        for _ in 0..3 {
            assert_eq!(rates.take_at(&a, 70, now), Err(over));
        }
        assert_eq!(rates.take_at(&a, 30, now), Ok(()));
        let over = rates.take_at(&a, 0, now).unwrap_err();
        assert_eq!((over.paced, over.limit, over.actual), (Paced::Appends, 2, 3));
        assert_eq!(rates.take_at(&a, 50, now + over.wait), Ok(()));
    }

    #[test]
    fn the_longer_of_two_waits_is_told() {
        let (rates, a, now) = (rates(1, 1), name("a"), Instant::now());
        assert_eq!(rates.take_at(&a, 9, now), Ok(()));
        assert_eq!(rates.take_at(&a, 1, now).unwrap_err().wait, Duration::from_secs(9));
    }

    #[test]
    fn another_rate_holds_from_now_on() {
        let (rates, a, now) = (rates(100, 0), name("a"), Instant::now());
        assert_eq!(rates.take_at(&a, 100, now), Ok(()));
        assert_eq!(rates.take_at(&a, 100, now).unwrap_err().wait, Duration::from_secs(1));
        rates.replace(&Limits { append_bytes_per_subject_per_s: 1000, ..Limits::default() });
        // A second's worth is now more, and what was taken of it is not forgotten.
        assert_eq!(rates.take_at(&a, 900, now), Ok(()));
        assert_eq!(rates.take_at(&a, 100, now).unwrap_err().limit, 1000);
        rates.replace(&Limits::default());
        assert_eq!(rates.take(&a, usize::MAX), Ok(()));
    }

    #[test]
    fn subjects_do_not_wait_for_each_other() {
        let (rates, now) = (rates(1, 0), Instant::now());
        assert_eq!(rates.take_at(&name("a"), 1000, now), Ok(()));
        assert!(rates.take_at(&name("a"), 1, now).is_err());
        assert_eq!(rates.take_at(&name("b"), 1, now), Ok(()));
    }

    #[test]
    fn those_who_wait_go_on_one_after_the_other() {
        let (rates, a, now) = (rates(10, 0), name("a"), Instant::now());
        let wait = |bytes| rates.reserve_at(&a, bytes, now).as_millis();
        // The third is larger than the bucket, so it waits for a full one, and the last for it.
        assert_eq!([wait(10), wait(5), wait(20), wait(10)], [0, 500, 1500, 3500]);
    }

    #[test]
    fn subjects_that_left_are_forgotten_and_those_in_debt_are_not() {
        let (rates, began) = (rates(10, 10), Instant::now());
        let debtor = name("debtor");
        assert_eq!(rates.take_at(&debtor, 100_000, began), Ok(()));
        for n in 0..10_000_u32 {
            let now = began + Duration::from_millis(10) * n;
            assert_eq!(rates.take_at(&name(&format!("s{n}")), 1, now), Ok(()));
            // Each is in debt for 100 ms, so ten are at a time.
            assert!(rates.remembered.lock().buckets.len() <= REMEMBERED_MIN);
        }
        assert!(rates.take_at(&debtor, 1, began + Duration::from_secs(100)).is_err());
    }

    #[test]
    fn who_is_in_debt_together_is_remembered_together() {
        let (rates, now) = (rates(1, 0), Instant::now());
        let all = || (0..1000).map(|n| name(&format!("s{n}")));
        assert!(all().all(|subject| rates.take_at(&subject, 1, now).is_ok()));
        assert!(all().all(|subject| rates.take_at(&subject, 1, now).is_err()));
    }
}
