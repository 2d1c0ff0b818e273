//! The same log on the host's file system, with its threads.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use varve::log::{
    Bounds, DEFAULT_LOG, Durability, LogSettings, Logs, Offset, OpenError, Options, OsDisk,
};

use crate::rig::{block_on, wait};

fn open(path: &Path) -> Arc<Logs> {
    let defaults = LogSettings { segment_bytes_max: 64 << 10, ..LogSettings::default() };
    let options = Options { defaults, min_free_bytes: 0, ..Options::default() };
    Logs::open(path, Arc::new(OsDisk::new()), options).unwrap()
}

#[test]
fn threads_append_and_read_across_rolls_and_a_reopen() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(directory.path());
    let log = logs.get(DEFAULT_LOG).unwrap();
    std::thread::scope(|scope| {
        for n in 0..4_u8 {
            let log = &log;
            scope.spawn(move || {
                for i in 0..300_usize {
                    let pending = log
                        .append(&[n; 700], NonZeroU32::new(2).unwrap(), Durability::Synced)
                        .unwrap();
                    let base = pending.base_offset();
                    assert_eq!(wait(pending), Ok(Durability::Synced));
                    if i % 10 == 0 {
                        let chunk = log.read(base, 1).unwrap();
                        assert_eq!(chunk.batches().next().unwrap().payload, [n; 700]);
                    }
                }
            });
        }
        let follow = &log;
        scope.spawn(move || {
            let mut at = Offset::ZERO;
            while at < Offset::new(2400) {
                block_on(follow.past(at)).unwrap();
                at = follow.read(at, 1 << 16).unwrap().next_offset();
            }
        });
    });
    let end = Offset::new(2400);
    assert_eq!(log.bounds(), Bounds { start: Offset::ZERO, end });
    logs.close().unwrap();
    let logs = open(directory.path());
    let log = logs.get(DEFAULT_LOG).unwrap();
    assert_eq!(log.bounds().end, end);
    let mut at = Offset::ZERO;
    while at < end {
        at = log.read(at, 1 << 20).unwrap().next_offset();
    }
    assert_eq!(log.trim(Offset::new(1000)).unwrap().start, log.bounds().start);
}

#[test]
fn r1_every_level_is_durable_within_ten_times_the_delay() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(directory.path());
    let log = logs.get(DEFAULT_LOG).unwrap();
    for level in [Durability::Buffered, Durability::Written] {
        let began = Instant::now();
        let pending = log.append(b"x", NonZeroU32::MIN, level).unwrap();
        let offset = pending.base_offset();
        block_on(log.past(offset)).unwrap();
        // Ten times the delay: the machine may be busy, but nobody waits for ever.
        assert!(began.elapsed() < Duration::from_secs(1), "{level:?}: {:?}", began.elapsed());
    }
}

#[test]
fn r14_a_second_process_on_the_directory_is_refused_and_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let logs = open(&data);
    let log = logs.get(DEFAULT_LOG).unwrap();
    wait(log.append(b"x", NonZeroU32::MIN, Durability::Synced).unwrap()).unwrap();
    let second = Logs::open(&data, Arc::new(OsDisk::new()), Options::default());
    assert!(matches!(second, Err(OpenError::Owned { .. })), "{second:?}");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in std::fs::read_dir(data.join("logs/default")).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn callers_in_parallel_share_syncs() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(directory.path());
    let log = logs.get(DEFAULT_LOG).unwrap();
    let watched = Arc::clone(&log);
    // Each move of the watermark is one sync.
    let syncs = std::thread::spawn(move || {
        let (mut at, mut moves) = (Offset::ZERO, 0_u64);
        while at < Offset::new(6400) {
            at = block_on(watched.past(at)).unwrap();
            moves += 1;
        }
        moves
    });
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for _ in 0..100 {
                    wait(log.append(&[1; 100], NonZeroU32::MIN, Durability::Synced).unwrap())
                        .unwrap();
                }
            });
        }
    });
    let syncs = syncs.join().unwrap();
    assert!(syncs < 6400 / 2, "{syncs} syncs for 6,400 records");
}

#[test]
fn the_cache_bounds_the_open_files() {
    let directory = tempfile::tempdir().unwrap();
    let defaults = LogSettings { segment_bytes_max: 4096, ..LogSettings::default() };
    let options =
        Options { defaults, min_free_bytes: 0, open_segments_max: 4, ..Options::default() };
    let logs = Logs::open(directory.path(), Arc::new(OsDisk::new()), options).unwrap();
    let log = logs.get(DEFAULT_LOG).unwrap();
    for _ in 0..100 {
        wait(log.append(&[1; 1000], NonZeroU32::MIN, Durability::Synced).unwrap()).unwrap();
    }
    for offset in 0..100 {
        log.read(Offset::new(offset), 1).unwrap();
    }
    let open = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
        .filter(|target| target.starts_with(directory.path()))
        .filter(|target| target.extension().is_some_and(|e| e == "store"))
        .count();
    assert!(open <= 4 + 2, "{open} stores are open");
}
