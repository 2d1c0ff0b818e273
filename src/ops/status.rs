//! What the status page shows, as JSON. `docs/API.md` describes it; a field keeps its meaning.
//!
//! It has no path of a file and nothing of records: whoever can reach the listener may read it.

use std::time::UNIX_EPOCH;

use serde::Serialize;

use super::Ops;
use super::families::seconds;
use super::health::Health;
use super::looks::{LogLook, Looks};
use super::process::Process;
use crate::log::{Percentiles, SegmentSummary};
use crate::server::handshakes;

/// Segments of a log that are shown, the newest.
const SEGMENTS_MAX: usize = 500;
/// Kinds of streams that are shown.
const STREAMS_MAX: usize = 200;

#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    openssl: &'static str,
    started_at_ms: u64,
    now_ms: u64,
    health: Health,
    totals: Totals,
    sync_us: Sync,
    open: Open,
    disk: Option<Disk>,
    process: Usage,
    /// None in plaintext.
    certificates: Option<Certificates>,
    reload: Reload,
    logs: Vec<LogRow<'a>>,
    logs_in_all: usize,
    logs_left_out: usize,
    readers: Vec<ReaderRow<'a>>,
    readers_left_out: usize,
    streams: Vec<StreamRow>,
    streams_left_out: usize,
    /// None unless a log was chosen that there is.
    segments: Option<Segments<'a>>,
}

/// Since the start.
#[derive(Serialize)]
struct Totals {
    appended_batches: u64,
    appended_records: u64,
    appended_bytes: u64,
    consumed_bytes: u64,
    syncs: u64,
    calls_started: u64,
    calls_failed: u64,
    denials: u64,
    handshakes_refused: u64,
}

/// Of the last 1,024 syncs.
#[derive(Serialize)]
struct Sync {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

#[derive(Serialize)]
struct Open {
    streams: usize,
    calls: usize,
    calls_queued: usize,
    flusher_jobs: usize,
    chores: usize,
    /// None in plaintext.
    connections_accepted: Option<u64>,
}

#[derive(Serialize)]
struct Disk {
    free_bytes: u64,
    reserve_bytes: u64,
}

#[derive(Serialize)]
struct Usage {
    threads: Option<u64>,
    resident_bytes: Option<u64>,
    open_files: Option<u64>,
    open_files_max: Option<u64>,
}

#[derive(Serialize)]
struct Certificates {
    server_ends_at_s: i64,
    client_ca_ends_at_s: i64,
}

#[derive(Serialize)]
struct Reload {
    generation: u64,
    refused: u64,
    last_refused: bool,
}

#[derive(Serialize)]
struct LogRow<'a> {
    name: &'a str,
    start: u64,
    end: u64,
    stored_bytes: u64,
    segments: usize,
    pending_bytes: u64,
    durable_bytes: u64,
    trimmed_segments: u64,
    oldest_age_s: Option<f64>,
    damaged: bool,
    read_only: bool,
}

#[derive(Serialize)]
struct ReaderRow<'a> {
    log: &'a str,
    reader: &'a str,
    lag_records: u64,
    lag_s: Option<f64>,
}

#[derive(Serialize)]
struct StreamRow {
    subject: String,
    /// None if the stream is about no log.
    action: Option<&'static str>,
    log: Option<String>,
    count: usize,
}

#[derive(Serialize)]
struct Segments<'a> {
    log: &'a str,
    /// The newest, oldest first.
    list: Vec<SegmentRow>,
    left_out: usize,
}

#[derive(Serialize)]
struct SegmentRow {
    start: u64,
    end: u64,
    stored_bytes: u64,
    sealed: bool,
    damaged: bool,
}

/// The status of the server, and the segments of the log called `chosen`.
pub(super) fn json(ops: &Ops, chosen: Option<&str>) -> String {
    let looks = ops.looks();
    let (streams, streams_left_out) = streams(ops);
    let ms = |time: std::time::SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    };
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        openssl: openssl::version::version(),
        started_at_ms: ms(ops.observer.started_at()),
        now_ms: ms(std::time::SystemTime::now()),
        health: Health::of(&ops.logs, &ops.observer),
        totals: totals(ops),
        sync_us: ops.logs.sync_latency().into(),
        open: open(ops),
        disk: ops
            .logs
            .space()
            .ok()
            .map(|(free_bytes, reserve_bytes)| Disk { free_bytes, reserve_bytes }),
        process: usage(),
        certificates: ops.observer.certificate_ends().map(|ends| Certificates {
            server_ends_at_s: ends.server.unix_s(),
            client_ca_ends_at_s: ends.client_ca.unix_s(),
        }),
        reload: reload(ops),
        logs: log_rows(&looks),
        logs_in_all: looks.logs_in_all,
        logs_left_out: looks.logs_left_out,
        readers: reader_rows(&looks),
        readers_left_out: looks.readers_left_out,
        streams,
        streams_left_out,
        segments: chosen.and_then(|log| segments(ops, log)),
    };
    // Numbers and text have no form that JSON lacks.
    serde_json::to_string(&status).unwrap_or_default()
}

