//! How fast a log takes appends in process, beside what the machine's memory and CRC allow.
//!
//! `cargo bench --no-default-features --bench append [-- DIRECTORY]` writes some gigabytes below
//! DIRECTORY (a temporary directory by default) and removes them again. As it goes it trims the log
//! to its last few hundred megabytes, so that the page cache is the same memory again and again: a
//! virtual machine that has yet to be given its memory measures that giving instead, which can be
//! ten times slower than a copy.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::VecDeque;
use std::future::Future;
use std::num::NonZeroU32;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use varve::log::{
    AppendError, DEFAULT_LOG, Durability, Log, Logs, Offset, Options, OsDisk, Pending,
};

const RECORD_BYTES: usize = 100;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
/// The log is trimmed to this many records.
const KEPT_RECORDS: u64 = 4_000_000;

fn main() {
    // `cargo bench` adds a flag of its own.
    let directory = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let scratch = tempfile::tempdir().unwrap();
    let root = directory.map_or(scratch.path().to_owned(), Into::into);
    println!("medians of {ROUNDS} rounds of {ROUND:?}, records of {RECORD_BYTES} B");
    machine();
    for (batch, level, window) in [
        (1000, Durability::Buffered, 64),
        (1000, Durability::Written, 64),
        (1000, Durability::Synced, 64),
        (1, Durability::Buffered, 1024),
        (1, Durability::Synced, 1024),
    ] {
        appends(&root, batch, level, window);
    }
    lone_caller(&root);
}

fn machine() {
    let source = vec![1_u8; 1 << 20];
    let mut target = vec![0_u8; 1 << 20];
    let copied = median(|| {
        target.copy_from_slice(std::hint::black_box(&source));
        std::hint::black_box(&target);
        source.len()
    });
    let summed = median(|| {
        std::hint::black_box(crc32c::crc32c(std::hint::black_box(&source)));
        source.len()
    });
    println!("memory copy {:.1} GB/s, CRC32C {:.1} GB/s", copied / 1e9, summed / 1e9);
}

/// Units per second of work that returns how many it did, as the median of some rounds.
fn median(mut work: impl FnMut() -> usize) -> f64 {
    let mut rates: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (began, mut done) = (Instant::now(), 0);
            while began.elapsed() < ROUND {
                done += work();
            }
            done as f64 / began.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    rates[ROUNDS / 2]
}

fn open(root: &Path) -> (tempfile::TempDir, Arc<Logs>, Arc<Log>) {
    let directory = tempfile::tempdir_in(root).unwrap();
    let logs = Logs::open(directory.path(), Arc::new(OsDisk::new()), Options::default()).unwrap();
    let log = logs.get(DEFAULT_LOG).unwrap();
    (directory, logs, log)
}

fn appends(root: &Path, batch: usize, level: Durability, window: usize) {
    let (_directory, logs, log) = open(root);
    let payload = vec![7_u8; (RECORD_BYTES + 4) * batch];
    let records = NonZeroU32::new(u32::try_from(batch).unwrap()).unwrap();
    let mut waiting: VecDeque<Pending> = VecDeque::new();
    let done = AtomicBool::new(false);
    let rate = std::thread::scope(|scope| {
        scope.spawn(|| trim_until(&log, &done));
        let _done = Done(&done);
        let rate = median(|| {
            loop {
                match log.append(&payload, records, level) {
                    Ok(pending) => {
                        waiting.push_back(pending);
                        break;
                    }
                    Err(AppendError::Busy { .. }) => {
                        wait_until_durable(&log, waiting.pop_front());
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            if waiting.len() > window {
                block_on(waiting.pop_front().unwrap()).unwrap();
            }
            batch
        });
        waiting.into_iter().for_each(|pending| {
            let _done = block_on(pending);
        });
        rate
    });
    println!("batches of {batch:>4}, {level:?}: {:.2} M records/s", rate / 1e6);
    logs.close().unwrap();
}

/// Ends the trimming, also if something panics.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn trim_until(log: &Arc<Log>, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let end = log.bounds().end.get();
        log.trim(Offset::new(end.saturating_sub(KEPT_RECORDS))).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A full buffer empties with a sync, so the oldest append is waited for until it is durable.
fn wait_until_durable(log: &Log, oldest: Option<Pending>) {
    if let Some(pending) = oldest {
        block_on(log.past(pending.base_offset())).unwrap();
    }
}

fn lone_caller(root: &Path) {
    let (_directory, logs, log) = open(root);
    let payload = vec![7_u8; RECORD_BYTES + 4];
    let mut latencies: Vec<Duration> = (0..5000)
        .map(|_| {
            let began = Instant::now();
            let pending = log.append(&payload, NonZeroU32::MIN, Durability::Synced).unwrap();
            block_on(pending).unwrap();
            began.elapsed()
        })
        .collect();
    latencies.sort_unstable();
    let at = |part: usize| latencies[latencies.len() * part / 1000];
    println!("one caller, synced: p50 {:?}, p99 {:?}, p99.9 {:?}", at(500), at(990), at(999));
    logs.close().unwrap();
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park();
    }
}
