//! A backup that is restored holds exactly what it held, up to where it was to be cut.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use varve::log::{
    Append, Cut, DEFAULT_LOG, Disk, Durability, LogName, LogOverrides, Logs, Offset, Op, OpenError,
    Options, Producer, ProducerId, Restore, RestoreError, RestoredLog, SimDisk, SimTime, Tear,
};

use crate::backup::{back_up, faults, open, stand};
use crate::rig::{Batch, DATA, Rig, by_hand, small_segments};

const BACKUP: &str = "/monday";
const TARGET: &str = "/new";

fn plan(disk: &SimDisk, cut: &Cut) -> Result<Restore, RestoreError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Restore::plan(&disk, Path::new(BACKUP), Path::new(TARGET), &[], cut)
}

fn restore(disk: &SimDisk, cut: &Cut) -> Result<Vec<RestoredLog>, RestoreError> {
    let planned = plan(disk, cut)?;
    planned.run(&|_| {})?;
    Ok(planned.logs().cloned().collect())
}

fn at(offset: Offset) -> Cut {
    Cut::Offsets(BTreeMap::from([(LogName::parse(DEFAULT_LOG).unwrap(), offset)]))
}

/// A backup, and what it holds.
fn backed_up() -> (SimDisk, Vec<(Offset, Batch)>) {
    let rig = Rig::new();
    let all = rig.fill(24);
    stand(&rig, "early", all[3].0);
    stand(&rig, "late", all[20].0);
    back_up(&rig, BACKUP).unwrap();
    (rig.disk.after_power_cut(Tear::LoseAll), all)
}

#[test]
fn a_whole_backup_comes_back_whole_and_shares_no_file_with_it() {
    let (disk, all) = backed_up();
    let told = restore(&disk, &Cut::Nowhere).unwrap();
    assert_eq!((told[0].end, told[0].backup_end), (told[0].backup_end, told[0].end));
    let disk = disk.after_power_cut(Tear::LoseAll);
    assert_eq!(faults(&disk, TARGET), [""; 0]);
    let store = |folder: &str| Path::new(folder).join("logs/default/00000000000000000000.store");
    let before = disk.bytes(&store(BACKUP)).unwrap();
    disk.open(&store(TARGET)).unwrap().write_at(b"other", 200).unwrap();
    assert_eq!(disk.bytes(&store(BACKUP)).unwrap(), before, "it is no link");
    disk.damage(&store(TARGET), &before).unwrap();
    let rig = open(&disk, TARGET);
    assert_eq!(rig.read_all(), all);
    assert_eq!(rig.append(&Batch::of(5)), told[0].end);
    assert_eq!(rig.log.readers().unwrap()[1].offset, all[20].0);
}

/// A file with the name of a store, which is none, in a batch between others or in the last one:
/// the log is cut, or ends, where it would without it.
#[test]
fn a_file_that_is_no_store_changes_nothing_and_is_left_out() {
    for within in [2, 23] {
        for cut in [1, 2, 3, 22, 23, 24] {
            let (disk, all) = backed_up();
            let log = Path::new(BACKUP).join("logs/default");
            let stray = format!("{:020}.store", all[within].0.plus(1));
            disk.create(&log.join(&stray)).unwrap();
            let offset = all.get(cut).map(|(base, _)| *base);
            let told = restore(&disk, &offset.map_or(Cut::Nowhere, at)).unwrap();
            let (last, batch) = &all[cut - 1];
            let end = last.plus(u64::from(batch.records.get()));
            assert_eq!(told[0].end, end, "{within}, {cut}");
            let disk = disk.after_power_cut(Tear::KeepAll);
            assert_eq!(faults(&disk, TARGET), [""; 0], "{within}, {cut}");
            assert_eq!(open(&disk, TARGET).read_all(), all[..cut], "{within}, {cut}");
        }
    }
}