fn totals(ops: &Ops) -> Totals {
    let (work, calls) = (ops.logs.work_done(), ops.observer.calls());
    let failed = |ended: &[(&str, u64)]| -> u64 {
        ended.iter().filter(|(code, _)| *code != "OK").map(|(_, n)| n).sum()
    };
    Totals {
        appended_batches: work.batches,
        appended_records: work.records,
        appended_bytes: work.bytes,
        consumed_bytes: calls.consumed_bytes,
        syncs: work.sync_us.count,
        calls_started: calls.methods.iter().map(|method| method.begun).sum(),
        calls_failed: calls.methods.iter().map(|method| failed(&method.ended)).sum(),
        denials: calls.denied.iter().map(|(_, n)| n).sum(),
        handshakes_refused: handshakes::refused().map(|(_, n)| n).sum(),
    }
}

impl From<Percentiles> for Sync {
    fn from(last: Percentiles) -> Self {
        Self { p50: last.p50_us, p90: last.p90_us, p99: last.p99_us, max: last.max_us }
    }
}

fn open(ops: &Ops) -> Open {
    let open = ops.observer.open();
    let (flusher_jobs, chores) = ops.logs.queued();
    Open {
        streams: open.streams,
        calls: open.calls,
        calls_queued: open.queued.iter().map(|(_, n)| n).sum(),
        flusher_jobs,
        chores,
        connections_accepted: ops.observer.accepted(),
    }
}

fn usage() -> Usage {
    let Process { threads, resident_bytes, open_files, open_files_max, .. } = Process::look();
    Usage { threads, resident_bytes, open_files, open_files_max }
}

fn reload(ops: &Ops) -> Reload {
    let seen = ops.reloads.seen();
    Reload {
        generation: seen.generation(),
        refused: seen.refused,
        last_refused: seen.is_last_refused,
    }
}

fn log_rows(looks: &Looks) -> Vec<LogRow<'_>> {
    let rows = looks.logs.iter().map(|LogLook { name, seen }| LogRow {
        name,
        start: seen.summary.bounds.start.get(),
        end: seen.summary.bounds.end.get(),
        stored_bytes: seen.summary.stored_bytes,
        segments: seen.segments,
        pending_bytes: seen.pending_bytes,
        durable_bytes: seen.durable_bytes,
        trimmed_segments: seen.trimmed_segments,
        oldest_age_s: seen.oldest_age_us.map(seconds),
        damaged: seen.summary.is_damaged,
        read_only: seen.is_read_only,
    });
    rows.collect()
}

fn reader_rows(looks: &Looks) -> Vec<ReaderRow<'_>> {
    let rows = looks.readers.iter().map(|reader| ReaderRow {
        log: &reader.log,
        reader: &reader.name,
        lag_records: reader.lag_records,
        lag_s: reader.lag_us.map(seconds),
    });
    rows.collect()
}

fn streams(ops: &Ops) -> (Vec<StreamRow>, usize) {
    let streams = ops.observer.streams();
    let left_out = streams.len().saturating_sub(STREAMS_MAX);
    let rows = streams.into_iter().take(STREAMS_MAX).map(|((subject, access), count)| {
        let (action, log) = access.unzip();
        StreamRow { subject, action, log, count }
    });
    (rows.collect(), left_out)
}

fn segments<'a>(ops: &Ops, log: &'a str) -> Option<Segments<'a>> {
    let found = ops.logs.get(log)?;
    let in_all = found.observe().ok()?.segments;
    let list: Vec<_> = found.newest_segments(SEGMENTS_MAX).ok()?.iter().map(row).collect();
    let left_out = in_all.saturating_sub(list.len());
    Some(Segments { log, list, left_out })
}

fn row(segment: &SegmentSummary) -> SegmentRow {
    SegmentRow {
        start: segment.bounds.start.get(),
        end: segment.bounds.end.get(),
        stored_bytes: segment.stored_bytes,
        sealed: segment.is_sealed,
        damaged: segment.is_damaged,
    }
}
