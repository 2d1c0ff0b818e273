//! The figures of a run, for people and for programs.

use std::time::Duration;

use serde::Serialize;

use super::meter::Latencies;
use super::plan::{Plan, Settings};
use super::process::Memory;
use super::run::{Flow, Measured, Used};
use crate::cli::human::about_bytes;
use crate::cli::table;

/// A run for programs.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    scenario: &'static str,
    log: String,
    settings: Settings,
    interrupted: bool,
    failed: bool,
    seconds: f64,
    produced: Option<Side>,
    consumed: Option<Side>,
    late_batches: u64,
    unanswered_batches: u64,
    server: Option<Cost>,
    client: Option<Cost>,
}

/// What went one way, for programs.
#[derive(Debug, Serialize)]
struct Side {
    records: u64,
    bytes: u64,
    messages: u64,
    records_per_s: f64,
    /// Of 1,000,000 bytes.
    mb_per_s: f64,
    latency_us: Option<Percentiles>,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Percentiles {
    count: u64,
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p99_9: f64,
    max: f64,
}

/// What a process took, for programs.
#[derive(Debug, Serialize)]
struct Cost {
    pid: u32,
    cpu_s: f64,
    /// Of all records that went in or out.
    cpu_us_per_record: Option<f64>,
    #[serde(flatten)]
    memory: Memory,
}

impl Report {
    pub(super) fn new(plan: &Plan, measured: &Measured, failed: bool) -> Self {
        let took = measured.took;
        let records = measured.produced.done.records + measured.consumed.done.records;
        let cost = |used: Used| Cost::new(used, records);
        Self {
            scenario: plan.scenario,
            log: plan.log_names(),
            settings: plan.settings(),
            interrupted: measured.interrupted.is_some(),
            failed,
            seconds: took.as_secs_f64(),
            produced: plan.producing.is_some().then(|| Side::new(&measured.produced, took)),
            consumed: plan.consuming.is_some().then(|| Side::new(&measured.consumed, took)),
            late_batches: measured.late,
            unanswered_batches: measured.unanswered,
            server: measured.server.map(cost),
            client: measured.client.map(cost),
        }
    }

    /// The same for people.
    pub(super) fn text(&self) -> String {
        let mut rows = vec![("measured", self.heading())];
        for (name, waits, side) in
            [("produced", "acknowledged", &self.produced), ("consumed", "received", &self.consumed)]
        {
            if let Some(side) = side {
                rows.push((name, side.text()));
                rows.push((waits, side.latency_us.map_or("none".to_owned(), Percentiles::text)));
            }
        }
        if self.late_batches > 0 {
            rows.push(("too late", format!("{} batches were due and not sent", self.late_batches)));
        }
        if self.unanswered_batches > 0 {
            rows.push(("unanswered", format!("{} batches", self.unanswered_batches)));
        }
        let unknown = "not on this host, or hidden: --server-pid names its process";
        rows.push(("server", self.server.as_ref().map_or(unknown.to_owned(), Cost::text)));
        rows.extend(self.client.as_ref().map(|client| ("client", client.text())));
        table::pairs(rows)
    }

    fn heading(&self) -> String {
        let early = match (self.failed, self.interrupted) {
            (true, _) => ", and then it failed",
            (false, true) => ", and then it was interrupted",
            (false, false) => "",
        };
        format!("{} of log {} for {:.1} s{early}", self.scenario, self.log, self.seconds)
    }
}

impl Side {
    fn new(flow: &Flow, took: Duration) -> Self {
        let done = flow.done;
        let seconds = took.as_secs_f64().max(1e-9);
        Self {
            records: done.records,
            bytes: done.bytes,
            messages: done.messages,
            records_per_s: rounded(float(done.records) / seconds, 1.0),
            mb_per_s: rounded(float(done.bytes) / seconds / 1e6, 1000.0),
            latency_us: Percentiles::of(&flow.latencies),
        }
    }