/// At each offset from the start to the end, in a batch or between two.
#[test]
fn a_log_is_cut_before_the_batch_that_holds_the_offset() {
    let (disk, all) = backed_up();
    let end = plan(&disk, &Cut::Nowhere).unwrap().logs().next().unwrap().end;
    for offset in 0..=end.get() {
        let copy = disk.after_power_cut(Tear::KeepAll);
        let told = restore(&copy, &at(Offset::new(offset))).unwrap();
        let next = |(base, batch): &(Offset, Batch)| base.get() + u64::from(batch.records.get());
        let kept: Vec<_> = all.iter().filter(|batch| next(batch) <= offset).cloned().collect();
        let expected_end = kept.last().map_or(0, next);
        assert_eq!(told[0].end.get(), expected_end, "{offset}");
        let copy = copy.after_power_cut(Tear::LoseAll);
        assert_eq!(faults(&copy, TARGET), [""; 0], "{offset}");
        let rig = open(&copy, TARGET);
        assert_eq!(rig.read_all(), kept, "{offset}");
        let readers = rig.log.readers().unwrap();
        let stand: Vec<_> = readers.iter().map(|reader| reader.offset.get()).collect();
        let held = [all[3].0.get(), all[20].0.get()].map(|at| at.min(expected_end));
        assert_eq!(stand, held, "{offset}");
        let moved = held.iter().zip([all[3].0, all[20].0]).filter(|(to, at)| **to < at.get());
        assert_eq!(told[0].readers_moved, moved.count(), "{offset}");
        assert_eq!(rig.append(&Batch::of(9)).get(), expected_end, "{offset}");
        let rig = open(&rig.disk.after_power_cut(Tear::LoseAll), TARGET);
        assert_eq!(rig.read_all().len(), kept.len() + 1, "{offset}");
    }
    let refused = restore(&disk, &at(end.plus(1)));
    assert!(matches!(refused, Err(RestoreError::OutOfRange { .. })), "{refused:?}");
}

#[test]
fn a_time_cuts_every_log_before_the_first_batch_of_that_time() {
    let (disk, time) =
        (SimDisk::new(), Arc::new(SimTime::at(std::time::Duration::from_secs(2_000_000_000))));
    let options = || Options { time: Arc::clone(&time) as _, ..by_hand(small_segments()) };
    let rig = Rig::open(&disk, options()).unwrap();
    let other = LogName::parse("other").unwrap();
    let other = rig.logs.create(&other, LogOverrides::default()).unwrap();
    let (mut all, mut times) = (Vec::new(), Vec::new());
    for n in 0..24 {
        time.pass(std::time::Duration::from_secs(1));
        let base = rig.append(&Batch::of(n));
        let _pending = other.append(b"x", NonZeroU32::MIN, Durability::Synced).unwrap();
        rig.logs.work();
        times.push(rig.log.read(base, 1).unwrap().batches().next().unwrap().append_time_us);
        all.push((base, Batch::of(n)));
    }
    back_up(&rig, BACKUP).unwrap();
    let first = times[0];
    let later = [first, first + 1, times[11], times[11] + 1, times[23], times[23] + 1, u64::MAX];
    for time_us in later {
        let copy = disk.after_power_cut(Tear::KeepAll);
        let told = restore(&copy, &Cut::Time(time_us)).unwrap();
        let kept = times.iter().filter(|time| **time < time_us).count();
        assert_eq!(faults(&copy, TARGET), [""; 0], "{time_us}");
        let found = Logs::open(Path::new(TARGET), Arc::new(copy.clone()), options()).unwrap();
        let log = found.get(DEFAULT_LOG).unwrap();
        let rig = Rig { disk: copy, logs: Arc::clone(&found), log };
        assert_eq!(rig.read_all(), all[..kept], "{time_us}");
        let other = found.get("other").unwrap().bounds().end.get();
        assert_eq!((other, told[1].end.get()), (kept as u64, kept as u64), "{time_us}");
    }
}

#[test]
fn a_trimmed_log_is_cut_no_lower_than_its_start() {
    let rig = Rig::new();
    let all = rig.fill(24);
    let start = rig.log.trim(all[12].0).unwrap().start;
    back_up(&rig, BACKUP).unwrap();
    let below = Offset::new(start.get() - 1);
    let refused = restore(&rig.disk, &at(below));
    assert!(matches!(refused, Err(RestoreError::OutOfRange { .. })), "{refused:?}");
    restore(&rig.disk, &at(start)).unwrap();
    assert_eq!(faults(&rig.disk, TARGET), [""; 0]);
    let found = open(&rig.disk, TARGET);
    assert_eq!((found.log.bounds().start, found.log.bounds().end), (start, start));
    assert_eq!(found.append(&Batch::of(1)), start, "it goes on there, not at 0");
}

