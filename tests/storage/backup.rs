//! Backups are data directories themselves: whole at a moment, and there or not.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use varve::log::{
    BackUpError, BackedUp, BackupName, DEFAULT_LOG, Disk as _, Durability, LogName, LogOverrides,
    Logs, Meaning, Offset, Op, OpenError, OsDisk, ReaderAction, ReaderName, ReaderOrder, SimDisk,
    Tear, VerifyProgress, verify,
};

use crate::rig::{Batch, DATA, Rig, by_hand, files, poll, small_segments};

const BACKUP: &str = "/monday";

pub fn open(disk: &SimDisk, folder: &str) -> Rig {
    let options = by_hand(small_segments());
    let logs = Logs::open(Path::new(folder), Arc::new(disk.clone()), options).unwrap();
    let log = logs.get(DEFAULT_LOG).unwrap();
    Rig { disk: disk.clone(), logs, log }
}

pub fn faults(disk: &SimDisk, folder: &str) -> Vec<String> {
    let found = verify(disk, Path::new(folder), &[], 1, &VerifyProgress::default()).unwrap();
    found.faults.iter().map(|fault| format!("{fault:?}")).collect()
}

pub fn back_up(rig: &Rig, folder: &str) -> Result<Vec<BackedUp>, BackUpError> {
    rig.logs.back_up(Path::new(folder), &[], &|_| {})
}

pub fn stand(rig: &Rig, name: &str, offset: Offset) {
    let order = ReaderOrder {
        name: ReaderName::parse(name).unwrap(),
        subject: "root".to_owned(),
        any_owner: false,
        action: ReaderAction::Commit { offset, force: false },
    };
    rig.log.change_readers(&[order]).pop().unwrap().unwrap();
}

#[test]
fn a_backup_checks_out_opens_and_has_what_was_there_while_appends_go_on() {
    let rig = Rig::new();
    let mut all = rig.fill(24);
    stand(&rig, "charts", all[5].0);
    let end = rig.log.bounds().end;
    let made = back_up(&rig, BACKUP).unwrap();
    let told = (made[0].log.as_str(), made[0].start, made[0].end);
    assert_eq!(told, ("default", Offset::ZERO, end));
    assert!(made[0].segments > 1);
    assert_eq!(made[0].segments, made[0].linked);
    let before = all.clone();
    for n in 100..120 {
        all.push((rig.append(&Batch::of(n)), Batch::of(n)));
    }
    assert_eq!(faults(&rig.disk, BACKUP), [""; 0]);

    let disk = rig.disk.after_power_cut(Tear::LoseAll);
    assert_eq!(faults(&disk, BACKUP), [""; 0], "it was made durable");
    let restored = open(&disk, BACKUP);
    assert_eq!(restored.read_all(), before);
    assert_eq!(restored.log.readers().unwrap()[0].offset, all[5].0);
    restored.append(&Batch::of(7));
    let original = open(&disk, DATA);
    assert_eq!(original.read_all(), all, "what happens to the one is nothing to the other");
}

/// What a start, a rebuilt index, retention and appends do to a log reaches no backup of it.
#[test]
fn whatever_a_server_does_to_its_files_the_backup_stays_as_it_was() {
    let rig = Rig::new();
    let all = rig.fill(24);
    back_up(&rig, BACKUP).unwrap();
    let backed_up = |disk: &SimDisk| {
        let folder = Path::new(BACKUP).join("logs").join(DEFAULT_LOG);
        let mut names = disk.list(&folder).unwrap();
        names.sort();
        let bytes = |name: String| (disk.bytes(&folder.join(&name)).unwrap(), name);
        names.into_iter().map(bytes).collect::<Vec<_>>()
    };
    let before = backed_up(&rig.disk);
    let index = files(&rig.disk, ".index").remove(0);
    let mut harmed = rig.disk.bytes(&index).unwrap();
    harmed[..36].fill(0xff);
    rig.disk.damage(&index, &harmed).unwrap();
    // The start finds no clean checkpoint, and writes the tail anew.
    let rig = rig.killed();
    assert_eq!(rig.read_all(), all, "the index was made anew");
    rig.fill(30);
    rig.log.trim(all[12].0).unwrap();
    let rig = rig.killed();
    rig.append(&Batch::of(3));
    assert!(backed_up(&rig.disk) == before);
}

