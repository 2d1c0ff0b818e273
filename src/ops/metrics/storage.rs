//! What flushers did, and the disk.

use crate::log::{Logs, Scrubbed};
use crate::ops::families::{Families, count, flag, histogram, real, times};

pub(super) fn add(to: &mut Families, logs: &Logs) {
    let work = logs.work_done();
    to.counter(
        "varve_appended_batches_total",
        "Batches that were written to the segments of all logs.",
        work.batches,
    );
    to.counter("varve_appended_records_total", "Records of these batches.", work.records);
    to.counter(
        "varve_appended_bytes_total",
        "Bytes of these batches as they are stored.",
        work.bytes,
    );
    let one = std::iter::once;
    let sizes = histogram(&[], &work.batch_bytes);
    to.histograms("varve_batch_bytes", "Sizes of batches as they are stored.", one(sizes));
    let counts = histogram(&[], &work.batch_records);
    to.histograms("varve_batch_records", "Numbers of records in batches.", one(counts));
    let syncs = times(&[], &work.sync_us);
    to.histograms("varve_sync_seconds", "Times that syncs of stores took.", one(syncs));
    let groups = histogram(&[], &work.group_batches);
    to.histograms("varve_sync_batches", "Numbers of batches that shared a sync.", one(groups));
    add_queues(to, logs);
    add_scrub(to, logs.scrubbed());
    add_disk(to, logs);
}

fn add_scrub(to: &mut Families, scrubbed: Scrubbed) {
    to.counter(
        "varve_scrub_bytes_total",
        "Bytes of sealed segments that were read to look for rot.",
        scrubbed.bytes,
    );
    to.counter(
        "varve_scrub_damaged_ranges_total",
        "Ranges of offsets that were found damaged by that.",
        scrubbed.damaged_ranges,
    );
    to.counter(
        "varve_scrub_unreadable_segments_total",
        "Segments that could not be read then.",
        scrubbed.unreadable,
    );
    to.counter(
        "varve_scrub_passes_total",
        "How often all sealed segments were read.",
        scrubbed.passes,
    );
    if let Some(last_us) = scrubbed.last_pass_us {
        to.gauge(
            "varve_scrub_last_pass_timestamp_seconds",
            "When that was done last, in seconds since the Unix epoch.",
            real(last_us) / 1e6,
        );
    }
}

fn add_queues(to: &mut Families, logs: &Logs) {
    let (jobs, chores) = logs.queued();
    to.gauge("varve_flusher_queue_jobs", "Jobs that wait for a flusher.", count(jobs));
    to.gauge(
        "varve_chores_queue_jobs",
        "Jobs that wait for the thread of retention and preparation.",
        count(chores),
    );
}

fn add_disk(to: &mut Families, logs: &Logs) {
    if let Ok((free_bytes, reserve_bytes)) = logs.space() {
        to.gauge(
            "varve_disk_free_bytes",
            "Bytes that are free on the file system of the data directory.",
            real(free_bytes),
        );
        to.gauge(
            "varve_disk_reserve_bytes",
            "Bytes that are kept free: below, appends are refused.",
            real(reserve_bytes),
        );
    }
    to.gauge(
        "varve_disk_full",
        "1 while appends are refused because the disk is too full.",
        flag(logs.is_out_of_space()),
    );
    to.gauge(
        "varve_storage_failed",
        "1 once a write or sync failed: the process is about to end.",
        flag(logs.has_failed()),
    );
}
