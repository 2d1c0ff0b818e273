//! Repairs: a log whose tail is damaged takes appends again, what could be read still can, what is
//! lost is told as lost, and nothing is deleted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use varve::log::{
    Disk, LogName, Meaning, Offset, OpenError, ReadError, RepairKind, RepairOptions, Repaired,
    SimDisk, Tear, VerifyProgress, repair, verify,
};

use crate::rig::{Batch, DATA, Rig, by_hand, files, small_segments};

type Expected = Vec<(Offset, Batch)>;

const FIRST: usize = 128;
const HEADER: usize = 88;

fn mend(disk: &SimDisk, dry_run: bool) -> Result<Repaired, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = RepairOptions { dry_run, threads: 1, now_us: 7 };
    repair(&disk, Path::new(DATA), &[], options)
}

/// A killed log of several segments with enough in the last for a later frame to vouch for.
fn killed() -> (SimDisk, Expected) {
    let rig = Rig::new();
    let all = rig.fill(27);
    (rig.disk.after_power_cut(Tear::KeepAll), all)
}

fn last_store(disk: &SimDisk) -> PathBuf {
    files(disk, ".store").pop().unwrap()
}

fn change(disk: &SimDisk, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.bytes(path).unwrap();
    change(&mut bytes);
    disk.damage(path, &bytes).unwrap();
}

/// What reads say of each batch: it is as it was, or lost.
fn readable(rig: &Rig, all: &Expected) -> Vec<bool> {
    let read = |(base, batch): &(Offset, Batch)| match rig.log.read(*base, 1) {
        Ok(chunk) => {
            let first = chunk.batches().next().unwrap();
            assert_eq!((first.base_offset, first.payload), (*base, batch.payload.as_slice()));
            true
        }
        Err(ReadError::Damaged { from, resume }) => {
            assert!(from <= *base && resume.is_none_or(|resume| resume > *base));
            false
        }
        Err(error) => panic!("{base}: {error:?}"),
    };
    all.iter().map(read).collect()
}

/// Every file that has a name, by its bytes.
fn contents(disk: &SimDisk) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::from(DATA)];
    while let Some(path) = todo.pop() {
        match disk.list(&path) {
            Ok(names) => todo.extend(names.into_iter().map(|name| path.join(name))),
            Err(_) => found.push(disk.bytes(&path).unwrap()),
        }
    }
    found
}

type Damage = fn(&SimDisk);

/// The damages of a tail that stop appends.
fn damages() -> Vec<(&'static str, Damage)> {
    vec![
        ("a payload", |disk| change(disk, &last_store(disk), |b| b[FIRST + HEADER] ^= 1)),
        ("a header", |disk| change(disk, &last_store(disk), |b| b[FIRST + 16] ^= 1)),
        ("the store's header", |disk| {
            change(disk, &last_store(disk), |b| (b[0], b[64]) = (0, 0));
        }),
        ("all of it", |disk| change(disk, &last_store(disk), |b| b.fill(0xab))),
        ("a short file", |disk| change(disk, &last_store(disk), |b| b.truncate(FIRST + 40))),
        ("zeros", |disk| change(disk, &last_store(disk), |b| b[FIRST..FIRST + 300].fill(0))),
    ]
}

/// A log whose unsealed tail is damaged.
struct Harmed {
    disk: SimDisk,
    /// What was acknowledged below its end.
    all: Expected,
    /// Which of these can still be read.
    was_readable: Vec<bool>,
    end: Offset,
}

/// A killed log after `damage`, which must be found and not pass for a torn tail.
fn harmed(name: &str, damage: &impl Fn(&SimDisk)) -> Harmed {
    let (disk, mut all) = killed();
    damage(&disk);
    let rig = Rig::open(&disk, by_hand(small_segments())).unwrap();
    let end = rig.log.bounds().end;
    // Nobody vouches for the newest batch: lost, it was never there.
    all.retain(|(base, _)| *base < end);
    let was_readable = readable(&rig, &all);
    assert!(rig.log.is_damaged(), "{name} looks torn");
    Harmed { disk, all, was_readable, end }
}

#[test]
fn r6_a_log_with_a_damaged_tail_takes_appends_again_and_loses_no_more() {
    for (name, damage) in damages() {
        let Harmed { disk, all, was_readable, end } = harmed(name, &damage);
        let originals = contents(&disk);
        let names = files(&disk, "");
        let planned = mend(&disk, true).unwrap();
        assert_eq!((contents(&disk), files(&disk, "")), (originals.clone(), names), "{name}");
        let done = mend(&disk, false).unwrap();
        assert_eq!(planned, done, "{name}");
        assert_eq!(done.left, [], "{name}");
        let now = contents(&disk);
        assert!(originals.iter().all(|bytes| now.contains(bytes)), "{name}: bytes are gone");

        let rig = Rig::open(&disk, by_hand(small_segments())).unwrap();
        assert!(!rig.log.is_damaged(), "{name}: {done:?}");
        assert_eq!(readable(&rig, &all), was_readable, "{name}");
        assert!(rig.log.bounds().end >= end, "{name}");
        let more = Batch::of(500);
        let base = rig.append(&more);
        assert!(base >= all.last().unwrap().0, "{name}: {base}");
        let rig = rig.killed();
        assert_eq!(readable(&rig, &all), was_readable, "{name}");
        assert_eq!(rig.read_from(base).unwrap(), vec![(base, more)]);
        let rig = rig.reopen();
        assert_eq!(readable(&rig, &all), was_readable, "{name}");
        drop(rig);
        assert_eq!(mend(&disk, false).unwrap(), Repaired::default(), "{name}: a second time");
    }
}

