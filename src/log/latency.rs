//! How long the last syncs took.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

/// How many of them are remembered.
const REMEMBERED: usize = 1024;

/// Latencies of the last 1,024 syncs. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// In microseconds; in a ring.
    last_us: Box<[AtomicU32]>,
    noted: AtomicUsize,
}

/// Latencies in microseconds, none above the largest; zero if nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// Half took no longer.
    pub p50_us: u64,
    /// Nine of ten took no longer.
    pub p90_us: u64,
    /// All but one of a hundred took no longer.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let last_us = (0..REMEMBERED).map(|_| AtomicU32::new(0)).collect();
        Self { last_us, noted: AtomicUsize::new(0) }
    }

    pub(crate) fn note(&self, took: Duration) {
        let n = self.noted.fetch_add(1, Ordering::Relaxed);
        if let Some(place) = self.last_us.get(n % REMEMBERED) {
            // Zero stands for nothing measured.
            let us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
            place.store(us, Ordering::Relaxed);
        }
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let noted = self.noted.load(Ordering::Relaxed).min(REMEMBERED);
        let mut sorted: Vec<u32> =
            self.last_us.iter().take(noted).map(|us| us.load(Ordering::Relaxed)).collect();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let rank = (noted * percent).div_ceil(100).saturating_sub(1);
            sorted.get(rank).copied().map_or(0, u64::from)
        };
        Percentiles { p50_us: at(50), p90_us: at(90), p99_us: at(99), max_us: at(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_last_ones() {
        let latencies = Latencies::new();
        assert_eq!(latencies.percentiles(), Percentiles::default());
        latencies.note(Duration::from_micros(7));
        let one = Percentiles { p50_us: 7, p90_us: 7, p99_us: 7, max_us: 7 };
        assert_eq!(latencies.percentiles(), one);
        for _ in 0..REMEMBERED {
            latencies.note(Duration::from_secs(1));
        }
        for us in 1..=REMEMBERED {
            latencies.note(Duration::from_micros(us.try_into().unwrap()));
        }
        let expected = Percentiles { p50_us: 512, p90_us: 922, p99_us: 1014, max_us: 1024 };
        assert_eq!(latencies.percentiles(), expected);
    }
}
