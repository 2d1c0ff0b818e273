//! What a work came to, as one line of JSON in the terms of `varve bench --json`.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// An hour.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// Latencies that are yet to be measured.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).unwrap()
}

/// Takes down a latency.
pub(crate) fn note(latencies: &mut Histogram<u64>, took: Duration) {
    latencies.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
}

/// The figures of `records` that took so long, with `latencies` if those were measured.
pub(crate) fn of(records: usize, took: Duration, latencies: &Histogram<u64>) -> Value {
    let at = |part| latencies.value_at_quantile(part) as f64 / 1e3;
    let latency_us = (!latencies.is_empty())
        .then(|| json!({ "p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999), "max": at(1.0) }));
    let seconds = took.as_secs_f64();
    json!({
        "records": records,
        "seconds": seconds,
        "records_per_s": (records as f64 / seconds).round(),
        "latency_us": latency_us,
    })
}