/// A retry of a batch that is kept is recognised, also of one whose frame was trimmed; one of a
/// batch that was cut is new.
#[test]
fn producers_are_known_as_they_were_where_the_log_is_cut() {
    let rig = Rig::new();
    let id = ProducerId::from_bytes([7; 16]).unwrap();
    let append = |rig: &Rig, sequence: u64| {
        let producer = Some(Producer { id, epoch: 1, sequence });
        let payload = [sequence as u8; 300];
        let (records, durability) = (NonZeroU32::MIN, Durability::Synced);
        let batch = Append { payload: &payload, records, durability, expected: None, producer };
        let pending = rig.log.append_batch(batch)?;
        let told = (pending.base_offset().get(), pending.is_duplicate());
        rig.logs.work();
        Ok::<_, varve::log::AppendError>(told)
    };
    for sequence in 0..60 {
        assert_eq!(append(&rig, sequence).unwrap(), (sequence, false));
    }
    let start = rig.log.trim(Offset::new(20)).unwrap().start.get();
    assert!(start > 5, "{start}");
    // An orderly stop stores them, and so the file stands for more than is kept.
    let rig = rig.reopen();
    back_up(&rig, BACKUP).unwrap();
    for cut in [start, 30, 45, 59, 60] {
        let copy = rig.disk.after_power_cut(Tear::KeepAll);
        restore(&copy, &at(Offset::new(cut))).unwrap();
        assert_eq!(faults(&copy, TARGET), [""; 0], "{cut}");
        let found = open(&copy, TARGET);
        for sequence in [0, start - 1, cut - 1] {
            assert_eq!(append(&found, sequence).unwrap(), (sequence, true), "{cut}");
        }
        append(&found, cut + 1).unwrap_err();
        assert_eq!(append(&found, cut).unwrap(), (cut, false), "{cut}");
    }
}

#[test]
fn r8_a_restore_that_is_cut_short_starts_no_server_and_can_be_done_again() {
    let (disk, all) = backed_up();
    let middle = at(all[13].0);
    for cut in 0.. {
        let copy = disk.after_power_cut(Tear::KeepAll);
        copy.cut_power_after(copy.steps() + cut);
        let is_done = restore(&copy, &middle).is_ok();
        for tear in [Tear::LoseAll, Tear::KeepAll, Tear::Random(cut)] {
            let what = format!("cut {cut}, {tear:?}");
            let found = copy.after_power_cut(tear);
            let list = found.list(Path::new(TARGET)).unwrap_or_default();
            if list.iter().any(|name| name == "logs") {
                assert_eq!(faults(&found, TARGET), [""; 0], "{what}");
                assert_eq!(open(&found, TARGET).read_all(), all[..13], "{what}");
                continue;
            }
            assert!(!is_done, "{what}");
            if list.iter().any(|name| name == "logs.part") {
                let options = by_hand(small_segments());
                let disk = Arc::new(found.clone());
                let refused = Logs::open(Path::new(TARGET), disk, options);
                assert!(matches!(refused, Err(OpenError::Invalid { .. })), "{what}");
            }
            restore(&found, &middle).unwrap();
            assert_eq!(open(&found, TARGET).read_all(), all[..13], "{what}");
        }
        if is_done {
            assert!(cut > 20, "{cut}");
            return;
        }
    }
}

#[test]
fn what_cannot_be_restored_is_refused_and_nothing_is_changed() {
    let rig = Rig::new();
    rig.fill(3);
    back_up(&rig, BACKUP).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(rig.disk.clone());
    let plan = |backup: &str, target: &str, logs: &[LogName], cut: &Cut| {
        Restore::plan(&disk, Path::new(backup), Path::new(target), logs, cut)
    };
    let absent = [LogName::parse("absent").unwrap()];
    let refused = plan(BACKUP, TARGET, &absent, &Cut::Nowhere);
    assert!(matches!(refused, Err(RestoreError::Open(OpenError::Absent { .. }))), "{refused:?}");
    let cut = Cut::Offsets(BTreeMap::from([(absent[0].clone(), Offset::ZERO)]));
    let refused = plan(BACKUP, TARGET, &[], &cut);
    assert!(matches!(refused, Err(RestoreError::Open(OpenError::Absent { .. }))), "{refused:?}");
    rig.logs.create(&absent[0], LogOverrides::default()).unwrap();
    rig.logs.back_up(Path::new("/both"), &[], &|_| {}).unwrap();
    let steps = rig.disk.steps();
    let other = [LogName::parse(DEFAULT_LOG).unwrap()];
    let refused = plan("/both", TARGET, &other, &cut);
    assert!(matches!(refused, Err(RestoreError::NotChosen { .. })), "{refused:?}");
    let refused = plan(DATA, TARGET, &[], &Cut::Nowhere);
    assert!(matches!(refused, Err(RestoreError::InUse { .. })), "{refused:?}");
    let refused = plan(BACKUP, DATA, &[], &Cut::Nowhere);
    assert!(matches!(refused, Err(RestoreError::NotEmpty { .. })), "{refused:?}");
    let refused = plan("/nowhere", TARGET, &[], &Cut::Nowhere);
    assert!(matches!(refused, Err(RestoreError::Open(OpenError::Invalid { .. }))), "{refused:?}");
    assert_eq!(rig.disk.steps(), steps);
}