#[test]
fn a_trimmed_log_an_empty_one_and_one_of_several_are_backed_up() {
    let rig = Rig::new();
    let orders = LogName::parse("orders").unwrap();
    rig.logs.create(&orders, LogOverrides::default()).unwrap();
    let all = rig.fill(24);
    rig.logs.back_up(Path::new("/one"), &[orders], &|_| {}).unwrap();
    assert_eq!(rig.disk.list(Path::new("/one/logs")).unwrap(), ["orders"]);
    assert_eq!(faults(&rig.disk, "/one"), [""; 0]);
    let start = rig.log.trim(all[12].0).unwrap().start;
    back_up(&rig, "/some").unwrap();
    let end = rig.log.bounds().end;
    rig.log.trim(end).unwrap();
    back_up(&rig, "/none").unwrap();
    for (folder, start) in [("/some", start), ("/none", end)] {
        assert_eq!(faults(&rig.disk, folder), [""; 0], "{folder}");
        let found = open(&rig.disk, folder);
        assert_eq!((found.log.bounds().start, found.log.bounds().end), (start, end), "{folder}");
        assert_eq!(found.append(&Batch::of(1)), end, "{folder}");
        assert!(found.logs.get("orders").is_some());
    }
    let absent = [LogName::parse("absent").unwrap()];
    let refused = rig.logs.back_up(Path::new("/absent"), &absent, &|_| {});
    assert!(matches!(refused, Err(BackUpError::NotFound { .. })), "{refused:?}");
    let refused = back_up(&rig, "/some");
    assert!(matches!(refused, Err(BackUpError::Exists { .. })), "{refused:?}");
}

/// With appends before it, and the power cut after each call that it makes to the disk.
#[test]
fn r8_a_backup_that_is_cut_short_is_none_and_the_log_is_as_it_was() {
    let rig = Rig::new();
    let all = rig.fill(12);
    stand(&rig, "charts", all[5].0);
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    let mut cases = 0;
    for cut in 0.. {
        let copy = disk.after_power_cut(Tear::KeepAll);
        let rig = open(&copy, DATA);
        let last = (rig.append(&Batch::of(99)), Batch::of(99));
        let expected = [all.clone(), vec![last]].concat();
        copy.cut_power_after(copy.steps() + cut);
        let monday = BackupName::parse("monday").unwrap();
        let is_made = rig.logs.back_up_as(&monday, &[], false).is_ok();
        for tear in [Tear::LoseAll, Tear::KeepAll, Tear::Random(cut), Tear::SizesAlone] {
            let what = format!("cut {cut}, {tear:?}");
            let found = copy.after_power_cut(tear);
            let backup = format!("{DATA}/backups/monday");
            let is_there = found.list(Path::new(&backup)).is_ok();
            let original = open(&found, DATA);
            assert_eq!(original.read_all(), expected, "{what}");
            let left = found.list(Path::new(&format!("{DATA}/backups"))).unwrap_or_default();
            assert!(!left.iter().any(|name| name.ends_with(".part")), "{what}");
            if is_there {
                assert_eq!(faults(&found, &backup), [""; 0], "{what}");
                let restored = open(&found, &backup);
                assert_eq!(restored.read_all(), expected, "{what}");
                assert_eq!(restored.log.readers().unwrap()[0].offset, all[5].0, "{what}");
            } else {
                assert!(!is_made, "{what}");
                back_up(&original, BACKUP).unwrap();
            }
            cases += 1;
        }
        if is_made {
            println!("cases: {cases} power cuts");
            assert!(cut > 20, "{cut}");
            return;
        }
    }
}

