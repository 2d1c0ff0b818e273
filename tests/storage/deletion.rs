//! Deleting logs: what those who use one are told, what a crash leaves, and that a later log of the
//! same name has nothing to do with it.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use varve::log::{
    AppendError, CreateError, DEFAULT_LOG, DeleteError, Disk as _, Durability, Log, LogId, LogName,
    LogOverrides, Logs, Offset, Op, ReadError, SimDisk, Stopped, Tear, TrimError, UpdateError,
};

use crate::rig::{Batch, Rig, by_hand, poll, small_segments, wait};

const ONE: NonZeroU32 = NonZeroU32::MIN;

fn create(logs: &Logs, name: &str) -> Arc<Log> {
    logs.create(&LogName::parse(name).unwrap(), LogOverrides::default()).unwrap()
}

fn append(rig: &Rig, log: &Arc<Log>, n: u64) -> Offset {
    let batch = Batch::of(n);
    let pending = log.append(&batch.payload, batch.records, Durability::Synced).unwrap();
    let base = pending.base_offset();
    rig.logs.work();
    assert_eq!(poll(pending), Poll::Ready(Ok(Durability::Synced)));
    base
}

/// The numbers of a log's batches.
fn numbers(log: &Log) -> Vec<u64> {
    let (mut next, mut found) = (log.bounds().start, Vec::new());
    while next < log.bounds().end {
        let chunk = log.read(next, 1000).unwrap();
        for stored in chunk.batches() {
            let payload = stored.payload.to_vec();
            found.push(Batch { payload, records: ONE }.number());
        }
        next = chunk.next_offset();
    }
    found
}

#[test]
fn a_deleted_log_is_gone_for_all_who_still_have_it() {
    let rig = Rig::new();
    let log = create(&rig.logs, "orders");
    for n in 0..20 {
        append(&rig, &log, n);
    }
    let end = log.bounds().end;
    let mut parked = log.past(end);
    assert_eq!(poll(&mut parked), Poll::Pending);
    rig.logs.delete("orders", Some(end), Some(log.id())).unwrap();
    assert_eq!(poll(&mut parked), Poll::Ready(Err(Stopped::Deleted)));
    assert!(rig.logs.get("orders").is_none());
    assert_eq!(log.append(b"x", ONE, Durability::Synced).unwrap_err(), AppendError::Deleted);
    assert!(matches!(log.read(Offset::ZERO, 100), Err(ReadError::Deleted)));
    assert!(matches!(log.trim(end), Err(TrimError::Deleted)));
    let update = log.update(|overrides| overrides.retention_bytes = Some(1));
    assert!(matches!(update, Err(UpdateError::Deleted)));
    assert!(rig.disk.list(Path::new("/data/trash")).unwrap().is_empty());
    assert_eq!(rig.disk.list(Path::new("/data/logs")).unwrap(), [DEFAULT_LOG]);
    let again = rig.logs.delete("orders", None, None);
    assert!(matches!(again, Err(DeleteError::NotFound { .. })));
    let rig = rig.reopen();
    assert!(rig.logs.get("orders").is_none());
}

#[test]
fn the_end_is_compared_once_all_that_was_taken_is_durable() {
    let rig = Rig::new();
    let log = create(&rig.logs, "orders");
    append(&rig, &log, 0);
    let told = log.bounds().end;
    let pending = log.append(b"later on", ONE, Durability::Buffered).unwrap();
    let refused = rig.logs.delete("orders", Some(told), None).unwrap_err();
    let DeleteError::NotAtEnd { expected, end } = refused else { panic!("{refused:?}") };
    assert_eq!((expected, end), (told, told.plus(1)));
    assert_eq!(log.bounds().end, end, "what is told is durable");
    assert_eq!(poll(pending), Poll::Ready(Ok(Durability::Synced)));
    append(&rig, &log, 1);
    assert_eq!(numbers(&log).len(), 3, "the log goes on");
    rig.logs.delete("orders", Some(log.bounds().end), None).unwrap();
}

