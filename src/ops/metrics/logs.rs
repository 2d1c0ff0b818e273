//! Each log and each reader, as many as the bounds allow.

use crate::log::Observation;
use crate::ops::families::{Families, count, counter, flag, gauge, real, seconds};
use crate::ops::looks::{Looks, ReaderLook};

/// A figure of a log, if it has one.
type Figure = fn(&Observation) -> Option<f64>;

const GAUGES: [(&str, &str, Figure); 7] = [
    ("varve_log_start_offset", "Offset of the oldest record that the log holds.", |seen| {
        Some(real(seen.summary.bounds.start.get()))
    }),
    (
        "varve_log_high_watermark_offset",
        "First offset that is not durable: the end that consumers see.",
        |seen| Some(real(seen.summary.bounds.end.get())),
    ),
    ("varve_log_stored_bytes", "Bytes that the log's stores hold.", |seen| {
        Some(real(seen.summary.stored_bytes))
    }),
    ("varve_log_segments", "Segments of the log, the active one included.", |seen| {
        Some(count(seen.segments))
    }),
    ("varve_log_pending_bytes", "Bytes that were taken and are not durable yet.", |seen| {
        Some(real(seen.pending_bytes))
    }),
    (
        "varve_log_oldest_record_age_seconds",
        "Age of the oldest record; missing while there is none.",
        |seen| seen.oldest_age_us.map(seconds),
    ),
    ("varve_log_damaged", "1 if acknowledged records of the log cannot be read.", |seen| {
        Some(flag(seen.summary.is_damaged))
    }),
];

const COUNTERS: [(&str, &str, Figure); 3] = [
    ("varve_log_durable_bytes_total", "Bytes that became durable since the start.", |seen| {
        Some(real(seen.durable_bytes))
    }),
    ("varve_log_trimmed_segments_total", "Segments that were dropped since the start.", |seen| {
        Some(real(seen.trimmed_segments))
    }),
    ("varve_log_trimmed_bytes_total", "Bytes of the stores of these segments.", |seen| {
        Some(real(seen.trimmed_bytes))
    }),
];

pub(super) fn add(to: &mut Families, looks: &Looks) {
    to.gauge("varve_logs", "Logs that there are.", count(looks.logs_in_all));
    to.gauge("varve_logs_damaged", "Logs with damaged records.", count(looks.logs_damaged));
    to.gauge(
        "varve_logs_readers_damaged",
        "Logs that lost the positions of their readers.",
        count(looks.readers_damaged),
    );
    to.gauge(
        "varve_metrics_logs_left_out",
        "Logs without series of their own: beyond metrics.logs_max, or not to be read.",
        count(looks.logs_left_out),
    );
    to.gauge(
        "varve_metrics_readers_left_out",
        "Readers without series of their own: beyond metrics.readers_max.",
        count(looks.readers_left_out),
    );
    for (name, help, figure) in GAUGES {
        let rows = looks.logs.iter().filter_map(|log| {
            figure(&log.seen).map(|value| gauge(&[("log", log.name.as_str())], value))
        });
        to.gauges(name, help, rows);
    }
    for (name, help, figure) in COUNTERS {
        let rows = looks.logs.iter().filter_map(|log| {
            figure(&log.seen).map(|value| counter(&[("log", log.name.as_str())], value))
        });
        to.counters(name, help, rows);
    }
    add_readers(to, &looks.readers);
}

fn add_readers(to: &mut Families, readers: &[ReaderLook]) {
    let row = |reader: &ReaderLook, value| {
        gauge(&[("log", reader.log.as_str()), ("reader", reader.name.as_str())], value)
    };
    to.gauges(
        "varve_reader_lag_records",
        "Records that the reader has yet to read.",
        readers.iter().map(|reader| row(reader, real(reader.lag_records))),
    );
    to.gauges(
        "varve_reader_lag_seconds",
        "Age of the record that the reader will read next; 0 at the end.",
        readers.iter().filter_map(|reader| Some(row(reader, seconds(reader.lag_us?)))),
    );
}