/// Whichever call fails, there is a whole backup or none, the log goes on or says that it failed,
/// and the next attempt works.
#[test]
fn a_call_that_fails_leaves_a_whole_backup_or_none() {
    let rig = Rig::new();
    let all = rig.fill(12);
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    for op in crate::sweep::OPS {
        for call in 0.. {
            let copy = disk.after_power_cut(Tear::KeepAll);
            let rig = open(&copy, DATA);
            copy.fail_with(op, call, 5);
            let made = back_up(&rig, BACKUP);
            let happened = copy.clear_faults() == 0;
            let what = format!("{op:?} {call}: {made:?}");
            if copy.list(Path::new(BACKUP)).is_ok() {
                assert_eq!(faults(&copy, BACKUP), [""; 0], "{what}");
                assert_eq!(open(&copy, BACKUP).read_all(), all, "{what}");
            } else {
                assert!(made.is_err(), "{what}");
                if !rig.logs.has_failed() {
                    assert_eq!(rig.read_all(), all, "{what}");
                    back_up(&rig, BACKUP).unwrap();
                }
            }
            if !happened {
                break;
            }
        }
    }
}

#[test]
fn where_there_are_no_links_the_stores_are_cloned_or_copied() {
    for clones in [true, false] {
        let rig = Rig::new();
        let all = rig.fill(3);
        // Of the store and the index.
        for _ in 0..2 {
            rig.disk.fail(Op::Link, 0, ErrorKind::Unsupported);
            if !clones {
                rig.disk.fail(Op::Clone, 0, ErrorKind::Unsupported);
            }
        }
        let made = back_up(&rig, BACKUP).unwrap();
        assert_eq!((made[0].segments, made[0].linked), (1, 0));
        assert_eq!(rig.disk.clear_faults(), 0);
        let disk = rig.disk.after_power_cut(Tear::LoseAll);
        assert_eq!(open(&disk, BACKUP).read_all(), all);
    }
}

#[test]
fn a_full_disk_fails_the_backup_and_nothing_else() {
    let rig = Rig::new();
    rig.fill(3);
    rig.disk.set_capacity(Some(0));
    let failed = back_up(&rig, BACKUP);
    assert!(matches!(failed, Err(BackUpError::Io(_))), "{failed:?}");
    assert!(rig.disk.list(Path::new("/monday.part")).is_err(), "it takes no space");
    rig.disk.set_capacity(None);
    back_up(&rig, BACKUP).unwrap();
    let pending = rig.log.append(b"x", Batch::of(0).records, Durability::Synced).unwrap();
    rig.logs.work();
    assert!(matches!(poll(pending), Poll::Ready(Ok(_))));
}

#[test]
fn a_log_whose_tail_is_damaged_is_backed_up_as_it_is() {
    let rig = Rig::new();
    let all = rig.fill(27);
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    let store = files(&disk, ".store").pop().unwrap();
    let mut bytes = disk.bytes(&store).unwrap();
    bytes[128 + 88] ^= 1;
    disk.damage(&store, &bytes).unwrap();
    let rig = open(&disk, DATA);
    assert!(rig.log.is_damaged());
    let made = back_up(&rig, BACKUP).unwrap();
    assert_eq!(made[0].end, rig.log.bounds().end);
    let found = verify(&disk, Path::new(BACKUP), &[], 1, &VerifyProgress::default()).unwrap();
    assert!(found.faults.iter().any(|fault| fault.meaning == Meaning::Damage), "{found:?}");
    let backup = open(&disk, BACKUP);
    assert!(backup.log.is_damaged(), "it can be looked at and repaired as the original");
    assert_eq!(
        backup.log.read(all[0].0, 1).unwrap().batches().next().unwrap().base_offset,
        all[0].0
    );
}