#[test]
fn what_must_not_be_deleted_stays() {
    let rig = Rig::new();
    let log = create(&rig.logs, "orders");
    let default = rig.logs.delete(DEFAULT_LOG, None, None);
    assert!(matches!(default, Err(DeleteError::Protected { .. })));
    let other = rig.logs.delete("orders", None, Some(LogId::from_bytes([7; 16])));
    let id = log.id();
    assert!(matches!(other, Err(DeleteError::Replaced { id: found, .. }) if found == id));
    append(&rig, &log, 0);
    rig.logs.close().unwrap();
    assert!(matches!(rig.logs.delete("orders", None, None), Err(DeleteError::Closed)));
}

#[test]
fn a_rename_that_fails_leaves_the_log_in_use() {
    let rig = Rig::new();
    let log = create(&rig.logs, "orders");
    append(&rig, &log, 0);
    rig.disk.fail(Op::Rename, 0, std::io::ErrorKind::PermissionDenied);
    assert!(matches!(rig.logs.delete("orders", None, None), Err(DeleteError::Io(_))));
    append(&rig, &log, 1);
    assert_eq!(numbers(&log), [0, 1]);
}

#[test]
fn r12_a_directory_that_is_not_synced_after_the_rename_ends_the_server() {
    let rig = Rig::new();
    create(&rig.logs, "orders");
    rig.disk.fail(Op::SyncDirectory, 0, std::io::ErrorKind::Other);
    assert!(matches!(rig.logs.delete("orders", None, None), Err(DeleteError::Failed)));
    assert!(rig.logs.has_failed());
}

/// A path of a deleted log may be that of another one: jobs that were queued for the first must not
/// touch the files of the second.
#[test]
fn what_was_queued_for_a_deleted_log_does_nothing_to_its_successor() {
    let rig = Rig::new();
    let first = create(&rig.logs, "orders");
    for n in 0..30 {
        append(&rig, &first, n);
    }
    // Checkpoints, the next segment's files and syncs are queued, and nobody does them.
    for n in 30..60 {
        let _pending = first.append(&Batch::of(n).payload, ONE, Durability::Synced).unwrap();
    }
    rig.logs.look_around();
    rig.logs.delete("orders", None, None).unwrap();
    let second = create(&rig.logs, "orders");
    assert_ne!(first.id(), second.id());
    let untouched = rig.disk.steps();
    rig.logs.work();
    assert_eq!(
        rig.disk.steps(),
        untouched,
        "{:?}",
        &rig.disk.trace()[usize::try_from(untouched).unwrap()..]
    );
    append(&rig, &second, 100);
    for offset in 0..30 {
        assert!(matches!(first.read(Offset::new(offset), 100), Err(ReadError::Deleted)));
    }
    assert_eq!(numbers(&second), [100]);
    let id = second.id();
    let rig = rig.killed();
    let second = rig.logs.get("orders").unwrap();
    assert_eq!((second.id(), numbers(&second)), (id, vec![100]));
}

#[test]
fn the_files_of_a_deleted_log_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(varve::log::OsDisk::new());
    let options = varve::log::Options { flushers: 2, ..by_hand(small_segments()) };
    let logs = Logs::open(&folder.path().join("data"), disk, options).unwrap();
    let log = create(&logs, "orders");
    for n in 0..60 {
        let batch = Batch::of(n);
        wait(log.append(&batch.payload, batch.records, Durability::Synced).unwrap()).unwrap();
    }
    numbers(&log);
    let open = || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let names = open.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
        let own = folder.path().to_owned();
        names
            .filter(|name| name.starts_with(&own) && name.to_string_lossy().contains("store"))
            .count()
    };
    assert!(open() > 2, "{}", open());
    logs.delete("orders", None, None).unwrap();
    // A worker may still sync an index that it holds.
    let began = std::time::Instant::now();
    while open() > 0 {
        assert!(began.elapsed().as_secs() < 10, "{} files are open", open());
    }
}

