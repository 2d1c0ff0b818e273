//! What the floors below the wire cost, beside the machine's memory copy and CRC.
//!
//! `cargo bench --no-default-features --features floors --bench floors` runs in half a minute, with
//! some hundred megabytes in a temporary directory. Batches have 1,000 records of 100 bytes. That
//! an append costs, with and without the disk, measures the bench `append`.

#![allow(clippy::unwrap_used, clippy::as_conversions, missing_docs)]

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Waker};

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use varve::log::{DEFAULT_LOG, Durability, LogSettings, Logs, Offset, Options, OsDisk, floors};

const BATCH_RECORDS: u32 = 1000;
const BATCH_BYTES: usize = 104 * BATCH_RECORDS as usize;
const STORED_BATCHES: u64 = 1000;
const READ_BYTES: usize = 1 << 20;

fn main() {
    divan::main();
}

fn payload() -> Vec<u8> {
    (0..BATCH_BYTES).map(|n| (n * 31 % 251) as u8).collect()
}

fn bytes_of_a_batch() -> BytesCount {
    BytesCount::new(BATCH_BYTES)
}

#[divan::bench]
fn machine_copy(bencher: Bencher<'_, '_>) {
    let (source, mut target) = (payload(), vec![0; BATCH_BYTES]);
    bencher.counter(bytes_of_a_batch()).bench_local(|| {
        target.copy_from_slice(black_box(&source));
        black_box(&mut target);
    });
}

#[divan::bench]
fn machine_crc(bencher: Bencher<'_, '_>) {
    let source = payload();
    bencher.counter(bytes_of_a_batch()).bench_local(|| crc32c::crc32c(black_box(&source)));
}

#[divan::bench]
fn machine_copy_and_crc(bencher: Bencher<'_, '_>) {
    let (source, mut target) = (payload(), vec![0; BATCH_BYTES]);
    bencher.counter(bytes_of_a_batch()).bench_local(|| {
        target.copy_from_slice(black_box(&source));
        crc32c::crc32c(black_box(&target))
    });
}

#[divan::bench]
fn frame_encode(bencher: Bencher<'_, '_>) {
    let (source, mut out) = (payload(), Vec::new());
    bencher.counter(bytes_of_a_batch()).bench_local(|| {
        out.clear();
        floors::encode_frame(black_box(&source), BATCH_RECORDS, &mut out);
        black_box(&mut out);
    });
}

#[divan::bench]
fn frame_decode(bencher: Bencher<'_, '_>) {
    let mut frame = Vec::new();
    floors::encode_frame(&payload(), BATCH_RECORDS, &mut frame);
    assert!(floors::decode_frame(&frame));
    bencher.counter(bytes_of_a_batch()).bench_local(|| floors::decode_frame(black_box(&frame)));
}

#[divan::bench(args = [1_000, 1_000_000])]
fn index_look_up(bencher: Bencher<'_, '_>, entries: u32) {
    let index = floors::FilledIndex::new(entries);
    let mut relative = 1_u32;
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        // Anywhere, so that no cache has it.
        relative = relative.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        index.find(black_box(relative % (entries * 10))).unwrap()
    });
}

/// A log, and the largest of its store files.
struct Stored {
    _directory: tempfile::TempDir,
    logs: Arc<Logs>,
    store: PathBuf,
    store_bytes: u64,
}

static STORED: LazyLock<Stored> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let defaults = LogSettings { segment_bytes_max: 1 << 30, ..LogSettings::default() };
    let options = Options { defaults, ..Options::default() };
    let logs = Logs::open(directory.path(), Arc::new(OsDisk::new()), options).unwrap();
    let log = logs.get(DEFAULT_LOG).unwrap();
    let records = NonZeroU32::new(BATCH_RECORDS).unwrap();
    for _ in 0..STORED_BATCHES {
        let mut written = pin!(log.append(&payload(), records, Durability::Synced).unwrap());
        let mut context = Context::from_waker(Waker::noop());
        while written.as_mut().poll(&mut context).is_pending() {
            std::thread::yield_now();
        }
    }
    let folder = directory.path().join("logs").join(DEFAULT_LOG);
    let stores = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let stores = stores.filter(|path| path.extension().is_some_and(|end| end == "store"));
    // The next segment's files have no offset in their names.
    let stores = stores.filter(|path| path.to_string_lossy().contains("/0000"));
    let sizes = stores.map(|path| (std::fs::metadata(&path).unwrap().len(), path));
    let (store_bytes, store) = sizes.max().unwrap();
    Stored { _directory: directory, logs, store, store_bytes }
});

#[divan::bench(sample_count = 20, sample_size = 1)]
fn recovery_scan(bencher: Bencher<'_, '_>) {
    let stored = &*STORED;
    bencher.counter(BytesCount::new(stored.store_bytes)).bench_local(|| {
        assert!(floors::scan_store(&stored.store).unwrap() > 100);
    });
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn read_of_a_hot_segment(bencher: Bencher<'_, '_>) {
    let log = STORED.logs.get(DEFAULT_LOG).unwrap();
    let end = log.bounds().end;
    bencher.counter(BytesCount::new(STORED_BATCHES * BATCH_BYTES as u64)).bench_local(|| {
        let mut next = Offset::ZERO;
        while next < end {
            next = black_box(log.read(next, READ_BYTES).unwrap()).next_offset();
        }
    });
}