#[test]
fn a_directory_that_a_server_left_in_order_or_not_is_restored_too() {
    for is_killed in [false, true] {
        let rig = Rig::new();
        let all = rig.fill(24);
        let disk = match is_killed {
            true => rig.disk.after_power_cut(Tear::KeepAll),
            false => rig.reopen().disk.after_power_cut(Tear::KeepAll),
        };
        disk.rename(Path::new(DATA), Path::new(BACKUP)).unwrap();
        for cut in [Cut::Nowhere, at(all[10].0), at(all[23].0)] {
            let copy = disk.after_power_cut(Tear::KeepAll);
            // Where the last segment of a killed server ends only a start can tell.
            if is_killed && cut == at(all[23].0) {
                let refused = restore(&copy, &cut);
                assert!(matches!(refused, Err(RestoreError::NotInOrder { .. })), "{refused:?}");
                continue;
            }
            let end = restore(&copy, &cut).unwrap()[0].end;
            let kept = all.iter().filter(|(base, _)| *base < end).count();
            assert_eq!(open(&copy, TARGET).read_all(), all[..kept], "{is_killed} {cut:?}");
        }
    }
}

/// As a start would find it: unless a checkpoint or store tells more, or nothing tells whose it is.
#[test]
fn a_damaged_backup_is_restored_as_far_as_a_start_could_use_it() {
    for n in 0..3 {
        let (disk, all) = backed_up();
        let log = Path::new(BACKUP).join("logs").join(DEFAULT_LOG);
        let stores = disk.list(&log).unwrap().into_iter().filter(|name| name.ends_with(".store"));
        let last = log.join(stores.max().unwrap());
        match n {
            0 => disk.damage(&log.join("meta"), b"nonsense").unwrap(),
            1 => disk.remove(&log.join("meta")).unwrap(),
            _ => {
                let mut bytes = disk.bytes(&last).unwrap();
                bytes[..128].fill(0xff);
                disk.damage(&last, &bytes).unwrap();
            }
        }
        let told = restore(&disk, &Cut::Nowhere).unwrap();
        let rig = open(&disk, TARGET);
        assert_eq!(rig.log.bounds().end, told[0].end, "{n}");
        let lost = rig.log.has_damage();
        assert_eq!(lost, n == 2, "{n}");
        if !lost {
            assert_eq!(rig.read_all(), all, "{n}");
        }
    }
}

/// A clone does not own its space, so that on a full disk what is written to it later fails, and
/// ends the process where it is mapped.
#[test]
fn r9_nothing_that_will_be_written_to_is_a_clone() {
    let (disk, _) = backed_up();
    restore(&disk, &Cut::Nowhere).unwrap();
    let name = |(_, path): (_, PathBuf)| path.file_name().unwrap().to_string_lossy().into_owned();
    let is_clone = |(op, _): &(Op, PathBuf)| *op == Op::Clone;
    let cloned: Vec<String> = disk.trace().into_iter().filter(is_clone).map(name).collect();
    let mut stores = disk.list(&Path::new(TARGET).join("logs/default")).unwrap();
    stores.retain(|name| name.ends_with(".store"));
    stores.sort();
    let (_last, sealed) = stores.split_last().unwrap();
    assert!(!sealed.is_empty());
    assert_eq!(cloned, sealed);
}

#[test]
fn a_full_disk_fails_the_restore_and_space_cures_it() {
    let (disk, all) = backed_up();
    for _ in 0..2 {
        disk.fail(Op::Clone, 0, ErrorKind::Unsupported);
    }
    disk.fail(Op::Write, 1, ErrorKind::StorageFull);
    assert!(matches!(restore(&disk, &Cut::Nowhere), Err(RestoreError::Io(_))));
    disk.clear_faults();
    restore(&disk, &Cut::Nowhere).unwrap();
    assert_eq!(open(&disk, TARGET).read_all(), all);
}