/// What the world outside knows when the power goes.
#[derive(Debug, Default)]
struct Witness {
    first: Option<LogId>,
    acknowledged: Vec<u64>,
    delete_asked: bool,
    deleted: bool,
    second: Option<LogId>,
    second_asked: bool,
    second_acknowledged: Vec<u64>,
}

fn script(disk: &SimDisk, witness: &mut Witness) {
    let Ok(rig) = Rig::open(disk, by_hand(small_segments())) else {
        return;
    };
    let name = LogName::parse("orders").unwrap();
    let Ok(log) = rig.logs.create(&name, LogOverrides::default()) else {
        return;
    };
    witness.first = Some(log.id());
    let append = |log: &Arc<Log>, n: u64, acknowledged: &mut Vec<u64>| {
        let batch = Batch::of(n);
        let pending = log.append(&batch.payload, batch.records, Durability::Synced);
        rig.logs.work();
        if pending.is_ok_and(|pending| poll(pending) == Poll::Ready(Ok(Durability::Synced))) {
            acknowledged.push(n);
        }
    };
    for n in 0..15 {
        append(&log, n, &mut witness.acknowledged);
    }
    witness.delete_asked = true;
    witness.deleted = rig.logs.delete("orders", Some(log.bounds().end), None).is_ok();
    witness.second_asked = witness.deleted;
    let Ok(log) = rig.logs.create(&name, LogOverrides::default()) else {
        return;
    };
    witness.second = Some(log.id());
    for n in 50..53 {
        append(&log, n, &mut witness.second_acknowledged);
    }
}

fn check_after(disk: &SimDisk, witness: &Witness, tear: Tear, what: &str) {
    let after = disk.after_power_cut(tear);
    let rig = Rig::open(&after, by_hand(small_segments()))
        .unwrap_or_else(|e| panic!("{what}: a start fails: {e:?}"));
    assert!(after.list(Path::new("/data/trash")).unwrap().is_empty(), "{what}");
    let Some(log) = rig.logs.get("orders") else {
        assert!(witness.first.is_none() || witness.delete_asked, "{what}: it was created");
        assert!(witness.second.is_none(), "{what}: it was created again");
        return;
    };
    assert!(!log.is_damaged(), "{what}");
    let found = numbers(&log);
    if witness.first == Some(log.id()) {
        assert!(!witness.deleted, "{what}: it was deleted");
        assert!(found.starts_with(&witness.acknowledged), "{what}: {found:?}");
    } else if let Some(second) = witness.second {
        assert_eq!(log.id(), second, "{what}");
        assert!(found.starts_with(&witness.second_acknowledged), "{what}: {found:?}");
    } else {
        assert!(witness.first.is_none() || witness.second_asked, "{what}: a third one");
        assert!(found.is_empty(), "{what}");
    }
    // It can be deleted now, whatever it is.
    rig.logs.delete("orders", Some(log.bounds().end), None).unwrap();
    let rig = rig.reopen();
    assert!(rig.logs.get("orders").is_none(), "{what}");
}

#[test]
fn r8_a_deletion_is_whole_or_not_after_a_cut_behind_every_call() {
    let whole = SimDisk::new();
    let mut witness = Witness::default();
    script(&whole, &mut witness);
    assert!(witness.deleted && witness.second_acknowledged.len() == 3, "{witness:?}");
    let (steps, mut cases) = (whole.steps(), 0);
    for step in 0..=steps {
        let disk = SimDisk::new();
        disk.cut_power_after(step);
        let mut witness = Witness::default();
        script(&disk, &mut witness);
        let random = (0..20).map(|seed| Tear::Random(step * 20 + seed));
        for tear in [Tear::LoseAll, Tear::KeepAll].into_iter().chain(random) {
            check_after(&disk, &witness, tear, &format!("cut after call {step}, {tear:?}"));
            cases += 1;
        }
    }
    println!("cases: {cases} power cuts over {steps} calls");
}