#[test]
fn r6_offsets_of_a_segment_without_its_header_are_not_given_out_again() {
    let (disk, all) = killed();
    change(&disk, &last_store(&disk), |bytes| (bytes[0], bytes[64]) = (0, 0));
    mend(&disk, false).unwrap();
    let rig = Rig::open(&disk, by_hand(small_segments())).unwrap();
    let (last, batch) = all.last().unwrap();
    assert_eq!(rig.log.bounds().end, last.plus(u64::from(batch.records.get())));
}

#[test]
fn a_missing_last_store_is_a_gap_that_appends_go_on_behind() {
    let rig = Rig::new();
    let all = rig.fill(27);
    rig.logs.close().unwrap();
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    disk.remove(&last_store(&disk)).unwrap();
    assert!(Rig::open(&disk, by_hand(small_segments())).unwrap().log.is_damaged());
    let done = mend(&disk, false).unwrap();
    assert!(done.steps.iter().any(|step| matches!(step.kind, RepairKind::Filled { .. })));
    let rig = Rig::open(&disk, by_hand(small_segments())).unwrap();
    let (last, batch) = all.last().unwrap();
    assert_eq!(rig.append(&Batch::of(1)), last.plus(u64::from(batch.records.get())));
    assert!(readable(&rig, &all).contains(&false));
}

/// Also the kernel's half-done work: each step is made durable before the next.
#[test]
fn r8_a_repair_that_is_cut_short_anywhere_goes_on_the_next_time() {
    let mut cuts = 0;
    for (name, damage) in damages() {
        let Harmed { disk, all, was_readable, .. } = harmed(name, &damage);
        let disk = disk.after_power_cut(Tear::KeepAll);
        let originals = contents(&disk);
        for cut in 0.. {
            let copy = disk.after_power_cut(Tear::KeepAll);
            copy.cut_power_after(cut);
            let is_done = mend(&copy, false).is_ok();
            for tear in [Tear::KeepAll, Tear::LoseAll, Tear::Random(cut)] {
                let found = copy.after_power_cut(tear);
                let now = contents(&found);
                let gone = originals.iter().filter(|bytes| !now.contains(bytes)).count();
                assert_eq!(gone, 0, "{name}, cut {cut}, {tear:?}: bytes are gone");
                let rig = Rig::open(&found, by_hand(small_segments())).unwrap();
                assert_eq!(readable(&rig, &all), was_readable, "{name}, cut {cut}, {tear:?}");
                drop(rig);
                let disk: Arc<dyn Disk> = Arc::new(found.clone());
                let options = RepairOptions { dry_run: false, threads: 1, now_us: 8 };
                repair(&disk, Path::new(DATA), &[], options).unwrap();
                let rig = Rig::open(&found, by_hand(small_segments())).unwrap();
                assert!(!rig.log.is_damaged(), "{name}, cut {cut}, {tear:?}");
                assert_eq!(readable(&rig, &all), was_readable, "{name}, cut {cut}, {tear:?}");
            }
            cuts += 1;
            if is_done {
                break;
            }
        }
    }
    assert!(cuts > 40, "{cuts}");
}

#[test]
fn an_index_is_made_anew_and_a_torn_tail_cut() {
    let (disk, all) = killed();
    change(&disk, &files(&disk, ".index")[0], |bytes| bytes[14] ^= 1);
    let store = last_store(&disk);
    change(&disk, &store, |bytes| {
        let used = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
        bytes[used + 9] = 1;
    });
    let done = mend(&disk, false).unwrap();
    let kinds = |wanted: fn(&RepairKind) -> bool| done.steps.iter().any(|s| wanted(&s.kind));
    assert!(kinds(|kind| matches!(kind, RepairKind::IndexRebuilt { .. })), "{done:?}");
    assert!(kinds(|kind| matches!(kind, RepairKind::TailCut { .. })), "{done:?}");
    assert!(kinds(|kind| matches!(kind, RepairKind::Kept { .. })), "{done:?}");
    let found = verify(&disk, Path::new(DATA), &[], 1, &VerifyProgress::default()).unwrap();
    let left = found.faults.iter().filter(|fault| fault.meaning != Meaning::LeftOver);
    assert_eq!(left.count(), 0, "{:?}", found.faults);
    let rig = Rig::open(&disk, by_hand(small_segments())).unwrap();
    assert_eq!(rig.read_all(), all);
    rig.append(&Batch::of(1));
}

#[test]
fn links_that_cannot_be_had_are_copies() {
    let (disk, _) = killed();
    change(&disk, &last_store(&disk), |bytes| bytes[FIRST + HEADER] ^= 1);
    let originals = contents(&disk);
    disk.fail(varve::log::Op::Link, 0, std::io::ErrorKind::Unsupported);
    mend(&disk, false).unwrap();
    assert_eq!(disk.clear_faults(), 0);
    let now = contents(&disk);
    assert!(originals.iter().all(|bytes| now.contains(bytes)));
}

#[test]
fn r14_a_directory_in_use_is_left_alone() {
    let rig = Rig::new();
    rig.fill(3);
    let steps = rig.disk.steps();
    assert!(matches!(mend(&rig.disk, false), Err(OpenError::Owned { .. })));
    assert!(matches!(mend(&rig.disk, true), Err(OpenError::Owned { .. })));
    assert_eq!(rig.disk.steps(), steps);
    let absent = [LogName::parse("absent").unwrap()];
    rig.logs.close().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(rig.disk.clone());
    let options = RepairOptions { dry_run: false, threads: 1, now_us: 7 };
    let refused = repair(&disk, Path::new(DATA), &absent, options);
    assert!(matches!(refused, Err(OpenError::Absent { .. })), "{refused:?}");
}
