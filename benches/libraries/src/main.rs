//! What an append costs in process, into the page cache, beside one plain write of the same bytes
//! and beside raft-engine.
//!
//! `cargo run --release --manifest-path benches/libraries/Cargo.toml [-- DIRECTORY]` writes a few
//! hundred megabytes at a time below DIRECTORY (a temporary directory unless it is given) and
//! removes them again. Batches have 1,000 records of 100 bytes; each contestant appends two million
//! records, by turns, and the medians of the rounds are shown. The first round only warms up: a
//! virtual machine may have to be given its memory first.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::num::NonZeroU32;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};
use varve::log::{DEFAULT_LOG, Durability, Logs, Options, OsDisk, Pending};

const BATCH_RECORDS: u32 = 1000;
const RECORD_BYTES: usize = 100;
/// As Varve stores them: with a tag and a length for the record, and for its value.
const BATCH_BYTES: usize = (RECORD_BYTES + 4) * BATCH_RECORDS as usize;
const BATCHES: usize = 2000;
const ROUNDS: usize = 7;
/// Batches that may be on their way to the kernel.
const WINDOW: usize = 64;

type Contestant = (&'static str, fn(&Path) -> Duration);

const CONTESTANTS: [Contestant; 4] = [
    ("one plain write", plain),
    ("Varve, WRITTEN", |folder| varve(folder, Durability::Written)),
    ("Varve, BUFFERED", |folder| varve(folder, Durability::Buffered)),
    ("raft-engine", raft_engine),
];

fn main() {
    let root = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let mut took = CONTESTANTS.map(|_| Vec::new());
    for round in 0..=ROUNDS {
        for ((_, append), took) in CONTESTANTS.iter().zip(&mut took) {
            let folder = tempfile::tempdir_in(&root).expect("the folder can be written");
            let elapsed = append(folder.path());
            if round > 0 {
                took.push(elapsed);
            }
        }
    }
    let records = BATCHES as f64 * f64::from(BATCH_RECORDS);
    let rates = took.map(|mut took| {
        took.sort_unstable();
        [ROUNDS - 1, ROUNDS / 2, 0].map(|place| records / took[place].as_secs_f64() / 1e6)
    });
    println!("medians of {ROUNDS} rounds of {BATCHES} batches of {BATCH_RECORDS} x {RECORD_BYTES} B");
    for ((name, _), [least, median, most]) in CONTESTANTS.iter().zip(rates) {
        let (to_plain, to_raft) = (median / rates[0][1], median / rates[3][1]);
        println!(
            "{name:<16} {median:6.2} M records/s ({least:.2} to {most:.2}); {to_plain:.2} x one \
             plain write, {to_raft:.2} x raft-engine"
        );
    }
}

/// Into space that is allocated, as a store is.
fn plain(folder: &Path) -> Duration {
    let file = File::create_new(folder.join("file")).expect("a new file");
    let batch = vec![7_u8; BATCH_BYTES];
    let began = Instant::now();
    for number in 0..BATCHES {
        file.write_all_at(&batch, (number * BATCH_BYTES) as u64).expect("there is space");
    }
    began.elapsed()
}

fn varve(folder: &Path, level: Durability) -> Duration {
    let options = Options { sync_delay_max: Duration::from_secs(60), ..Options::default() };
    let options = Options { pending_bytes_max: 1 << 30, ..options };
    let logs = Logs::open(folder, Arc::new(OsDisk::new()), options).expect("a new log");
    let log = logs.get(DEFAULT_LOG).expect("it is there");
    let batch = vec![7_u8; BATCH_BYTES];
    let records = NonZeroU32::new(BATCH_RECORDS).expect("a positive number");
    let mut waiting: VecDeque<Pending> = VecDeque::new();
    let began = Instant::now();
    for _ in 0..BATCHES {
        waiting.push_back(log.append(&batch, records, level).expect("an append"));
        if waiting.len() > WINDOW {
            waiting.pop_front().map(block_on);
        }
    }
    waiting.drain(..).for_each(|pending| {
        block_on(pending).expect("a write");
    });
    let took = began.elapsed();
    logs.close().expect("a close");
    took
}

struct Entries;

impl MessageExt for Entries {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk().map_or(0, |index| u64::from_le_bytes(*index))
    }
}

/// One Raft group, without compression, and without a sync.
fn raft_engine(folder: &Path) -> Duration {
    let config = Config {
        dir: folder.join("engine").to_string_lossy().into_owned(),
        batch_compression_threshold: ReadableSize(0),
        ..Config::default()
    };
    let engine = Engine::open(config).expect("a new engine");
    let mut batch = LogBatch::with_capacity(4);
    let mut next = 1_u64;
    let mut entries: Vec<BytesValue> = (0..BATCH_RECORDS)
        .map(|_| {
            let mut entry = BytesValue::new();
            entry.set_value(vec![7; RECORD_BYTES]);
            entry
        })
        .collect();
    let began = Instant::now();
    for _ in 0..BATCHES {
        for entry in &mut entries {
            entry.value[..8].copy_from_slice(&next.to_le_bytes());
            next += 1;
        }
        batch.add_entries::<Entries>(1, &entries).expect("entries in order");
        engine.write(&mut batch, false).expect("a write");
    }
    began.elapsed()
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
