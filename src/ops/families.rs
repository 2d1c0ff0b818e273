//! Metrics on their way into Prometheus' text form.

use std::time::Duration;

use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use crate::histogram::Counted;

const MICROS_PER_S: f64 = 1e6;

/// Families of metrics, in the order in which they were added. One without a metric is left out.
#[derive(Debug, Default)]
pub(super) struct Families(Vec<MetricFamily>);

/// The labels of a metric with their values.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Families {
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, MetricType::GAUGE, vec![gauge(&[], value)]);
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.add(name, help, MetricType::COUNTER, vec![counter(&[], real(value))]);
    }

    pub(super) fn gauges(&mut self, name: &str, help: &str, rows: impl Iterator<Item = Metric>) {
        self.add(name, help, MetricType::GAUGE, rows.collect());
    }

    pub(super) fn counters(&mut self, name: &str, help: &str, rows: impl Iterator<Item = Metric>) {
        self.add(name, help, MetricType::COUNTER, rows.collect());
    }

    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = Metric>,
    ) {
        self.add(name, help, MetricType::HISTOGRAM, rows.collect());
    }

    fn add(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }

    /// All of them as text.
    pub(super) fn text(&self) -> String {
        // It fails for a family without a name or a metric alone, and there is none.
        TextEncoder::new().encode_to_string(&self.0).unwrap_or_default()
    }
}

pub(super) fn gauge(labels: Labels<'_>, value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_gauge(gauge);
    metric
}

pub(super) fn counter(labels: Labels<'_>, value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_counter(counter);
    metric
}

/// Of values in the unit in which they were counted.
pub(super) fn histogram(labels: Labels<'_>, counted: &Counted) -> Metric {
    scaled(labels, counted, 1.0)
}

/// Of times that were counted in microseconds, in seconds.
pub(super) fn times(labels: Labels<'_>, counted: &Counted) -> Metric {
    scaled(labels, counted, MICROS_PER_S)
}

fn scaled(labels: Labels<'_>, counted: &Counted, per_unit: f64) -> Metric {
    let bucket = |(bound, count): &(u64, u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(real(*bound) / per_unit);
        bucket.set_cumulative_count(*count);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(counted.buckets.iter().map(bucket).collect());
    histogram.set_sample_count(counted.count);
    histogram.set_sample_sum(real(counted.sum) / per_unit);
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_histogram(histogram);
    metric
}

fn pairs(labels: Labels<'_>) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

/// A number as Prometheus has them; beyond 2^53 the nearest.
#[allow(clippy::as_conversions)] // Prometheus has no other numbers.
pub(super) const fn real(n: u64) -> f64 {
    n as f64
}

/// A number of things in memory.
pub(super) fn count(n: usize) -> f64 {
    real(u64::try_from(n).unwrap_or(u64::MAX))
}

/// 1 if it is so, else 0.
pub(super) const fn flag(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

/// Microseconds in seconds.
pub(super) fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_in_prometheus_text_form() {
        let mut families = Families::default();
        families.gauge("varve_a", "An a.", 1.5);
        families.counters("varve_none_total", "No b.", std::iter::empty());
        let labels = [("log", "or\"d\\er\ns")];
        families.counters("varve_b_total", "A b.", std::iter::once(counter(&labels, 7.0)));
        let counted = Counted { buckets: vec![(100, 1), (1_000, 3)], count: 4, sum: 2_500_000 };
        families.histograms("varve_c_seconds", "A c.", std::iter::once(times(&[], &counted)));
        assert_eq!(
            families.text(),
            "# HELP varve_a An a.\n# TYPE varve_a gauge\nvarve_a 1.5\n\
             # HELP varve_b_total A b.\n# TYPE varve_b_total counter\n\
             varve_b_total{log=\"or\\\"d\\\\er\\ns\"} 7\n\
             # HELP varve_c_seconds A c.\n# TYPE varve_c_seconds histogram\n\
             varve_c_seconds_bucket{le=\"0.0001\"} 1\n\
             varve_c_seconds_bucket{le=\"0.001\"} 3\n\
             varve_c_seconds_bucket{le=\"+Inf\"} 4\n\
             varve_c_seconds_sum 2.5\nvarve_c_seconds_count 4\n"
        );
    }
}