#[test]
fn one_backup_is_made_at_a_time_and_none_of_a_closed_set() {
    let rig = Rig::new();
    rig.fill(3);
    // Told of a piece that is copied, the caller asks for another.
    rig.disk.fail(Op::Link, 0, ErrorKind::Unsupported);
    let inner = std::sync::Mutex::new(None);
    let ask = |_| {
        let refused = rig.logs.back_up(Path::new("/other"), &[], &|_| {});
        inner.lock().unwrap().get_or_insert(refused);
    };
    rig.logs.back_up(Path::new(BACKUP), &[], &ask).unwrap();
    assert!(matches!(inner.into_inner().unwrap(), Some(Err(BackUpError::Busy))));
    rig.logs.begin_close();
    let refused = rig.logs.check_backup(Path::new(BACKUP));
    assert!(matches!(refused, Err(OpenError::Io(e)) if e.source.kind() == ErrorKind::Interrupted));
    assert!(matches!(back_up(&rig, "/late"), Err(BackUpError::Closed)));
    rig.logs.close().unwrap();
    assert!(matches!(back_up(&rig, "/late"), Err(BackUpError::Closed)));
    assert!(rig.disk.list(Path::new("/late")).is_err());
}

/// While stores are copied, a deletion of one of the logs waits, and nobody waits for the deletion.
#[test]
fn a_log_is_made_while_another_is_backed_up_and_is_to_be_deleted() {
    let rig = Rig::new();
    let [orders, other] = ["orders", "other"].map(|name| LogName::parse(name).unwrap());
    let log = rig.logs.create(&orders, LogOverrides::default()).unwrap();
    let _pending = log.append(b"x", Batch::of(0).records, Durability::Synced).unwrap();
    rig.logs.work();
    rig.disk.fail(Op::Link, 0, ErrorKind::Unsupported);
    std::thread::scope(|scope| {
        let (logs, other) = (&rig.logs, &other);
        let began = std::sync::Once::new();
        let copied = |bytes| {
            if bytes == 0 {
                return;
            }
            began.call_once(|| {
                let deleting = scope.spawn(|| logs.delete("orders", None, None).unwrap());
                // It gets as far as it gets.
                (0..1000).for_each(|_| std::thread::yield_now());
                let (made, is_made) = std::sync::mpsc::channel();
                scope.spawn(move || made.send(logs.create(other, LogOverrides::default()).is_ok()));
                assert_eq!(is_made.recv_timeout(Duration::from_secs(10)), Ok(true));
                assert!(!deleting.is_finished());
            });
        };
        logs.back_up(Path::new(BACKUP), std::slice::from_ref(&orders), &copied).unwrap();
    });
    assert!(rig.logs.get("orders").is_none());
    assert!(open(&rig.disk, BACKUP).logs.get("orders").is_some());
}

#[test]
fn what_stands_where_a_backup_is_to_be_built_is_removed_only_if_nobody_needs_it() {
    let rig = Rig::new();
    let all = rig.fill(24);
    let part = Path::new("/monday.part");
    for folder in [part, &part.join("logs")] {
        rig.disk.create_directory(folder).unwrap();
    }
    rig.disk.create(&part.join("LOCK")).unwrap();
    let claim = rig.disk.lock(&part.join("LOCK")).unwrap();
    assert!(matches!(back_up(&rig, BACKUP), Err(BackUpError::Busy)));
    assert_eq!(rig.disk.list(part).unwrap().len(), 2, "somebody is at it");
    drop(claim);
    rig.disk.create(&part.join("letter")).unwrap();
    let refused = back_up(&rig, BACKUP);
    assert!(matches!(refused, Err(BackUpError::Open(OpenError::Invalid { .. }))), "{refused:?}");
    rig.disk.remove(&part.join("letter")).unwrap();
    back_up(&rig, BACKUP).unwrap();
    assert!(rig.disk.list(part).is_err());
    assert_eq!(open(&rig.disk, BACKUP).read_all(), all);
    // Within the data directory only the folder of backups is for them: a start would take one for
    // a log, throw another away, and not come about for a third.
    for place in ["/data/logs/x", "/data/trash/x", "/data/logs.part", "/data/backups/a/b"] {
        let refused = back_up(&rig, place);
        assert!(matches!(refused, Err(BackUpError::Misplaced { .. })), "{place}: {refused:?}");
    }
    assert!(matches!(back_up(&rig, "/x.part"), Err(BackUpError::Unfinished { .. })));
    let twice = [DEFAULT_LOG, DEFAULT_LOG].map(|name| LogName::parse(name).unwrap());
    assert_eq!(rig.logs.back_up(Path::new("/twice"), &twice, &|_| {}).unwrap().len(), 1);
}