    fn text(&self) -> String {
        format!(
            "{} records/s, {:.1} MB/s; {} records in {} messages",
            thousands(self.records_per_s),
            self.mb_per_s,
            self.records,
            self.messages
        )
    }
}

impl Percentiles {
    /// Of `latencies`, if there are any.
    pub(super) fn of(latencies: &Latencies) -> Option<Self> {
        let us = |ns: u64| rounded(float(ns) / 1e3, 10.0);
        let at = |part| us(latencies.value_at_quantile(part));
        (!latencies.is_empty()).then(|| Self {
            count: latencies.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: us(latencies.max()),
        })
    }

    pub(super) fn text(self) -> String {
        let Self { p50, p90, p99, p99_9, max, .. } = self;
        let [p50, p90, p99, p99_9, max] = [p50, p90, p99, p99_9, max].map(thousands);
        format!("p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p99_9}, max {max} us")
    }
}

impl Cost {
    fn new(used: Used, records: u64) -> Self {
        let per_record = |records: u64| used.cpu.as_secs_f64() * 1e6 / float(records);
        Self {
            pid: used.pid,
            cpu_s: used.cpu.as_secs_f64(),
            cpu_us_per_record: (records > 0).then(|| rounded(per_record(records), 10_000.0)),
            memory: used.memory,
        }
    }

    fn text(&self) -> String {
        let each = self.cpu_us_per_record.map_or(String::new(), |us| format!(", {us} us a record"));
        let Memory { rss_anon_kib, rss_shmem_kib, rss_file_kib } = self.memory;
        let [own, shared, files] =
            [rss_anon_kib, rss_shmem_kib, rss_file_kib].map(|kib| about_bytes(kib << 10));
        format!(
            "{:.2} s of CPU{each}; memory: {own} its own, {shared} shared, {files} of files",
            self.cpu_s
        )
    }
}

/// A count as a float; those here are far below where that loses precision.
pub(super) fn float(count: u64) -> f64 {
    let high = u32::try_from(count >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(count & 0xffff_ffff).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// To so many parts of one.
pub(super) fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// A figure with its thousands apart; with a digit behind the point if it is small.
pub(super) fn thousands(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::meter::{Done, latencies};
    use super::*;

    #[test]
    fn figures_are_put_so_that_they_can_be_read() {
        assert_eq!(thousands(0.0), "0.0");
        assert_eq!(thousands(99.94), "99.9");
        assert_eq!(thousands(100.0), "100");
        assert_eq!(thousands(1234.4), "1,234");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
    }

    #[test]
    fn rates_are_those_of_the_time_that_was_measured() {
        let done = Done { records: 3000, bytes: 300_000_000, messages: 3 };
        let side = Side::new(&Flow { done, latencies: latencies() }, Duration::from_secs(2));
        assert!((side.records_per_s - 1500.0).abs() < 1e-9);
        assert!((side.mb_per_s - 150.0).abs() < 1e-9);
        assert!(side.latency_us.is_none());
    }

    #[test]
    fn percentiles_are_in_microseconds() {
        let mut measured = latencies();
        for us in 1..=1000 {
            measured.record(us * 1000).unwrap();
        }
        let percentiles = Percentiles::of(&measured).unwrap();
        assert!((percentiles.p50 - 500.0).abs() < 1.0, "{percentiles:?}");
        assert!((percentiles.p99_9 - 999.0).abs() < 2.0, "{percentiles:?}");
        assert!((percentiles.max - 1000.0).abs() < 1.0, "{percentiles:?}");
        assert_eq!(percentiles.count, 1000);
    }

    #[test]
    fn the_time_of_a_process_is_shared_among_the_records() {
        let used = Used { pid: 1, cpu: Duration::from_millis(50), memory: Memory::default() };
        let cost = Cost::new(used, 100_000);
        assert!((cost.cpu_us_per_record.unwrap() - 0.5).abs() < 1e-9);
        assert!(Cost::new(used, 0).cpu_us_per_record.is_none());
    }
}