#[test]
fn logs_are_deleted_and_made_again_while_threads_append_to_them_and_to_others() {
    let options = varve::log::Options { flushers: 2, ..by_hand(small_segments()) };
    let rig = Rig::open(&SimDisk::new(), options).unwrap();
    create(&rig.logs, "busy");
    let done = AtomicBool::new(false);
    let (other, taken) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let Some(log) = rig.logs.get("busy") else { continue };
                    match log.append(b"0123456789", ONE, Durability::Synced) {
                        Ok(pending) => {
                            wait(pending).unwrap();
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(AppendError::Deleted | AppendError::Busy { .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                wait(rig.log.append(b"0123456789", ONE, Durability::Synced).unwrap()).unwrap();
                other.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut deleted = 0;
        while deleted < 50 {
            let log = rig.logs.get("busy").unwrap();
            if log.bounds().end < Offset::new(5) {
                std::thread::yield_now();
                continue;
            }
            // With an expectation it may miss and says so; without one it succeeds.
            match rig.logs.delete("busy", Some(log.bounds().end), None) {
                Err(DeleteError::NotAtEnd { expected, end }) => assert!(end > expected),
                other => other.unwrap(),
            }
            if rig.logs.get("busy").is_some() {
                rig.logs.delete("busy", None, Some(log.id())).unwrap();
            }
            deleted += 1;
            create(&rig.logs, "busy");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(taken.load(Ordering::Relaxed) >= 250);
    let rig = rig.killed();
    assert_eq!(rig.log.bounds().end.get(), other.load(Ordering::Relaxed));
}

#[test]
fn folders_among_a_logs_files_hinder_neither_its_deletion_nor_a_start() {
    let rig = Rig::new();
    let log = create(&rig.logs, "orders");
    let folder = Path::new("/data/logs/orders/backup");
    rig.disk.create_directory(folder).unwrap();
    rig.disk.create(&folder.join("copy")).unwrap();
    // As a deletion leaves it that a crash or a stop ended.
    rig.disk.create_directory(Path::new("/data/trash/gone-1")).unwrap();
    rig.disk.create_directory(Path::new("/data/trash/gone-1/more")).unwrap();
    append(&rig, &log, 1);
    rig.logs.delete("orders", None, None).unwrap();
    assert_eq!(rig.disk.list(Path::new("/data/trash")).unwrap(), ["gone-1"]);
    let rig = rig.reopen();
    assert_eq!(rig.disk.list(Path::new("/data/trash")).unwrap(), [""; 0]);
}

#[test]
fn what_cannot_be_removed_is_no_reason_not_to_start() {
    let rig = Rig::new();
    rig.disk.create(Path::new("/data/trash/stays")).unwrap();
    let disk = rig.disk.clone();
    rig.logs.close().unwrap();
    drop(rig);
    disk.fail(Op::Remove, 0, std::io::ErrorKind::PermissionDenied);
    let rig = Rig::open(&disk, by_hand(small_segments())).unwrap();
    assert_eq!(rig.disk.list(Path::new("/data/trash")).unwrap(), ["stays"]);
}

#[test]
fn a_log_that_may_be_there_after_a_start_or_not_ends_the_server() {
    let rig = Rig::new();
    // The first is that of the new directory itself.
    rig.disk.fail(Op::SyncDirectory, 1, std::io::ErrorKind::Other);
    let name = LogName::parse("orders").unwrap();
    let made = rig.logs.create(&name, LogOverrides::default());
    assert!(matches!(made, Err(CreateError::Failed(_))), "{made:?}");
    assert!(rig.logs.has_failed());
}

#[test]
fn a_log_that_cannot_be_made_leaves_nothing() {
    let rig = Rig::new();
    let name = LogName::parse("orders").unwrap();
    for op in [Op::Write, Op::Sync, Op::Rename] {
        rig.disk.fail(op, 0, std::io::ErrorKind::StorageFull);
        let made = rig.logs.create(&name, LogOverrides::default());
        assert!(matches!(made, Err(CreateError::Io(_))), "{made:?}");
        assert_eq!(rig.disk.list(Path::new("/data/trash")).unwrap(), [""; 0], "{op:?}");
    }
    rig.logs.create(&name, LogOverrides::default()).unwrap();
}