/// A log at rest whose files did not open ended at once, or let go of its last segment if it was to
/// be sealed, began another behind it and left the first out of the next backup.
#[test]
fn a_log_whose_files_do_not_open_this_time_keeps_its_last_segment() {
    for n in 0..6 {
        let rig = Rig::new();
        let mut all = rig.fill(5);
        let rig = rig.killed();
        rig.disk.fail(Op::Open, n, ErrorKind::StorageFull);
        let _refused = back_up(&rig, "/refused");
        rig.disk.clear_faults();
        rig.disk.fail(Op::Open, n, ErrorKind::StorageFull);
        let batch = Batch::of(7);
        let pending = rig.log.append(&batch.payload, batch.records, Durability::Synced);
        rig.logs.work();
        let base = pending.as_ref().ok().map(|pending| pending.base_offset());
        if let Some(Poll::Ready(Ok(_))) = pending.ok().map(poll) {
            all.push((base.unwrap(), batch));
        }
        rig.disk.clear_faults();
        rig.logs.look_around();
        all.push((rig.append(&Batch::of(8)), Batch::of(8)));
        assert_eq!(rig.read_all(), all, "{n}");
        let end = rig.log.bounds().end;
        let made = back_up(&rig, BACKUP).unwrap();
        assert_eq!((made[0].end, made[0].segments), (end, rig.files(".store").len()), "{n}");
        assert_eq!(open(&rig.disk, BACKUP).read_all(), all, "{n}");
    }
}

/// On the host's file system, with flushers and appends that never stop.
#[test]
fn what_was_acknowledged_before_a_backup_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(OsDisk::new());
    let data = folder.path().join("data");
    let options = || varve::log::Options { min_free_bytes: 0, ..varve::log::Options::default() };
    let logs = Logs::open(&data, Arc::clone(&disk) as _, options()).unwrap();
    let names = (0..20).map(|n| LogName::parse(&format!("log-{n}")).unwrap());
    let names: Vec<_> = names.collect();
    for name in &names {
        let overrides = LogOverrides { segment_bytes_max: Some(4096), ..LogOverrides::default() };
        logs.create(name, overrides).unwrap();
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    let is_over = || stop.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        for name in names.iter().take(4) {
            let log = logs.get(name.as_str()).unwrap();
            scope.spawn(move || {
                for n in 0.. {
                    let batch = Batch::of(n);
                    let level = Durability::Synced;
                    let pending = log.append(&batch.payload, batch.records, level).unwrap();
                    crate::rig::wait(pending).unwrap();
                    if is_over() {
                        return;
                    }
                }
            });
        }
        for n in 0..5 {
            let ends: Vec<_> = logs.list().iter().map(|log| log.bounds().end).collect();
            let name = BackupName::parse(&format!("b{n}")).unwrap();
            let backup = logs.back_up_as(&name, &[], true).unwrap();
            let made = backup.logs;
            assert!(made.iter().zip(&ends).all(|(made, end)| made.end >= *end));
            let found = backup.checked.unwrap().unwrap();
            assert!(found.faults.is_empty(), "{:?}", found.faults);
            let held: Vec<_> = found.logs.iter().map(|log| log.end).collect();
            assert_eq!(held, made.iter().map(|made| made.end).collect::<Vec<_>>());
            assert!(made.iter().all(|made| made.linked == made.segments), "{made:?}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    logs.close().unwrap();
    let backup = data.join("backups/b4");
    let found = Logs::open(&backup, disk, options()).unwrap();
    for name in &names {
        let log = found.get(name.as_str()).unwrap();
        let mut offset = log.bounds().start;
        let mut n = 0;
        while offset < log.bounds().end {
            let chunk = log.read(offset, 1 << 20).unwrap();
            for stored in chunk.batches() {
                assert_eq!(stored.payload, Batch::of(n).payload);
                n += 1;
            }
            offset = chunk.next_offset();
        }
    }
}
